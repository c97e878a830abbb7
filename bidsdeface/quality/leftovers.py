"""What is left in the defaced image: none of the face, and no face that folded over to somewhere else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.facemask import Guard, region_distance
from bidsdeface.imaging.foldover import at_end, far_ends, in_air
from bidsdeface.imaging.volume import Volume, apply_affine, tissue_voxels, voxel_ml

EDGE_MM = 4.0  # nearer to the edge of the face region than that, two good registrations may differ
BRAIN_EDGE_MM = 4.0  # and so far beyond the guard
GROWN_MM = 20.0  # no farther than that do ears and fat stand off the template's head


def tissue_left_ml(
    defaced: Volume,
    second: NDArray,
    regions_mm: tuple[Volume, ...],
    guard: Guard,
) -> float:
    """Return how much tissue is left where a second registration has the face.

    Parameters
    ----------
    defaced : Volume
        The written image, from `reduce_image`.
    second : numpy.ndarray, shape (4, 4)
        Scan world to template world, from another start than the one that made the mask.
    regions_mm : tuple of Volume
        Signed distances in the template, mm.
    guard : Guard
    """
    points = apply_affine(defaced.affine, tissue_voxels(defaced))
    points = points[region_distance(regions_mm, second, points) < -EDGE_MM]
    left = guard.distance(points, second) > BRAIN_EDGE_MM
    return float(left.sum()) * voxel_ml(defaced.affine)


def stray_tissue_ml(defaced: Volume, to_template: NDArray, head_mm: Volume) -> float:
    """Return the largest piece of tissue in the air around the head that is no part of it.

    A nose that the field of view cuts off appears at the other end of it, behind the head. What touches the
    head, does not touch such an end and stands off by less than `GROWN_MM` is part of the head: ears, a broad
    jaw, fat of the nape.

    Parameters
    ----------
    defaced : Volume
        The written image, from `reduce_image`.
    to_template : numpy.ndarray, shape (4, 4)
    head_mm : Volume
        Distance to the template's head.
    """
    voxels, shape = tissue_voxels(defaced), defaced.data.shape
    strays = in_air(defaced, voxels, to_template, head_mm)
    stray, head = np.zeros(shape, bool), np.zeros(shape, bool)
    stray[tuple(voxels[strays].T)] = True
    head[tuple(voxels[~strays].T)] = True
    pieces, _ = ndimage.label(stray)
    sizes = np.bincount(pieces.ravel())
    grown = set(pieces[ndimage.binary_dilation(head)])
    far = in_air(defaced, voxels, to_template, head_mm, GROWN_MM)
    grown -= set(pieces[tuple(voxels[far].T)])
    for axis, is_last in far_ends(shape, to_template @ defaced.affine):
        grown -= set(pieces[tuple(voxels[at_end(voxels, shape[axis], axis, is_last)].T)])
    sizes[[0, *grown]] = 0
    return float(sizes.max()) * voxel_ml(defaced.affine)
