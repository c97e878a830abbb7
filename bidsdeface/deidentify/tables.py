"""Read and write tab-separated tables the way BIDS has them, and check their rows.

Each row must say what it is about. Recordings, which have no header, must hold numbers that identify nobody.
"""

import csv
import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath

from bidsdeface.deidentify.excluded import Excluded
from bidsdeface.deidentify.patterns import LARGEST_NUMBER, is_timestamp
from bidsdeface.errors import BidsdefaceError, first_of, raise_first
from bidsdeface.schema import table_columns

# Tables whose rows are about people, or visits of people.
ABOUT_PEOPLE = ("participants", "sessions", "scans", "samples")
# Columns that say what a row is about, in labels or file names, and how these are written.
INDEX_COLUMNS = {
    "participant_id": (re.compile(r"sub-[A-Za-z0-9+]+"), "sub-<label>"),
    "session_id": (re.compile(r"ses-[A-Za-z0-9+]+"), "ses-<label>"),
    "sample_id": (re.compile(r"sample-[A-Za-z0-9+]+"), "sample-<label>"),
    "filename": (re.compile(r"[A-Za-z0-9+._/-]+"), "the file's path below the participant's folder"),
}
GRADIENTS = (".bval", ".bvec")
DAY_S = 86_400.0
# A converter's largest or least number is one of these, or one less.
_CONVERTER_LIMITS = frozenset(2.0**bits for bits in range(17, 65))
_NUMBER = rb"(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|n/a|nan|NaN)?"
_NUMBERS = re.compile(_NUMBER + rb"(?:[\t ]" + _NUMBER + rb")*")  # tabs, and blanks between gradients
_MAY_BE_LARGE = re.compile(rb"\d{6}|[eE]\+?\d")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")


