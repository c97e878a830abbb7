"""Take out of tab-separated tables what tells who somebody is.

Columns that name, number, date or place a person go; ages are capped; dates of acquisition are shifted.
All other columns are the study, and stay.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.columns import names_a_person, tokens, values_identify
from bidsdeface.privacy.dates import shift_back
from bidsdeface.privacy.looks import looks_like
from bidsdeface.privacy.sidecar import OLDEST, cap_age

NOTHING_KNOWN = "n/a"
SHIFTED = "acq_time"
# Their rows are people, or visits of people: a name in them is somebody's. In others it may be a stimulus's.
ABOUT_PEOPLE = ("participants", "sessions", "scans", "samples")
# What each row is about; these must be plain labels and file names.
INDEX_COLUMNS = {
    "participant_id": re.compile(r"sub-[A-Za-z0-9+]+"),
    "session_id": re.compile(r"ses-[A-Za-z0-9+]+"),
    "sample_id": re.compile(r"sample-[A-Za-z0-9+]+"),
    "filename": re.compile(r"[A-Za-z0-9+._/-]+"),
}
_YEAR_IN = {"year": 1, "month": 12, "week": 52, "day": 365, "y": 1, "mo": 12, "wk": 52, "d": 365}
_OF_AGE = re.compile(r"ages?|age(at|in|scan|years?|months?|yrs?)\w*|alter|edad|leeftijd|lebensalter")
_AGE = re.compile(r"[<>=~]*\s*(\d+(?:\.\d+)?)\s*\+?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")


class TableError(BidsdefaceError):
    """A table that cannot be read as one, and is therefore not shared."""


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    columns : tuple of str
    rows : tuple of tuple of str
        Each as long as `columns`.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def values(self, column: str) -> tuple[str, ...]:
        """Return the values of a column."""
        at = self.columns.index(column)
        return tuple(row[at] for row in self.rows)


@dataclass(frozen=True)
class ScrubbedTable:
    """A table that may be shared, and what became of the rest.

    Attributes
    ----------
    table : Table
    dropped, changed : tuple of str
        Names of columns. For the private log alone.
    redacted : mapping of str to int
        How many values of a column had a name or a number in them that stands elsewhere.
    """

    table: Table
    dropped: tuple[str, ...]
    changed: tuple[str, ...]
    redacted: Mapping[str, int] = field(default_factory=dict)


def parse_table(content: bytes, path: PurePath) -> Table:
    """Read a table the way BIDS has them: UTF-8, tabs, no quoting, one header.

    A byte order mark and line ends of Windows are put right.

    Parameters
    ----------
    content : bytes
    path : pathlib.PurePath
        For messages.

    Returns
    -------
    Table

    Raises
    ------
    TableError
        It is no such table; the message names the file and the line, and no value.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    lines = text.replace("\r\n", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise TableError(f"{path}: is empty; remove it or give it a header")
    for number, line in enumerate(lines, start=1):
        if _CONTROL.search(line):
            raise TableError(f"{path}: line {number} has control characters; save it as plain text")
    columns, *rows = (tuple(line.split("\t")) for line in lines)
    if len(set(columns)) < len(columns) or not all(name.strip() for name in columns):
        raise TableError(f"{path}: two columns have one name, or one has none; name each column")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise TableError(
                f"{path}: line {number} has {len(row)} values for {len(columns)} columns; correct the table"
            )
    return Table(columns, tuple(rows))


def format_table(table: Table) -> str:
    """Write a table as BIDS has them."""
    return "".join("\t".join(row) + "\n" for row in (table.columns, *table.rows))


def bids_columns(suffix: str) -> frozenset[str]:
    """Return the columns that BIDS has in tables of a suffix, such as ``participants`` or ``events``."""
    return frozenset(_levels(suffix))


def required_columns(suffix: str) -> frozenset[str]:
    """Return the columns that BIDS requires of some table of a suffix.

    Examples
    --------
    >>> sorted(required_columns("events"))
    ['duration', 'onset']
    """
    return frozenset(column for column, levels in _levels(suffix).items() if "required" in levels)


@lru_cache(maxsize=64)
def _levels(suffix: str) -> Mapping[str, Collection[str]]:
    """Return the columns that BIDS has in tables of a suffix, each with how much it asks for them."""
    from bidsschematools.schema import load_schema

    schema = load_schema()
    named = re.compile(rf"(?<![A-Za-z]){re.escape(suffix)}(?![A-Za-z])")
    found: dict[str, set[str]] = {}
    groups = list(schema["rules"]["tabular_data"].values())
    while groups:
        group = groups.pop()
        if "selectors" not in group:
            groups += list(group.values())
        elif any(named.search(selector) for selector in group["selectors"]):
            for column, level in group.get("columns", {}).items():
                name = schema["objects"]["columns"][column]["name"]
                found.setdefault(name, set()).add(level if isinstance(level, str) else level["level"])
    return found


def scrub_table(
    table: Table,
    suffix: str,
    path: PurePath,
    *,
    dictionary: Mapping[str, Any] | None = None,
    days: int | None = None,
    keep: Collection[str] = (),
    drop: Collection[str] = (),
) -> ScrubbedTable:
    """Keep the columns that are the study, and nothing that tells who took part in it.

    Parameters
    ----------
    table : Table
    suffix : str
        Of the file: ``participants``, ``scans``, ``events`` …
    path : pathlib.PurePath
        For messages.
    dictionary : mapping, optional
        The table's data dictionary.
    days : int, optional
        From `bidsdeface.privacy.dates.day_offset`; without it, dates are dropped.
    keep, drop : collection of str, optional
        Columns to keep as they are and to drop; dropping wins.

    Returns
    -------
    ScrubbedTable

    Raises
    ------
    TableError
        A column that says what a row is about holds something else.
    """
    dictionary = dictionary or {}
    # Tables of scores have names of their own; what a row is about, they say as others do.
    bids = INDEX_COLUMNS.keys() if path.parts[0] == "phenotype" else bids_columns(suffix)
    kept: dict[str, tuple[str, ...]] = {}
    for column in table.columns:
        values = table.values(column)
        description = dictionary.get(column)
        result = _scrub_column(
            column,
            values,
            description if isinstance(description, Mapping) else {},
            is_bids=column in bids,
            of_people=suffix in ABOUT_PEOPLE or path.parts[0] == "phenotype",
            days=days,
            keep=column in keep,
            drop=column in drop,
        )
        if column in INDEX_COLUMNS and column in bids:
            if not all(INDEX_COLUMNS[column].fullmatch(value) for value in values):
                raise TableError(f"{path}: a value of {column} is none; correct the table")
            result = values
        if result is not None:
            kept[column] = result
    columns = tuple(kept)
    changed = tuple(column for column in columns if kept[column] != table.values(column))
    dropped = tuple(column for column in table.columns if column not in kept)
    rows = tuple(zip(*kept.values(), strict=True)) if kept else ()
    return ScrubbedTable(Table(columns, rows), dropped, changed)


def keep_rows(table: Table, column: str, is_kept: Callable[[str], bool]) -> Table:
    """Return a table with those rows only whose value in a column is to be kept."""
    at = table.columns.index(column)
    return replace(table, rows=tuple(row for row in table.rows if is_kept(row[at])))


def _scrub_column(
    column: str,
    values: Sequence[str],
    description: Mapping[str, Any],
    *,
    is_bids: bool,
    of_people: bool,
    days: int | None,
    keep: bool,
    drop: bool,
) -> tuple[str, ...] | None:
    """Return the values that may be shared, or None."""
    if drop:
        return None
    if keep:
        return tuple(values)
    if column == SHIFTED:
        if days is None:
            return None
        return tuple(shift_back(value, days) or NOTHING_KNOWN for value in values)
    if looks_like(column) or (not is_bids and names_a_person(column)):
        return None
    if any(_OF_AGE.fullmatch(one) for one in tokens(column)):
        values = tuple(_cap(value, _in_a_year(column, description)) for value in values)
    if is_bids:
        description = {"Units": "as BIDS says", **description}
    if values_identify(column, values, description, of_people=of_people):
        return None
    return tuple(values)


def _in_a_year(column: str, description: Mapping[str, Any]) -> int:
    said = [str(description.get("Units", "")).lower(), *tokens(column)]
    return next((_YEAR_IN[one.rstrip("s")] for one in said if one.rstrip("s") in _YEAR_IN), 1)


def _cap(value: str, in_a_year: int) -> str:
    match = _AGE.fullmatch(value.strip())
    if match is None:
        numbers = re.findall(r"\d+(?:\.\d+)?", value)
        return NOTHING_KNOWN if any(float(one) > OLDEST * in_a_year for one in numbers) else value
    age = float(match[1])
    return value if cap_age(age / in_a_year) == age / in_a_year != OLDEST else str(OLDEST * in_a_year)
