"""The mask: face by the affine, guard by the scan's own brain, guard over face, and no edge to the region."""

from dataclasses import replace

import numpy as np
import pytest
from nibabel.affines import from_matvec
from scipy import ndimage

from bidsdeface.imaging.brain import Brain
from bidsdeface.imaging.facemask import CAP_MM, MORE_MARGIN_MM, FaceRegions, face_mask
from bidsdeface.imaging.volume import Volume, apply_affine
from tests.unit.imaging.test_volume import ALL_ORIENTATIONS

BRAIN_MM = 40.0  # radius of a brain around the origin
FACE_FRONT_MM = 30.0  # the face is all that lies in front of this
CANVAS_MM = 100.0  # the template knows nothing beyond


def on_canvas(distance):
    """Return a signed distance on the template's canvas, 4 mm apart."""
    axis = np.arange(-CANVAS_MM, CANVAS_MM + 1, 4.0)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -CANVAS_MM
    data = distance(x, y, z).astype(np.float32)
    return Volume(data, affine, np.ones_like(data))


BRAIN = on_canvas(lambda x, y, z: np.sqrt(x**2 + y**2 + z**2) - BRAIN_MM)
FACE = on_canvas(lambda x, y, z: FACE_FRONT_MM - y)
CHIN = on_canvas(lambda x, y, z: np.maximum(FACE_FRONT_MM - y, z + 60))  # bounded above as well


def translation(*mm):
    return from_matvec(np.eye(3), mm)


def own_brain(radius_mm=BRAIN_MM, centre=(0.0, 0.0, 0.0)):
    """Return a scan's own brain, a ball, as the network would have it."""
    shape, affine = grid(70.0, (1.6, 1.6, 1.6))
    ball = np.linalg.norm(world(shape, affine) - centre, axis=-1) < radius_mm
    return Brain(Volume(ball.astype(np.float32), affine, np.ones(shape, np.float32)), 1.0)


def grid(half_mm=80.0, spacing=(2.0, 2.0, 2.0)):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -half_mm
    return tuple(int(2 * half_mm / s) + 1 for s in spacing), affine


def world(shape, affine):
    return apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))


def half_voxel(affine):
    return np.cbrt(np.prod(np.linalg.norm(affine[:3, :3], axis=0))) / 2


def mask_of(shape, affine, to_template=None, regions=(FACE,), guard_mm=4.0, own=None):
    """Return a face mask whose voxels' centres keep `guard_mm` from the brain."""
    margin_mm = guard_mm - half_voxel(affine)
    regions = FaceRegions(regions, BRAIN, margin_mm if own else margin_mm - MORE_MARGIN_MM, own)
    return face_mask(shape, affine, np.eye(4) if to_template is None else to_template, regions)


@pytest.mark.parametrize("guard_mm", [0.0, 4.0, 10.0])
def test_the_guard_is_kept_and_the_rest_of_the_face_is_masked(guard_mm):
    shape, affine = grid()
    mask = mask_of(shape, affine, guard_mm=guard_mm)
    points = world(shape, affine)
    from_brain = np.linalg.norm(points, axis=-1) - BRAIN_MM
    slack = 0.3  # the sphere between lattice points
    assert from_brain[mask].min() > guard_mm - slack
    surely = (points[..., 1] > FACE_FRONT_MM + slack) & (from_brain > guard_mm + slack)
    assert mask[surely].all()
    assert not mask[points[..., 1] < FACE_FRONT_MM - slack].any()


def test_the_mask_goes_on_past_the_edge_of_the_template():
    shape, affine = grid(half_mm=200.0, spacing=(5.0, 5.0, 5.0))
    points = world(shape, affine)
    face = mask_of(shape, affine)
    beyond = np.abs(points).max(axis=-1) > CANVAS_MM + 5
    assert beyond.mean() > 0.8
    assert np.array_equal(face[beyond], points[..., 1][beyond] > FACE_FRONT_MM)
    chin = mask_of(shape, affine, regions=(CHIN,))
    assert chin[(points[..., 2] < -150) & (points[..., 1] > 35)].all()
    assert not chin[points[..., 2] > -50].any()


def test_the_guard_follows_the_scans_own_brain_and_keeps_the_templates_too():
    shape, affine = grid()
    mask = mask_of(shape, affine, guard_mm=3.0, own=own_brain(centre=(0, 5, 6)))  # forward and up
    points = world(shape, affine)
    from_own = np.linalg.norm(points - [0, 5, 6], axis=-1) - BRAIN_MM
    from_template = np.linalg.norm(points, axis=-1) - BRAIN_MM
    slack = 1.2  # voxels of 1.6 mm, and the lattice
    assert from_own[mask].min() > 3 - slack and from_template[mask].min() > -0.3
    free = (from_own > 3 + slack) & (from_template > slack) & (points[..., 1] > FACE_FRONT_MM + 0.3)
    assert mask[free].all()


