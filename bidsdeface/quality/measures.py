"""Numbers that say how far a defaced scan can be trusted. Arrays and affines only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.pose import FINE_SPACING_MM, PoseTemplate, saturated
from bidsdeface.imaging.registration import Placement
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate, world_aligned
from bidsdeface.templates.template import FACE_CLEARANCE_MM


@dataclass(frozen=True)
class PlacementMeasures:
    """How well a template lies on a scan.

    Attributes
    ----------
    similarity : float
        Correlation ratio of template and scan intensities, 0 to 1.
    rival_similarity : float
        Of the best placement that is quite another, such as back to front; -1 if no start ended in one.
    start_disagreement_mm : float
        Largest distance over the head between placements from two starts.
    outline_correlation : float
        Correlation of tissue and air, template against scan, over the head but not the face: evidence
        from the head's own surface, which the placement was not fitted to.
    scale, stretch : float
        Size of the template relative to the head; its largest over its smallest stretch.
    """

    similarity: float
    rival_similarity: float
    start_disagreement_mm: float
    outline_correlation: float
    scale: float
    stretch: float


def measure_placement(
    scan: Volume,
    placement: Placement,
    to_template: NDArray,
    template: PoseTemplate,
    face_mm: Volume,
) -> PlacementMeasures:
    """Measure how well a template lies on a scan.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    placement : Placement
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to the world of `template`, which need not be the placed one.
    template : PoseTemplate
    face_mm : Volume
        Signed distance to the face in the world of `template`, mm.
    """
    tissue = saturated(world_aligned(scan, FINE_SPACING_MM))
    voxels = np.argwhere(template.weight.data > 0)
    points = apply_affine(template.weight.affine, voxels)
    expected = template.tissue.data[tuple(voxels.T)]
    here = apply_affine(np.linalg.inv(to_template), points)
    found = interpolate(tissue.data, tissue.affine, here)
    judged = interpolate(face_mm.data, face_mm.affine, points, np.inf) > FACE_CLEARANCE_MM
    judged &= np.isfinite(found) & (interpolate(tissue.seen, tissue.affine, here, 0.0) > 0.98)
    varied = judged.sum() > 2 and found[judged].std() > 0 and expected[judged].std() > 0
    correlation = np.corrcoef(found[judged], expected[judged])[0, 1] if varied else 0.0
    stretches = np.linalg.svd(placement.to_template[:3, :3], compute_uv=False)
    return PlacementMeasures(
        similarity=placement.similarity,
        rival_similarity=placement.rival,
        start_disagreement_mm=placement.disagreement_mm,
        outline_correlation=float(correlation),
        scale=float(stretches.prod() ** (1 / 3)),
        stretch=float(stretches[0] / stretches[2]),
    )
