"""Carry over all that goes along with the defaced scans of a participant, and what is above participants.

A task leaves in its own scope what there is to share today, and nothing else. What a participant's files say
depends on the input and on which images are in the output, never on which task wrote them: tasks may share
the work in any way, and `settle` puts right what they could not know.
"""

from __future__ import annotations

import filecmp
import json
import logging
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bidsdeface.dataset.carryover import Carried, LeftOut, Treatment, is_root_text, plan_carryover
from bidsdeface.dataset.identifying import Told
from bidsdeface.dataset.layout import outputs_of
from bidsdeface.dataset.listing import files_in
from bidsdeface.dataset.publish import Staging, one_at_a_time
from bidsdeface.dataset.scan import scan_at
from bidsdeface.dataset.shareable import carry_over, read_source
from bidsdeface.dataset.stale import files_below, remove_empty, remove_files
from bidsdeface.dataset.treatments import STATEMENT, Source, Wishes, stem, with_statement
from bidsdeface.errors import BidsdefaceError, ImageError
from bidsdeface.imaging.image import clean_header, read_image
from bidsdeface.privacy.identifiers import Identifiers
from bidsdeface.privacy.redact import MARK, redact_again
from bidsdeface.privacy.state import State
from bidsdeface.settings import BIDS, Settings
from bidsdeface.sorting import files_above, files_of, participants, sort_files, sort_of_participant

LOGGER = logging.getLogger(__name__)
SAYING = (Treatment.SIDECAR, Treatment.TABLE, Treatment.TEXT)  # what else there is
OWN_FIELDS = ("DeidentificationMethod", "DeidentificationMethodCodeSequence", "Bidsdeface")
README = PurePosixPath("README")


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
    left_out : tuple of LeftOut
        Files that should have gone along, and could not be made safe.
    """

    left_out: tuple[LeftOut, ...] = ()


def share(scope: Scope, settings: Settings, state: State | None, above: Told | None = None) -> Shared:
    """Put a participant's files beside the defaced scans, and take away what may not be there any more.

    Parameters
    ----------
    scope : Scope
    settings : Settings
    state : State or None
    above : Told, optional
        From `told_above`, where it is at hand.

    Raises
    ------
    BidsdefaceError
        The input has no file of the participant, and the output has; or a file cannot be written.
    """
    carried, left_out = sort_of_participant(settings, scope.subject)
    files = [one for one in carried if scope.holds(one.path)]
    behind = [one for one in left_out if scope.holds(one.path)]
    absent = {
        one.path for one in files if one.treatment is Treatment.DEFACE and not _is_defaced(settings, one.path)
    }
    behind += [LeftOut(path, "shows a head, and was not defaced") for path in sorted(absent)]
    _log_behind(f"sub-{scope.subject}", behind)
    return _put_in(scope, settings, state, above, carried, files, absent)


def settle(scope: Scope, settings: Settings, state: State | None, above: Told | None = None) -> Shared:
    """Write a participant's sidecars and tables by what is in the output now; parameters as of `share`.

    Raises
    ------
    BidsdefaceError
        The input has no file of the participant, and the output has; or a file cannot be written.
    """
    carried, _ = sort_of_participant(settings, scope.subject)
    within = [one for one in carried if scope.holds(one.path)]
    files = [one for one in within if one.treatment in {*SAYING, Treatment.DEFACE}]
    absent = {one.path for one in within if one.treatment not in SAYING and not _is_there(settings, one)}
    standing = {one.path for one in within} - {one.path for one in files} - absent
    return _put_in(scope, settings, state, above, carried, files, absent, standing)


def share_root(settings: Settings, state: State | None) -> Shared:
    """Write what is above participants, by what tasks have left of them.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    below = [path for label in participants(settings.bids_dir) for path in files_of(settings, f"sub-{label}")]
    carried, left_out = sort_files(settings, [*below, *files_above(settings, folders=True)])
    data = [one for one in carried if one.path.parts[0].startswith("sub-")]
    files = [one for one in carried if not one.path.parts[0].startswith("sub-")]
    _log_behind("above participants", [one for one in left_out if not one.path.parts[0].startswith("sub-")])
    absent = {one.path for one in data if not _is_there(settings, one)}
    above = _above_in_output(settings)
    there = {path for path in above if _may_go(settings, path)}
    strange = sorted({path.parts[0] for path in above - there - {one.path for one in files}})
    has_readme = any(path.stem == README.name and len(path.parts) == 1 for path in above - there)
    shared = _put(settings, state, None, carried, files, absent, there, readme=not has_readme)
    for folder in {PurePosixPath(path.parts[0]) for path in there if len(path.parts) > 1}:
        remove_empty(settings.output_dir, folder)
    if strange:
        LOGGER.warning(
            "%s: holds what is not of this input; remove it, or it is shared as well: %s",
            settings.output_dir,
            ", ".join(strange),
        )
    return shared


def wishes_of(settings: Settings, state: State | None) -> Wishes:
    """Return what a person asked for, with the key of dates if there is private state."""
    key = state.derive("dates") if state else None
    return Wishes(settings.policy, settings.keep_columns, settings.drop_columns, key)


