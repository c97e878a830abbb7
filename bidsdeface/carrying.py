"""Carry over all that goes along with the defaced scans of a participant, and what is above participants.

What a participant's files say depends on the input and on which images are in the output, never on which
task wrote them: tasks may share the work in any way, and `settle` puts right what they could not know.
"""

from __future__ import annotations

import filecmp
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bidsdeface.dataset.carryover import Carried, LeftOut, Treatment, plan_carryover
from bidsdeface.dataset.publish import Staging
from bidsdeface.dataset.shareable import carry_over, read_source
from bidsdeface.dataset.treatments import Source, Wishes, stem, with_statement
from bidsdeface.errors import BidsdefaceError, ImageError, storage_errors
from bidsdeface.imaging.image import clean_header, read_image
from bidsdeface.privacy.state import State
from bidsdeface.settings import Settings

LOGGER = logging.getLogger(__name__)
SAYING = (Treatment.SIDECAR, Treatment.TABLE, Treatment.TEXT)  # what else there is
OWN_MASK = "_defacemask"
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

    def holds(self, path: PurePosixPath) -> bool:
        """Tell whether a path, relative to the dataset, is in the scope."""
        if path.parts[0] != f"sub-{self.subject}":
            return False
        return not self.sessions or path.parts[1] in {f"ses-{label}" for label in self.sessions}


