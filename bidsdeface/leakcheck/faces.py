"""Test whether an image shows a face, by its voxels."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bidsdeface import __version__
from bidsdeface.dataset.kinds import is_phase, may_show_none
from bidsdeface.dataset.names import parse_name
from bidsdeface.errors import BidsdefaceError, ImageError, RegistrationError
from bidsdeface.head.fit import make_template_set
from bidsdeface.head.mask import MIN_HEADLIKE, face_in
from bidsdeface.head.options import DEFAULT_TEMPLATE, REFACE, REGIONS
from bidsdeface.head.refaced import without_average
from bidsdeface.imaging.image import is_flat, is_on_grid, read_image
from bidsdeface.imaging.registration import place
from bidsdeface.imaging.volume import reduce_image
from bidsdeface.output.names import raw_and_mask_of
from bidsdeface.output.record import read_record
from bidsdeface.quality.checks import failed_checks
from bidsdeface.quality.measures import measure_placement, tissue_left_ml

FACE = "skin and bone where the face is"
CANNOT_TELL = "cannot tell: look at it"
MOST_TISSUE_ML = 5.0


def face_test() -> Callable[[Path], str | None]:
    """Load the template once, and return the function that tests an image file for a face.

    That function takes a path and returns `FACE`, `CANNOT_TELL`, or None if the image shows no face: no head,
    a field of view without the face, or a face that was removed. Images that may show none (EPI, DWI, ASL)
    are tested as they are before defacing. Where the test cannot tell, the result is None for images that
    this program has verified by another scan (phase, PET and the like, with one value throughout the face
    mask beside them), and for images in which it saw no face before publication.
    """
    templates = make_template_set(DEFAULT_TEMPLATE, REGIONS[0])
    template = templates.head_template
    regions = templates.face_regions(None)

    def shows_face(path: Path) -> str | None:
        shown, record, name = look(path), read_record(path), parse_name(path)
        if shown and name and is_phase(name):
            shown = CANNOT_TELL  # phase is noise in air: it has no skin to be seen
        if shown == FACE and record.get("Method") == REFACE and record.get("Version") != __version__:
            return CANNOT_TELL  # the average face of that version is not known here
        # This program has verified the image by way of another scan, or saw no face before it was published.
        is_settled = shown == CANNOT_TELL and (is_emptied(path) or record.get("Evidence"))
        return None if is_settled else shown

    def look(path: Path) -> str | None:
        image = None
        try:
            image = without_average(path, read_image(path))
            scan = reduce_image(image, str(path))
        except ImageError:
            return None if image and is_flat(image) else CANNOT_TELL
        name = parse_name(path)
        if name and name.datatype and may_show_none(name.datatype, name.suffix) and not is_phase(name):
            seen = face_in(image, scan, None, templates)
            return CANNOT_TELL if math.isnan(seen) else FACE if seen > 1 else None
        try:
            placement = place(scan, template.pose, template.target)
        except RegistrationError:
            return CANNOT_TELL
        if tissue_left_ml(scan, placement.to_template, regions) <= MOST_TISSUE_ML:
            return None
        measures = measure_placement(scan, placement, placement.to_template, template, None)
        if not failed_checks(measures):
            return FACE
        return CANNOT_TELL if measures["outline_correlation"] >= MIN_HEADLIKE else None

    return shows_face


def is_emptied(path: Path) -> bool:
    """Return True if an image was defaced, by its sidecar: one value, or the average face, fills its mask."""
    _, mask_path = raw_and_mask_of(path)
    if not read_record(path).get("Method"):
        return False
    try:
        image, mask = without_average(path, read_image(path)), read_image(mask_path)
    except (BidsdefaceError, OSError):
        return False
    inside = mask.stored > 0
    is_inside = bool(inside.any()) and is_on_grid(image, inside.shape, mask.affine)
    return is_inside and bool(np.ptp(image.stored[inside]) == 0)
