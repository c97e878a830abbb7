"""Which scans of a published dataset are to be studied: each with its original, its mask and another scan."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from bidsdeface.dataset.names import Scan, scan_at
from bidsdeface.errors import BidsdefaceError, UsageError
from bidsdeface.output.names import BIDS, DERIVATIVES, mask_of, outputs_of
from bidsdeface.output.record import Published, published_scans
from bidsdeface.reidentify.study import Case


def published_cases(
    bids_dir: Path,
    output_dir: Path,
    layout: str = DERIVATIVES,
    participants: Collection[str] = (),
    sessions: Collection[str] = (),
) -> list[Case]:
    """Return every defaced anatomical scan of an output dataset, in natural order of the names.

    A person with more than one scan is looked for by another of them: of another session if there is one,
    of the same contrast if there is one.

    Parameters
    ----------
    bids_dir, output_dir : Path
    layout : str, optional
        Of the output dataset.
    participants, sessions : collection of str, optional
        Labels without ``sub-`` or ``ses-`` of those to return; all where empty.

    Raises
    ------
    UsageError
        A participant or a session has none.
    BidsdefaceError
        There is none, or one of its files or its original is missing.
    """
    published = (one for one in published_scans(output_dir, layout) if one.is_defaced and one.shows_anatomy)
    scans = [_source(one, bids_dir, layout) for one in published]
    if not scans:
        raise BidsdefaceError(f"{output_dir}: no defaced scan here; run the participant level first")
    for prefix, asked, there in (
        ("sub-", participants, {scan.subject for scan in scans}),
        ("ses-", sessions, {scan.session for scan in scans}),
    ):
        if missing := [prefix + label for label in asked if label not in there]:
            raise UsageError(f"{output_dir}: no defaced scan of {', '.join(missing)} here; leave it out")
    return [
        _case(scan, scans, output_dir, layout)
        for scan in scans
        if (not participants or scan.subject in participants) and (not sessions or scan.session in sessions)
    ]


def _source(published: Published, bids_dir: Path, layout: str) -> Scan:
    """Return the raw scan of a published image."""
    if layout == BIDS:
        return scan_at(bids_dir / published.image)
    if published.original is None:
        raise BidsdefaceError(f"{published.image}: its sidecar does not name its original; remove both")
    return scan_at(bids_dir / published.original)


def _case(scan: Scan, scans: list[Scan], output_dir: Path, layout: str) -> Case:
    files = (scan.path, output_dir / outputs_of(scan, layout).image, output_dir / mask_of(scan, layout))
    others = [other for other in scans if other.subject == scan.subject and other != scan]
    best = min(
        others, key=lambda other: (other.session == scan.session, other.suffix != scan.suffix), default=None
    )
    case = Case("", scan.subject, *files, best.path if best else None)
    return replace(case, key=" ".join(_state(path) for path in (*files, *([best.path] if best else []))))


def _state(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise BidsdefaceError(
            f"{path}: cannot be read ({error.strerror}); the study needs all originals and published files"
        ) from error
    return f"{path} {status.st_size} {status.st_mtime_ns}"