class TableError(BidsdefaceError):
    """A table that cannot be read as one, and is therefore not shared."""


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    columns : tuple of str
    rows : dict of int to tuple of str
        Each as long as `columns`, by its line in the file; the header's is 1.
    bad_lines : tuple of int
        Lines that are no rows: with too few or too many values, or with control characters.
    """

    columns: tuple[str, ...]
    rows: dict[int, tuple[str, ...]]
    bad_lines: tuple[int, ...] = ()

    def values(self, column: str) -> tuple[str, ...]:
        """Return the values of a column."""
        at = self.columns.index(column)
        return tuple(row[at] for row in self.rows.values())

    def with_values(self, column: str, values: Sequence[str]) -> "Table":
        """Return the table with other values in a column."""
        at = self.columns.index(column)
        pairs = zip(self.rows.items(), values, strict=True)
        return replace(self, rows={line: (*row[:at], value, *row[at + 1 :]) for (line, row), value in pairs})

    def changed(self, column: str, change: Callable[[str], str]) -> "Table":
        """Return the table with every value of a column changed."""
        return self.with_values(column, [*map(change, self.values(column))])

    def keep_rows(self, is_kept: Callable[[tuple[str, ...]], bool]) -> "Table":
        """Return the table with only the rows that are to be kept."""
        return replace(self, rows={line: row for line, row in self.rows.items() if is_kept(row)})

    def keep_columns(self, columns: Sequence[str]) -> "Table":
        """Return the table with only these columns."""
        at = [self.columns.index(column) for column in columns]
        rows = {line: tuple(row[index] for index in at) for line, row in self.rows.items()}
        return replace(self, columns=tuple(columns), rows=rows)


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
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    if not text.strip():
        raise TableError(f"{path}: is empty; remove it or give it a header")
    lines = text.split("\n")
    while not lines[-1].strip():
        lines.pop()
    if all(line.endswith("\t") for line in lines):  # a last column without a name and a value
        lines = [line[:-1] for line in lines]
    columns = tuple(name.strip() for name in lines[0].split("\t"))
    raise_first(
        {
            f"{path}: line 1 has control characters; save it as plain text with line feeds": (
                _CONTROL.search(lines[0])
            ),
            f"{path}: two columns have the same name, or a column has none; name each column": (
                len(set(columns)) < len(columns) or not all(columns)
            ),
        },
        TableError,
    )
    rows = {
        number: row
        for number, line in enumerate(lines[1:], start=2)
        if len(row := tuple(line.split("\t"))) == len(columns) and not _CONTROL.search(line)
    }
    return Table(columns, rows, tuple(sorted({*range(2, len(lines) + 1)} - rows.keys())))


def format_table(table: Table) -> str:
    """Write a table as BIDS has them."""
    return "".join("\t".join(row) + "\n" for row in (table.columns, *table.rows.values()))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table of rules, by the names of its columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def is_about_people(path: PurePosixPath) -> bool:
    """Return True if each row of a table is about a person, a visit, a scan or a sample."""
    return path.parts[0] == "phenotype" or path.stem.rpartition("_")[2] in ABOUT_PEOPLE


def check_rows(table: Table, path: PurePosixPath) -> tuple[Table, list[Excluded]]:
    """Return a table without malformed lines and rows that do not say what they are about.

    White space around an identifier is removed. In a table that is not about people, one bad line costs the
    file, as its rows depend on each other.

    Raises
    ------
    TableError
        The file is to be left out; or a table about people has no row with an identifier.
    """
    rules = table_columns(path)
    if not is_about_people(path):
        required = [name for name, rule in rules.items() if rule.is_required]
        if required and not set(required) & set(table.columns):
            raise TableError(f"{path}: has no column {required[0]}, or no header; add it")
        if table.bad_lines:
            raise TableError(
                f"{path}: line {table.bad_lines[0]} does not have one value per column; correct it"
            )
        return table, []
    needed = [name for name, rule in rules.items() if rule.is_index] or ["participant_id"]
    index = [column for column in table.columns if column in needed]
    if not index:
        raise TableError(f"{path}: has no column {needed[0]}; add it, or correct its name")
    for column in index:
        table = table.changed(column, lambda label: label.strip().replace("\\", "/"))
    labels = list(zip(*map(table.values, index), strict=True))
    first = dict(zip(reversed(labels), reversed(table.rows), strict=True))
    faults = {
        line: (f"repeats a {index[0]} of an earlier line", "keep one of them")
        for line, row in zip(table.rows, labels, strict=True)
        if first[row] != line and path.parts[0] != "phenotype"  # which may hold several visits
    }
    for column in reversed(index):  # of several faults, the first counts
        form, written = INDEX_COLUMNS[column]
        faults |= {
            line: (f"its {column} is none", f"write {written}")
            for line, label in zip(table.rows, table.values(column), strict=True)
            if not form.fullmatch(label)
        }
    good = {line: row for line, row in table.rows.items() if line not in faults}
    if table.rows and not good:
        raise TableError(f"{path}: no line has a {index[0]}; write {INDEX_COLUMNS[index[0]][1]}")
    malformed = dict.fromkeys(table.bad_lines, ("does not have one value per column", "correct the line"))
    return Table(table.columns, good), [
        Excluded(path, reason, f"line {line}", remedy)
        for line, (reason, remedy) in (*malformed.items(), *sorted(faults.items()))
    ]


def find_identifying_number(lines: Iterable[bytes], *, gradients: bool = False) -> tuple[str, str] | None:
    """Return the first thing in a recording that is no measurement, or None.

    A counter may pass through numbers that read as dates, and one value may be as large as a record number. A
    column is a finding if it holds dates, a clock or one record number throughout.

    Parameters
    ----------
    lines : iterable of bytes
        Of a table without a header.
    gradients : bool, optional
        Whether they are of a ``.bval`` or ``.bvec`` file, in which no number is large.

    Returns
    -------
    kind, place : str
        The first finding.
    """
    large: dict[int, array[float]] = defaultdict(lambda: array("d"))  # by column
    for number, line in enumerate(lines, start=1):
        stripped = line.rstrip(b"\r\n")
        if not _NUMBERS.fullmatch(stripped):
            return "text in a recording", f"line {number}"
        cells = re.split(rb"[\t ]", stripped) if _MAY_BE_LARGE.search(stripped) else []
        for column, cell in enumerate(cells, start=1):
            if cell not in (b"", b"n/a") and abs(value := float(cell)) >= LARGEST_NUMBER:
                large[column].append(value)
        if gradients and large:
            return "number in gradients", f"line {number}"
    for column, values in sorted(large.items()):
        is_constant = min(values) == max(values) and 2 * len(values) > number
        kinds = {
            "date or clock in a recording": _is_clock(values),
            "record number in a recording": (
                is_constant and _CONVERTER_LIMITS.isdisjoint({abs(values[0]), abs(values[0]) + 1})
            ),
        }
        if kind := first_of(kinds):
            return kind, f"column {column}"
    return None


def _is_clock(values: Sequence[float]) -> bool:
    """Return True if numbers are dates, or times within one day: other counters run faster."""
    per_second = next((unit for unit in (1.0, 1e3, 1e6) if max(values) < 1e10 * unit), 1e6)
    lasts_s = (max(values) - min(values)) / per_second
    return lasts_s < DAY_S and 2 * sum(map(is_timestamp, values)) > len(values)
