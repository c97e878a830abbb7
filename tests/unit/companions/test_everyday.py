"""Ordinary metadata of real studies goes through untouched, or is left out whole and named."""

# ruff: noqa: E501 — tables of data, one file a line

import json
import os
import subprocess
import sys

import pytest

from bidsdeface.dataset.validator import find_problems
from bidsdeface.leakcheck.find import find_leaks
from tests.fullset import PHYSICS, edf, full_dataset
from tests.heads import SHARED
from tests.unit.companions.test_secrets import share

EEG = {"TaskName": "rest", "EEGReference": "CMS/DRL", "SamplingFrequency": 64, "PowerLineFrequency": 50, "SoftwareFilters": {"Anti-aliasing filter": {"half-amplitude cutoff (Hz)": 500, "Roll-off": "6dB/Octave"}}, "CapManufacturer": "EasyCap", "CapManufacturersModelName": "M1-ext", "Manufacturer": "BioSemi", "ManufacturersModelName": "ActiveTwo", "EEGGround": "AFz", "TaskDescription": "Resting with eyes open"}  # fmt: skip
EVENTS = "onset\tduration\ttrial_type\tresponse_hand\tstim_id\taccuracy\n10.000000\t2.500000\tEyes Open\tLeft Hand\t17\t1\n12.5\t2\tEyes Closed\tRight Hand\t18\t0\n"
README = b"# README\r\n- Contact: Ann Author, ann.author@uni-nowhere.edu, ORCID 0000-0002-1825-0097\r\n- 2017-2019; approved 2019-02-11.\r\n"
FILES = {
    "participants.tsv": "participant_id\tage\tage_months\tgroup\thandedness\thads\tICV\nsub-01\t120\t120\tYoung Children\tRight Handed\t3\t1523411\nsub-02\t98\t98\tOlder Children\tLeft Handed\t7\t1423411\nsub-03\t134\t134\tYoung Children\tRight Handed\t2\t1323411\n",
    "participants.json": {"age": {"Description": "age at the scan in months"}, "ICV": {"Description": "Intracranial volume in mm3"}, "hads": {"Description": "HADS anxiety", "Minimum": 0, "Maximum": 21}},
    "README": README,
    "task-rest_events.json": {"trial_type": {"Levels": {"Eyes Open": "looking at a cross", "Eyes Closed": "resting", "go": "press"}}},
    **{f"sub-{label}/ses-a/func/sub-{label}_ses-a_task-rest_events.tsv": EVENTS for label in ("01", "02", "03")},
    "sub-03/ses-a/func/sub-03_ses-a_task-rest_bold.json": PHYSICS,
    "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_eeg.edf": edf(annotation=b"Eyes Open"),
    "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_eeg.json": EEG,
    "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_channels.tsv": "name\ttype\tunits\tdescription\tstatus\tstatus_description\treference\nEEG Cz\tEEG\tuV\tVertex electrode\tgood\tn/a\tCMS/DRL\n",
    "sub-01/ses-a/eeg/sub-01_ses-a_coordsystem.json": {"EEGCoordinateSystem": "Other", "EEGCoordinateUnits": "cm", "EEGCoordinateSystemDescription": "Origin halfway between LPA and RPA", "AnatomicalLandmarkCoordinates": {"NAS": [0, 9, 0], "LPA": [-7, 0, 0], "RPA": [7, 0, 0]}},
    "sub-01/ses-a/eeg/sub-01_ses-a_electrodes.tsv": "name\tx\ty\tz\nCz\t0\t0\t9.20\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    root, output = full_dataset(tmp_path_factory.mktemp("raw"), FILES), tmp_path_factory.mktemp("out")
    account, _ = share(root, output, withheld=())
    return root, output, {(str(one.path), one.what): one for one in account.left_out}


@pytest.mark.parametrize(
    "name",
    [
        "README",
        "sub-01/ses-a/func/sub-01_ses-a_task-rest_events.tsv",
        "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_channels.tsv",
        "sub-01/ses-a/eeg/sub-01_ses-a_electrodes.tsv",
    ],
)
def test_texts_and_tables_of_the_study_are_the_same_bytes(shared, name):
    root, output, _ = shared
    assert (output / name).read_bytes() == (root / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "task-rest_events.json",
        "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_eeg.json",
        "sub-01/ses-a/eeg/sub-01_ses-a_coordsystem.json",
    ],
)
def test_sidecars_of_the_study_say_the_same(shared, name):
    root, output, _ = shared
    assert json.loads((output / name).read_text()) == json.loads((root / name).read_text())


def test_columns_that_nobody_described_and_ages_without_a_unit_are_left_out_whole_and_named(shared):
    _, output, left_out = shared
    table = (output / "participants.tsv").read_text()
    assert table.splitlines()[0] == "participant_id\tage_months\thads" and "89" not in table
    for column, said in (
        ("age", "Units"),
        ("group", "fewer than three people"),
        ("handedness", "not a value that BIDS has"),
        ("ICV", "Units"),
    ):
        assert said in left_out["participants.tsv", f"column {column}"].reason
    assert "HADS" in (output / "participants.json").read_text()


def test_nothing_leaks_and_everything_is_valid(shared):
    _, output, _ = shared
    assert list(find_leaks(output)) == [] == find_problems(output)


@pytest.mark.parametrize("case", ["everyday", "decimals"])
def test_the_shared_cases_come_out_as_they_should(case, tmp_path):
    script = SHARED / "cases/metadata" / f"{case}.py"
    if not script.is_file():
        pytest.skip(f"{script} is not here")
    subprocess.run([sys.executable, str(script), str(tmp_path / "raw")], check=True, env=dict(os.environ))
    root, output = tmp_path / "raw", tmp_path / "out"
    account, _ = share(root, output, withheld=(), include=["phenotype/*"])
    assert (output / "README").read_bytes() == (root / "README").read_bytes()
    columns = (output / "participants.tsv").read_text().splitlines()[0].split("\t")
    assert columns == ["participant_id", "age_months", "age_std_score", "gestational_age", "hospital_anxiety"]
    events = "sub-01/func/sub-01_task-motor_events.tsv"
    assert (output / events).read_bytes() == (root / events).read_bytes()
    assert not list(output.rglob("*task-bv*")), "of a recording that stays behind, so do sidecar and channels"
    waiting = [str(one.path) for one in account.left_out if one.waits]
    assert waiting == (["CITATION.cff"] if case == "decimals" else [])
    if case == "decimals":
        header, first, _ = (output / "sub-01/sub-01_scans.tsv").read_text().splitlines()
        assert header == "filename\tacq_time" and first.endswith("T10:00:00.000000")
        assert not any(one.path.startswith("phenotype") for one in find_leaks(output))
    assert [one for one in find_problems(output) if "README" not in one] == []
