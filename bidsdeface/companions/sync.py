"""Make the output match the input: the files of a participant, or those above participants.

A task writes the files of its own scope, and removes all else there. The content of a participant's files
depends on the input and on which images are in the output, never on which task wrote them: tasks may share
the work in any way, and `refresh` corrects what they could not know.
"""

import filecmp
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from bidsdeface.companions.options import MetadataOptions
from bidsdeface.companions.select import FileKind, Selected, is_root_text, select_files
from bidsdeface.companions.source import (
    REFERRING,
    RawDataset,
    Source,
    SubjectScope,
    root_source,
    subject_source,
)
from bidsdeface.companions.write import undescribed_files, write_files
from bidsdeface.dataset.annex import is_own_file
from bidsdeface.dataset.files import files_in
from bidsdeface.dataset.kinds import is_phase, kinds_of, magnitudes_of
from bidsdeface.dataset.names import DESCRIPTION, scan_at, stem_of
from bidsdeface.deidentify.excluded import FILE, Excluded
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.errors import BidsdefaceError, ImageError
from bidsdeface.imaging.image import clean_header, read_image
from bidsdeface.output.names import BIDS, mask_of, sidecar_of
from bidsdeface.output.publish import files_below, one_at_a_time, open_staging, remove_empty, remove_files
from bidsdeface.output.record import is_published, own_fields

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyncReport:
    """What became of the files in a scope.

    Attributes
    ----------
    planned : tuple of Excluded
        Files that stay behind by their kind.
    left_out : tuple of Excluded
        Files that should have gone along and could not be made safe, and parts of files.
    identifiers : Identifiers
        Of the participant, and of the files above participants.
    """

    planned: tuple[Excluded, ...] = ()
    left_out: tuple[Excluded, ...] = ()
    identifiers: Identifiers = Identifiers()


def sync(scope: SubjectScope, raw: RawDataset) -> SyncReport:
    """Write a participant's files beside the defaced scans, and remove files that may not be there any more.

    Raises
    ------
    BidsdefaceError
        The input has no file of the participant, and the output has; or a file cannot be written.
    """
    return _sync_subject(_without_undefaced(subject_source(scope, raw)))


def refresh(scope: SubjectScope, raw: RawDataset) -> SyncReport:
    """Write only a participant's sidecars and tables, by the data files that are in the output now.

    Raises
    ------
    BidsdefaceError
        The input has no file of the participant, and the output has; or a file cannot be written.
    """
    source = subject_source(scope, raw)
    reason = "is not in the output: no run has made it safe"
    source = source.exclude(
        Excluded(one.path, reason)
        for one in source.within
        if one.file_kind not in REFERRING and not _is_published(raw.settings, one)
    )
    undescribed = list(
        undescribed_files(source, [one for one in source.within if one.path not in source.absent])
    )
    report = _sync_subject(source.without([one.path for one in undescribed]), kinds=REFERRING)
    return replace(report, left_out=(*report.left_out, *undescribed))


