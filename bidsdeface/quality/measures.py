"""Measures of a placement and of a result: evidence that does not come from the registration alone.

Before anything is defaced: is it a head, and does the template lie on it? Of a mask and a defaced image: does
the mask hold a face and no brain, and is anything left?
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.affine import RIGID, fit_affine
from bidsdeface.imaging.brain import Brain
from bidsdeface.imaging.facemask import FaceRegions
from bidsdeface.imaging.foldover import PlacedHead, end_of, far_ends
from bidsdeface.imaging.pose import TISSUE_SPACING_MM
from bidsdeface.imaging.registration import Placement, disagreement_mm
from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    nearest,
    saturated,
    smoothed,
    tissue_voxels,
    voxel_ml,
    world_aligned,
)
from bidsdeface.quality.limits import EMPTIED
from bidsdeface.templates.template import FACE_CLEARANCE_MM, OUTLINE_SMOOTHING_MM, Template

MEASURE_SPACING_MM = 3.0  # fine enough to measure volumes on
EDGE_MM = 4.0  # nearer to an edge of face region or guard than that, two good registrations may differ
AIR_MM = 6.0  # farther than that from the template's head there is air
GROWN_MM = 20.0  # no farther than that do ears and fat stand off the template's head


def measure_placement(
    scan: Volume,
    placement: Placement,
    to_head: NDArray,
    template: Template,
    brain: Brain | None,
    only_brain_shows: bool = False,
) -> dict[str, float]:
    """Measure how well a template lies on a scan.

    The outline, where tissue ends and air begins, had no part in the placement: how well it fits, and where
    it would put the face by itself, are evidence of another kind. So is the surface of the scan's own brain.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    placement : Placement
    to_head : numpy.ndarray, shape (4, 4)
        Scan world to the world of `template`, which need not be the template that was placed.
    template : Template
    brain : Brain or None
        The scan's own, from `fit_brain`; None if none was found.
    only_brain_shows : bool, optional
        The scan may not show skull and scalp (EPI), so they are not judged.

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    tissue = saturated(world_aligned(scan, TISSUE_SPACING_MM))
    placed = np.linalg.inv(to_head)
    by_outline, ratio = fit_affine(
        smoothed(tissue, OUTLINE_SMOOTHING_MM), template.outline, placed, freedom=RIGID
    )

    def apart_mm(first: NDArray, second: NDArray, ratio: float = 0.0) -> float:
        return disagreement_mm(first, second, template.face) if ratio >= 0 else np.inf

    measures = {
        **measure_fit(placement),
        "outline_correlation": _outline_correlation(tissue, to_head, template, only_brain_shows),
        "outline_shift_mm": apart_mm(placed, by_outline, ratio),
        "brain_ml": 0.0,
    }
    if brain is not None:
        by_brain = np.linalg.inv(brain.to_template)
        measures |= {
            **brain_measures(brain),
            "brain_shift_mm": apart_mm(placed, by_brain),
            # The mean of both leads to the middle between the two places.
            "face_shift_mm": apart_mm(placed, (by_brain + by_outline) / 2, ratio),
            "witness_gap_mm": apart_mm(by_brain, by_outline, ratio),
        }
    return measures


def brain_measures(brain: Brain) -> dict[str, float]:
    """Return the measures that decide whether a brain is trusted, from `fit_brain`."""
    return {
        "brain_ml": brain.ml,
        "brain_whole": brain.whole,
        "brain_fit_mm": brain.off_mm,
        "brain_lead": brain.lead,
    }


def measure_fit(placement: Placement) -> dict[str, float]:
    """Return the measures that a placement itself gives."""
    linear = placement.to_template[:3, :3]
    stretches = np.linalg.svd(linear, compute_uv=False)
    return {
        "similarity": placement.similarity,
        "lead": placement.similarity - placement.rival,
        "start_disagreement_mm": placement.disagreement_mm,
        "scale": float(np.cbrt(np.linalg.det(linear))),
        "stretch": float(stretches[0] / stretches[2]),
    }


