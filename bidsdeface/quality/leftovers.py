"""What is left in the defaced image: none of the face, and no face that folded over to somewhere else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.facemask import region_distance
from bidsdeface.imaging.foldover import in_air
from bidsdeface.imaging.volume import Volume, apply_affine, tissue_voxels, voxel_ml

EDGE_MM = 4.0  # nearer to the edge of the face region than that, two good registrations may differ
BRAIN_EDGE_MM = 4.0  # and so far beyond the guard
BESIDE_MM, EARS_Y_MM, EARS_TOP_Z_MM = 60.0, (-45.0, 25.0), -20.0  # there, in the template, are ears
EARS_REACH_MM = 20.0  # and so far they stand off the average's head


def tissue_left_ml(
    defaced: Volume,
    second: NDArray,
    regions_mm: tuple[Volume, ...],
    brain_mm: Volume,
    guard_mm: float,
) -> float:
    """Return how much tissue is left where a second registration has the face.

    Parameters
    ----------
    defaced : Volume
        The written image, from `reduce_image`.
    second : numpy.ndarray, shape (4, 4)
        Scan world to template world, from another start than the one that made the mask.
    regions_mm, brain_mm : tuple of Volume, Volume
        Signed distances in the template, mm.
    guard_mm : float
    """
    points = apply_affine(defaced.affine, tissue_voxels(defaced))
    points = points[region_distance(regions_mm, second, points) < -EDGE_MM]
    left = region_distance((brain_mm,), second, points) > guard_mm + BRAIN_EDGE_MM
    return float(left.sum()) * voxel_ml(defaced.affine)


def stray_tissue_ml(defaced: Volume, to_template: NDArray, head_mm: Volume) -> float:
    """Return the largest piece of tissue in the air around the head.

    A nose that the field of view cuts off appears at the other end of it, behind the head. Beside it are
    ears, and the jaws of a broad head.

    Parameters
    ----------
    defaced : Volume
        The written image, from `reduce_image`.
    to_template : numpy.ndarray, shape (4, 4)
    head_mm : Volume
        Distance to the template's head.
    """
    voxels = tissue_voxels(defaced)
    voxels = voxels[in_air(defaced, voxels, to_template, head_mm)]
    stray = np.zeros(defaced.data.shape, bool)
    ears = _beside_head(apply_affine(to_template, apply_affine(defaced.affine, voxels)))
    ears &= ~in_air(defaced, voxels, to_template, head_mm, EARS_REACH_MM)
    stray[tuple(voxels[~ears].T)] = True
    pieces, _ = ndimage.label(stray)
    return float(np.bincount(pieces.ravel())[1:].max(initial=0)) * voxel_ml(defaced.affine)


def _beside_head(points: NDArray) -> NDArray[np.bool_]:
    """Tell which points of the template's world, shape (N, 3), lie where ears may stand off."""
    x, y, z = points.T
    return (np.abs(x) > BESIDE_MM) & (EARS_Y_MM[0] < y) & (y < EARS_Y_MM[1]) & (z < EARS_TOP_Z_MM)
