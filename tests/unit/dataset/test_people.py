"""Identifiers are gathered from what is not shared; values are counted over people."""

import json
import math
from pathlib import PurePosixPath

import pytest

from bidsdeface.companions.review import telling_labels
from bidsdeface.dataset.people import Census, People
from bidsdeface.deidentify.edf import texts_in_edf
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.deidentify.policy import load_policy
from tests.fullset import edf


def gathered(root, subject, sidecars):
    for name, content in sidecars.items():
        path = root / f"sub-{subject}" / "func" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return People(root, load_policy()).identifiers_of(subject)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"PatientName": "Doe^Jane"}, "thanks, Jane"),
        ({"OtherPatientIDsSequence": [{"PatientID": "HX41207"}]}, "see HX41207"),
        ({"Operator": "Alma Kessler"}, "Kessler ran it"),  # a field that nobody knows
        ({"global": {"const": {"OperatorsName": "Stern^Ada"}}}, "Stern"),
        ({"OperatorsName": "Wiśniewski^Łukasz"}, "Lukasz Wisniewski"),
    ],
)
def test_identifiers_are_gathered_wherever_a_field_about_a_person_stands(tmp_path, content, text):
    assert gathered(tmp_path, "01", {"sub-01_task-rest_bold.json": content}).are_in(text)


def test_a_field_that_stands_twice_is_read_twice(tmp_path):
    path = tmp_path / "sub-01/func/sub-01_task-rest_bold.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"PatientName": "Quandt^Rosa", "PatientName": "X"}')
    assert People(tmp_path, load_policy()).identifiers_of("01").are_in("with Quandt")


def test_identifiers_that_were_read_before_are_not_read_again(tmp_path, monkeypatch):
    first = gathered(tmp_path, "01", {"sub-01_task-rest_bold.json": {"PatientName": "Quandt^Rosa"}})
    gathered(tmp_path, "02", {"sub-02_task-rest_bold.json": {"PatientName": "Stern^Ada"}})
    read = []
    identifiers = People.identifiers_of
    monkeypatch.setattr(People, "identifiers_of", lambda *given: read.append(given[1]) or identifiers(*given))
    both = People(tmp_path, load_policy()).all_identifiers(["01", "02"], known={"01": first})
    assert read == ["02"] and both.are_in("with Quandt") and both.are_in("with Stern")


def test_what_describes_a_column_is_no_field_about_a_person(tmp_path):
    described = {"name": {"Description": "name of the channel"}, "operator": {"Levels": {"a": "first"}}}
    assert not gathered(tmp_path, "01", {"sub-01_task-rest_channels.json": described}).phrases


def test_a_code_that_is_a_label_is_no_identifier_and_a_name_is(tmp_path):
    told = {"PatientID": "PUMI0001", "PatientName": "PUMI0001", "OperatorsName": "Falk^Ida"}
    found = gathered(tmp_path, "PUMI0001", {"sub-PUMI0001_task-rest_acq-Falk_bold.json": told})
    assert not found.are_in("sub-PUMI0001") and found.are_in("Ida ran it")
    waiting = [one.path for one in telling_labels([PurePosixPath("sub-PUMI0001")], found)]
    assert waiting == [PurePosixPath("acq-Falk")]


def test_a_session_called_by_its_shifted_day_does_not_wait(tmp_path):
    found = gathered(tmp_path, "01", {"sub-01_ses-18901014_bold.json": {"AcquisitionDate": "1890-10-14"}})
    assert list(telling_labels([PurePosixPath("sub-01/ses-18901014")], found)) == []


def test_a_label_that_several_have_or_a_code_in_the_place_of_a_name_is_none(tmp_path):
    for subject in ("ABC", "DEF", "GHI"):
        told = {"PatientName": f"{subject}", "OperatorsName": "fmri_rest"}
        gathered(tmp_path, subject, {f"sub-{subject}_task-rest_bold.json": told})
    found = People(tmp_path, load_policy()).all_identifiers(["ABC", "DEF", "GHI"])
    assert list(telling_labels([PurePosixPath("sub-ABC")], found)) == []
    assert not found.are_in("the rest of ABC")


