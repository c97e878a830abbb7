"""Read facts about the people of a dataset: their identifiers, and how many people share a value.

Identifiers are read from the parts of files that are not shared, and searched for in those that are. They
stand in fields and columns about a person, in image headers, and in headers of EDF and BDF files.
"""

import json
import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.files import EXTENSIONS, files_in
from bidsdeface.dataset.names import DESCRIPTION, parse_name, suffix_of
from bidsdeface.deidentify.columns import (
    ALONE,
    FEWEST_PEOPLE,
    SHIFTED,
    Spread,
    columns_to_keep,
    personal_kind,
    spread_of,
)
from bidsdeface.deidentify.contents import decoded, open_unpacked
from bidsdeface.deidentify.dictionary import DESCRIPTIVE
from bidsdeface.deidentify.edf import read_header, texts_in_edf
from bidsdeface.deidentify.identifiers import (
    DAY,
    KINDS,
    PERSON,
    WHOLE,
    Identifiers,
    are_of_names,
    identifiers_in,
    words_of,
)
from bidsdeface.deidentify.policy import DROP, Policy
from bidsdeface.deidentify.tables import is_about_people, parse_table
from bidsdeface.errors import BidsdefaceError
from bidsdeface.schema import table_columns

_OF_PEOPLE = ("sub", "ses")  # labels of other entities may be words of the study
_LONGEST_NAME = 3  # words of a person's name, in an unknown field
# Glob patterns of the folders of tables: glob does not follow links to folders with "**".
_DEPTHS = ("", "sub-*/", "sub-*/*/", "sub-*/*/*/")
_HEADER_BYTES = 540
_NAME = re.compile(r"[^\W\d_][\w'-]+(?:\^[^\W\d_][\w'-]*)+")
Found = Iterator[tuple[str, Any]]  # kind of identifier, value


@dataclass(frozen=True)
class People:
    """The people of a raw dataset, known by the identifiers in its files.

    Attributes
    ----------
    root : Path
        Of the raw dataset.
    policy : mapping of str to Rule
    keep_columns : tuple of str
        Columns that a person has decided to keep, so that they hold no identifiers.
    """

    root: Path
    policy: Policy
    keep_columns: tuple[str, ...] = ()

    @cached_property
    def identifiers_above(self) -> Identifiers:
        """The identifiers in the files above participants."""
        files = (PurePosixPath(name) for name in os.listdir(self.root) if not (self.root / name).is_dir())
        return self._identifiers((*files, *files_in(self.root, "phenotype")))

    def identifiers_of(self, subject: str) -> Identifiers:
        """Return the identifiers in all files of a participant, shared or not.

        Parameters
        ----------
        subject : str
            Label without ``sub-``.

        Returns
        -------
        Identifiers
            Without codes and places that are labels in the names of the files.
        """
        paths = list(files_in(self.root, f"sub-{subject}"))
        names = filter(None, map(parse_name, paths))
        return self._identifiers(paths, {pair for name in names for pair in name.entities.items()})

    def all_identifiers(
        self, subjects: Iterable[str], known: Mapping[str, Identifiers] | None = None
    ) -> Identifiers:
        """Return the identifiers in all files of some participants, and in those above participants.

        A label that many participants have is a word of the study.

        Parameters
        ----------
        subjects : iterable of str
            Labels without ``sub-``.
        known : mapping of str to Identifiers, optional
            Identifiers of participants that need not be read again.
        """
        own = [(known or {}).get(one) or self.identifiers_of(one) for one in subjects]
        people = Counter(label for one in own for label in one.labels)
        of_study = {
            (key, label)
            for (key, label), count in people.items()
            if key not in _OF_PEOPLE and (count >= FEWEST_PEOPLE or count == len(own))
        }
        phrases = (one.phrases for one in (self.identifiers_above, *own))
        return Identifiers(frozenset().union(*phrases), frozenset(people.keys() - of_study))

    def _identifiers(
        self, paths: Iterable[PurePosixPath], labels: Set[tuple[str, str]] = frozenset()
    ) -> Identifiers:
        """Return the identifiers in files, without their labels unless these are a person's name."""
        people: set[tuple[str, ...]] = set()
        others: set[tuple[str, ...]] = set()
        for path in paths:
            if path.name != DESCRIPTION.name:  # authors are named on purpose
                for kind, value in _personal_values(self.root, path, self.policy, self.keep_columns):
                    (people if kind == PERSON else others).update(identifiers_in(value, kind).phrases)
        names = are_of_names({label for _, label in labels}, people)
        telling = {(key, label) for key, label in labels if label in names}
        own = labels - {(key, label) for key, label in telling if key in _OF_PEOPLE}
        forms = {words_of(form) for key, label in own for form in (label, f"{key}-{label}")}
        return Identifiers(frozenset((people | others) - forms), frozenset(telling))


