"""What is left in a defaced image: nothing, or how much of it and where."""

import numpy as np
import pytest

from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate
from bidsdeface.quality.checks import faults
from bidsdeface.quality.evidence import measure_defaced
from bidsdeface.quality.leftovers import NECK_Z_MM, stray_tissue_ml, tissue_left_ml
from tests.unit.imaging.test_facemask import registration

VOXEL_ML = 0.008
NOSE_TIP = (0.0, 112.0, -48.0)
OCCIPUT_Y_MM = -96.0


@pytest.fixture(scope="module")
def defaced(average, expected):
    mask = face_mask(
        average.head.data.shape,
        average.head.affine,
        registration(),
        expected.regions_mm,
        expected.brain_mm,
        expected.guard_mm,
    ).mask
    return np.where(mask, 0, average.head.data)


@pytest.fixture(scope="module")
def left_ml(expected, with_values):
    def measure(values, second=None):
        second = np.eye(4) if second is None else second
        args = (expected.regions_mm, expected.brain_mm, expected.guard_mm)
        return tissue_left_ml(with_values(values), second, *args)

    return measure


def ball(points, centre, radius_mm):
    return np.linalg.norm(points - np.array(centre), axis=-1) < radius_mm


@pytest.fixture(scope="module")
def in_a_large_field(average, defaced):
    """Return the defaced head with more air all around it, to put something in, and where its voxels are."""
    planes = 80
    data = np.pad(defaced, planes).astype(np.float32)
    affine = average.head.affine.copy()
    affine[:3, 3] -= 2.0 * planes
    where = apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, data.shape), indexing="ij"), -1))

    def put(thing, value=0.6):
        return Volume(np.where(thing, value, data).astype(np.float32), affine, np.ones_like(data))

    return where, put


def test_of_a_whole_face_nothing_is_left_and_nothing_is_astray(fitter, expected, with_values, defaced):
    measures = measure_defaced(with_values(defaced), np.eye(4), fitter.surface.head_mm, np.eye(4), expected)
    assert measures == {"tissue_left_ml": 0.0, "stray_tissue_ml": 0.0}


def test_a_face_that_was_not_touched_is_left(average, left_ml):
    assert left_ml(average.head.data) > 300


@pytest.mark.parametrize("radius_mm", [6, 10, 15])
def test_a_patch_of_face_is_measured(average, points, defaced, left_ml, radius_mm):
    patch = ball(points, np.array(NOSE_TIP) - [0, 10, 0], radius_mm)
    found = left_ml(np.where(patch, average.head.data, defaced))
    expected_ml = (patch & (average.head.data > 0.1)).sum() * VOXEL_ML
    assert found == pytest.approx(expected_ml, rel=0.25)
    assert faults({"tissue_left_ml": found})


def test_what_the_guard_keeps_is_not_held_against_a_result(average, defaced, to_brain_mm, left_ml):
    near = (to_brain_mm < 7.5) & (to_brain_mm > 0)
    assert left_ml(np.where(near, 0.8, defaced)) == 0


def test_a_second_registration_that_has_the_face_elsewhere_finds_tissue_there(defaced, left_ml):
    back = np.eye(4)
    back[1, 3] = 25  # its face lies 25 mm farther back
    assert left_ml(defaced, back) > 50


@pytest.mark.parametrize("gap_mm", [8, 15, 40, 120])
def test_a_nose_that_folded_to_the_back_is_astray_however_far_behind(in_a_large_field, fitter, gap_mm):
    where, put = in_a_large_field
    nose = ball(where, (0.0, OCCIPUT_Y_MM - gap_mm - 12.0, -45.0), 12)
    found = stray_tissue_ml(put(nose), np.eye(4), fitter.surface.head_mm)
    assert found == pytest.approx(nose.sum() * VOXEL_ML, rel=0.1)
    assert faults({"stray_tissue_ml": found})


def test_a_second_head_is_astray(average, in_a_large_field, fitter):
    where, put = in_a_large_field
    moved = interpolate(average.head.data, average.head.affine, where - [150.0, 0, 60.0], 0.0)
    found = stray_tissue_ml(put(moved > 0.15), np.eye(4), fitter.surface.head_mm)
    assert found > 500


def test_the_placement_tells_what_is_beside_the_head(in_a_large_field, fitter):
    """The same head elsewhere in its field of view: nothing is astray, unless the placement is wrong."""
    _, put = in_a_large_field
    volume = put(False)
    move = np.eye(4)
    move[:3, 3] = [0, -60, 30]
    moved = Volume(volume.data, move @ volume.affine, volume.seen)
    assert stray_tissue_ml(moved, np.linalg.inv(move), fitter.surface.head_mm) == 0
    assert stray_tissue_ml(moved, np.eye(4), fitter.surface.head_mm) > 500


def test_only_the_largest_piece_counts_so_that_noise_does_not(in_a_large_field, fitter):
    where, put = in_a_large_field
    air = where[..., 1] < OCCIPUT_Y_MM - 10
    sparks = air & (np.random.default_rng(0).random(air.shape) < 0.01)
    assert sparks.sum() * VOXEL_ML > 50
    found = stray_tissue_ml(put(sparks), np.eye(4), fitter.surface.head_mm)
    assert found < 0.1


def test_shoulders_and_neck_are_not_astray(in_a_large_field, fitter):
    where, put = in_a_large_field
    shoulders = (where[..., 2] < NECK_Z_MM) & (np.abs(where[..., 1]) < 90)
    assert stray_tissue_ml(put(shoulders), np.eye(4), fitter.surface.head_mm) == 0
