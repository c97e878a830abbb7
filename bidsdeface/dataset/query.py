"""Find the anatomical scans of a raw BIDS dataset and gather them into heads."""

import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from bidsdeface.dataset.index import open_layout
from bidsdeface.dataset.scan import Head, Scan
from bidsdeface.errors import BidsdefaceError, UsageError

LOGGER = logging.getLogger(__name__)

_SHOWN_AT_MOST = 10
_NAME = re.compile(r"(?P<entities>sub-[^_]+(?:_[a-z]+-[^_]+)*)_(?P<suffix>[A-Za-z0-9]+)")
_EXTENSIONS = (".nii", ".nii.gz")

# A field of view that holds a whole head in every direction; beyond it, finer voxels count more.
_WHOLE_HEAD_MM = 150.0


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes
    ----------
    heads : tuple of Head
        In natural order.
    problems : tuple of str
        What was asked for and cannot be done, one line each.
    twins : tuple of Scan
        Those of them that are there twice, as ``.nii`` and as ``.nii.gz``.
    """

    heads: tuple[Head, ...]
    problems: tuple[str, ...]
    twins: tuple[Scan, ...] = ()


def find_heads(
    bids_dir: Path,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    filters: Mapping[str, Mapping[str, Any]] | None = None,
) -> Plan:
    """Find the heads that were asked for.

    Parameters
    ----------
    bids_dir : Path
        Root of a raw BIDS dataset.
    participants, sessions : sequence of str, optional
        Labels without ``sub-`` or ``ses-``; all where empty.
    filters : mapping of str to mapping, optional
        Query by lower-case suffix, see `bidsdeface.dataset.filters`.

    Returns
    -------
    Plan
        One head for each session with scans, and a problem for each participant without any.

    Raises
    ------
    UsageError
        If a participant, a session or an entity in `filters` does not exist.
    BidsdefaceError
        If there is no anatomical scan at all.
    """
    filters = filters or {}
    existing = _labels(bids_dir, "sub-*")
    _check_exist("participant", "sub-", participants, existing, bids_dir)
    if sessions:
        _check_exist("session", "ses-", sessions, _labels(bids_dir, "sub-*/ses-*"), bids_dir)
    scans = _find_scans(bids_dir, participants, sessions, filters)
    if not scans:
        raise BidsdefaceError(
            f"{bids_dir}: no anatomical scan (anat/*_T1w.nii.gz and the like) that fits the "
            "request; check --participant-label, --session-label and --bids-filter-file"
        )
    # A session or a filter narrows the request to those who have it; a name is meant.
    expected = participants or (() if sessions or filters else existing)
    found = {scan.subject for scan in scans}
    missing = [
        f"sub-{label}: no anatomical scan that fits the request; add one or leave sub-{label} out"
        for label in expected
        if label not in found
    ]
    scans, twins = _without_twins(scans)
    problems = (
        f"{same[0].path}: is there as {' and '.join(scan.extension for scan in same)}, and they "
        "may differ; remove one"
        for same in twins
    )
    return Plan(_gather(scans), (*missing, *problems), tuple(same[0] for same in twins))


def natural_key(text: str) -> list[tuple[int, str]]:
    """Sort key that puts ``sub-2`` before ``sub-10``.

    Examples
    --------
    >>> sorted(["sub-10", "sub-2", "sub-a"], key=natural_key)
    ['sub-2', 'sub-10', 'sub-a']
    """
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", text) if part]


def _labels(bids_dir: Path, pattern: str) -> list[str]:
    names = {folder.name for folder in bids_dir.glob(pattern) if folder.is_dir()}
    return [name.partition("-")[2] for name in sorted(names, key=natural_key)]


def _check_exist(
    kind: str, prefix: str, asked: Sequence[str], existing: Sequence[str], bids_dir: Path
) -> None:
    unknown = [prefix + label for label in asked if label not in existing]
    if unknown:
        shown = ", ".join(prefix + label for label in existing[:_SHOWN_AT_MOST])
        more = len(existing) - _SHOWN_AT_MOST
        raise UsageError(
            f"{bids_dir}: no {kind} {', '.join(unknown)}; choose from "
            f"{shown or 'none at all'}{f' and {more} more' if more > 0 else ''}"
        )


def _find_scans(
    bids_dir: Path,
    participants: Sequence[str],
    sessions: Sequence[str],
    filters: Mapping[str, Mapping[str, Any]],
) -> list[Scan]:
    layout = open_layout(bids_dir, participants, sessions)
    root = Path(layout.root)
    paths: set[PurePosixPath] = set()
    for query in _queries(filters):
        try:
            found = layout.get(return_type="filename", **query)
        except ValueError as error:  # an entity that pybids does not know
            raise UsageError(f"--bids-filter-file: {error}; correct the filter file") from error
        paths.update(PurePosixPath(Path(path).relative_to(root)) for path in found)
    scans = []
    for path in sorted(paths, key=lambda path: natural_key(path.name)):
        scan = _parse(bids_dir, path)
        if scan is None:
            LOGGER.warning("%s: left out, not named as BIDS asks; rename it", bids_dir / path)
        else:
            scans.append(scan)
    return scans


def _queries(filters: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Turn filters into pybids queries: one for each filtered suffix, one for all others."""
    suffixes = _anatomical_suffixes()
    for name in filters.keys() - {suffix.lower() for suffix in suffixes}:
        LOGGER.warning("--bids-filter-file: %r is not an anatomical suffix, ignored", name)
    free = [suffix for suffix in suffixes if suffix.lower() not in filters]
    queries: list[dict[str, Any]] = [{"suffix": free}] if free else []
    queries += [
        {"suffix": suffix, **_query_values(filters[suffix.lower()])}
        for suffix in suffixes
        if suffix.lower() in filters
    ]
    return [{"extension": list(_EXTENSIONS), **query} for query in queries]


