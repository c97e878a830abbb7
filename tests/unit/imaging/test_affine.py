"""The affine fit recovers moves that are known, whatever the contrast."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.affine import Points, fit_affine
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate

SIZE, SPACING_MM = 48, 4.0


@pytest.fixture(scope="module")
def texture():
    """Return a volume with structure everywhere, 192 mm wide, smooth over 10 mm."""
    values = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(SIZE,) * 3), 10 / SPACING_MM)
    values = ((values - values.min()) / np.ptp(values)).astype(np.float32)
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = -SPACING_MM * (SIZE - 1) / 2
    return Volume(values, affine, np.ones_like(values))


@pytest.fixture(scope="module")
def points(texture):
    axis = np.arange(-60, 61, 8.0)
    where = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    where = where[np.linalg.norm(where, axis=1) < 62]
    return Points(where, interpolate(texture.data, texture.affine, where).astype(np.float32))


def move(turn_deg=(0, 0, 0), shift_mm=(0, 0, 0), stretch=None):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    matrix[:3, :3] = matrix[:3, :3] @ (np.eye(3) if stretch is None else np.asarray(stretch))
    matrix[:3, 3] = shift_mm
    return matrix


def moved(texture, from_template, contrast=lambda value: value):
    """Return a scan in which the texture lies at `from_template`."""
    scan = Volume(texture.data, from_template @ texture.affine, texture.seen)
    grid = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"), -1)
    world = apply_affine(texture.affine, grid)
    values = interpolate(scan.data, scan.affine, world)
    seen = np.isfinite(values)
    data = np.where(seen, contrast(np.nan_to_num(values)), 0).astype(np.float32)
    return Volume(data, texture.affine, seen.astype(np.float32))


def error_mm(found, true, points):
    return np.linalg.norm(apply_affine(found, points.where) - apply_affine(true, points.where), axis=1).max()


CONTRASTS = {
    "same": lambda value: value,
    "inverted": lambda value: 1 - value,
    "not monotone": lambda value: np.abs(value - 0.45),
}


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("move_args", [((10, 0, 0), (6, 0, 0)), ((0, -8, 5), (0, -9, 4))])
def test_a_rigid_move_is_found_and_stays_rigid(texture, points, contrast, move_args):
    true = move(*move_args)
    scan = moved(texture, true, CONTRASTS[contrast])
    found, ratio = fit_affine(scan, points, np.eye(4), 6)
    assert error_mm(found, true, points) < 1.0
    assert ratio > 0.9
    assert np.allclose(found[:3, :3].T @ found[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(found[:3, :3]) > 0


def test_a_rigid_fit_stays_rigid_where_the_truth_is_not(texture, points):
    scan = moved(texture, move((5, 0, 3), (4, 2, 0), np.diag([1.15, 0.9, 1.05])))
    found, _ = fit_affine(scan, points, np.eye(4), 6)
    assert np.allclose(found[:3, :3].T @ found[:3, :3], np.eye(3), atol=1e-9)


def test_a_scale_is_found_and_is_one_scale(texture, points):
    true = move((4, 5, -6), (3, -5, 2), 0.9 * np.eye(3))
    found, _ = fit_affine(moved(texture, true), points, np.eye(4), 7)
    stretches = np.linalg.svd(found[:3, :3], compute_uv=False)
    assert error_mm(found, true, points) < 1.0
    assert np.allclose(stretches, 0.9, atol=0.01) and np.ptp(stretches) < 1e-9


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_stretch_and_shear_are_found(texture, points, contrast):
    true = move((4, 5, -6), (3, -5, 2), [[1.06, 0.05, 0], [0, 0.94, -0.04], [0.03, 0, 1.02]])
    found, ratio = fit_affine(moved(texture, true, CONTRASTS[contrast]), points, np.eye(4), 12)
    assert error_mm(found, true, points) < 1.0 and ratio > 0.9


def test_a_fit_through_part_of_the_field_of_view_is_still_right(texture, points):
    true = move((6, 0, 0), (5, 0, -4))
    scan = moved(texture, true)
    scan.seen[:, :, : SIZE // 3] = 0
    scan.data[:, :, : SIZE // 3] = 0.5
    found, _ = fit_affine(scan, points, np.eye(4), 6)
    assert error_mm(found, true, points) < 1.0


def test_a_head_outside_of_the_field_of_view_has_no_similarity(texture, points):
    start = move(shift_mm=(500, 0, 0))
    found, ratio = fit_affine(texture, points, start, 12)
    assert ratio == -1 and np.array_equal(found, start)


def test_unrelated_images_are_not_similar(texture, points):
    other = ndimage.gaussian_filter(np.random.default_rng(9).normal(size=(SIZE,) * 3), 2.5)
    _, ratio = fit_affine(
        Volume(other.astype(np.float32), texture.affine, texture.seen), points, np.eye(4), 6
    )
    assert ratio < 0.4
