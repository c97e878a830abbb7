"""Draft a data dictionary for columns that nobody has described, for a person to fill in."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bidsdeface.privacy.columns import AGE, ALONE, person_column, spread_of
from bidsdeface.privacy.tables import Table
from bidsdeface.privacy.values import TO_FILL_IN
from bidsdeface.schema import MISSING, NUMBER

MOST_LEVELS = 50
PEOPLE = "participant_id"


def draft_dictionary(
    table: Table, columns: Collection[str], said: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a draft of what a data dictionary would say of some columns.

    Parameters
    ----------
    table : Table
    columns : collection of str
        Those that need a description. One whose name says that it tells a person is passed over.
    said : mapping, optional
        Existing descriptions of columns. They are kept; missing parts are drafted.

    Returns
    -------
    dict
        For each column its units and range, or the levels that are seen. It holds values: it is private.

    Examples
    --------
    >>> table = Table(("participant_id", "score"), (("sub-1", "1"), ("sub-2", "12")))
    >>> draft_dictionary(table, ["score"], {"score": {"Description": "points"}})["score"]
    {'Description': 'points', 'Units': '…', 'Minimum': 1.0, 'Maximum': 12.0}
    """
    draft: dict[str, Any] = {}
    for column in columns:
        if not person_column(column):
            entry = said.get(column) if said else None
            draft[column] = _described(column, table, entry if isinstance(entry, Mapping) else {})
    return draft


def merged_draft(draft: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a draft into an existing file: existing entries win, new columns and levels are added."""
    return {**draft, **{column: _with_levels(draft.get(column), entry) for column, entry in there.items()}}


def _described(column: str, table: Table, entry: Mapping[str, Any]) -> dict[str, Any]:
    values = [value for value in dict.fromkeys(table.values(column)) if value not in MISSING]
    described = {"Description": TO_FILL_IN, **entry}
    if column == AGE:  # without its limits: they may be above 89 years
        return {**described, "Units": TO_FILL_IN}
    if values and "Levels" not in entry and all(NUMBER.fullmatch(value) for value in values):
        numbers = [] if _may_number_people(column, table) else [float(value) for value in values]
        limits = {"Minimum": min(numbers), "Maximum": max(numbers)} if numbers else {}
        return {"Description": TO_FILL_IN, "Units": TO_FILL_IN, **limits, **entry}
    return {**described, "Levels": {**_levels(sorted(values)[:MOST_LEVELS]), **_levels(entry.get("Levels"))}}


def _may_number_people(column: str, table: Table) -> bool:
    if PEOPLE not in table.columns:
        return ALONE.may_number_people
    return spread_of(zip(table.values(PEOPLE), table.values(column), strict=True)).may_number_people


def _with_levels(drafted: Any, entry: Any) -> Any:
    if not (isinstance(drafted, Mapping) and isinstance(entry, Mapping) and "Levels" in entry):
        return entry
    return {**entry, "Levels": {**_levels(drafted.get("Levels")), **_levels(entry["Levels"])}}


def _levels(levels: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
    if isinstance(levels, Mapping):
        return dict(levels)
    return dict.fromkeys(levels if isinstance(levels, list) else (), TO_FILL_IN)
