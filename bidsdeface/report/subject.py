"""The page of one participant: every published scan with its picture, verdict, measures and provenance."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from bidsdeface.output.publish import publish_texts, remove_files
from bidsdeface.output.record import Published
from bidsdeface.quality.limits import CHECKS, Check, bids_name
from bidsdeface.report.page import page
from bidsdeface.report.quality import COLUMNS, ScanRow, percent, picture_of, scan_row
from bidsdeface.report.strip import limits_in_words, number


def write_pages(output_dir: Path, scans: Sequence[Published], subjects: Collection[str] = ("*",)) -> None:
    """Write ``sub-XX.html`` of a derivative dataset; remove pages of participants without published scans.

    Parameters
    ----------
    output_dir : pathlib.Path
    scans : sequence of Published
        All published scans of these participants.
    subjects : collection of str, optional
        Their labels without ``sub-``; all of the dataset by default.

    Raises
    ------
    BidsdefaceError
        A page cannot be written or removed.
    """
    by_subject: dict[str, list[Published]] = defaultdict(list)
    for scan in scans:
        by_subject[scan.image.parts[0]].append(scan)
    pages = {PurePath(f"{name}.html"): subject_page(name, some) for name, some in by_subject.items()}
    publish_texts(output_dir, pages)
    there = (path for label in subjects for path in output_dir.glob(f"sub-{label}.html"))
    ours = {PurePath(path.name) for path in there if _is_ours(path)}
    remove_files(output_dir, sorted(ours - pages.keys()))


def _is_ours(path: Path) -> bool:
    """Return True if this program wrote a page: others are left alone."""
    return path.is_file() and b'<meta name="generator" content="bidsdeface ' in path.read_bytes()


def subject_page(name: str, scans: Sequence[Published]) -> str:
    """Return the page of a participant, who is named as ``sub-XX``."""
    return page("subject.html", title=name, scans=[_shown(scan) for scan in scans])


def _shown(scan: Published) -> dict[str, Any]:
    row: ScanRow = scan_row(scan, picture_of)
    record = {"Image": scan.image, "Original": scan.original, **scan.record}
    return {
        "row": row,
        "meaning": COLUMNS["Verdict"]["Levels"].get(row.verdict, ""),
        "measures": [_measure(check, row.measures) for check in CHECKS if check.measure in row.measures],
        "record": {
            key: ", ".join(map(str, value)) if isinstance(value, list) else value
            for key, value in record.items()
            if key not in ("Measures", "Verdict") and value not in (None, [])
        },
    }


def _measure(check: Check, measures: Mapping[str, float]) -> dict[str, Any]:
    return {
        "name": bids_name(check.measure),
        "value": number(measures[check.measure]),
        "limits": limits_in_words(check),
        "judgement": _judgement(check, measures),
        "is_fault": check.is_fault(measures),
        "description": check.description,
    }


def _judgement(check: Check, measures: Mapping[str, float]) -> str:
    """Return what a value meant for the verdict."""
    value = measures[check.measure]
    if check.of_trust:
        return "trusted" if check.is_met(value) else "not trusted"
    if not check.limits:
        return ""
    return percent(check.limit_used(value)) if check.decides(measures) else "not judged"
