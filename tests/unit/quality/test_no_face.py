"""No face, on positive evidence only: bare brains, fields of view that end before the face, nothing else."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.volume import Volume, apply_affine
from bidsdeface.quality.no_face import FACE_FREE_MM, field_ends_before_face, is_bare_brain

NOSE_MM = np.array([0.0, 100.0, -45.0])
CONTRASTS = {"T1w": lambda values: values, "turned round": lambda values: 1.2 - values}
POSES = {
    "as it is": ((0, 0, 0), (0, 0, 0)),
    "chin up": ((35, 0, 0), (0, 0, 0)),
    "off centre": ((-5, -25, 20), (60, -40, 50)),
}


@pytest.fixture(scope="module")
def bare(head, to_brain_mm):
    """Return the average brain in nothing, as programs that strip skulls leave it."""
    return np.where(to_brain_mm < 0, head.data, 0)


@pytest.fixture(scope="module")
def is_bare(templates, with_values):
    return lambda values: is_bare_brain(with_values(values), templates.head_template.brain_surface)


@pytest.mark.parametrize(
    ("pose", "contrast"),
    [("as it is", "turned round"), ("chin up", "T1w"), ("off centre", "turned round")],
)
def test_a_brain_and_nothing_else_is_a_bare_brain(templates, head, bare, pose, contrast):
    (turn_deg, shift_mm), move = POSES[pose], np.eye(4)
    move[:3, :3] = Rotation.from_rotvec(turn_deg, degrees=True).as_matrix()
    move[:3, 3] = shift_mm
    values = np.where(bare > 0, CONTRASTS[contrast](bare), 0).astype(np.float32)
    assert is_bare_brain(Volume(values, move @ head.affine, head.seen), templates.head_template.brain_surface)


def test_a_whole_head_is_none(head, is_bare):
    assert not is_bare(head.data)
    assert not is_bare(np.where(head.data > 0.1, head.data, 0))  # air that somebody made empty


def test_a_childs_head_in_nothing_is_none(templates, head):
    """Down to the mouth it is no larger than a large brain."""
    values = np.where(head.data > 0.1, head.data, 0)
    small = np.diag([0.8] * 3 + [1.0])
    assert not is_bare_brain(
        Volume(values, small @ head.affine, head.seen), templates.head_template.brain_surface
    )


def test_a_head_cut_off_at_the_chin_or_at_the_neck_is_none(head, points, is_bare):
    for above_mm in (-90, -70, -50):
        assert not is_bare(np.where((head.data > 0.1) & (points[..., 2] > above_mm), head.data, 0))


def test_a_ball_is_none(points, is_bare):
    ball = np.linalg.norm(points - [0, -10, 10], axis=-1) < 68
    assert not is_bare(np.where(ball, 0.6 + 0.1 * np.sin(points[..., 0] / 7), 0))


@pytest.mark.parametrize("where", [NOSE_MM, [32, 78, -30]], ids=["nose", "eye"])
def test_a_brain_with_a_lump_of_face_is_none(bare, points, is_bare, where):
    lump = np.linalg.norm(points - where, axis=-1) < 8
    assert not is_bare(np.where(lump & (bare == 0), 0.5, bare))


def test_a_brain_behind_the_skin_of_a_face_is_none(head, points, bare, is_bare):
    tissue = head.data > 0.1
    skin = tissue & ~ndimage.binary_erosion(tissue) & (points[..., 1] > 70) & (points[..., 2] > -60)
    assert not is_bare(np.where(skin, head.data, bare))


@pytest.mark.parametrize("level", [0.001, 0.02])
def test_a_brain_with_noise_around_it_is_none(head, bare, is_bare, level):
    """Where there is noise, there can be a face below it."""
    noise = level * np.random.default_rng(0).random(bare.shape)
    assert not is_bare(np.where(bare > 0, bare, noise))


def test_one_voxel_that_is_not_empty_is_enough(bare, is_bare):
    spoilt = bare.copy()
    spoilt[2, 70, 3] = 0.002
    assert not is_bare(spoilt)


def test_nothing_and_everything_are_none(bare, is_bare):
    assert not is_bare(np.zeros_like(bare))
    assert not is_bare(np.full_like(bare, 0.5))
    assert not is_bare(np.where(bare > 0, 0, 1))


def test_half_a_brain_is_none(bare, points, is_bare):
    assert not is_bare(np.where(points[..., 1] > 10, bare, 0))


GRID = (60, 70, 20)
SPACING = np.array([3.0, 3.0, 4.0])


def field_above(z_mm, turn_deg=(0, 0, 0)):
    """Return the affine of a field of view over the head's whole width and length, that ends at `z_mm`."""
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_rotvec(turn_deg, degrees=True).as_matrix()
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = [-90, -90, z_mm]
    return turned @ affine


@pytest.fixture(scope="module")
def lowest_mm(expected):
    """Return where the lowest field of view ends that comes no nearer to the face than the margin."""
    bottom = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij"), -1)[:, :, 0]
    for z_mm in np.arange(-50.0, 120.0):
        points = apply_affine(field_above(z_mm), bottom)
        if expected.distance(points, np.eye(4)).min() > FACE_FREE_MM:
            return z_mm
    raise AssertionError("the face has no upper end")


def ends_before_face(affine, expected, *placements):
    return field_ends_before_face(GRID, affine, placements or (np.eye(4),), expected)


def test_a_field_of_view_that_ends_above_the_brows_has_no_face(expected, lowest_mm):
    assert -10 < lowest_mm < 40
    assert ends_before_face(field_above(lowest_mm + 1), expected)


def test_a_field_of_view_that_comes_near_the_face_may_have_one(expected, lowest_mm):
    assert not ends_before_face(field_above(lowest_mm - 1), expected)
    assert not ends_before_face(field_above(-100), expected)


def test_a_corner_that_reaches_into_the_face_is_enough(expected, lowest_mm):
    assert not ends_before_face(field_above(lowest_mm + 1, turn_deg=(-12, 0, 0)), expected)


def test_one_wrong_placement_is_enough_to_prevent_it(expected, lowest_mm):
    affine = field_above(lowest_mm + 2)
    lower, higher = (np.eye(4) for _ in "12")
    lower[2, 3], higher[2, 3] = -15, 15  # where the scan comes to lie in the template
    assert ends_before_face(affine, expected, np.eye(4), higher)
    assert not ends_before_face(affine, expected, np.eye(4), lower)
    assert not ends_before_face(affine, expected, lower, np.eye(4))


def test_a_field_of_view_as_coarse_as_one_voxel_has_its_edges_looked_at(expected):
    slab = np.diag([180.0, 220.0, 60.0, 1.0])
    slab[:3, 3] = [-90, -90, 60]
    assert field_ends_before_face((2, 2, 2), slab, (np.eye(4),), expected)
    slab[2, 3] = -60
    assert not field_ends_before_face((2, 2, 2), slab, (np.eye(4),), expected)
