"""Find the mask of a scan by the template, or evidence that the scan shows no face."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.kinds import ANATOMICAL, may_show_none
from bidsdeface.dataset.names import Head, Scan
from bidsdeface.errors import RegistrationError
from bidsdeface.head.fit import fit
from bidsdeface.head.likely_places import likely_places
from bidsdeface.head.registered import RegisteredScan, TemplateSet
from bidsdeface.head.series import brightest, check_series
from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.foldover import find_foldover, on_grid
from bidsdeface.imaging.image import Image, canonical, is_flat, parse_image, read_bytes
from bidsdeface.imaging.registration import place
from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    in_blocks,
    largest_piece,
    reduce_image,
    voxel_ml,
    voxel_places,
    world_aligned,
)
from bidsdeface.quality.checks import Rejected, failed_checks, failed_without_brain
from bidsdeface.quality.limits import EMPTIED, lies_on_reference
from bidsdeface.quality.measures import (
    MEASURE_SPACING_MM,
    measure_mask,
    measure_placement,
    measure_removed,
    tissue_left_ml,
)
from bidsdeface.quality.no_face import face_seen, field_ends_before_face, is_bare_brain
from bidsdeface.templates.template import Template

LOGGER = logging.getLogger(__name__)
# Below this, the content of an image has no outline of a head: field maps, EPI and phantoms reach 0.53.
MIN_HEADLIKE = 0.6
# No piece of tissue that is smaller, or smaller in two directions, can be a face; the average one has 650 mL.
MIN_FACE_ML, MIN_FACE_MM = 100.0, 80.0
HEAD_CENTRE_MM = np.array([0.0, 15.0, -25.0])  # in the template; eyes and brain show in slices through it


class NoFace(str, Enum):
    """How it is certain that an image shows no face."""

    BARE_BRAIN = "a bare brain"
    FIELD_ENDS = "the field of view ends before the face"
    DEFACED = "the face was removed before"
    NONE_SEEN = "no face is seen where it would be"


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
        The part of the mask that holds no face but what folded over to another place, if anything did.
    no_face : NoFace or None
        How it is certain that there is no face; None where there is one.
    lent_by : str
        Name of the scan whose mask this is, and whose measures; empty for a scan that was judged itself.
    accepted_for : str
        Name of the scan for which a person has accepted the mask against an objection; empty if nothing
        objected to it.
    """

    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    measures: dict[str, float]
    registered: RegisteredScan | None = None
    folded: NDArray[np.bool_] | None = None
    no_face: NoFace | None = None
    lent_by: str = ""
    accepted_for: str = ""

    @property
    def guard(self) -> Callable[[NDArray], NDArray] | None:
        """The signed distance in mm from scan world points to the brain guard; None if the mask had none."""
        if self.registered is None or self.no_face:
            return None
        distance = self.registered.regions.guard_distance
        return partial(distance, to_template=self.registered.to_template, affine=self.affine)


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
        blocks, affine = in_blocks(*canonical(image.volumes[..., 0], image.affine))
        nothing = np.zeros(blocks.shape, np.float32)
        return Loaded(scan, head, content, image, Volume(nothing, affine, np.ones_like(nothing)))
    return Loaded(scan, head, content, image, reduce_image(image, str(scan.path)))


def mask_from_template(
    loaded: Loaded, reference: RegisteredScan | None, templates: TemplateSet, accepted: bool
) -> Masked:
    """Find the face with the template.

    Parameters
    ----------
    loaded : Loaded
    reference : RegisteredScan or None
        Of another scan of this head.
    templates : TemplateSet
    accepted : bool
        A person has looked: go on whatever speaks against it.

    Raises
    ------
    RegistrationError
        The scan and the template cannot be brought together, or not so that it could be trusted.
    """
    image, is_anatomical = loaded.image, loaded.scan.datatype == ANATOMICAL
    shape, surface = image.stored.shape[:3], templates.head_template.brain_surface
    bare = Masked(np.zeros(shape, bool), image.affine, {}, no_face=NoFace.BARE_BRAIN)
    try:
        registered = fit(loaded.scan.stem, loaded.volume, reference, templates, accepted, is_anatomical)
    except RegistrationError:
        if is_bare_brain(loaded.volume, surface):
            return bare
        raise
    if failed_without_brain(registered.measures) and is_bare_brain(loaded.volume, surface):
        return bare
    check_series(image, registered, each=is_anatomical)
    mask = face_mask(shape, image.affine, registered.to_template, registered.regions)
    measures = {
        **registered.measures,
        "guard_to_skin_mm": registered.guard_to_skin_mm(image.affine),
        **measure_on_scan(loaded, mask, registered),
    }
    masked = Masked(mask, image.affine, measures, registered)
    if mask.any():
        if is_anatomical and _was_defaced(loaded.volume, registered, measures):
            nothing = {"mask_ml": 0.0, "removed_share": 0.0}
            return replace(
                masked, mask=np.zeros_like(mask), measures=measures | nothing, no_face=NoFace.DEFACED
            )
        return _with_foldover(masked, registered, accepted)
    for of_nothing in ("face_found", "emptied_share"):
        measures.pop(of_nothing, None)
    # Beside a reference, it shows no more of the head than that shows when it is defaced.
    placements = (registered.to_template, registered.second_to_template)
    ends = lies_on_reference(measures) or field_ends_before_face(
        shape, image.affine, placements, registered.regions
    )
    if failed_checks(measures) or not ends:
        raise RegistrationError(
            "the face seems to lie outside the field of view, but too close to its edge to be sure; cut the "
            "image farther from the face, or draw a mask and give it with --mask"
        )
    return replace(masked, no_face=NoFace.FIELD_ENDS)


