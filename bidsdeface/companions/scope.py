"""Sort the files of the raw dataset into what is shared and what stays behind."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from bidsdeface.companions.options import MetadataOptions
from bidsdeface.companions.select import (
    WITHOUT_DATA,
    FileKind,
    Selected,
    companions_alone,
    dictionaries_in,
    select_files,
)
from bidsdeface.companions.transfer import read_source
from bidsdeface.companions.write import Source, Wishes
from bidsdeface.dataset.files import files_in, is_folder, is_of_macos, participants, read_ignored
from bidsdeface.dataset.people import Census, identifiers_above, identifiers_of
from bidsdeface.deidentify.excluded import Excluded
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.output.record import is_defaced
from bidsdeface.runtime.workdir import State

SAYING = (FileKind.SIDECAR, FileKind.TABLE, FileKind.TEXT)  # what else there is


@dataclass(frozen=True)
class SubjectScope:
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
        """Return True if a path, relative to the dataset, is in the scope."""
        return any(path.is_relative_to(folder) for folder in self.folders)


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


@dataclass(frozen=True)
class Selection:
    """The files that matter to a scope.

    Attributes
    ----------
    settings : MetadataOptions
    state : State or None
    holds : callable
        Return True for a path, relative to the dataset, that is in the scope.
    carried : tuple of Selected
        Those that may go along, of the scope and of what lies beside it.
    left_out : tuple of Excluded
        What stays behind.
    identifiers : Identifiers
        What no kept text may hold.
    census : Census
    absent : frozenset of PurePosixPath
        Those of `carried` that are not, or will not be, in the output.
    """

    settings: MetadataOptions
    state: State | None
    holds: Callable[[PurePosixPath], bool]
    carried: tuple[Selected, ...]
    left_out: tuple[Excluded, ...]
    identifiers: Identifiers
    census: Census
    absent: frozenset[PurePosixPath] = frozenset()

    @property
    def within(self) -> list[Selected]:
        """What may go along of the scope itself."""
        return [one for one in self.carried if self.holds(one.path)]

    @property
    def planned(self) -> tuple[Excluded, ...]:
        """What stays behind of the scope itself."""
        return tuple(one for one in self.left_out if self.holds(one.path))

    def source(self) -> Source:
        """Read what the treatment of one file needs to know of all others."""
        settings, state = self.settings, self.state
        wishes = Wishes(
            settings.policy,
            settings.keep_columns,
            settings.drop_columns,
            state.derive("dates") if state else None,  # without private state, no key
            settings.data_dictionary,
            lambda name, content: is_accepted(settings, state, name, content),
        )
        source = read_source(settings.bids_dir, self.carried, wishes, self.identifiers, self.census)
        return without_absent(source, self.carried, self.absent)

    def without(self, gone: Iterable[Excluded]) -> "Selection":
        """Return the same without some files, and without what describes data which are all absent."""
        gone = list(gone)
        absent = {one.path for one in gone}
        alone = alone_without(self.carried, absent, self.within)
        left_out = (*self.left_out, *gone, *(Excluded(path, WITHOUT_DATA) for path in sorted(alone)))
        return replace(self, absent=self.absent | absent | alone, left_out=left_out)


def read_above(settings: MetadataOptions) -> Above:
    """Read what is needed of all participants."""
    found = identifiers_above(settings.bids_dir, settings.policy, settings.keep_columns)
    return Above(found, Census(settings.bids_dir), tuple(files_above(settings, folders=False)))


def sort_participant(
    scope: SubjectScope, settings: MetadataOptions, state: State | None, above: Above | None = None
) -> Selection:
    """Sort a participant's files, and the sidecars and tables above that apply to them.

    An image that was defaced once stays so, unless all is redone by force.

    Parameters
    ----------
    scope : SubjectScope
    settings : MetadataOptions
    state : State or None
    above : Above, optional
        From `read_above`, where it is at hand.
    """
    above = above or read_above(settings)
    paths = [*files_in(settings.bids_dir, f"sub-{scope.subject}"), *above.files]
    paths += files_in(settings.bids_dir, "stimuli") if settings.include else []  # events name them
    carried, left_out = _sort(settings, paths)
    carried = [
        one
        for one in carried
        if len(one.path.parts) > 1 or one.file_kind in (FileKind.SIDECAR, FileKind.TABLE)
    ]
    own = identifiers_of(settings.bids_dir, scope.subject, settings.policy, settings.keep_columns)
    return Selection(
        settings,
        state,
        scope.holds,
        tuple(
            replace(one, file_kind=FileKind.DEFACE)
            if one.file_kind is FileKind.IMAGE
            and not settings.force
            and is_defaced(settings.output_dir / one.path)
            else one
            for one in carried
        ),
        tuple(left_out),
        own | above.identifiers,
        above.census,
    )


def sort_all(settings: MetadataOptions, state: State | None, identifiers: Identifiers) -> Selection:
    """Sort all files of the dataset; the scope is what lies above participants."""
    paths = list(files_above(settings, folders=True))
    for label in participants(settings.bids_dir):
        paths += files_in(settings.bids_dir, f"sub-{label}")
    carried, left_out = _sort(settings, paths)
    return Selection(
        settings,
        state,
        _is_above,
        tuple(carried),
        tuple(left_out),
        identifiers,
        Census(settings.bids_dir),
    )


def _is_above(path: PurePosixPath) -> bool:
    """Return True for a file that lies in no participant's folder."""
    return not path.parts[0].startswith("sub-")


