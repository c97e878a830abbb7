"""The BIDS validator, on the selected participants only."""

import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.dataset.validator import check_valid, find_problems
from bidsdeface.errors import BidsdefaceError
from tests.conftest import make_dataset, save

SCANS = [f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in ("01", "02", "03")]


@pytest.fixture
def bids_dir(tmp_path):
    return make_dataset(tmp_path, SCANS)


def test_a_valid_dataset_has_no_problems(bids_dir):
    assert find_problems(bids_dir) == []


def test_only_the_selected_participants_are_looked_at(bids_dir):
    (bids_dir / "sub-02/anat/sub-02_nonsense.nii.gz").touch()
    assert find_problems(bids_dir, ["01", "03"]) == []
    (problem,) = find_problems(bids_dir, ["02"])
    assert problem == "NOT_INCLUDED /sub-02/anat/sub-02_nonsense.nii.gz"


def test_what_is_outside_of_raw_data_is_not_looked_at(bids_dir):
    for folder in ("derivatives/x", "sourcedata", ".git", "unknown"):
        (bids_dir / folder).mkdir(parents=True)
        (bids_dir / folder / "sub-01_nonsense.nii.gz").touch()
    assert find_problems(bids_dir) == []


def test_an_image_that_is_not_fetched_is_left_to_the_reader(bids_dir):
    image = bids_dir / SCANS[0]
    image.unlink()
    image.symlink_to("../../.git/annex/objects/xX/yY/key/key")
    assert find_problems(bids_dir) == []


def test_content_that_git_annex_keeps_is_read_where_it_is_fetched(bids_dir):
    save(bids_dir)
    sidecar = bids_dir / "sub-01/anat/sub-01_T1w.json"
    sound = sidecar.read_bytes()
    sidecar.resolve().write_text('{"MagneticFieldStrength": "strong"}')
    (problem,) = find_problems(bids_dir, ["01"])
    assert problem.startswith("JSON_SCHEMA_VALIDATION_ERROR MagneticFieldStrength")
    sidecar.resolve().write_bytes(sound)
    (bids_dir / SCANS[1]).resolve().unlink()  # of all images, as they are the same
    assert find_problems(bids_dir) == []


def test_the_datasets_own_bidsignore_is_honoured(bids_dir):
    (bids_dir / "sub-02/anat/sub-02_nonsense.nii.gz").touch()
    (bids_dir / ".bidsignore").write_text("**/*_nonsense*\n")
    assert find_problems(bids_dir) == []


def test_stimuli_that_events_name_are_found(bids_dir):
    (bids_dir / "stimuli").mkdir()
    (bids_dir / "stimuli/a.png").write_bytes(b"x")
    (bids_dir / "sub-01/beh").mkdir()
    (bids_dir / "sub-01/beh/sub-01_task-x_events.tsv").write_text("onset\tduration\tstim_file\n0\t1\ta.png\n")
    assert find_problems(bids_dir, ["01"]) == []


def test_files_that_cannot_be_read_are_left_to_their_reader(bids_dir):
    empty, broken, unfetched = (bids_dir / scan for scan in SCANS)
    empty.write_bytes(b"")
    broken.write_bytes(broken.read_bytes()[:100])
    unfetched.unlink()
    unfetched.symlink_to("../../.git/annex/objects/aa/bb/MD5E-s9--0.nii.gz/MD5E-s9--0.nii.gz")
    assert find_problems(bids_dir) == []


def test_ages_above_89_are_capped_here_and_no_problem_of_the_input(bids_dir):
    rows = "participant_id\tage\tsex\nsub-01\t93\tF\nsub-02\t34\tF\nsub-03\t61\tx\n"
    (bids_dir / "participants.tsv").write_text(rows)
    (problem,) = find_problems(bids_dir)
    assert problem == "TSV_VALUE_INCORRECT_TYPE sex /participants.tsv"


def test_an_invalid_dataset_is_refused_with_the_first_problems_in_one_line(bids_dir):
    for number in range(7):
        (bids_dir / f"sub-01/anat/sub-01_nonsense{number}.nii.gz").touch()
    with pytest.raises(BidsdefaceError) as refused:
        check_valid(bids_dir)
    message = str(refused.value)
    assert message.count("NOT_INCLUDED") == 5 and "and 2 more" in message
    assert "--skip-bids-validation" in message and "\n" not in message


