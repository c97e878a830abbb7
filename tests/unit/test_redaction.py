"""What is searched for in text that goes along: every spelling of who it is, and not the words of the study."""

import json

import pytest

from bidsdeface.dataset.redaction import redacted_dictionary, renamed
from bidsdeface.privacy.redact import About, identifiers_in, redact
from tests.fullset import PHYSICS, full_dataset
from tests.unit.test_secrets import EVENTS, T1W, share

SAME_WORDS = {
    "participants.tsv": (
        "participant_id\tgroup\tmotion\tnotes\tname\n"
        "sub-01\tdepressed\t0.3\tdepressed\tHaagse Harry\nsub-02\thealthy\t0.2\tmotion\tn/a\n"
    ),
    f"{EVENTS}.tsv": (
        "onset\tduration\ttrial_type\tnback\tstim_id\n"
        "1\t2\tfaces\t2\tfaces\n3\t2\tmemory\t1\tblue house\n5\t2\tblue house\t1\tHarry\n"
    ),
    "task-rest_events.json": {
        "trial_type": {"Levels": {"faces": "a picture of faces", "Harry": "x", "Haagse": "y"}},
    },
    f"{T1W}.json": {
        **PHYSICS, "InstitutionalDepartmentName": "Memory", "StationName": "NBACK", "SeriesDescription": "Blue",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def same_words(tmp_path_factory):
    root = full_dataset(tmp_path_factory.mktemp("raw"), SAME_WORDS)
    output = tmp_path_factory.mktemp("out")
    account, _ = share(root, output, withheld=())
    return output, {str(path): names for path, names in account.dropped.items()}


def test_the_study_keeps_words_that_stand_in_dropped_columns_and_fields_too(same_words):
    output, _ = same_words
    assert (output / "participants.tsv").read_text() == (
        "participant_id\tgroup\tmotion\nsub-01\tdepressed\t0.3\nsub-02\thealthy\t0.2\n"
    )
    table = (output / f"{EVENTS}.tsv").read_text()
    assert table == (
        "onset\tduration\ttrial_type\tnback\n1\t2\tfaces\t2\n3\t2\tmemory\t1\n5\t2\tblue house\t1\n"
    )


def test_levels_that_are_called_like_a_person_are_redacted_and_stay_distinct():
    identifiers = identifiers_in(["Haagse^Harry"])
    dictionary = {"trial_type": {"Levels": {"faces": "seen by Harry", "Harry": "x", "Haagse": "y"}}}
    assert redacted_dictionary(dictionary, identifiers) == {
        "trial_type": {"Levels": {"faces": "seen by [removed]", "removed2": "x", "removed": "y"}}
    }
    assert renamed(["removed", "Harry"], identifiers) == {"removed": "removed", "Harry": "removed2"}


def test_what_was_redacted_in_a_table_is_told_by_column_and_number(tmp_path):
    files = {
        f"{T1W}.json": {**PHYSICS, "PatientName": "Haagse^Harry"},
        f"{EVENTS}.tsv": "onset\tduration\ttrial_type\n1\t2\tHarry\n3\t2\tgo\n5\t2\tby Haagse\n",
        "task-rest_events.json": {"trial_type": {"Levels": {"Harry": "x", "go": "press"}}},
    }
    account, _ = share(full_dataset(tmp_path / "raw", files), tmp_path / "out", withheld=())
    told = {str(path): names for path, names in account.dropped.items()}
    assert told[f"{EVENTS}.tsv"] == ("trial_type (2 values redacted)",)
    assert "trial_type (redacted)" in told["task-rest_events.json"]
    rows = (tmp_path / f"out/{EVENTS}.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[2] for row in rows] == ["removed", "go", "by removed"]
    levels = json.loads((tmp_path / "out/task-rest_events.json").read_text())["trial_type"]["Levels"]
    assert levels == {"removed": "x", "go": "press"}


@pytest.mark.parametrize(
    ("value", "about", "expected"),
    [
        ("Memory", About.PLACE, "memory"),
        ("Blegdamsvej Klinik", About.PLACE, "removed"),
        ("4711081", About.TEXT, "removed"),
        ("Anxiety", About.TEXT, "Anxiety"),
        ("Zwingli", About.PERSON, "removed"),
    ],
)
def test_in_tables_single_words_go_only_if_they_are_a_persons(value, about, expected):
    cell = expected if expected != "removed" else value
    assert redact(cell, identifiers_in([value], about).in_tables, "removed")[0] == expected
