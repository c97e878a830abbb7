"""Dates of acquisition: earlier by whole days, and else as they were."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.deidentify.altered import day_offset, shift_back

KEY = bytes(range(32))


@given(st.datetimes(datetime(1975, 1, 1), datetime(2099, 12, 31)), st.timedeltas(), st.text(max_size=9))
def test_intervals_stay_and_every_date_comes_before_1925(moment, step, subject):
    days = day_offset(KEY, subject)
    assert days == day_offset(KEY, subject)
    first = datetime.fromisoformat(shift_back(moment.isoformat(), days))
    assert first.year < 1925 and first.year > 1677
    try:
        later = moment + step
    except OverflowError:
        return
    shifted = shift_back(later.isoformat(), days)
    if shifted and 1925 <= later.year < 2100:
        assert datetime.fromisoformat(shifted) - first == step


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "T19:31:49",
        " 19:31:49",
        "T19:31",
        "T19:31:49Z",
        "T19:31:49.1",
        "T19:31:49.235000",
        "T19:31:49.1234567",
    ]
    + ["T19:31:49+02:00", "T19:31:49.5-0530", "T19:31:49,5"],
)
def test_whatever_follows_the_day_stays_as_it_is(rest):
    assert shift_back(f"2018-06-04{rest}", 64_100) == f"1842-12-04{rest}"


def test_other_days_of_iso_8601():
    assert shift_back("20180604T193149", 64_100) == "18421204T193149"
    assert shift_back("1901-03-04T10:00:00", 64_100) == "1901-03-04T10:00:00", "shifted by somebody before"


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2018-13-45T00:00:00", "XXXX-XX-XXT11:11:12", "11:31:12", "", "04.06.2018", "2018-0604"],
)
def test_what_is_no_date_of_iso_8601_is_not_told(text):
    assert shift_back(text, 64_100) is None


def test_offsets_differ_between_participants_and_keys():
    assert len({day_offset(KEY, str(n)) for n in range(100)}) > 90
    assert day_offset(KEY, "01") != day_offset(KEY[::-1], "01")
