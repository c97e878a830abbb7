"""What a study found, to publish: a table, its description, and a part of a page. Aggregates only."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from html import escape
from typing import Any

from bidsdeface.reidentify.findings import RANKS, Figures, Findings
from bidsdeface.reidentify.ranks import Rate

ATTACKERS = {
    "plain": "looks for a face in the defaced head",
    "informed": "knows how the original was turned and where its eyes and nose were",
    "restoring": "first fills the hole with the template's average face",
    "mask": "has nothing but the published face mask",
}
COLUMNS: dict[str, dict[str, Any]] = {
    "condition": {
        "Description": "Before or after defacing",
        "Levels": {
            "before": "The originals",
            "after": "The published scans",
        },
    },
    "attacker": {"Description": "What the attacker does or knows", "Levels": ATTACKERS},
    "heads": {"Description": "Scans under attack: those with a face in view in the original"},
    "people": {"Description": "People in the gallery among whom each is looked for"},
    "detected": {"Description": "Heads in which a face was detected"},
    **{
        name: entry
        for k in RANKS
        for name, entry in (
            (f"rank{k}", {"Description": f"Heads whose person was among the {k} nearest of the gallery"}),
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
WIDTH, HEIGHT, MARGIN = 560, 300, 45
COLOURS = {
    "before": "#222222",
    **dict(zip(ATTACKERS, ("#1b6ca8", "#c0392b", "#2e8b57", "#8e5ea2"), strict=True)),
}


def table(findings: Findings) -> str:
    """Return ``reidentification.tsv``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    for condition, attacker, figures in _rows(findings):
        row = {
            "condition": condition,
            "attacker": attacker,
            "heads": figures.detected.count,
            "people": findings.people,
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


def description(findings: Findings) -> dict[str, Any]:
    """Return ``reidentification.json``: what the columns mean, and how the study was done."""
    study = {
        "Description": "Face recognition on renderings of the scans, before and after defacing",
        "Recogniser": "dlib: CNN detector (score above 0.5), 5 landmarks, ResNet of 128 numbers",
        "GalleryPeople": findings.people,
        "GallerySynthetic": findings.synthetic,
        "HeadsWithoutFaceInView": findings.faceless,
        "Underpowered": findings.underpowered,
        "Ties": "Count against power before defacing, and against privacy after it",
    }
    return {"Study": study, **COLUMNS}


def section(findings: Findings) -> str:
    """Return the study as a part of an HTML page: verdict, table, curves; nothing from elsewhere."""
    rows = "\n".join(_table_row(*row) for row in _rows(findings))
    heads = findings.before.detected.count
    meanings = "".join(f"<li><b>{name}</b> {escape(text)}</li>" for name, text in ATTACKERS.items())
    return f"""\
<h2>Re-identification</h2>
<p>{escape(verdict(findings))}</p>
<table>
<tr><th></th><th>attacker</th><th>face detected</th>{_rank_headings()}<th>AUC</th></tr>
{rows}
</table>
<p>Each of {heads} heads was looked for among {findings.people} people, {findings.synthetic} of them
synthetic. In brackets: exact 95 % intervals. Left out: {findings.faceless} heads with no face in view.
Both pictures of a person come from MRI, not from a camera: figures before defacing flatter the attacker, and
are not to be compared with those of studies with photographs.</p>
<ul>{meanings}</ul>
{_curves(findings)}"""


def verdict(findings: Findings) -> str:
    """Return in a sentence what the study allows to say."""
    if findings.underpowered:
        first = findings.before.ranks[1]
        return (
            f"Underpowered: of the originals {first.hits} of {first.count} were recognised, too few for the "
            "figures after defacing to mean anything."
        )
    found = [name for name, figures in findings.after.items() if figures.reidentifiable]
    if found:
        return f"People are still recognised more often than by guessing; attacker: {', '.join(found)}."
    return "No attacker recognised people more often than guessing would, as far as so many heads can tell."


def _rows(findings: Findings) -> Iterator[tuple[str, str, Figures]]:
    yield "before", "plain", findings.before
    for attacker, figures in findings.after.items():
        yield "after", attacker, figures


def _rank_headings() -> str:
    return "".join(f"<th>rank {k}</th><th>chance</th>" for k in RANKS)


def _table_row(condition: str, attacker: str, figures: Figures) -> str:
    cells = [condition, attacker, f"{figures.detected.hits} of {figures.detected.count}"]
    for found in figures.ranks.values():
        cells += [_rate(found), _percent(found.chance)]
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
    parts = [_line(chance, people, "#999999", dashed=True)]
    parts += [_line(curve, people, COLOURS[name]) for name, curve in lines]
    for number, name in enumerate([*(name for name, _ in lines), "chance"]):
        colour = COLOURS.get(name, "#999999")
        parts.append(f'<text x="{WIDTH - 90}" y="{HEIGHT - 160 + 18 * number}" fill="{colour}">{name}</text>')
    for share in (0.0, 0.5, 1.0):
        parts.append(f'<text x="8" y="{_y(share) + 4:.0f}">{share:.1f}</text>')
    parts += [
        f'<text x="{MARGIN}" y="{HEIGHT - 8}">1</text>',
        f'<text x="{WIDTH - 110}" y="{HEIGHT - 8}" text-anchor="end">{people}</text>',
        f'<text x="{WIDTH / 2 - 60}" y="{HEIGHT - 8}" text-anchor="middle">among the nearest … people</text>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'font-family="sans-serif" font-size="13">{"".join(parts)}</svg>'
    )


def _line(curve: tuple[float, ...], people: int, colour: str, dashed: bool = False) -> str:
    width = WIDTH - 110 - MARGIN
    points = [
        f"{MARGIN + width * k / (people - 1):.1f},{_y(share):.1f}"
        for k, share in enumerate(curve)
        if share == share
    ]
    dashes = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'


def _y(share: float) -> float:
    return HEIGHT - MARGIN + 10 - (HEIGHT - MARGIN - 10) * share
