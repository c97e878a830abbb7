"""Tables as BIDS has them: what is none is refused by name, and no value is said; recordings are numbers."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.deidentify.tables import (
    TableError,
    check_rows,
    find_identifying_number,
    format_table,
    parse_table,
)

HERE = PurePosixPath("participants.tsv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("participant_id\tname\nsub-01\tJürgen\n".encode("latin-1"), "not UTF-8"),
        (b"participant_id\x00\tx\nsub-01\tab\n", "line 1 has control"),
        (b"participant_id\rsub-01\r", "line 1 has control"),
        (b"a\ta\n1\t2\n", "the same name"),
        (b"a\t\n1\t2\n", "has none"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        ("participant_id\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_malformed_table_is_refused_by_name_and_without_a_value(content, said):
    with pytest.raises(TableError, match=said) as told:
        parse_table(content, HERE)
    assert "participants.tsv" in str(told.value)
    assert "rgen" not in str(told.value) and "sub-01" not in str(told.value)


def test_a_last_column_without_name_and_values_does_no_harm():
    table = parse_table(b"onset\tduration\t\n1\t2\t\n", HERE)
    assert (table.columns, table.rows) == (("onset", "duration"), {2: ("1", "2")})
    with pytest.raises(TableError):
        parse_table(b"onset\tduration\t\n1\t2\t3\n", HERE)


def test_byte_order_marks_windows_line_ends_and_quotes_do_no_harm():
    content = b'\xef\xbb\xbfparticipant_id \tgroup\r\nsub-01\t"a"\r\n\r\n'
    assert format_table(parse_table(content, HERE)) == 'participant_id\tgroup\nsub-01\t"a"\n'


@pytest.mark.parametrize(
    ("rows", "kept", "lines"),
    [
        ("sub-01\t1\nsub-02\nsub-03\t3\n", ["sub-01", "sub-03"], ["line 3"]),
        ("sub-01\t1\nsub-02\t2\t2\n", ["sub-01"], ["line 3"]),
        ("sub-01\ta\x00b\nsub-02\t2\n", ["sub-02"], ["line 2"]),
        ("sub-01 \t1\n", ["sub-01"], []),
        ("01\t1\nsub-02\t2\n", ["sub-02"], ["line 2"]),
        ("sub-01\t1\nsub-01\t2\n", ["sub-01"], ["line 3"]),
        ("Jane Doe\t1\nsub-02\t2\n", ["sub-02"], ["line 2"]),
    ],
)
def test_a_bad_row_costs_itself_where_rows_are_people(rows, kept, lines):
    table, left_out = check_rows(parse_table(f"participant_id\tx\n{rows}".encode(), HERE), HERE)
    assert list(table.values("participant_id")) == kept
    assert [one.what for one in left_out] == lines
    assert "Doe" not in str(left_out)


def test_a_bad_row_costs_the_file_elsewhere_and_a_table_of_nobody_is_refused():
    events = PurePosixPath("sub-01/func/sub-01_task-x_events.tsv")
    with pytest.raises(TableError, match="line 3 does not have one value"):
        check_rows(parse_table(b"onset\tduration\n1\t2\n1\n", events), events)
    for text in ("participant_id\tx\n01\t1\n02\t2\n", "name\tx\nsub-01\t1\n"):
        with pytest.raises(TableError, match="participant_id"):
            check_rows(parse_table(text.encode(), HERE), HERE)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(content):
    try:
        check_rows(parse_table(content, HERE), PurePosixPath("sub-01/beh/sub-01_task-x_beh.tsv"))
        check_rows(parse_table(content, HERE), HERE)
    except TableError:
        return


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
    assert find_identifying_number(lines(*columns)) == told


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
    assert find_identifying_number(lines(STEPS, column)) is None


@pytest.mark.parametrize(
    ("text", "told"), [(b"0 1000.5\n", False), (b"0 19780304\n", True), (b"0 100000\n", True)]
)
def test_no_gradient_is_large(text, told):
    assert (find_identifying_number([text], gradients=True) is not None) == told
