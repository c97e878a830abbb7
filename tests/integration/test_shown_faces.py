"""Whether an image shows a face is told by what is in it: real heads, with and without their face."""

import json

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.imaging.image import clean_header, read_image, write_image
from bidsdeface.imaging.methods import remove
from bidsdeface.leakcheck.faces import FACE, face_test, is_emptied
from tests.conftest import fake_head

pytestmark = pytest.mark.heads


@pytest.fixture(scope="module")
def shows_face():
    return face_test()


def test_a_face_is_seen_until_it_is_removed_whole(head, engine, shows_face, tmp_path):
    path = head("S04")
    assert shows_face(path) == FACE
    image = read_image(path)
    mask = engine.mask(image).mask
    write_image(tmp_path / "none.nii.gz", clean_header(image.header), remove(image, mask))
    assert shows_face(tmp_path / "none.nii.gz") is None
    mask[: mask.shape[0] // 2] = False
    write_image(tmp_path / "half.nii.gz", clean_header(image.header), remove(image, mask))
    assert shows_face(tmp_path / "half.nii.gz") == FACE


def test_a_phantom_shows_no_face(head, shows_face):
    assert shows_face(head("O02")) is None


def test_an_image_of_nothing_shows_no_face(shows_face, tmp_path):
    empty = fake_head()
    stored = np.zeros(empty.shape, np.int16, order="F")
    write_image(tmp_path / "x.nii.gz", clean_header(empty.header), stored)
    assert shows_face(tmp_path / "x.nii.gz") is None


def test_a_head_under_a_functional_name_shows_a_face(head, shows_face, tmp_path):
    path = tmp_path / "sub-01/func/sub-01_task-rest_sbref.nii.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(head("S04").read_bytes())
    assert shows_face(path) == FACE


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [(None, True), ("voxel", False), ("mask", False), ("sidecar", False), ("grid", False)],
)
@pytest.mark.parametrize("desc", ["", "_desc-defaced"])
def test_an_image_that_was_verified_is_settled_if_its_mask_is_empty(tmp_path, spoil, expected, desc):
    image = fake_head()
    stored = np.asarray(image.dataobj).copy()
    mask = np.zeros(stored.shape, np.uint8)
    mask[:10] = 1
    stored[:10] = 0
    stored[3, 20, 18] += spoil == "voxel"
    path = tmp_path / f"sub-01/fmap/sub-01{desc}_phasediff.nii.gz"
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(stored, image.affine), path)
    name = f"sub-01_mod-phasediff{'_desc-face' if desc else ''}_defacemask.nii.gz"
    moved = image.affine + 5 * np.eye(4, k=3) * (spoil == "grid")
    if spoil != "mask":
        nib.save(nib.Nifti1Image(mask, moved), path.with_name(name))
    record = {"Bidsdeface": {"Method": None if spoil == "sidecar" else "remove"}}
    path.with_name(f"sub-01{desc}_phasediff.json").write_text(json.dumps(record))
    assert is_emptied(path) is expected


@pytest.mark.parametrize("name", ["O12", "O13"])
def test_functional_and_diffusion_images_show_none(head, shows_face, name):
    assert shows_face(head(name)) is None
