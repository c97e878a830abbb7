"""Real heads through the command line: face inside the mask, brain and all the rest untouched."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.imaging.image import read_image
from tests.conftest import SCRUBBED, make_dataset
from tests.heads import find_head
from tests.integration.conftest import bidsdeface_read_only

pytestmark = [pytest.mark.heads, pytest.mark.slow]

# Placed by eye on each head, in its world coordinates (RAS+ mm); None where the scan does not show it.
LANDMARKS = json.loads(Path(__file__).with_name("landmarks.json").read_text())
NOT_FACE = ("occiput", "vertex")
SUFFIX = {"P12": "T2w", "P13": "FLAIR"}
HEADS = [*LANDMARKS, *SUFFIX]


@pytest.fixture(scope="session")
def outcome(tmp_path_factory):
    """Deface all heads that are there in one run; return input, output and the run."""
    root = tmp_path_factory.mktemp("heads")
    scans = {}
    for name in HEADS:
        try:
            scans[f"sub-{name}/anat/sub-{name}_{SUFFIX.get(name, 'T1w')}.nii.gz"] = find_head(name)
        except pytest.skip.Exception:
            continue
    if not scans:
        pytest.skip("no real head is there")
    bids_dir = make_dataset(root, scans)
    return bids_dir, root / "out", bidsdeface_read_only(bids_dir, root / "out", "--n-procs", "2")


on_heads_with_landmarks = pytest.mark.parametrize("result", list(LANDMARKS), indirect=True)


@pytest.fixture(params=HEADS)
def result(request, outcome):
    """Return name, original, defaced image, mask and sidecar of a head."""
    name = request.param
    find_head(name)  # or skip, and say why
    bids_dir, output_dir, run = outcome
    suffix, folder = SUFFIX.get(name, "T1w"), Path(f"sub-{name}/anat/sub-{name}_")
    assert f"sub-{name}_{suffix}: passed" in run.said
    stem = output_dir / f"{folder}desc-defaced_{suffix}"
    mask = read_image(output_dir / f"{folder}mod-{suffix}_desc-face_defacemask.nii.gz")
    assert set(np.unique(mask.stored)) == {0, 1}
    return (
        name,
        read_image(bids_dir / f"{folder}{suffix}.nii.gz"),
        read_image(stem.with_suffix(".nii.gz")),
        mask.stored.astype(bool),
        json.loads(stem.with_suffix(".json").read_text()),
    )


def test_all_heads_pass(outcome):
    _, _, run = outcome
    assert run.code == 0 and "FAILED" not in run.said


@on_heads_with_landmarks
def test_the_whole_face_is_in_the_mask_and_the_rest_of_the_head_is_not(result):
    name, original, _, mask, _ = result
    world_to_voxel = np.linalg.inv(original.affine)
    wrong = []
    for landmark, where in LANDMARKS[name].items():
        if where is not None:
            voxel = np.round(nib.affines.apply_affine(world_to_voxel, where)).astype(int)
            assert (voxel >= 0).all() and (voxel < mask.shape).all()
            if mask[tuple(voxel)] == (landmark in NOT_FACE):
                wrong.append(landmark)
    assert wrong == []


def test_outside_of_the_mask_every_bit_is_kept_and_inside_all_is_replaced(result):
    _, original, defaced, mask, _ = result
    assert defaced.stored.dtype == original.stored.dtype
    assert defaced.stored[~mask].tobytes() == original.stored[~mask].tobytes()
    assert len(np.unique(defaced.stored[mask])) == 1
    assert 0.02 < mask.mean() < 0.6


def test_the_header_is_kept_but_for_free_text(result):
    _, original, defaced, _, _ = result
    before, after = original.header, defaced.header
    changed = {key for key in before if before[key].tobytes() != after[key].tobytes()}
    assert changed <= SCRUBBED | {"pixdim"}
    used = slice(original.stored.ndim + 1)  # converters leave the repetition time of 3D images behind that
    assert np.array_equal(before["pixdim"][used], after["pixdim"][used])
    assert not after.extensions and not after["descrip"].item()


def test_the_scans_own_brain_is_trusted_agrees_and_is_clear_of_the_mask(result):
    name, *_, sidecar = result
    measures = sidecar["Bidsdeface"]["Measures"]
    assert measures["BrainFitMM"] < 2 and measures["BrainLead"] > 2 and measures["GuardToSkinMM"] > 3
    assert measures["BrainInMaskML"] == 0
    # P12 is a T2w cut at the crown: brain and outline together place the face as the template does.
    assert measures["FaceShiftMM" if name == "P12" else "BrainShiftMM"] < 8


@on_heads_with_landmarks
def test_no_voxel_of_the_brain_that_deepbet_finds_is_changed(result, tmp_path):
    """With weights and a network of others: evidence that our registration has no part in."""
    deepbet = pytest.importorskip("deepbet", reason="needs deepbet==1.0.2 (extra: bench)")
    name, original, defaced, mask, _ = result
    scan, brain = tmp_path / "scan.nii.gz", tmp_path / "brain.nii.gz"
    nib.save(nib.Nifti1Image(original.scaled(original.stored), original.affine), scan)
    deepbet.run_bet([str(scan)], mask_paths=[str(brain)], no_gpu=True)
    found = nib.load(brain).get_fdata() > 0.5
    voxel_ml = abs(np.linalg.det(original.affine[:3, :3])) / 1000
    assert 900 < found.sum() * voxel_ml < 2200  # it found a brain
    assert (found & mask).sum() == 0
    assert np.array_equal(original.stored[found], defaced.stored[found])
