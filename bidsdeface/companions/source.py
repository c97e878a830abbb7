"""The files of the raw dataset that matter to a participant or to the root, and facts that writers need."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from bidsdeface.companions.options import MetadataOptions
from bidsdeface.companions.prune import b0_identifiers
from bidsdeface.companions.select import (
    WITHOUT_DATA,
    FileKind,
    Selected,
    companions_alone,
    dictionaries_in,
    select_files,
)
from bidsdeface.dataset.files import files_in, is_folder, is_of_macos, participants, read_ignored
from bidsdeface.dataset.inheritance import NameIndex, merged_metadata
from bidsdeface.dataset.names import parse_name, stem_of
from bidsdeface.dataset.people import Census, People
from bidsdeface.deidentify.excluded import Excluded
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.output.record import is_published
from bidsdeface.runtime.workdir import State

# Kinds of file whose content depends on which other files are in the output.
REFERRING = (FileKind.SIDECAR, FileKind.TABLE, FileKind.TEXT)


@dataclass(frozen=True)
class SubjectScope:
    """The part of the dataset that one task writes.

    Attributes
    ----------
    subject : str, optional
        Label without ``sub-``; None for the files above participants.
    sessions : tuple of str
        Labels without ``ses-``; empty for all, and for files that belong to no session.
    """

    subject: str | None = None
    sessions: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[PurePosixPath, ...]:
        """The participant's folders that no other task writes to."""
        folder = PurePosixPath(f"sub-{self.subject}")
        return tuple(folder / f"ses-{label}" for label in self.sessions) or (folder,)

    def holds(self, path: PurePosixPath) -> bool:
        """Return True if a path, relative to the dataset, is in the scope."""
        if self.subject is None:
            return is_above_participants(path)
        return any(path.is_relative_to(folder) for folder in self.folders)


def is_above_participants(path: PurePosixPath) -> bool:
    """Return True for a file that lies in no participant's folder."""
    return not path.parts[0].startswith("sub-")


@dataclass(frozen=True)
class RawDataset:
    """The raw dataset, with the facts that are read once for all participants.

    Attributes
    ----------
    settings : MetadataOptions
    state : State or None
        Private state in the work dir.
    """

    settings: MetadataOptions
    state: State | None = None

    @property
    def root(self) -> Path:
        """Root of the dataset."""
        return self.settings.bids_dir

    @cached_property
    def census(self) -> Census:
        """How values spread over people."""
        return Census(self.root)

    @cached_property
    def people(self) -> People:
        """The people of the dataset, by the identifiers in its files."""
        return People(self.root, self.settings.policy, self.settings.keep_columns)

    @cached_property
    def root_files(self) -> tuple[PurePosixPath, ...]:
        """Files beside the participants' folders."""
        return tuple(self.files_above(folders=False))

    def files_above(self, folders: bool) -> Iterator[PurePosixPath]:
        """Yield files above participants; folders as a whole, unless patterns ask for some of their files."""
        folder = self.settings.data_dictionary
        added = dictionaries_in(folder) if folder else ()
        yield from (PurePosixPath(one.name) for one in added if not (self.root / one.name).exists())
        with os.scandir(self.root) as entries:
            for entry in entries:
                path = PurePosixPath(entry.name)
                if not is_folder(entry):
                    yield from () if is_of_macos(entry.name) else (path,)
                elif folders and is_above_participants(path):
                    is_searched = self.settings.include and not entry.name.startswith(".")
                    yield from files_in(self.root, entry.name) if is_searched else (path,)

    def is_accepted(self, name: str, content: bytes) -> bool:
        """Return True if a person has accepted a text in this run or, with private state, in an earlier one.

        A dry run leaves no trace: it is for a person who has not decided yet.
        """
        is_named = name in self.settings.accept_texts
        if self.state is None or (self.settings.dry_run and is_named):
            return is_named
        mark = self.state.derive("accepted text", os.fsencode(name), content)
        if is_named:
            self.state.remember(mark.hex(), mark)
        return self.state.remembered(mark.hex()) == mark


