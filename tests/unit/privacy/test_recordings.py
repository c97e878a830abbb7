"""Recordings: measurements pass, clocks, dates and numbers of persons do not."""

import pytest

from bidsdeface.privacy.tables import find_telling_numbers


def lines(*columns):
    """Return the lines of a table, given its columns."""
    return ["\t".join(map(str, row)).encode() + b"\n" for row in zip(*columns, strict=True)]


STEPS = range(400)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ([[1528103449.2350, 1528103449.2550]], ("date or clock in a recording", "column 1")),
        ([[0.1, 0.2], [1528103449235, 1528103449255]], ("date or clock in a recording", "column 2")),
        ([[27182818]], ("record number in a recording", "column 1")),
        ([STEPS, [19780305] * 400], ("date or clock in a recording", "column 2")),
        ([STEPS, [*range(399), 19780305]], ("date or clock in a recording", "column 2")),
        ([["1.9780305e7", "n/a"]], ("date or clock in a recording", "column 1")),
        ([["0.1", "Doe"]], ("text in a recording", "line 2")),
    ],
)
def test_clocks_dates_and_numbers_of_persons_are_told(columns, told):
    assert find_telling_numbers(lines(*columns)) == told


@pytest.mark.parametrize(
    "column",
    [
        [20171231 + 40 * step for step in STEPS],  # a counter of samples, past numbers that read as dates
        [1_000_000_000 + 20_000 * step for step in STEPS],  # microseconds since the tracker was started
        [4_711_000 + 2 * step for step in STEPS],  # milliseconds, likewise
        [8388607] * 400,  # a channel that is not connected, of 24 bits
        [2048 + step % 7 for step in STEPS],
        [-1.5e-3] * 400,
        ["n/a"] * 400,
        [1234567 if step == 7 else 0.5 for step in STEPS],
    ],
)
def test_measurements_pass(column):
    assert find_telling_numbers(lines(STEPS, column)) is None


@pytest.mark.parametrize(
    ("text", "told"), [(b"0 1000.5\n", False), (b"0 19780304\n", True), (b"0 100000\n", True)]
)
def test_no_gradient_is_large(text, told):
    assert (find_telling_numbers([text], gradients=True) is not None) == told
