"""Find the mask of a scan: its set's, another's, drawn by hand, by the template; or that it has no face."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.kinds import ANATOMICAL, may_show_none
from bidsdeface.dataset.names import Head, Scan
from bidsdeface.errors import ImageError, RegistrationError
from bidsdeface.head.fit import (
    RegisteredScan,
    TemplateSet,
    check_still,
    fit,
    fit_to_reference,
    likely_places,
    measure,
    to_start,
)
from bidsdeface.head.series import brightest, check_series
from bidsdeface.imaging.facemask import face_mask, read_mask_by_hand
from bidsdeface.imaging.foldover import find_foldover, head_voxels, on_grid
from bidsdeface.imaging.image import Image, canonical, is_flat, is_on_grid, parse_image, read_bytes
from bidsdeface.imaging.registration import place
from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    in_blocks,
    reduce_image,
    tissue_threshold,
    voxel_ml,
    world_aligned,
)
from bidsdeface.quality.checks import Rejected, faults, lies_on_reference, outline_faults
from bidsdeface.quality.evidence import (
    EMPTIED,
    SPACING_MM,
    FaceRegions,
    measure_mask,
    measure_removed,
    tissue_left_ml,
)
from bidsdeface.quality.face_seen import face_seen
from bidsdeface.quality.no_face import field_ends_before_face, is_bare_brain

LOGGER = logging.getLogger(__name__)
BARE_BRAIN = "a bare brain"
FIELD_ENDS = "the field of view ends before the face"
DEFACED = "the face was removed before"
NONE_SEEN = "no face is seen where it would be"
# Below this, what is in the image has no outline of a head: field maps, EPI and phantoms reach 0.53.
LEAST_HEADLIKE = 0.6
# No piece of tissue that is smaller, or smaller in two directions, can be a face; the average one has 650 mL.
LEAST_FACE_ML, LEAST_FACE_MM = 100.0, 80.0
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
    registered : RegisteredScan or None
        None if no template was needed.
    folded : numpy.ndarray, shape (X, Y, Z), bool, or None
        Which part of the mask holds no face but what folded over to another place, if anything did.
    no_face : str
        How it is certain that there is no face; empty where there is one.
    lent_by : str
        Name of the scan whose mask this is, and whose measures; empty for a scan that was judged itself.
    """

    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    measures: dict[str, float]
    registered: RegisteredScan | None = None
    folded: NDArray[np.bool_] | None = None
    no_face: str = ""
    lent_by: str = ""


def load(scan: Scan, head: Head) -> Loaded:
    """Read a scan.

    Raises
    ------
    BidsdefaceError
        It is not here, cannot be read, or makes no sense.
    """
    check_fetched(scan.path, scan.bids_dir)
    content = read_bytes(scan.path)
    image = parse_image(content, scan.path)
    if may_show_none(scan.datatype, scan.suffix) and is_flat(image):
        first = image.stored.reshape(*image.stored.shape[:3], -1)[..., 0]
        blocks, affine = in_blocks(*canonical(first, image.affine))
        nothing = np.zeros(blocks.shape, np.float32)
        return Loaded(scan, head, content, image, Volume(nothing, affine, np.ones_like(nothing)))
    return Loaded(scan, head, content, image, reduce_image(image, str(scan.path)))


def mask_from_set(masked: Masked, loaded: Loaded, templates: TemplateSet, expected: FaceRegions) -> Masked:
    """Return the mask of a set (echoes, inversions) for another scan of it, measured on that scan.

    Raises
    ------
    ImageError
        The scan is on another grid than the first of its set.
    RegistrationError
        The head has moved since, or moves within the scan.
    """
    if not is_on_grid(loaded.image, masked.mask.shape, masked.affine):
        raise ImageError(
            f"{loaded.scan.path}: is not on the grid of its set, and BIDS has one mask for a set; "
            "set it apart"
        )
    registered = masked.registered
    if registered is None:
        return masked
    check_still(str(loaded.scan.path), loaded.volume, registered, templates)
    check_series(loaded.image, registered, templates, each=loaded.scan.datatype == ANATOMICAL)
    face = masked.mask if masked.folded is None else masked.mask & ~masked.folded
    own = _measure(loaded, face, registered, templates, expected)
    return replace(masked, measures={**masked.measures, **own})


