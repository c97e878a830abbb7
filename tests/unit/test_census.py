"""How values spread over the people of a dataset, where each has a table of their own."""

import math
from pathlib import PurePosixPath

import pytest

from bidsdeface.dataset.people import Census
from bidsdeface.privacy.edf import texts_in_edf
from tests.fullset import edf


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
