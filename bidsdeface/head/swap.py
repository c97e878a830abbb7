"""The swap attacker of the audit: puts a candidate's face in a published head, and defaces that again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bidsdeface.errors import ImageError, RegistrationError
from bidsdeface.head.fit import fit, make_template_set
from bidsdeface.head.registered import RegisteredScan, TemplateSet
from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.image import Image
from bidsdeface.imaging.methods import remove, stored_as
from bidsdeface.imaging.registration import disagreement_mm
from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    interpolate,
    nearest,
    reduce_image,
)
from bidsdeface.reidentify.attack import Defaced

NAME = "the guess"
DECIMALS = 3  # of mm; placements are recorded to micrometres


@dataclass(frozen=True)
class Face:
    """A candidate's face.

    Attributes
    ----------
    image : Image
        The scan that shows it.
    to_template : numpy.ndarray, shape (4, 4)
        World of the scan to that of the template.
    dark, bright : float
        Levels of air and tissue.
    """

    image: Image
    to_template: NDArray[np.float64]
    dark: float
    bright: float

    def at(self, places: NDArray) -> NDArray:
        """Return its intensities at places in template world, 0 for dark and 1 for bright."""
        values = self.image.scaled(self.image.volumes[..., 0])
        there = apply_affine(np.linalg.inv(self.to_template), places)
        return (interpolate(values, self.image.affine, there, None) - self.dark) / (self.bright - self.dark)


@dataclass(frozen=True)
class Swapper:
    """The attacker, who has the program.

    Attributes
    ----------
    templates : TemplateSet
    """

    templates: TemplateSet

    def face_in(self, image: Image) -> Face | None:
        """Return the face in an intact scan; None if it shows no head.

        Parameters
        ----------
        image : Image
        """
        try:
            placed = self._fit(image)
            return Face(image, placed.head.to_head, *_levels(image, placed.volume))
        except (RegistrationError, ImageError):
            return None

    def differences(self, published: Defaced, faces: Iterable[Face | None]) -> NDArray[np.float64]:
        """Return how far the published result would differ if a candidate had been scanned, for each face.

        Parameters
        ----------
        published : Defaced
            By the template WholeHead, with the default regions and guard, from this scan alone.
        faces : iterable of Face
            None for a candidate who has none.

        Returns
        -------
        numpy.ndarray, shape (faces,)
            Voxels by which the masks differ, and mm by which the template lies elsewhere. 0: the same, bit by
            bit. Infinite where there is no face, or no head is found with it.
        """
        image, mask = published.image, published.mask.stored > 0
        to_head = published.to_template
        if to_head is None:
            to_head = self._fit(image).head.to_head
        emptied = replace(image, stored=remove(image, mask))
        dark, bright = _levels(emptied, reduce_image(emptied, NAME))
        places = apply_affine(to_head @ image.affine, np.argwhere(mask))

        def difference(face: Face | None) -> float:
            if face is None:
                return np.inf
            stored = image.stored.copy(order="K")
            values = stored_as(dark + (bright - dark) * face.at(places), image)
            stored[mask] = values.reshape(-1, *(1,) * (stored.ndim - 3))
            try:
                placed = self._fit(replace(image, stored=stored))
            except (RegistrationError, ImageError):
                return np.inf
            again = face_mask(mask.shape, image.affine, placed.to_template, placed.regions)
            moved = np.linalg.inv(placed.head.to_head), np.linalg.inv(to_head)
            moved_mm = disagreement_mm(*moved, self.templates.head_template.face)
            return float((again != mask).sum()) + round(moved_mm, DECIMALS)

        return np.array([difference(face) for face in faces])

    def _fit(self, image: Image) -> RegisteredScan:
        return fit(NAME, reduce_image(image, NAME), None, self.templates, accepted=True)


def load_swap() -> Callable[[Defaced, Iterable[Image]], NDArray]:
    """Return a function that compares a published head with what each candidate would have given."""
    swapper = Swapper(make_template_set("WholeHead", ("face",)))
    return lambda published, images: swapper.differences(published, map(swapper.face_in, images))


def _levels(image: Image, scan: Volume) -> tuple[float, float]:
    """Return the levels of air and tissue in an image; `scan` is its coarse copy."""
    values = image.scaled(image.volumes[..., 0])
    at_blocks = nearest(values, image.affine, scan.to_world(np.argwhere(scan.seen > 0)))
    tissue = (scan.data > scan.tissue_threshold)[scan.seen > 0]
    if not tissue.any() or tissue.all():
        raise ImageError(f"{NAME}: shows no tissue, or no air")
    return float(np.nanmedian(at_blocks[~tissue])), float(np.nanmedian(at_blocks[tissue]))
