"""Is it a head, and does the template lie on it? Measured before anything is defaced."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.affine import Surface, fit_affine
from bidsdeface.imaging.brain import Brain, fit_brain
from bidsdeface.imaging.pose import FINE_SPACING_MM, PoseTemplate, saturated
from bidsdeface.imaging.registration import Placement, disagreement_mm
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate, smoothed, world_aligned
from bidsdeface.templates.template import FACE_CLEARANCE_MM, OUTLINE_SMOOTHING_MM, HeadSurface

RIGID = 6


def measure_placement(
    scan: Volume,
    placement: Placement,
    to_template: NDArray,
    template: PoseTemplate,
    surface: HeadSurface,
    face_mm: Volume,
    brain_mm: Volume | None = None,
) -> dict[str, float]:
    """Measure how well a template lies on a scan.

    The outline, that is where tissue ends and air begins, had no part in the placement: how well it fits,
    and where it would put the face by itself, are evidence of another kind.

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
    brain_mm : Volume, optional
        The same of the brain, for a scan that may not show skull and scalp (EPI): they are not judged.

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    tissue = saturated(world_aligned(scan, FINE_SPACING_MM))
    linear = placement.to_template[:3, :3]
    stretches = np.linalg.svd(linear, compute_uv=False)
    return {
        "similarity": placement.similarity,
        "lead": placement.similarity - placement.rival,
        "start_disagreement_mm": placement.disagreement_mm,
        "outline_correlation": _outline_correlation(
            tissue, to_template, template, surface, face_mm, brain_mm
        ),
        "outline_shift_mm": _outline_shift_mm(tissue, to_template, surface),
        "scale": float(np.cbrt(np.linalg.det(linear))),
        "stretch": float(stretches[0] / stretches[2]),
    }


def measure_brain(
    brain: Brain | None, to_template: NDArray, template: Surface, face: NDArray
) -> dict[str, float]:
    """Measure where a scan's own brain would place the template, by its surface alone.

    Parameters
    ----------
    brain : Brain or None
        None if none was found.
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to the world of `template`.
    template : Surface
        Of the template's brain.
    face : numpy.ndarray, shape (N, 3)
        Places in the template's face, mm.

    Returns
    -------
    dict of str to float
        Measures of `CHECKS`.
    """
    if brain is None:
        return {"brain_ml": 0.0}
    fitted = fit_brain(brain, template, to_template)
    placed, by_brain = np.linalg.inv(to_template), np.linalg.inv(fitted.to_template)
    return {
        "brain_ml": brain.ml,
        "brain_whole": brain.whole,
        "brain_fit_mm": fitted.off_mm,
        "brain_lead": fitted.lead,
        "brain_shift_mm": disagreement_mm(placed, by_brain, face),
    }


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
    varied = judged.sum() > 2 and found[judged].std() > 0 and expected[judged].std() > 0
    return float(np.corrcoef(found[judged], expected[judged])[0, 1]) if varied else 0.0


def _outline_shift_mm(tissue: Volume, to_template: NDArray, surface: HeadSurface) -> float:
    """Return how far the face moves when the template is moved, as a rigid body, to fit the outline."""
    placed = np.linalg.inv(to_template)
    by_outline, ratio = fit_affine(
        smoothed(tissue, OUTLINE_SMOOTHING_MM), surface.outline, placed, freedom=RIGID
    )
    return disagreement_mm(placed, by_outline, surface.face) if ratio >= 0 else np.inf
