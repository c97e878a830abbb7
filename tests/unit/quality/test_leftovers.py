"""What is left in a defaced image: nothing, or how much of it."""

import numpy as np
import pytest

from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.foldover import NECK_Z_MM, PlacedHead
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate
from bidsdeface.quality.checks import failed_checks
from bidsdeface.quality.measures import measure_defaced, stray_tissue_ml, tissue_left_ml

NOSE_MM = np.array([0.0, 102.0, -48.0])
OCCIPUT_Y_MM = -96.0


@pytest.fixture(scope="module")
def defaced(head, expected):
    mask = face_mask(head.data.shape, head.affine, np.eye(4), expected)
    return np.where(mask, 0, head.data)


@pytest.fixture(scope="module")
def left_ml(expected, with_values):
    def measure(values, second=None):
        second = np.eye(4) if second is None else second
        return tissue_left_ml(with_values(values), second, expected)

    return measure


@pytest.fixture(scope="module")
def field(head, defaced):
    """Return the defaced head with air behind and beside it to put something in, and its voxels' places."""
    before = np.array([40, 50, 0])
    data = np.pad(defaced, [(n, 0) for n in before]).astype(np.float32)
    affine = head.affine.copy()
    affine[:3, 3] -= 3.0 * before
    where = apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, data.shape), indexing="ij"), -1))

    def put(thing):
        return Volume(np.where(thing, 0.6, data).astype(np.float32), affine, np.ones_like(data))

    return where, put


@pytest.fixture(scope="module")
def stray_ml(templates):
    def measure(volume, to_template=None):
        to_template = np.eye(4) if to_template is None else to_template
        return stray_tissue_ml(volume, PlacedHead(templates.head_template.head_mm, to_template))

    return measure


def ball(points, centre, radius_mm):
    return np.linalg.norm(points - centre, axis=-1) < radius_mm


def test_of_a_whole_face_nothing_is_left_and_nothing_is_astray(templates, expected, with_values, defaced):
    head = PlacedHead(templates.head_template.head_mm, np.eye(4))
    measures = measure_defaced(with_values(defaced), head, np.eye(4), expected)
    assert measures == {"tissue_left_ml": 0.0, "stray_tissue_ml": 0.0}


def test_a_face_that_was_not_touched_is_left(head, left_ml):
    assert left_ml(head.data) > 300


@pytest.mark.parametrize("radius_mm", [7, 10, 15])
def test_a_patch_of_face_is_measured(head, points, defaced, left_ml, ml, radius_mm):
    patch = ball(points, NOSE_MM, radius_mm)
    found = left_ml(np.where(patch, head.data, defaced))
    assert found == pytest.approx(ml(patch & (head.data > 0.1)), rel=0.25)
    assert failed_checks({"tissue_left_ml": found})


def test_what_the_guard_keeps_is_not_held_against_a_result(defaced, to_brain_mm, left_ml):
    near = (to_brain_mm < 7.5) & (to_brain_mm > 0)
    assert left_ml(np.where(near, 0.8, defaced)) == 0


def test_a_second_registration_that_has_the_face_elsewhere_finds_tissue_there(defaced, left_ml):
    farther_back = np.eye(4)
    farther_back[1, 3] = 25
    found = left_ml(defaced, farther_back)
    assert found > 20 and failed_checks({"tissue_left_ml": found})


@pytest.mark.parametrize("gap_mm", [8, 15, 40, 90])
def test_a_nose_that_folded_to_the_back_is_astray_however_far_behind(field, stray_ml, ml, gap_mm):
    where, put = field
    nose = ball(where, [0, OCCIPUT_Y_MM - gap_mm - 12, -45], 12)
    found = stray_ml(put(nose))
    assert found == pytest.approx(ml(nose), rel=0.1)
    assert failed_checks({"stray_tissue_ml": found})


def test_a_second_head_is_astray(head, field, stray_ml):
    where, put = field
    beside = interpolate(head.data, head.affine, where + [180, 0, -30], 0.0) > 0.15
    assert stray_ml(put(beside)) > 500


def test_fat_of_the_nape_is_not_astray(field, stray_ml, ml):
    where, put = field
    nape = (np.abs(where - [0, -86, -59]) < [30, 11, 10]).all(axis=-1)  # as in a real head
    assert stray_ml(put(nape)) < 0.1
    detached = (np.abs(where - [0, -116, -59]) < [30, 11, 10]).all(axis=-1)
    assert stray_ml(put(detached)) == pytest.approx(ml(detached), rel=0.1)


def test_a_nose_that_touches_the_head_and_the_end_of_the_field_of_view_is_astray(head, field, stray_ml):
    where, put = field
    nose = (np.abs(where[..., [0, 2]] - [0, -45]) < 12).all(axis=-1) & (where[..., 1] < OCCIPUT_Y_MM + 10)
    volume = put(nose)
    first = int(np.argmax(where[0, :, 0, 1] > OCCIPUT_Y_MM - 15))  # the field of view ends here
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 1] * first
    cut = Volume(volume.data[:, first:], affine, volume.seen[:, first:])
    assert stray_ml(cut) > 2


@pytest.mark.parametrize("x", [-92, 92])
def test_ears_that_stand_off_are_not_astray_but_what_is_farther_beside_is(field, stray_ml, ml, x):
    where, put = field
    ear = (np.abs(where - [x, -15, -50]) < [9, 15, 15]).all(axis=-1)
    assert stray_ml(put(ear)) < 0.1
    farther = np.abs(where[..., 0]) > 120
    assert stray_ml(put(farther)) == pytest.approx(ml(farther & (where[..., 2] > NECK_Z_MM)), rel=0.1)


def test_the_same_head_elsewhere_in_the_scanner_has_nothing_astray_if_placed_right(field, stray_ml):
    _, put = field
    volume, move = put(False), np.eye(4)
    move[:3, 3] = [0, -60, 30]
    moved = Volume(volume.data, move @ volume.affine, volume.seen)
    assert stray_ml(moved, np.linalg.inv(move)) == 0
    assert stray_ml(moved) > 100


def test_only_the_largest_piece_counts_so_that_noise_does_not(field, stray_ml, ml):
    where, put = field
    air = where[..., 1] < OCCIPUT_Y_MM - 10
    sparks = air & (np.random.default_rng(0).random(air.shape) < 0.01)
    assert ml(sparks) > 50
    assert failed_checks({"stray_tissue_ml": stray_ml(put(sparks))}) == {}


def test_shoulders_are_not_astray(field, stray_ml):
    where, put = field
    assert stray_ml(put(where[..., 2] < NECK_Z_MM)) == 0
