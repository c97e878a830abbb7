"""Carry over all that goes along with the defaced scans of a participant, and what is above participants.

A task leaves in its own scope what there is to share today, and nothing else. What a participant's files say
depends on the input and on which images are in the output, never on which task wrote them: tasks may share
the work in any way, and `settle` puts right what they could not know.
"""

from __future__ import annotations

import filecmp
import logging
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bidsdeface.dataset.annex import is_own_file
from bidsdeface.dataset.carryover import (
    WITHOUT_DATA,
    Carried,
    Treatment,
    companions_alone,
    is_root_text,
    plan_carryover,
)
from bidsdeface.dataset.description import DESCRIPTION
from bidsdeface.dataset.inheritance import JsonError, read_json
from bidsdeface.dataset.kinds import is_phase, kinds_of, magnitudes_of
from bidsdeface.dataset.layout import outputs_of
from bidsdeface.dataset.listing import files_in, participants
from bidsdeface.dataset.names import scan_at, stem_of
from bidsdeface.dataset.people import (
    Census,
    all_identifiers,
    identifiers_above,
    identifiers_of,
    joined_identifiers,
)
from bidsdeface.dataset.publish import files_below, one_at_a_time, open_staging, remove_empty, remove_files
from bidsdeface.dataset.shareable import carry_over, read_source, undescribed_files
from bidsdeface.dataset.treatments import Source, Wishes
from bidsdeface.errors import BidsdefaceError, ImageError
from bidsdeface.imaging.image import clean_header, read_image
from bidsdeface.privacy.identifiers import Identifiers
from bidsdeface.privacy.leftout import FILE, LeftOut
from bidsdeface.privacy.state import State
from bidsdeface.settings import BIDS, Settings
from bidsdeface.sorting import files_above, files_of, sort_files, sort_of_participant

LOGGER = logging.getLogger(__name__)
SAYING = (Treatment.SIDECAR, Treatment.TABLE, Treatment.TEXT)  # what else there is
OWN_FIELDS = ("DeidentificationMethod", "DeidentificationMethodCodeSequence", "Bidsdeface")


@dataclass(frozen=True)
class Scope:
    """What is to be shared of one participant.

    Attributes
    ----------
    subject : str
        Label without ``sub-``.
    sessions : tuple of str
        Labels without ``ses-``; empty for all, and for what belongs to no session.
    """

    subject: str
    sessions: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[PurePosixPath, ...]:
        """The folders that it is about, and that no other task writes to."""
        folder = PurePosixPath(f"sub-{self.subject}")
        return tuple(folder / f"ses-{label}" for label in self.sessions) or (folder,)

    def holds(self, path: PurePosixPath) -> bool:
        """Tell whether a path, relative to the dataset, is in the scope."""
        return any(path.is_relative_to(folder) for folder in self.folders)


