"""The scan's own brain: next to nothing that is none, and it is found where registration is off."""

import numpy as np
import pytest

from bidsdeface.quality.brain import own_brain
from tests.unit.imaging.test_facemask import registration


def shifted(mm):
    """Return a registration that has the brain `mm` off."""
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return registration(matrix)


@pytest.fixture(scope="module")
def phantom(head, to_brain_mm):
    """Return the average brain in a dark skull, and around that a scalp as bright as brain.

    The average head itself is too blurred for this: its brain and scalp run into each other.
    """
    scalp = np.where((head.data > 0.15) & (to_brain_mm > 8), 0.6, 0.03)
    return np.where(to_brain_mm < 0, head.data, scalp)


def test_of_the_average_head_it_is_brain_and_nothing_else(average, head, to_brain_mm, ml):
    found = own_brain(head, registration(), average.brain_mm)
    assert found.dtype == bool and found.shape == head.data.shape
    assert ml(found & (to_brain_mm > 0)) < 1
    assert ml(found) > 0.6 * ml(to_brain_mm < 0)


@pytest.mark.parametrize("off_mm", [(0, 0, 0), (0, 12, 0), (0, -12, 0), (0, 0, 12), (0, 0, -12), (12, 0, 0)])
def test_it_goes_where_intensities_lead_and_not_where_registration_says(
    average, with_values, phantom, to_brain_mm, ml, off_mm
):
    found = own_brain(with_values(phantom), shifted(off_mm), average.brain_mm)
    assert ml(found & (to_brain_mm > 1)) < 2
    assert ml(found) > 0.6 * ml(to_brain_mm < 0)


@pytest.mark.parametrize("change", [lambda v: 1.2 - v, np.square, np.sqrt], ids=["dark", "more", "less"])
def test_contrast_does_not_matter(average, with_values, phantom, to_brain_mm, ml, change):
    values = np.where(phantom < 0.1, phantom, change(phantom))
    found = own_brain(with_values(values), registration(), average.brain_mm)
    assert ml(found & (to_brain_mm > 1)) < 2
    assert ml(found) > 0.4 * ml(to_brain_mm < 0)


@pytest.mark.parametrize("radius_mm", [15, 25, 32])
def test_a_dark_lesion_is_left_out_and_nothing_else_is_taken_in(
    average, with_values, phantom, points, to_brain_mm, ml, radius_mm
):
    lesion = np.linalg.norm(points - [25, -10, 20], axis=-1) < radius_mm
    found = own_brain(with_values(np.where(lesion, 0.02, phantom)), registration(), average.brain_mm)
    assert ml(found & lesion) == 0
    assert ml(found & (to_brain_mm > 1)) < 2
    assert ml(found) > 0.5 * ml((to_brain_mm < 0) & ~lesion)


def test_a_thin_bridge_to_the_scalp_is_not_crossed(average, with_values, phantom, points, to_brain_mm, ml):
    x, _, z = np.moveaxis(points, -1, 0)
    nerve = (np.hypot(x - 20, z + 10) < 4) & (points[..., 1] > 40)
    found = own_brain(with_values(np.where(nerve, 0.6, phantom)), registration(), average.brain_mm)
    assert ml(found) > 800 and ml(found & (to_brain_mm > 12)) == 0


def test_the_brain_is_looked_for_through_the_warp(average, with_values, phantom, to_brain_mm, ml):
    """The affine has it 60 mm off, and the warp makes up for that."""
    warped = registration(shifted((0, 60, 0)).to_template, warp_mm=(0, -60, 0))
    found = own_brain(with_values(phantom), warped, average.brain_mm)
    assert ml(found & (to_brain_mm > 1)) < 2 and ml(found) > 0.6 * ml(to_brain_mm < 0)


def test_where_there_is_no_brain_none_is_found(average, with_values, phantom, to_brain_mm, ml):
    noise = np.random.default_rng(0).random(phantom.shape)
    empty = np.where(to_brain_mm < 3, 0.1 * noise, phantom)
    for values in (empty, noise, np.full(phantom.shape, 0.5)):
        assert ml(own_brain(with_values(values), registration(), average.brain_mm)) < 20


def test_a_brain_outside_of_the_field_of_view_is_not_found(average, head):
    assert not own_brain(head, shifted((0, 0, 2000)), average.brain_mm).any()
    assert not own_brain(head, shifted((0, -300, 0)), average.brain_mm).any()