def sync_root(raw: RawDataset, known: Mapping[str, Identifiers] | None = None) -> SyncReport:
    """Write the files above participants, by the data files that are in the output now.

    Parameters
    ----------
    raw : RawDataset
    known : mapping of str to Identifiers, optional
        Identifiers of participants, by label, that need not be read again.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    settings, source = raw.settings, root_source(raw, known)
    # The reports on participants say why their files are not there.
    source = source.exclude(
        Excluded(one.path, "")
        for one in source.selected
        if not source.scope.holds(one.path) and not _is_published(settings, one)
    )
    above = set(_published_above(settings))
    # By its description, the next run knows that the output is ours: it is replaced, and never removed.
    removable = {path for path in above if path != DESCRIPTION and _may_remove(settings, path)}
    strange = sorted({path.parts[0] for path in above - removable - {one.path for one in source.within}})
    report = _sync(
        source, removable, {PurePosixPath(path.parts[0]) for path in removable if len(path.parts) > 1}
    )
    for one in report.left_out:
        if one.path == DESCRIPTION and one.what == FILE:
            raise BidsdefaceError(f"{raw.root / one.path}: {one.reason}", retry=one.retry)
    if strange:
        LOGGER.warning(
            "%s: holds files that do not come from this input; remove them, or they are shared as well: %s",
            settings.output_dir,
            ", ".join(strange),
        )
    return report


def preview(scope: SubjectScope, raw: RawDataset) -> SyncReport:
    """Return the report that `sync` would give; nothing is published."""
    return _preview(_without_undefaced(subject_source(scope, raw), unless_asked=True))


def preview_root(raw: RawDataset, known: Mapping[str, Identifiers] | None = None) -> SyncReport:
    """Return the report that `sync_root` would give if all images were defaced; nothing is published."""
    return _preview(root_source(raw, known))


def _preview(source: Source) -> SyncReport:
    referring = [one for one in source.within if one.file_kind in REFERRING and one.path not in source.absent]
    return _report(source, write_files(source, referring, None).left_out)


def _report(source: Source, left_out: Iterable[Excluded]) -> SyncReport:
    planned = tuple(one for one in source.excluded if source.scope.holds(one.path))
    return SyncReport(planned, tuple(left_out), source.own_identifiers)


def _without_undefaced(source: Source, unless_asked: bool = False) -> Source:
    """Return the source without the images that should be defaced and are not, or will not be."""
    settings = source.raw.settings
    return source.exclude(
        _why_not_defaced(settings, one.path)
        for one in source.within
        if one.file_kind is FileKind.DEFACE and not is_published(settings.output_dir / one.path)
        if not (unless_asked and _is_asked(settings, one.path))
    )


def _is_asked(settings: MetadataOptions, path: PurePosixPath) -> bool:
    """Return True if an image is of a kind that is to be defaced."""
    scan = scan_at(settings.bids_dir / path)
    return (scan.datatype, scan.suffix) in kinds_of(settings.to_deface)


def _why_not_defaced(settings: MetadataOptions, path: PurePosixPath) -> Excluded:
    """Return why an image stays behind, with the option that defaces it where it was not asked for."""
    scan = scan_at(settings.bids_dir / path)
    shows = "shows phase, and the face in it" if is_phase(scan) else "shows a head"
    asked = kinds_of(settings.to_deface)
    needed = [scan.suffix]
    if is_phase(scan) and not any((scan.datatype, one) in asked for one in magnitudes_of(scan.suffix)):
        needed += [magnitudes_of(scan.suffix)[0]]
    if _is_asked(settings, path) and len(needed) == 1:
        or_not_asked = ", unless --bids-filter-file leaves it out" if settings.filters else ""
        return Excluded(path, f"was not defaced; see its FAILED line{or_not_asked}")
    return Excluded(path, f"{shows}, and is not asked for", remedy=settings.option_to_deface(*needed))


def _sync_subject(source: Source, kinds: Collection[FileKind] = tuple(FileKind)) -> SyncReport:
    """Write a participant's files of some kinds; data files of other kinds stay if they are present."""
    settings, folders = source.raw.settings, source.scope.folders
    published = {path for folder in folders for path in files_below(settings.output_dir, folder)}
    _check_not_empty(settings, source.scope, published)
    return _sync(source, published, folders, kinds)


def _sync(
    source: Source,
    removable: Collection[PurePosixPath],
    folders: Iterable[PurePosixPath],
    kinds: Collection[FileKind] = tuple(FileKind),
) -> SyncReport:
    """Write files of some kinds and publish those that changed; remove stale ones, and empty folders."""
    settings, absent = source.raw.settings, source.absent
    output_dir, files = settings.output_dir, source.within
    defaced = {one.path for one in files if one.file_kind is FileKind.DEFACE} - absent
    masks = {name for path in defaced for name in _masks_of(settings, path)}
    standing = {one.path for one in files if _stands(source, one, kinds)}
    provenance = {sidecar_of(path): own_fields(output_dir / path) for path in sorted(defaced)}
    with open_staging(output_dir) as staging:
        to_write = [one for one in files if one.file_kind in kinds and one.path not in standing]
        report = write_files(source, to_write, staging.folder, provenance)
        for path in report.written:
            old, new = output_dir / path, staging.folder / path
            if not (is_own_file(old) and filecmp.cmp(old, new, shallow=False)):
                staging.publish({path: new})
    stale = _remove_stale(settings, {*removable} - {*report.written, *standing, *defaced, *masks}, absent)
    if stale:
        LOGGER.info(
            "removed from OUTPUT_DIR, because it may no longer be shared: %s", ", ".join(map(str, stale))
        )
    for folder in folders:
        remove_empty(output_dir, folder)
    stems = {(path.parent, stem_of(path)) for path in absent}
    return _report(
        source, (one for one in report.left_out if (one.path.parent, stem_of(one.path)) not in stems)
    )


