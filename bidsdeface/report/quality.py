"""The quality of every published scan: a table, its description, and a section of the report, worst first."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from bidsdeface.dataset.names import stem_of
from bidsdeface.output.record import Published
from bidsdeface.quality.limits import CHECKS, Check, bids_name, limit_used
from bidsdeface.report.page import tsv

UNITS = {"mm": "mm", "ml": "mL"}
LIMITED = tuple(check for check in CHECKS if check.limits)


def _column(check: Check) -> dict[str, str]:
    unit = UNITS.get(check.measure.rpartition("_")[2])
    limits = f"; published if {check.limits}" if check.limits else ""
    return {"Description": check.description + limits, **({"Units": unit} if unit else {})}


# The columns of quality.tsv, as quality.json describes them.
COLUMNS: dict[str, dict[str, Any]] = {
    "scan": {"Description": "Path of the published image, relative to the dataset"},
    "Verdict": {
        "Description": "What the checks concluded",
        "Levels": {
            "passed": "Published on evidence",
            "no-face": "Published as it is, on evidence that it shows no face",
            "accepted": "Published because a person has looked, though measures are beyond their limits",
            "by hand": "Published with a mask that a person drew and answers for",
        },
    },
    "Template": {"Description": "Template whose face mask was used"},
    "Method": {"Description": "What took the place of the face"},
    "Regions": {"Description": "What was taken for the face, separated by commas"},
    "GuardMM": {"Description": "Margin around the brain that is never touched", "Units": "mm"},
    "MaskSource": {"Description": "Where the mask comes from: the template, or a person's hand"},
    "Reference": {"Description": "Scan of this head that was registered to the template"},
    "MaskOf": {
        "Description": "Scan whose mask and measures these are, where an image cannot be judged itself"
    },
    "Accepted": {"Description": "Measures beyond their limits, which a person has accepted"},
    "Evidence": {"Description": "How it is certain that the image shows no face"},
    **{bids_name(check.measure): _column(check) for check in CHECKS},
}


def table(scans: Sequence[Published]) -> str:
    """Return ``quality.tsv``."""
    return tsv(COLUMNS, [{name: row[name] for name in COLUMNS if name in row} for row in map(_row, scans)])


def section(scans: Sequence[Published], pictures: bool) -> str:
    """Return the quality of a dataset as a section of an HTML page.

    Parameters
    ----------
    scans : sequence of Published
    pictures : bool
        Whether the page is part of the dataset, so that the names of scans can link to its pictures.
    """
    counts = Counter(scan.record["Verdict"] for scan in scans)
    verdicts = "".join(
        f"<li><b>{counts[verdict]} {escape(verdict)}</b>: {escape(meaning)}</li>"
        for verdict, meaning in COLUMNS["Verdict"]["Levels"].items()
        if counts[verdict]
    )
    worst_first = sorted(scans, key=_strain, reverse=True)
    rows = "\n".join(_scan_row(scan, pictures) for scan in worst_first)
    headings = "".join(f'<th class="number">{_spaced(bids_name(check.measure))}</th>' for check in LIMITED)
    limits = "\n".join(_limit_row(check, scans) for check in CHECKS)
    return f"""\
<h2>Quality</h2>
<p>{len(scans)} published scans. What failed is not among them: it is named in the log alone.</p>
<ul>{verdicts}</ul>
<p>{_made_with(scans)}</p>
<p>Worst first. <i>Strain</i> is how far the worst measure of a scan is on the way from its best value (0 %)
to its limit (100 %); marked is what is beyond a limit, which a person has accepted.</p>
<div class="wide"><table class="dense">
<thead><tr><th>Scan</th><th>Verdict</th><th class="number">Strain</th>{headings}</tr></thead>
{rows}
</table></div>
<h3>What was measured</h3>
<div class="wide"><table>
<thead><tr><th>Measure</th><th>Median</th><th>Range</th><th>Published if</th><th></th></tr></thead>
{limits}
</table></div>"""


def _made_with(scans: Sequence[Published]) -> str:
    """Return version and settings of the runs that made the results, in words."""
    rows = list(map(_row, scans))
    values = {
        name: sorted({str(row[name]) for row in rows if name in row})
        for name in ("Version", "Template", "Method", "Regions", "GuardMM")
    }
    return escape("; ".join(f"{name} {' and '.join(some)}" for name, some in values.items() if some))


def _row(scan: Published) -> dict[str, Any]:
    """Return what the sidecar records of a scan, without empty values."""
    record = scan.record
    lists = {name: ",".join(record.get(name, [])) for name in ("Regions", "Accepted")}
    values = {**record, **record["Measures"], **lists, "scan": scan.image}
    return {name: value for name, value in values.items() if value not in (None, "")}


def _measures(scan: Published) -> dict[str, float]:
    """Return the measures by their names in `CHECKS`; NaN for those that could not be taken."""
    stored = scan.record["Measures"]
    named = {check.measure: bids_name(check.measure) for check in CHECKS}
    return {
        measure: math.nan if stored[name] is None else float(stored[name])
        for measure, name in named.items()
        if name in stored
    }


def _strain(scan: Published) -> float:
    """Return the strain; 0 for a scan without measures."""
    measures = _measures(scan)
    return limit_used(measures) if measures else 0.0


def _scan_row(scan: Published, pictures: bool) -> str:
    measures, strain, name = _measures(scan), _strain(scan), stem_of(scan.image)
    shown = escape(re.sub("_desc-(defaced|noface)", "", name))
    if pictures:
        figure = PurePosixPath(scan.image.parts[0], "figures", f"{name}.png")
        shown = f'<a href="{escape(str(figure))}">{shown}</a>'
    cells = "".join(
        f'<td class="number{" beyond" if check.is_fault(measures) else ""}">'
        f"{_number(measures.get(check.measure))}</td>"
        for check in LIMITED
    )
    percent = "–" if not measures else f"{100 * strain:.0f} %" if math.isfinite(strain) else "n/a"
    verdict = escape(str(scan.record["Verdict"]))
    return f'<tr><th>{shown}</th><td>{verdict}</td><td class="number">{percent}</td>{cells}</tr>'


def _limit_row(check: Check, scans: Sequence[Published]) -> str:
    measured = [_measures(scan).get(check.measure, math.nan) for scan in scans]
    values = [value for value in measured if math.isfinite(value)] or [math.nan]
    ends = f"{_number(min(values))} to {_number(max(values))}" if math.isfinite(values[0]) else "n/a"
    return (
        f"<tr><th>{bids_name(check.measure)}</th><td>{_number(float(np.median(values)))}</td><td>{ends}</td>"
        f"<td>{escape(check.limits)}</td><td>{escape(check.description)}</td></tr>"
    )


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "n/a"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _spaced(name: str) -> str:
    """Let a browser break a name of several words."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "<wbr/>", name)
