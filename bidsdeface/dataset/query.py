"""Find the scans to deface in a raw BIDS dataset, grouped by head, with a reference scan for each head."""

import logging
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, cast

from bidsdeface.dataset.files import EXTENSIONS, Images, is_utf8, list_images
from bidsdeface.dataset.inheritance import JsonError, read_json
from bidsdeface.dataset.kinds import ANATOMICAL, is_map, is_phase, kinds_of, suffixes_of_heads, weighted
from bidsdeface.dataset.names import Head, Scan, natural_key
from bidsdeface.errors import BidsdefaceError, UsageError, printable, read_errors, shortened

LOGGER = logging.getLogger(__name__)

_SHOWN_AT_MOST = 10
# A field of view that holds a whole head in every direction. Beyond it, contrast and voxel size count more.
WHOLE_HEAD_MM = 150.0
FIELD_STEP_MM = 10.0  # smaller differences do not count


@dataclass(frozen=True)
class Plan:
    """The heads to deface.

    Attributes
    ----------
    heads : tuple of Head
        In natural order.
    problems : tuple of str
        Requests that cannot be met, one line each.
    twins : tuple of Scan
        Scans that exist twice, as ``.nii`` and as ``.nii.gz``; they are not in `heads`.
    unreadable : tuple of (str, str)
        Folders that cannot be read: participant, and one line, which is among the problems, too.
    """

    heads: tuple[Head, ...]
    problems: tuple[str, ...]
    twins: tuple[Scan, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()


def find_heads(
    bids_dir: Path,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    filters: Mapping[str, Mapping[str, Any]] | None = None,
    suffixes: Sequence[str] = (),
    *,
    longitudinal: bool = False,
    scans_expected: bool = True,
) -> Plan:
    """Find the heads that were asked for, and log the images that are not taken.

    Parameters
    ----------
    bids_dir : Path
        Root of a raw BIDS dataset.
    participants, sessions : sequence of str, optional
        Labels without ``sub-`` or ``ses-``; all where empty.
    filters : mapping of str to mapping, optional
        Query by lower-case suffix, see `read_filters`.
    suffixes : sequence of str, optional
        Images to deface, see `kinds_of`; all anatomical scans if nothing is given.
    longitudinal : bool, optional
        Whether all sessions of a participant are one head.
    scans_expected : bool, optional
        Whether a request, or a participant named in it, without any such scan is a problem.

    Returns
    -------
    Plan
        One head for each session with scans; one problem for each broken link, and for each participant that
        was named and has no scan. A reference may be an anatomical scan that is not to be defaced.

    Raises
    ------
    UsageError
        If a participant, a session, a suffix or an entity in `filters` does not exist.
    BidsdefaceError
        If scans are expected and there is none; where participants were named, each is a problem instead.
    """
    kinds = kinds_of(suffixes)
    existing = _folders(bids_dir, "sub-*")
    _check_exist("participant", "sub-", participants, existing, bids_dir)
    if sessions:
        _check_exist("session", "ses-", sessions, _folders(bids_dir, "sub-*/ses-*"), bids_dir)
    images = list_images(bids_dir, participants or existing, sessions, kinds | kinds_of())
    scans = sorted(images.scans, key=lambda scan: natural_key(scan.path.name))
    if filters:
        scans = _filtered(scans, filters, kinds | kinds_of(), bids_dir, participants, sessions)
    requested = [scan for scan in scans if (scan.datatype, scan.suffix) in kinds]
    kind = "anatomical scan" if kinds == kinds_of() else "scan"
    _log_not_taken(images, bids_dir, with_ignored=scans_expected)
    if not requested and scans_expected and not (participants or images.problems):
        others = list_images(bids_dir, existing, sessions, kinds_of(suffixes_of_heads()) - kinds_of()).scans
        suffixes_there = " ".join(sorted({scan.suffix for scan in others}))
        raise BidsdefaceError(
            f"{bids_dir}: no {kind} (anat/*_T1w.nii.gz and the like) that matches the request; check "
            "--participant-label, --session-label, --suffixes, --bids-filter-file and .bidsignore"
            + (f"; to deface what is there: --suffixes {suffixes_there}" if suffixes_there else "")
        )
    with_scans = {scan.subject for scan in requested} | {label for label, _ in images.problems}
    missing = [f"sub-{label}" for label in participants or existing if label not in with_scans]
    problems = [problem for _, problem in images.problems]
    if participants and scans_expected:  # a name is meant
        problems += [
            f"{one}: no {kind} that matches the request; add one or leave {one} out" for one in missing
        ]
    elif missing and scans_expected and not (sessions or filters):  # which narrow it to those who have it
        LOGGER.warning("no %s, so there is nothing to do: %s", kind, ", ".join(missing))
    # Of scans with one stem, all outputs have one name. By their names, they are neighbours.
    by_stem = [list(same) for _, same in groupby(scans, key=lambda scan: scan.stem)]
    twins = [same for same in by_stem if len(same) > 1 and same[0] in requested]
    problems += [
        f"{same[0].path}: is there as {' and '.join(scan.extension for scan in same)}, and they "
        "may differ; remove one"
        for same in twins
    ]
    heads = _gather((same[0] for same in by_stem if len(same) == 1), kinds, longitudinal)
    return Plan(heads, tuple(problems), tuple(same[0] for same in twins), tuple(images.problems))


def _log_not_taken(images: Images, bids_dir: Path, with_ignored: bool) -> None:
    """Log the images that are not taken; those in .bidsignore only where nothing else names them."""
    for path, reason in images.not_taken.items():
        LOGGER.warning("%s: skipped: %s", printable(bids_dir / path), reason)
    if images.ignored and with_ignored:
        LOGGER.warning("listed in .bidsignore and therefore skipped: %s", ", ".join(map(str, images.ignored)))


def _folders(bids_dir: Path, pattern: str) -> list[str]:
    """Return the labels of folders, broken links included, in natural order."""
    names = {path.name for path in bids_dir.glob(pattern) if path.is_symlink() or path.is_dir()}
    for name in sorted(name for name in names if not is_utf8(name)):
        LOGGER.warning("%s: skipped: its name is not UTF-8", printable(bids_dir / name))
    return [name.partition("-")[2] for name in sorted(filter(is_utf8, names), key=natural_key)]


def _check_exist(
    kind: str, prefix: str, asked: Sequence[str], existing: Sequence[str], bids_dir: Path
) -> None:
    if unknown := [prefix + label for label in asked if label not in existing]:
        known = shortened([prefix + label for label in existing], _SHOWN_AT_MOST)
        raise UsageError(
            f"{bids_dir}: no {kind} {', '.join(unknown)}; choose from {known}"
            if existing
            else f"{bids_dir}: the dataset has no {kind}s; leave --{kind}-label out"
        )


def _filtered(
    scans: Sequence[Scan],
    filters: Mapping[str, Mapping[str, Any]],
    kinds: Set[tuple[str, str]],
    bids_dir: Path,
    participants: Sequence[str],
    sessions: Sequence[str],
) -> list[Scan]:
    """Return the scans that fit the filter of their suffix, by pybids; without a filter, all fit."""
    suffixes = {suffix for _, suffix in kinds if suffix.lower() in filters}
    for name in filters.keys() - {suffix.lower() for suffix in suffixes}:
        LOGGER.warning("--bids-filter-file: %r is not one of the requested suffixes; ignored", name)
    if not suffixes:
        return list(scans)
    datatypes = {datatype for datatype, suffix in kinds if suffix in suffixes}
    layout = open_layout(bids_dir, participants, sessions, datatypes=datatypes)
    fitting: set[PurePosixPath] = set()
    for suffix in sorted(suffixes):
        query = {"suffix": suffix, "extension": list(EXTENSIONS), **_query_values(filters[suffix.lower()])}
        try:
            paths = layout.get(return_type="filename", **query)
        except ValueError as error:  # an entity that pybids does not know
            raise UsageError(f"--bids-filter-file: {error}; correct the filter file") from error
        fitting.update(PurePosixPath(Path(path).relative_to(layout.root)) for path in paths)
    return [scan for scan in scans if scan.suffix not in suffixes or scan.name.path in fitting]


def _query_values(query: Mapping[str, Any]) -> dict[str, Any]:
    """Replace null and ``"*"`` by pybids' own values for "absent" and "any"."""
    from bids.layout import Query  # slow to import

    def value_of(value: Any) -> Any:
        one = Query.NONE if value is None else Query.ANY if value == "*" else value
        return [*map(value_of, value)] if isinstance(value, list) else one

    return {entity: value_of(value) for entity, value in query.items()}


def _gather(scans: Iterable[Scan], kinds: Set[tuple[str, str]], longitudinal: bool) -> tuple[Head, ...]:
    by_head: dict[tuple[str, str | None], list[Scan]] = defaultdict(list)
    for scan in scans:
        by_head[scan.subject, None if longitudinal else scan.session].append(scan)
    heads = (
        Head(
            subject,
            session,
            tuple(sorted(requested, key=_turn)),
            *choose_reference(sorted(candidates, key=_turn)),
        )
        for (subject, session), candidates in by_head.items()
        if (requested := [scan for scan in candidates if (scan.datatype, scan.suffix) in kinds])
    )
    return tuple(sorted(heads, key=lambda head: natural_key(head.name)))


def _turn(scan: Scan) -> tuple[Any, ...]:
    """Return a sort key: a scan whose mask may serve others comes before them.

    Of an inversion set, the last image comes first, as the first is nearly nulled.
    """
    inversion = dict(scan.entities).get("inv", "")
    last_first = -int(inversion) if inversion.isdecimal() else 0
    return 2 * is_phase(scan) + is_map(scan), scan.datatype != ANATOMICAL, last_first, natural_key(scan.stem)


def choose_reference(scans: Sequence[Scan]) -> tuple[Scan, str]:
    """Choose the scan to register: by kind, head coverage, contrast, voxel size, field of view, then name.

    Parameters
    ----------
    scans : sequence of Scan
        Of one head, in natural order.

    Returns
    -------
    reference : Scan
    reason : str
        Why it was chosen, in words.
    """
    if len(scans) == 1:
        return scans[0], "the only one"
    # Only headers of the best kind are read, as reading costs time in datasets of thousands of scans.
    best = min(_kind(scan) for scan in scans)
    measured = {scan: _measure(scan) for scan in scans if _kind(scan) == best}
    reference = min(measured, key=lambda scan: _rank(measured[scan], scan))
    return reference, _in_words(measured[reference], reference)


def _kind(scan: Scan) -> int:
    """Rank by kind: anatomical, anatomical map, other image, phase."""
    return 3 if is_phase(scan) else 2 if scan.datatype != ANATOMICAL else int(is_map(scan))


def _rank(measured: tuple[tuple[float, ...], tuple[float, ...]] | None, scan: Scan) -> tuple[float, ...]:
    if measured is None:
        return (math.inf, _contrast(scan))
    extents, zooms = measured
    coverage = min(*extents, WHOLE_HEAD_MM) // FIELD_STEP_MM
    return (-coverage, _contrast(scan), round(math.prod(zooms), 3), -math.prod(extents))


def _contrast(scan: Scan) -> int:
    """Rank by likeness to the template, which is T1-weighted."""
    return {"T1w": 0, "T2w": 1}.get(scan.suffix, 2 if (scan.datatype, scan.suffix) in weighted() else 3)


def _measure(scan: Scan) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return field of view and voxel size in mm, or None if the header cannot be read."""
    import nibabel as nib

    try:
        header = cast("nib.spatialimages.SpatialImage", nib.load(scan.path)).header
        shape, zooms = header.get_data_shape()[:3], header.get_zooms()[:3]
        return tuple(n * mm for n, mm in zip(shape, zooms, strict=True)), tuple(zooms)
    except Exception:  # whatever is wrong with the file is reported when it is read
        return None


def _in_words(measured: tuple[tuple[float, ...], tuple[float, ...]] | None, scan: Scan) -> str:
    if measured is None:
        return f"{scan.suffix}, header not readable"
    extents, zooms = measured
    view = "whole head" if min(extents) >= WHOLE_HEAD_MM else "part of a head"
    sizes = "x".join(f"{mm:.0f}" for mm in extents), "x".join(f"{mm:.3g}" for mm in zooms)
    return f"{scan.suffix}; {view}, {sizes[0]} mm; voxels {sizes[1]} mm"


def read_filters(path: Path) -> dict[str, dict[str, Any]]:
    """Read and check the form of a filter file.

    Parameters
    ----------
    path : Path
        JSON such as ``{"t1w": {"acquisition": "mprage", "reconstruction": null}}``, where null
        asks for the entity to be absent and ``"*"`` for any value of it.

    Returns
    -------
    dict of str to dict
        Query by lower-case suffix, values as in the file.

    Raises
    ------
    UsageError
        If it is not such a file.
    """
    try:
        with read_errors(path, "give --bids-filter-file a JSON file", UsageError):
            filters = read_json(path)
    except JsonError as error:
        raise UsageError(f"{path}: {error}") from None
    if not all(isinstance(query, dict) for query in filters.values()):
        raise UsageError(
            f"{path}: not a BIDS filter file; it must be a JSON object of queries by suffix, "
            'such as {"t1w": {"acquisition": "mprage"}}'
        )
    return {name.lower(): query for name, query in filters.items()}


def open_layout(
    bids_dir: Path,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    *,
    datatypes: Collection[str],
) -> Any:
    """Return a pybids layout of the images in the folders of some participants, sessions and datatypes.

    Other folders are not even listed, so that the work of one cluster task does not grow with the dataset.
    JSON files, broken or not, are not read.
    """
    from bids import BIDSLayout, BIDSLayoutIndexer  # slow to import

    indexer = BIDSLayoutIndexer(
        ignore=[_all_but(participants, sessions, datatypes)], index_metadata=False, validate=False
    )
    return BIDSLayout(bids_dir, validate=False, indexer=indexer)


def _all_but(
    participants: Sequence[str], sessions: Sequence[str], datatypes: Collection[str]
) -> re.Pattern[str]:
    """Match every path, relative to the root, but for images of a request and the folders above them."""
    subject = f"/sub-{_any_of(participants)}"
    session = f"/ses-{_any_of(sessions)}" if sessions else "(?:/ses-[^/]+)?"
    datatype = f"/{_any_of(sorted(datatypes))}"
    folders = f"{subject}(?:{session}(?:{datatype})?)?"
    images = rf"{subject}{session}{datatype}/[^/.\ud800-\udfff][^/\ud800-\udfff]*\.nii(?:\.gz)?"
    return re.compile(f"^(?!(?:{folders}|{images})$)")


def _any_of(labels: Sequence[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, labels))})" if labels else r"[^/\ud800-\udfff]+"
