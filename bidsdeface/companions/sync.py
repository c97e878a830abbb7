"""Carry over all that goes along with the defaced scans of a participant, and what is above participants.

A task leaves in its own scope what there is to share today, and nothing else. What a participant's files say
depends on the input and on which images are in the output, never on which task wrote them: tasks may share
the work in any way, and `settle` puts right what they could not know.
"""

import filecmp
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from bidsdeface.companions.options import MetadataOptions
from bidsdeface.companions.scope import SAYING, Above, Selection, SubjectScope, sort_all, sort_participant
from bidsdeface.companions.select import (
    FileKind,
    Selected,
    is_root_text,
    select_files,
)
from bidsdeface.companions.transfer import carry_over, undescribed_files
from bidsdeface.dataset.annex import is_own_file
from bidsdeface.dataset.files import files_in, participants
from bidsdeface.dataset.kinds import is_phase, kinds_of, magnitudes_of
from bidsdeface.dataset.names import DESCRIPTION, scan_at, stem_of
from bidsdeface.dataset.people import (
    all_identifiers,
    identifiers_above,
    joined_identifiers,
)
from bidsdeface.deidentify.excluded import FILE, Excluded
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.errors import BidsdefaceError, ImageError
from bidsdeface.imaging.image import clean_header, read_image
from bidsdeface.output.names import BIDS, mask_of, sidecar_of
from bidsdeface.output.publish import files_below, one_at_a_time, open_staging, remove_empty, remove_files
from bidsdeface.output.record import is_defaced, own_fields
from bidsdeface.runtime.workdir import State

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyncReport:
    """What became of the files in a scope.

    Attributes
    ----------
    planned : tuple of Excluded
        What stays behind by its kind.
    left_out : tuple of Excluded
        Files that should have gone along and could not be made safe, and parts of files.
    identifiers : Identifiers
        Of a participant whose files were looked at in a preview.
    """

    planned: tuple[Excluded, ...] = ()
    left_out: tuple[Excluded, ...] = ()
    identifiers: Identifiers = Identifiers()


def share(
    scope: SubjectScope, settings: MetadataOptions, state: State | None, above: Above | None = None
) -> SyncReport:
    """Put a participant's files beside the defaced scans, and take away what may not be there any more.

    Parameters
    ----------
    scope : SubjectScope
    settings : MetadataOptions
    state : State or None
    above : Above, optional
        From `read_above`, where it is at hand.

    Raises
    ------
    BidsdefaceError
        The input has no file of the participant, and the output has; or a file cannot be written.
    """
    files = _without_undefaced(sort_participant(scope, settings, state, above))
    return _put_in(scope, files, files.within)


def settle(
    scope: SubjectScope, settings: MetadataOptions, state: State | None, above: Above | None = None
) -> SyncReport:
    """Write a participant's sidecars and tables by what is in the output now; parameters as of `share`.

    Raises
    ------
    BidsdefaceError
        The input has no file of the participant, and the output has; or a file cannot be written.
    """
    files = sort_participant(scope, settings, state, above)
    data = [one for one in files.within if one.file_kind not in SAYING]
    reason = "is not in the output: no run has made it safe"
    files = files.without(Excluded(one.path, reason) for one in data if not _is_there(settings, one))
    there = [one for one in files.within if one.path not in files.absent]
    undescribed = list(undescribed_files(files.source(), there))
    files = replace(files, absent=files.absent | {one.path for one in undescribed})
    to_write = [one for one in files.within if one.file_kind in (*SAYING, FileKind.DEFACE)]
    standing = {one.path for one in data if one not in to_write} - files.absent
    shared = _put_in(scope, files, to_write, standing)
    return replace(shared, left_out=(*shared.left_out, *undescribed))


