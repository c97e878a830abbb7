"""Measures of a placement tell a right one from a wrong one, and the face has no say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.registration import Placement
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate
from bidsdeface.quality.checks import failed_checks
from bidsdeface.quality.limits import CHECKS
from bidsdeface.quality.measures import measure_placement

(SHIFT_LIMIT_MM,) = (check.most for check in CHECKS if check.measure == "outline_shift_mm")


@pytest.fixture(scope="session")
def measured(templates):
    def measure_at(to_template, scan=None):
        placement = Placement(to_template, 0.8, to_template, 0.1, 0.3)
        template = templates.head_template
        return measure_placement(scan or template.head, placement, to_template, template, None)

    return measure_at


def moved(turn_deg=(0, 0, 0), shift_mm=(0, 0, 0), scale=1.0, about=(0, 0, 0)):
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_rotvec(turn_deg, degrees=True).as_matrix()
    matrix[:3, 3] = np.array(about) - matrix[:3, :3] @ about + shift_mm
    return matrix


def each_way(size):
    return [tuple(sign * size * np.eye(3)[axis]) for axis in range(3) for sign in (-1, 1)]


def test_the_right_placement_fits(measured):
    measures = measured(np.eye(4))
    assert measures["outline_correlation"] > 0.98
    assert measures["outline_shift_mm"] < 1
    assert failed_checks(measures) == {}
    assert np.isclose(measures["scale"], 1) and np.isclose(measures["stretch"], 1)
    assert measures["similarity"] == 0.8 and measures["start_disagreement_mm"] == 0.1
    assert np.isclose(measures["lead"], 0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shift_mm": (0, 0, 40)},
        {"shift_mm": (0, -40, 0)},
        {"turn_deg": (180, 0, 0)},
        {"scale": 1.5},
        {"scale": 0.6},
    ],
)
def test_a_placement_far_off_is_a_fault(measured, wrong):
    assert failed_checks(measured(moved(**wrong)))


@pytest.mark.parametrize("shift_mm", each_way(15.0))
def test_the_heads_own_outline_sees_a_shift_by_15_mm(measured, shift_mm):
    found = measured(moved(shift_mm=shift_mm))
    assert 12 < found["outline_shift_mm"] < 18
    assert "outline_shift_mm" in failed_checks(found)


@pytest.mark.parametrize("turn_deg", each_way(15.0))
def test_the_heads_own_outline_sees_a_turn_by_15_degrees(measured, average, turn_deg):
    found = measured(moved(turn_deg, about=average.target[0].where[::40].mean(axis=0)))
    assert found["outline_shift_mm"] > 15  # the face lies at the end of a lever
    assert "outline_shift_mm" in failed_checks(found)


def test_the_outline_alone_knows_no_size(measured):
    """It moves the template as a rigid body: how large the head is, is for others to say."""
    assert measured(moved(scale=1.05))["outline_shift_mm"] < SHIFT_LIMIT_MM


def test_a_head_of_which_too_little_is_seen_has_no_outline_and_that_is_a_fault(measured, average):
    head, first = average.head, 132  # the crown
    to_crown = moved(shift_mm=(0, 0, first))
    slab = Volume(head.data[:, :, first:], head.affine @ to_crown, head.seen[:, :, first:])
    found = measured(np.eye(4), slab)
    assert found["outline_shift_mm"] == np.inf
    assert "outline_shift_mm" in failed_checks(found)


def test_scale_and_stretch_are_those_of_the_placement(measured):
    measures = measured(moved((10, 20, 30)) @ np.diag([1.2, 1.0, 0.9, 1.0]))
    assert np.isclose(measures["scale"], 1.08 ** (1 / 3)) and np.isclose(measures["stretch"], 1.2 / 0.9)


def test_a_scan_without_a_face_fits_as_well(measured, average):
    """What the face looks like is no evidence for or against a placement."""
    face = average.regions_mm["face"]
    voxels = np.stack(np.meshgrid(*map(np.arange, average.head.data.shape), indexing="ij"), -1)
    depth = interpolate(face.data, face.affine, apply_affine(average.head.affine, voxels), np.inf)
    bare = replace(average.head, data=np.where(depth < -4, 0, average.head.data).astype(np.float32))
    one, other = measured(np.eye(4)), measured(np.eye(4), bare)
    assert abs(one["outline_correlation"] - other["outline_correlation"]) < 0.01
    assert abs(one["outline_shift_mm"] - other["outline_shift_mm"]) < 1


def test_a_scan_that_misses_the_head_does_not_fit(measured):
    found = measured(moved(shift_mm=(2000, 0, 0)))
    assert found["outline_correlation"] == 0.0 and found["outline_shift_mm"] == np.inf
