"""The group table says what the sidecars say, and no more."""

import csv
import json
import logging
from dataclasses import replace

import pytest

from bidsdeface.errors import BidsdefaceError, Exit, ImageError, UsageError
from bidsdeface.group import run_group_level
from bidsdeface.quality.limits import CHECKS, bids_name
from bidsdeface.quality.outcome import IN_REVIEW, Outcome, OutcomeFile
from bidsdeface.report.missing import BY_A_PERSON
from bidsdeface.report.quality import COLUMNS
from bidsdeface.runtime.workdir import open_state
from bidsdeface.settings import Settings
from tests.conftest import make_dataset

RECORD = {
    "Version": "0.1.0",
    "Template": "WholeHead",
    "Method": "remove",
    "Regions": ["face", "ears"],
    "GuardMM": 4.0,
    "MaskSource": "template",
    "Reference": "sub-1_T1w",
    "Verdict": "passed",
    "Measures": {"Similarity": 0.8, "Scale": 0.95, "BrainShiftMM": 4.01, "MaskML": 812.5, "NewInIt": 1},
}


NO_FACE = {
    "Version": "0.1.0",
    "Template": "WholeHead",
    "Regions": ["face"],
    "GuardMM": 4.0,
    "Reference": None,
    "Verdict": "no-face",
    "Evidence": "a bare brain",
    "Measures": {},
}


@pytest.fixture
def settings(tmp_path):
    return Settings(bids_dir=tmp_path / "bids", output_dir=tmp_path, level="group", validate_output=False)


def put(root, scan, record):
    path = root / f"{scan}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"EchoTime": 0.003, "Bidsdeface": record}))


