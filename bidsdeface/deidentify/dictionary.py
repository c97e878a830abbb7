"""Data dictionaries: keep the descriptions of shared columns, and draft missing ones.

Texts stay as they are, or are left out.
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bidsdeface.deidentify.columns import AGE, ALONE, own_spread, personal_kind
from bidsdeface.deidentify.patterns import PERSONAL, find_pii, is_timestamp
from bidsdeface.deidentify.policy import Policy, Scrubbed, TextTest, scrub_metadata
from bidsdeface.deidentify.tables import Table
from bidsdeface.deidentify.values import TO_FILL_IN, is_finite, is_number, texts_in, values_in
from bidsdeface.errors import first_of
from bidsdeface.schema import MISSING, NUMBER

DESCRIPTIVE = {
    "LongName", "Description", "Levels", "Units", "TermURL", "Delimiter", "HED", "Format", "Maximum",
    "Minimum", "Derivative",
}  # fmt: skip
ABOUT_TOOL = "MeasurementToolMetadata"  # of phenotype tables
NO_COLUMN = "describes a column that is not here"
MOST_LEVELS = 50  # of a draft
HOLDS_PII = "holds an address, a titled name, or a name or number of this dataset's people"


def scrub_dictionary(
    dictionary: Mapping[str, Any],
    columns: Collection[str] | None = None,
    policy: Policy | None = None,
    keep: Collection[str] = (),
    task: str | None = None,
    *,
    datatype: str | None = None,
    identifies: TextTest = lambda text: False,
) -> Scrubbed:
    """Keep the descriptions of columns that stay, and definitions of HED tags.

    Parameters
    ----------
    dictionary : mapping
        Of one table, or an inherited one; may hold sidecar fields as well.
    columns : collection of str, optional
        Columns of the tables that it describes; descriptions of others are left out. All stay by default.
    policy : mapping of str to Rule, optional
        For sidecar fields.
    keep : collection of str, optional
        Columns to describe as they are.
    task : str, optional
        Label of ``task-`` in the file's name.
    datatype : str, optional
        Folder of the file, as of `scrub_metadata`.
    identifies : callable, optional
        Returns True if a text holds an identifier of this dataset.

    Returns
    -------
    kept : dict
    reasons : dict of str to str
        Why keys are left out, by their names; those of nested objects with dots.
    """
    kept: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    fields: dict[str, Any] = {}

    def holds_pii(value: Any) -> bool:
        return any(identifies(text) or not {*PERSONAL}.isdisjoint(find_pii(text)) for text in texts_in(value))

    for name, entry in dictionary.items():
        is_entry = isinstance(entry, Mapping) and bool(entry.keys() & DESCRIPTIVE)
        if name in keep and is_entry:
            kept[name] = entry
        elif name == "Columns" and columns is not None and not set(texts_in(entry)) <= set(columns):
            reasons[name] = NO_COLUMN
        elif not is_entry:
            fields[name] = entry
        elif reason := first_of(
            {
                "is a draft that is not filled in": TO_FILL_IN in texts_in(entry),
                HOLDS_PII: holds_pii(name),
                NO_COLUMN: columns is not None
                and name not in (*columns, ABOUT_TOOL)
                and not _defines_tags(entry),
            }
        ):
            reasons[name] = reason
        else:
            kept[name] = _scrub_entry(entry, name, holds_pii, reasons)
    metadata, of_fields = scrub_metadata(fields, policy, task, datatype=datatype, identifies=identifies)
    kept |= metadata
    return {name: kept[name] for name in dictionary if name in kept}, reasons | of_fields


def draft_dictionary(
    table: Table, columns: Collection[str], said: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Draft a data dictionary for some columns.

    Parameters
    ----------
    table : Table
    columns : collection of str
        Those that need a description. One whose name announces personal information is passed over.
    said : mapping, optional
        Existing descriptions of columns. They are kept; missing parts are drafted.

    Returns
    -------
    dict
        For each column its units and range, or its levels. It is private, as it holds values.

    Examples
    --------
    >>> table = Table(("participant_id", "score"), {2: ("sub-1", "1"), 3: ("sub-2", "12")})
    >>> draft_dictionary(table, ["score"], {"score": {"Description": "points"}})["score"]
    {'Description': 'points', 'Units': '…', 'Minimum': 1.0, 'Maximum': 12.0}
    """
    return {
        column: _drafted(column, table, (said or {}).get(column))
        for column in columns
        if not personal_kind(column)
    }


def merged_draft(draft: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a draft into an existing file: existing entries take precedence, columns and levels are added."""
    drafted = {column: entry for column, entry in draft.items() if isinstance(entry, Mapping)}
    with_levels = {
        column: _with_levels(drafted[column].get("Levels"), entry)
        for column, entry in there.items()
        if column in drafted and isinstance(entry, Mapping) and "Levels" in entry
    }
    return {**draft, **there, **with_levels}


def _defines_tags(entry: Mapping[str, Any]) -> bool:
    """Return True if an entry describes no column, but defines HED tags that others use."""
    return "Levels" not in entry and "(Definition/" in json.dumps(entry.get("HED"))


def _scrub_entry(
    entry: Mapping[str, Any], name: str, holds_pii: Callable[[Any], bool], reasons: dict[str, str]
) -> dict[str, Any]:
    """Keep the parts of a description that identify nobody; levels one by one."""
    kept: dict[str, Any] = {}
    for key, value in entry.items():
        part = f"{name}.{key}"
        faults = {
            "BIDS has no such key in a data dictionary": key not in DESCRIPTIVE,
            HOLDS_PII: holds_pii(value),
            "is a date, or no number of JSON": not is_finite(value)
            or any(map(is_timestamp, filter(is_number, values_in(value)))),
        }
        if key == "Levels" and isinstance(value, Mapping):
            kept[key] = {level: text for level, text in value.items() if not holds_pii({level: text})}
            if len(kept[key]) < len(value):
                reasons[part] = f"{len(value) - len(kept[key])} of its levels: {HOLDS_PII}"
        elif reason := first_of(faults):
            reasons[part] = reason
        else:
            kept[key] = value
    return kept


def _drafted(column: str, table: Table, said: Any) -> dict[str, Any]:
    """Return an entry with what is missing: units and range, or levels."""
    entry = said if isinstance(said, Mapping) else {}
    values = [value for value in dict.fromkeys(table.values(column)) if value not in MISSING]
    if column == AGE:  # without its limits: they may be above 89 years
        return {"Description": TO_FILL_IN, **entry, "Units": TO_FILL_IN}
    if not values or "Levels" in entry or not all(map(NUMBER.fullmatch, values)):
        return _with_levels(sorted(values)[:MOST_LEVELS], {"Description": TO_FILL_IN, **entry})
    numbers = [float(value) for value in values]
    may_number_people = (own_spread(column, table) or ALONE).may_number_people
    limits = {} if may_number_people else {"Minimum": min(numbers), "Maximum": max(numbers)}
    return {"Description": TO_FILL_IN, "Units": TO_FILL_IN, **limits, **entry}


def _with_levels(drafted: Any, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with drafted levels in addition to its own."""
    drafted, own = (
        levels
        if isinstance(levels, Mapping)
        else dict.fromkeys(levels if isinstance(levels, list) else (), TO_FILL_IN)
        for levels in (drafted, entry.get("Levels"))
    )
    return {**entry, "Levels": {**drafted, **own}}