def share_root(settings: MetadataOptions, state: State | None) -> SyncReport:
    """Write what is above participants, by what tasks have left of them.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    labels = participants(settings.bids_dir)
    identifiers = all_identifiers(settings.bids_dir, labels, settings.policy, settings.keep_columns)
    files = sort_all(settings, state, identifiers)
    data = (one for one in files.carried if not files.holds(one.path))
    # Why they are not there was said of each participant.
    files = files.without(Excluded(one.path, "") for one in data if not _is_there(settings, one))
    above = set(_above_in_output(settings))
    # By its description, the next run knows that the output is ours: it is replaced, and never removed.
    there = {path for path in above if path != DESCRIPTION and _may_go(settings, path)}
    strange = sorted({path.parts[0] for path in above - there - {one.path for one in files.within}})
    shared = _put(files, files.within, there)
    for one in shared.left_out:
        if one.path == DESCRIPTION and one.what == FILE:
            raise BidsdefaceError(f"{settings.bids_dir / one.path}: {one.reason}", retry=one.retry)
    for folder in {PurePosixPath(path.parts[0]) for path in there if len(path.parts) > 1}:
        remove_empty(settings.output_dir, folder)
    if strange:
        LOGGER.warning(
            "%s: holds what is not of this input; remove it, or it is shared as well: %s",
            settings.output_dir,
            ", ".join(strange),
        )
    return shared


def preview(
    scope: SubjectScope, settings: MetadataOptions, state: State | None, above: Above | None = None
) -> SyncReport:
    """Return what would stay behind of a participant; nothing is published. Parameters as of `share`."""
    return _preview(_without_undefaced(sort_participant(scope, settings, state, above), unless_asked=True))


def preview_root(settings: MetadataOptions, state: State | None, below: Iterable[SyncReport]) -> SyncReport:
    """Return what would stay behind of what is above participants; nothing is published.

    Parameters
    ----------
    settings : MetadataOptions
    state : State or None
    below : iterable of SyncReport
        From `preview`, of all participants.
    """
    above = identifiers_above(settings.bids_dir, settings.policy, settings.keep_columns)
    identifiers = joined_identifiers([above, *(one.identifiers for one in below)])
    return _preview(sort_all(settings, state, identifiers))


def _preview(files: Selection) -> SyncReport:
    saying = [one for one in files.within if one.file_kind in SAYING and one.path not in files.absent]
    left_out = carry_over(files.source(), saying, None).left_out
    return SyncReport(files.planned, tuple(left_out), files.identifiers)


def _without_undefaced(files: Selection, unless_asked: bool = False) -> Selection:
    """Return the files without the images that should be defaced and are not, or will not be."""
    settings = files.settings
    return files.without(
        _why_not_defaced(settings, one.path)
        for one in files.within
        if one.file_kind is FileKind.DEFACE and not is_defaced(settings.output_dir / one.path)
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
        return Excluded(path, f"was not defaced: see its line FAILED{or_not_asked}")
    return Excluded(path, f"{shows}, and is not asked for", remedy=settings.option_to_deface(*needed))


def _put_in(
    scope: SubjectScope,
    selection: Selection,
    files: Sequence[Selected],
    standing: Collection[PurePosixPath] = (),
) -> SyncReport:
    """Leave in the folders of a scope what is to be shared, with those `standing`, and nothing else."""
    output_dir = selection.settings.output_dir
    there = {path for folder in scope.folders for path in files_below(output_dir, folder)}
    _check_not_empty(selection.settings, scope, there)
    shared = _put(selection, files, there - set(standing))
    for folder in scope.folders:
        remove_empty(output_dir, folder)
    return shared


def _put(selection: Selection, files: Sequence[Selected], there: Collection[PurePosixPath]) -> SyncReport:
    """Treat files and publish those that are other than before; of those `there`, what may not stay goes."""
    settings, absent = selection.settings, selection.absent
    same = {one.path for one in files if one.file_kind is FileKind.IMAGE and _is_same(settings, one.path)}
    defaced = {one.path for one in files if one.file_kind is FileKind.DEFACE} - absent
    provenance = {sidecar_of(path): own_fields(settings.output_dir / path) for path in sorted(defaced)}
    source = selection.source()
    with open_staging(settings.output_dir) as staging:
        to_do = [one for one in files if one.path not in same]
        account = carry_over(source, to_do, staging.folder, provenance)
        for path in account.written:
            old, new = settings.output_dir / path, staging.folder / path
            if not (is_own_file(old) and filecmp.cmp(old, new, shallow=False)):
                staging.publish({path: new})
    masks = {name for path in defaced for name in _masks_of(settings, path)}
    stale = _remove_stale(settings, set(there) - {*account.written, *same, *defaced, *masks}, absent)
    if stale:
        LOGGER.info("removed from OUTPUT_DIR, as it is not to be shared now: %s", ", ".join(map(str, stale)))
    gone = {(path.parent, stem_of(path)) for path in absent}
    left_out = (one for one in account.left_out if (one.path.parent, stem_of(one.path)) not in gone)
    return SyncReport(selection.planned, tuple(left_out))


def _remove_stale(
    settings: MetadataOptions, stale: set[PurePosixPath], absent: Iterable[PurePosixPath]
) -> list[PurePosixPath]:
    """Remove files, but for a scan that another task has published by now; tell which."""
    gone = []
    for folder in {path.parent for path in stale}:
        with one_at_a_time(settings.output_dir / folder):
            late = [one for one in absent if one.parent == folder and is_defaced(settings.output_dir / one)]
            needed = {name for one in late for name in (one, sidecar_of(one), *_masks_of(settings, one))}
            here = [path for path in stale if path.parent == folder and path not in needed]
            remove_files(settings.output_dir, here)
        gone += here
    return sorted(gone)


def _above_in_output(settings: MetadataOptions) -> Iterator[PurePosixPath]:
    """Yield what the output has above participants, but for what is hidden."""
    with os.scandir(settings.output_dir) as entries:
        for entry in entries:
            path = PurePosixPath(entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            if not entry.name.startswith((".", "sub-") if is_folder else "."):
                yield from files_below(settings.output_dir, path) if is_folder else (path,)


def _masks_of(settings: MetadataOptions, path: PurePosixPath) -> tuple[PurePosixPath, PurePosixPath]:
    mask = mask_of(scan_at(settings.bids_dir / path), BIDS)
    return mask, sidecar_of(mask)


def _is_same(settings: MetadataOptions, path: PurePosixPath) -> bool:
    """Tell whether an image is in the output already, just as it would be written now."""
    if settings.force or not is_own_file(settings.output_dir / path):
        return False
    try:
        image, there = read_image(settings.bids_dir / path), read_image(settings.output_dir / path)
    except ImageError:  # to be told where it is written
        return False
    stored, kept = (np.frombuffer(memoryview(one.stored.T).cast("B"), np.uint8) for one in (image, there))
    same_header = clean_header(image.header).binaryblock == there.header.binaryblock
    return same_header and np.array_equal(stored, kept)


def _check_not_empty(
    settings: MetadataOptions, scope: SubjectScope, there: Collection[PurePosixPath]
) -> None:
    """Refuse a folder of the input that is empty, perhaps not mounted, where the output has files."""
    top = settings.bids_dir / f"sub-{scope.subject}"
    for folder in (top, *(path for path in top.glob("ses-*") if path.is_dir())):
        name = PurePosixPath(folder.relative_to(settings.bids_dir))
        has_results = any(path.is_relative_to(name) for path in there)
        if has_results and all(one.name.startswith(".") for one in files_in(settings.bids_dir, str(name))):
            raise BidsdefaceError(
                f"{folder}: has no file, and {settings.output_dir / name} has; fetch or mount what is "
                "missing, or remove both folders"
            )


def _may_go(settings: MetadataOptions, path: PurePosixPath) -> bool:
    """Return True if a file above participants is an earlier run's: the input has it, or BIDS knows it.

    A text that the input has not may have been added to the output by hand.
    """
    is_known = not is_root_text(path) and select_files([path])[0]
    return os.path.lexists(settings.bids_dir / path) or bool(is_known)


def _is_there(settings: MetadataOptions, one: Selected) -> bool:
    if one.file_kind is FileKind.DEFACE:
        return is_defaced(settings.output_dir / one.path)
    return (settings.output_dir / one.path).is_file()
