"""Reading back finds a single bit that is not as promised."""

from dataclasses import replace

import numpy as np
import pytest

from bidsdeface.errors import ImageError
from bidsdeface.imaging.image import clean_header, mask_header, read_image, write_image
from bidsdeface.imaging.methods import background, remove
from bidsdeface.quality.readback import check_mask_written, check_written
from tests.conftest import as_image, fake_head

SHAPE = (6, 7, 8)
MASK = np.zeros(SHAPE, bool)
AFFINE = np.diag([20.0, 20.0, 20.0, 1.0])  # large enough for a head
MASK[2:, 3:, 2:6] = True
OUTSIDE, INSIDE = (0, 0, 0), (3, 4, 3)


def original(dtype=np.float32, shape=SHAPE):
    return as_image(np.random.default_rng(0).integers(1, 99, shape).astype(dtype))


def defaced(image):
    return replace(image, header=clean_header(image.header), stored=remove(image, MASK))


def changed(image, where, value):
    stored = image.stored.copy()
    stored[where] = value
    return replace(image, stored=stored)


def check(before, after):
    check_written(before, after, MASK, background(before))


@pytest.mark.parametrize("dtype", ["u1", ">i2", "f4", "f8", "c8", "u8"])
@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 3), (*SHAPE, 1, 2)])
def test_a_sound_result_passes(dtype, shape):
    image = original(dtype, shape)
    check(image, defaced(image))


def test_a_sound_result_passes_from_the_disk(tmp_path):
    head = as_image(np.asfortranarray(fake_head().dataobj), fake_head().affine)
    mask = np.zeros(head.stored.shape, bool, order="F")
    mask[:, 20:] = True
    write_image(tmp_path / "x.nii.gz", clean_header(head.header), remove(head, mask))
    check_written(head, read_image(tmp_path / "x.nii.gz"), mask, background(head))


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_one_changed_voxel_outside_is_found(dtype):
    image = original(dtype)
    value = image.stored[OUTSIDE] + 1
    with pytest.raises(ImageError, match="outside the mask changed"):
        check(image, changed(defaced(image), OUTSIDE, value))


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_one_voxel_left_inside_is_found(dtype):
    image = original(dtype)
    with pytest.raises(ImageError, match="inside the mask were not replaced"):
        check(image, changed(defaced(image), INSIDE, image.stored[INSIDE]))


@pytest.mark.parametrize("volume", [0, 2])
def test_every_volume_is_looked_at(volume):
    image = original(shape=(*SHAPE, 3))
    with pytest.raises(ImageError, match="outside the mask changed"):
        check(image, changed(defaced(image), (*OUTSIDE, volume), -1))
    with pytest.raises(ImageError, match="inside the mask were not replaced"):
        check(image, changed(defaced(image), (*INSIDE, volume), 5))


@pytest.mark.parametrize(("before", "after"), [(0.0, -0.0), (-0.0, 0.0), (np.nan, 0.0), (1.0, np.nan)])
def test_zeros_of_either_sign_and_nan_are_told_apart(before, after):
    image = changed(original(), OUTSIDE, before)
    check(image, defaced(image))
    with pytest.raises(ImageError, match="outside the mask changed"):
        check(image, changed(defaced(image), OUTSIDE, after))


def test_the_fill_is_compared_bit_by_bit():
    image = original()
    with pytest.raises(ImageError, match="not replaced"):
        check(image, changed(defaced(image), INSIDE, -0.0))


def test_nan_with_another_payload_is_another_value():
    image = changed(original(), OUTSIDE, np.nan)
    bits = defaced(image).stored.copy()
    bits.view(np.uint32)[OUTSIDE] ^= 1
    with pytest.raises(ImageError, match="outside the mask changed"):
        check(image, replace(defaced(image), stored=bits))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pixdim", 2.0),
        ("scl_slope", 2.0),
        ("scl_inter", 1.0),
        ("sform_code", 4),
        ("srow_x", 3.0),
        ("quatern_b", 0.1),
        ("xyzt_units", 10),
        ("cal_max", 5.0),
        ("descrip", b"scanned on 2020-11-22"),
        ("slice_code", 1),
    ],
)
def test_a_changed_header_field_is_found(field, value):
    image = original()
    result = defaced(image)
    result.header[field] = value
    with pytest.raises(ImageError, match="its header was not read back"):
        check(image, result)


def test_another_type_or_shape_is_found():
    image = original(np.int16)
    result = defaced(image)
    with pytest.raises(ImageError):
        check(image, replace(result, stored=result.stored.astype(np.int32)))
    with pytest.raises(ImageError):
        check(image, replace(result, stored=result.stored[..., None]))


@pytest.fixture
def written_mask(tmp_path):
    """Return a mask as it comes back from the disk."""
    scan = as_image(original().stored, AFFINE)
    write_image(tmp_path / "mask.nii.gz", mask_header(scan.header), MASK.view(np.uint8))
    return read_image(tmp_path / "mask.nii.gz")


def test_a_mask_that_came_back_passes(written_mask):
    check_mask_written(MASK, AFFINE, written_mask)


@pytest.mark.parametrize("where", [OUTSIDE, INSIDE])
def test_one_voxel_of_a_mask_that_is_another_is_found(written_mask, where):
    for other in {0, 1, 2, 255} - {int(MASK[where])}:
        with pytest.raises(ImageError, match="the mask was not read back"):
            check_mask_written(MASK, AFFINE, changed(written_mask, where, other))


def test_a_mask_that_lies_elsewhere_is_found(written_mask):
    elsewhere = AFFINE.copy()
    elsewhere[0, 3] += 1
    with pytest.raises(ImageError, match="the mask was not read back"):
        check_mask_written(MASK, elsewhere, written_mask)


def test_a_mask_of_another_shape_is_found(written_mask):
    with pytest.raises(ImageError, match="the mask was not read back"):
        check_mask_written(MASK[:, :, :-1], AFFINE, written_mask)
