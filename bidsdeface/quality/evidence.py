"""What a result is judged by: evidence that does not come from the registration that made its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.brain import Brain
from bidsdeface.imaging.facemask import Guard, lattice_step, region_distance
from bidsdeface.imaging.foldover import at_end, far_ends, in_air
from bidsdeface.imaging.volume import Volume, apply_affine, nearest, tissue_voxels, voxel_ml

SPACING_MM = 3.0  # fine enough to measure volumes on
DISPUTED_MM = 8.0  # as far beyond the guard, what one mask leaves alone is not held against it
EDGE_MM = 4.0  # nearer to an edge of face region or guard than that, two good registrations may differ
GROWN_MM = 20.0  # no farther than that do ears and fat stand off the template's head
EMPTIED = 0.5  # so much of the face having one and the same value is the work of another defacing


@dataclass(frozen=True)
class FaceRegions:
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

    def guard(self, own: Brain | None) -> Guard:
        """Return what no mask of a scan may touch, by its own brain where that is to be trusted."""
        return Guard(self.brain_mm, self.guard_mm, own)


def measure_mask(
    mask: NDArray[np.bool_], affine: NDArray, second: NDArray, own: Brain | None, expected: FaceRegions
) -> dict[str, float]:
    """Measure a mask on the scan that it is for.

    Parameters
    ----------
    mask : numpy.ndarray, shape (X, Y, Z), bool
        As published.
    affine : numpy.ndarray, shape (4, 4)
        Of the mask.
    second : numpy.ndarray, shape (4, 4)
        Scan world to template world, from another start than the registration that made the mask.
    own : Brain or None
        The scan's own brain; None where it is not to be trusted.
    expected : FaceRegions

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    apart = mask_disagreement_mm(mask, affine, second, expected.regions_mm, expected.guard(own))
    found = {"mask_disagreement_mm": apart, "mask_ml": float(mask.sum()) * voxel_ml(affine)}
    if own is not None:
        taken = nearest(mask, affine, own.places).sum()
        found["brain_in_mask_ml"] = float(taken) * voxel_ml(own.inside.affine)
    return found


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
        The scan, from `world_aligned` at `SPACING_MM`.
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
    defaced: Volume,
    to_head: NDArray,
    head_mm: Volume,
    second: NDArray,
    own: Brain | None,
    expected: FaceRegions,
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
    own : Brain or None
        The scan's own brain; None where it is not to be trusted.
    expected : FaceRegions

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    return {
        "tissue_left_ml": tissue_left_ml(defaced, second, expected.regions_mm, expected.guard(own)),
        "stray_tissue_ml": stray_tissue_ml(defaced, to_head, head_mm),
    }


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
    free = guard.of_voxels(affine).distance(points, second) > DISPUTED_MM
    too_much = face.max(where=sampled, initial=0.0)
    too_little = -face.min(where=~sampled & free, initial=0.0)
    return float(max(too_much, too_little))


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
    left = guard.of_voxels(defaced.affine).distance(points, second) > EDGE_MM
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
