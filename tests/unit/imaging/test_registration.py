"""Placing: known moves of a head are found."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bidsdeface.errors import RegistrationError
from bidsdeface.imaging.registration import place, place_from, place_rigidly
from bidsdeface.imaging.volume import Volume, apply_affine


@pytest.fixture(scope="module")
def pose(templates):
    return templates.head_template.pose


@pytest.fixture(scope="module")
def placement(average, pose):
    return place(average.head, pose, average.target)


def moved(turn_deg, shift_mm):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def apart_mm(one, other, average):
    probes = average.target[0].where[::40]
    return np.linalg.norm(apply_affine(one, probes) - apply_affine(other, probes), axis=1).max()


def test_the_template_placed_on_itself_stays_where_it_is(average, placement):
    assert apart_mm(placement.to_template, np.eye(4), average) < 0.5
    assert placement.similarity > 0.95 and placement.disagreement_mm < 0.5
    assert placement.rival < 0.5


def test_a_move_of_the_head_is_found(average, pose):
    move = moved((15, -8, 20), (30, -50, 40))
    scan = Volume(average.head.data, move @ average.head.affine, average.head.seen)
    found = place(scan, pose, average.target)
    assert apart_mm(found.to_template @ move, np.eye(4), average) < 1.0


def test_what_shows_no_head_is_refused_with_a_way_out(average, pose):
    data = np.random.default_rng(0).random((20, 20, 20), np.float32)
    speck = Volume(data, np.diag([2.0, 2.0, 2.0, 1.0]), np.ones_like(data))
    with pytest.raises(RegistrationError, match="no head found in the field of view.*--mask"):
        place(speck, pose, average.target)


def test_given_starts_lead_to_the_same_place_as_a_search(average, placement):
    starts = [moved((9, -7, 8), (12, -9, 15)), moved((-8, 5, -9), (-10, 14, -8))]
    found = place_from(average.head, starts, average.target)
    assert apart_mm(found.to_template, placement.to_template, average) < 0.5
    assert found.disagreement_mm < 0.5 and found.rival == -1


def test_a_scan_is_placed_on_its_reference(average):
    move = moved((6, -4, 5), (4, -6, 3))
    other = replace(average.head, data=np.where(average.head.data > 0.1, 1.1 - average.head.data, 0))
    scan = Volume(other.data.astype(np.float32), move @ other.affine, other.seen)
    region = average.target[1].where
    rigid = place_rigidly(scan, average.head, [np.eye(4)], region)
    assert apart_mm(rigid.to_template @ move, np.eye(4), average) < 2.0
    linear = rigid.to_template[:3, :3]
    assert np.allclose(linear @ linear.T, np.eye(3), atol=1e-6)
