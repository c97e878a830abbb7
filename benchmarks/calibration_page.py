"""The page of the calibration study: its tables, and its plot, from the rows of `benchmarks.calibrate`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bidsdeface.quality.limits import CHECKS, Check

Row = dict[str, Any]
INTRODUCTION = """\
# How the limits were set

**{held}**

`python -m benchmarks.calibrate --docs` makes this page; run it on your own heads. It takes every measure on
good results (real heads and variants of them: other poses, noise, coils, contrasts, slices, fields of view),
on real and synthetic people, and on deliberate failures (the right placement of the template moved, turned,
scaled or mirrored). Real heads: {heads}. All are at 2 mm, the resolution of the checks. People
are split by number: the limits were set without the even-numbered ones. One was set again later:
`guard_to_skin_mm` took the place of a limit by which four synthetic people of this page were held back
wrongly, so they are no test of it.

![Measures of good results and of failures](calibration.png)
"""


def write_page(rows: Sequence[Row], docs: Path | None) -> str:
    """Return the page as Markdown; write it and its plot into a folder where one is given."""
    heads = sorted({row["head"] for row in rows if row["kind"] == "good"})
    page = "\n".join(
        (
            INTRODUCTION.format(heads=", ".join(heads), held=_held_back(rows)),
            "## People\n",
            _people_table(rows),
            "## Each check alone\n",
            _check_table(rows),
            "## Failures\n",
            "On the heads, and on one T1w of each person. *One wrong*: the second registration is right, as "
            "it would be. *Both wrong*: only the head's own brain and outline can show it.\n",
            _failure_table(rows),
            "## A template that ends at the nose\n",
            _template_table(rows),
            "## Good results\n",
            _good_table(rows),
            "## A nose that folded over to the back\n",
            "The part that is found is emptied; *passed* means that at most 1 mL is left in the air.\n",
            _verdict_table([row for row in rows if row["kind"] == "folded"], "beyond the field of view"),
            "## Fields of view that end before the face\n",
            _verdict_table([row for row in rows if row["kind"] == "no-face"], "cut"),
            "## Scans that are no heads, or show no face\n",
            _other_table(rows),
        )
    )
    if docs:
        (docs / "calibration.md").write_text(page, encoding="utf-8")
        _plot(rows, docs / "calibration.png")
    return page


def _half(row: Row) -> str:
    """Return the half of the people that a row belongs to; empty for what is no real person."""
    number = row["head"][1:3]
    if row["kind"] == "synthetic" or " " not in row["head"]:
        return ""
    return "even-numbered, set aside" if int(number) % 2 == 0 else "odd-numbered"


def _held_back(rows: Sequence[Row]) -> str:
    said = []
    for kind, of in (("person", "real people"), ("synthetic", "synthetic people")):
        group = [row for row in rows if row["kind"] == kind]
        held = sum(row["verdict"] == "failed" for row in group)
        said.append(f"{held} of {len(group)} scans of {of}")
    return f"Held back: {' and '.join(said)}."


def _people_table(rows: Sequence[Row]) -> str:
    lines = ["| people | scans | published, or without a face | held back, by |", "|---|--:|--:|---|"]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] in ("person", "synthetic"):
            groups.setdefault(_half(row) or "synthetic", []).append(row)
    for name, group in sorted(groups.items(), reverse=True):
        held = [row for row in group if row["verdict"] == "failed"]
        why = "; ".join(f"{row['head']} ({', '.join(row['faults'])})" for row in held)
        lines.append(f"| {name} | {len(group)} | {len(group) - len(held)} | {why} |")
    return "\n".join(lines) + "\n"


def _is_large(row: Row) -> bool:
    """Tell whether a failure is one that must be caught: all but 10 mm and 10 degrees."""
    return row["kind"] == "failure" and " 10 mm " not in row["name"] and " 10° " not in row["name"]


def _check_table(rows: Sequence[Row]) -> str:
    lines = [
        "| measure | limit | good results: worst, median | failures from 15 mm, 15°: median | caught |",
        "|---|---|---|---|--:|",
    ]
    for check in CHECKS:
        good = _values(rows, check, lambda row: row["kind"] in ("good", "person", "synthetic"))
        bad = _values(rows, check, _is_large)
        if not check.limits or not len(good) or not len(bad):
            continue
        worst = max(good, key=check.limit_used)
        caught = np.mean([check.is_fault(row["measures"]) for row in rows if _is_large(row)])
        lines.append(
            f"| `{check.measure}` | {check.limits} | {worst:.2f}, {np.median(good):.2f} | "
            f"{np.median(bad):.2f} | {caught:.0%} |"
        )
    return "\n".join(lines) + "\n"


def _failure_table(rows: Sequence[Row]) -> str:
    lines = ["| failure | n | caught, one wrong | caught, both wrong alike |", "|---|--:|--:|--:|"]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] in ("failure", "both"):
            words = row["name"].split()
            name = (
                " ".join(words[: 3 if words[0] == "shift" else 2])
                if words[0] in ("shift", "turn")
                else row["name"]
            )
            groups.setdefault(name, []).append(row)
    for name, group in groups.items():
        one, both = ([row for row in group if row["kind"] == kind] for kind in ("failure", "both"))
        caught = [sum(row["verdict"] == "failed" for row in part) for part in (one, both)]
        lines.append(f"| {name} | {len(one)} | {caught[0]} | {caught[1]} |")
    return "\n".join(lines) + "\n"


def _template_table(rows: Sequence[Row]) -> str:
    lines = ["| head | face off by, mm | verdict | why |", "|---|--:|---|---|"]
    for row in rows:
        if row["kind"] == "wrong template":
            why = ", ".join(row["faults"])
            lines.append(f"| {row['head']} | {row['off_mm']:.0f} | {row['verdict']} | {why} |")
    return "\n".join(lines) + "\n"


def _good_table(rows: Sequence[Row]) -> str:
    lines = ["| variant | n | passed | failed, by |", "|---|--:|--:|---|"]
    for name, group in _by_name(row for row in rows if row["kind"] == "good"):
        failed = [
            f"{row['head']} ({', '.join(row['faults'])})" for row in group if row["verdict"] != "passed"
        ]
        lines.append(f"| {name} | {len(group)} | {len(group) - len(failed)} | {'; '.join(failed)} |")
    return "\n".join(lines) + "\n"


def _verdict_table(rows: Sequence[Row], what: str) -> str:
    lines = [f"| {what} | n | verdicts | of those that pass or fail: why |", "|---|--:|---|---|"]
    for name, group in _by_name(rows):
        verdicts = Counter(row["verdict"] for row in group)
        said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        why = "; ".join(
            f"{row['head']} {row['verdict']} ({', '.join(row['faults'])})"
            for row in group
            if row["verdict"] != "no-face" and row["kind"] == "no-face" or row["verdict"] == "passed"
        )
        lines.append(f"| {name} | {len(group)} | {said} | {why} |")
    return "\n".join(lines) + "\n"


def _other_table(rows: Sequence[Row]) -> str:
    lines = ["| scan | verdict | why |", "|---|---|---|"]
    for row in sorted((row for row in rows if row["kind"] == "other"), key=lambda row: row["head"]):
        lines.append(f"| {row['head']} | {row['verdict']} | {', '.join(row['faults'])} |")
    return "\n".join(lines) + "\n"


def _by_name(rows: Iterable[Row]) -> Iterable[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["name"], []).append(row)
    return groups.items()


def _values(rows: Sequence[Row], check: Check, wanted: Callable[[Row], bool]) -> np.ndarray:
    values = [row.get("measures", {}).get(check.measure) for row in rows if wanted(row)]
    return np.array([value for value in values if value is not None and np.isfinite(value)])


def _plot(rows: Sequence[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    checks = [check for check in CHECKS if check.limits]
    figure, axes = pyplot.subplots(-(-len(checks) // 3), 3, figsize=(12, 1.15 * len(checks)), squeeze=False)
    kinds = (
        ("good", lambda row: row["kind"] in ("good", "person", "synthetic"), "tab:blue"),
        ("10 mm, 10°", lambda row: row["kind"] == "failure" and not _is_large(row), "tab:orange"),
        ("15 mm, 15° on", _is_large, "tab:red"),
        ("no head", lambda row: row["kind"] == "other", "tab:gray"),
    )
    random = np.random.default_rng(0)
    for axis, check in zip(axes.flat, checks, strict=False):
        for height, (_, wanted, colour) in enumerate(kinds):
            values = _values(rows, check, wanted)
            axis.plot(
                values, height + random.uniform(-0.3, 0.3, len(values)), ".", color=colour, markersize=3
            )
        for limit in (check.least, check.most):
            if np.isfinite(limit):
                axis.axvline(limit, color="black", linewidth=0.8)
        if check.measure.endswith(("_mm", "_ml")) and check.measure != "brain_ml":
            axis.set_xscale("symlog", linthresh=max(check.most, 0.1))
        axis.set_yticks(range(len(kinds)), [name for name, _, _ in kinds])
        axis.set_title(check.measure, fontsize=10)
    for axis in list(axes.flat)[len(checks) :]:
        axis.set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