def test_the_input_is_not_touched(bids_dir):
    before = {path: path.stat().st_mtime_ns for path in bids_dir.rglob("*")}
    find_problems(bids_dir, ["01"])
    assert before == {path: path.stat().st_mtime_ns for path in bids_dir.rglob("*")}


def test_a_missing_validator_is_one_clear_line(bids_dir, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BidsdefaceError, match="not found beside .*--skip-bids-validation"):
        find_problems(bids_dir)


def test_a_validator_that_breaks_down_is_one_clear_line(bids_dir, monkeypatch, tmp_path):
    validator = tmp_path / "bids-validator-deno"
    validator.write_text("#!/bin/sh\necho 'line one\nno memory left' >&2\nexit 1\n")
    validator.chmod(0o755)
    monkeypatch.setattr(sys, "executable", os.fspath(tmp_path / "python"))
    with pytest.raises(BidsdefaceError, match="exit code 1 .no memory left"):
        find_problems(bids_dir)


def test_participants_labels_and_all_else_go_to_the_private_folder(bids_dir, tmp_path, monkeypatch):
    validator = tmp_path / "bids-validator-deno"
    validator.write_text('#!/bin/sh\necho "$TMPDIR $DENO_DIR" >&2\nexit 1\n')
    validator.chmod(0o755)
    monkeypatch.setattr(sys, "executable", os.fspath(tmp_path / "python"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(BidsdefaceError, match=rf"\({scratch}/[^/]+ {scratch}/[^/]+/deno\)"):
        find_problems(bids_dir, ["01"], scratch)
    assert list(scratch.iterdir()) == []


MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    "content",
    [
        MARK + b'{"EchoTime": 0.003}',
        '{"EchoTime": 0.003}'.encode("utf-16"),
        b'{"EchoTime": 0.003, "DwellTime": NaN, "Inner": [{"x": -Infinity}]}',
        b'{"EchoTime": "\xe9"}',
        b'{"EchoTime": 0.003',
        b"[1]",
        b"null",
        b"",
    ],
)
@pytest.mark.parametrize("name", ["sub-02/anat/sub-02_T1w.json", "T1w.json", "participants.json"])
def test_json_that_the_validator_cannot_read_is_left_to_the_reader(bids_dir, name, content):
    (bids_dir / name).write_bytes(content)
    assert find_problems(bids_dir) == []
    assert (bids_dir / name).read_bytes() == content


@pytest.mark.parametrize(("content", "is_hidden"), [(b"{", True), (b"{}", False), (MARK + b"{}", False)])
def test_broken_json_hides_what_is_missing_in_the_files_that_it_describes_and_no_other(
    tmp_path, content, is_hidden
):
    scans = [f"sub-01/func/sub-01_task-{task}_bold.nii.gz" for task in ("a", "b")]
    image = nib.Nifti1Image(np.ones((4, 4, 4, 3), np.int16), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((1, 1, 1, 2))
    bids_dir = make_dataset(tmp_path, scans, image, metadata={"RepetitionTime": 2.0, "TaskName": "a"})
    (bids_dir / scans[0].replace(".nii.gz", ".json")).write_bytes(content)
    assert (find_problems(bids_dir) == []) == is_hidden
    (bids_dir / scans[1].replace(".nii.gz", ".json")).write_text("{}")
    assert all("task-b" in one or not is_hidden for one in find_problems(bids_dir)) and find_problems(
        bids_dir
    )


def test_a_byte_order_mark_in_the_description_is_no_problem(bids_dir):
    path = bids_dir / "dataset_description.json"
    path.write_bytes(MARK + path.read_bytes())
    assert find_problems(bids_dir) == []
    path.write_bytes(b"{")
    assert any("dataset_description.json" in one for one in find_problems(bids_dir))


def test_names_that_are_not_utf8_do_not_end_the_validator(bids_dir):
    for name in (b"sub-01/anat/sub-01_acq-\xff_T1w.nii.gz", b"sub-02/\xff.txt", b"r\xe9sum\xe9.txt"):
        Path(os.fsdecode(os.fsencode(bids_dir) + b"/" + name)).touch()
    (bids_dir / os.fsdecode(b"sub-\xff")).mkdir()
    assert find_problems(bids_dir) == []
