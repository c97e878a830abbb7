"""The quality of every published scan: a table, its description, and what the report shows, worst first."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bidsdeface import __version__
from bidsdeface.dataset.names import scan_at, stem_of, suffix_of
from bidsdeface.output.names import FIGURES, figure_name
from bidsdeface.output.record import Published
from bidsdeface.quality.limits import CHECKS, EMPTIED, Check, bids_name, nearest_to_limit
from bidsdeface.report.page import tsv
from bidsdeface.report.references import References
from bidsdeface.report.strip import draw_strip, limits_in_words, number

UNITS = {"mm": "mm", "ml": "mL"}
LIMITED = tuple(check for check in CHECKS if check.limits)


def _column(check: Check) -> dict[str, str]:
    unit = UNITS.get(check.measure.rpartition("_")[2])
    limits = f"; {limits_in_words(check)}" if check.limits else ""
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


@dataclass(frozen=True)
class ScanRow:
    """What the report shows of a scan.

    Attributes
    ----------
    name, anchor : str
        Its stem without ``desc-``, and the target of links to its line.
    picture : str
        Where its figure is, relative to the page; empty if there is none.
    verdict, suffix, participant : str
    nearest, worst : str
        The measure that is nearest to its limit, and its value and limit in words; empty if nothing was
        measured.
    limit_used : float
        How far that measure is on the way to its limit; 0 if nothing was measured.
    is_beyond : bool
        Whether it is beyond its limit.
    came_defaced : bool
        Whether somebody had defaced it before.
    measures : mapping of str to float
        All of them, by their names in `CHECKS`.
    """

    name: str
    anchor: str
    picture: str
    verdict: str
    suffix: str
    participant: str
    nearest: str
    worst: str
    limit_used: float
    is_beyond: bool
    came_defaced: bool
    measures: Mapping[str, float]


def picture_of(scan: Published, folder: Path, *, is_complete: bool = False) -> str:
    """Return where the figure of a scan is, relative to the folder of the pages; empty if there is none.

    Figures of a complete dataset are in the work dir, in one folder for all participants.
    """
    name = f"{scan.image.parts[0]}/{FIGURES}/{stem_of(scan.image)}.png"
    if is_complete:
        name = f"{FIGURES}/{figure_name(scan_at(Path(scan.image)), no_face=not scan.is_defaced)}"
    return name if (folder / name).is_file() else ""


def table(scans: Sequence[Published]) -> str:
    """Return ``quality.tsv``."""
    return tsv(COLUMNS, [{name: row[name] for name in COLUMNS if name in row} for row in map(_row, scans)])


def is_out_of_date(folder: Path, scans: Sequence[Published], subjects: Collection[str]) -> bool:
    """Return True if there is a ``quality.tsv`` that says something else of some participants.

    Parameters
    ----------
    folder : pathlib.Path
        Where it is.
    scans : sequence of Published
        All published scans of these participants.
    subjects : collection of str
        Their labels without ``sub-``.
    """
    path = folder / "quality.tsv"
    if not path.is_file():
        return False
    heading, *rows = path.read_text(encoding="utf-8").splitlines()
    names = {f"sub-{label}" for label in subjects}
    said = {heading, *(row for row in rows if row.partition("/")[0] in names)}
    return said != set(table(scans).splitlines())


def content(scans: Sequence[Published], picture: Callable[[Published], str]) -> dict[str, Any]:
    """Return what the report shows of the quality of a dataset.

    Parameters
    ----------
    scans : sequence of Published
    picture : callable
        Returns where the figure of a scan is, relative to the page; empty for none.
    """
    counts = Counter(str(scan.record["Verdict"]) for scan in scans)
    rows = [scan_row(scan, picture) for scan in scans]
    settings = _settings(scans)
    worst_first = sorted(rows, key=lambda row: row.limit_used, reverse=True)
    return {
        "scans": worst_first,
        "people": len({scan.participant for scan in worst_first}),
        "pictures": any(scan.picture for scan in worst_first),
        "counts": counts,
        "verdicts": [
            {"count": counts[name], "name": name, "meaning": meaning}
            for name, meaning in COLUMNS["Verdict"]["Levels"].items()
            if counts[name]
        ],
        "measures": {bids_name(check.measure): _column_of(check, worst_first) for check in LIMITED},
        "strips": [strip for check in LIMITED if (strip := draw_strip(check, worst_first))],
        "summary": [_summary(check, worst_first) for check in CHECKS],
        "settings": list(settings.items()),
        "cite": References(" and ".join(settings.get("Version", [__version__]))),
    }


def _settings(scans: Sequence[Published]) -> dict[str, list[str]]:
    """Return versions and settings of the runs that made the results."""
    rows = list(map(_row, scans))
    values = {
        name: sorted({str(row[name]) for row in rows if name in row})
        for name in ("Version", "Template", "Method", "Regions", "GuardMM")
    }
    return {name: some for name, some in values.items() if some}


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


def scan_row(scan: Published, picture: Callable[[Published], str]) -> ScanRow:
    """Return what the pages show of a scan; for `picture` see `content`."""
    measures = _measures(scan)
    nearest = nearest_to_limit(measures)
    return ScanRow(
        scan.stem,
        f"scan-{scan.stem}",
        picture(scan),
        str(scan.record["Verdict"]),
        suffix_of(scan.image),
        scan.image.parts[0],
        bids_name(nearest.measure) if nearest else "",
        worst_in_words(measures),
        nearest.limit_used(measures[nearest.measure]) if nearest else 0.0,
        bool(nearest and nearest.is_fault(measures)),
        measures.get("emptied_share", 0.0) >= EMPTIED,
        measures,
    )


def _column_of(check: Check, scans: Sequence[ScanRow]) -> dict[str, list[Any]]:
    """Return a measure of all scans, as the page shows it when it is asked for, and which are beyond."""
    return {
        "values": [number(scan.measures.get(check.measure)) for scan in scans],
        "beyond": [place for place, scan in enumerate(scans) if check.is_fault(scan.measures)],
    }


def _summary(check: Check, scans: Sequence[ScanRow]) -> dict[str, str]:
    measured = (scan.measures.get(check.measure, math.nan) for scan in scans)
    values = [value for value in measured if math.isfinite(value)]
    return {
        "name": bids_name(check.measure),
        "median": number(statistics.median(values)) if values else "n/a",
        "range": f"{number(min(values))} to {number(max(values))}" if values else "n/a",
        "limits": limits_in_words(check),
        "description": check.description,
    }


def worst_in_words(measures: Mapping[str, float]) -> str:
    """Return the measure nearest to its limit, such as "Similarity 0.60 (must be at least 0.25)".

    Empty if nothing was measured that has a limit.
    """
    if (check := nearest_to_limit(measures)) is None:
        return ""
    value = measures[check.measure]
    said = f"{number(value)} (must be {check.limits})" if math.isfinite(value) else "could not be measured"
    others = sum(one.is_fault(measures) for one in CHECKS) - 1
    more = (
        f", and {others} more beyond {'its limit' if others == 1 else 'their limits'}" if others > 0 else ""
    )
    return f"{bids_name(check.measure)} {said}{more}"


def measure_row(check: Check, measures: Mapping[str, float]) -> dict[str, Any]:
    """Return what the table of a scan's measures shows of one of them."""
    value = measures[check.measure]
    return {
        "name": bids_name(check.measure),
        "value": number(value),
        "limits": _judgement(check, value, decides=check.decides(measures)),
        "is_fault": check.is_fault(measures),
        "description": check.description,
    }


def _judgement(check: Check, value: float, *, decides: bool) -> str:
    """Return what a measure must be, and what its value meant for the verdict."""
    if check.of_trust:
        return f"{check.limits}: {'trusted' if check.is_met(value) else 'not trusted'}"
    if not check.limits:
        return ""
    if not decides:
        return "not judged"
    return check.limits if check.is_met(value) else f"{check.limits}: not met"