def outline_likeness(scan: Volume, reference: Volume, to_reference: NDArray, where: NDArray) -> float:
    """Return the correlation of air and tissue between two scans of one head, where both show it.

    Parameters
    ----------
    scan, reference : Volume
        From `reduce_image`.
    to_reference : numpy.ndarray, shape (4, 4)
        Scan world to reference world.
    where : numpy.ndarray, shape (N, 3)
        Places in and around the head, none near the face, reference world, mm.
    """
    values = []
    for volume, places in ((scan, apply_affine(np.linalg.inv(to_reference), where)), (reference, where)):
        tissue = saturated(world_aligned(volume, TISSUE_SPACING_MM))
        values.append(np.where(tissue.sees(places), tissue.at(places), np.nan))
    return _correlation(*values)


def _correlation(first: NDArray, second: NDArray) -> float:
    """Return the correlation of two lists of numbers where both are known; 0 if one does not vary."""
    first, second = (values[np.isfinite(first) & np.isfinite(second)] for values in (first, second))
    varied = len(first) > 2 and first.std() > 0 and second.std() > 0
    return float(np.corrcoef(first, second)[0, 1]) if varied else 0.0


def _outline_correlation(
    tissue: Volume, to_head: NDArray, template: Template, only_brain_shows: bool
) -> float:
    weight = template.pose.weight
    voxels = np.argwhere(weight.data > 0)
    points = weight.to_world(voxels)
    here = apply_affine(np.linalg.inv(to_head), points)
    judged = tissue.sees(here) & (template.regions_mm["face"].at(points, np.inf) > FACE_CLEARANCE_MM)
    if only_brain_shows:
        in_head = template.head_mm.at(points, np.inf) <= 0
        judged &= (template.brain_mm.at(points, np.inf) < 0) | ~in_head
    expected = template.pose.tissue.data[tuple(voxels.T)]
    return _correlation(np.where(judged, tissue.at(here), np.nan), expected)


def measure_mask(mask: NDArray[np.bool_], affine: NDArray, brain: Brain | None) -> dict[str, float]:
    """Measure a mask on the scan that it is for.

    Parameters
    ----------
    mask : numpy.ndarray, shape (X, Y, Z), bool
        As published.
    affine : numpy.ndarray, shape (4, 4)
        Of the mask.
    brain : Brain or None
        The scan's own, found with the face in view; None where it is not trusted.

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    measures = {"mask_ml": float(mask.sum()) * voxel_ml(affine)}
    if brain is not None:
        in_mask = nearest(mask, affine, brain.places).sum()
        measures["brain_in_mask_ml"] = float(in_mask) * brain.inside.voxel_ml
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


def tissue_left_ml(defaced: Volume, second: NDArray, regions: FaceRegions) -> float:
    """Return how much tissue is left where a second registration has the face.

    Parameters are those of `measure_defaced`.
    """
    in_face = regions.near(defaced, second, -EDGE_MM) & (defaced.data > defaced.tissue_threshold)
    points = defaced.to_world(np.argwhere(in_face))
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
    tissue, air_mm = defaced.data > defaced.tissue_threshold, head.air_mm(defaced)
    stray = tissue & (air_mm > AIR_MM)
    pieces, _ = ndimage.label(stray)
    sizes = np.bincount(pieces.ravel())
    grown = np.unique(pieces[ndimage.binary_dilation(tissue & ~stray)])
    ends = far_ends(pieces.shape, head.to_head @ defaced.affine)
    apart = [pieces[air_mm > GROWN_MM], *(end_of(pieces, axis, is_last) for axis, is_last in ends)]
    sizes[np.setdiff1d(grown, np.concatenate([part.ravel() for part in apart]))] = 0
    sizes[0] = 0
    return float(sizes.max()) * defaced.voxel_ml
