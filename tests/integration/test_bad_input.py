"""Bad input from the command line: one clear line with file, cause and way out; other scans go on."""

import gzip
import os
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.output.description import write_dataset_files
from tests.conftest import fake_head, make_dataset
from tests.heads import find_head
from tests.integration.conftest import bidsdeface, bidsdeface_read_only, files, published, snapshot

pytestmark = pytest.mark.slow


def the_line(run, code):
    """Return the one line that a run has said, after checking its exit code."""
    assert run.code == code, run.said
    assert run.said.count("\n") == 1 and "Traceback" not in run.said, run.said
    assert run.said.startswith("bidsdeface: error: ")
    return run.said.removeprefix("bidsdeface: error: ")


def test_no_bids_dir(tmp_path):
    line = the_line(bidsdeface(tmp_path / "none", tmp_path / "out"), 2)
    assert line.startswith(f"{tmp_path / 'none'}: no such folder") and "give BIDS_DIR" in line
    assert not (tmp_path / "out").exists()


def test_no_dataset_description(tmp_path):
    bids_dir = make_dataset(tmp_path)
    (bids_dir / "dataset_description.json").unlink()
    line = the_line(bidsdeface_read_only(bids_dir, tmp_path / "out"), 2)
    assert line.startswith(f"{bids_dir / 'dataset_description.json'}: no such file")
    assert "give BIDS_DIR the folder that holds it, or write one" in line


def test_an_unknown_participant(tmp_path):
    bids_dir = make_dataset(tmp_path)
    line = the_line(bidsdeface_read_only(bids_dir, tmp_path / "out", "--participant-label", "99"), 2)
    assert line == f"{bids_dir}: no participant sub-99; choose from sub-01\n"


def test_no_anatomical_scan(tmp_path):
    bids_dir = make_dataset(tmp_path, ["sub-01/func/sub-01_task-rest_bold.nii.gz"])
    line = the_line(bidsdeface_read_only(bids_dir, tmp_path / "out"), 1)
    assert line.startswith(f"{bids_dir}: no anatomical scan") and "check --participant-label" in line


def test_an_output_inside_of_the_input(tmp_path):
    bids_dir = make_dataset(tmp_path)
    line = the_line(bidsdeface_read_only(bids_dir, bids_dir / "derivatives" / "defaced"), 2)
    assert "OUTPUT_DIR lies inside BIDS_DIR" in line and "choose a folder elsewhere" in line


def test_an_input_inside_of_the_output(tmp_path):
    bids_dir = make_dataset(tmp_path)
    line = the_line(bidsdeface_read_only(bids_dir, tmp_path), 2)
    assert "BIDS_DIR lies inside OUTPUT_DIR" in line


def test_an_output_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    line = the_line(bidsdeface_read_only(make_dataset(tmp_path), tmp_path / "file" / "out"), 2)
    assert line.startswith(f"{tmp_path / 'file' / 'out'}: cannot be written") and "choose another" in line


@pytest.fixture
def mounted_read_only(tmp_path):
    place = tmp_path / "ro"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a folder read-only: permissions do not bind root")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_an_output_that_cannot_be_written(mounted_read_only, tmp_path):
    line = the_line(bidsdeface_read_only(make_dataset(tmp_path), mounted_read_only), 2)
    assert line.startswith(f"{mounted_read_only}: cannot be written (Read-only file system)")
    assert "choose another folder" in line


def test_somebody_elses_dataset_as_output(tmp_path):
    bids_dir, other = make_dataset(tmp_path), make_dataset(tmp_path / "other")
    before = snapshot(other)
    line = the_line(bidsdeface_read_only(bids_dir, other), 2)
    assert "bidsdeface did not make; choose an empty OUTPUT_DIR" in line
    assert snapshot(other) == before


def test_an_invalid_dataset(tmp_path):
    bids_dir = make_dataset(tmp_path)
    (bids_dir / "sub-01/anat/sub-01_T1w.tsv").touch()
    line = the_line(bidsdeface_read_only(bids_dir, tmp_path / "out"), 1)
    assert "not valid BIDS" in line and "sub-01_T1w.tsv" in line and "--skip-bids-validation" in line


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def unfetched(path: Path) -> None:
    path.unlink()
    path.symlink_to("../../.git/annex/objects/xX/yY/MD5E-s1.nii.gz/MD5E-s1.nii.gz")


def colours(path: Path) -> None:
    values = np.zeros((30, 30, 30), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)


def volumes_of(value: float):
    def write(path: Path) -> None:
        nib.save(nib.Nifti1Image(np.full((30, 30, 30), value, np.float32), 5 * np.eye(4)), path)

    return write


