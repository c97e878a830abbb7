"""The exhaustive search finds a head wherever it lies and however it is turned, within its limits."""

import itertools

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.pose import find_poses
from bidsdeface.imaging.volume import Volume, apply_affine, saturated


@pytest.fixture(scope="module")
def template(templates):
    return templates.head_template.pose


def all_poses(scan, template, count):
    upright, rivals = find_poses(scan, template, count)
    return [*upright, *itertools.chain(*rivals)]


def turned(volume, turn, shift_mm):
    """Return the head as if it lay turned about its centre and shifted in the scanner."""
    matrix = np.eye(4)
    matrix[:3, :3] = turn.as_matrix()
    matrix[:3, 3] = shift_mm
    return Volume(volume.data, matrix @ volume.affine, volume.seen), matrix


@pytest.mark.parametrize(
    ("axis", "degrees"),
    [*itertools.product("xyz", (-40, 35)), ("z", 0), ("z", 180), ("z", -155)],
)
def test_a_turned_and_shifted_head_is_found(average, template, axis, degrees):
    """Also one that faces backwards: headers can be wrong about that."""
    turn = Rotation.from_euler(axis, degrees, degrees=True)
    scan, truth = turned(average.head, turn, [60, -50, 40])
    best = max(all_poses(scan, template, 1), key=lambda pose: pose.correlation)
    off = np.degrees((best.rotation * turn).magnitude())  # its own rotation leads back
    centre = apply_affine(best.to_template, apply_affine(truth, template.centre))
    assert off < 15
    assert np.linalg.norm(centre - template.centre) < 15
    assert best.correlation > 0.8


def test_the_first_pose_is_the_best_and_all_are_apart(average, template):
    poses, _ = find_poses(average.head, template, 4)
    assert len(poses) > 1
    assert [p.correlation for p in poses] == sorted((p.correlation for p in poses), reverse=True)
    for number, pose in enumerate(poses):
        for other in poses[:number]:
            assert np.degrees((pose.rotation * other.rotation.inv()).magnitude()) > 15


def test_a_pose_is_rigid(average, template):
    for pose in all_poses(average.head, template, 1):
        matrix = pose.to_template[:3, :3]
        assert np.allclose(matrix @ matrix.T, np.eye(3)) and np.linalg.det(matrix) > 0


def test_rivals_are_turned_by_half_a_turn_and_the_right_pose_beats_them(average, template):
    (best,), rivals = find_poses(average.head, template, 1)
    assert [len(of_one_turn) for of_one_turn in rivals] == [2, 2, 2]
    for rival in itertools.chain(*rivals):
        assert np.degrees((rival.rotation * best.rotation.inv()).magnitude()) > 120
        assert rival.correlation < best.correlation


def test_too_little_of_a_head_is_no_head(average, template):
    data, affine = average.head.data[:, :, -20:], average.head.affine.copy()
    affine[2, 3] += affine[2, 2] * (average.head.data.shape[2] - 20)
    slab = Volume(data, affine, np.ones_like(data))
    assert find_poses(slab, template, 2) == ([], [])


def test_noise_correlates_less_than_any_head(template, average):
    rng = np.random.default_rng(0)
    blobs = ndimage.gaussian_filter(rng.normal(size=average.head.data.shape), 8)
    scan = Volume((blobs > 0).astype(np.float32), average.head.affine, np.ones_like(average.head.data))
    assert all(pose.correlation < 0.5 for pose in all_poses(scan, template, 2))


def test_brightness_and_contrast_do_not_matter(average):
    head = average.head
    one = saturated(head).data
    other = saturated(Volume(head.data * 0.5, head.affine, head.seen)).data
    tissue = one > 0.9
    assert tissue.mean() > 0.05 and other[tissue].mean() > 0.9
