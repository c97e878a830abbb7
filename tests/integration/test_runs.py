"""Whole runs: the same bytes always, results kept or redone, two contrasts of one head, BIDS throughout."""

import json
import os
import subprocess

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsdeface.dataset.validator import find_problems
from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.volume import apply_affine
from scripts.make_demo import write_dataset
from tests.conftest import make_dataset
from tests.heads import demo_wheel, find_head
from tests.integration.conftest import (
    bidsdeface,
    bidsdeface_read_only,
    dice,
    files,
    published,
    snapshot,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory):
    """Return a dataset of two heads that are there on every machine: the average, and it lying turned."""
    average = nib.load(find_head("average"))
    turn = nib.affines.from_matvec(Rotation.from_euler("xz", [12, -9], degrees=True).as_matrix(), [9, 4, -30])
    turned = nib.Nifti1Image(np.asanyarray(average.dataobj), turn @ average.affine)
    scans = {"sub-01/anat/sub-01_T1w.nii.gz": find_head("average"), "sub-02/anat/sub-02_T1w.nii": turned}
    return make_dataset(tmp_path_factory.mktemp("two"), scans)


@pytest.fixture(scope="module")
def first(two_heads):
    """Return the output of the plainest run: one process, one thread."""
    output_dir = two_heads.parent / "out"
    run = bidsdeface_read_only(two_heads, output_dir, "--n-procs", "1", "--omp-nthreads", "1")
    assert run.code == 0, run.said
    return output_dir


@pytest.mark.parametrize(("n_procs", "omp_nthreads"), [("1", "2"), ("2", "2")])
def test_the_bytes_do_not_depend_on_processes_and_threads(two_heads, first, tmp_path, n_procs, omp_nthreads):
    options = ("--n-procs", n_procs, "--omp-nthreads", omp_nthreads, "--skip-bids-validation")
    assert bidsdeface_read_only(two_heads, tmp_path / "out", *options).code == 0
    assert files(tmp_path / "out") == files(first)
    assert len(published(first)) == 10


def test_a_second_run_keeps_everything(two_heads, first):
    before = snapshot(first)
    run = bidsdeface_read_only(two_heads, first)
    assert run.code == 0 and run.said.splitlines()[-1].endswith("2 kept")
    assert snapshot(first) == before


def test_force_redoes_everything_to_the_same_bytes_with_more_processes(two_heads, first):
    bytes_before, times_before = files(first), snapshot(first)
    assert bidsdeface_read_only(two_heads, first, "--force", "--n-procs", "2").code == 0
    assert files(first) == bytes_before
    image = "sub-01/anat/sub-01_desc-defaced_T1w.nii.gz"
    assert snapshot(first)[image][1] > times_before[image][1]


def test_another_guard_redoes_and_gives_another_mask(two_heads, first, tmp_path):
    run = bidsdeface_read_only(two_heads, tmp_path / "out", "--participant-label", "01", "--guard-mm", "6")
    assert run.code == 0
    mask = "sub-01/anat/sub-01_mod-T1w_desc-face_defacemask.nii.gz"
    narrow, wide = (read_image(folder / mask).stored for folder in (tmp_path / "out", first))
    assert (narrow <= wide).all() and narrow.sum() < wide.sum()


def test_nothing_but_results_is_left_in_the_output(two_heads, first):
    assert [path.name for path in first.iterdir() if path.name.startswith(".")] == [".bidsignore"]
    assert {name for name in os.listdir(first) if not name.startswith((".", "sub-"))} <= {
        "README.md",
        "dataset_description.json",
        "descriptions.tsv",
        "missing.json",
        "missing.tsv",
        "quality.json",
        "quality.tsv",
        "report.html",
    }


def test_no_place_and_no_hash_of_the_original_is_in_the_output(two_heads, first):
    for name, content in files(first).items():
        if name.endswith((".json", ".tsv")):
            assert str(two_heads).encode() not in content and str(first).encode() not in content, name
            assert os.uname().nodename.encode() not in content, name


