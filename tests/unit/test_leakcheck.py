"""The leak check at the end of a run: one line for each finding, no value in it, and exit code 1."""

import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from bidsdeface.leakcheck import all_files, check_leaks
from bidsdeface.settings import Settings


@pytest.fixture
def settings(tmp_path):
    settings = Settings(bids_dir=tmp_path / "bids", output_dir=tmp_path / "out", level="participant")
    put(settings, "sub-01/anat/sub-01_T1w.json", json.dumps({"EchoTime": 0.003}))
    return settings


def put(settings, name, text):
    path = settings.output_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return PurePosixPath(name)


def found(settings, tmp_path, caplog, files=None):
    files = all_files(settings.output_dir) if files is None else files
    count = check_leaks(settings, tmp_path, files)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("LEAK")]
    assert len(lines) == count
    return lines


def test_what_is_clean_is_not_spoken_of(settings, tmp_path, caplog):
    assert found(settings, tmp_path, caplog) == []


def test_a_finding_is_one_line_with_place_and_kind_and_without_the_value(settings, tmp_path, caplog):
    put(settings, "notes.txt", "nothing\nask jane.doe@hospital.org\n")
    put(settings, "sub-01/anat/sub-01_T2w.json", json.dumps({"PatientName": "Doe"}))
    assert found(settings, tmp_path, caplog) == [
        "LEAK notes.txt, line 2: e-mail",
        "LEAK sub-01/anat/sub-01_T2w.json, field PatientName: identifying or unknown field",
    ]


def test_files_of_others_are_not_looked_at(settings, tmp_path, caplog):
    put(settings, "notes.txt", "ask jane.doe@hospital.org\n")
    assert found(settings, tmp_path, caplog, [PurePosixPath("sub-01/anat/sub-01_T1w.json")]) == []


def test_what_a_person_keeps_is_no_leak(settings, tmp_path, caplog):
    put(settings, "sub-01/anat/sub-01_T2w.json", json.dumps({"PatientName": "Doe"}))
    assert found(replace(settings, keep_fields=("PatientName",)), tmp_path, caplog) == []


def test_private_folders_of_runs_that_go_on_are_passed_over(settings):
    put(settings, ".bidsdeface-0-x/face.nii", "private")
    assert all_files(settings.output_dir) == [PurePosixPath("sub-01/anat/sub-01_T1w.json")]
