"""Refaced scans through the real program: what is replaced, what is removed, and what the files say of it."""

import json

import numpy as np
import pytest

from bidsdeface.head.options import NotRefaced
from bidsdeface.imaging.image import read_image
from tests.conftest import make_dataset
from tests.contrasts import SyntheticHead
from tests.heads import real_head_or_average
from tests.integration.conftest import bidsdeface, bidsdeface_read_only, published

pytestmark = pytest.mark.slow
REFACE = ("--method", "reface", "--skip-bids-validation")
MAGNITUDE, PHASE = "sub-01_part-mag_T2starw", "sub-01_part-phase_T2starw"
METADATA = {"EchoTime": 0.005, "RepetitionTime": 0.02}


@pytest.fixture(scope="module")
def refaced(tmp_path_factory):
    """Return a dataset of a T1w, a magnitude and its phase, and its output."""
    head = SyntheticHead(real_head_or_average())
    (_, magnitude, phase), *_ = head.echoes(head.series((2.0, 2.0, 2.0)))
    images = {"sub-01_T1w": head.t1w, MAGNITUDE: magnitude, PHASE: phase}
    root = make_dataset(
        tmp_path_factory.mktemp("refaced"),
        {f"sub-01/anat/{name}.nii.gz": image for name, image in images.items()},
        metadata=METADATA,
    )
    run = bidsdeface_read_only(root, root.parent / "out", *REFACE, "-w", str(root.parent / "work"))
    assert run.code == 0, run.said
    return root, root.parent / "out"


def image_of(output_dir, name):
    stem, _, suffix = name.rpartition("_")
    return output_dir / f"sub-01/anat/{stem}_desc-defaced_{suffix}.nii.gz"


def record_of(path):
    return json.loads(path.with_name(path.name.partition(".")[0] + ".json").read_text())["Bidsdeface"]


def mask_of(output_dir, suffix):
    return output_dir / f"sub-01/anat/sub-01_mod-{suffix}_desc-face_defacemask.nii.gz"


@pytest.mark.parametrize(
    ("name", "method", "why"),
    [
        ("sub-01_T1w", "reface", None),
        (MAGNITUDE, "reface", None),
        (PHASE, "remove", NotRefaced.PHASE.value),
    ],
)
def test_an_image_says_what_took_the_place_of_its_face(refaced, name, method, why):
    root, output_dir = refaced
    path = image_of(output_dir, name)
    before, after = read_image(root / f"sub-01/anat/{name}.nii.gz").stored, read_image(path).stored
    mask = read_image(mask_of(output_dir, name.rpartition("_")[2])).stored > 0
    record = record_of(path)
    assert np.array_equal(before[~mask], after[~mask]) and (before[mask] != after[mask]).any()
    assert (np.ptp(after[mask]) > 0) == (method == "reface")
    assert (record["Method"], record.get("NotRefaced")) == (method, why)


def test_a_mask_of_images_of_both_methods_claims_neither(refaced):
    for suffix in ("T1w", "T2starw"):
        record = record_of(mask_of(refaced[1], suffix))
        assert record["Verdict"] == "passed" and record.keys().isdisjoint({"Method", "NotRefaced"})


def test_the_leak_check_finds_the_average_face_alone_and_a_rerun_keeps_it(refaced):
    root, output_dir = refaced
    before = {name: (output_dir / name).stat().st_mtime_ns for name in published(output_dir)}
    again = bidsdeface(root, output_dir, *REFACE)  # without the work dir, every image is looked at again
    group = bidsdeface(root, output_dir, *REFACE, level="group")
    assert (again.code, group.code) == (0, 0), again.said + group.said
    assert {name: (output_dir / name).stat().st_mtime_ns for name in before} == before


def test_a_mask_by_hand_survives_a_change_of_the_method(refaced, tmp_path):
    root, output_dir = refaced
    drawn, out = mask_of(output_dir, "T1w"), tmp_path / "out"
    only = ("--skip-bids-validation", "--suffixes", "T1w")
    first = bidsdeface(root, out, *only, "--mask", str(drawn))
    kept = image_of(out, "sub-01_T1w").read_bytes()
    second = bidsdeface(root, out, *only, "--method", "reface")
    assert (first.code, second.code) == (0, 0), second.said
    assert image_of(out, "sub-01_T1w").read_bytes() == kept
    assert record_of(image_of(out, "sub-01_T1w"))["MaskSource"] == "by hand"