@dataclass(frozen=True)
class Source:
    """The files that matter to a scope, and what the writing of one file needs to know of all others.

    Attributes
    ----------
    raw : RawDataset
    scope : SubjectScope
    selected : tuple of Selected
        Files that may go along, of the scope and of what lies beside it.
    excluded : tuple of Excluded
        Files that stay behind.
    own_identifiers : Identifiers
        Identifiers of the people whose files are in the scope.
    sidecars : NameIndex
        All JSON files that are selected.
    fieldmaps : mapping of PurePosixPath to frozenset of str
        Every image's ``B0FieldIdentifier``.
    present : frozenset of PurePosixPath
        Files that the output has or will have.
    absent : frozenset of PurePosixPath
        Selected files that are not, or will not be, in the output.
    """

    raw: RawDataset
    scope: SubjectScope
    selected: tuple[Selected, ...]
    excluded: tuple[Excluded, ...]
    own_identifiers: Identifiers
    sidecars: NameIndex
    fieldmaps: Mapping[PurePosixPath, frozenset[str]]
    present: frozenset[PurePosixPath]
    absent: frozenset[PurePosixPath] = frozenset()

    @property
    def root(self) -> Path:
        """Root of the raw dataset."""
        return self.raw.root

    @cached_property
    def identifiers(self) -> Identifiers:
        """What no shared text may hold."""
        return self.own_identifiers | self.raw.people.identifiers_above

    @property
    def within(self) -> list[Selected]:
        """Selected files of the scope itself."""
        return [one for one in self.selected if self.scope.holds(one.path)]

    def fieldmaps_of(self, subject: str | None) -> frozenset[str]:
        """Return the field maps that are present, of a participant or of all."""
        within = f"sub-{subject}/" if subject else ""
        images = (path for path in self.fieldmaps if path in self.present and str(path).startswith(within))
        return frozenset().union(*(self.fieldmaps[path] for path in images))

    def without(self, absent: Collection[PurePosixPath]) -> "Source":
        """Return the same without some files and the files of the same name but for the extension."""
        stems = {(path.parent, stem_of(path)) for path in absent}
        present = (path for path in self.present if (path.parent, stem_of(path)) not in stems)
        return replace(self, present=frozenset(present), absent=self.absent | set(absent))

    def exclude(self, excluded: Iterable[Excluded]) -> "Source":
        """Return the same without some files, and without files that describe only absent data."""
        excluded = list(excluded)
        absent = {one.path for one in excluded}
        paths = {one.path for one in self.selected}
        alone = companions_alone(paths, paths - absent) & {one.path for one in self.within}
        absent |= alone
        referring = absent & {one.path for one in self.selected if one.file_kind in REFERRING}
        source = self.without(absent - referring)
        return replace(
            source,
            present=source.present - referring,
            absent=self.absent | absent,
            excluded=(*self.excluded, *excluded, *(Excluded(path, WITHOUT_DATA) for path in sorted(alone))),
        )


def subject_source(scope: SubjectScope, raw: RawDataset) -> Source:
    """Select a participant's files, and the sidecars and tables above that apply to them.

    An image that was defaced once stays so, unless everything is redone by force.
    """
    settings = raw.settings
    paths = [*files_in(raw.root, f"sub-{scope.subject}"), *raw.root_files]
    paths += files_in(raw.root, "stimuli") if settings.include else []  # events name them
    selected, excluded = _select(raw, paths)
    applying = [
        replace(one, file_kind=FileKind.DEFACE)
        if one.file_kind is FileKind.IMAGE
        and not settings.force
        and is_published(settings.output_dir / one.path)
        else one
        for one in selected
        if len(one.path.parts) > 1 or one.file_kind in (FileKind.SIDECAR, FileKind.TABLE)
    ]
    return make_source(raw, scope, applying, excluded, raw.people.identifiers_of(str(scope.subject)))


def root_source(raw: RawDataset, known: Mapping[str, Identifiers] | None = None) -> Source:
    """Select all files of the dataset; the scope is the files above participants.

    Parameters
    ----------
    raw : RawDataset
    known : mapping of str to Identifiers, optional
        Identifiers of participants, by label, that need not be read again.
    """
    paths, labels = list(raw.files_above(folders=True)), participants(raw.root)
    for label in labels:
        paths += files_in(raw.root, f"sub-{label}")
    identifiers = raw.people.all_identifiers(labels, known)
    return make_source(raw, SubjectScope(), *_select(raw, paths), identifiers)


def _select(raw: RawDataset, paths: Iterable[PurePosixPath]) -> tuple[list[Selected], list[Excluded]]:
    return select_files(paths, include=raw.settings.include, ignored=read_ignored(raw.root))


def make_source(
    raw: RawDataset,
    scope: SubjectScope,
    selected: Collection[Selected],
    excluded: Iterable[Excluded],
    own_identifiers: Identifiers,
) -> Source:
    """Read what the writing of one file needs to know of all others."""
    sidecars = NameIndex(
        name for one in selected if one.path.suffix == ".json" and (name := parse_name(one.path))
    )
    fieldmaps = {
        one.path: frozenset(b0_identifiers(merged_metadata(raw.root, name, sidecars.near(name))))
        for one in selected
        if one.file_kind in (FileKind.IMAGE, FileKind.DEFACE) and (name := parse_name(one.path))
    }
    present = frozenset(one.path for one in selected)
    return Source(raw, scope, tuple(selected), tuple(excluded), own_identifiers, sidecars, fieldmaps, present)
