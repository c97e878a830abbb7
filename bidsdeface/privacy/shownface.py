"""Tell whether an image shows a face: what is in it decides, not its name or what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bidsdeface.errors import ImageError, RegistrationError
from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.registration import place
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate, reduce_image, tissue_threshold
from bidsdeface.quality.measures import measure_placement
from bidsdeface.quality.verdict import placement_faults
from bidsdeface.templates.source import whole_head
from bidsdeface.templates.template import Template, pose_template

FACE = "skin and bone where the face is"
CANNOT_TELL = "cannot tell: look at it"
# Share of the template's face that is tissue in the image. Seen on six heads: 0.67 to 0.78 with their face,
# 0.00 without.
MOST_TISSUE = 0.05
DEEP_MM = 4.0  # inside the face region, where the average head has skin and bone
LEAST_TISSUE_OF_TEMPLATE = 0.1
# Below this, what is in the image has no outline of a head: field maps, EPI and phantoms reach 0.53.
LEAST_HEADLIKE = 0.6


def face_test() -> Callable[[Path], str | None]:
    """Load the template once, and return the function that tells what of a face an image file shows.

    That function takes a path and returns `FACE`, `CANNOT_TELL`, or None where there is none: no head, a
    field of view without the face, or a face that was taken out.
    """
    template = whole_head()
    pose = pose_template(template)
    points = _points_in_face(template)

    def shows_face(path: Path) -> str | None:
        try:
            scan = reduce_image(read_image(path), str(path))
        except ImageError:
            return None if _is_flat(path) else CANNOT_TELL
        try:
            placement = place(scan, pose, template.landscape)
        except RegistrationError:
            return CANNOT_TELL
        found = _tissue_at(scan, apply_affine(np.linalg.inv(placement.to_template), points))
        if found <= MOST_TISSUE:
            return None
        measures = measure_placement(
            scan, placement, placement.to_template, pose, template.regions_mm["face"]
        )
        if not placement_faults(measures):
            return FACE
        return CANNOT_TELL if measures.outline_correlation >= LEAST_HEADLIKE else None

    return shows_face


def _points_in_face(template: Template) -> np.ndarray:
    face, head = template.regions_mm["face"], template.head
    points = apply_affine(face.affine, np.argwhere(face.data < -DEEP_MM))
    tissue = interpolate(head.data, head.affine, points, 0.0) > LEAST_TISSUE_OF_TEMPLATE
    return points[tissue]


def _tissue_at(scan: Volume, points: np.ndarray) -> float:
    """Return the share of points that are tissue; what lies outside the field of view shows nothing."""
    values = interpolate(scan.data, scan.affine, points, 0.0)
    return float((values > tissue_threshold(scan)).mean())


def _is_flat(path: Path) -> bool:
    """Tell whether an image is empty or a mask of one plane: nothing to see a face in."""
    try:
        stored = read_image(path).stored
    except ImageError:
        return False
    return bool((stored == stored.flat[0]).all())