def test_a_network_that_goes_astray_spares_no_face():
    """What it takes for brain reaches far into the face; the guard ends 10 mm from the template's brain."""
    shape, affine = grid()
    points = world(shape, affine)
    beyond = np.linalg.norm(points, axis=-1) > BRAIN_MM + CAP_MM + 0.5
    astray = mask_of(shape, affine, guard_mm=3.0, own=own_brain(66.0))
    assert astray[beyond & (points[..., 1] > FACE_FRONT_MM + 0.3)].all()
    assert not astray[~beyond & (np.linalg.norm(points, axis=-1) < BRAIN_MM + CAP_MM - 0.5)].any()


def test_the_guard_goes_with_a_brain_that_lies_off_the_templates():
    """The template lies 14 mm too far back; the brain's own surface says where its brain belongs."""
    shape, affine = grid()
    own = replace(own_brain(centre=(0, 14, 0)), to_template=translation(0, -14, 0))
    mask = mask_of(shape, affine, guard_mm=3.0, own=own)
    from_own = np.linalg.norm(world(shape, affine) - [0, 14, 0], axis=-1) - BRAIN_MM
    assert from_own[mask].min() > 3 - 1.2


def test_a_brain_that_is_moved_takes_its_place_along():
    to_world = translation(3, -20, 7)
    moved = replace(own_brain(), to_template=translation(1, 2, 3)).moved(to_world)
    assert np.allclose(moved.to_template @ to_world, translation(1, 2, 3))


def test_where_there_is_no_brain_of_its_own_the_templates_has_a_wider_margin():
    shape, affine = grid()
    mask = face_mask(shape, affine, np.eye(4), FaceRegions((FACE,), BRAIN, 3.0))
    from_brain = np.linalg.norm(world(shape, affine), axis=-1) - BRAIN_MM
    assert 3.7 < from_brain[mask].min() < 6


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (4.0, 4.0, 4.0)])
def test_no_part_of_a_removed_voxel_lies_within_the_margin(spacing):
    """The margin is kept by whole voxels: a centre that is just outside of it has half a voxel inside."""
    shape, affine = grid(60.0, spacing)
    mask = face_mask(shape, affine, np.eye(4), FaceRegions((FACE,), BRAIN, 3.0 - MORE_MARGIN_MM))
    from_brain = np.linalg.norm(world(shape, affine), axis=-1) - BRAIN_MM
    assert from_brain[mask].min() > 3.0 + half_voxel(affine) - 0.3


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.0, 6.5), (3.0, 2.0, 4.0), (9.0, 9.0, 9.0)])
def test_voxels_of_any_size_give_the_same_region(spacing):
    shape, affine = grid(60.0, spacing)
    mask, points = mask_of(shape, affine), world(shape, affine)
    from_brain = np.linalg.norm(points, axis=-1) - BRAIN_MM
    slack = 0.3 if max(spacing) < 5 else 1.0
    sure = (np.abs(points[..., 1] - FACE_FRONT_MM) > slack) & (np.abs(from_brain - 4) > slack)
    expected = (points[..., 1] > FACE_FRONT_MM) & (from_brain > 4)
    assert sure.mean() > 0.5 and np.array_equal(mask[sure], expected[sure])


def test_all_48_orientations_give_the_same_mask():
    import nibabel as nib

    shape, affine = grid(60.0, (3.0, 2.0, 4.0))
    expected = mask_of(shape, affine)
    for orientation in ALL_ORIENTATIONS:
        there = nib.Nifti1Image(np.zeros(shape, np.uint8), affine).as_reoriented(orientation)
        mask = mask_of(there.shape, there.affine)
        back = nib.apply_orientation(mask, nib.io_orientation(there.affine))
        assert (back != expected).mean() < 0.003  # lattice points fall differently


def test_a_bigger_template_has_its_distances_scaled_to_the_scan():
    shape, affine = grid()
    twice = np.diag([2.0, 2.0, 2.0, 1.0])  # the template's head is twice as large
    mask = mask_of(shape, affine, twice)
    from_brain = np.linalg.norm(world(shape, affine), axis=-1) - BRAIN_MM / 2
    assert 3.7 < from_brain[mask].min() < 5.5


def test_several_regions_are_joined():
    behind = on_canvas(lambda x, y, z: y + 60)
    shape, affine = grid()
    both = mask_of(shape, affine, regions=(FACE, behind))
    one, other = (mask_of(shape, affine, regions=(region,)) for region in (FACE, behind))
    assert (both != (one | other)).mean() < 0.005  # fields are joined before interpolation


def test_a_mask_is_stored_as_nifti_stores_it_and_is_in_one_piece():
    mask = mask_of(*grid())
    assert mask.dtype == bool and mask.flags.f_contiguous
    assert ndimage.label(mask)[1] == 1


def test_no_face_in_the_field_of_view_is_an_empty_mask():
    shape, affine = grid(20.0)
    assert not mask_of(shape, affine).any()
