"""Read and write tab-separated tables the way BIDS has them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from bidsdeface.errors import BidsdefaceError

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
    lines : tuple of int
        Of each row, its line in the file; the header's is 1.
    bad_lines : tuple of int
        Lines that are no rows: with too few or too many values, or with control characters.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...] = ()
    bad_lines: tuple[int, ...] = ()

    def values(self, column: str) -> tuple[str, ...]:
        """Return the values of a column."""
        at = self.columns.index(column)
        return tuple(row[at] for row in self.rows)

    def with_values(self, column: str, values: Sequence[str]) -> "Table":
        """Return the table with other values in a column."""
        at = self.columns.index(column)
        rows = ((*row[:at], value, *row[at + 1 :]) for row, value in zip(self.rows, values, strict=True))
        return replace(self, rows=tuple(rows))

    def keep_rows(self, is_kept: Callable[[tuple[str, ...]], bool]) -> "Table":
        """Return the table with those rows only that are to be kept."""
        kept = [at for at, row in enumerate(self.rows) if is_kept(row)]
        return replace(
            self, rows=tuple(self.rows[at] for at in kept), lines=tuple(self.lines[at] for at in kept)
        )

    def keep_columns(self, columns: Sequence[str]) -> "Table":
        """Return the table with those columns only."""
        at = [self.columns.index(column) for column in columns]
        return replace(
            self, columns=tuple(columns), rows=tuple(tuple(row[one] for one in at) for row in self.rows)
        )


def parse_table(content: bytes, path: PurePath) -> Table:
    """Read a table the way BIDS has them: UTF-8, tabs, no quoting, one header.

    A byte order mark, line ends of Windows, tabs at the end of all lines and white space around the names of
    columns are put right.

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
        It is no such table; the message names the file and the cause, and no value.
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
    if _CONTROL.search(lines[0]):
        raise TableError(f"{path}: line 1 has control characters; save it as plain text with line feeds")
    if all(line.endswith("\t") for line in lines):  # a last column without a name and a value
        lines = [line[:-1] for line in lines]
    columns = tuple(name.strip() for name in lines[0].split("\t"))
    if len(set(columns)) < len(columns) or not all(columns):
        raise TableError(f"{path}: two columns have one name, or one has none; name each column")
    rows = {number: tuple(line.split("\t")) for number, line in enumerate(lines[1:], start=2)}
    bad = {
        number
        for number, row in rows.items()
        if len(row) != len(columns) or _CONTROL.search(lines[number - 1])
    }
    good = {number: row for number, row in rows.items() if number not in bad}
    return Table(columns, tuple(good.values()), tuple(good), tuple(sorted(bad)))


def format_table(table: Table) -> str:
    """Write a table as BIDS has them."""
    return "".join("\t".join(row) + "\n" for row in (table.columns, *table.rows))
