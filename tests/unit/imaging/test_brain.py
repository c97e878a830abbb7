"""The scan's own brain: found wherever the head lies, laid on the template's, doubted where it should be."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.brain import Brain, find_brain, fit_brain, grid_over_head
from bidsdeface.imaging.registration import Placement
from bidsdeface.imaging.volume import Volume, apply_affine
from bidsdeface.quality.checks import failed_checks
from bidsdeface.quality.limits import is_brain_trusted
from bidsdeface.quality.measures import measure_placement


def moved(turn_deg=(0, 0, 0), shift_mm=(0, 0, 0), about=(0, 0, 0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn_deg, degrees=True).as_matrix()
    matrix[:3, 3] = np.array(about) - matrix[:3, :3] @ about + shift_mm
    return matrix


@pytest.fixture(scope="module")
def look(templates):
    """Find the brain of a scan, on a grid laid by some placement."""

    def find(scan, to_template):
        return find_brain(scan, to_template, templates.head_template.brain_surface, templates.weights)

    return find


@pytest.fixture(scope="module")
def own(average, look):
    return look(average.head, np.eye(4))


@pytest.fixture(scope="module")
def measured(average, own):
    """Measure a placement of the template on its own head, by its brain and its outline."""

    def measure_there(to_template, brain=own):
        placement = Placement(to_template, 0.7, to_template, 0.0, -1.0)
        brain = brain and fit_brain(brain, average.brain_surface, to_template)
        return measure_placement(average.head, placement, to_template, average, brain)

    return measure_there


def overlap(one, other):
    """Return the Dice coefficient of two brains on any grids."""
    shared = (other.distance(one.places) < 0).sum() / len(one.places) * one.ml
    return 2 * shared / (one.ml + other.ml)


def test_it_is_the_brain_of_the_average_head(average, own):
    brain_mm = average.brain_mm
    voxels = apply_affine(np.linalg.inv(brain_mm.affine), own.places).round().astype(int)
    depth = brain_mm.data[tuple(voxels.T)]
    expected_ml = (brain_mm.data < 0).sum() * 0.008
    assert own.whole > 0.99 and abs(own.ml - expected_ml) < 0.05 * expected_ml
    assert (depth < 3).mean() > 0.99


def test_distances_are_those_to_its_surface(own):
    centre = own.places.mean(axis=0)
    front = centre + np.outer(np.linspace(0, 150, 301), [0, 1, 0])
    distance = own.distance(front)
    assert distance[0] < -30 and distance[-1] > 50
    out = np.flatnonzero(distance > 0)[0]
    assert np.abs(np.diff(distance)).max() < 2.5 and abs(distance[out]) < 1.2  # voxels of 1.6 mm
    assert (np.diff(distance[out + 4 :]) > 0.3).all()


@pytest.mark.parametrize(
    ("grid", "least"),
    [
        ({"shift_mm": (20, -15, 25)}, 0.95),
        ({"turn_deg": (25, 0, 0)}, 0.95),
        ({"turn_deg": (0, 15, -20)}, 0.95),
        ({"turn_deg": (180, 0, 0)}, 0.9),
    ],
)
def test_a_grid_that_is_laid_wrong_shows_the_same_brain(average, templates, look, own, grid, least):
    found = look(average.head, moved(**grid, about=templates.head_template.brain_surface.centre))
    assert overlap(own, found) > least


def test_the_first_grid_covers_the_head_wherever_it_lies(average, templates, look, own):
    for shift_mm in ((0, 0, 0), (30, -60, 150)):
        head = Volume(average.head.data, moved((0, 0, 0), shift_mm) @ average.head.affine, average.head.seen)
        found = look(head, grid_over_head(head, templates.head_template.brain_surface))
        assert overlap(own.moved(moved((0, 0, 0), shift_mm)), found) > 0.95


def test_an_empty_scan_has_no_brain(look):
    empty = np.zeros((40, 40, 40), np.float32)
    scan = Volume(empty, np.diag([4.0, 4.0, 4.0, 1.0]), np.ones_like(empty))
    assert look(scan, np.eye(4)) is None or look(scan, np.eye(4)).whole <= 1


def test_the_brain_agrees_with_the_right_placement(measured):
    found = measured(np.eye(4))
    assert is_brain_trusted(found) and found["brain_shift_mm"] < 3 and failed_checks(found) == {}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_brain_sees_a_shift_by_15_mm(measured, axis, sign):
    found = measured(moved(shift_mm=sign * 15 * np.eye(3)[axis]))
    assert 12 < found["brain_shift_mm"] < 18
    assert 12 < found["face_shift_mm"] < 18 and "face_shift_mm" in failed_checks(found)
    assert found["witness_gap_mm"] < 6


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_brain_sees_a_turn_by_15_degrees(measured, templates, axis):
    found = measured(moved(15 * np.eye(3)[axis], about=templates.head_template.brain_surface.centre))
    assert "brain_shift_mm" in failed_checks(found)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_brain_sees_half_a_turn(measured, templates, axis):
    found = measured(moved(180 * np.eye(3)[axis], about=templates.head_template.brain_surface.centre))
    assert is_brain_trusted(found) and found["brain_shift_mm"] > 60


def ball(radius_mm, centre):
    places = np.stack(np.meshgrid(*[np.arange(128)] * 3, indexing="ij"), -1) * 1.6 - 102
    inside = (np.linalg.norm(places - centre, axis=-1) < radius_mm).astype(np.float32)
    affine = np.diag([1.6, 1.6, 1.6, 1.0])
    affine[:3, 3] = -102
    return Brain(Volume(inside, affine, np.ones_like(inside)), 1.0)


def test_what_is_as_large_as_a_brain_but_round_is_not_trusted(measured, templates):
    found = measured(np.eye(4), ball(68.0, templates.head_template.brain_surface.centre))
    assert 700 < found["brain_ml"] < 2200 and not is_brain_trusted(found)


def test_a_speck_is_not_trusted_and_does_not_shrink_the_template_to_a_point(measured, templates):
    found = measured(np.eye(4), ball(4.0, templates.head_template.brain_surface.centre))
    assert not is_brain_trusted(found) and np.isfinite(found["brain_shift_mm"])
    found = measured(np.eye(4), None)
    assert found["brain_ml"] == 0.0 and "brain_shift_mm" not in found


def test_a_fit_starts_anywhere_upright(own, templates):
    right = fit_brain(own, templates.head_template.brain_surface, np.eye(4))
    for start in (moved((12, -9, 7)), moved(shift_mm=(15, -20, 18))):
        found = fit_brain(own, templates.head_template.brain_surface, start)
        there = [apply_affine(one.to_template, templates.head_template.face) for one in (right, found)]
        assert np.linalg.norm(there[0] - there[1], axis=1).max() < 1.5
