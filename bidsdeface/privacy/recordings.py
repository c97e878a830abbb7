"""Look through recordings, tables of numbers without a header, for numbers that tell when or who."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bidsdeface.privacy.looks import is_moment
from bidsdeface.privacy.values import LARGEST_NUMBER

LINE_BYTES = 1 << 20
A_DAY = 86_400.0
_NUMBER = rb"(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|n/a|nan|NaN)?"
_NUMBERS = re.compile(_NUMBER + rb"(?:[\t ]" + _NUMBER + rb")*")  # tabs, and blanks between gradients
_MAY_BE_LARGE = re.compile(rb"\d{6}|[eE]\+?\d")


@dataclass
class _Column:
    """What is seen of the large numbers of a column."""

    large: int = 0
    moments: int = 0
    least: float = float("inf")
    most: float = float("-inf")

    def see(self, number: float) -> None:
        self.large += 1
        self.moments += is_moment(number)
        self.least, self.most = min(self.least, number), max(self.most, number)


def find_telling_numbers(lines: Iterable[bytes], *, gradients: bool = False) -> tuple[str, str] | None:
    """Return what a recording has that is no measurement, or None.

    A counter may pass through numbers that read as dates, and one value may be as large as a record number;
    a clock or a date is it all along, and so is somebody's number.

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
    columns: dict[int, _Column] = {}
    number = 0
    for number, line in enumerate(lines, start=1):
        stripped = line.rstrip(b"\r\n")
        if not _NUMBERS.fullmatch(stripped):
            return "text in a recording", f"line {number}"
        if not _MAY_BE_LARGE.search(stripped):
            continue
        for at, cell in enumerate(re.split(rb"[\t ]", stripped), start=1):
            value = float(cell) if cell and cell != b"n/a" else 0.0
            if abs(value) >= LARGEST_NUMBER:
                if gradients:
                    return "number in gradients", f"line {number}"
                columns.setdefault(at, _Column()).see(value)
    for at, column in sorted(columns.items()):
        if _is_clock(column):
            return "date or clock in a recording", f"column {at}"
        if column.least == column.most and 2 * column.large > number and not _is_limit(column.least):
            return "record number in a recording", f"column {at}"
    return None


def _is_clock(column: _Column) -> bool:
    """Tell whether numbers are days, or moments of one: other counters go on faster."""
    unit = next((one for one in (1.0, 1e3, 1e6) if column.most < 1e10 * one), 1e6)
    return 2 * column.moments > column.large and (column.most - column.least) / unit < A_DAY


def _is_limit(number: float) -> bool:
    """Tell whether a number is a converter's largest or least: a power of two, or one less."""
    return any(abs(number) + one in {2.0**bits for bits in range(17, 65)} for one in (0, 1))
