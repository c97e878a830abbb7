"""Data dictionaries: texts go as they are, or a key is left out; drafts for what nobody described."""

import json

import pytest

from bidsdeface.deidentify.dictionary import draft_dictionary, merged_draft, scrub_dictionary
from bidsdeface.deidentify.identifiers import PERSON, identifiers_in
from bidsdeface.deidentify.tables import Table

KNOWN = identifiers_in("Zwingli^Ulrich", PERSON)


def scrub(dictionary, columns=("age", "group"), **options):
    return scrub_dictionary(dictionary, columns, identifies=KNOWN.are_in, **options)


def test_what_describes_the_columns_that_stay_stays_as_it_is():
    dictionary = {
        "age": {"Description": "Age at the first scan (2018-03-01 or later)", "Units": "years"},
        "group": {
            "LongName": "Group",
            "Levels": {"A": "a, see https://x.org", "B": "b"},
            "TermURL": "https://x.org/1",
        },
        "defs": {"HED": {"alldefs": "(Definition/Go,(Sensory-event))"}},
        "MeasurementToolMetadata": {"Description": "HADS", "TermURL": "https://x.org"},
    }
    kept, reasons = scrub(dictionary)
    assert json.dumps(kept) == json.dumps(dictionary) and reasons == {}


def test_keys_of_absent_columns_and_unknown_keys_are_left_out_and_named():
    kept, reasons = scrub(
        {"mrn": {"Description": "x"}, "age": {"Units": "years", "Interviewer": "x"}, "PatientName": "Doe"}
    )
    assert kept == {"age": {"Units": "years"}}
    assert reasons.keys() == {"mrn", "age.Interviewer", "PatientName"}


TELLING = [
    "as Zwingli said", "ULRICH's group", "rated by Dr. Doe", "Ask jane@hospital.org", "+49 201 123 4567",
    "see http://pacs/1", "https://wiki.local/x", "MRN 471142", "born 4 March 1978", "123-45-6789", "/home/j",
]  # fmt: skip


@pytest.mark.parametrize("text", TELLING)
@pytest.mark.parametrize("key", ["Description", "LongName", "TermURL", "HED"])
def test_a_text_that_names_somebody_costs_its_key(text, key):
    kept, reasons = scrub({"age": {key: text, "Units": "years"}})
    assert kept == {"age": {"Units": "years"}} and reasons.keys() == {f"age.{key}"}
    assert text not in str(reasons)


@pytest.mark.parametrize("text", TELLING)
def test_a_level_that_names_somebody_goes_alone(text):
    for levels in ({text: "x", "B": "b"}, {"A": text, "B": "b"}):
        kept, reasons = scrub({"group": {"Levels": levels}})
        assert kept == {"group": {"Levels": {"B": "b"}}} and reasons.keys() == {"group.Levels"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 19780304, 1559638309.2])
def test_a_limit_that_is_a_date_or_no_json_goes(value):
    assert scrub({"age": {"Maximum": value, "Minimum": 0}})[0] == {"age": {"Minimum": 0}}


def test_a_draft_has_levels_or_ranges_and_nobody_in_it():
    rows = {2: ("sub-1", "A", "1", "Doe"), 3: ("sub-2", "B", "1200", "Roe"), 4: ("sub-3", "n/a", "1", "n/a")}
    table = Table(("participant_id", "group", "score", "name"), rows)
    draft = draft_dictionary(table, table.columns[1:])
    assert draft.keys() == {"group", "score"} and list(draft["group"]["Levels"]) == ["A", "B"]
    assert (draft["score"]["Minimum"], draft["score"]["Maximum"]) == (1, 1200)


def test_a_draft_starts_from_what_is_said_and_asks_for_the_rest():
    table = Table(("participant_id", "group", "score"), {2: ("sub-1", "A", "1"), 3: ("sub-2", "B", "2")})
    said = {
        "group": {"LongName": "Arm", "Levels": {"A": "drug"}},
        "score": {"Description": "points", "Maximum": 9},
    }
    draft = draft_dictionary(table, ["group", "score"], said)
    assert draft["group"] == {"Description": "…", "LongName": "Arm", "Levels": {"A": "drug", "B": "…"}}
    assert draft["score"] == {"Description": "points", "Units": "…", "Minimum": 1, "Maximum": 9}
    said = {"group": {"Levels": ["A"]}, "score": "points"}
    draft = draft_dictionary(table, ["group", "score"], said)
    assert draft["group"]["Levels"] == {"A": "…", "B": "…"} and draft["score"]["Units"] == "…"


def test_a_draft_has_no_limits_of_ages_or_of_numbers_that_may_number_people():
    table = Table(
        ("participant_id", "code", "age"), {2: ("sub-1", "47110", "34"), 3: ("sub-2", "47111", "93")}
    )
    draft = draft_dictionary(table, ["code", "age"], {"age": {"Description": "at the scan", "Units": "J"}})
    assert draft["code"] == {"Description": "…", "Units": "…"}
    assert draft["age"] == {"Description": "at the scan", "Units": "…"}


def test_what_a_person_has_filled_in_stays_and_new_columns_and_levels_are_added():
    there = {"group": {"Description": "arm", "Levels": {"A": "drug"}}, "old": {"Units": "mm"}}
    draft = {"group": {"Description": "…", "Levels": {"A": "…", "B": "…"}}, "new": {"Units": "…"}}
    assert merged_draft(draft, there) == {
        "group": {"Description": "arm", "Levels": {"A": "drug", "B": "…"}},
        "old": {"Units": "mm"},
        "new": {"Units": "…"},
    }
