"""Gather what identifies people in a dataset from what it loses on its way, to search other text for it."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.carryover import Carried
from bidsdeface.dataset.filename import FileName, parse_name
from bidsdeface.dataset.redaction import levels_of
from bidsdeface.dataset.treatments import Wishes, read_json, scrubbed_table
from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.columns import is_about_a_person, names_a_person
from bidsdeface.privacy.dictionary import scrub_dictionary
from bidsdeface.privacy.headertexts import decoded, header_texts
from bidsdeface.privacy.identifiers import About, Identifiers, identifiers_in, identifiers_of_ages
from bidsdeface.privacy.policy import Policy
from bidsdeface.privacy.tables import ABOUT_PEOPLE, SHIFTED, parse_table


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
    files = list(carried)
    told: dict[About, list[Any]] = {about: [] for about in About}
    of_persons: list[Any] = []
    study: set[str] = set()
    ages: set[float] = set()
    for path in sorted({one.path for one in files} | set(_beside(root, files))):
        for about, value in header_texts(root / path):
            told[about].append(value)
        if path.suffix == ".json" and path.name != "dataset_description.json":
            study |= _levels(root / path)
            for name, value in _dropped_values(root / path, wishes.policy):
                about = _about(name, wishes.policy)
                (of_persons if about is About.PERSON else told[about]).append(value)
        elif path.suffix == ".tsv":
            is_about_people = path.parts[0] == "phenotype" or path.stem.rpartition("_")[2] in ABOUT_PEOPLE
            for column, kept, gone in _columns(root, path, sidecars, wishes):
                about = _about(column, {})
                study |= {column.lower(), *(value.lower() for value in kept)}
                if kept and column != SHIFTED:
                    ages |= {float(age) for value in gone for age in re.findall(r"\d+(?:\.\d+)?", value)}
                elif about is About.PERSON and is_about_people:
                    of_persons += gone
                else:
                    told[about] += gone
    found = identifiers_of_ages(ages)
    for about, values in told.items():
        found |= identifiers_in(values, about)
    return (found.outside(study) | identifiers_in(of_persons)).without(_labels(one.path for one in files))


def _beside(root: Path, files: Iterable[Carried]) -> Iterator[PurePosixPath]:
    """Yield the files of the same participants, and above them, that tell of persons and may stay behind."""
    tops = {one.path.parts[0] for one in files if one.path.parts[0].startswith("sub-")} | {"phenotype"}
    below = [(Path(folder), names) for top in sorted(tops) for folder, _, names in os.walk(root / top)]
    for folder, names in ((root, os.listdir(root)), *below):
        here = PurePosixPath(folder.relative_to(root))
        yield from (here / name for name in names if name.endswith((".json", ".tsv", ".edf", ".bdf")))


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
        # What is not UTF-8 stays behind, but the names in it are searched for.
        table = parse_table(decoded((root / path).read_bytes()).encode(), path)
        result = scrubbed_table(root, path, table, sidecars, wishes, Identifiers())
    except (BidsdefaceError, OSError):
        return
    for column in table.columns:
        values = table.values(column)
        kept = result.table.values(column) if column in result.table.columns else ()
        gone = (value for value, told in zip_longest(values, kept) if value != told)
        yield column, kept, tuple(dict.fromkeys(gone))