def table(root):
    with (root / "quality.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_one_row_for_each_published_scan_in_natural_order(settings, tmp_path):
    for folder in ("sub-10/anat/sub-10", "sub-2/ses-a/anat/sub-2_ses-a", "sub-1/anat/sub-1"):
        put(tmp_path, f"{folder}_desc-defaced_T1w", RECORD)
        put(tmp_path, f"{folder}_mod-T1w_desc-face_defacemask", RECORD)  # no scan
    assert run_group_level(settings) == set()
    assert [row["scan"] for row in table(tmp_path)] == [
        "sub-1/anat/sub-1_desc-defaced_T1w.nii.gz",
        "sub-2/ses-a/anat/sub-2_ses-a_desc-defaced_T1w.nii.gz",
        "sub-10/anat/sub-10_desc-defaced_T1w.nii.gz",
    ]


def test_a_row_holds_the_measures_and_n_a_where_there_is_none(settings, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    run_group_level(settings)
    (row,) = table(tmp_path)
    assert row["Regions"] == "face,ears" and row["Verdict"] == "passed"
    assert (row["Similarity"], row["BrainShiftMM"], row["MaskML"]) == ("0.8", "4.01", "812.5")
    assert row["StartDisagreementMM"] == row["GuardToSkinMM"] == "n/a"
    assert list(row) == list(COLUMNS)


def test_a_mask_by_hand_has_no_measures_and_no_reference(settings, tmp_path):
    by_hand = {**RECORD, "MaskSource": "by hand", "Reference": None, "Measures": {"MaskML": 700.0}}
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", by_hand)
    run_group_level(settings)
    (row,) = table(tmp_path)
    assert (row["MaskSource"], row["Reference"], row["Similarity"]) == ("by hand", "n/a", "n/a")


def test_all_four_verdicts_of_published_scans_are_told_apart(settings, tmp_path):
    beyond = {**RECORD["Measures"], "OutlineShiftMM": 14.2, "StrayTissueML": None}
    records = {
        "sub-1_desc-defaced_T1w": RECORD,
        "sub-2_desc-noface_T1w": NO_FACE,
        "sub-3_desc-defaced_T1w": {
            **RECORD,
            "Verdict": "accepted",
            "Accepted": ["OutlineShiftMM", "StrayTissueML"],
            "Measures": beyond,
        },
        "sub-4_desc-defaced_T1w": {**RECORD, "Verdict": "by hand", "MaskSource": "by hand", "Measures": {}},
    }
    for name, record in records.items():
        put(tmp_path, f"sub-{name[4]}/anat/{name}", record)
    run_group_level(settings)
    passed, no_face, accepted, by_hand = table(tmp_path)
    verdicts = [row["Verdict"] for row in (passed, no_face, accepted, by_hand)]
    assert verdicts == ["passed", "no-face", "accepted", "by hand"]
    assert set(verdicts) == set(json.loads((tmp_path / "quality.json").read_text())["Verdict"]["Levels"])
    assert no_face["scan"] == "sub-2/anat/sub-2_desc-noface_T1w.nii.gz"
    assert (no_face["Evidence"], no_face["Method"], no_face["Similarity"]) == ("a bare brain", "n/a", "n/a")
    assert (accepted["Accepted"], accepted["OutlineShiftMM"]) == ("OutlineShiftMM,StrayTissueML", "14.2")
    assert accepted["StrayTissueML"] == "n/a"  # it could not be measured
    assert passed["Accepted"] == passed["Evidence"] == by_hand["Accepted"] == "n/a"


def test_the_dictionary_tells_units_and_limits_of_each_measure(settings, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    run_group_level(settings)
    described = json.loads((tmp_path / "quality.json").read_text())
    for check in CHECKS:
        column = described[bids_name(check.measure)]
        assert column.get("Units") == {"mm": "mm", "ml": "mL"}.get(check.measure[-2:])
        assert check.limits in column["Description"]


def test_every_column_is_described(settings, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    run_group_level(settings)
    described = json.loads((tmp_path / "quality.json").read_text())
    assert list(described) == list(COLUMNS)
    assert all(column["Description"] for column in described.values())


def test_the_table_follows_what_is_published_now(settings, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    put(tmp_path, "sub-2/anat/sub-2_desc-defaced_T1w", RECORD)
    run_group_level(settings)
    (tmp_path / "sub-1/anat/sub-1_desc-defaced_T1w.json").unlink()
    run_group_level(settings)
    assert [row["scan"] for row in table(tmp_path)] == ["sub-2/anat/sub-2_desc-defaced_T1w.nii.gz"]


def test_a_result_whose_original_is_gone_is_named_with_what_to_remove(settings, tmp_path, caplog):
    for label in "123":
        put(tmp_path, f"sub-{label}/anat/sub-{label}_desc-defaced_T1w", RECORD)
        path = tmp_path / f"sub-{label}/anat/sub-{label}_desc-defaced_T1w.json"
        source = f"bids:raw:sub-{label}/anat/sub-{label}_T1w.nii.gz"
        path.write_text(json.dumps({**json.loads(path.read_text()), "Sources": [source]}))
    (settings.bids_dir / "sub-1/anat").mkdir(parents=True)
    (settings.bids_dir / "sub-1/anat/sub-1_T1w.nii.gz").touch()
    (settings.bids_dir / "sub-2/anat").mkdir(parents=True)
    (settings.bids_dir / "sub-2/anat/sub-2_T1w.nii.gz").symlink_to("annexed and dropped")
    put(tmp_path, "sub-3/anat/sub-3_mod-T1w_desc-face_defacemask", RECORD)
    run_group_level(settings)
    (line,) = [line for line in caplog.messages if "its original no longer exists" in line]
    names = [
        f"{tmp_path}/sub-3/anat/sub-3_{end}" for end in ("desc-defaced_T1w", "mod-T1w_desc-face_defacemask")
    ]
    assert line.startswith("sub-3/anat/sub-3_desc-defaced_T1w.nii.gz: ")
    assert line.endswith("".join(f" {name}.json" for name in names))


def test_nothing_but_the_tables_and_the_page_are_written(settings, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    run_group_level(settings)
    tables = {f"{name}.{end}" for name in ("missing", "quality") for end in ("json", "tsv")}
    names = {".bidsignore", *tables, "report.html", "sub-1", "sub-1.html"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_an_output_of_an_earlier_version_ignores_the_new_tables_too(settings, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    (tmp_path / ".bidsignore").write_text("*.html\nfigures\nquality.*\nreidentification.*\n")
    run_group_level(settings)
    assert "missing.*" in (tmp_path / ".bidsignore").read_text().splitlines()


def test_no_published_scan_is_one_clear_line(settings, tmp_path):
    with pytest.raises(BidsdefaceError, match="no defaced scan here; run the participant level first"):
        run_group_level(settings)
    with pytest.raises(BidsdefaceError, match="no participant here; run the participant level first"):
        run_group_level(replace(settings, output_layout="bids"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{}", '{"Bidsdeface": {}}', '{"Bidsdeface": 3}', "{", "[]"])
def test_a_sidecar_of_somebody_else_is_named(settings, tmp_path, text):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    path = tmp_path / "sub-1/anat/sub-1_desc-defaced_T2w.json"
    path.write_text(text)
    with pytest.raises(BidsdefaceError, match="is not a sidecar of this program") as error:
        run_group_level(settings)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    assert not (tmp_path / "quality.tsv").exists()


def test_the_log_says_how_many_and_where(settings, tmp_path, caplog):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    with caplog.at_level(logging.INFO, "bidsdeface"):
        run_group_level(settings)
    assert f"1 scan in {tmp_path / 'quality.tsv'}" in caplog.text


def test_the_output_is_validated_at_the_end_whatever_became_of_the_input(
    settings, tmp_path, tmp_path_factory, caplog
):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    settings = replace(settings, bids_dir=make_dataset(tmp_path_factory.mktemp("raw")), validate=False)
    assert run_group_level(replace(settings, validate_output=True)) == {Exit.LEAK}  # it has no description
    assert any(line.startswith("INVALID the dataset: MISSING_DATASET") for line in caplog.messages)
    assert run_group_level(settings) == set()


def test_a_leak_is_what_came_up(settings, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    (tmp_path / "notes.txt").write_text("ask jane.doe@hospital.org\n")
    assert run_group_level(settings) == {Exit.LEAK}


def missing(root):
    with (root / "missing.tsv").open(newline="") as file:
        return {row["scan"]: row["reason"] for row in csv.DictReader(file, delimiter="\t")}


@pytest.fixture
def with_raw(settings, tmp_path_factory):
    scans = [f"sub-{label}/anat/sub-{label}_T1w.nii.gz" for label in "12345"]
    return replace(settings, bids_dir=make_dataset(tmp_path_factory.mktemp("raw"), scans))


def test_each_planned_scan_that_is_not_there_is_listed_with_its_reason(with_raw, tmp_path, caplog):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    put(tmp_path, "sub-5/anat/sub-5_desc-noface_T1w", NO_FACE)
    folder = with_raw.bids_dir.parent / "outcomes"
    folder.mkdir()
    file = OutcomeFile(folder / "task-1")
    file.add(Outcome("sub-2_T1w", "failed", failed_checks=("StrayTissueML",)))
    file.close()
    file = OutcomeFile(folder / "task-2")
    file.add(Outcome("sub-3_T1w", "failed", cause=Exit.RETRY))
    file.close()
    with (folder / "task-2").open("a") as cut:
        cut.write('{"scan": "sub-4_T')
    run_group_level(replace(with_raw, outcomes=folder))
    reasons = missing(tmp_path)
    assert list(reasons) == ["sub-2_T1w", "sub-3_T1w", "n/a"]
    assert reasons["sub-2_T1w"] == "did not pass: StrayTissueML"
    assert "run it again" in reasons["sub-3_T1w"] and "no run has recorded an outcome" in reasons["n/a"]
    why = f"why: {tmp_path / 'missing.tsv'}"
    names = "3 scans (sub-2_T1w, sub-3_T1w, sub-4_T1w), which the exit code of group does not count"
    assert caplog.messages[-1] == f"missing from OUTPUT_DIR: {names}; {why}"
    page = (tmp_path / "report.html").read_text()
    assert all(reason in page for reason in reasons.values())
    assert "sub-3_T1w" in page and "sub-4_T1w" not in page


def test_the_work_dir_keeps_reasons(with_raw, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    state = open_state(with_raw.bids_dir.parent / "work")
    file = OutcomeFile(None, state.folder_for("outcomes", tmp_path))
    file.add(Outcome("sub-2_T1w", "failed", failed_checks=("StrayTissueML",), reasons=("secret",)))
    file.add(Outcome("sub-3_T1w", "passed"))
    run_group_level(with_raw, state)
    assert missing(tmp_path)["sub-2_T1w"] == "did not pass: StrayTissueML"
    page = (tmp_path / "report.html").read_text()
    assert "secret" not in page and "sub-2_T1w" in page
    # An earlier run has published it: somebody may have recognised it since, so that it is counted only.
    removed = "published by an earlier run, and removed since"
    assert removed in page and "sub-3_T1w" not in page + (tmp_path / "missing.tsv").read_text()
    private = missing(state.folder_for("missing", tmp_path))
    assert private["sub-3_T1w"] == removed and len(private) == 4


def test_that_reasons_are_unknown_is_said_with_the_way_to_them(with_raw, tmp_path, caplog):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    settings = replace(with_raw, participants=("1", "2"))
    run_group_level(settings)
    assert caplog.messages[-1].endswith("; reasons unknown: give --work-dir or --outcomes")
    run_group_level(settings, open_state(with_raw.bids_dir.parent / "work"))
    assert "reasons unknown" not in caplog.messages[-1]


def test_what_a_person_withdrew_is_counted_as_such_and_not_named(with_raw, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    state = open_state(with_raw.bids_dir.parent / "work")
    file = OutcomeFile(None, state.folder_for("outcomes", tmp_path))
    rejected = Outcome("sub-2_T1w", "failed", ("rejected",), kind=IN_REVIEW, remedy="accept it")
    file.add(rejected)
    file.add(replace(rejected, scan="sub-3_T1w", kind="", failed_checks=("Stretch",)))  # had failed before
    run_group_level(replace(with_raw, participants=("1", "2", "3")), state)
    said, page = (tmp_path / "missing.tsv").read_text(), (tmp_path / "report.html").read_text()
    assert missing(tmp_path) == {"sub-3_T1w": "did not pass: Stretch", "n/a": BY_A_PERSON}
    assert "sub-2_T1w" not in said + page and BY_A_PERSON in page and "removed since" not in page
    assert missing(state.folder_for("missing", tmp_path))["sub-2_T1w"] == "rejected; accept it"


def test_a_line_that_is_no_outcome_is_named(with_raw, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    path = with_raw.bids_dir.parent / "outcomes.jsonl"
    path.write_text("[]\n")
    with pytest.raises(UsageError, match="line 1: is no outcome"):
        run_group_level(replace(with_raw, outcomes=path))


def test_only_the_participants_that_were_asked_for_can_be_missing(with_raw, tmp_path, caplog):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    run_group_level(replace(with_raw, participants=("1", "2")))
    assert caplog.messages[-1].startswith("missing from OUTPUT_DIR: 1 scan (sub-2_T1w)")


def test_a_participant_whose_folder_is_a_broken_link_is_missing(with_raw, tmp_path, caplog):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    for label in "67":
        (with_raw.bids_dir / f"sub-{label}").symlink_to("nowhere")
    run_group_level(replace(with_raw, participants=("1", "6")))
    reasons, page = missing(tmp_path), (tmp_path / "report.html").read_text()
    assert list(reasons) == ["sub-6"] and "cannot be read" in reasons["sub-6"]
    assert "none is missing" not in page and str(with_raw.bids_dir) not in page
    assert any(line.startswith(f"sub-6: {with_raw.bids_dir}/sub-6: ") for line in caplog.messages)
    assert "sub-7" not in caplog.text and caplog.messages[-1].startswith(
        "missing from OUTPUT_DIR: 1 scan (sub-6)"
    )


def test_nothing_missing_and_nothing_found_are_said(with_raw, tmp_path, caplog):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    with caplog.at_level(logging.INFO, "bidsdeface"):
        assert run_group_level(replace(with_raw, participants=("1",))) == set()
    assert caplog.messages[-1] == "no scan is missing from OUTPUT_DIR"
    assert "leak check: nothing found in 8 files" in caplog.messages


def test_the_shared_table_gives_the_kind_of_a_failure_and_the_private_one_the_words(with_raw, tmp_path):
    put(tmp_path, "sub-1/anat/sub-1_desc-defaced_T1w", RECORD)
    state = open_state(with_raw.bids_dir.parent / "work")
    file = OutcomeFile(None, state.folder_for("outcomes", tmp_path))
    words = "/secret/sub-2_T1w.nii.gz: is empty (0 bytes); fetch or convert it again"
    file.add(Outcome("sub-2_T1w", "failed", (words,), kind=ImageError.kind))
    run_group_level(with_raw, state)
    page = (tmp_path / "report.html").read_text()
    assert missing(tmp_path)["sub-2_T1w"] == ImageError.kind and ImageError.kind in page
    assert "secret" not in page + (tmp_path / "missing.tsv").read_text()
    assert missing(state.folder_for("missing", tmp_path))["sub-2_T1w"] == words