def test_a_group_run_writes_the_table_and_the_dataset_stays_valid(two_heads, first):
    assert bidsdeface(two_heads, first, level="group").code == 0
    table = (first / "quality.tsv").read_text().splitlines()
    assert len(table) == 3 and table[1].startswith("sub-01/anat/")
    assert find_problems(first) == []


def test_a_mask_by_hand_is_used_as_it_is(two_heads, tmp_path):
    drawn = np.zeros(nib.load(find_head("average")).shape, np.uint8)
    drawn[30:70, 90:, 40:80] = 3
    nib.save(nib.Nifti1Image(drawn, nib.load(find_head("average")).affine), tmp_path / "drawn.nii.gz")
    options = ("--participant-label", "01", "--mask", str(tmp_path / "drawn.nii.gz"))
    assert bidsdeface_read_only(two_heads, tmp_path / "out", *options).code == 0
    folder = tmp_path / "out/sub-01/anat"
    assert np.array_equal(
        read_image(folder / "sub-01_mod-T1w_desc-face_defacemask.nii.gz").stored > 0, drawn > 0
    )
    defaced = read_image(folder / "sub-01_desc-defaced_T1w.nii.gz").stored
    assert not defaced[drawn > 0].any()
    assert np.array_equal(defaced[drawn == 0], read_image(find_head("average")).stored[drawn == 0])


def other_contrast(path):
    """Return a T2w made of a T1w: dark where that is bright, and the head moved a little in between."""
    scan = nib.load(path)
    values = scan.get_fdata(dtype=np.float32)
    tissue = np.clip(values / np.percentile(values, 99), 0, 1)
    values = 900 * np.where(tissue > 0.12, 1.15 - tissue, tissue * 0.5)
    values = ndimage.gaussian_filter(values, 0.4) + np.random.default_rng(0).normal(0, 8, values.shape)
    centre = apply_affine(scan.affine, np.array(values.shape) / 2)
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", [4, -2, 3], degrees=True).as_matrix()
    move[:3, 3] = centre + [3, -4, 5] - move[:3, :3] @ centre
    values = values.clip(0)[:, :, 10:].astype(np.int16)
    first_plane = nib.affines.from_matvec(np.eye(3), [0, 0, 10])
    return nib.Nifti1Image(values, move @ scan.affine @ first_plane), move


@pytest.mark.heads
def test_a_t2w_gets_its_mask_through_the_t1w_of_its_session(tmp_path):
    t2w, move = other_contrast(find_head("S04"))
    scans = {"sub-01/anat/sub-01_T1w.nii.gz": find_head("S04"), "sub-01/anat/sub-01_T2w.nii.gz": t2w}
    bids_dir = make_dataset(tmp_path, scans)
    run = bidsdeface_read_only(bids_dir, tmp_path / "out")
    assert run.code == 0, run.said
    folder = tmp_path / "out/sub-01/anat"
    for suffix in ("T1w", "T2w"):
        sidecar = json.loads((folder / f"sub-01_desc-defaced_{suffix}.json").read_text())
        assert sidecar["Bidsdeface"]["Reference"] == "sub-01_T1w"
    one, other = (
        read_image(folder / f"sub-01_mod-{suffix}_desc-face_defacemask.nii.gz") for suffix in ("T1w", "T2w")
    )
    there = apply_affine(move, _world(one))  # where the T1w's voxels lie in the T2w
    voxels = np.round(apply_affine(np.linalg.inv(other.affine), there)).astype(int)
    known = ((voxels >= 0) & (voxels < other.stored.shape)).all(axis=-1)
    same = dice(one.stored[known] > 0, other.stored[tuple(voxels[known].T)] > 0)
    print(f"Dice of T1w and T2w mask in space: {same:.4f}")
    assert same >= 0.97