def nowhere(path: Path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[252:256] = (0, 0, 1, 0)  # qform_code 0, sform_code 1
    content[280:328] = bytes(48)  # an affine of zeros
    path.write_bytes(gzip.compress(content))


BAD = {
    "truncated": (cut_short, "gzip stream is damaged or cut short", "fetch it again"),
    "empty": (lambda path: path.write_bytes(b""), "is empty (0 bytes)", "fetch or convert it again"),
    "nan": (volumes_of(np.nan), "no finite voxel (NaN everywhere)", "convert it again"),
    "flat": (volumes_of(3), "same value everywhere", "convert it again"),
    "unfetched": (unfetched, "its content is not here", "run: datalad get"),
    "text": (lambda path: path.write_text("Not found\n" * 99), "is not a NIfTI file", "convert it again"),
    "colours": (colours, "holds colours (RGB)", "leave it out"),
    "nowhere": (nowhere, "no usable orientation", "convert it again"),
    "ellipsoid": (lambda path: nib.save(fake_head(), path), "", "--mask"),
}


def put_older_result(bids_dir: Path, output_dir: Path, name: str) -> Path:
    """Write an image of ours, as left by an older version, and return its path."""
    older = output_dir / f"sub-{name}/anat/sub-{name}_desc-defaced_T1w.nii.gz"
    output_dir.mkdir()
    write_dataset_files(output_dir, bids_dir)
    older.parent.mkdir(parents=True)
    older.write_bytes(b"an older result")
    return older


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Deface a good head among bad files, each with an older result that must not stay."""
    root = tmp_path_factory.mktemp("bad")
    scans = [f"sub-{name}/anat/sub-{name}_T1w.nii.gz" for name in ("good", *BAD)]
    bids_dir = make_dataset(root, dict.fromkeys(scans, find_head("average")))
    for name, (spoil, *_) in BAD.items():
        spoil(bids_dir / f"sub-{name}/anat/sub-{name}_T1w.nii.gz")
    put_older_result(bids_dir, root / "out", "nan")
    return bids_dir, root / "out", bidsdeface_read_only(bids_dir, root / "out", "--n-procs", "2")


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_clear_line_and_leaves_nothing(outcome, name):
    bids_dir, output_dir, run = outcome
    _, cause, way_out = BAD[name]
    (line,) = [line for line in run.said.splitlines() if f"sub-{name}_" in line]
    assert line.startswith("ERROR FAILED ") and cause in line and way_out in line
    assert str(bids_dir / f"sub-{name}/anat/sub-{name}_T1w.nii.gz") in line
    assert published(output_dir, f"sub-{name}") == []


def test_bad_files_do_not_keep_the_good_one_from_being_done(outcome):
    _, output_dir, run = outcome
    assert run.code == 3 and "Traceback" not in run.said
    assert "sub-good_T1w: passed" in run.said
    assert len(published(output_dir, "sub-good")) == 5
    assert f"{len(BAD)} failed" in run.said.splitlines()[-1] and "1 passed" in run.said.splitlines()[-1]


def test_a_broken_sidecar_costs_its_own_scan(tmp_path):
    bids_dir = make_dataset(tmp_path, {"sub-01/anat/sub-01_T1w.nii.gz": find_head("average")})
    (bids_dir / "sub-01/anat/sub-01_T1w.json").write_text('{"EchoTime": ')
    run = bidsdeface_read_only(bids_dir, tmp_path / "out")
    assert run.code == 3 and "sub-01_T1w.nii.gz: its metadata cannot be read" in run.said
    assert "sub-01_T1w.json: is not JSON (it is cut short); correct it" in run.said
    assert published(tmp_path / "out") == []


def test_a_mask_on_another_grid_is_refused_and_the_older_result_stays(tmp_path):
    bids_dir = make_dataset(tmp_path, {"sub-01/anat/sub-01_T1w.nii.gz": find_head("average")})
    older = put_older_result(bids_dir, tmp_path / "out", "01")
    nib.save(fake_head(), tmp_path / "mask.nii.gz")
    options = ("--mask", str(tmp_path / "mask.nii.gz"), "--skip-bids-validation")
    run = bidsdeface_read_only(bids_dir, tmp_path / "out", *options)
    assert run.code == 2 and "is not on the grid of the scan; draw it on the scan itself" in run.said
    assert older.exists()


def test_nothing_is_written_outside_of_the_output(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    bids_dir = make_dataset(tmp_path / "data", {"sub-01/anat/sub-01_T1w.nii.gz": find_head("average")})
    environ = {"HOME": str(home), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    assert bidsdeface_read_only(bids_dir, tmp_path / "out", **environ).code == 0
    assert [name for name in files(home) if "templateflow" in name.lower()] == []
    assert files(tmp_path / "tmp") == {}
