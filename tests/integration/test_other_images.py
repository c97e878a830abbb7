"""Images outside of anat: what is defaced on request, and without being asked; in both layouts."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bidsdeface.dataset.validator import find_problems
from bidsdeface.imaging.image import read_image
from tests.conftest import make_dataset
from tests.contrasts import SyntheticHead
from tests.heads import find_head, real_head_or_average
from tests.integration.conftest import bidsdeface_read_only, files

pytestmark = pytest.mark.slow
ASKED = ("--suffixes", "anat", "bold", "sbref", "dwi", "epi", "magnitude1", "phasediff")
METADATA = {
    "TaskName": "rest", "RepetitionTime": 2.0, "EchoTime": 0.03, "EchoTime1": 0.004, "EchoTime2": 0.006,
    "PhaseEncodingDirection": "j", "TotalReadoutTime": 0.05,
}  # fmt: skip


@pytest.fixture(scope="module")
def bids_dir(tmp_path_factory):
    """Return a dataset of one head: two phase-encoding directions, a spike, diffusion, a field map."""
    head = SyntheticHead(real_head_or_average())
    epi = head.series((3.0, 3.0, 3.5), (2, -1, 1), (1, -2, 2))
    fmap = head.series((3.5, 3.5, 3.5), (-1, 1, 0), (0, 1, 1))
    (_, magnitude, phase), *_ = head.echoes(fmap)
    bold = head.epi(epi, 6)
    spiked = np.asanyarray(bold.dataobj).copy()
    spiked[..., 3] = 30000
    images = {
        "anat/sub-01_T1w": head.t1w,
        "func/sub-01_task-rest_dir-AP_bold": head.image(spiked, epi, tr=2.0),
        "func/sub-01_task-rest_dir-PA_bold": bold,
        "func/sub-01_task-rest_dir-AP_sbref": head.epi(epi),
        "dwi/sub-01_dwi": head.epi(epi, 7, shell=[1.0, 0.35, 0.35, 0.35, 1.0, 0.35, 0.35]),
        "fmap/sub-01_dir-PA_epi": head.epi(epi),
        "fmap/sub-01_magnitude1": magnitude,
        "fmap/sub-01_phasediff": phase,
    }
    root = make_dataset(
        tmp_path_factory.mktemp("other"),
        {f"sub-01/{name}.nii.gz": image for name, image in images.items()},
        metadata=METADATA,
    )
    (root / "sub-01/dwi/sub-01_dwi.bval").write_text("0 1000 1000 1000 0 1000 1000\n")
    (root / "sub-01/dwi/sub-01_dwi.bvec").write_text("0 1 0 0 0 1 0\n0 0 1 0 0 0 1\n0 0 0 1 0 0 0\n")
    assert find_problems(root) == []
    return root


@pytest.fixture(scope="module")
def derivative(bids_dir):
    output_dir = bids_dir.parent / "out"
    run = bidsdeface_read_only(bids_dir, output_dir, *ASKED, "--skip-bids-validation", "-v")
    print(run.said)
    return output_dir, run


def outcomes(run):
    lines = [line for line in run.said.splitlines() if "INFO [" in line or "FAILED [" in line]
    return {line.partition("] ")[2].split(":")[0]: line for line in lines}


def test_every_volume_of_what_passes_is_defaced_and_nothing_else_changes(bids_dir, derivative):
    output_dir, run = derivative
    seen = 0
    for original in sorted(bids_dir.glob("sub-01/*/*.nii.gz")):
        folder, name = output_dir / "sub-01" / original.parent.name, original.name.partition(".")[0]
        image = next(folder.glob(f"{name.rpartition('_')[0]}_desc-defaced_{name.rpartition('_')[2]}.nii.gz"))
        mask_name = f"{name.rpartition('_')[0]}_mod-{name.rpartition('_')[2]}_desc-face_defacemask.nii.gz"
        mask = read_image(folder / mask_name).stored > 0
        before, after = read_image(original).stored, read_image(image).stored
        assert mask.any() and np.array_equal(before[~mask], after[~mask])
        assert (after[mask] == after[mask].flat[0]).all()
        seen += 1
    assert run.code == 0 and seen == 8, run.said


def test_the_derivative_is_valid_and_ignores_masks_without_a_legal_name(derivative):
    output_dir, _ = derivative
    assert find_problems(output_dir) == []
    masks = [name for name in files(output_dir) if name.endswith("_defacemask.nii.gz")]
    assert len(masks) == 8


def test_they_are_placed_by_the_t1w_and_the_phase_by_its_magnitude(derivative):
    output_dir, _ = derivative
    records = {
        path.name: json.loads(path.read_text())["Bidsdeface"]
        for path in output_dir.glob("sub-01/*/*_desc-defaced_*.json")
    }
    assert {record["Reference"] for record in records.values()} == {"sub-01_T1w"}
    lent = {name: record["MaskOf"] for name, record in records.items() if "MaskOf" in record}
    assert lent == {"sub-01_desc-defaced_phasediff.json": "sub-01_magnitude1"}


def test_a_complete_dataset_has_them_defaced_under_their_own_names(bids_dir, tmp_path):
    run = bidsdeface_read_only(
        bids_dir, tmp_path / "out", "--output-layout", "bids", *ASKED, "--skip-bids-validation"
    )
    assert run.code == 0, run.said
    assert find_problems(tmp_path / "out") == []
    for name in ("func/sub-01_task-rest_dir-AP_bold", "dwi/sub-01_dwi", "fmap/sub-01_phasediff"):
        sidecar = json.loads((tmp_path / f"out/sub-01/{name}.json").read_text())
        assert sidecar["Bidsdeface"]["Verdict"] == "passed"
        before, after = (
            read_image(root / f"sub-01/{name}.nii.gz").stored for root in (bids_dir, tmp_path / "out")
        )
        assert before.shape == after.shape and not np.array_equal(before, after)


SHORTEST_RUN = 6


def runs_in(stored, region):
    """Return the bytes of the longest rows of voxels within a region, one volume; never of constant rows."""
    found = []
    for row in np.argwhere(region.sum(0) >= SHORTEST_RUN):
        inside = np.flatnonzero(region[:, row[0], row[1]])
        values = stored[inside[0] : inside[-1] + 1, row[0], row[1]]
        if len(inside) == len(values) and len(np.unique(values)) > SHORTEST_RUN / 2:
            found.append(values.tobytes())
    return sorted(found, key=len)[-200:]


def test_no_file_of_a_complete_dataset_holds_voxels_of_a_face_or_their_phase(bids_dir, tmp_path):
    """Series that show a face are defaced unasked, and their phase is; the search is by bytes."""
    root = shutil.copytree(bids_dir, tmp_path / "bids")
    series = "sub-01/func/sub-01_task-rest_dir-AP"
    bold = nib.load(root / f"{series}_bold.nii.gz")
    phase = np.random.default_rng(0).integers(-4096, 4096, bold.shape).astype(np.int16)
    nib.save(nib.Nifti1Image(phase, bold.affine, bold.header), root / f"{series}_part-phase_bold.nii.gz")
    metadata = {**json.loads((root / f"{series}_bold.json").read_text()), "Units": "arbitrary"}
    (root / f"{series}_part-phase_bold.json").write_text(json.dumps(metadata))
    output = tmp_path / "out"
    run = bidsdeface_read_only(root, output, "--output-layout", "bids", "--skip-bids-validation")
    print(run.said)
    assert run.code == 0 and "LEAK" not in run.said
    assert find_problems(output) == []
    defaced = {name for name in files(output) if b"face-removed" in files(output)[name]}
    stems = ("anat/sub-01_T1w", "fmap/sub-01_magnitude1", "fmap/sub-01_phasediff")
    stems += ("func/sub-01_task-rest_dir-AP_bold", "func/sub-01_task-rest_dir-AP_part-phase_bold")
    assert {f"sub-01/{stem}.json" for stem in stems} <= defaced
    assert json.loads((output / "sub-01/fmap/sub-01_phasediff.json").read_text())["Bidsdeface"]["MaskOf"]
    contents = [
        gzip.decompress(content) for name, content in files(output).items() if name.endswith(".nii.gz")
    ]
    mask = nib.load(output / "sub-01/anat/sub-01_mod-T1w_defacemask.nii.gz")
    face = ndimage.binary_erosion(np.asarray(mask.dataobj) > 0, iterations=2).astype(np.float32)
    for name in (f"sub-01/{stem}.nii.gz" for stem in stems):
        original = read_image(root / name)
        stored = original.stored.reshape(*original.stored.shape[:3], -1, order="F")[..., 0]
        to_mask = np.linalg.inv(mask.affine) @ original.affine
        region = ndimage.affine_transform(face, to_mask[:3, :3], to_mask[:3, 3], stored.shape, order=0) > 0
        searched = runs_in(stored, region)
        assert len(searched) > 50
        assert not any(row in content for row in searched for content in contents), name
        assert any(row in gzip.decompress((root / name).read_bytes()) for row in searched), "it is found"


def test_an_image_that_lies_upside_down_against_its_header_is_not_published(tmp_path):
    head = SyntheticHead(find_head("average"))
    series = head.series((3.0, 3.0, 3.5))
    upright = np.asanyarray(head.epi(series).dataobj)
    scans = {
        "sub-01/anat/sub-01_T1w.nii.gz": head.t1w,
        "sub-01/func/sub-01_task-rest_sbref.nii.gz": head.image(upright[:, ::-1, ::-1], series),
    }
    bids_dir = make_dataset(tmp_path, scans, metadata=METADATA)
    run = bidsdeface_read_only(bids_dir, tmp_path / "out", "--suffixes", "sbref", "--skip-bids-validation")
    assert run.code == 3 and "FAILED [1/1]" in run.said
    assert not [name for name in files(tmp_path / "out") if name.endswith(".nii.gz")]
