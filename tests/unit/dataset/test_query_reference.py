"""Which scan of a head is registered to the template."""

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.dataset.query import find_heads
from tests.conftest import make_dataset


def image(size_mm, zoom_mm=10.0):
    shape = tuple(int(mm / zoom_mm) for mm in size_mm)
    return nib.Nifti1Image(np.zeros(shape, np.uint8), np.diag([zoom_mm] * 3 + [1.0]))


WHOLE, SLAB = (180, 240, 240), (180, 240, 60)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (("T1w", WHOLE, 10), ("T2w", WHOLE, 10)),
        (("T1w", WHOLE, 10), ("T2w", WHOLE, 5)),  # contrast before voxels
        (("T2w", WHOLE, 10), ("T1w", SLAB, 10)),  # the whole head before contrast
        (("T2w", WHOLE, 10), ("FLAIR", WHOLE, 5)),
        (("FLAIR", WHOLE, 10), ("inv-1_MP2RAGE", WHOLE, 10)),
        (("acq-fine_T1w", WHOLE, 5), ("acq-coarse_T1w", WHOLE, 10)),
        (("acq-tall_T1w", (180, 240, 260), 10), ("acq-short_T1w", WHOLE, 10)),
        (("acq-slab_T1w", SLAB, 10), ("acq-broken_T1w", None, None)),
        (("inv-2_MP2RAGE", WHOLE, 10), ("inv-1_MP2RAGE", WHOLE, 10)),  # the first is nearly nulled
        (("inv-1_MP2RAGE", SLAB, 10), ("UNIT1", WHOLE, 5)),  # what was measured before what was computed
        (("echo-3_part-mag_MEGRE", SLAB, 10), ("echo-1_part-phase_MEGRE", WHOLE, 5)),
    ],
)
def test_the_reference_is_chosen_by_rule(tmp_path, better, worse):
    scans = {
        f"sub-01/anat/sub-01_{name}.nii.gz": image(size or WHOLE, zoom or 10)
        for name, size, zoom in (worse, better)
    }
    bids_dir = make_dataset(tmp_path, scans)
    for name, size, _ in (better, worse):
        if size is None:
            (bids_dir / f"sub-01/anat/sub-01_{name}.nii.gz").write_bytes(b"")
    assert find_heads(bids_dir).heads[0].reference.stem == f"sub-01_{better[0]}"


def test_an_anatomical_scan_goes_before_any_other(tmp_path):
    scans = {
        "sub-01/anat/sub-01_T2w.nii.gz": image(SLAB),
        "sub-01/func/sub-01_task-rest_sbref.nii.gz": image(WHOLE),
    }
    (head,) = find_heads(make_dataset(tmp_path, scans), suffixes=["sbref"]).heads
    assert head.reference.suffix == "T2w"


def test_the_reason_is_told(tmp_path):
    scans = {"sub-01/anat/sub-01_T1w.nii.gz": image(WHOLE), "sub-01/anat/sub-01_T2w.nii.gz": image(SLAB)}
    (head,) = find_heads(make_dataset(tmp_path, scans)).heads
    assert head.reason == "T1w; whole head, 180x240x240 mm; voxels 10x10x10 mm"
