"""Placing and warping: known moves of a head are found, with the right sign, and nothing is left behind."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bidsdeface.errors import RegistrationError
from bidsdeface.imaging.registration import Registration, place, place_rigidly, through, warp_brain
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate


@pytest.fixture(scope="module")
def pose(fitter):
    return fitter.pose


@pytest.fixture(scope="module")
def placement(average, pose):
    return place(average.head, pose, average.landscape)


def world(volume):
    voxels = np.stack(np.meshgrid(*map(np.arange, volume.data.shape), indexing="ij"), -1)
    return apply_affine(volume.affine, voxels)


def weight_around(centre, points, width_mm=50.0):
    return np.exp(-((points - centre) ** 2).sum(axis=-1) / (2 * width_mm**2))


def deformed(head, centre, shift_mm):
    """Return a head whose inside is shifted smoothly around a centre, and nowhere else."""
    points = world(head)
    weight = weight_around(centre, points)
    data = interpolate(head.data, head.affine, points - weight[..., None] * shift_mm, 0.0)
    return replace(head, data=data.astype(np.float32))


def moved(turn_deg, shift_mm):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def apart_mm(one, other, average):
    probes = average.landscape.probes
    return np.linalg.norm(apply_affine(one, probes) - apply_affine(other, probes), axis=1).max()


def test_the_template_placed_on_itself_stays_where_it_is(average, placement):
    assert apart_mm(placement.to_template, np.eye(4), average) < 0.5
    assert placement.similarity > 0.95 and placement.disagreement_mm < 0.5
    assert placement.rival < 0.5


def test_a_move_of_the_head_is_found(average, pose):
    move = moved((15, -8, 20), (30, -50, 40))
    scan = Volume(average.head.data, move @ average.head.affine, average.head.seen)
    found = place(scan, pose, average.landscape)
    assert apart_mm(found.to_template @ move, np.eye(4), average) < 1.0


def test_what_shows_no_head_is_refused_with_a_way_out(average, pose):
    data = np.random.default_rng(0).random((20, 20, 20), np.float32)
    speck = Volume(data, np.diag([2.0, 2.0, 2.0, 1.0]), np.ones_like(data))
    with pytest.raises(RegistrationError, match="no head found in the field of view.*--mask"):
        place(speck, pose, average.landscape)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shifted_brain_is_followed_along_each_axis(average, placement, tmp_path, axis):
    """ITK's world is LPS: a wrong sign would show here."""
    brain = average.brain_mm
    points = apply_affine(brain.affine, np.argwhere(np.abs(brain.data) < 2))  # its surface
    centre, shift_mm = points.mean(axis=0), 8.0 * np.eye(3)[axis]
    scan = deformed(average.head, centre, shift_mm)
    warped = warp_brain(scan, placement, average.landscape, brain, tmp_path)
    back = apply_affine(np.linalg.inv(warped.to_template), warped.warped_to_template(points)) - points
    expected = -weight_around(centre, points)[:, None] * shift_mm
    followed = (back * expected).sum() / (expected**2).sum()
    print(f"axis {axis}: {followed:.2f} of the shift is followed")
    assert 0.1 < followed < 1.2  # two coarse levels against a blurred average do not follow all of it
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_warped_where_nothing_is_shifted(average, placement, tmp_path):
    warped = warp_brain(average.head, placement, average.landscape, average.brain_mm, tmp_path)
    assert np.abs(warped.warp_mm).max() < 2.5 and np.abs(warped.warp_mm).mean() < 0.1  # voxels of 4 mm


def test_two_warps_of_the_same_head_are_the_same_to_the_last_bit(average, placement, tmp_path):
    one, other = (
        warp_brain(average.head, placement, average.landscape, average.brain_mm, tmp_path) for _ in "12"
    )
    assert one.warp_mm.tobytes() == other.warp_mm.tobytes()


def test_a_brain_outside_of_the_field_of_view_is_refused(average, placement, tmp_path):
    head = average.head
    planes = head.data.shape[2] // 3
    neck = Volume(head.data[:, :, :planes], head.affine, head.seen[:, :, :planes])
    with pytest.raises(RegistrationError, match="brain lies outside the field of view"):
        warp_brain(neck, placement, average.landscape, average.brain_mm, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_scan_is_placed_on_its_reference_and_carried_through_it(average, placement):
    move = moved((6, -4, 5), (4, -6, 3))
    other = replace(average.head, data=np.where(average.head.data > 0.1, 1.1 - average.head.data, 0))
    scan = Volume(other.data.astype(np.float32), move @ other.affine, other.seen)
    region = average.landscape.stages[1].where
    rigid = place_rigidly(scan, average.head, [np.eye(4)], region)
    assert apart_mm(rigid.to_template @ move, np.eye(4), average) < 2.0
    linear = rigid.to_template[:3, :3]
    assert np.allclose(linear @ linear.T, np.eye(3), atol=1e-6)
    reference = Registration(placement, np.zeros((2, 2, 2, 3), np.float32), np.eye(4), np.eye(4))
    carried = through(reference, rigid)
    assert np.allclose(carried.to_template, placement.to_template @ rigid.to_template)
    assert carried.placement.similarity == rigid.similarity