def _world(image):
    return apply_affine(
        image.affine, np.stack(np.meshgrid(*map(np.arange, image.stored.shape), indexing="ij"), -1)
    )


def test_where_the_reference_is_broken_another_scan_takes_its_place(tmp_path):
    scans = dict.fromkeys(
        ("sub-01/anat/sub-01_run-1_T1w.nii.gz", "sub-01/anat/sub-01_run-2_T1w.nii.gz"), find_head("average")
    )
    bids_dir = make_dataset(tmp_path, scans)
    (bids_dir / "sub-01/anat/sub-01_run-1_T1w.nii.gz").write_bytes(
        find_head("average").read_bytes()[:100_000]  # the header says that it is a fine reference
    )
    run = bidsdeface_read_only(bids_dir, tmp_path / "out", "--skip-bids-validation")
    assert run.code == 3 and run.said.count("FAILED") == 1
    sidecar = tmp_path / "out/sub-01/anat/sub-01_run-2_desc-defaced_T1w.json"
    assert json.loads(sidecar.read_text())["Bidsdeface"]["Reference"] == "sub-01_run-2_T1w"


def test_an_echo_set_shares_one_mask_that_fits_every_image(tmp_path):
    scans = dict.fromkeys((f"sub-01/anat/sub-01_echo-{n}_MEGRE.nii.gz" for n in (1, 2)), find_head("average"))
    bids_dir = make_dataset(tmp_path, scans, metadata={"EchoTime": 0.003, "FlipAngle": 9})
    run = bidsdeface_read_only(bids_dir, tmp_path / "out", "--skip-bids-validation")
    assert run.code == 0, run.said
    folder = tmp_path / "out/sub-01/anat"
    mask = read_image(folder / "sub-01_mod-MEGRE_desc-face_defacemask.nii.gz").stored > 0
    for echo in (1, 2):
        defaced = read_image(folder / f"sub-01_echo-{echo}_desc-defaced_MEGRE.nii.gz").stored
        assert not defaced[mask].any()
        assert np.array_equal(defaced[~mask], read_image(find_head("average")).stored[~mask])


def test_the_demo_dataset_and_what_becomes_of_it_are_valid_bids_and_tell_no_place(tmp_path):
    write_dataset(tmp_path / "bids", demo_wheel())
    assert find_problems(tmp_path / "bids") == []
    run = bidsdeface_read_only(tmp_path / "bids", tmp_path / "out")
    assert run.code == 0, run.said
    assert find_problems(tmp_path / "out") == []
    assert len(list((tmp_path / "out/sub-01/figures").glob("*.png"))) == 1
    source = json.loads(next(tmp_path.glob("bids/**/*_T1w.json")).read_text())
    told = [value for key, value in source.items() if key.startswith(("Institution", "Station", "DeviceS"))]
    assert len(told) >= 3
    for name, content in files(tmp_path / "out").items():
        if name.endswith(".json"):
            assert not any(str(value).encode() in content for value in told), name


@pytest.fixture
def mounted_read_only(two_heads, tmp_path):
    """Mount the dataset as ``docker run -v DATA:/data:ro`` does: this binds root as well."""
    place = tmp_path / "ro"
    place.mkdir()
    commands = (["mount", "--bind", two_heads, place], ["mount", "-o", "remount,ro,bind", place])
    if os.geteuid() != 0 or any(subprocess.run(c, capture_output=True).returncode for c in commands):
        subprocess.run(["umount", place], capture_output=True)
        pytest.skip("needs the right to mount a folder read-only")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_read_only_mount_is_enough_for_the_input(mounted_read_only, first, tmp_path):
    assert bidsdeface(mounted_read_only, tmp_path / "out", "--participant-label", "01").code == 0
    assert {name: files(first)[name] for name in published(first, "sub-01")} == {
        name: files(tmp_path / "out")[name] for name in published(tmp_path / "out")
    }