@dataclass(frozen=True)
class Shared:
    """What became of the files in a scope.

    Attributes
    ----------
    written : tuple of PurePosixPath
        Files that are new or other than before.
    left_out : tuple of LeftOut
        Files that should have gone along, and could not be made safe.
    """

    written: tuple[PurePosixPath, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def participants(bids_dir: Path) -> list[str]:
    """Return the labels of all participants, without ``sub-``."""
    folders = (path.name for path in bids_dir.glob("sub-*") if path.is_dir())
    return sorted(name.removeprefix("sub-") for name in folders)


def share(scope: Scope, settings: Settings, state: State | None) -> Shared:
    """Put a participant's files beside the defaced scans, and take away what may not be there any more.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    carried, left_out = _plan(settings, scope.subject)
    files = [one for one in carried if scope.holds(one.path)]
    behind = [one for one in left_out if scope.holds(one.path)]
    absent = {
        one.path for one in files if one.treatment is Treatment.DEFACE and not _is_defaced(settings, one.path)
    }
    behind += [LeftOut(path, "shows a head, and was not defaced") for path in sorted(absent)]
    _log_behind(f"sub-{scope.subject}", behind)
    known = {one.path for one in files} | {one.path for one in behind}
    return _put(settings, state, carried, files, absent, known)


def settle(scope: Scope, settings: Settings, state: State | None) -> Shared:
    """Write a participant's sidecars and tables by what is in the output now.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    carried, _ = _plan(settings, scope.subject)
    within = [one for one in carried if scope.holds(one.path)]
    files = [one for one in within if one.treatment in {*SAYING, Treatment.DEFACE}]
    absent = {one.path for one in within if one.treatment not in SAYING and not _is_there(settings, one)}
    return _put(settings, state, carried, files, absent, {one.path for one in files})


def share_root(settings: Settings, state: State | None) -> Shared:
    """Write what is above participants, by what tasks have left of them.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    below = [path for label in participants(settings.bids_dir) for path in _walk(settings, f"sub-{label}")]
    carried, left_out = _sort(settings, [*below, *_above(settings, folders=True)])
    data = [one for one in carried if one.path.parts[0].startswith("sub-")]
    files = [one for one in carried if one not in data]
    _log_behind("above participants", [one for one in left_out if not one.path.parts[0].startswith("sub-")])
    absent = {one.path for one in data if not _is_there(settings, one)}
    return _put(settings, state, carried, files, absent, {one.path for one in files}, readme=True)


def wishes_of(settings: Settings, state: State | None) -> Wishes:
    """Return what a person asked for, with the key of dates if there is private state."""
    key = state.derive("dates") if state else None
    return Wishes(settings.policy, settings.keep_columns, settings.drop_columns, key)


def _put(
    settings: Settings,
    state: State | None,
    carried: Sequence[Carried],
    files: Sequence[Carried],
    absent: set[PurePosixPath],
    known: set[PurePosixPath],
    readme: bool = False,
) -> Shared:
    """Treat files and publish those that are other than before; of those `known`, what may not stay goes."""
    wishes = wishes_of(settings, state)
    source = _without(read_source(settings.bids_dir, carried, wishes), carried, absent)
    same = {one.path for one in files if one.treatment is Treatment.IMAGE and _is_same(settings, one.path)}
    defaced = {one.path for one in files if one.treatment is Treatment.DEFACE} - absent
    provenance = {_sidecar_of(path): _own_fields(settings, path) for path in sorted(defaced)}
    written = []
    with Staging(settings.output_dir) as staging:
        to_do = [one for one in files if one.path not in same]
        account = carry_over(source, to_do, staging.folder, wishes, provenance)
        if readme and not any(path.name.startswith("README") for path in account.written):
            (staging.folder / README).write_text(with_statement(README.name, ""), encoding="utf-8")
            account.written.append(README)
        for path, names in account.dropped.items():
            LOGGER.debug("%s: dropped fields or columns: %s", path, ", ".join(names))
        for path in account.written:
            if not _has_bytes_of(settings.output_dir / path, staging.folder / path):
                staging.publish({path: staging.folder / path})
                written.append(path)
    for path in known - {*account.written, *same, *defaced}:
        if not stem(path).name.endswith(OWN_MASK):
            with storage_errors(settings.output_dir / path):
                (settings.output_dir / path).unlink(missing_ok=True)
    gone = {stem(path) for path in absent}
    return Shared(tuple(written), tuple(one for one in account.left_out if stem(one.path) not in gone))


def _plan(settings: Settings, subject: str) -> tuple[list[Carried], list[LeftOut]]:
    """Sort a participant's files, and the sidecars and tables above that apply to them."""
    paths = [*_walk(settings, f"sub-{subject}"), *_above(settings, folders=False)]
    carried, left_out = _sort(settings, paths)
    apply = (Treatment.SIDECAR, Treatment.TABLE)
    return [one for one in carried if len(one.path.parts) > 1 or one.treatment in apply], left_out


def _sort(settings: Settings, paths: list[PurePosixPath]) -> tuple[list[Carried], list[LeftOut]]:
    return plan_carryover(
        paths, include=settings.include, ignored=_ignored(settings), defaced_suffixes=settings.suffixes
    )


def _walk(settings: Settings, folder: str) -> list[PurePosixPath]:
    found = []
    seen: set[str] = set()
    for place, folders, names in os.walk(settings.bids_dir / folder, followlinks=True):
        here = PurePosixPath(Path(place).relative_to(settings.bids_dir))
        seen.add(os.path.realpath(place))
        folders[:] = [one for one in folders if os.path.realpath(Path(place, one)) not in seen]  # no circles
        found += [here / name for name in names]
    return found


def _above(settings: Settings, folders: bool) -> list[PurePosixPath]:
    """List what lies beside the participants; folders as a whole, unless patterns ask for some of it."""
    found = []
    with os.scandir(settings.bids_dir) as entries:
        for entry in entries:
            if not entry.is_dir():
                found.append(PurePosixPath(entry.name))
            elif folders and not entry.name.startswith("sub-"):
                looked_into = settings.include and not entry.name.startswith(".")
                found += _walk(settings, entry.name) if looked_into else [PurePosixPath(entry.name)]
    return found


def _ignored(settings: Settings) -> list[str]:
    try:
        return (settings.bids_dir / ".bidsignore").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise BidsdefaceError(
            f"{settings.bids_dir / '.bidsignore'}: cannot be read ({error}); correct the file"
        ) from error


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
