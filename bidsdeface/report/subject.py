"""The page of one participant: every published scan with its picture, verdict, measures and provenance."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from bidsdeface.output.publish import publish_texts, remove_files
from bidsdeface.output.record import Published
from bidsdeface.output.request import Request
from bidsdeface.quality.limits import CHECKS
from bidsdeface.report.page import page
from bidsdeface.report.quality import COLUMNS, ScanRow, measure_row, picture_of, scan_row
from bidsdeface.runtime.scratch import make_private
from bidsdeface.runtime.workdir import COMPLETE, State


def folder_of_pages(request: Request, state: State | None) -> Path | None:
    """Return where pages go: into a derivative; of a complete dataset, to the work dir, if there is one."""
    if not request.is_complete:
        return request.output_dir
    return make_private(state.folder_for(COMPLETE, request.output_dir)) if state else None


def write_pages(
    folder: Path,
    scans: Sequence[Published],
    subjects: Collection[str] = ("*",),
    *,
    is_complete: bool = False,
) -> None:
    """Write ``sub-XX.html``; remove pages of participants without published scans.

    Parameters
    ----------
    folder : pathlib.Path
        From `folder_of_pages`.
    scans : sequence of Published
        All published scans of these participants.
    subjects : collection of str, optional
        Their labels without ``sub-``; all of the dataset by default.
    is_complete : bool, optional
        Whether these are scans of a complete dataset.

    Raises
    ------
    BidsdefaceError
        A page cannot be written or removed.
    """
    by_subject: dict[str, list[Published]] = defaultdict(list)
    for scan in scans:
        by_subject[scan.image.parts[0]].append(scan)
    picture = partial(picture_of, folder=folder, is_complete=is_complete)
    pages = {PurePath(f"{name}.html"): subject_page(name, some, picture) for name, some in by_subject.items()}
    publish_texts(folder, pages)
    there = (path for label in subjects for path in folder.glob(f"sub-{label}.html"))
    ours = {PurePath(path.name) for path in there if _is_ours(path)}
    remove_files(folder, sorted(ours - pages.keys()))


def _is_ours(path: Path) -> bool:
    """Return True if this program wrote a page: others are left alone."""
    return path.is_file() and b'<meta name="generator" content="bidsdeface ' in path.read_bytes()


def subject_page(name: str, scans: Sequence[Published], picture: Callable[[Published], str]) -> str:
    """Return the page of a participant, ``sub-XX``, the worst scan first; for `picture` see `content`."""
    shown = [_shown(scan_row(scan, picture), scan) for scan in scans]
    worst_first = sorted(shown, key=lambda one: one["row"].limit_used, reverse=True)
    return page("subject.html", title=name, scans=worst_first)


def _shown(row: ScanRow, scan: Published) -> dict[str, Any]:
    record = {"Image": scan.image, "Original": scan.original, **scan.record}
    return {
        "row": row,
        "meaning": COLUMNS["Verdict"]["Levels"].get(row.verdict, ""),
        "measures": [measure_row(check, row.measures) for check in CHECKS if check.measure in row.measures],
        "record": {
            key: ", ".join(map(str, value)) if isinstance(value, list) else value
            for key, value in record.items()
            if key not in ("Measures", "Verdict") and value not in (None, [])
        },
    }
