"""The check of a request against the file system."""

import errno
import math
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from bidsdeface.errors import TemplateError, UsageError
from bidsdeface.runtime.workers import available_cpus
from bidsdeface.settings import Settings, check_settings, default_n_procs
from tests.conftest import make_dataset


@pytest.fixture
def settings(tmp_path):
    return Settings(bids_dir=make_dataset(tmp_path), output_dir=tmp_path / "out", level="participant")


def refusal(settings):
    with pytest.raises(UsageError) as refused:
        check_settings(settings)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_a_good_request_passes_and_creates_the_output_folder(settings):
    check_settings(settings)
    assert list(settings.output_dir.iterdir()) == []


def test_a_dry_run_creates_nothing(settings):
    check_settings(replace(settings, dry_run=True))
    assert not settings.output_dir.exists()


def test_a_missing_dataset_is_refused(settings, tmp_path):
    assert "no such folder" in refusal(replace(settings, bids_dir=tmp_path / "none"))


def test_a_file_in_the_place_of_the_dataset_is_refused(settings):
    assert "no such folder" in refusal(replace(settings, bids_dir=settings.bids_dir / "README"))


def test_a_folder_without_description_is_refused(settings):
    message = refusal(replace(settings, bids_dir=settings.bids_dir / "sub-01"))
    assert "dataset_description.json: no such file" in message


@pytest.mark.parametrize("inside", [".", "derivatives/bidsdeface", "x/../sub-01"])
def test_output_inside_input_is_refused(settings, inside):
    message = refusal(replace(settings, output_dir=settings.bids_dir / inside))
    assert "OUTPUT_DIR lies inside BIDS_DIR" in message
    assert not (settings.bids_dir / "derivatives").exists()


