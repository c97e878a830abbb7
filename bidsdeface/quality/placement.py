"""Is it a head, and does the template lie on it? Measured before anything is defaced."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.affine import RIGID, Surface, fit_affine
from bidsdeface.imaging.brain import Brain, BrainFit, fit_brain
from bidsdeface.imaging.pose import FINE_SPACING_MM, PoseTemplate, saturated
from bidsdeface.imaging.registration import Placement, disagreement_mm
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate, smoothed, world_aligned
from bidsdeface.templates.template import FACE_CLEARANCE_MM, OUTLINE_SMOOTHING_MM, HeadSurface


def measure_placement(
    scan: Volume,
    placement: Placement,
    to_template: NDArray,
    template: PoseTemplate,
    surface: HeadSurface,
    face_mm: Volume,
    brain: Brain | None,
    brain_surface: Surface,
    brain_mm: Volume | None = None,
) -> dict[str, float]:
    """Measure how well a template lies on a scan.

    The outline, that is where tissue ends and air begins, had no part in the placement: how well it fits,
    and where it would put the face by itself, are evidence of another kind. So is the surface of the scan's
    own brain.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    placement : Placement
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to the world of `template`, which need not be the placed one.
    template : PoseTemplate
    surface : HeadSurface
        Of the same template.
    face_mm : Volume
        Signed distance to the face in the world of `template`, mm.
    brain : Brain or None
        The scan's own; None if none was found.
    brain_surface : Surface
        Of the template's brain.
    brain_mm : Volume, optional
        Signed distance to the brain, for a scan that may not show skull and scalp (EPI): they are not judged.

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    tissue = saturated(world_aligned(scan, FINE_SPACING_MM))
    placed = np.linalg.inv(to_template)
    by_outline, ratio = fit_affine(
        smoothed(tissue, OUTLINE_SMOOTHING_MM), surface.outline, placed, freedom=RIGID
    )
    outline_shift_mm = disagreement_mm(placed, by_outline, surface.face) if ratio >= 0 else np.inf
    measures = {
        **measure_fit(placement),
        "outline_correlation": _outline_correlation(
            tissue, to_template, template, surface, face_mm, brain_mm
        ),
        "outline_shift_mm": outline_shift_mm,
        "brain_ml": 0.0,
    }
    if brain is not None:
        registered = fit_brain(brain, brain_surface, to_template)
        by_brain = np.linalg.inv(registered.to_template)
        by_both = (by_brain + by_outline) / 2  # leads to the middle between the two places
        measures |= {
            **brain_measures(brain, registered),
            "brain_shift_mm": disagreement_mm(placed, by_brain, surface.face),
            "face_shift_mm": disagreement_mm(placed, by_both, surface.face) if ratio >= 0 else np.inf,
            "witness_gap_mm": disagreement_mm(by_brain, by_outline, surface.face) if ratio >= 0 else np.inf,
        }
    return measures


def brain_measures(brain: Brain, registered: BrainFit) -> dict[str, float]:
    """Return the measures that decide whether a brain is trusted."""
    return {
        "brain_ml": brain.ml,
        "brain_whole": brain.whole,
        "brain_fit_mm": registered.off_mm,
        "brain_lead": registered.lead,
    }


def measure_fit(placement: Placement) -> dict[str, float]:
    """Return what a placement says of itself."""
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
    both = []
    for one, places in ((scan, apply_affine(np.linalg.inv(to_reference), where)), (reference, where)):
        tissue = saturated(world_aligned(one, FINE_SPACING_MM))
        seen = interpolate(tissue.seen, tissue.affine, places, 0.0) > 0.98
        both.append(np.where(seen, interpolate(tissue.data, tissue.affine, places), np.nan))
    return _correlation(*both)


def _correlation(one: NDArray, other: NDArray) -> float:
    """Return the correlation of two lists of numbers where both are known; 0 if one does not vary."""
    one, other = (some[np.isfinite(one) & np.isfinite(other)] for some in (one, other))
    varied = len(one) > 2 and one.std() > 0 and other.std() > 0
    return float(np.corrcoef(one, other)[0, 1]) if varied else 0.0


def _outline_correlation(
    tissue: Volume,
    to_template: NDArray,
    template: PoseTemplate,
    surface: HeadSurface,
    face_mm: Volume,
    brain_mm: Volume | None,
) -> float:
    voxels = np.argwhere(template.weight.data > 0)
    points = apply_affine(template.weight.affine, voxels)
    expected = template.tissue.data[tuple(voxels.T)]
    here = apply_affine(np.linalg.inv(to_template), points)
    found = interpolate(tissue.data, tissue.affine, here)
    judged = interpolate(face_mm.data, face_mm.affine, points, np.inf) > FACE_CLEARANCE_MM
    judged &= np.isfinite(found) & (interpolate(tissue.seen, tissue.affine, here, 0.0) > 0.98)
    if brain_mm is not None:
        brain = interpolate(brain_mm.data, brain_mm.affine, points, np.inf) < 0
        head = interpolate(surface.head_mm.data, surface.head_mm.affine, points, np.inf) <= 0
        judged &= brain | ~head
    return _correlation(found[judged], expected[judged])
