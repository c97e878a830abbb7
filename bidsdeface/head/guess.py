"""Reface any head, as the swap attacker of the audit does with his guess."""

from collections.abc import Callable
from dataclasses import replace

from bidsdeface.head.fit import fit, make_template_set
from bidsdeface.head.refaced import placement_of, refaced
from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.image import Image, mask_header
from bidsdeface.imaging.volume import reduce_image
from bidsdeface.reidentify.attack import Defaced
from bidsdeface.templates.source import average_face

NAME = "the guess"


def load_refacer() -> Callable[[Image], Defaced]:
    """Return the function that puts the average face in the place of the one in an image."""
    templates, average = make_template_set("WholeHead", ("face",)), average_face()

    def reface(image: Image) -> Defaced:
        registered = fit(NAME, reduce_image(image, NAME), None, templates, accepted=True)
        mask = face_mask(image.stored.shape[:3], image.affine, registered.to_template, registered.regions)
        values = refaced(NAME, image, mask, placement_of(registered), average)
        drawn = Image(mask_header(image.header), image.affine, mask)
        return Defaced(replace(image, stored=values), drawn, registered.head.to_head)

    return reface