def test_output_inside_input_is_seen_through_a_link(settings, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(settings.bids_dir)
    assert "lies inside" in refusal(replace(settings, output_dir=link / "out"))


def test_input_inside_output_is_refused(settings, tmp_path):
    assert "BIDS_DIR lies inside" in refusal(replace(settings, output_dir=tmp_path))


@pytest.mark.parametrize("place", ["bids/work", "out/work", "out"])
def test_a_work_dir_inside_either_dataset_is_refused(settings, tmp_path, place):
    assert "--work-dir lies inside" in refusal(replace(settings, work_dir=tmp_path / place))


@pytest.mark.parametrize("name", ["bids_dir", "output_dir"])
def test_a_work_dir_is_seen_through_links_and_dots(settings, tmp_path, name):
    dataset = getattr(settings, name)
    dataset.mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to(dataset)
    for work_dir in (tmp_path / "link/work", tmp_path / "none/.." / dataset.name / "work"):
        assert "--work-dir lies inside" in refusal(replace(settings, work_dir=work_dir))
    assert not (dataset / "work").exists()


@pytest.mark.parametrize("place", ["bids/o.jsonl", "out/o.jsonl", "link/o.jsonl"])
def test_a_file_of_outcomes_inside_either_dataset_is_refused(settings, tmp_path, place):
    (tmp_path / "link").symlink_to(settings.bids_dir)
    assert "--outcomes lies inside" in refusal(replace(settings, outcomes=tmp_path / place))
    (tmp_path / "o.jsonl").symlink_to(settings.bids_dir / "o.jsonl")
    assert "--outcomes lies inside" in refusal(replace(settings, outcomes=tmp_path / "o.jsonl"))


def test_the_group_level_reads_outcomes_that_are_there(settings, tmp_path):
    at_group_level = replace(settings, level="group", outcomes=tmp_path / "o.jsonl")
    assert "no such file or folder" in refusal(at_group_level)


def test_a_work_dir_whose_private_folder_leads_into_a_dataset_is_refused(settings, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work/bidsdeface").symlink_to(settings.bids_dir / "sourcedata")
    assert "private folder lies inside BIDS_DIR" in refusal(replace(settings, work_dir=tmp_path / "work"))


@pytest.mark.parametrize("output", ["bidsdeface", "bidsdeface/out"])
def test_an_output_in_the_place_of_the_private_folder_is_refused(settings, tmp_path, output):
    settings = replace(settings, work_dir=tmp_path, output_dir=tmp_path / output)
    assert "private folder" in refusal(settings) and not (tmp_path / "bidsdeface").exists()


def test_datasets_may_lie_beside_the_private_folder_in_the_work_dir(settings, tmp_path):
    check_settings(replace(settings, work_dir=tmp_path))


@pytest.mark.parametrize("place", ["bids", "out/tmp"])
def test_temporary_files_inside_either_dataset_are_refused(settings, tmp_path, monkeypatch, place):
    monkeypatch.setenv("TMPDIR", str(tmp_path / place))
    assert "TMPDIR lies inside" in refusal(settings)


@pytest.mark.parametrize("guard_mm", [-0.1, 20.1, math.nan, math.inf])
def test_an_impossible_guard_is_refused(settings, guard_mm):
    assert "--guard-mm" in refusal(replace(settings, guard_mm=guard_mm))


def test_a_missing_mask_is_refused(settings, tmp_path):
    assert "--mask" in refusal(replace(settings, mask=tmp_path / "mask.nii.gz"))


def test_a_review_needs_the_work_dir_of_its_report_and_the_participant_level(settings, tmp_path):
    reviewed = replace(settings, review=tmp_path / "review.tsv")
    assert "--review: only the work dir" in refusal(reviewed)
    at_group_level = replace(reviewed, level="group", work_dir=tmp_path / "work")
    assert "--review: is for the participant level" in refusal(at_group_level)
    check_settings(replace(reviewed, work_dir=tmp_path / "work"))


@pytest.mark.parametrize("place", ["bids", "out"])
def test_a_review_inside_either_dataset_is_refused(settings, tmp_path, place):
    reviewed = replace(settings, review=tmp_path / place / "review.tsv", work_dir=tmp_path / "work")
    assert "--review lies inside" in refusal(reviewed)


def test_a_template_that_does_not_exist_leaves_nothing_behind(settings, tmp_path):
    with pytest.raises(TemplateError, match="no such folder"):
        check_settings(replace(settings, template=str(tmp_path / "none")))
    assert not settings.output_dir.exists()


def test_a_folder_that_docker_made_as_root_is_answered_with_the_way_out(settings, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    message = refusal(settings)
    assert "cannot be written" in message and "(mkdir)" in message and '-u "$(id -u):$(id -g)"' in message


def test_an_output_folder_that_cannot_be_made_is_refused(settings):
    in_a_file = settings.bids_dir.parent / "file"
    in_a_file.touch()
    assert "cannot be written" in refusal(replace(settings, output_dir=in_a_file / "out"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_without_permission_is_refused(settings):
    settings.output_dir.mkdir(mode=0o500)
    assert "cannot be written" in refusal(settings)


def test_slurm_limits_the_processors(tmp_path):
    assert available_cpus({"SLURM_CPUS_PER_TASK": "1"}, tmp_path) == 1


V1 = {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}
IN_JOB_V1 = {f"cpu/slurm/job_7/{Path(name).name}": text for name, text in V1.items()}


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {"cpu.max": "100000 100000"}, 1),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {"cpu.max": "nonsense"}, None),
        ("0::/slice/job/step", {"slice/cpu.max": "100000 100000", "slice/job/cpu.max": "max 100000"}, 1),
        ("0::/slice/mine", {"slice/another/cpu.max": "100000 100000"}, None),
        ("3:cpu,cpuacct:/", V1, 1),
        ("3:cpu,cpuacct:/docker/7e3f", V1, 1),
        ("3:cpu:/", {**V1, "cpu/cpu.cfs_quota_us": "-1"}, None),
        ("9:name=systemd:/\n3:cpu:/slurm/job_7\n0::/", IN_JOB_V1, 1),
        ("3:cpuset:/", V1, None),
    ],
)
def test_a_container_or_job_limits_the_processors(tmp_path, own, files, expected):
    (tmp_path / "own").write_text(own + "\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    affinity = len(os.sched_getaffinity(0))
    assert available_cpus({}, tmp_path, tmp_path / "own") == (affinity if expected is None else expected)


def test_there_is_always_one_process():
    assert default_n_procs(omp_nthreads=10_000) == 1


def test_options_for_a_complete_dataset_are_refused_without_one(settings):
    for option in ({"include": ("x",)}, {"keep_columns": ("x",)}, {"drop_columns": ("x",)}):
        assert "add --output-layout bids" in refusal(replace(settings, **option))
        check_settings(replace(settings, output_layout="bids", **option))


def test_a_text_to_accept_that_is_not_there_is_refused(settings):
    complete = replace(settings, output_layout="bids")
    message = refusal(replace(complete, accept_texts=("README", "READMEE")))
    assert message.startswith("--accept-text READMEE: no such file in ")
    check_settings(replace(complete, accept_texts=("README", "dataset_description.json")))
    (settings.bids_dir / "docs").mkdir()
    (settings.bids_dir / "docs/notes.md").touch()
    notes = replace(complete, accept_texts=("notes.md",))
    assert "give its name alone" in refusal(notes)
    check_settings(replace(notes, include=("docs/*",)))
    path = str(settings.bids_dir / "README")
    assert "give its name alone" in refusal(replace(notes, include=("docs/*",), accept_texts=(path,)))


@pytest.mark.parametrize(
    ("name", "content"),
    [("participants.json", "{"), ("task-rest_events.json", "[]"), ("participants.json", '{"a": "\xff')],
)
def test_a_data_dictionary_that_is_no_json_is_refused_with_its_path(settings, tmp_path, name, content):
    folder = tmp_path / "described"
    folder.mkdir()
    (folder / name).write_bytes(content.encode("latin-1"))
    complete = replace(settings, output_layout="bids", data_dictionary=folder)
    assert refusal(complete).startswith(f"{folder / name}: ")
    assert not settings.output_dir.exists()


def test_what_is_no_data_dictionary_in_its_folder_is_not_read(settings, tmp_path):
    folder = tmp_path / "described"
    folder.mkdir()
    for name in ("quality.json", "package.json", "dataset_description.json", ".participants.json"):
        (folder / name).write_text("{")
    complete = replace(settings, output_layout="bids", data_dictionary=folder)
    assert refusal(complete).startswith(
        f"{folder}: holds no data dictionary; give --data-dictionary a folder"
    )
    (folder / "participants.json").write_text("{}")
    check_settings(complete)


def test_a_metadata_policy_is_read_once_so_that_a_run_mixes_no_two(settings, tmp_path):
    table = tmp_path / "policy.tsv"
    table.write_text("field\taction\treason\nEchoTime\tdrop\tof ours\n")
    given = replace(settings, metadata_policy=table)
    before = given.policy
    table.unlink()
    assert given.policy == before


def test_a_metadata_policy_that_is_no_table_is_refused_before_any_work(settings, tmp_path):
    assert "give --metadata-policy" in refusal(replace(settings, metadata_policy=tmp_path / "none.tsv"))
    (tmp_path / "policy.tsv").write_text("field\taction\nEchoTime\tburn\n")
    assert "line 2" in refusal(replace(settings, metadata_policy=tmp_path / "policy.tsv"))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"reidentify": True, "level": "participant"}, "give it to the group level"),
        ({"reidentify": True, "dry_run": True}, "--dry-run: is for the participant level"),
        ({"strict": True}, "--strict: .*add --reidentify"),
        ({"keep_renders": True}, "--keep-renders: .*add --reidentify"),
        ({"reidentify": True, "keep_renders": True}, "--keep-renders: shows faces.*give --work-dir"),
        ({"reidentify": True, "output_layout": "bids"}, "--reidentify: a complete dataset.*give --work-dir"),
    ],
)
def test_an_audit_that_makes_no_sense_is_refused(settings, request_, message):
    assert re.search(message, refusal(replace(settings, **{"level": "group", **request_})))


