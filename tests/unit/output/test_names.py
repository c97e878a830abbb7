"""Names of outputs."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.dataset.names import Scan
from bidsdeface.output.names import LAYOUTS, outputs_of

# Entities of raw anatomical images, in the order of BIDS.
ENTITIES = (
    *("ses", "task", "acq", "ce", "rec", "dir", "run"),
    *("echo", "flip", "inv", "mt", "part", "chunk"),
)
DEFACEMASK = ("sub", "ses", "task", "acq", "ce", "rec", "run", "mod", "chunk", "desc")
labels = st.text("abcXYZ0123456789", min_size=1, max_size=6)


@st.composite
def scans(draw):
    chosen = draw(st.sets(st.sampled_from(ENTITIES)))
    names = ["sub", *(name for name in ENTITIES if name in chosen)]
    entities = tuple((name, draw(labels)) for name in names)
    suffix = draw(st.sampled_from(["T1w", "T2w", "FLAIR", "MP2RAGE"]))
    return Scan(Path("x.nii"), entities, suffix, draw(st.sampled_from([".nii", ".nii.gz"])))


def scan(name, datatype="anat"):
    stem, _, extension = name.partition(".")
    *pairs, suffix = stem.split("_")
    return Scan(Path(name), tuple(tuple(p.split("-")) for p in pairs), suffix, f".{extension}", datatype)


def test_names_are_those_of_the_design():
    outputs = outputs_of(scan("sub-01_ses-a_acq-x_run-2_T1w.nii"))
    folder = "sub-01/ses-a/anat/"
    assert str(outputs.image) == folder + "sub-01_ses-a_acq-x_run-2_desc-defaced_T1w.nii.gz"
    assert str(outputs.image_sidecar) == folder + "sub-01_ses-a_acq-x_run-2_desc-defaced_T1w.json"
    mask = folder + "sub-01_ses-a_acq-x_run-2_mod-T1w_desc-face_defacemask"
    assert (str(outputs.mask), str(outputs.mask_sidecar)) == (f"{mask}.nii.gz", f"{mask}.json")
    assert str(outputs.figure) == "sub-01/figures/sub-01_ses-a_acq-x_run-2_desc-defaced_T1w.png"


def test_a_scan_without_face_has_an_image_a_sidecar_and_a_picture_and_no_mask():
    outputs = outputs_of(scan("sub-01_ses-a_acq-x_T1w.nii"), no_face=True)
    assert {key: str(name) for key, name in vars(outputs).items() if name} == {
        "figure": "sub-01/figures/sub-01_ses-a_acq-x_desc-noface_T1w.png",
        "image": "sub-01/ses-a/anat/sub-01_ses-a_acq-x_desc-noface_T1w.nii.gz",
        "image_sidecar": "sub-01/ses-a/anat/sub-01_ses-a_acq-x_desc-noface_T1w.json",
    }


@given(scans())
def test_a_result_with_and_one_without_face_share_no_file(scan):
    assert not {*outputs_of(scan).files} & {*outputs_of(scan, no_face=True).files}


@pytest.mark.parametrize("no_face", [False, True])
def test_what_vouches_for_the_others_comes_last(no_face):
    found = outputs_of(scan("sub-01_T1w.nii"), no_face=no_face)
    assert found.files[-2:] == (found.image, found.image_sidecar)


def test_an_echo_set_shares_one_mask():
    one, two = (outputs_of(scan(f"sub-01_echo-{echo}_part-mag_MEGRE.nii.gz")) for echo in (1, 2))
    assert one.mask == two.mask and one.image != two.image


@pytest.mark.parametrize("layout", LAYOUTS)
def test_series_outside_of_anat_that_differ_in_any_label_have_masks_of_their_own(layout):
    names = [
        f"sub-01_task-{task}_dir-{direction}_run-{run}_{suffix}.nii.gz"
        for task in ("rest", "nback")
        for direction in ("AP", "PA")
        for run in (1, 2)
        for suffix in ("bold", "sbref")
    ]
    assert len({outputs_of(scan(name, "func"), layout).mask for name in names}) == len(names)
    one, two = (outputs_of(scan(f"sub-01_task-rest_echo-{n}_bold.nii", "func"), layout) for n in (1, 2))
    assert one.mask == two.mask and one.image != two.image
    assert str(one.mask.parent) == "sub-01/func"


@given(scans())
def test_the_image_keeps_its_whole_name(scan):
    name = outputs_of(scan).image.name
    assert name.replace("_desc-defaced", "") == f"{scan.stem}.nii.gz"


@given(scans())
def test_the_mask_has_only_entities_that_a_defacemask_may_have_in_their_order(scan):
    stem = outputs_of(scan).mask.name.removesuffix("_defacemask.nii.gz")
    keys = [pair.partition("-")[0] for pair in stem.split("_")]
    assert [key for key in DEFACEMASK if key in keys] == keys


@given(scans())
def test_outputs_differ_and_lie_beside_the_scan_but_for_the_figure(scan):
    outputs = {key: name for key, name in vars(outputs_of(scan)).items() if name}
    assert len(set(outputs.values())) == len(outputs) == 5
    assert str(outputs.pop("figure").parent) == f"sub-{scan.subject}/figures"
    assert {output.parent for output in outputs.values()} == {scan.folder}
    assert re.fullmatch(r"sub-\w+(/ses-\w+)?/anat", str(scan.folder))
