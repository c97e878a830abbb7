"""The published results of a study, aggregates only: a table, its description, and what the report shows."""

from collections.abc import Iterator
from typing import Any

from bidsdeface.reidentify.attack import CANDIDATES, SWAP
from bidsdeface.reidentify.findings import RANKS, Audit, Figures, Findings, Rate, verdict
from bidsdeface.report.page import tsv

ATTACKERS = {
    "plain": "looks for a face in the defaced head",
    "informed": "knows how the original was turned and where its eyes and nose were",
    "restoring": "first empties the mask and fills it with the template's average face",
    "mask": "has nothing but the published face mask",
    "swap": f"puts the faces of {CANDIDATES} candidates, the right one among them, in the published head, "
    "defaces it again, and looks which leads to what is published; where several do, draws lots",
}
TIES = "ties count against power before, against privacy after"
COLUMNS: dict[str, dict[str, Any]] = {
    "condition": {
        "Description": "Before or after defacing",
        "Levels": {
            "before": "The originals",
            "after": "The defaced scans, with those that were withdrawn for what was found here",
            "left": "The defaced scans without those; chosen by these attacks, so no measure of the method",
        },
    },
    "attacker": {"Description": "What the attacker does or knows", "Levels": ATTACKERS},
    "heads": {"Description": "Scans under attack: those with a face in view in the original"},
    "people": {"Description": "People in the gallery among whom each is looked for"},
    "synthetic": {"Description": "How many of them do not exist"},
    "faceless": {"Description": "Scans left out, as no face was seen in the original or its gallery picture"},
    "withdrawn": {"Description": "Scans withdrawn for what was found here"},
    "underpowered": {
        "Description": "Whether too few originals were recognised for the figures after to mean anything",
        "Levels": {"yes": "They mean nothing", "no": "They mean something"},
    },
    "detected": {"Description": "Heads in which dlib's CNN detected a face (score above 0.5)"},
    **{
        name: entry
        for k in RANKS
        for name, entry in (
            (
                f"rank{k}",
                {"Description": f"Heads whose person was among the {k} nearest of the gallery; {TIES}"},
            ),
            (f"rank{k}_rate", {"Description": f"rank{k} as a share of heads"}),
            (f"rank{k}_low", {"Description": "Lower end of its exact 95 % interval (Clopper-Pearson)"}),
            (f"rank{k}_high", {"Description": "Upper end of that interval"}),
            (
                f"rank{k}_cluster_low",
                {"Description": "Lower end of its 95 % interval, bootstrap of people"},
            ),
            (f"rank{k}_cluster_high", {"Description": "Upper end of that interval"}),
            (f"rank{k}_chance", {"Description": f"rank{k}_rate of somebody who guesses"}),
        )
    },
    "auc": {"Description": "How often a head is nearer to its own person than to another; chance is 0.5"},
}
WHOLE, PART = "all defaced scans", "some participants or sessions, not the whole dataset"
AXES = "share of heads found among the nearest … people"
WIDTH, HEIGHT, MARGIN = 560, 300, 45
RIGHT = WIDTH - 110  # end of the curves; names stand beyond
COLOURS = {
    "before": "#222",
    "chance": "dimgray",
    **dict(zip(ATTACKERS, ("#1b6ca8", "#c0392b", "#2e8b57", "#8e5ea2", "#b8860b"), strict=True)),
}


def table(audit: Audit) -> str:
    """Return ``reidentification.tsv``."""
    findings = audit.findings
    common = {
        "people": findings.people,
        "synthetic": findings.synthetic,
        "faceless": findings.faceless,
        "withdrawn": audit.withdrawn,
        "underpowered": "yes" if findings.underpowered else "no",
    }
    rows = [
        {
            **common,
            "condition": condition,
            "attacker": attacker,
            "heads": figures.detected.count,
            "detected": figures.detected.hits,
            "auc": _number(figures.auc),
            **{name: value for k, rate in figures.ranks.items() for name, value in _rank_columns(k, rate)},
        }
        for condition, attacker, figures in _rows(audit)
    ]
    return tsv(COLUMNS, rows)