@dataclass(frozen=True)
class Shared:
    """What became of the files in a scope.

    Attributes
    ----------
    planned : tuple of LeftOut
        What stays behind by its kind.
    left_out : tuple of LeftOut
        Files that should have gone along and could not be made safe, and parts of files.
    identifiers : Identifiers
        Of a participant whose files were looked at in a preview.
    """

    planned: tuple[LeftOut, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    identifiers: Identifiers = Identifiers()


@dataclass(frozen=True)
class Above:
    """What is read once for all participants.

    Attributes
    ----------
    identifiers : Identifiers
        Of what lies above them.
    census : Census
    files : tuple of PurePosixPath
        Those beside the participants' folders.
    """

    identifiers: Identifiers
    census: Census
    files: tuple[PurePosixPath, ...]


def read_above(settings: Settings) -> Above:
    """Read what is needed of all participants."""
    found = identifiers_above(settings.bids_dir, settings.policy, settings.keep_columns)
    files = tuple(files_above(settings, folders=False))
    return Above(found, Census(settings.bids_dir), files)


def share(scope: Scope, settings: Settings, state: State | None, above: Above | None = None) -> Shared:
    """Put a participant's files beside the defaced scans, and take away what may not be there any more.

    Parameters
    ----------
    scope : Scope
    settings : Settings
    state : State or None
    above : Above, optional
        From `read_above`, where it is at hand.

    Raises
    ------
    BidsdefaceError
        The input has no file of the participant, and the output has; or a file cannot be written.
    """
    above = above or read_above(settings)
    carried, left_out = _sort(settings, scope, above)
    files = [one for one in carried if scope.holds(one.path)]
    behind = [one for one in left_out if scope.holds(one.path)]
    not_defaced = {
        one.path for one in files if one.treatment is Treatment.DEFACE and not _is_defaced(settings, one.path)
    }
    behind += [_why_not_defaced(settings, path) for path in sorted(not_defaced)]
    alone = _alone(carried, not_defaced, files)
    behind += [LeftOut(path, WITHOUT_DATA) for path in sorted(alone)]
    shared = _put_in(scope, settings, state, above, carried, files, not_defaced | alone)
    return replace(shared, planned=tuple(behind))


def settle(scope: Scope, settings: Settings, state: State | None, above: Above | None = None) -> Shared:
    """Write a participant's sidecars and tables by what is in the output now; parameters as of `share`.

    Raises
    ------
    BidsdefaceError
        The input has no file of the participant, and the output has; or a file cannot be written.
    """
    above = above or read_above(settings)
    carried, left_out = _sort(settings, scope, above)
    within = [one for one in carried if scope.holds(one.path)]
    files = [one for one in within if one.treatment in {*SAYING, Treatment.DEFACE}]
    gone = {one.path for one in within if one.treatment not in SAYING and not _is_there(settings, one)}
    alone = _alone(carried, gone, within)
    behind = [LeftOut(path, "is not in the output: no run has made it safe") for path in sorted(gone)]
    behind += [LeftOut(path, WITHOUT_DATA) for path in sorted(alone)]
    absent = gone | alone
    behind += [one for one in left_out if scope.holds(one.path)]
    source = _read(settings, state, above.identifiers, above.census, carried)
    undescribed = undescribed_files(source, (one for one in within if one.path not in absent))
    absent |= {one.path for one in undescribed}
    standing = {one.path for one in within} - {one.path for one in files} - absent
    shared = _put_in(scope, settings, state, above, carried, files, absent, standing)
    return replace(shared, planned=tuple(behind), left_out=(*shared.left_out, *undescribed))


def share_root(settings: Settings, state: State | None) -> Shared:
    """Write what is above participants, by what tasks have left of them.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    labels, carried, left_out = _sort_all(settings)
    data = [one for one in carried if not _is_above(one)]
    files = [one for one in carried if _is_above(one)]
    absent = {one.path for one in data if not _is_there(settings, one)}
    alone = _alone(carried, absent, files)
    above = _above_in_output(settings)
    # By its description, the next run knows that the output is ours: it is replaced, and never removed.
    there = {path for path in above if _may_go(settings, path) and path != DESCRIPTION}
    strange = sorted({path.parts[0] for path in above - there - {one.path for one in files}})
    identifiers = all_identifiers(settings.bids_dir, labels, settings.policy, settings.keep_columns)
    shared = _put(
        settings, state, identifiers, Census(settings.bids_dir), carried, files, absent | alone, there
    )
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
    behind = [one for one in left_out if _is_above(one)]
    behind += [LeftOut(path, WITHOUT_DATA) for path in sorted(alone)]
    return replace(shared, planned=tuple(behind))


def preview(scope: Scope, settings: Settings, state: State | None, above: Above | None = None) -> Shared:
    """Return what would stay behind of a participant; nothing is published. Parameters as of `share`."""
    above = above or read_above(settings)
    carried, left_out = _sort(settings, scope, above)
    within = [one for one in carried if scope.holds(one.path)]
    not_asked = {
        one.path
        for one in within
        if one.treatment is Treatment.DEFACE and not _is_defaced(settings, one.path)
        if not _is_asked(settings, one.path)
    }
    alone = _alone(carried, not_asked, within)
    absent = not_asked | alone
    files = [one for one in within if one.treatment in SAYING and one.path not in absent]
    own = identifiers_of(settings.bids_dir, scope.subject, settings.policy, settings.keep_columns)
    source = _read(settings, state, own | above.identifiers, above.census, carried)
    account = _preview(_without(source, carried, absent), files, settings, state)
    behind = [one for one in left_out if scope.holds(one.path)]
    behind += [_why_not_defaced(settings, path) for path in sorted(not_asked)]
    behind += [LeftOut(path, WITHOUT_DATA) for path in sorted(alone)]
    return Shared(tuple(behind), account, own)


def preview_root(settings: Settings, state: State | None, below: Iterable[Shared]) -> Shared:
    """Return what would stay behind of what is above participants; nothing is published.

    Parameters
    ----------
    settings : Settings
    state : State or None
    below : iterable of Shared
        From `preview`, of all participants.
    """
    labels, carried, left_out = _sort_all(settings)
    files = [one for one in carried if _is_above(one) and one.treatment in SAYING]
    above = identifiers_above(settings.bids_dir, settings.policy, settings.keep_columns)
    identifiers = joined_identifiers([above, *(one.identifiers for one in below)])
    source = _read(settings, state, identifiers, Census(settings.bids_dir), carried)
    behind = (one for one in left_out if _is_above(one))
    return Shared(tuple(behind), _preview(source, files, settings, state))


def _preview(
    source: Source, files: Sequence[Carried], settings: Settings, state: State | None
) -> tuple[LeftOut, ...]:
    return tuple(carry_over(source, files, None, wishes_of(settings, state)).left_out)


def wishes_of(settings: Settings, state: State | None) -> Wishes:
    """Return what a person asked for, with the key of dates if there is private state."""
    return Wishes(
        settings.policy,
        settings.keep_columns,
        settings.drop_columns,
        state.derive("dates") if state else None,
        settings.data_dictionary,
        lambda name, content: is_accepted(settings, state, name, content),
    )


def is_accepted(settings: Settings, state: State | None, name: str, content: bytes) -> bool:
    """Return True if a person has accepted a text: in this run, or, with private state, in an earlier one.

    A dry run leaves no trace: it is for a person who has not decided yet.
    """
    if state is None or (settings.dry_run and name in settings.accept_texts):
        return name in settings.accept_texts
    mark = state.derive("accepted text", os.fsencode(name), content)
    if name in settings.accept_texts:
        state.remember(mark.hex(), mark)
    return state.remembered(mark.hex()) == mark


def _sort(settings: Settings, scope: Scope, above: Above) -> tuple[list[Carried], list[LeftOut]]:
    """Sort a participant's files; an image that was defaced once stays so, unless all is redone by force."""
    carried, left_out = sort_of_participant(settings, scope.subject, above.files)
    return [
        replace(one, treatment=Treatment.DEFACE)
        if one.treatment is Treatment.IMAGE and not settings.force and _is_defaced(settings, one.path)
        else one
        for one in carried
    ], left_out


def _sort_all(settings: Settings) -> tuple[list[str], list[Carried], list[LeftOut]]:
    """Sort all files of the dataset; return the labels of its participants as well."""
    labels = participants(settings.bids_dir)
    below = [path for label in labels for path in files_of(settings, f"sub-{label}")]
    return labels, *sort_files(settings, [*below, *files_above(settings, folders=True)])


def _is_above(one: Carried | LeftOut) -> bool:
    """Return True for a file that lies in no participant's folder."""
    return not one.path.parts[0].startswith("sub-")


def _alone(
    carried: Iterable[Carried], absent: Collection[PurePosixPath], files: Iterable[Carried]
) -> set[PurePosixPath]:
    """Return those of some files that describe data which are all absent."""
    paths = {one.path for one in carried}
    return companions_alone(paths, paths - set(absent)) & {one.path for one in files}


def _is_asked(settings: Settings, path: PurePosixPath) -> bool:
    """Return True if an image is of a kind that is to be defaced."""
    scan = scan_at(settings.bids_dir / path)
    return (scan.datatype, scan.suffix) in kinds_of(settings.to_deface)


def _why_not_defaced(settings: Settings, path: PurePosixPath) -> LeftOut:
    """Return why an image stays behind, with the option that defaces it where it was not asked for."""
    scan = scan_at(settings.bids_dir / path)
    shows = "shows phase, and the face in it" if is_phase(scan) else "shows a head"
    asked = kinds_of(settings.to_deface)
    needed = [scan.suffix]
    if is_phase(scan) and not any((scan.datatype, one) in asked for one in magnitudes_of(scan.suffix)):
        needed += [magnitudes_of(scan.suffix)[0]]
    if _is_asked(settings, path) and len(needed) == 1:
        or_not_asked = ", unless --bids-filter-file leaves it out" if settings.filters else ""
        return LeftOut(path, f"was not defaced: see its line FAILED{or_not_asked}")
    return LeftOut(path, f"{shows}, and is not asked for", remedy=settings.option_to_deface(*needed))


def _put_in(
    scope: Scope,
    settings: Settings,
    state: State | None,
    above: Above,
    carried: Sequence[Carried],
    files: Sequence[Carried],
    absent: set[PurePosixPath],
    standing: Collection[PurePosixPath] = (),
) -> Shared:
    """Leave in the folders of a scope what is to be shared, with those `standing`, and nothing else."""
    there = {path for folder in scope.folders for path in files_below(settings.output_dir, folder)}
    _check_not_empty(settings, scope, there)
    own = identifiers_of(settings.bids_dir, scope.subject, settings.policy, settings.keep_columns)
    stale = there - set(standing)
    shared = _put(settings, state, own | above.identifiers, above.census, carried, files, absent, stale)
    for folder in scope.folders:
        remove_empty(settings.output_dir, folder)
    return shared


def _put(
    settings: Settings,
    state: State | None,
    identifiers: Identifiers,
    census: Census,
    carried: Sequence[Carried],
    files: Sequence[Carried],
    absent: set[PurePosixPath],
    there: Collection[PurePosixPath],
) -> Shared:
    """Treat files and publish those that are other than before; of those `there`, what may not stay goes."""
    wishes = wishes_of(settings, state)
    source = _without(_read(settings, state, identifiers, census, carried), carried, absent)
    same = {one.path for one in files if one.treatment is Treatment.IMAGE and _is_same(settings, one.path)}
    defaced = {one.path for one in files if one.treatment is Treatment.DEFACE} - absent
    provenance = {_sidecar_of(path): _own_fields(settings, path) for path in sorted(defaced)}
    with open_staging(settings.output_dir) as staging:
        to_do = [one for one in files if one.path not in same]
        account = carry_over(source, to_do, staging.folder, wishes, provenance)
        for path in account.written:
            if not _has_bytes_of(settings.output_dir / path, staging.folder / path):
                staging.publish({path: staging.folder / path})
    masks = {name for path in defaced for name in _masks_of(settings, path)}
    stale = _remove_stale(settings, set(there) - {*account.written, *same, *defaced, *masks}, absent)
    if stale:
        LOGGER.info("removed from OUTPUT_DIR, as it is not to be shared now: %s", ", ".join(map(str, stale)))
    gone = {(path.parent, stem_of(path)) for path in absent}
    behind = (one for one in account.left_out if (one.path.parent, stem_of(one.path)) not in gone)
    return Shared(left_out=tuple(behind))


def _read(
    settings: Settings,
    state: State | None,
    identifiers: Identifiers,
    census: Census,
    carried: Sequence[Carried],
) -> Source:
    return read_source(settings.bids_dir, carried, wishes_of(settings, state), identifiers, census)


def _remove_stale(
    settings: Settings, stale: set[PurePosixPath], absent: Iterable[PurePosixPath]
) -> list[PurePosixPath]:
    """Remove files, but for a scan that another task has published by now; tell which."""
    gone = []
    for folder in {path.parent for path in stale}:
        with one_at_a_time(settings.output_dir / folder):
            late = [one for one in absent if one.parent == folder and _is_defaced(settings, one)]
            needed = {name for one in late for name in (one, _sidecar_of(one), *_masks_of(settings, one))}
            here = [path for path in stale if path.parent == folder and path not in needed]
            remove_files(settings.output_dir, here)
        gone += here
    return sorted(gone)


def _check_not_empty(settings: Settings, scope: Scope, there: Collection[PurePosixPath]) -> None:
    """Refuse a folder of the input that is empty, perhaps not mounted, where the output has files."""
    top = settings.bids_dir / f"sub-{scope.subject}"
    for folder in (top, *(path for path in top.glob("ses-*") if path.is_dir())):
        name = PurePosixPath(folder.relative_to(settings.bids_dir))
        if not any(path.is_relative_to(name) for path in there):
            continue
        if all(path.name.startswith(".") for path in files_in(settings.bids_dir, str(name))):
            raise BidsdefaceError(
                f"{folder}: has no file, and {settings.output_dir / name} has; fetch or mount what is "
                "missing, or remove both folders"
            )


def _above_in_output(settings: Settings) -> set[PurePosixPath]:
    """List what the output has above participants, but for what is hidden."""
    found: set[PurePosixPath] = set()
    with os.scandir(settings.output_dir) as entries:
        for entry in entries:
            path = PurePosixPath(entry.name)
            if not entry.is_dir(follow_symlinks=False):
                found |= set() if entry.name.startswith(".") else {path}
            elif not entry.name.startswith((".", "sub-")):
                found |= files_below(settings.output_dir, path)
    return found


def _may_go(settings: Settings, path: PurePosixPath) -> bool:
    """Tell whether a file above participants is an earlier run's: the input has it, or BIDS knows it.

    A text that the input has not may have been added to the output by hand.
    """
    if os.path.lexists(settings.bids_dir / path):
        return True
    return not is_root_text(path) and bool(plan_carryover([path], defaced_suffixes=settings.to_deface)[0])


def _without(source: Source, carried: Iterable[Carried], absent: set[PurePosixPath]) -> Source:
    """Return the source without what is absent: images with their sidecars, sidecars and tables alone."""
    saying = {one.path for one in carried if one.treatment in SAYING} & absent
    source = source.without(absent - saying)
    return replace(source, present=source.present - saying)


def _is_there(settings: Settings, one: Carried) -> bool:
    if one.treatment is Treatment.DEFACE:
        return _is_defaced(settings, one.path)
    return (settings.output_dir / one.path).is_file()


def _is_defaced(settings: Settings, path: PurePosixPath) -> bool:
    """Tell whether the defacing engine has published an image: its sidecar vouches for it."""
    return (settings.output_dir / path).is_file() and "Bidsdeface" in _own_fields(settings, path)


def _masks_of(settings: Settings, path: PurePosixPath) -> tuple[PurePosixPath, PurePosixPath]:
    outputs = outputs_of(scan_at(settings.bids_dir / path), BIDS)
    return outputs.mask, outputs.mask_sidecar


def _own_fields(settings: Settings, path: PurePosixPath) -> dict[str, Any]:
    sidecar_path = settings.output_dir / _sidecar_of(path)
    try:
        sidecar = read_json(sidecar_path)
        return {name: sidecar[name] for name in OWN_FIELDS if name in sidecar}
    except (FileNotFoundError, NotADirectoryError, JsonError):  # none of ours
        return {}
    except OSError as error:  # it may be ours: what it vouches for is not to be removed
        raise BidsdefaceError(f"{sidecar_path}: cannot be read ({error.strerror}); correct it") from error


def _is_same(settings: Settings, path: PurePosixPath) -> bool:
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


def _has_bytes_of(there: Path, staged: Path) -> bool:
    return is_own_file(there) and filecmp.cmp(there, staged, shallow=False)


def _sidecar_of(path: PurePosixPath) -> PurePosixPath:
    return path.with_name(f"{stem_of(path)}.json")
