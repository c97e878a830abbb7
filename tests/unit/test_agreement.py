"""Two masks that lie k mm apart are said to be k mm apart, on any grid."""

import nibabel as nib
import numpy as np
import pytest

from benchmarks.slabs import mask_disagreement_mm
from bidsdeface.imaging.facemask import FaceRegions, face_mask
from tests.unit.imaging.test_facemask import BRAIN, CHIN, FACE, grid, on_canvas, own_brain

GUARD_MM, LATTICE_MM = 4.0, 4.0
FAR_BRAIN = on_canvas(lambda x, y, z: np.sqrt(x**2 + (y + 40) ** 2 + z**2) - 20)
GRIDS = {
    "2 mm": (2.0, 2.0, 2.0),
    "fine": (1.0, 1.0, 1.0),
    "thick slices": (1.0, 1.0, 6.5),
    "thick slices across the shift": (3.0, 6.0, 3.0),
    "coarse": (7.0, 7.0, 7.0),
}
TURNED = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.4, -0.3, 0.6), [0, 0, 0])


def shifted(mm):
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return matrix


def apart_mm(first, second, spacing=(2.0, 2.0, 2.0), turn=None, regions=(FACE,)):
    """Return how far the mask of one placement lies from that of another."""
    shape, affine = grid(80.0, spacing)
    affine = affine if turn is None else turn @ affine
    regions = FaceRegions(regions, FAR_BRAIN, GUARD_MM)
    mask = face_mask(shape, affine, first, regions)
    assert mask.any() and not mask.all()
    return mask_disagreement_mm(mask, affine, second, regions)


@pytest.mark.parametrize("spacing", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("turn", [None, TURNED], ids=["straight", "oblique"])
def test_the_same_mask_does_not_disagree(spacing, turn):
    assert apart_mm(np.eye(4), np.eye(4), spacing, turn) < 1


@pytest.mark.parametrize("spacing", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("turn", [None, TURNED], ids=["straight", "oblique"])
@pytest.mark.parametrize("mm", [-15, -6, 6, 15])
def test_a_mask_that_is_shifted_disagrees_by_that(spacing, turn, mm):
    found = apart_mm(shifted([0, mm, 0]), np.eye(4), spacing, turn)
    # The deepest voxel that is looked at lies up to a step before the surface.
    assert abs(mm) - max(LATTICE_MM, *spacing) <= found <= abs(mm) + 0.1


def test_either_way_and_whichever_is_the_larger_one(average):
    regions = FaceRegions((average.regions_mm["face"],), average.brain_mm, GUARD_MM)
    shape, affine = (90, 110, 110), np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [-90, -100, -140]
    for shift in ([0, 9, 0], [0, -9, 0], [0, 0, 9], [0, 0, -9]):
        mask = face_mask(shape, affine, shifted(shift), regions)
        found = mask_disagreement_mm(mask, affine, np.eye(4), regions)
        assert 6 < found < 9.1, shift


def test_a_missing_and_an_invented_region_are_seen():
    """The mask of a placement that knows of no chin, and one that takes all for the chin."""
    shape, affine = grid(80.0, (4.0, 4.0, 4.0))
    args = (affine, np.eye(4), FaceRegions((CHIN,), BRAIN, GUARD_MM))
    assert mask_disagreement_mm(np.zeros(shape, bool), *args) > 15
    assert mask_disagreement_mm(np.ones(shape, bool), *args) > 80


def test_what_the_brain_guard_keeps_is_not_held_against_a_mask():
    """The guard follows the scan's own brain, wherever a registration has the face."""
    shape, affine = grid(80.0, (2.0, 2.0, 2.0))
    regions = FaceRegions((FACE,), BRAIN, GUARD_MM, own_brain(centre=(0, 5, 0)))
    mask = face_mask(shape, affine, np.eye(4), regions)
    assert mask_disagreement_mm(mask, affine, np.eye(4), regions) < 1


def test_a_larger_template_has_its_distances_in_mm_of_the_scan():
    twice = np.diag([2.0, 2.0, 2.0, 1.0])  # scan to a template that is twice as large
    found = apart_mm(shifted([0, 30, 0]) @ twice, twice)
    assert 15 - LATTICE_MM <= found <= 15.1