def _personal_values(root: Path, path: PurePosixPath, policy: Policy, keep_columns: Iterable[str]) -> Found:
    """Yield the values in a file that identify people; none for a file that cannot be read."""
    with suppress(BidsdefaceError, OSError, EOFError, ValueError, RecursionError, zlib.error):
        if path.suffix == ".json":
            content = json.loads((root / path).read_bytes(), object_pairs_hook=_with_repeats)
            yield from _in_sidecar(content if isinstance(content, Mapping) else {}, policy)
        elif path.suffix == ".tsv":
            yield from _in_table((root / path).read_bytes(), path, keep_columns)
        elif path.name.endswith((".edf", ".bdf", *EXTENSIONS)):
            with open_unpacked(root / path) as stream:
                is_image = path.name.endswith(EXTENSIONS)
                yield from _in_image(stream.read(_HEADER_BYTES)) if is_image else _in_edf(read_header(stream))


def _with_repeats(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a JSON object; a field that occurs twice has both values."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        fields[name] = [fields[name], value] if name in fields else value
    return fields


def _in_sidecar(content: Mapping[str, Any], policy: Policy) -> Found:
    for name, value in content.items():
        rule = policy.get(name)
        within = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Mapping)]
        if any(one.keys() & DESCRIPTIVE for one in within):
            continue  # it describes a column
        is_name = rule is None and isinstance(value, str) and len(words_of(value)) <= _LONGEST_NAME
        if rule and rule.action == DROP and rule.kind in KINDS:
            yield rule.kind, value
        elif is_name and personal_kind(name) == PERSON:
            yield PERSON, value
        else:
            for one in within:
                yield from _in_sidecar(one, policy)


def _in_table(content: bytes, path: PurePosixPath, keep_columns: Iterable[str]) -> Found:
    # A table that is not UTF-8 is not shared, but its identifiers are needed all the same.
    table, bids = parse_table(decoded(content).encode(), path), table_columns(path)
    kept = columns_to_keep(suffix_of(path), keep_columns)
    for column in table.columns:
        kind = DAY if column == SHIFTED else personal_kind(column, path) if column not in bids else None
        if kind in KINDS and column not in kept and (is_about_people(path) or kind == PERSON):
            yield kind, list(dict.fromkeys(table.values(column)))


def _in_edf(header: Mapping[str, str]) -> Found:
    """Yield the parts of the patient's field, the day of the recording, and the name of the technician."""
    patient, recording = header["patient"].split(), header["recording"].split()
    yield PERSON, [part for part in patient if len(part) > 1 and not re.search(r"\d", part)]
    yield WHOLE, [part for part in (*patient, *recording[2:3]) if re.search(r"\d", part)]
    yield DAY, [*patient, *recording]
    yield PERSON, recording[3:4]


def _in_image(start: bytes) -> Found:
    """Yield names of persons in DICOM's form, and the name of the database."""
    version_2 = start[4:7] == b"n+2"
    for begin, end in ((240, 320), (320, 344)) if version_2 else ((148, 228), (228, 252)):
        yield PERSON, _NAME.findall(start[begin:end].split(b"\0")[0].decode("latin-1"))
    if not version_2:
        yield WHOLE, start[14:32].split(b"\0")[0].decode("latin-1")


class Census:
    """Counts of how many people of a dataset share a value.

    Parameters
    ----------
    root : pathlib.Path
        Of the raw dataset.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pairs = cache(self._count)

    def spread(self, table: PurePosixPath, column: str) -> Spread:
        """Return the number of people who share each value of a column.

        Parameters
        ----------
        table : PurePosixPath
            Relative to the dataset. All tables of its suffix and task count; a table above participants is
            about everybody.
        column : str
        """
        name = parse_name(table)
        pairs = self._pairs((name.suffix, name.entities.get("task"))).get(column) if name else None
        return ALONE if pairs is None else spread_of(pairs)

    def is_shared(self, text: str) -> bool:
        """Return True if EDF or BDF recordings of three participants or more have a text as label or note."""
        return len(self._texts.get(text, ())) >= FEWEST_PEOPLE

    @cached_property
    def _texts(self) -> Mapping[str, set[str]]:
        """The people whose recordings have a text, by text."""
        people: dict[str, set[str]] = defaultdict(set)
        for path in (path for depth in _DEPTHS[2:] for path in self._root.glob(f"{depth}*.[eb]df")):
            with suppress(OSError, ValueError):  # the file is reported by itself
                for text in texts_in_edf(path):
                    people[text].add(path.relative_to(self._root).parts[0])
        return people

    def _count(self, kind: tuple[str, str | None]) -> Mapping[str, list[tuple[str, str]]]:
        """Return the people and values of every column of all tables with a suffix and task."""
        pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
        everybody = [path.name for path in self._root.glob("sub-*") if path.is_dir()]
        for path in (path for depth in _DEPTHS for path in sorted(self._root.glob(f"{depth}*{kind[0]}.tsv"))):
            name = parse_name(PurePosixPath(path.relative_to(self._root)))
            if name and (name.suffix, name.entities.get("task")) == kind:
                people = [name.path.parts[0]] if len(name.path.parts) > 1 else everybody
                with suppress(BidsdefaceError, OSError):  # the file is reported by itself
                    table = parse_table(path.read_bytes(), name.path)
                    for column in table.columns:
                        pairs[column] += product(people, {*table.values(column)})
        return pairs