def _query_values(query: Mapping[str, Any]) -> dict[str, Any]:
    """Put pybids' own words for "absent" and "any" in the place of null and ``"*"``."""
    from bids.layout import Query  # slow to import

    def value_of(value: Any) -> Any:
        if isinstance(value, list):
            return [value_of(one) for one in value]
        if value is None:
            return Query.NONE
        return Query.ANY if value == "*" else value

    return {entity: value_of(value) for entity, value in query.items()}


def _anatomical_suffixes() -> list[str]:
    """List the suffixes that BIDS has for raw anatomical images of a head with its face."""
    from bidsschematools.schema import load_schema

    rules = load_schema()["rules"]["files"]["raw"]["anat"].values()
    images = (rule for rule in rules if ".nii.gz" in rule["extensions"])
    return sorted({suffix for rule in images for suffix in rule["suffixes"]} - {"defacemask"})


def _parse(bids_dir: Path, relative: PurePosixPath) -> Scan | None:
    """Make a scan of a file, or None if its name and its folders are not BIDS and of one mind."""
    stem, _, extension = relative.name.partition(".")
    match = _NAME.fullmatch(stem)
    if match is None:
        return None
    pairs = (entity.partition("-") for entity in match["entities"].split("_"))
    entities = tuple((key, label) for key, _, label in pairs)
    scan = Scan(bids_dir / relative, entities, match["suffix"], f".{extension}")
    return scan if scan.folder == relative.parent else None


def _without_twins(scans: Iterable[Scan]) -> tuple[list[Scan], list[list[Scan]]]:
    """Set scans apart that would be written under one name (``.nii`` beside ``.nii.gz``)."""
    by_stem: dict[str, list[Scan]] = defaultdict(list)
    for scan in scans:
        by_stem[scan.stem].append(scan)
    single = [same[0] for same in by_stem.values() if len(same) == 1]
    return single, [same for same in by_stem.values() if len(same) > 1]


def _gather(scans: Iterable[Scan]) -> tuple[Head, ...]:
    by_head: dict[tuple[str, str | None], list[Scan]] = defaultdict(list)
    for scan in scans:
        by_head[scan.subject, scan.session].append(scan)
    heads = [
        Head(subject, session, tuple(same), _reference(same)) for (subject, session), same in by_head.items()
    ]
    return tuple(sorted(heads, key=lambda head: natural_key(head.name)))


def _reference(scans: Sequence[Scan]) -> Scan:
    """Choose by contrast (T1w, then T2w), then field of view and voxel size, then name."""
    for suffix in ("T1w", "T2w"):
        scans = [scan for scan in scans if scan.suffix == suffix] or scans
        if scans[0].suffix == suffix:
            break
    if len(scans) == 1:
        return scans[0]
    return min(scans, key=_coarseness)


def _coarseness(scan: Scan) -> tuple[float, float, float]:
    """Sort key from the header alone: whole heads first, fine voxels first, large images first."""
    import nibabel as nib

    try:
        header = cast("nib.spatialimages.SpatialImage", nib.load(scan.path)).header
        shape, zooms = header.get_data_shape()[:3], header.get_zooms()[:3]
        extents = [size * zoom for size, zoom in zip(shape, zooms, strict=True)]
    except Exception:  # whatever is wrong with the file, reading it says so later
        return (math.inf, math.inf, math.inf)
    return (-min(*extents, _WHOLE_HEAD_MM), round(math.prod(zooms), 3), -math.prod(extents))
