"""Synthetic people: always the same by seed, different all over, never folded; rescans keep who they are."""

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.imaging.image import canonical, read_image
from bidsdeface.reidentify.people import LATTICE_MM, Person, at_mm, make_person, rescan, scan
from tests.conftest import as_image
from tests.heads import find_head


@pytest.fixture(scope="module")
def head():
    """A ball with a pattern inside, so that every place of it can be told from the others."""
    at = np.moveaxis(np.indices((60, 66, 62)), 0, -1) * 3.0
    away = np.linalg.norm(at - at[-1, -1, -1] / 2, axis=-1) - 75
    pattern = 700 + 200 * np.sin(at / 12).prod(axis=-1)
    affine = nib.affines.from_matvec(np.diag([3, 3, 3]), [-90, -100, -95])
    return as_image((pattern / (1 + np.exp(away / 2))).astype(np.float32), affine)


def jacobian(bend_mm):
    """Return the determinant at each node of what a bend does to volumes."""
    slope = np.stack([np.stack(np.gradient(b, LATTICE_MM), axis=-1) for b in bend_mm], axis=-2)
    return np.linalg.det(slope + np.eye(3))


def likeness(one, other):
    return np.corrcoef(one.stored[::2, ::2, ::2].ravel(), other.stored[::2, ::2, ::2].ravel())[0, 1]


def test_the_same_seed_is_the_same_person_and_the_same_scan(head):
    first, again = make_person(head, 3), make_person(head, 3)
    assert np.array_equal(first.bend_mm, again.bend_mm)
    assert np.array_equal(scan(first, 5).stored, scan(again, 5).stored)


@pytest.fixture(scope="module")
def bends(head):
    return np.array([make_person(head, seed).bend_mm for seed in range(6)])


def test_nobody_is_folded_and_volumes_stay_within_what_heads_have(bends):
    for bend in bends:
        determinant = jacobian(bend)
        assert determinant.min() > 0.15
        assert 0.7 < determinant.mean() < 1.4


def test_siblings_differ_from_each_other_all_over(bends):
    apart = np.linalg.norm(bends.std(axis=0), axis=0)  # mm, at each node
    x, y, z = np.array(apart.shape) // 2
    parts = {
        "face": apart[:, y + 5 :, :z],
        "cranium": apart[:, :, z + 5 :],
        "left ear": apart[: x - 10, y, z],
        "right ear": apart[x + 10 :, y, z],
        "jaw and neck": apart[:, :, : z - 8],
        "back": apart[:, : y - 8],
    }
    assert {name for name, part in parts.items() if part.mean() < 2.5} == set()


def test_people_are_mostly_symmetric(bends):
    mirrored = bends[:, :, ::-1] * np.array([-1, 1, 1])[:, None, None, None]
    assert ((bends + mirrored) ** 2).sum() > 5 * ((bends - mirrored) ** 2).sum()


@pytest.mark.parametrize("seed", range(3))
def test_a_rescan_is_nearer_to_its_head_than_a_sibling_in_the_same_session(head, seed):
    assert likeness(head, rescan(head, seed)) > likeness(head, scan(make_person(head, seed), seed)) + 0.01


def test_rescans_of_one_person_differ_in_place_and_noise(head):
    first, second = rescan(head, 1), rescan(head, 2)
    assert not np.array_equal(first.stored, second.stored)
    assert likeness(first, second) < 0.99


def test_a_scan_has_the_grid_of_its_base_head_in_canonical_order(head):
    turned = nib.Nifti1Image(head.stored, head.affine).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    stored, affine = np.asanyarray(turned.dataobj), turned.affine
    scanned = rescan(as_image(stored, affine), 1)
    assert np.allclose(scanned.affine, canonical(stored, affine)[1])
    assert np.allclose(scanned.stored, rescan(head, 1).stored, atol=1)


def test_a_neck_that_was_cut_off_is_cut_by_the_field_of_view_again_and_not_by_a_bent_one():
    column = np.zeros((40, 40, 40), np.float32)
    column[10:30, 10:30] = 800
    person = make_person(as_image(column, np.diag([4.0, 4.0, 4.0, 1.0])), 2)
    assert (scan(person, 1).stored[18:22, 18:22, 0] > 400).all()


def test_series_and_scaled_integers_are_taken_as_what_they_stand_for(head):
    stored = np.round(head.stored).astype(np.int16)[..., None].repeat(2, axis=-1)
    scaled = as_image(stored, head.affine, slope=0.5, inter=0)
    assert np.allclose(rescan(scaled, 1).stored * 2, rescan(head, 1).stored, atol=3)


@pytest.mark.heads
def test_a_person_from_a_real_head_still_has_a_brain_and_air_around_it():
    image = read_image(find_head("S04"))
    made = scan(make_person(image, 0), 0)
    assert made.stored.shape == canonical(image.stored, image.affine)[0].shape
    assert np.median(made.stored[:, -4:]) < 0.1 * np.percentile(made.stored, 95)


def test_no_bend_at_all_is_the_head_itself(head):
    still = Person(head, np.zeros_like(make_person(head, 0).bend_mm))
    assert likeness(scan(still, 4), rescan(head, 4)) == pytest.approx(1)


def test_fine_voxels_are_taken_together_and_others_stay_as_they_are(head):
    halved = as_image(head.stored, head.affine @ np.diag([1 / 6, 1 / 6, 1 / 3, 1]))  # 0.5 x 0.5 x 1 mm
    taken = at_mm(halved, 1.0)
    assert taken.stored.shape == (30, 33, 62)
    assert np.allclose(np.linalg.norm(taken.affine[:3, :3], axis=0), 1)
    assert taken.stored[3, 4, 5] == pytest.approx(head.stored[6:8, 8:10, 5].mean(), rel=1e-5)
    assert np.array_equal(rescan(at_mm(head, 1.0), 4).stored, rescan(head, 4).stored)
    several = as_image(np.stack([head.stored, 2 * head.stored], axis=-1), head.affine)
    assert np.array_equal(at_mm(several, 1.0).stored, head.stored)
