"""Whether two registrations, from two starts, mean the same mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.facemask import Guard, lattice_step, region_distance
from bidsdeface.imaging.volume import Volume, apply_affine

BRAIN_EDGE_MM = 8.0  # as far beyond the guard, what one mask leaves alone is not held against it


def mask_disagreement_mm(
    mask: NDArray[np.bool_],
    affine: NDArray,
    second: NDArray,
    regions_mm: tuple[Volume, ...],
    guard: Guard,
) -> float:
    """Return how deep a mask and the face region of a second registration lie outside of each other.

    Parameters
    ----------
    mask : numpy.ndarray, shape (X, Y, Z), bool
        As published.
    affine : numpy.ndarray, shape (4, 4)
    second : numpy.ndarray, shape (4, 4)
        Scan world to template world, from another start than the one that made the mask.
    regions_mm : tuple of Volume
        Signed distances in the template, mm.
    guard : Guard

    Returns
    -------
    float
        The larger of the two depths, mm; 0 if both are the same.
    """
    step = lattice_step(affine)
    sampled = mask[tuple(slice(None, None, s) for s in step)]
    voxels = np.stack(np.meshgrid(*map(np.arange, sampled.shape), indexing="ij"), -1) * step
    points = apply_affine(affine, voxels)
    face = region_distance(regions_mm, second, points)
    free = guard.distance(points, second) > BRAIN_EDGE_MM
    too_much = face.max(where=sampled, initial=0.0)
    too_little = -face.min(where=~sampled & free, initial=0.0)
    return float(max(too_much, too_little))