def mask_from_file(path: Path, image: Image) -> Masked:
    """Return the mask that a person drew.

    Raises
    ------
    ImageError, UsageError
        It cannot be the mask of this scan.
    """
    mask = read_mask_by_hand(path, image)
    return Masked(mask, image.affine, {"mask_ml": float(mask.sum()) * voxel_ml(image.affine)})


def look(loaded: Loaded, reference: RegisteredScan | None, templates: TemplateSet, accepted: bool) -> Masked:
    """Return that an image which may show no face (EPI, DWI, ASL) shows none, wherever its head may lie.

    Parameters
    ----------
    loaded : Loaded
    reference : RegisteredScan or None
        Of another scan of this head.
    templates : TemplateSet
    accepted : bool
        A person has looked: an image that cannot be placed shows none.

    Raises
    ------
    Rejected
        A face is seen, or it cannot be told.
    """
    seen = face_in(loaded.image, loaded.volume, reference, templates)
    measures = {"face_seen": seen}
    if (found := faults(measures)) and not (accepted and np.isnan(seen)):
        cannot_tell = {"face_seen": "it cannot be placed, and so it may show a face"}
        raise Rejected(cannot_tell if np.isnan(seen) else found, measures)
    nothing = np.zeros(loaded.image.stored.shape[:3], bool)
    return Masked(nothing, loaded.image.affine, measures, no_face=NONE_SEEN)


def face_in(image: Image, volume: Volume, reference: RegisteredScan | None, templates: TemplateSet) -> float:
    """Return how much of a face an image shows, from `face_seen`; `volume` is of the image.

    Not a number where it cannot be placed, but has the outline of a head.
    """
    if not volume.data.any():
        return 0.0
    places = likely_places(volume, reference, templates)
    if not places and not is_headlike(volume, templates):
        return 0.0
    return face_seen([volume, *brightest(image)], places, templates.skin, templates.start.brain_mm)


def is_headlike(volume: Volume, templates: TemplateSet) -> bool:
    """Return True if what is in an image could be a face, and has the outline of a head or none that fits."""
    pieces, _ = ndimage.label(volume.data > tissue_threshold(volume))
    voxels = np.argwhere(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)
    sides_mm = np.sort((np.ptp(voxels, axis=0) + 1) * np.linalg.norm(volume.affine[:3, :3], axis=0))
    if len(voxels) * voxel_ml(volume.affine) < LEAST_FACE_ML or sides_mm[1] < LEAST_FACE_MM:
        return False
    try:
        placement = place(volume, templates.pose, templates.template.target)
    except RegistrationError:
        return True
    measures = measure(volume, placement, placement.to_template, templates, None)
    return measures["outline_correlation"] >= LEAST_HEADLIKE


def find(
    loaded: Loaded,
    reference: RegisteredScan | None,
    templates: TemplateSet,
    expected: FaceRegions,
    accepted: bool,
) -> Masked:
    """Find the face with the template.

    Parameters
    ----------
    loaded : Loaded
    reference : RegisteredScan or None
        Of another scan of this head.
    templates : TemplateSet
    expected : FaceRegions
    accepted : bool
        A person has looked: go on whatever speaks against it.

    Raises
    ------
    RegistrationError
        The scan and the template cannot be brought together, or not so that it could be trusted.
    """
    image, anatomical = loaded.image, loaded.scan.datatype == ANATOMICAL
    shape = image.stored.shape[:3]
    try:
        if anatomical or reference is None:
            registered = fit(loaded.scan.stem, loaded.volume, reference, templates, accepted)
        else:
            registered = fit_to_reference(loaded.scan.stem, loaded.volume, reference, templates, accepted)
    except RegistrationError:
        if is_bare_brain(loaded.volume, templates.brain_surface):
            return Masked(np.zeros(shape, bool), image.affine, {}, no_face=BARE_BRAIN)
        raise
    if outline_faults(registered.measures) and is_bare_brain(loaded.volume, templates.brain_surface):
        return Masked(np.zeros(shape, bool), image.affine, {}, no_face=BARE_BRAIN)
    check_series(image, registered, templates, each=anatomical)
    guard = expected.guard(registered.brain)
    face = face_mask(shape, image.affine, registered.to_template, expected.regions_mm, guard)
    measures = {
        **registered.measures,
        "guard_depth_mm": face.guard_depth_mm,
        **_measure(loaded, face.mask, registered, templates, expected),
    }
    if face.mask.any():
        if anatomical and _is_defaced(loaded.volume, registered, measures, expected):
            nothing = {"mask_ml": 0.0, "removed_share": 0.0}
            return Masked(
                np.zeros_like(face.mask), image.affine, measures | nothing, registered, no_face=DEFACED
            )
        masked = Masked(face.mask, image.affine, measures, registered)
        return _with_foldover(masked, loaded.volume, templates, accepted)
    for of_nothing in ("face_found", "emptied_share"):
        measures.pop(of_nothing, None)
    placements = (registered.to_template, registered.second)
    # Beside a reference, it shows no more of the head than that shows when it is defaced.
    ends = lies_on_reference(measures) or field_ends_before_face(
        shape, image.affine, placements, expected.regions_mm
    )
    if faults(measures) or not ends:
        raise RegistrationError(
            "the face lies outside the field of view, but too near to be sure; cut the image farther "
            "from the face, or draw a mask and give it with --mask"
        )
    return Masked(face.mask, image.affine, measures, registered, no_face=FIELD_ENDS)


