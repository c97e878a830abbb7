"""Tell whether an image shows a face: what is in it decides, not its name or what is said of it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from bidsdeface.dataset.kinds import is_phase, may_show_none
from bidsdeface.dataset.names import parse_name, scan_at
from bidsdeface.errors import BidsdefaceError, ImageError, RegistrationError
from bidsdeface.head.fit import make_template_set, measure
from bidsdeface.head.mask import LEAST_HEADLIKE, face_in
from bidsdeface.head.options import DEFAULT_GUARD_MM, DEFAULT_TEMPLATE, REGIONS
from bidsdeface.imaging.facemask import Guard
from bidsdeface.imaging.image import is_flat, is_on_grid, read_image
from bidsdeface.imaging.registration import place
from bidsdeface.imaging.volume import reduce_image
from bidsdeface.output.names import BIDS, DERIVATIVES, mask_of
from bidsdeface.output.record import read_record
from bidsdeface.quality.checks import faults
from bidsdeface.quality.evidence import tissue_left_ml

FACE = "skin and bone where the face is"
CANNOT_TELL = "cannot tell: look at it"
MOST_TISSUE_ML = 5.0


def face_test() -> Callable[[Path], str | None]:
    """Load the template once, and return the function that tells what of a face an image file shows.

    That function takes a path and returns `FACE`, `CANNOT_TELL`, or None where there is none: no head, a
    field of view without the face, or a face that was taken out. Images that may show none (EPI, DWI, ASL)
    are looked at as they are before they are defaced. Where the test cannot tell, it is None for images that
    this program has verified by way of another scan: phase, PET and the like, whose face mask, beside them,
    is empty, and images in which it saw no face.
    """
    templates = make_template_set(DEFAULT_TEMPLATE, REGIONS[0])
    template = templates.start
    regions_mm, guard = (template.regions_mm["face"],), Guard(template.brain_mm, DEFAULT_GUARD_MM)

    def shows_face(path: Path) -> str | None:
        shown = look(path)
        is_settled = shown == CANNOT_TELL and (is_emptied(path) or showed_none(path))
        return None if is_settled else shown

    def look(path: Path) -> str | None:
        try:
            image = read_image(path)
            scan = reduce_image(image, str(path))
        except ImageError:
            return None if _is_flat(path) else CANNOT_TELL
        if _may_show_none(path):
            seen = face_in(image, scan, None, templates)
            return CANNOT_TELL if math.isnan(seen) else FACE if seen > 1 else None
        try:
            placement = place(scan, templates.pose, template.target)
        except RegistrationError:
            return CANNOT_TELL
        left = tissue_left_ml(scan, placement.to_template, regions_mm, guard)
        if left <= MOST_TISSUE_ML:
            return None
        measures = measure(scan, placement, placement.to_template, templates, None)
        if not faults(measures):
            return FACE
        return CANNOT_TELL if measures["outline_correlation"] >= LEAST_HEADLIKE else None

    return shows_face


def is_emptied(path: Path) -> bool:
    """Return True if an image's sidecar says how it was defaced, and there is one value in its face mask."""
    scan = scan_at(path)
    labels = tuple(pair for pair in scan.entities if pair[0] != "desc")
    layout = BIDS if labels == scan.entities else DERIVATIVES
    mask_path = path.with_name(mask_of(replace(scan, entities=labels), layout).name)
    if not read_record(path).get("Method"):
        return False
    try:
        image, mask = read_image(path), read_image(mask_path)
    except (BidsdefaceError, OSError):
        return False
    inside = mask.stored > 0
    is_inside = bool(inside.any()) and is_on_grid(image, inside.shape, mask.affine)
    return is_inside and bool(np.ptp(image.stored[inside]) == 0)


def _may_show_none(path: Path) -> bool:
    name = parse_name(PurePosixPath(path))
    if name is None or name.datatype is None or is_phase(name):
        return False
    return may_show_none(name.datatype, name.suffix)


def showed_none(path: Path) -> bool:
    """Return True if an image's sidecar says that no face was seen in it before it was published."""
    return bool(read_record(path).get("Evidence"))


def _is_flat(path: Path) -> bool:
    """Return True if an image can be read and has nothing to see a face in."""
    try:
        return is_flat(read_image(path))
    except ImageError:
        return False