def test_an_audit_needs_no_work_dir_and_with_one_may_keep_and_be_of_a_complete_dataset(settings, tmp_path):
    plain = replace(settings, level="group", reidentify=True, strict=True)
    check_settings(plain)
    check_settings(replace(plain, work_dir=tmp_path / "work", keep_renders=True, output_layout="bids"))


@pytest.mark.parametrize(
    ("layout", "given", "among", "not_among"),
    [
        ("derivatives", (), ("anat",), ("magnitude1", "asl", "pet", "bold")),
        (
            "bids",
            (),
            ("anat", "asl", "pet", "magnitude1", "phasediff", "TB1TFL", "bold", "sbref", "dwi", "epi", "FA"),
            ("noRF",),
        ),
        ("bids", ("default", "bold"), ("anat", "magnitude1", "bold", "sbref"), ("default", "noRF")),
        ("derivatives", ("default", "bold"), ("anat", "bold"), ("magnitude1", "default")),
        ("bids", ("T1w",), ("T1w",), ("anat", "magnitude1")),
    ],
)
def test_all_images_of_heads_are_taken_in_a_complete_dataset(settings, layout, given, among, not_among):
    asked = set(replace(settings, output_layout=layout, suffixes=given).to_deface)
    assert asked >= set(among) and not asked & set(not_among)


def test_impact_is_for_the_group_level_with_a_work_dir(settings, tmp_path):
    assert "--impact: is about all defaced scans" in refusal(replace(settings, impact=True))
    at_group_level = replace(settings, level="group", impact=True)
    assert "give --work-dir DIR" in refusal(at_group_level)
    check_settings(replace(at_group_level, work_dir=tmp_path / "work"))
