"""The validator at the end of a run: errors that the input has not end with 5, all others are no finding."""

import json
import logging
import shutil
import sys
from dataclasses import replace

import pytest

from bidsdeface.errors import Exit
from bidsdeface.output.description import write_dataset_files
from bidsdeface.output.validate import check_output_valid
from bidsdeface.settings import Settings
from tests.conftest import fake_head, make_dataset, save

T1W = "sub-01/anat/sub-01_T1w"
DEFACED = "sub-01/anat/sub-01_desc-defaced_T1w"
BOLD = "sub-01/func/sub-01_task-rest_bold"


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".nii.gz"):
            fake_head((4, 4, 4)).to_filename(root / name)
        else:
            (root / name).write_text("{}")


@pytest.fixture(params=["bids", "derivatives"])
def settings(request, tmp_path):
    """Return settings with a valid input and a valid output."""
    root = make_dataset(tmp_path)
    if request.param == "bids":
        output_dir = make_dataset(tmp_path / "out")
    else:
        output_dir = tmp_path / "out"
        output_dir.mkdir()
        write_dataset_files(output_dir, root, {})
        put(output_dir, f"{DEFACED}.nii.gz")
        (output_dir / f"{DEFACED}.json").write_text(json.dumps({"SkullStripped": False}))
    return Settings(bids_dir=root, output_dir=output_dir, level="group", output_layout=request.param)


def found(settings, tmp_path, caplog, codes=frozenset()):
    caplog.clear()
    code = check_output_valid(settings, tmp_path, codes)
    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert all(line.startswith("INVALID ") and "\n" not in line for line in lines), lines
    assert code == ({Exit.LEAK} if lines else set())
    assert all("the input has no such error" in line and "--skip-output-validation" in line for line in lines)
    return {tuple(line.removeprefix("INVALID ").split(": ")[:2]) for line in lines}


def test_a_valid_output_is_not_spoken_of_and_the_input_not_validated(settings, tmp_path, caplog):
    put(settings.bids_dir, f"{T1W}_nonsense.nii.gz")
    assert found(settings, tmp_path, caplog) == set()


def test_new_errors_are_named_by_file_and_code_and_those_of_the_input_are_not(settings, tmp_path, caplog):
    name = (
        f"{DEFACED}_nonsense.nii.gz" if settings.output_layout == "derivatives" else f"{T1W}_nonsense.nii.gz"
    )
    put(settings.output_dir, name, "sub-01/anat/unknown.txt")
    new = {(name, "NOT_INCLUDED"), ("sub-01/anat/unknown.txt", "NOT_INCLUDED")}
    assert found(settings, tmp_path, caplog) == new
    put(settings.bids_dir, f"{T1W}_nonsense.nii.gz")
    assert found(settings, tmp_path, caplog) == new - {(name, "NOT_INCLUDED")}
    put(settings.bids_dir, "sub-01/anat/unknown.txt")
    assert found(settings, tmp_path, caplog) == set()


def test_another_error_in_a_file_that_has_one_in_the_input_is_new(settings, tmp_path, caplog):
    put(settings.bids_dir, f"{BOLD}.nii.gz")
    put(settings.output_dir, f"{BOLD}.nii.gz")
    codes = {code.partition(" ")[0] for _, code in found(settings, tmp_path, caplog)}
    assert codes == set()
    (settings.output_dir / f"{BOLD}.nii.gz").write_bytes(b"")
    assert (f"{BOLD}.nii.gz", "EMPTY_FILE") in found(settings, tmp_path, caplog)


def test_an_error_above_participants_counts_unless_the_complete_dataset_has_it_from_the_input(
    settings, tmp_path, caplog
):
    for root in (settings.bids_dir, settings.output_dir):
        (root / "participants.tsv").write_text("name\n1\n")
    expected = {"bids": set(), "derivatives": {"participants.tsv"}}
    assert {file for file, _ in found(settings, tmp_path, caplog)} == expected[settings.output_layout]


def test_what_datalad_saved_is_valid_and_repositories_are_not_looked_at(settings, tmp_path, caplog):
    save(settings.output_dir)
    put(settings.output_dir, ".git/annex/sub-02_nonsense.nii.gz", ".bidsdeface-0-x/sub-02_nonsense.nii.gz")
    assert found(settings, tmp_path, caplog) == set()


@pytest.mark.parametrize("code", [Exit.RETRY, Exit.ERROR])
def test_an_output_that_is_not_complete_is_not_validated(settings, tmp_path, caplog, code):
    put(settings.output_dir, "unknown.txt")
    assert found(settings, tmp_path, caplog, {code}) == set()
    assert "not validated" in caplog.text


def test_an_output_without_a_participant_is_not_validated(settings, tmp_path, caplog):
    shutil.rmtree(settings.output_dir / "sub-01")
    assert check_output_valid(settings, tmp_path, set()) == set()
    assert "not validated" in caplog.text


def test_nothing_is_validated_where_a_person_does_not_want_it(settings, tmp_path, caplog):
    put(settings.output_dir, "unknown.txt")
    assert found(replace(settings, validate_output=False), tmp_path, caplog) == set()


def test_a_validator_that_is_missing_is_one_line_with_the_way_out(settings, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_output_valid(settings, tmp_path, set()) == {Exit.ERROR}
    assert "could not be validated" in caplog.text and "--skip-output-validation" in caplog.text
    assert "--skip-bids-validation" not in caplog.text
