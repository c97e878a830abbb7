"""What takes the place of the face, and that nothing else changes."""

import numpy as np
import pytest

from bidsdeface.imaging.methods import background, remove
from tests.conftest import as_image, fake_head


def head(dtype=np.float64):
    return np.asanyarray(fake_head(dtype=dtype).dataobj)


def ct():
    """Return a head in Hounsfield units: air at about -1000, padding at -1024, tissue at 0 to 100."""
    rng = np.random.default_rng(0)
    values = np.where(head() > 500, rng.normal(40, 30, head().shape), rng.normal(-1000, 8, head().shape))
    return np.round(values)


def round_edge(shape):
    """Return what lies outside of a round field of view."""
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return np.hypot(x, y) > 1


def stands_for(image, value):
    slope, inter = float(image.header["scl_slope"]), float(image.header["scl_inter"])
    return float(value) * slope + inter if np.isfinite(slope) and slope else float(value)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "u2", "i4", "u8", "f4", ">f8"])
def test_air_of_mri_is_zero_in_the_type_of_the_image(dtype):
    image = as_image(head().clip(0, 250).astype(dtype))
    assert background(image) == 0 and background(image).dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    "image",
    [
        as_image(ct().astype(np.int16)),
        as_image(ct().astype(np.float32)),
        as_image((ct() + 1024).clip(0).astype(np.uint16), slope=1.0, inter=-1024.0),
        as_image((ct() * 2).astype(">i2"), slope=0.5, inter=0.0),
    ],
    ids=["int16", "float32", "uint16 with offset", "big-endian with slope"],
)
def test_air_of_ct_is_about_minus_1000(image):
    value = background(image)
    assert value.dtype == image.stored.dtype
    assert -1030 < stands_for(image, value) < -990


@pytest.mark.parametrize("padding", [-2000, -3024, -32768])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_padding_around_the_field_of_view_of_ct_is_no_air(padding, dtype):
    values = ct()
    values[round_edge(values.shape)] = padding
    assert -1030 < background(as_image(values.astype(dtype))) < -990


def test_the_dark_of_a_standardised_image_lies_below_zero():
    values = ((head() - head().mean()) / head().std()).astype(np.float32)
    assert np.isclose(background(as_image(values)), values.min(), atol=0.05)


def test_nan_does_not_become_the_background():
    values = ((head() - head().mean()) / head().std()).astype(np.float32)
    values[:10] = np.nan
    assert np.isfinite(background(as_image(values)))
    values[:] = np.nan
    assert background(as_image(values)) == 0


def test_an_offset_that_the_type_cannot_undo_ends_at_the_types_limit():
    image = as_image(np.full((9, 9, 9), 40, np.uint8), slope=1.0, inter=7.0)
    assert background(image) == 0


@pytest.mark.parametrize("dtype", ["i1", ">i2", "u2", "i8", "f4", "f8", "c8"])
@pytest.mark.parametrize("shape", [(9, 8, 7), (9, 8, 7, 3), (9, 8, 7, 1, 2)])
def test_all_is_removed_inside_and_every_bit_is_kept_outside(dtype, shape):
    rng = np.random.default_rng(5)
    bits = rng.bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    image = as_image(np.frombuffer(bits, dtype).reshape(shape, order="F"))
    mask = rng.random(shape[:3]) < 0.4
    with np.errstate(all="ignore"):
        defaced, fill = remove(image, mask), background(image)
    assert defaced.dtype == image.stored.dtype and defaced.shape == shape
    assert defaced[~mask].tobytes() == image.stored[~mask].tobytes()
    assert defaced[mask].tobytes() == np.full(defaced[mask].shape, fill).tobytes()
    assert image.stored.tobytes(order="F") == bits
