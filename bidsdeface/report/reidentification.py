"""What a study found, to publish: a table, its description, and a part of a page. Aggregates only."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from html import escape
from typing import Any

from bidsdeface.reidentify.findings import RANKS, Audit, Figures, Findings, verdict
from bidsdeface.reidentify.ranks import Rate

ATTACKERS = {
    "plain": "looks for a face in the defaced head",
    "informed": "knows how the original was turned and where its eyes and nose were",
    "restoring": "first fills the hole with the template's average face",
    "mask": "has nothing but the published face mask",
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
COLOURS = {
    "before": "#222",
    **dict(zip(ATTACKERS, ("#1b6ca8", "#c0392b", "#2e8b57", "#8e5ea2"), strict=True)),
}


def table(audit: Audit) -> str:
    """Return ``reidentification.tsv``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    for condition, attacker, figures in _rows(audit):
        row = {
            "condition": condition,
            "attacker": attacker,
            "heads": figures.detected.count,
            "people": audit.findings.people,
            "synthetic": audit.findings.synthetic,
            "faceless": audit.findings.faceless,
            "withdrawn": audit.withdrawn,
            "underpowered": "yes" if audit.findings.underpowered else "no",
            "detected": figures.detected.hits,
            "auc": _number(figures.auc),
        }
        for k, found in figures.ranks.items():
            values = (found.value, *found.exact, *found.clustered, found.chance)
            names = ("rate", "low", "high", "cluster_low", "cluster_high", "chance")
            row[f"rank{k}"] = found.hits
            row |= {f"rank{k}_{name}": _number(value) for name, value in zip(names, values, strict=True)}
        writer.writerow(row)
    return text.getvalue()


def description(audit: Audit) -> dict[str, Any]:
    """Return ``reidentification.json``: what the columns mean."""
    heads = f"{COLUMNS['heads']['Description']}; of {WHOLE if audit.whole else PART}"
    return {**COLUMNS, "heads": {"Description": heads}}


def section(audit: Audit) -> str:
    """Return the study as a part of an HTML page: verdict, table, curves; nothing from elsewhere."""
    findings = audit.findings
    rows = "\n".join(_table_row(*row) for row in _rows(audit))
    heads = findings.before.detected.count
    meanings = "".join(f"<li><b>{name}</b> {escape(text)}</li>" for name, text in ATTACKERS.items())
    return f"""\
<h2>Re-identification</h2>
<p><b>{escape(verdict(findings))}</b> {"" if audit.whole else f"Under attack: {PART}."}</p>
{_withdrawn(audit)}
<table>
<thead><tr><th></th><th>attacker</th><th>face detected</th>{_rank_headings()}<th>AUC</th></tr></thead>
{rows}
</table>
<p>Each of {heads} heads was looked for among {findings.people} people, {findings.synthetic} of them
synthetic. In brackets: exact 95 % intervals. Left out: {findings.faceless} heads with no face in view.
Both pictures of a person come from MRI, not from a camera: figures before defacing flatter the attacker, and
are not to be compared with those of studies with photographs.</p>
<ul>{meanings}</ul>
{_curves(findings)}"""


def _withdrawn(audit: Audit) -> str:
    if not audit.withdrawn:
        return ""
    return (
        f"<p>{audit.withdrawn} scans whose person came first for an attacker were withdrawn. They are "
        "counted <i>after</i> defacing, and are not published any more; <i>left</i> is without them. What is "
        "left was chosen by these very attacks, so it does not say how good the defacing is.</p>"
    )


def _rows(audit: Audit) -> Iterator[tuple[str, str, Figures]]:
    yield "before", "plain", audit.findings.before
    for condition, findings in (("after", audit.findings), ("left", audit.left)):
        for attacker, figures in findings.after.items() if findings else ():
            yield condition, attacker, figures


def _rank_headings() -> str:
    return "".join(f"<th>rank {k}</th><th>chance</th>" for k in RANKS)


def _table_row(condition: str, attacker: str, figures: Figures) -> str:
    cells = [condition, attacker, f"{figures.detected.hits} of {figures.detected.count}"]
    for found in figures.ranks.values():
        cells += [_rate(found), f"{100 * found.chance:.3g} %"]
    cells.append(f"{figures.auc:.2f}")
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _rate(found: Rate) -> str:
    low, high = (_percent(end) for end in found.exact)
    return f"{found.hits} of {found.count}: {_percent(found.value)} ({low} – {high})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == share else "n/a"


def _number(value: float) -> str:
    return f"{value:.4f}" if value == value else "n/a"


def _curves(findings: Findings) -> str:
    """Return the cumulative match curves as SVG: places in the gallery across, share of heads up."""
    people = max(findings.people, 2)
    lines = [("before", findings.before.curve), *((n, f.curve) for n, f in findings.after.items())]
    chance = tuple(k / people for k in range(1, people + 1))
    parts = [_line(chance, people, "#999", dashed=True)]
    parts += [_line(curve, people, COLOURS[name], 5 if name == "before" else 2) for name, curve in lines]
    for number, name in enumerate([*(name for name, _ in lines), "chance"]):
        colour = COLOURS.get(name, "#999")
        parts.append(f'<text x="{WIDTH - 90}" y="{HEIGHT - 160 + 18 * number}" fill="{colour}">{name}</text>')
    for share in (0.0, 0.5, 1.0):
        parts.append(f'<text x="8" y="{_y(share) + 4:.0f}">{share:.1f}</text>')
    parts += [
        f'<text x="{MARGIN}" y="{HEIGHT - 8}">1</text>',
        f'<text x="{WIDTH - 110}" y="{HEIGHT - 8}" text-anchor="end">{people}</text>',
        f'<text x="{(MARGIN + WIDTH - 110) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{AXES}</text>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'font-family="sans-serif" font-size="13">{"".join(parts)}</svg>'
    )


def _line(curve: tuple[float, ...], people: int, colour: str, thick: int = 2, dashed: bool = False) -> str:
    width = WIDTH - 110 - MARGIN
    points = [
        f"{MARGIN + width * k / (people - 1):.1f},{_y(share):.1f}"
        for k, share in enumerate(curve)
        if share == share
    ]
    dashes = ' stroke-dasharray="4 4"' if dashed else ""
    look = f'fill="none" stroke="{colour}" stroke-width="{thick}"{dashes}'
    return f'<polyline points="{" ".join(points)}" {look}/>'


def _y(share: float) -> float:
    return HEIGHT - MARGIN + 10 - (HEIGHT - MARGIN - 10) * share
