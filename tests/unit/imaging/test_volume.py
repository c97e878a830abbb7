"""Coarse copies: honest means, and nothing from beyond the field of view."""

import itertools
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bidsdeface.imaging.volume import (
    Volume,
    air_level,
    apply_affine,
    evened,
    interpolate,
    reduce_image,
    smoothed,
    without,
    world_aligned,
)
from tests.conftest import as_image, fake_head
from tests.unit.imaging.test_methods import round_edge

ALL_ORIENTATIONS = [
    np.array([*zip(axes, flips, strict=True)])
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


def noise(shape, dtype=np.int16, seed=0):
    return np.random.default_rng(seed).integers(0, 1000, shape).astype(dtype)


def test_there_are_48_orientations():
    assert len({orientation.tobytes() for orientation in ALL_ORIENTATIONS}) == 48


def test_blocks_are_the_means_of_their_voxels_and_lie_at_their_centres():
    values = noise((12, 10, 9))
    affine = np.diag([1.0, 0.5, 2.0, 1.0])  # blocks of 2, 4 and 1 voxels
    affine[:3, 3] = [-5, 7, 11]
    volume = reduce_image(as_image(values, affine), "x")
    means = values[:, :8].reshape(6, 2, 2, 4, 9, 1).mean(axis=(1, 3, 5))
    dark, bright = np.percentile(means, [1, 99.5])
    assert np.allclose(volume.data, np.clip((means - dark) / (bright - dark), 0, 1), atol=1e-5)
    assert np.allclose(volume.affine[:3, 3], apply_affine(affine, np.array([0.5, 1.5, 0])))
    assert np.allclose(np.diag(volume.affine), [2, 2, 2, 1])


@pytest.mark.parametrize("dtype", ["i1", ">i2", "<u2", ">i4", "i8", "u8", "f4", ">f8", "c8"])
def test_means_do_not_depend_on_how_values_are_stored(dtype):
    values = noise((8, 8, 8)) % 100
    expected = reduce_image(as_image(values), "x").data
    assert np.allclose(reduce_image(as_image(values.astype(dtype)), "x").data, expected, atol=1e-5)


def test_scaling_of_the_header_is_honoured_before_anything_is_compared():
    values = noise((8, 8, 8))
    upside_down = reduce_image(as_image(values, slope=-2, inter=100), "x").data
    direct = reduce_image(as_image((values * -2 + 100).astype(np.float32)), "x").data
    assert np.allclose(upside_down, direct, atol=1e-5)


def test_all_48_orientations_give_the_same_volume():
    head = nib.Nifti1Image(noise((13, 10, 9)), fake_head((13, 10, 9), (1.0, 0.7, 2.5)).affine)
    expected = reduce_image(as_image(np.asanyarray(head.dataobj), head.affine), "x")
    for orientation in ALL_ORIENTATIONS:
        turned = head.as_reoriented(orientation)
        volume = reduce_image(as_image(np.asanyarray(turned.dataobj), turned.affine), "x")
        assert np.array_equal(volume.data, expected.data)
        assert np.allclose(volume.affine, expected.affine)


def test_holes_of_nan_are_dark_and_do_not_spread():
    values = np.indices((16, 16, 16)).sum(axis=0).astype(np.float32)
    values[:4] = np.nan
    volume = reduce_image(as_image(values), "x")
    assert np.isfinite(volume.data).all() and not volume.data[:2].any()
    assert volume.data[2:].mean() > 0.3


@pytest.mark.parametrize("padding", [-2000, -3024, -32768])
def test_padding_around_the_field_of_view_of_ct_is_air(padding):
    rng = np.random.default_rng(0)
    head = np.asanyarray(fake_head().dataobj) > 500
    values = np.where(head, rng.normal(40, 30, head.shape), rng.normal(-1000, 8, head.shape))
    outside = round_edge(head.shape) & ~head
    padded = np.where(outside, padding, values).astype(np.int16)
    plain = reduce_image(as_image(values.astype(np.int16)), "x").data
    assert np.allclose(reduce_image(as_image(padded), "x").data, plain, atol=0.05)


def test_air_that_was_clipped_is_no_padding():
    rng = np.random.default_rng(0)
    head = np.asanyarray(fake_head().dataobj) > 500
    values = np.where(head, rng.normal(40, 30, head.shape), -1000)
    smooth = ndimage.gaussian_filter(values.astype(np.float32), 1)
    assert air_level(smooth) == air_level(np.full((4, 4, 4), -5.0)) == air_level(np.zeros(0)) == -np.inf


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.complex64])
def test_a_series_is_seen_by_its_median_whatever_a_few_volumes_hold(dtype):
    head = fake_head()
    values = np.asanyarray(head.dataobj)
    stack = [values.astype(dtype)] * 40
    stack[13] = np.full(values.shape, 32000, dtype)
    stack[14] = np.full(values.shape, np.nan if dtype == np.float32 else 0, dtype)
    volume = reduce_image(as_image(np.stack(stack, -1), head.affine), "x")
    assert np.allclose(volume.data, reduce_image(as_image(values, head.affine), "x").data)


