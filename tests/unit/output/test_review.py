"""Reading review.tsv: a file with one line that is not as it should be is refused as a whole."""

from datetime import timedelta

import pytest

from bidsdeface.errors import BidsdefaceError, UsageError
from bidsdeface.output.review import (
    ACCEPT,
    COLUMNS,
    REJECT,
    Decision,
    decision_on,
    now,
    read_review,
    remember_decision,
    remembered_decisions,
)
from bidsdeface.runtime.workdir import open_state
from tests.conftest import make_dataset

T1W, T2W = (f"sub-01/anat/sub-01_{suffix}.nii.gz" for suffix in ("T1w", "T2w"))
MARK = "0a" * 32
TIME = "2026-01-31T12:00:00.000Z"
GOOD = (T1W, "accepted", "the nose is gone", "AB", MARK, TIME)


@pytest.fixture
def read(tmp_path):
    bids_dir = make_dataset(tmp_path, (T1W, T2W))

    def read_lines(*rows, head=COLUMNS, end="\n", encoding="utf-8"):
        text = "".join("\t".join(row) + end for row in (head, *rows))
        (tmp_path / "review.tsv").write_bytes(text.encode(encoding))
        return read_review(tmp_path / "review.tsv", bids_dir)

    return read_lines


@pytest.mark.parametrize(("end", "encoding"), [("\n", "utf-8"), ("\r\n", "utf-8"), ("\n", "utf-8-sig")])
def test_decisions_are_read_as_the_page_or_a_spreadsheet_saves_them(read, end, encoding):
    decisions = read(GOOD, (T2W, "rejected", "", "", MARK[::-1], TIME), end=end, encoding=encoding)
    assert [(stem, one.decision, one.note, one.initials) for stem, one in decisions.items()] == [
        ("sub-01_T1w", ACCEPT, "the nose is gone", "AB"),
        ("sub-01_T2w", REJECT, "", ""),
    ]
    assert decisions["sub-01_T1w"].fits(MARK) and not decisions["sub-01_T2w"].fits(MARK)
    assert decisions["sub-01_T2w"].place.endswith("review.tsv, line 3")


def test_no_line_is_no_decision(read):
    assert read() == read(("",)) == {}


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        (GOOD[:5], "has 5 cells and not 6"),
        ((*GOOD, ""), "has 7 cells and not 6"),
        (("sub-09/anat/sub-09_T1w.nii.gz", *GOOD[1:]), "no such scan"),
        (("../bids/" + T1W, *GOOD[1:]), "no such scan"),
        (("sub-01_T1w", *GOOD[1:]), "no such scan"),
        ((T1W.replace(".nii.gz", ".json"), *GOOD[1:]), "no such scan"),
        (("participants.tsv", *GOOD[1:]), "no such scan"),
        ((T1W, "Accepted", *GOOD[2:]), "not accepted or rejected"),
        ((T1W, "", *GOOD[2:]), "not accepted or rejected"),
        ((*GOOD[:4], "0a", TIME), "the fingerprint is damaged"),
        ((*GOOD[:5], "31.01.26 12:00"), "the time is damaged"),
        ((*GOOD[:5], now(timedelta(days=2))), "in the future; set the clock"),
        *(((T1W, "accepted", f"{sign}1+1", "", MARK, TIME), "as a formula does") for sign in "=+-@"),
        ((*GOOD[:3], "=A", MARK, TIME), "as a formula does"),
    ],
)
def test_a_line_that_is_not_as_it_should_be_is_named_with_the_way_out(read, row, cause):
    with pytest.raises(UsageError, match=rf"review.tsv, line 3: .*{cause}.*; nothing of the file was used"):
        read((T2W, *GOOD[1:]), row)


def test_two_lines_about_one_scan_are_refused_even_if_they_agree(read):
    with pytest.raises(UsageError, match=r"line 2: this scan has several lines; keep one of them"):
        read(GOOD, GOOD)


def test_a_file_of_something_else_is_refused(read, tmp_path):
    with pytest.raises(UsageError, match="line 1: must name the columns scan, decision, note"):
        read(GOOD, head=("scan", "verdict"))
    with pytest.raises(UsageError, match="line 1: .*, time, .*save the file from the private page again"):
        read(GOOD[:5], head=COLUMNS[:5])
    with pytest.raises(UsageError, match="not text in UTF-8"):
        read((T1W, "accepted", "né", "", MARK, TIME), encoding="latin-1")
    with pytest.raises(UsageError, match=r"gone.tsv: cannot be read .*give --review"):
        read_review(tmp_path / "gone.tsv", tmp_path)


def decided(day, decision, fingerprint, note=""):
    time = f"2026-01-{day:02}T00:00:00.000Z"
    return Decision(decision=decision, fingerprint=fingerprint, time=time, note=note)


def test_of_decisions_about_one_thing_the_last_is_kept_in_whatever_order_they_are_given(tmp_path):
    state = open_state(tmp_path)
    assert remembered_decisions(state, "sub-01_T1w") == {}
    given = [
        decided(1, ACCEPT, "a"), decided(3, REJECT, "a"), decided(2, ACCEPT, "a"),
        decided(2, REJECT, "b"), decided(2, ACCEPT, "b"), decided(2, REJECT, "b", "another note"),
    ]  # fmt: skip
    for decision in given:
        remember_decision(state, "sub-01_T1w", decision)
    known = remembered_decisions(state, "sub-01_T1w")
    assert known == {"a": given[1], "b": given[5]} == remembered_decisions(open_state(tmp_path), "sub-01_T1w")
    assert remembered_decisions(state, "sub-01_T2w") == {}


@pytest.mark.parametrize(
    ("about_this", "about_another", "expected"),
    [
        ((), (), None),
        ((1, ACCEPT), (), ACCEPT),
        ((1, REJECT), (), REJECT),
        ((), (1, ACCEPT), None),
        ((), (1, REJECT), REJECT),
        ((1, ACCEPT), (2, ACCEPT), ACCEPT),
        ((1, ACCEPT), (2, REJECT), REJECT),
        ((2, ACCEPT), (1, REJECT), ACCEPT),
        ((1, REJECT), (2, ACCEPT), REJECT),
        ((1, ACCEPT), (1, REJECT), REJECT),
    ],
)
def test_the_last_decision_counts_if_it_is_a_rejection_or_about_this(about_this, about_another, expected):
    known = {"a": decided(*about_this, "a")} if about_this else {}
    known |= {"b": decided(*about_another, "b")} if about_another else {}
    decision = decision_on(known, "a")
    assert (decision and decision.decision) == expected
    nothing = decision_on(known, None)
    assert nothing is None or nothing.decision == REJECT


def test_decisions_that_are_damaged_are_one_clear_line(tmp_path):
    state = open_state(tmp_path)
    remember_decision(state, "sub-01_T1w", decided(1, ACCEPT, "a"))
    (path,) = (tmp_path / "bidsdeface/fingerprints").iterdir()
    path.write_text("{")
    with pytest.raises(BidsdefaceError, match=f"remove {path} and review the scan again"):
        remembered_decisions(state, "sub-01_T1w")
