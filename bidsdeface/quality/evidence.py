"""Measures of a result: evidence that does not come from the registration that made its mask."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.facemask import FaceRegions, lattice_step
from bidsdeface.imaging.foldover import PlacedHead, at_end, far_ends, marked
from bidsdeface.imaging.volume import Volume, apply_affine, nearest, tissue_voxels, voxel_ml

MEASURE_SPACING_MM = 3.0  # fine enough to measure volumes on
DISPUTED_MM = 8.0  # as far beyond the guard, what one mask leaves alone is not held against it
EDGE_MM = 4.0  # nearer to an edge of face region or guard than that, two good registrations may differ
GROWN_MM = 20.0  # no farther than that do ears and fat stand off the template's head
EMPTIED = 0.5  # so much of the face having one and the same value is the work of another defacing


def measure_mask(
    mask: NDArray[np.bool_], affine: NDArray, second: NDArray, regions: FaceRegions
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
    regions : FaceRegions
        With the scan's own brain.

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    measures = {
        "mask_disagreement_mm": mask_disagreement_mm(mask, affine, second, regions),
        "mask_ml": float(mask.sum()) * voxel_ml(affine),
    }
    if regions.brain is not None:
        in_mask = nearest(mask, affine, regions.brain.places).sum()
        measures["brain_in_mask_ml"] = float(in_mask) * regions.brain.inside.voxel_ml
    return measures


def measure_removed(
    coarse: Volume, stored: NDArray, mask: NDArray[np.bool_], affine: NDArray, head: PlacedHead
) -> dict[str, float]:
    """Measure how much of the head a mask removes.

    Parameters
    ----------
    coarse : Volume
        The scan, from `world_aligned` at `MEASURE_SPACING_MM`.
    stored : numpy.ndarray, shape (X, Y, Z)
        The image's own values.
    mask : numpy.ndarray, shape (X, Y, Z), bool
    affine : numpy.ndarray, shape (4, 4)
        Of both.
    head : PlacedHead

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    places = coarse.to_world(np.argwhere(coarse.seen > 0.5))
    places = places[nearest(mask, affine, places)]
    places = places[head.distance(places) <= 0]
    _, counts = np.unique(nearest(stored, affine, places), return_counts=True)
    emptied = int(counts.max(initial=0)) / max(len(places), 1)
    tissue = nearest(mask, affine, coarse.to_world(tissue_voxels(coarse)))
    tissue_share = int(tissue.sum()) / max(len(places), 1)
    return {
        "emptied_share": emptied,
        "face_found": tissue_share + (emptied if emptied >= EMPTIED else 0.0),
        "removed_share": float(tissue.mean()),
    }


def measure_defaced(
    defaced: Volume, head: PlacedHead, second: NDArray, regions: FaceRegions
) -> dict[str, float]:
    """Measure what is left in a defaced image.

    Parameters
    ----------
    defaced : Volume
        The written image, from `reduce_image`; not `seen` where it was defaced, so that the fill value is
        not taken for its air.
    head : PlacedHead
    second : numpy.ndarray, shape (4, 4)
        Scan world to the template of `regions`, from another start than that of the mask.
    regions : FaceRegions
        With the scan's own brain.

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    return {
        "tissue_left_ml": tissue_left_ml(defaced, second, regions),
        "stray_tissue_ml": stray_tissue_ml(defaced, head),
    }


def mask_disagreement_mm(
    mask: NDArray[np.bool_], affine: NDArray, second: NDArray, regions: FaceRegions
) -> float:
    """Return how deep a mask and the face region of a second registration lie outside of each other.

    Parameters are those of `measure_mask`.

    Returns
    -------
    float
        The larger of the two depths, mm; 0 if both are the same.
    """
    step = lattice_step(affine)
    sampled = mask[tuple(slice(None, None, s) for s in step)]
    points = apply_affine(
        affine, np.stack(np.meshgrid(*map(np.arange, sampled.shape), indexing="ij"), -1) * step
    )
    face = regions.distance(points, second)
    free = regions.guard_distance(points, second, affine) > DISPUTED_MM
    too_much = face.max(where=sampled, initial=0.0)
    too_little = -face.min(where=~sampled & free, initial=0.0)
    return float(max(too_much, too_little))


def tissue_left_ml(defaced: Volume, second: NDArray, regions: FaceRegions) -> float:
    """Return how much tissue is left where a second registration has the face.

    Parameters are those of `measure_defaced`.
    """
    points = defaced.to_world(tissue_voxels(defaced))
    points = points[regions.distance(points, second) < -EDGE_MM]
    left = regions.guard_distance(points, second, defaced.affine) > EDGE_MM
    return float(left.sum()) * defaced.voxel_ml


def stray_tissue_ml(defaced: Volume, head: PlacedHead) -> float:
    """Return the largest piece of tissue in the air around the head that is no part of it.

    A nose that the field of view cuts off appears at the other end of it, behind the head. What touches the
    head, does not touch such an end and stands off by less than `GROWN_MM` is part of the head: ears, a broad
    jaw, fat of the nape.

    Parameters
    ----------
    defaced : Volume
        The written image, from `reduce_image`.
    head : PlacedHead
    """
    voxels, shape = tissue_voxels(defaced), defaced.data.shape
    points = defaced.to_world(voxels)
    stray = head.in_air(points)
    pieces, _ = ndimage.label(marked(shape, voxels[stray]))
    sizes = np.bincount(pieces.ravel())
    grown = set(pieces[ndimage.binary_dilation(marked(shape, voxels[~stray]))])
    apart = head.in_air(points, GROWN_MM)
    for axis, is_last in far_ends(shape, head.to_head @ defaced.affine):
        apart |= at_end(voxels, shape[axis], axis, is_last)
    grown -= set(pieces[tuple(voxels[apart].T)])
    sizes[[0, *grown]] = 0
    return float(sizes.max()) * defaced.voxel_ml