@pytest.mark.parametrize("label", ["Doe", "JaneDoe", "doejane", "Doe2"])
def test_a_participant_called_by_name_waits(tmp_path, label):
    name = f"sub-{label}_task-rest_bold.json"
    gathered(tmp_path, label, {name: {"PatientName": "Doe^Jane"}})
    found = People(tmp_path, load_policy()).all_identifiers([label])
    assert [one.waits for one in telling_labels([PurePosixPath(f"sub-{label}")], found)] == [True]


@pytest.mark.parametrize(
    ("label", "waits"),
    [("MRI190312", True), ("190312a", True), ("d190312", True), ("1903127", False), ("v123456", False)],
)
def test_a_short_date_within_the_label_of_a_session_waits(label, waits):
    folder = PurePosixPath(f"sub-01/ses-{label}")
    assert bool(list(telling_labels([folder], Identifiers()))) is waits


def put(root, name, text):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_people_are_counted_over_sessions_runs_and_levels(tmp_path):
    for label, response in (("01", "left"), ("02", "left"), ("03", "right")):
        put(
            tmp_path,
            f"sub-{label}/func/sub-{label}_task-a_run-1_events.tsv",
            f"onset\tresponse\n1\t{response}\n2\t{response}\n",
        )
    put(tmp_path, "sub-03/ses-1/func/sub-03_ses-1_task-a_events.tsv", "onset\tresponse\n1\tleft\n")
    put(tmp_path, "sub-04/func/sub-04_task-b_events.tsv", "onset\tresponse\n1\tleft\n")
    put(tmp_path, "sub-05/func/sub-05_task-a_events.tsv", "onset\tresponse\n1\n")
    census = Census(tmp_path)
    spread = census.spread(PurePosixPath("sub-01/func/sub-01_task-a_events.tsv"), "response")
    assert spread.people == {"left": 3, "right": 1} and math.isinf(spread.largest)
    assert spread.hides(["left"]) is False
    assert census.spread(PurePosixPath("sub-01/func/sub-01_task-a_events.tsv"), "onset").largest == 2


def test_a_table_above_participants_is_everybodys_and_nothing_is_known_of_others(tmp_path):
    for label in ("01", "02", "03"):
        (tmp_path / f"sub-{label}").mkdir()
    put(tmp_path, "task-a_events.tsv", "onset\tresponse\n1\tleft\n")
    census = Census(tmp_path)
    table = PurePosixPath("task-a_events.tsv")
    assert census.spread(table, "response").hides(["left"])
    assert not census.spread(table, "nothing").hides([])
    assert not census.spread(PurePosixPath("x y.tsv"), "a").hides([])


def test_tables_are_read_once(tmp_path, monkeypatch):
    put(tmp_path, "sub-01/sub-01_sessions.tsv", "session_id\tx\nses-1\ta\n")
    census, table = Census(tmp_path), PurePosixPath("sub-01/sub-01_sessions.tsv")
    census.spread(table, "x")
    (tmp_path / table).unlink()
    assert census.spread(table, "x").people == {"a": 1}


def test_texts_of_a_recording_are_its_labels_and_notes(tmp_path):
    (tmp_path / "x.edf").write_bytes(edf(annotation=b"Krokodil\x14\xc3\x84pfel"))
    assert texts_in_edf(tmp_path / "x.edf") == {"EEG Cz", "EDF Annotations", "Krokodil", "\u00c4pfel"}
    (tmp_path / "y.edf").write_bytes(b"0")
    with pytest.raises(ValueError, match="no number of signals"):
        texts_in_edf(tmp_path / "y.edf")


def test_a_note_is_shared_that_three_people_have(tmp_path):
    for label, session in (("01", "a"), ("02", "a"), ("02", "b"), ("02", "c")):
        path = tmp_path / f"sub-{label}/ses-{session}/eeg/sub-{label}_ses-{session}_task-x_eeg.edf"
        path.parent.mkdir(parents=True)
        path.write_bytes(edf(annotation=b"Krokodil"))
    assert not Census(tmp_path).is_shared("Krokodil")
    (tmp_path / "sub-03/eeg").mkdir(parents=True)
    (tmp_path / "sub-03/eeg/sub-03_task-x_eeg.edf").write_bytes(edf(annotation=b"Krokodil"))
    (tmp_path / "sub-03/eeg/sub-03_task-y_eeg.edf").write_bytes(b"0")
    assert Census(tmp_path).is_shared("Krokodil") and not Census(tmp_path).is_shared("Hund")