def no_face_seen(
    loaded: Loaded, reference: RegisteredScan | None, templates: TemplateSet, accepted: bool
) -> Masked:
    """Return an empty mask for an image (EPI, DWI, ASL) that shows no face, wherever its head may lie.

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
        A face is seen, or the head may lie anywhere.
    """
    seen = face_in(loaded.image, loaded.volume, reference, templates)
    measures = {"face_seen": seen}
    if (failed := failed_checks(measures)) and not (accepted and np.isnan(seen)):
        cannot_tell = {"face_seen": "it cannot be placed, so it may show a face"}
        raise Rejected(cannot_tell if np.isnan(seen) else failed, measures)
    nothing = np.zeros(loaded.image.stored.shape[:3], bool)
    return Masked(nothing, loaded.image.affine, measures, no_face=NoFace.NONE_SEEN)


def face_in(image: Image, volume: Volume, reference: RegisteredScan | None, templates: TemplateSet) -> float:
    """Return the value of `face_seen` for an image; `volume` is its coarse copy.

    Not a number where it cannot be placed, but has the outline of a head.
    """
    if not volume.data.any():
        return 0.0
    places = likely_places(volume, reference, templates)
    if not places and not is_headlike(volume, templates.head_template):
        return 0.0
    return face_seen([volume, *brightest(image)], places, templates.head_template)


def is_headlike(volume: Volume, template: Template) -> bool:
    """Return True if what is in an image could be a face, and has the outline of a head or none that fits."""
    voxels = np.argwhere(largest_piece(volume.data > volume.tissue_threshold))
    sides_mm = np.sort((np.ptp(voxels, axis=0) + 1) * volume.voxel_mm)
    if len(voxels) * volume.voxel_ml < MIN_FACE_ML or sides_mm[1] < MIN_FACE_MM:
        return False
    try:
        placement = place(volume, template.pose, template.target)
    except RegistrationError:
        return True
    measures = measure_placement(volume, placement, placement.to_template, template, None)
    return measures["outline_correlation"] >= MIN_HEADLIKE


def measure_on_scan(loaded: Loaded, mask: NDArray[np.bool_], registered: RegisteredScan) -> dict[str, float]:
    """Measure a mask on a scan."""
    coarse, affine = world_aligned(loaded.volume, MEASURE_SPACING_MM), loaded.image.affine
    measures = {
        **measure_mask(mask, affine, registered.brain),
        **measure_removed(coarse, loaded.image.volumes[..., 0], mask, affine, registered.head),
    }
    return {name: value for name, value in measures.items() if name not in not_applicable(loaded.scan)}


def not_applicable(scan: Scan) -> tuple[str, ...]:
    """Name the measures that do not apply to a scan: EPI without fat, say, shows little of a face."""
    return () if scan.datatype == ANATOMICAL else ("face_found",)


def _was_defaced(scan: Volume, registered: RegisteredScan, measures: dict[str, float]) -> bool:
    """Return True if no check failed, and all that the mask should hold had been emptied before."""
    if measures["emptied_share"] < EMPTIED or failed_checks(measures):
        return False
    placements = (registered.to_template, registered.second_to_template)
    return not any(
        failed_checks({"tissue_left_ml": tissue_left_ml(scan, placed, registered.regions)})
        for placed in placements
    )


def _with_foldover(masked: Masked, registered: RegisteredScan, accepted: bool) -> Masked:
    """Add to a mask what folded over to another place, if anything did."""
    scan, head = registered.volume, registered.head
    found = find_foldover(scan, head)
    if found is None:
        return masked
    in_head = head.distance(voxel_places(scan.data.shape, scan.affine)) <= 0
    if found.sum() > in_head.sum():
        if accepted:
            return masked
        raise RegistrationError(
            "the background is as bright as tissue, so a nose that folded over cannot be recognised; give "
            "the padding the value of air, or draw a mask and give it with --mask"
        )
    folded = on_grid(found, scan.affine, masked.mask.shape, masked.affine)
    mask = masked.mask | folded
    parts = {"mask_ml": mask, "foldover_ml": folded}
    sizes = {name: float(part.sum()) * voxel_ml(masked.affine) for name, part in parts.items()}
    LOGGER.info(
        "%s: something folded over; %.0f mL there are emptied too",
        registered.reference,
        sizes["foldover_ml"],
    )
    return replace(masked, mask=mask, folded=folded, measures=masked.measures | sizes)


def head_of_template(
    loaded: Loaded, reference: RegisteredScan | None, templates: TemplateSet
) -> NDArray[np.bool_] | None:
    """Return where the template's head lies on a scan that got no mask, to be drawn; None if it has no place.

    Returns
    -------
    numpy.ndarray, shape (X, Y, Z), bool, or None
    """
    scan = loaded.volume
    try:
        registered = fit(
            loaded.scan.stem, scan, reference, templates, True, loaded.scan.datatype == ANATOMICAL
        )
    except RegistrationError:
        return None
    inside = registered.head.distance(voxel_places(scan.data.shape, scan.affine)) <= 0
    return on_grid(inside, scan.affine, loaded.image.stored.shape[:3], loaded.image.affine)


def middle(loaded: Loaded, masked: Masked | None) -> NDArray[np.float64]:
    """Return where the slices of pictures go through: the head's middle, or what is in view nearest to it.

    Returns
    -------
    numpy.ndarray, shape (3,)
        World, RAS+ mm.
    """
    affine, last = loaded.image.affine, np.array(loaded.image.stored.shape[:3]) - 1
    if not (masked and masked.registered):
        return apply_affine(affine, last / 2)
    centre = apply_affine(np.linalg.inv(masked.registered.head.to_head), HEAD_CENTRE_MM)
    return apply_affine(affine, np.clip(apply_affine(np.linalg.inv(affine), centre), 0, last))
