"""The average face owes nothing to the face that it replaces."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec
from scipy import ndimage

from benchmarks.reface import seam
from bidsdeface.imaging.facemask import FaceRegions, face_mask
from bidsdeface.imaging.methods import remove
from bidsdeface.imaging.reface import LEVELS, reface
from bidsdeface.imaging.volume import voxel_places
from bidsdeface.templates.source import average_face, whole_head
from tests.conftest import as_image

SEED = (1, 2, 3)
CONTRASTS = {
    "T1w": lambda t1w: t1w,
    "inverted": lambda t1w: np.where(t1w > 0.08, 1.05 - t1w, 0.0),
    "fluid bright": lambda t1w: np.where(t1w > 0.08, 0.3 / (t1w + 0.2), 0.0),
}


@pytest.fixture(scope="module")
def average():
    return average_face()


@pytest.fixture(scope="module")
def template():
    return whole_head()


def scan(template, contrast="T1w", dtype=np.int16, slope=1.0, inter=0.0, volumes=1):
    """Return the whole-head average as a scan with noise, and its face mask."""
    affine = template.head.affine @ from_matvec(np.eye(3), (0, 0, 35))
    rng = np.random.default_rng(0)
    values = 800 * CONTRASTS[contrast](template.head.data[:, :, 35:])
    shape = (*values.shape, volumes) if volumes > 1 else values.shape
    noisy = np.abs(
        np.broadcast_to(values[..., None], (*values.shape, volumes)).reshape(shape) + rng.normal(0, 8, shape)
    )
    stored = ((noisy - inter) / slope).astype(dtype)
    regions = FaceRegions((template.regions_mm["face"],), template.brain_mm, 3.0)
    mask = face_mask(values.shape, affine, np.eye(4), regions)
    return as_image(stored, affine, slope, inter), mask


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_whatever_was_in_the_mask_the_result_is_the_same_bit_for_bit(template, average, contrast):
    image, mask = scan(template, contrast)
    expected = reface(image, mask, np.eye(4), average, SEED).tobytes()
    rng = np.random.default_rng(0)
    for brightest in (1, 900, 30000):
        other = image.stored.copy(order="K")
        other[mask] = rng.integers(0, brightest, mask.sum())
        assert reface(as_image(other, image.affine), mask, np.eye(4), average, SEED).tobytes() == expected


def test_what_is_not_finite_in_the_mask_does_not_come_through(template, average):
    image, mask = scan(template, dtype=np.float32)
    other = image.stored.copy(order="K")
    other[mask] = np.nan
    first, second = (
        reface(as_image(stored, image.affine), mask, np.eye(4), average, SEED)
        for stored in (image.stored, other)
    )
    assert first.tobytes() == second.tobytes() and np.isfinite(second).all()


@pytest.mark.parametrize("scaling", [(1.0, 0.0), (0.5, -100.0), (3.0, 10.0)])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", "u2"])
def test_nothing_changes_outside_the_mask_and_a_face_is_inside(template, average, dtype, scaling):
    image, mask = scan(template, dtype=dtype, slope=scaling[0], inter=scaling[1])
    refaced = reface(image, mask, np.eye(4), average, SEED)
    assert refaced.dtype == image.stored.dtype
    assert refaced[~mask].tobytes() == image.stored[~mask].tobytes()
    values = image.scaled(refaced)
    face, air = mask & (average.skin_mm.data[:, :, 35:] < -4), mask & (average.skin_mm.data[:, :, 35:] > 6)
    assert np.median(values[face]) > 5 * np.median(values[air])


def test_every_volume_of_a_series_gets_a_face_of_its_own_brightness(template, average):
    image, mask = scan(template, volumes=2)
    stored = image.stored.copy(order="F")
    stored[..., 1] //= 2
    refaced = reface(as_image(stored, image.affine), mask, np.eye(4), average, SEED)
    face = mask & (average.skin_mm.data[:, :, 35:] < -4)
    assert np.median(refaced[face][:, 1]) == pytest.approx(np.median(refaced[face][:, 0]) / 2, rel=0.05)


def test_the_seed_changes_the_noise_and_nothing_else(template, average):
    image, mask = scan(template)
    first, second = (reface(image, mask, np.eye(4), average, seed) for seed in (SEED, (4, 5)))
    difference = (first.astype(float) - second)[mask]
    assert difference.any() and abs(difference.mean()) < 1


def test_a_scan_in_another_orientation_gets_the_same_face(template, average):
    image, mask = scan(template)
    flipped = nib.orientations.inv_ornt_aff([[0, -1], [1, 1], [2, 1]], image.stored.shape)
    turned = as_image(image.stored[::-1], image.affine @ flipped)
    face = mask & (average.skin_mm.data[:, :, 35:] < -4)
    first = reface(image, mask, np.eye(4), average, SEED)[face]
    second = reface(turned, mask[::-1], np.eye(4), average, SEED)[::-1][face]
    assert np.corrcoef(first, second)[0, 1] > 0.9


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_the_edge_of_the_mask_is_hardly_sharper_than_smooth_tissue_beside_it(template, average, contrast):
    image, mask = scan(template, contrast)
    refaced = reface(image, mask, np.eye(4), average, SEED)
    tissue = average.skin_mm.data[:, :, 35:] < -2
    assert (
        seam(image.scaled(refaced), mask, tissue)
        < 2.0
        < seam(image.scaled(remove(image, mask)), mask, tissue)
    )


def test_there_is_fat_under_the_skin_of_cheeks_and_none_in_nose_and_lips(average):
    x, y, z = np.moveaxis(voxel_places(average.t1w.data.shape, average.t1w.affine), -1, 0)
    layer = (np.abs(average.skin_mm.data + 6) < 1.5) & (y > 50)
    cheeks = layer & (np.abs(x) > 35) & (z > -85) & (z < -65)
    nose = layer & (np.abs(x) < 10) & (z > -80) & (z < -60)
    lips = layer & (np.abs(x) < 15) & (z > -105) & (z < -90)
    fat, muscle = LEVELS[2], LEVELS[1]
    assert np.median(average.t1w.data[cheeks]) > (fat + muscle) / 2 + 0.02
    assert all(np.median(average.t1w.data[part]) < (fat + muscle) / 2 - 0.02 for part in (nose, lips))


def test_thin_fat_on_the_scalp_does_not_darken_that_of_the_face(template, average):
    image, mask = scan(template)
    skin_mm = average.skin_mm.data[:, :, 35:]
    far = ndimage.distance_transform_edt(~mask, 2.0) > 25
    thin = image.stored.copy(order="K")
    thin[far & (skin_mm < -2) & (skin_mm > -9)] //= 4
    face = mask & (skin_mm < -3) & (skin_mm > -9)
    before, after = (
        np.quantile(reface(as_image(stored, image.affine), mask, np.eye(4), average, SEED)[face], 0.9)
        for stored in (image.stored, thin)
    )
    assert after == pytest.approx(before, rel=0.1)


def test_air_beside_a_jaw_that_is_smaller_than_the_average_s_is_not_taken_for_muscle(template, average):
    """As of a child: where the average has muscle, the scan shows air."""
    image, mask = scan(template)
    skin_mm = average.skin_mm.data[:, :, 35:]
    low = average.skin_mm.affine[2, 3] + 2.0 * (35 + np.arange(mask.shape[2])) < -60
    small = image.stored.copy(order="K")
    small[(skin_mm > -60) & low] = 0
    lips = mask & (skin_mm < -4) & (skin_mm > -12) & low
    before, after = (
        np.median(reface(as_image(stored, image.affine), mask, np.eye(4), average, SEED)[lips])
        for stored in (image.stored, small)
    )
    assert after > 0.6 * before


@pytest.mark.parametrize("cut", [0, 6, 10])
def test_the_nose_ends_within_the_field_of_view(template, average, cut):
    image, mask = scan(template)
    y = image.stored.shape[1] - 1
    while not (average.skin_mm.data[:, y, 35:] < 0).any():
        y -= 1
    seen = (slice(None), slice(0, y + 3 - cut // 2))
    shorter = as_image(image.stored[seen], image.affine)
    refaced = reface(shorter, mask[seen], np.eye(4), average, SEED)
    assert np.median(refaced[:, -1]) < 50 and (refaced[:, -1] > 200).mean() < 0.002