def _sort(settings: MetadataOptions, paths: Iterable[PurePosixPath]) -> tuple[list[Selected], list[Excluded]]:
    return select_files(
        paths,
        include=settings.include,
        ignored=read_ignored(settings.bids_dir),
    )


def files_above(settings: MetadataOptions, folders: bool) -> Iterator[PurePosixPath]:
    """Yield what lies beside the participants; folders as a whole, unless patterns ask for some of it."""
    added = dictionaries_in(settings.data_dictionary) if settings.data_dictionary else ()
    yield from (PurePosixPath(one.name) for one in added if not (settings.bids_dir / one.name).exists())
    with os.scandir(settings.bids_dir) as entries:
        for entry in entries:
            path = PurePosixPath(entry.name)
            if not is_folder(entry):
                yield from () if is_of_macos(entry.name) else (path,)
            elif folders and _is_above(path):
                looked_into = settings.include and not entry.name.startswith(".")
                yield from files_in(settings.bids_dir, entry.name) if looked_into else (path,)


def alone_without(
    carried: Iterable[Selected], absent: Collection[PurePosixPath], files: Iterable[Selected]
) -> set[PurePosixPath]:
    """Return those of some files that describe data which are all absent."""
    paths = {one.path for one in carried}
    return companions_alone(paths, paths - set(absent)) & {one.path for one in files}


def without_absent(source: Source, carried: Iterable[Selected], absent: Collection[PurePosixPath]) -> Source:
    """Return the source without what is absent: images with their sidecars, sidecars and tables alone."""
    saying = {one.path for one in carried if one.file_kind in SAYING} & set(absent)
    source = source.without(set(absent) - saying)
    return replace(source, present=source.present - saying)


def is_accepted(settings: MetadataOptions, state: State | None, name: str, content: bytes) -> bool:
    """Return True if a person has accepted a text: in this run, or, with private state, in an earlier one.

    A dry run leaves no trace: it is for a person who has not decided yet.
    """
    if state is None or (settings.dry_run and name in settings.accept_texts):
        return name in settings.accept_texts
    mark = state.derive("accepted text", os.fsencode(name), content)
    if name in settings.accept_texts:
        state.remember(mark.hex(), mark)
    return state.remembered(mark.hex()) == mark
