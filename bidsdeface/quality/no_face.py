"""Positive evidence that there is no face: a bare brain, or a field of view that ends before the face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.affine import Surface
from bidsdeface.imaging.brain import Brain, fit_brain
from bidsdeface.imaging.facemask import LATTICE_MM, region_distance
from bidsdeface.imaging.volume import Volume, apply_affine, voxel_ml
from bidsdeface.quality.checks import is_brain_trusted
from bidsdeface.quality.placement import brain_measures

CLEAR_MM = 10.0  # a field of view that ends so far from the face region has no face by any registration
NOT_EMPTY = 0.025  # of an image's brightness
EDGE_VOXELS = 2  # beyond that from a bare brain, everything is exactly empty
BEYOND_MM, MAX_BEYOND_ML = (
    8.0,
    0.5,
)  # outside of the template's brain; bare brains 0, intact heads 16 and more


def is_bare_brain(scan: Volume, template: Surface) -> bool:
    """Return True if what is not empty in an image is a brain by the rule that brains are trusted by.

    All around it is exactly empty, and no more than `MAX_BEYOND_ML` lies farther than `BEYOND_MM` from the
    template's brain.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    template : Surface
        Of the template's brain.
    """
    shown = scan.data > NOT_EMPTY
    around = scan.data[~ndimage.binary_dilation(shown, iterations=EDGE_VOXELS)]
    pieces, count = ndimage.label(shown)
    if not count or around.size == 0 or around.any():
        return False
    whole = np.bincount(pieces.ravel())[1:].max() / shown.sum()
    inside = Volume(ndimage.binary_fill_holes(shown).astype(np.float32), scan.affine, scan.seen)
    brain = Brain(inside, float(whole))
    registered = fit_brain(brain, template, brain.centred_on(template))
    away = template.distance_at(apply_affine(registered.to_template, brain.places))
    beyond_ml = float((away > BEYOND_MM).sum()) * voxel_ml(scan.affine)
    return is_brain_trusted(brain_measures(brain, registered)) and beyond_ml <= MAX_BEYOND_ML


def field_ends_before_face(
    shape: tuple[int, int, int],
    affine: NDArray,
    placements: Sequence[NDArray],
    regions_mm: tuple[Volume, ...],
) -> bool:
    """Tell whether no voxel of an image comes near the face, whichever placement is asked.

    Parameters
    ----------
    shape : tuple of int
    affine : numpy.ndarray, shape (4, 4)
        Of the image.
    placements : sequence of numpy.ndarray, shape (4, 4)
        Scan world to template world, each from another start.
    regions_mm : tuple of Volume
        Signed distances in the template, mm.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    counts = np.maximum(np.ceil(np.array(shape) * spacing / LATTICE_MM), 2).astype(int)
    axes = [np.linspace(0, n - 1, k) for n, k in zip(shape, counts, strict=True)]
    points = apply_affine(affine, np.stack(np.meshgrid(*axes, indexing="ij"), -1))
    return all(region_distance(regions_mm, placed, points).min() > CLEAR_MM for placed in placements)
