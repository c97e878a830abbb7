"""The BIDS schema: its rules for files, metadata fields and the columns of tables.

The schema comes with bidsschematools. It is read once, when it is first needed (0.07 s).
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import PurePosixPath
from typing import Any

MISSING = ("n/a", "")
NUMBER = re.compile(r" *[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? *")
_SELECTOR = re.compile(r"""(datatype|suffix|path) == ["']/?([\w.]+)["']""")
_FREE_FORMATS = ("string", "unit")  # their patterns match anything


@dataclass(frozen=True)
class FileRule:
    """A rule of BIDS for some kinds of data file of a participant.

    Attributes
    ----------
    name : str
        Of the schema, such as ``anat.parametric``.
    datatypes, suffixes, extensions : tuple of str
        Every combination of them is allowed.
    entities : frozenset of str
        Short names.
    """

    name: str
    datatypes: tuple[str, ...]
    suffixes: tuple[str, ...]
    extensions: tuple[str, ...]
    entities: frozenset[str]


@cache
def file_rules() -> tuple[FileRule, ...]:
    """Return the rules for the data files of participants.

    Examples
    --------
    >>> [rule.datatypes for rule in file_rules() if rule.name == "anat.parametric"]
    [('anat',)]
    """
    short = {long: entity["name"] for long, entity in _schema()["objects"]["entities"].items()}
    return tuple(
        FileRule(
            f"{group}.{name}",
            tuple(rule.get("datatypes", ())),
            tuple(rule["suffixes"]),
            tuple(rule["extensions"]),
            frozenset(short[entity] for entity in rule["entities"]),
        )
        for group, rules in _schema()["rules"]["files"]["raw"].items()
        for name, rule in rules.items()
        if "suffixes" in rule
    )


@cache
def _data_files() -> Mapping[tuple[str, str, str], frozenset[str]]:
    """Return the entities of every data file, by datatype, suffix and extension."""
    entities: dict[tuple[str, str, str], frozenset[str]] = defaultdict(frozenset)
    for rule in file_rules():
        for key in product(rule.datatypes, rule.suffixes, rule.extensions):
            entities[key] |= rule.entities
    return dict(entities)


def is_data_file(datatype: str, suffix: str, extension: str, entities: Iterable[str] = ()) -> bool:
    """Return True if BIDS allows such a data file of a participant.

    Examples
    --------
    >>> is_data_file("anat", "T1w", ".nii.gz", ["run"]), is_data_file("anat", "T1w", ".nii.gz", ["name"])
    (True, False)
    """
    allowed = _data_files().get((datatype, suffix, extension))
    return allowed is not None and allowed.issuperset(entities)


@cache
def is_inherited_file(suffix: str, extension: str, entities: frozenset[str]) -> bool:
    """Return True if BIDS allows such a file above the folders of the data that it describes.

    Examples
    --------
    >>> is_inherited_file("bold", ".json", frozenset({"task"})), is_inherited_file("T1w", ".tsv", frozenset())
    (True, False)
    """
    return any(
        (suffix, extension) == key[1:] and entities <= allowed for key, allowed in _data_files().items()
    )


@cache
def has_no_columns(suffix: str) -> bool:
    """Return True if BIDS has files with a suffix, but no table: their metadata describe no columns."""
    extensions = {extension for _, known, extension in _data_files() if known == suffix}
    return bool(extensions) and not extensions & {".tsv", ".tsv.gz"}


@dataclass(frozen=True)
class MetadataField:
    """The rules for a metadata field; its alternatives and the items of its lists are taken together.

    Attributes
    ----------
    types : frozenset of str
        Of single values: ``number``, ``integer``, ``string``, ``boolean``, ``object``.
    values : frozenset of str
        All allowed values, if the schema lists them.
    is_list : bool
        Whether the value is always a list.
    """

    types: frozenset[str]
    values: frozenset[str]
    is_list: bool


NOT_OF_BIDS = MetadataField(frozenset({"object"}), frozenset(), is_list=False)  # it may hold anything


@cache
def metadata_fields() -> Mapping[str, MetadataField]:
    """Return every field of the schema by its name.

    Examples
    --------
    >>> field = metadata_fields()["PhaseEncodingDirection"]
    >>> sorted(field.types), sorted(field.values)
    (['string'], ['i', 'i-', 'j', 'j-', 'k', 'k-'])
    """
    parts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for definition in _schema()["objects"]["metadata"].values():
        parts[definition["name"]] += _parts(definition)
    return {
        name: MetadataField(
            types=frozenset(part["type"] for part in definitions if "type" in part) - {"array"},
            values=frozenset(value for part in definitions for value in part.get("enum", ())),
            is_list=definitions[0].get("type") == "array",
        )
        for name, definitions in parts.items()
    }


@cache
def required_fields() -> frozenset[str]:
    """Return the sidecar fields that BIDS requires of any kind of file.

    Examples
    --------
    >>> "RepetitionTime" in required_fields(), "EchoTrainLength" in required_fields()
    (True, False)
    """
    names = _schema()["objects"]["metadata"]
    rules = _schema()["rules"]["sidecars"]
    return frozenset(
        names[field]["name"] if field in names else field
        for depth in (3, 4)  # rules about derivatives lie one deeper
        for place, fields in rules.items(level=depth)
        if place.endswith(".fields")
        for field, level in fields.items()
        if _is_required(level)
    )


@cache
def _schema() -> Any:
    from bidsschematools.schema import load_schema

    return load_schema()


def _parts(definition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a definition, its alternatives, and the items of its lists."""
    yield definition
    for part in (*definition.get("anyOf", ()), *([definition["items"]] if "items" in definition else [])):
        yield from _parts(part)


def _is_required(level: str | Mapping[str, Any]) -> bool:
    return (level if isinstance(level, str) else level["level"]) == "required"


@dataclass(frozen=True)
class ColumnRule:
    """The rule of BIDS for a column of a kind of table.

    Attributes
    ----------
    is_required, is_index : bool
        An index column says what a row is about.
    is_number : bool
    low, high : float
        Limits of numbers, both included.
    levels : frozenset of str
        All allowed values; empty if BIDS lists none.
    pattern : str
        Regular expression for the whole value; empty if BIDS has none.
    """

    is_required: bool = False
    is_index: bool = False
    is_number: bool = False
    low: float = -math.inf
    high: float = math.inf
    levels: frozenset[str] = frozenset()
    pattern: str = ""

    def fits(self, value: str) -> bool:
        """Return True if BIDS allows a value, or if the value is missing."""
        if value in MISSING:
            return True
        if self.is_number:
            return NUMBER.fullmatch(value) is not None and self.low <= float(value) <= self.high
        fits_pattern = not self.pattern or re.fullmatch(self.pattern, value) is not None
        return value in self.levels if self.levels else fits_pattern


def table_columns(path: PurePosixPath) -> Mapping[str, ColumnRule]:
    """Return the columns that BIDS defines for a table.

    Parameters
    ----------
    path : pathlib.PurePosixPath
        Relative to the dataset. A table above the folders of data types has the columns of all types.

    Returns
    -------
    mapping of str to ColumnRule
        By name.

    Examples
    --------
    >>> columns = table_columns(PurePosixPath("participants.tsv"))
    >>> columns["handedness"].fits("left"), columns["handedness"].fits("Left Handed"), "group" in columns
    (True, False, False)
    """
    datatype = path.parent.name if path.parts[0].startswith("sub-") and "-" not in path.parent.name else ""
    datatype = "phenotype" if path.parts[0] == "phenotype" else datatype
    return _table_columns(path.stem.rpartition("_")[2], datatype, len(path.parts) == 1)


@cache
def _table_columns(suffix: str, datatype: str, at_root: bool) -> Mapping[str, ColumnRule]:
    facts = {"suffix": suffix, "path": f"{suffix}.tsv" if at_root else "", "datatype": datatype}
    columns = _schema()["objects"]["columns"]
    rules: dict[str, ColumnRule] = {}
    for _, table in _schema()["rules"]["tabular_data"].items(level=2):
        wanted = [match for text in table.get("selectors", ()) for match in _SELECTOR.findall(text)]
        # Without a datatype, the table is one of all datatypes but phenotype.
        is_meant = all(
            facts[key] == value or (key == "datatype" and not datatype and value != "phenotype")
            for key, value in wanted
        )
        for key, level in table.get("columns", {}).items() if wanted and is_meant else ():
            is_index = key in table.get("index_columns", ())
            rules.setdefault(columns[key]["name"], _rule_of(columns[key], _is_required(level), is_index))
    return rules


def _rule_of(column: Mapping[str, Any], is_required: bool, is_index: bool) -> ColumnRule:
    definition, form = column.get("definition", {}), column.get("format", "")
    has_form = form and form not in _FREE_FORMATS
    return ColumnRule(
        is_required=is_required,
        is_index=is_index,
        is_number=(column.get("type") or definition.get("Format")) in ("number", "integer"),
        low=column.get("minimum", definition.get("Minimum", -math.inf)),
        high=column.get("maximum", definition.get("Maximum", math.inf)),
        levels=frozenset(column.get("enum", definition.get("Levels", ()))),
        pattern=_schema()["objects"]["formats"][form]["pattern"] if has_form else column.get("pattern", ""),
    )


@cache
def description_fields() -> frozenset[str]:
    """Return the fields that BIDS has for ``dataset_description.json``."""
    return frozenset(_schema()["rules"]["json"]["dataset"]["dataset_description"]["fields"])
