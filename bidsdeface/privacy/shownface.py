"""Tell whether an image shows a face: what is in it decides, not its name or what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.carryover import is_faceless
from bidsdeface.errors import ImageError, RegistrationError
from bidsdeface.fitting import make_fitter, measure
from bidsdeface.imaging.facemask import Guard
from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.registration import place
from bidsdeface.imaging.volume import reduce_image
from bidsdeface.quality.checks import faults
from bidsdeface.quality.leftovers import tissue_left_ml
from bidsdeface.settings import DEFAULT_GUARD_MM, DEFAULT_TEMPLATE, REGIONS

FACE = "skin and bone where the face is"
CANNOT_TELL = "cannot tell: look at it"
MOST_TISSUE_ML = 5.0
# Below this, what is in the image has no outline of a head: field maps, EPI and phantoms reach 0.53.
LEAST_HEADLIKE = 0.6


def face_test() -> Callable[[Path], str | None]:
    """Load the template once, and return the function that tells what of a face an image file shows.

    That function takes a path and returns `FACE`, `CANNOT_TELL`, or None where there is none: no head, a
    field of view without the face, or a face that was taken out. A file's name decides one thing alone: of
    kinds that seldom show a face, such as functional images, a head is not expected to be found at all, and
    it is None where a test of another kind could not tell.
    """
    fitter = make_fitter(DEFAULT_TEMPLATE, REGIONS[0])
    template = fitter.start
    regions_mm, guard = (template.regions_mm["face"],), Guard(template.brain_mm, DEFAULT_GUARD_MM)

    def shows_face(path: Path) -> str | None:
        shown = look(path)
        return None if shown == CANNOT_TELL and is_faceless(PurePosixPath(path)) else shown

    def look(path: Path) -> str | None:
        try:
            scan = reduce_image(read_image(path), str(path))
        except ImageError:
            return None if _is_flat(path) else CANNOT_TELL
        try:
            placement = place(scan, fitter.pose, template.landscape)
        except RegistrationError:
            return CANNOT_TELL
        left = tissue_left_ml(scan, placement.to_template, regions_mm, guard)
        if left <= MOST_TISSUE_ML:
            return None
        measures = measure(scan, placement, placement.to_template, fitter, None)
        if not faults(measures):
            return FACE
        return CANNOT_TELL if measures["outline_correlation"] >= LEAST_HEADLIKE else None

    return shows_face


def _is_flat(path: Path) -> bool:
    """Tell whether an image is empty or a mask of one plane: nothing to see a face in."""
    try:
        stored = read_image(path).stored
    except ImageError:
        return False
    return bool((stored == stored.flat[0]).all())