def _measure(
    loaded: Loaded,
    mask: NDArray[np.bool_],
    registered: RegisteredScan,
    templates: TemplateSet,
    expected: FaceRegions,
) -> dict[str, float]:
    """Measure a mask on a scan."""
    coarse, affine = world_aligned(loaded.volume, SPACING_MM), loaded.image.affine
    stored = loaded.image.stored
    first = stored.reshape(*stored.shape[:3], -1, order="F")[..., 0]
    found = {
        **measure_mask(mask, affine, registered.second, registered.brain, expected),
        **measure_removed(
            coarse, first, mask, affine, to_start(registered, templates), templates.surface.head_mm
        ),
    }
    return {name: value for name, value in found.items() if name not in not_applicable(loaded.scan)}


def not_applicable(scan: Scan) -> tuple[str, ...]:
    """Name the measures that say nothing of a scan: EPI without fat, for one, shows little of a face."""
    return () if scan.datatype == ANATOMICAL else ("face_found",)


def _is_defaced(
    scan: Volume, registered: RegisteredScan, measures: dict[str, float], expected: FaceRegions
) -> bool:
    """Tell whether nothing speaks against the mask, and all that should be in it had been emptied before."""
    if measures["emptied_share"] < EMPTIED or faults(measures):
        return False
    placements = (registered.to_template, registered.second)
    guard = expected.guard(registered.brain)
    left = (tissue_left_ml(scan, placed, expected.regions_mm, guard) for placed in placements)
    return not any(faults({"tissue_left_ml": ml}) for ml in left)


def _with_foldover(masked: Masked, scan: Volume, templates: TemplateSet, accepted: bool) -> Masked:
    """Add to a mask what folded over to another place, if anything did."""
    assert masked.registered
    to_head = to_start(masked.registered, templates)
    found = find_foldover(scan, to_head, templates.surface.head_mm)
    if found is None:
        return masked
    if found.sum() > head_voxels(scan, to_head, templates.surface.head_mm):
        if accepted:
            return masked
        raise RegistrationError(
            "the air around the head is as bright as tissue, more of it than a head, so what folded over "
            "cannot be told; give the padding the value of air, or draw a mask and give it with --mask"
        )
    folded = on_grid(found, scan.affine, masked.mask.shape, masked.affine)
    mask = masked.mask | folded
    sizes = {
        name: float(part.sum()) * voxel_ml(masked.affine)
        for name, part in (("mask_ml", mask), ("foldover_ml", folded))
    }
    LOGGER.info(
        "%s: something folded over; %.0f mL there are emptied too",
        masked.registered.reference,
        sizes["foldover_ml"],
    )
    return replace(masked, mask=mask, folded=folded, measures=masked.measures | sizes)


def middle(loaded: Loaded, masked: Masked | None, templates: TemplateSet) -> NDArray[np.float64]:
    """Return where the slices of pictures go through: the head's middle, or what is in view nearest to it.

    Returns
    -------
    numpy.ndarray, shape (3,)
        World, RAS+ mm.
    """
    affine, last = loaded.image.affine, np.array(loaded.image.stored.shape[:3]) - 1
    if not (masked and masked.registered):
        return apply_affine(affine, last / 2)
    centre = apply_affine(np.linalg.inv(to_start(masked.registered, templates)), HEAD_CENTRE_MM)
    return apply_affine(affine, np.clip(apply_affine(np.linalg.inv(affine), centre), 0, last))
