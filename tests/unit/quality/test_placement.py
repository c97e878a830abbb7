"""Measures of a placement tell a right one from a wrong one, and the face has no say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.registration import Placement
from bidsdeface.imaging.volume import apply_affine, interpolate
from bidsdeface.quality.measures import measure_placement
from bidsdeface.quality.verdict import placement_faults
from bidsdeface.templates.source import whole_head
from bidsdeface.templates.template import pose_template


@pytest.fixture(scope="module")
def average():
    return whole_head()


@pytest.fixture(scope="module")
def measure(average):
    pose = pose_template(average)

    def measured(to_template, scan=average.head):
        placement = Placement(to_template, 0.8, 0.1, 0.3)
        return measure_placement(scan, placement, to_template, pose, average.regions_mm["face"])

    return measured


def moved(turn_deg=(0, 0, 0), shift_mm=(0, 0, 0), scale=1.0):
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def test_the_right_placement_fits(measure):
    measures = measure(np.eye(4))
    assert measures.outline_correlation > 0.98
    assert placement_faults(measures) == []
    assert np.isclose(measures.scale, 1) and np.isclose(measures.stretch, 1)
    assert (measures.similarity, measures.rival_similarity, measures.start_disagreement_mm) == (0.8, 0.3, 0.1)


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
def test_a_placement_far_off_is_a_fault(measure, wrong):
    assert placement_faults(measure(moved(**wrong)))


def test_scale_and_stretch_are_those_of_the_placement(measure):
    matrix = moved((10, 20, 30)) @ np.diag([1.2, 1.0, 0.9, 1.0])
    measures = measure(matrix)
    assert np.isclose(measures.scale, 1.08 ** (1 / 3)) and np.isclose(measures.stretch, 1.2 / 0.9)


def test_a_scan_without_a_face_fits_as_well(measure, average):
    """What the face looks like is no evidence for or against a placement."""
    face = average.regions_mm["face"]
    voxels = np.stack(np.meshgrid(*map(np.arange, average.head.data.shape), indexing="ij"), -1)
    depth = interpolate(face.data, face.affine, apply_affine(average.head.affine, voxels), np.inf)
    bare = replace(average.head, data=np.where(depth < -4, 0, average.head.data).astype(np.float32))
    one, other = measure(np.eye(4)), measure(np.eye(4), bare)
    assert abs(one.outline_correlation - other.outline_correlation) < 0.01


def test_a_scan_that_misses_the_head_does_not_fit(measure):
    assert measure(moved(shift_mm=(2000, 0, 0))).outline_correlation == 0.0
