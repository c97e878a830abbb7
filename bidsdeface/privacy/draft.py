"""Draft a data dictionary for columns that nobody has described, for a person to fill in."""

from collections.abc import Collection
from typing import Any

from bidsdeface.privacy.columns import person_column
from bidsdeface.privacy.tables import Table
from bidsdeface.privacy.values import TO_FILL_IN
from bidsdeface.schema import MISSING, NUMBER

MOST_LEVELS = 50


def draft_dictionary(table: Table, columns: Collection[str]) -> dict[str, Any]:
    """Return a draft of what a data dictionary would say of some columns.

    Parameters
    ----------
    table : Table
    columns : collection of str
        Those that need a description. One whose name says that it tells a person is passed over.

    Returns
    -------
    dict
        For each column its range, or the levels that are seen. It holds values: it is private.

    Examples
    --------
    >>> draft_dictionary(Table(("group", "score"), (("A", "1"), ("B", "1200"))), ["group", "score"])["score"]
    {'Description': '…', 'Units': '…', 'Minimum': 1.0, 'Maximum': 1200.0}
    """
    draft: dict[str, Any] = {}
    for column in columns:
        values = [value for value in dict.fromkeys(table.values(column)) if value not in MISSING]
        if person_column(column):
            continue
        if values and all(NUMBER.fullmatch(value) for value in values):
            numbers = [float(value) for value in values]
            described = {"Units": TO_FILL_IN, "Minimum": min(numbers), "Maximum": max(numbers)}
        else:
            described = {"Levels": dict.fromkeys(sorted(values)[:MOST_LEVELS], TO_FILL_IN)}
        draft[column] = {"Description": TO_FILL_IN, **described}
    return draft
