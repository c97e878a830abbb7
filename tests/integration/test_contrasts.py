"""One head in many contrasts, through the program: one face in all of them."""

import json

import numpy as np
import pytest

from bidsdeface.dataset.validator import find_problems
from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.volume import apply_affine
from tests.conftest import make_dataset
from tests.contrasts import SyntheticHead, all_contrasts
from tests.heads import find_head, real_head_or_average
from tests.integration.conftest import bidsdeface_read_only, dice, files

pytestmark = pytest.mark.slow
ALIKE = 0.97


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("contrasts")
    bids_dir, series = all_contrasts(root, real_head_or_average())
    assert find_problems(bids_dir) == []
    run = bidsdeface_read_only(bids_dir, root / "out", "--skip-bids-validation", "-v")
    return root / "out", series, run


def test_every_scan_passes_and_the_output_is_valid(done):
    output_dir, series, run = done
    assert run.code == 0, run.said
    assert find_problems(output_dir) == []
    images = [name for name in files(output_dir) if "desc-defaced" in name and name.endswith(".nii.gz")]
    assert len(images) == len(series)


def mask_of(output_dir, name):
    suffix = name.rpartition("_")[2]
    return read_image(output_dir / f"sub-01/anat/sub-01_mod-{suffix}_desc-face_defacemask.nii.gz")


def same_face(one, here, other, there):
    """Return the Dice overlap of two masks in the space of the head, where both fields of view are."""
    grid = np.stack(np.meshgrid(*map(np.arange, one.stored.shape), indexing="ij"), -1)
    places = apply_affine(there.move @ np.linalg.inv(here.move) @ one.affine, grid)
    voxels = np.round(apply_affine(np.linalg.inv(other.affine), places)).astype(int)
    known = ((voxels >= 0) & (voxels < other.stored.shape)).all(axis=-1)
    return dice(one.stored[known] > 0, other.stored[tuple(voxels[known].T)] > 0)


def test_one_face_is_removed_from_all_of_them(done):
    output_dir, series, _ = done
    t1w = mask_of(output_dir, "T1w")
    alike = {
        name: same_face(t1w, series["T1w"], mask_of(output_dir, name), where)
        for name, where in series.items()
    }
    print({name: round(float(value), 4) for name, value in alike.items()})
    assert {name: value for name, value in alike.items() if value < ALIKE} == {}


def test_a_set_with_its_phase_and_its_maps_has_one_mask(done):
    output_dir, series, _ = done
    folder = output_dir / "sub-01/anat"
    for name in series:
        image = read_image(folder / f"sub-01_{with_desc(name)}.nii.gz")
        mask = mask_of(output_dir, name).stored > 0
        hidden = image.stored[mask]
        assert mask.any() and (hidden == hidden.flat[0]).all()
    shared = {name: mask_of(output_dir, name).stored for name in ("inv-1_MP2RAGE", "UNIT1", "T1map")}
    assert np.array_equal(shared["UNIT1"], shared["inv-1_MP2RAGE"])
    assert np.array_equal(shared["T1map"], shared["inv-1_MP2RAGE"])


def with_desc(name):
    entities, _, suffix = name.rpartition("_")
    return "_".join(filter(None, (entities, "desc-defaced", suffix)))


def test_what_cannot_be_judged_says_whose_mask_it_has(done):
    output_dir, series, _ = done
    told = {}
    for name in series:
        sidecar = json.loads((output_dir / f"sub-01/anat/sub-01_{with_desc(name)}.json").read_text())
        told[name] = sidecar["Bidsdeface"].get("MaskOf")
        assert sidecar["Bidsdeface"]["Reference"] == "sub-01_T1w"
    assert {name: lender for name, lender in told.items() if lender} == {
        **{
            f"echo-{n}_part-phase_MEGRE": f"sub-01_echo-{n}_part-mag_MEGRE"
            for n in (1, 2, 3)
        },
        "UNIT1": "sub-01_inv-2_MP2RAGE",
        "T1map": "sub-01_inv-2_MP2RAGE",
    }  # fmt: skip


@pytest.mark.heads
def test_a_uniform_image_of_mp2rage_alone_is_a_head_in_spite_of_the_noise_around_it(tmp_path):
    head = SyntheticHead(find_head("S04"))
    _, uniform, _ = head.mp2rage(head.series((1.8, 1.8, 1.8)))
    bids_dir = make_dataset(tmp_path, {"sub-01/anat/sub-01_UNIT1.nii.gz": uniform})
    run = bidsdeface_read_only(bids_dir, tmp_path / "out", "--skip-bids-validation")
    assert run.code == 0, run.said
    mask = mask_of(tmp_path / "out", "UNIT1").stored > 0
    defaced = read_image(tmp_path / "out/sub-01/anat/sub-01_desc-defaced_UNIT1.nii.gz").stored
    assert mask.any() and not defaced[mask].any()
    assert np.array_equal(defaced[~mask], np.asanyarray(uniform.dataobj)[~mask])


def test_sessions_share_one_reference_if_asked_for(tmp_path):
    head = SyntheticHead(find_head("average"))
    here, there = head.series((2, 2, 2)), head.series((2, 2, 2), (9, -4, 5), (4, -6, 12))
    scans = {
        f"sub-01/ses-{session}/anat/sub-01_ses-{session}_T1w.nii.gz": head.image(
            900 * np.abs(head.tissue(series) + head.noise(series.shape)), series
        )
        for session, series in (("a", here), ("b", there))
    }
    bids_dir = make_dataset(tmp_path, scans)
    run = bidsdeface_read_only(bids_dir, tmp_path / "out", "--longitudinal", "--skip-bids-validation")
    assert run.code == 0, run.said
    masks, references = [], set()
    for session in "ab":
        stem = tmp_path / f"out/sub-01/ses-{session}/anat/sub-01_ses-{session}"
        masks.append(read_image(stem.with_name(f"{stem.name}_mod-T1w_desc-face_defacemask.nii.gz")))
        sidecar = json.loads(stem.with_name(f"{stem.name}_desc-defaced_T1w.json").read_text())
        references.add(sidecar["Bidsdeface"]["Reference"])
    assert references == {"sub-01_ses-a_T1w"}
    assert same_face(masks[0], here, masks[1], there) >= ALIKE