def test_a_series_takes_little_more_memory_than_one_volume():
    stored = np.zeros((40, 40, 40, 400), np.int16, order="F")  # 50 MB
    stored[10:30, 10:30, 10:30] = 7
    tracemalloc.start()
    reduce_image(as_image(stored, np.diag([3.0, 3.0, 3.0, 1.0])), "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6


@pytest.mark.parametrize("zoom_mm", [0.7, 1.0, 2.0])
@pytest.mark.parametrize(("low", "high", "dtype"), [(0, 4095, np.int16), (-0.5, 0.5, np.float32)])
def test_salt_and_pepper_in_the_air_is_taken_for_air(zoom_mm, low, high, dtype):
    """As in the uniform image of MP2RAGE."""
    n = int(100 / zoom_mm)
    head = fake_head((n, n, n), (zoom_mm,) * 3)
    values = np.asanyarray(head.dataobj) / 1000.0
    noise = np.random.default_rng(0).uniform(size=values.shape)
    uniform = low + (high - low) * np.where(values > 0.5, 0.4 + 0.3 * values, noise)
    seen = reduce_image(as_image(uniform.astype(dtype), head.affine), "x")
    plain = reduce_image(as_image(values.astype(np.float32), head.affine), "x")
    tissue = plain.data > 0.5
    air = ~ndimage.binary_dilation(tissue, iterations=2)
    assert (seen.data[air] < 0.1).mean() > 0.999
    assert seen.data[ndimage.binary_erosion(tissue, iterations=2)].min() > 0.3


def test_noise_all_over_and_weak_noise_are_left_alone():
    rng = np.random.default_rng(0)
    assert reduce_image(as_image(noise((40, 40, 40))), "x").data.mean() > 0.3
    head = fake_head((50, 50, 50), (2.0,) * 3)
    noisy = np.abs(np.asanyarray(head.dataobj) + rng.normal(0, 50, head.shape)).astype(np.float32)
    assert (reduce_image(as_image(noisy, head.affine), "x").data > 0).mean() > 0.9


def test_tissue_that_differs_from_thick_slice_to_thick_slice_is_no_noise():
    """As bright fat does across the 6 mm of a sagittal T1w."""
    values = noise((28, 130, 130)).astype(np.float32)
    in_plane = ndimage.zoom(values[:, ::13, ::13], (1, 13, 13), order=1)
    thick, fine = np.diag([6.0, 0.8, 0.8, 1.0]), np.diag([0.8, 6.0, 0.8, 1.0])
    assert (reduce_image(as_image(in_plane, thick), "x").data > 0).mean() > 0.95
    turned = np.moveaxis(in_plane, 0, 1).copy()
    assert (reduce_image(as_image(turned, fine), "x").data > 0).mean() > 0.95


def test_a_part_that_is_left_out_has_no_part_in_the_scale():
    values = noise((30, 30, 30)).astype(np.float32)
    bright = values.copy()
    bright[:10] = 1e6
    hidden = np.zeros((30, 30, 30), bool)
    hidden[:10] = True
    dim, glaring = (
        without(reduce_image(as_image(stored, np.diag([2.0, 2.0, 2.0, 1.0])), "x"), hidden)
        for stored in (values, bright)
    )
    assert np.array_equal(dim.data, glaring.data) and np.array_equal(dim.seen > 0, ~hidden)
    assert dim.data[10:].max() == 1 and dim.data[10:].min() == 0 and not dim.data[:10].any()
    everything = without(dim, np.ones_like(hidden))
    assert not everything.data.any() and not everything.seen.any()


def test_what_lies_beyond_the_field_of_view_is_marked_and_never_mixed_in():
    turn = nib.eulerangles.euler2mat(0.5, 0.3, 0.2)
    full = np.full((30, 30, 30), 0.7, np.float32)
    oblique = Volume(full, nib.affines.from_matvec(2 * turn, [10, 0, -5]), np.ones_like(full))
    coarse = world_aligned(oblique, 4.0)
    seen = coarse.seen > 0
    assert 0.2 < seen.mean() < 0.8  # corners of the world's box are not in the image
    assert np.allclose(coarse.data[~seen], 0)
    inside = smoothed(coarse, 6.0).data[seen]
    assert np.ptp(coarse.data[seen]) < 0.01 and np.ptp(inside) < 0.01
    assert np.isclose(inside.mean(), 0.7, atol=0.01)


def test_a_coarser_grid_lies_where_the_finer_one_does():
    head = fake_head((40, 50, 45), (2.0, 2.0, 2.0))
    turn = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.4, -0.2, 0.1), [30, -20, 60])
    affine = turn @ head.affine
    volume = reduce_image(as_image(np.asanyarray(head.dataobj), affine), "x")
    coarse = world_aligned(volume, 4.0)
    assert np.allclose(coarse.affine[:3, :3], 4 * np.eye(3))
    bright = np.argwhere(coarse.data > 0.5)
    centre = apply_affine(coarse.affine, bright.mean(axis=0))
    assert np.linalg.norm(centre - turn[:3, 3]) < 0.5
    voxels = (np.asanyarray(head.dataobj) > 500).sum() * 8
    assert np.isclose(len(bright) * 64, voxels, rtol=0.05)


