"""Gather what identifies people in a dataset from what it loses on its way, to search other text for it."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.carryover import Carried
from bidsdeface.dataset.filename import FileName, parse_name
from bidsdeface.dataset.listing import files_in
from bidsdeface.dataset.redaction import levels_of
from bidsdeface.dataset.treatments import Wishes, dictionary_of, read_json, scrubbed_table
from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.columns import is_about_a_person, names_a_person
from bidsdeface.privacy.dictionary import scrub_dictionary
from bidsdeface.privacy.headertexts import decoded, header_texts
from bidsdeface.privacy.identifiers import About, Identifiers, identifiers_in, identifiers_of_ages
from bidsdeface.privacy.policy import Policy
from bidsdeface.privacy.tables import ABOUT_PEOPLE, SHIFTED, parse_table

PHENOTYPE = "phenotype"
_TELLING = (".json", ".tsv", ".edf", ".bdf")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass
class Told:
    """What files tell of people that does not go along, and the words of the study.

    Attributes
    ----------
    values : mapping of About to list
        That were taken out, by what they are about.
    of_persons : list
        Of them, those that the study cannot call anything else.
    ages : set of float
        That were capped.
    study : set of str
        What is called a column, a level or a value, in lower case.
    names : set of str
        What is called a column or a level in files that are carried.
    """

    values: Mapping[About, list[Any]] = field(default_factory=lambda: {about: [] for about in About})
    of_persons: list[Any] = field(default_factory=list)
    ages: set[float] = field(default_factory=set)
    study: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


def told_above(root: Path, carried: Iterable[Carried], wishes: Wishes) -> Told:
    """Gather from what lies above participants: the same for all of them, so that many need it once.

    Parameters
    ----------
    root : Path
        Of the raw dataset.
    carried : iterable of Carried
        From `plan_carryover`, those above participants at least.
    wishes : Wishes
    """
    known = {one.path for one in carried}
    above = (PurePosixPath(name) for name in os.listdir(root) if not (root / name).is_dir())
    paths = {path for path in (*above, *files_in(root, PHENOTYPE)) if path.suffix in _TELLING}
    sidecars = [name for path in paths & known if path.suffix == ".json" and (name := parse_name(path))]
    return _told(root, paths, known, sidecars, wishes)


def find_identifiers(
    root: Path, carried: Iterable[Carried], sidecars: Iterable[FileName], wishes: Wishes, above: Told
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
    above : Told
        From `told_above`.

    Returns
    -------
    Identifiers
        Without labels of the dataset's own files. What the study calls a column, a level or a value is left
        in tables, unless it names a person elsewhere; and even then a column or a level of one word in
        lower case.
    """
    files = [one.path for one in carried]
    tops = {path.parts[0] for path in files if path.parts[0].startswith("sub-")}
    # Those that stay behind may tell of persons, too.
    beside = {path for top in tops for path in files_in(root, top) if path.suffix in _TELLING}
    is_above = {path for path in files if len(path.parts) == 1 or path.parts[0] == PHENOTYPE}
    paths = {path for path in {*files, *beside} if path not in is_above or path.suffix not in _TELLING}
    both = (above, _told(root, paths, set(files), sidecars, wishes))
    found = identifiers_of_ages(set().union(*(told.ages for told in both)))
    for about in About:
        found |= identifiers_in((value for told in both for value in told.values[about]), about)
    found = found.outside(set().union(*(told.study for told in both)))
    found |= identifiers_in(value for told in both for value in told.of_persons)
    return found.without(_labels(files)).sparing(set().union(*(told.names for told in both)))


def _told(
    root: Path,
    paths: Iterable[PurePosixPath],
    carried: Collection[PurePosixPath],
    sidecars: Iterable[FileName],
    wishes: Wishes,
) -> Told:
    found = Told()
    for path in sorted(paths):
        for about, value in header_texts(root / path):
            found.values[about].append(value)
        if path.suffix == ".json" and path.name != "dataset_description.json":
            levels = _levels(root / path)
            found.study |= {level.lower() for level in levels}
            found.names |= levels if path in carried else set()
            for name, value in _dropped_values(root / path, wishes.policy):
                about = _about(name, wishes.policy)
                (found.of_persons if about is About.PERSON else found.values[about]).append(value)
        elif path.suffix == ".tsv":
            is_about_people = path.parts[0] == PHENOTYPE or path.stem.rpartition("_")[2] in ABOUT_PEOPLE
            for column, kept, gone in _columns(root, path, sidecars, wishes):
                about = _about(column, {})
                found.names |= {column} if kept and path in carried else set()
                found.study |= {column.lower(), *(value.lower() for value in kept)}
                if kept and column != SHIFTED:
                    found.ages |= {float(age) for value in gone for age in _NUMBER.findall(value)}
                elif about is About.PERSON and is_about_people:
                    found.of_persons += gone
                else:
                    found.values[about] += gone
    return found


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
    """Return what a data dictionary calls levels."""
    try:
        content = read_json(path)
    except (BidsdefaceError, OSError):
        return set()
    return {level for column in content for level in levels_of(content, column)}


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
        dictionary = dictionary_of(root, path, sidecars)
        result = scrubbed_table(path, table, dictionary, wishes, Identifiers())
    except (BidsdefaceError, OSError):
        return
    for column in table.columns:
        values = table.values(column)
        kept = result.table.values(column) if column in result.table.columns else ()
        gone = (value for value, told in zip_longest(values, kept) if value != told)
        yield column, kept, tuple(dict.fromkeys(gone))