def _rank_columns(k: int, rate: Rate) -> Iterator[tuple[str, Any]]:
    yield f"rank{k}", rate.hits
    names = ("rate", "low", "high", "cluster_low", "cluster_high", "chance")
    for name, value in zip(names, (rate.value, *rate.exact, *rate.clustered, rate.chance), strict=True):
        yield f"rank{k}_{name}", _number(value)


def description(audit: Audit) -> dict[str, Any]:
    """Return ``reidentification.json``, which describes the columns."""
    heads = f"{COLUMNS['heads']['Description']}; of {WHOLE if audit.whole else PART}"
    return {**COLUMNS, "heads": {"Description": heads}}


def content(audit: Audit) -> dict[str, Any]:
    """Return what the report shows of the study: conclusion, table and curves."""
    findings = audit.findings
    return {
        "verdict": verdict(findings),
        "part": "" if audit.whole else PART,
        "withdrawn": audit.withdrawn,
        "ranks": RANKS,
        "rows": [_cells(*row) for row in _rows(audit)],
        "heads": findings.before.detected.count,
        "people": findings.people,
        "synthetic": findings.synthetic,
        "faceless": findings.faceless,
        "attackers": [(name, meaning) for name, meaning in ATTACKERS.items() if name in findings.after],
        **_curves(findings),
    }


def _rows(audit: Audit) -> Iterator[tuple[str, str, Figures]]:
    yield "before", "plain", audit.findings.before
    for condition, findings in (("after", audit.findings), ("left", audit.left)):
        for attacker, figures in findings.after.items() if findings else ():
            yield condition, attacker, figures


def _cells(condition: str, attacker: str, figures: Figures) -> list[str]:
    cells = [condition, attacker, f"{figures.detected.hits} of {figures.detected.count}"]
    for rate in figures.ranks.values():
        low, high = (_percent(end) for end in rate.exact)
        cells.append(f"{rate.hits} of {rate.count}: {_percent(rate.value)} ({low} – {high})")
        cells.append(f"{100 * rate.chance:.3g} %")
    return [*cells, f"{figures.auc:.2f}"]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == share else "n/a"


def _number(value: float) -> str:
    return f"{value:.4f}" if value == value else "n/a"


def _curves(findings: Findings) -> dict[str, Any]:
    """Return the cumulative match curves: rank in the gallery on x, share of heads on y, in pixels."""
    people = max(findings.people, 2)
    curves = {"before": findings.before.curve, **{name: f.curve for name, f in findings.after.items()}}
    curves.pop(SWAP, None)  # who has other candidates
    names = (*curves, "chance")
    lines = [_line(tuple(k / people for k in range(1, people + 1)), people, "chance", dashed=True)]
    lines += [_line(curve, people, name, 5 if name == "before" else 2) for name, curve in curves.items()]
    texts = [
        *(_text(WIDTH - 90, HEIGHT - 160 + 18 * k, name, COLOURS[name]) for k, name in enumerate(names)),
        *(_text(8, round(_y(share) + 4), f"{share:.1f}") for share in (0.0, 0.5, 1.0)),
        _text(MARGIN, HEIGHT - 8, "1"),
        _text(RIGHT, HEIGHT - 8, people, align="end"),
        _text((MARGIN + RIGHT) / 2, HEIGHT - 8, AXES, align="middle"),
    ]
    return {"lines": lines, "texts": texts, "width": WIDTH, "height": HEIGHT}


def _text(x: float, y: float, text: object, colour: str = "#222", align: str = "start") -> dict[str, Any]:
    return {"x": x, "y": y, "text": text, "colour": colour, "align": align}


def _line(
    curve: tuple[float, ...], people: int, name: str, thick: int = 2, dashed: bool = False
) -> dict[str, Any]:
    points = " ".join(
        f"{MARGIN + (RIGHT - MARGIN) * k / (people - 1):.1f},{_y(share):.1f}"
        for k, share in enumerate(curve)
        if share == share
    )
    return {"points": points, "colour": COLOURS[name], "thick": thick, "dashed": dashed}


def _y(share: float) -> float:
    return HEIGHT - MARGIN + 10 - (HEIGHT - MARGIN - 10) * share