def _remove_stale(
    settings: MetadataOptions, stale: set[PurePosixPath], absent: Iterable[PurePosixPath]
) -> list[PurePosixPath]:
    """Remove files, but not those of a scan that another task has published by now; return those removed."""
    removed: list[PurePosixPath] = []
    for folder in {path.parent for path in stale}:
        with one_at_a_time(settings.output_dir / folder):
            late = [one for one in absent if one.parent == folder and is_published(settings.output_dir / one)]
            needed = {name for one in late for name in (one, sidecar_of(one), *_masks_of(settings, one))}
            here = [path for path in stale if path.parent == folder and path not in needed]
            remove_files(settings.output_dir, here)
        removed += here
    return sorted(removed)


def _published_above(settings: MetadataOptions) -> Iterator[PurePosixPath]:
    """Yield the files of the output above participants, but for hidden ones."""
    with os.scandir(settings.output_dir) as entries:
        for entry in entries:
            path = PurePosixPath(entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            if not entry.name.startswith((".", "sub-") if is_folder else "."):
                yield from files_below(settings.output_dir, path) if is_folder else (path,)


def _masks_of(settings: MetadataOptions, path: PurePosixPath) -> tuple[PurePosixPath, PurePosixPath]:
    """Return the face mask of an image, and the mask's sidecar."""
    mask = mask_of(scan_at(settings.bids_dir / path), BIDS)
    return mask, sidecar_of(mask)


def _stands(source: Source, one: Selected, kinds: Collection[FileKind]) -> bool:
    """Return True if a file stays in the output as it is."""
    if one.file_kind not in kinds:
        return one.path not in source.absent
    return one.file_kind is FileKind.IMAGE and _is_same(source.raw.settings, one.path)


def _is_same(settings: MetadataOptions, path: PurePosixPath) -> bool:
    """Return True if an image is in the output already, just as it would be written now."""
    if settings.force or not is_own_file(settings.output_dir / path):
        return False
    try:
        image, published = (read_image(root / path) for root in (settings.bids_dir, settings.output_dir))
    except ImageError:  # named where it is written
        return False
    input_bytes, output_bytes = (
        np.frombuffer(memoryview(one.stored.T).cast("B"), np.uint8) for one in (image, published)
    )
    same_header = clean_header(image.header).binaryblock == published.header.binaryblock
    return same_header and np.array_equal(input_bytes, output_bytes)


def _check_not_empty(
    settings: MetadataOptions, scope: SubjectScope, published: Collection[PurePosixPath]
) -> None:
    """Refuse a folder of the input that is empty, perhaps not mounted, where the output has files."""
    top = settings.bids_dir / f"sub-{scope.subject}"
    for folder in (top, *(path for path in top.glob("ses-*") if path.is_dir())):
        name = PurePosixPath(folder.relative_to(settings.bids_dir))
        has_results = any(path.is_relative_to(name) for path in published)
        if has_results and all(one.name.startswith(".") for one in files_in(settings.bids_dir, str(name))):
            raise BidsdefaceError(
                f"{folder}: has no file, and {settings.output_dir / name} has; fetch or mount what is "
                "missing, or remove both folders"
            )


def _may_remove(settings: MetadataOptions, path: PurePosixPath) -> bool:
    """Return True if a file above participants may be of an earlier run: the input has it, or BIDS knows it.

    A text that the input does not have may have been added to the output by hand.
    """
    is_known = not is_root_text(path) and select_files([path])[0]
    return os.path.lexists(settings.bids_dir / path) or bool(is_known)


def _is_published(settings: MetadataOptions, one: Selected) -> bool:
    if one.file_kind is FileKind.DEFACE:
        return is_published(settings.output_dir / one.path)
    return (settings.output_dir / one.path).is_file()