def test_interpolation_is_linear_in_world_coordinates_and_says_what_is_outside():
    grid = np.add.outer(np.add.outer(np.arange(5.0), 10 * np.arange(6.0)), 100 * np.arange(7.0))
    affine = nib.affines.from_matvec(np.diag([-2, 3, 1]), [5, 6, 7])
    inside = apply_affine(affine, np.array([[1.5, 2.25, 3.75], [0, 0, 0]]))
    assert np.allclose(interpolate(grid, affine, inside), [1.5 + 22.5 + 375, 0])
    outside = apply_affine(affine, np.array([[-1.0, 0, 0]]))
    assert np.isnan(interpolate(grid, affine, outside)).all()
    assert interpolate(grid, affine, outside, -3.0) == [-3]


def test_air_and_tissue_are_parted_between_them():
    rng = np.random.default_rng(1)
    values = np.abs(rng.normal(0.03, 0.02, (20, 20, 20))).astype(np.float32)
    values[5:15, 5:15, 5:15] = rng.normal(0.6, 0.1, (10, 10, 10))
    threshold = Volume(values, np.eye(4), np.ones_like(values)).tissue_threshold
    assert 0.08 < threshold < 0.4


def test_an_uneven_coil_is_evened_out():
    x, y, z = np.ogrid[:60, :60, :60]
    radius = np.sqrt((x - 30) ** 2 + (y - 30) ** 2 + (z - 30) ** 2)
    bright = np.where(radius < 24, np.exp((x - 30) / 25) / 3, 0).astype(np.float32)
    even = evened(Volume(bright, np.diag([4.0, 4.0, 4.0, 1.0]), np.ones_like(bright))).data
    before, after = (one[radius < 20].std() / one[radius < 20].mean() for one in (bright, even))
    assert after < before / 2
    assert even[radius >= 24].max() == 0
