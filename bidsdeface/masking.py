"""Find the mask of a scan: of its set, of a person's hand, or of the template; or that it has no face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsdeface.dataset.scan import Head, Scan
from bidsdeface.errors import ImageError, RegistrationError
from bidsdeface.fitting import Fitted, Fitter, check_still, fit, to_start
from bidsdeface.imaging.drawnmask import read_drawn_mask
from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.image import Image, parse_image, read_bytes
from bidsdeface.imaging.volume import Volume, apply_affine, reduce_image, voxel_ml
from bidsdeface.quality.checks import faults
from bidsdeface.quality.evidence import Expected, measure_mask
from bidsdeface.quality.no_face import field_ends_before_face, is_bare_brain

BARE_BRAIN = "a bare brain"
FIELD_ENDS = "the field of view ends before the face"
HEAD_CENTRE_MM = np.array([0.0, 15.0, -25.0])  # in the template; eyes and brain show in slices through it


@dataclass(frozen=True)
class Loaded:
    """A scan that has been read.

    Attributes
    ----------
    scan : Scan
    head : Head
    content : bytes
        The image file.
    image : Image
    volume : Volume
        Of the image, from `reduce_image`.
    """

    scan: Scan
    head: Head
    content: bytes
    image: Image
    volume: Volume


@dataclass(frozen=True)
class Masked:
    """A scan's mask and where it comes from.

    Attributes
    ----------
    mask : numpy.ndarray, shape (X, Y, Z), bool
        All False where there is no face.
    affine : numpy.ndarray, shape (4, 4)
        Of its grid.
    measures : dict of str to float
    fitted : Fitted or None
        None if no template was needed.
    no_face : str
        How it is certain that there is no face; empty where there is one.
    """

    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    measures: dict[str, float]
    fitted: Fitted | None = None
    no_face: str = ""


def load(scan: Scan, head: Head) -> Loaded:
    """Read a scan.

    Raises
    ------
    ImageError
        It cannot be read, or makes no sense.
    """
    content = read_bytes(scan.path)
    image = parse_image(content, scan.path)
    return Loaded(scan, head, content, image, reduce_image(image, str(scan.path)))


def take_from_set(masked: Masked, loaded: Loaded, fitter: Fitter, expected: Expected) -> Masked:
    """Return the mask of a set (echoes, inversions) for another scan of it, measured on that scan.

    Raises
    ------
    ImageError
        The scan is on another grid than the first of its set.
    RegistrationError
        The head has moved since.
    """
    image, fitted = loaded.image, masked.fitted
    if image.stored.shape[:3] != masked.mask.shape or not np.allclose(image.affine, masked.affine, atol=1e-3):
        raise ImageError(
            f"{loaded.scan.path}: is not on the grid of its set, and BIDS has one mask for a set; "
            "set it apart"
        )
    if fitted is None or dict(loaded.scan.entities).get("part", "mag") != "mag":
        return masked  # the phase shows no anatomy; it belongs to a magnitude, measured before
    check_still(str(loaded.scan.path), loaded.volume, fitted, fitter)
    own = measure_mask(loaded.volume, masked.mask, image.affine, fitted.registration, fitted.second, expected)
    return replace(masked, measures={**masked.measures, **own})


def take_drawn(path: Path, image: Image) -> Masked:
    """Return the mask that a person drew.

    Raises
    ------
    ImageError, UsageError
        It cannot be the mask of this scan.
    """
    mask = read_drawn_mask(path, image)
    return Masked(mask, image.affine, {"mask_ml": float(mask.sum()) * voxel_ml(image.affine)})


def find(
    loaded: Loaded, reference: Fitted | None, fitter: Fitter, expected: Expected, accepted: bool
) -> Masked:
    """Find the face with the template.

    Parameters
    ----------
    loaded : Loaded
    reference : Fitted or None
        Of another scan of this head.
    fitter : Fitter
    expected : Expected
    accepted : bool
        A person has looked: go on whatever speaks against it.

    Raises
    ------
    RegistrationError
        The scan and the template cannot be brought together, or not so that it could be trusted.
    """
    image = loaded.image
    shape = image.stored.shape[:3]
    try:
        fitted = fit(loaded.scan.stem, loaded.volume, reference, fitter, accepted)
    except RegistrationError:
        if is_bare_brain(loaded.volume, fitter.brain):
            return Masked(np.zeros(shape, bool), image.affine, {}, no_face=BARE_BRAIN)
        raise
    if faults(fitted.measures) and is_bare_brain(loaded.volume, fitter.brain):
        return Masked(np.zeros(shape, bool), image.affine, {}, no_face=BARE_BRAIN)
    for number, volume in enumerate(_volumes(image), start=1):
        check_still(f"volume {number}", volume, fitted, fitter)
    face = face_mask(
        shape,
        image.affine,
        fitted.registration,
        expected.regions_mm,
        expected.brain_mm,
        expected.guard_mm,
    )
    measures = {
        **fitted.measures,
        "brain_distance_mm": face.brain_distance_mm,
        "guard_depth_mm": face.guard_depth_mm,
        **measure_mask(loaded.volume, face.mask, image.affine, fitted.registration, fitted.second, expected),
    }
    if face.mask.any():
        return Masked(face.mask, image.affine, measures, fitted)
    del measures["brain_distance_mm"]  # of nothing
    placements = (fitted.registration.to_template, fitted.second)
    ends = field_ends_before_face(shape, image.affine, placements, expected.regions_mm)
    if faults(measures) or not ends:
        raise RegistrationError(
            "the face lies outside the field of view, but too near to be sure; cut the image farther "
            "from the face, or draw a mask and give it with --mask"
        )
    return Masked(face.mask, image.affine, measures, fitted, FIELD_ENDS)


def _volumes(image: Image) -> Iterator[Volume]:
    """Yield the volumes of an image that has more than one."""
    if image.stored.ndim > 3:
        series = image.stored.reshape(*image.stored.shape[:3], -1, order="F")
        for number in range(series.shape[-1]):
            yield reduce_image(replace(image, stored=series[..., number]), f"volume {number + 1}")


def middle(loaded: Loaded, masked: Masked | None, fitter: Fitter) -> NDArray[np.float64]:
    """Return where the slices of pictures go through: the head's middle, else that of the field of view.

    Returns
    -------
    numpy.ndarray, shape (3,)
        World, RAS+ mm.
    """
    if masked and masked.fitted:
        return apply_affine(np.linalg.inv(to_start(masked.fitted, fitter)), HEAD_CENTRE_MM)
    return apply_affine(loaded.image.affine, (np.array(loaded.image.stored.shape[:3]) - 1) / 2)
