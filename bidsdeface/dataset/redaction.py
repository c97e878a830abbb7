"""Redact tables, data dictionaries and descriptions: names go, the words of the study stay."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from bidsdeface.privacy.identifiers import Identifiers
from bidsdeface.privacy.redact import MARK_IN_NAMES, redact
from bidsdeface.privacy.tables import ScrubbedTable, Table

UNTOUCHED = ("Authors", "BIDSVersion")


def redacted_table(
    result: ScrubbedTable, dictionary: Mapping[str, Any], identifiers: Identifiers, keep: Collection[str] = ()
) -> ScrubbedTable:
    """Redact the cells of a table.

    Parameters
    ----------
    result : ScrubbedTable
    dictionary : mapping
        The table's data dictionary, whose levels are redacted alike.
    identifiers : Identifiers
    keep : collection of str, optional
        Columns to leave as they are.

    Returns
    -------
    ScrubbedTable
        With the columns that are other than before, and how many values of them.
    """
    columns: list[tuple[str, ...]] = []
    counts: dict[str, int] = {}
    for column in result.table.columns:
        values = result.table.values(column)
        known = Identifiers() if column in keep else identifiers
        told = renamed({*values, *levels_of(dictionary, column)}, known)
        if changed := sum(told[value] != value for value in values):
            counts[column] = changed
        columns.append(tuple(told[value] for value in values))
    table = Table(result.table.columns, tuple(zip(*columns, strict=True)))
    names = tuple(one for one in table.columns if one in counts or one in result.changed)
    return replace(result, table=table, changed=names, redacted=counts)


def redacted_description(value: Any, identifiers: Identifiers) -> Any:
    """Redact all text of a dataset's description; its authors stay."""
    if isinstance(value, str):
        return redact(value, identifiers)[0]
    if isinstance(value, list):
        return [redacted_description(one, identifiers) for one in value]
    if isinstance(value, Mapping):
        return {
            name: one if name in UNTOUCHED else redacted_description(one, identifiers)
            for name, one in value.items()
        }
    return value


def redacted_dictionary(value: Any, identifiers: Identifiers) -> Any:
    """Redact what a data dictionary says; names of columns and levels that were distinct stay so."""
    if isinstance(value, str):
        return redact(value, identifiers.in_tables)[0]
    if isinstance(value, list):
        return [redacted_dictionary(one, identifiers) for one in value]
    if isinstance(value, Mapping):
        columns = value["Columns"] if isinstance(value.get("Columns"), list) else []
        told = renamed([*value, *columns], identifiers)
        kept = {told[name]: redacted_dictionary(one, identifiers) for name, one in value.items()}
        return {**kept, "Columns": [told[one] for one in columns]} if columns else kept
    return value


def renamed(names: Iterable[str], identifiers: Identifiers) -> dict[str, str]:
    """Redact names of columns or levels, or values of a column: what was distinct stays distinct.

    Examples
    --------
    >>> from bidsdeface.privacy.identifiers import identifiers_in
    >>> renamed(["Jane", "Doe", "go"], identifiers_in(["Doe^Jane"]))
    {'Doe': 'removed', 'Jane': 'removed2', 'go': 'go'}
    """
    known = identifiers.in_tables
    told = {
        name: name if name in known.spared else redact(name, known, MARK_IN_NAMES)[0]
        for name in sorted(set(names))
    }
    taken = {name for name, new in told.items() if name == new}
    numbers: dict[str, Iterator[int]] = {}
    for name, new in told.items():
        if name != new:
            number = numbers.setdefault(new, count(2))
            while told[name] in taken:
                told[name] = f"{new}{next(number)}"
            taken.add(told[name])
    return told


def levels_of(dictionary: Mapping[str, Any], column: str) -> tuple[str, ...]:
    """Return the levels that a data dictionary lists for a column."""
    description = dictionary.get(column)
    levels = description.get("Levels") if isinstance(description, Mapping) else None
    return tuple(map(str, levels)) if isinstance(levels, Mapping | list) else ()
