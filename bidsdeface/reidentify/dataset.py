"""Which scans of a published dataset are to be studied: each with its original, its mask and another scan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.layout import outputs_of
from bidsdeface.dataset.scan import Scan
from bidsdeface.errors import BidsdefaceError
from bidsdeface.reidentify.study import Case

RAW = "bids:raw:"


def published_cases(bids_dir: Path, output_dir: Path) -> list[Case]:
    """Return every published scan of a derivative dataset, in the order of their names.

    A person with more than one scan is looked for by another of them: of another session if there is one,
    of the same contrast if there is one.

    Raises
    ------
    BidsdefaceError
        There is none, or one of its files or its original is missing.
    """
    scans = [_source(path, bids_dir) for path in sorted(output_dir.glob("sub-*/**/*_desc-defaced_*.json"))]
    if not scans:
        raise BidsdefaceError(f"{output_dir}: no defaced scan here; run the participant level first")
    return [_case(scan, scans, output_dir) for scan in scans]


def _source(sidecar: Path, bids_dir: Path) -> Scan:
    """Return the raw scan of a published image, from its sidecar."""
    try:
        source = json.loads(sidecar.read_text(encoding="utf-8"))["Sources"][0]
        where = PurePosixPath(source.removeprefix(RAW))
    except (OSError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise BidsdefaceError(
            f"{sidecar}: does not name its original ({error}); remove it and its image"
        ) from error
    stem, dot, extension = where.name.partition(".")
    *entities, suffix = stem.split("_")
    labels = tuple((key, label) for key, _, label in (entity.partition("-") for entity in entities))
    return Scan(bids_dir / where, labels, suffix, dot + extension)


def _case(scan: Scan, scans: list[Scan], output_dir: Path) -> Case:
    outputs = outputs_of(scan)
    files = (scan.path, output_dir / outputs.image, output_dir / outputs.mask)
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
