"""Is it a head, and does the template lie on it? Measured before anything is defaced."""

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.affine import RIGID, fit_affine
from bidsdeface.imaging.brain import Brain
from bidsdeface.imaging.pose import TISSUE_SPACING_MM, saturated
from bidsdeface.imaging.registration import Placement, disagreement_mm
from bidsdeface.imaging.volume import Volume, apply_affine, smoothed, world_aligned
from bidsdeface.templates.template import FACE_CLEARANCE_MM, OUTLINE_SMOOTHING_MM, Template


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
    surface, placed = template.surface, np.linalg.inv(to_head)
    by_outline, ratio = fit_affine(
        smoothed(tissue, OUTLINE_SMOOTHING_MM), surface.outline, placed, freedom=RIGID
    )

    def apart_mm(first: NDArray, second: NDArray, ratio: float = 0.0) -> float:
        return disagreement_mm(first, second, surface.face) if ratio >= 0 else np.inf

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
        in_head = template.surface.head_mm.at(points, np.inf) <= 0
        judged &= (template.brain_mm.at(points, np.inf) < 0) | ~in_head
    expected = template.pose.tissue.data[tuple(voxels.T)]
    return _correlation(np.where(judged, tissue.at(here), np.nan), expected)
