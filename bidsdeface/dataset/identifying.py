"""Gather what identifies people in a dataset from what it loses on its way, to search other text for it."""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.carryover import Carried, Treatment
from bidsdeface.dataset.filename import FileName, parse_name
from bidsdeface.dataset.redaction import levels_of
from bidsdeface.dataset.treatments import Wishes, read_json, scrubbed_table
from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.columns import is_about_a_person, names_a_person
from bidsdeface.privacy.contents import open_unpacked
from bidsdeface.privacy.dictionary import scrub_dictionary
from bidsdeface.privacy.identifiers import About, Identifiers, identifiers_in, identifiers_of_ages
from bidsdeface.privacy.looks import looks_like
from bidsdeface.privacy.policy import Policy
from bidsdeface.privacy.tables import SHIFTED, parse_table

# Their rows are people, or visits of people: a name in them is somebody's. In others it may be a stimulus's.
ABOUT_PEOPLE = ("participants", "sessions", "scans", "samples")
_HEADER_BYTES = 1 << 20


def find_identifiers(
    root: Path, carried: Iterable[Carried], sidecars: Iterable[FileName], wishes: Wishes
) -> Identifiers:
    """Return what is to be searched for in all that is carried over.

    Parameters
    ----------
    root : Path
        Of the raw dataset.
    carried : iterable of Carried
        From `plan_carryover`.
    sidecars : iterable of FileName
        JSON files that are carried.
    wishes : Wishes

    Returns
    -------
    Identifiers
        Without labels of the dataset's own files. What the study calls a column, a level or a value is left
        in tables, unless it names a person elsewhere.
    """
    personal: list[Any] = []
    others: dict[About, list[Any]] = {about: [] for about in About}
    study: set[str] = set()
    ages: set[float] = set()
    files = list(carried)
    for one in files:
        if one.treatment in (Treatment.IMAGE, Treatment.DEFACE):
            others[About.TEXT] += _header_texts(root / one.path)
        elif one.treatment is Treatment.SIDECAR and one.path.name != "dataset_description.json":
            study |= _levels(root / one.path)
            for name, value in _dropped_values(root / one.path, wishes.policy):
                about = _about(name, wishes.policy)
                (personal if about is About.PERSON else others[about]).append(value)
        elif one.treatment is Treatment.TABLE:
            is_about_people = one.path.stem.rpartition("_")[2] in ABOUT_PEOPLE
            for column, kept, gone in _columns(root, one.path, sidecars, wishes):
                about = _about(column, {})
                study |= {column.lower(), *(value.lower() for value in kept)}
                if kept and column != SHIFTED:
                    ages |= {float(age) for value in gone for age in re.findall(r"\d+(?:\.\d+)?", value)}
                elif about is About.PERSON and is_about_people:
                    personal += gone
                else:
                    others[about] += gone
    found = identifiers_of_ages(ages)
    for about, told in others.items():
        found |= identifiers_in(told, about)
    return (found.outside(study) | identifiers_in(personal)).without(_labels(one.path for one in files))


def _about(name: str, policy: Policy) -> About:
    """Tell what a field or a column is about, by its name and by the policy."""
    if is_about_a_person(name):
        return About.PERSON
    told = policy[name].kind == "" if name in policy else names_a_person(name)
    return About.PLACE if told else About.TEXT


def _labels(paths: Iterable[PurePosixPath]) -> set[str]:
    """Return the labels in paths, with and without what they are labels of."""
    entities = [name.entities for path in paths if (name := parse_name(path))]
    return {form for one in entities for key, label in one.items() for form in (label, f"{key}-{label}")}


def _levels(path: Path) -> set[str]:
    """Return what a data dictionary calls columns and levels, in lower case."""
    try:
        content = read_json(path)
    except (BidsdefaceError, OSError):
        return set()
    return {level.lower() for column in content for level in levels_of(content, column)}


def _dropped_values(path: Path, policy: Policy) -> Iterator[tuple[str, Any]]:
    """Yield names and values of a sidecar that are not shared."""
    try:
        content = read_json(path)
    except (BidsdefaceError, OSError):
        return
    kept, _ = scrub_dictionary(content, policy=policy)
    yield from _flat({name: value for name, value in content.items() if name not in kept})


def _flat(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and values, those of nested objects too."""
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value


def _columns(
    root: Path, path: PurePosixPath, sidecars: Iterable[FileName], wishes: Wishes
) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Yield the columns of a table, with values that are kept, and those that are not or are others then."""
    try:
        table = parse_table((root / path).read_bytes(), path)
        result = scrubbed_table(root, path, sidecars, wishes, Identifiers())
    except (BidsdefaceError, OSError):
        return
    for column in table.columns:
        values = table.values(column)
        kept = result.table.values(column) if column in result.table.columns else ()
        gone = (value for value, told in zip_longest(values, kept) if value != told)
        yield column, kept, tuple(dict.fromkeys(gone))


def _header_texts(path: Path) -> Iterator[str]:
    """Yield the free text of an image's header, and what looks like a person in its extensions."""
    try:
        with open_unpacked(path) as stream:
            start = stream.read(_HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return
    if len(start) < 540:
        return
    version_2 = start[4:7] == b"n+2"
    for begin, end in ((240, 320), (320, 344)) if version_2 else ((14, 32), (148, 228), (228, 252)):
        yield start[begin:end].split(b"\0")[0].decode("latin-1")
    size = 540 if version_2 else 348
    order = ">" if start[:2] == b"\0\0" else "<"
    (offset,) = (
        struct.unpack_from(f"{order}q", start, 168)
        if version_2
        else struct.unpack_from(f"{order}f", start, 108)
    )
    for run in re.findall(rb"[ -~]{4,}", start[size : int(min(max(offset, 0), _HEADER_BYTES))]):
        if looks_like(text := run.decode("ascii")):
            yield text
