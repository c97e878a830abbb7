"""What a result is judged by: evidence that does not come from the registration that made its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.facemask import region_distance
from bidsdeface.imaging.registration import Registration
from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    nearest,
    tissue_voxels,
    voxel_ml,
)
from bidsdeface.quality.agreement import mask_disagreement_mm
from bidsdeface.quality.brain import own_brain
from bidsdeface.quality.leftovers import stray_tissue_ml, tissue_left_ml

EMPTIED = 0.5  # so much of the face having one and the same value is the work of another defacing


@dataclass(frozen=True)
class Expected:
    """What the masks of a template are, and how far around the brain nothing is touched.

    Attributes
    ----------
    regions_mm : tuple of Volume
        Signed distances to what was to be removed, template space, mm.
    brain_mm : Volume
        The same of the brain.
    guard_mm : float
    """

    regions_mm: tuple[Volume, ...]
    brain_mm: Volume
    guard_mm: float


def measure_mask(
    coarse: Volume,
    mask: NDArray[np.bool_],
    affine: NDArray,
    registration: Registration,
    second: NDArray,
    expected: Expected,
) -> dict[str, float]:
    """Measure a mask on the scan that it is for.

    Parameters
    ----------
    coarse : Volume
        The scan, from `world_aligned` at the `SPACING_MM` of `own_brain`.
    mask : numpy.ndarray, shape (X, Y, Z), bool
        As published.
    affine : numpy.ndarray, shape (4, 4)
        Of the mask.
    registration : Registration
        The one that made it.
    second : numpy.ndarray, shape (4, 4)
        Scan world to template world, from another start.
    expected : Expected

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    brain = apply_affine(coarse.affine, np.argwhere(own_brain(coarse, registration, expected.brain_mm)))
    one_ml = voxel_ml(coarse.affine)
    return {
        "mask_disagreement_mm": mask_disagreement_mm(
            mask, affine, second, expected.regions_mm, expected.brain_mm, expected.guard_mm
        ),
        "brain_estimate_ml": len(brain) * one_ml,
        "brain_in_mask_ml": float(nearest(mask, affine, brain).sum()) * one_ml,
        "mask_ml": float(mask.sum()) * voxel_ml(affine),
    }


def measure_removed(
    coarse: Volume,
    stored: NDArray,
    mask: NDArray[np.bool_],
    affine: NDArray,
    to_head: NDArray,
    head_mm: Volume,
) -> dict[str, float]:
    """Measure what of the head a mask takes.

    Parameters
    ----------
    coarse : Volume
        The scan, from `world_aligned` at the `SPACING_MM` of `own_brain`.
    stored : numpy.ndarray, shape (X, Y, Z)
        The image's own values.
    mask : numpy.ndarray, shape (X, Y, Z), bool
    affine : numpy.ndarray, shape (4, 4)
        Of both.
    to_head : numpy.ndarray, shape (4, 4)
        Scan world to the world of `head_mm`.
    head_mm : Volume
        Distance to a template's head.

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    places = apply_affine(coarse.affine, np.argwhere(coarse.seen > 0.5))
    places = places[nearest(mask, affine, places)]
    places = places[region_distance((head_mm,), to_head, places) <= 0]
    _, counts = np.unique(nearest(stored, affine, places), return_counts=True)
    emptied = int(counts.max(initial=0)) / max(len(places), 1)
    tissue = nearest(mask, affine, apply_affine(coarse.affine, tissue_voxels(coarse)))
    found = int(tissue.sum()) / max(len(places), 1)
    return {
        "emptied_share": emptied,
        "face_found": found + (emptied if emptied >= EMPTIED else 0.0),
        "removed_share": float(tissue.mean()),
    }


def measure_defaced(
    defaced: Volume, to_head: NDArray, head_mm: Volume, second: NDArray, expected: Expected
) -> dict[str, float]:
    """Measure what is left in a defaced image.

    Parameters
    ----------
    defaced : Volume
        The written image, from `reduce_image`; not `seen` where it was defaced, so that the fill value is
        not taken for its air.
    to_head : numpy.ndarray, shape (4, 4)
        Scan world to the world of `head_mm`.
    head_mm : Volume
        Distance to a template's head.
    second : numpy.ndarray, shape (4, 4)
        Scan world to the template of `expected`, from another start than that of the mask.
    expected : Expected

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    return {
        "tissue_left_ml": tissue_left_ml(
            defaced, second, expected.regions_mm, expected.brain_mm, expected.guard_mm
        ),
        "stray_tissue_ml": stray_tissue_ml(defaced, to_head, head_mm),
    }