def _put_in(
    scope: Scope,
    settings: Settings,
    state: State | None,
    above: Told | None,
    carried: Sequence[Carried],
    files: Sequence[Carried],
    absent: set[PurePosixPath],
    standing: Collection[PurePosixPath] = (),
) -> Shared:
    """Leave in the folders of a scope what is to be shared, with those `standing`, and nothing else."""
    there = {path for folder in scope.folders for path in files_below(settings.output_dir, folder)}
    _check_not_empty(settings, scope, there)
    shared = _put(settings, state, above, carried, files, absent, there - set(standing))
    for folder in scope.folders:
        remove_empty(settings.output_dir, folder)
    return shared


def _put(
    settings: Settings,
    state: State | None,
    above: Told | None,
    carried: Sequence[Carried],
    files: Sequence[Carried],
    absent: set[PurePosixPath],
    there: Collection[PurePosixPath],
    readme: bool = False,
) -> Shared:
    """Treat files and publish those that are other than before; of those `there`, what may not stay goes."""
    wishes = wishes_of(settings, state)
    source = _without(read_source(settings.bids_dir, carried, wishes, above=above), carried, absent)
    same = {one.path for one in files if one.treatment is Treatment.IMAGE and _is_same(settings, one.path)}
    defaced = {one.path for one in files if one.treatment is Treatment.DEFACE} - absent
    provenance = {_sidecar_of(path): _own_fields(settings, path) for path in sorted(defaced)}
    earlier = [_text(settings.output_dir / path) for path in sorted(there) if is_root_text(path)]
    with Staging(settings.output_dir) as staging:
        to_do = [one for one in files if one.path not in same]
        account = carry_over(source, to_do, staging.folder, wishes, provenance)
        if readme and not any(path.name.startswith("README") for path in account.written):
            (staging.folder / README).write_text(with_statement(README.name, ""), encoding="utf-8")
            account.written.append(README)
        for path, names in account.dropped.items():
            LOGGER.debug("%s: dropped fields or columns: %s", path, ", ".join(names))
        for path in account.written:
            here, new = settings.output_dir / path, staging.folder / path
            if not path.parts[0].startswith("sub-"):
                _stay_redacted(path, here, new, earlier, source.identifiers)
            if not _has_bytes_of(here, new):
                staging.publish({path: new})
    masks = {name for path in defaced for name in _masks_of(settings, path)}
    stale = _remove_stale(settings, set(there) - {*account.written, *same, *defaced, *masks}, absent)
    if stale:
        LOGGER.info("removed from OUTPUT_DIR, as it is not to be shared now: %s", ", ".join(map(str, stale)))
    gone = {stem(path) for path in absent}
    return Shared(tuple(one for one in account.left_out if stem(one.path) not in gone))


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


def _stay_redacted(
    path: PurePosixPath, here: Path, new: Path, earlier: Iterable[str], identifiers: Identifiers
) -> None:
    """Redact in a new text what was redacted before, and warn of one that shows more.

    Tables are passed over: their rows come and go.
    """
    if path.suffix != ".json" and not is_root_text(path):
        return
    text = _text(new)
    again = redact_again(text, earlier, identifiers) if is_root_text(path) else text
    if again != text:
        new.write_text(again, encoding="utf-8")
        LOGGER.warning(
            "%s: redacted where an earlier run had done so; if what stands there in BIDS_DIR now names "
            "nobody, remove this file and run again",
            here,
        )
    if _text(here).count(MARK) > again.count(MARK):
        LOGGER.warning(
            "%s: less is redacted than before; if nobody has changed it, it may name somebody who was "
            "withdrawn: read it",
            here,
        )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


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
    if is_root_text(path):
        return STATEMENT in _text(settings.output_dir / path)
    return bool(plan_carryover([path], defaced_suffixes=settings.suffixes)[0])


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
    try:
        sidecar = json.loads((settings.output_dir / _sidecar_of(path)).read_text(encoding="utf-8"))
        return {name: sidecar[name] for name in OWN_FIELDS if name in sidecar}
    except (OSError, ValueError, TypeError):  # none of ours
        return {}


def _is_same(settings: Settings, path: PurePosixPath) -> bool:
    """Tell whether an image is in the output already, just as it would be written now."""
    if settings.force or not (settings.output_dir / path).is_file():
        return False
    try:
        image, there = read_image(settings.bids_dir / path), read_image(settings.output_dir / path)
    except ImageError:  # to be told where it is written
        return False
    stored, kept = (np.frombuffer(memoryview(one.stored.T).cast("B"), np.uint8) for one in (image, there))
    same_header = clean_header(image.header).binaryblock == there.header.binaryblock
    return same_header and np.array_equal(stored, kept)


def _has_bytes_of(there: Path, staged: Path) -> bool:
    return there.is_file() and not there.is_symlink() and filecmp.cmp(there, staged, shallow=False)


def _sidecar_of(path: PurePosixPath) -> PurePosixPath:
    return path.with_name(f"{stem(path).name}.json")


def _log_behind(where: str, left_out: Sequence[LeftOut]) -> None:
    by_reason: dict[str, list[str]] = {}
    for one in left_out:
        by_reason.setdefault(one.reason, []).append(str(one.path))
    for reason, paths in by_reason.items():
        LOGGER.info("%s: stays behind (%s): %s", where, reason, ", ".join(paths))
