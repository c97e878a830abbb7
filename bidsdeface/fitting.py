"""Fit the template to the scans of a head: by itself, or by way of the head's reference scan."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from bidsdeface.errors import RegistrationError, TemplateError
from bidsdeface.imaging.pose import PoseTemplate
from bidsdeface.imaging.registration import (
    Placement,
    Registration,
    disagreement_mm,
    place,
    place_rigidly,
    through,
    warp_brain,
)
from bidsdeface.imaging.volume import Volume, apply_affine
from bidsdeface.quality.checks import Rejected, faults
from bidsdeface.quality.no_face import BrainShape, brain_shape
from bidsdeface.quality.placement import measure_placement
from bidsdeface.templates.source import find_template, lend_region, whole_head
from bidsdeface.templates.template import (
    HeadSurface,
    Template,
    head_surface,
    make_template,
    pose_template,
)

LOGGER = logging.getLogger(__name__)
STILL_MM = 3.0
STILL_SIMILARITY = 0.25
ANOTHER_START_RAD = np.radians([10.0, 4.0, -6.0])  # how far a head may turn between two series


@dataclass(frozen=True)
class Fitter:
    """What is needed of the templates, for any scan.

    Attributes
    ----------
    template : Template
        The one whose masks are used.
    start : Template
        The one that heads are found with, and judged by: WholeHead.
    pose : PoseTemplate
    surface : HeadSurface
    brain : BrainShape
        All three of `start`.
    link : numpy.ndarray, shape (4, 4)
        World of `start` to world of `template`.
    work_dir : pathlib.Path
        Private.
    """

    template: Template
    start: Template
    pose: PoseTemplate
    surface: HeadSurface
    brain: BrainShape
    link: np.ndarray
    work_dir: Path


@dataclass(frozen=True)
class Fitted:
    """A scan that has found its place.

    Attributes
    ----------
    reference : str
        Name of the scan that was registered to the template: this one, or its head's reference.
    volume : Volume
    registration : Registration
    second : numpy.ndarray, shape (4, 4)
        Scan world to template world, from another start.
    measures : dict of str to float
    """

    reference: str
    volume: Volume
    registration: Registration
    second: np.ndarray
    measures: dict[str, float]


def make_fitter(template_name: str, regions: tuple[str, ...], work_dir: Path) -> Fitter:
    """Load a template, and place it on WholeHead, which finds the heads, and lends what masks it lacks.

    Raises
    ------
    TemplateError
        The template is missing, or not what it says it is.
    """
    start = whole_head(regions)
    fitter = fitter_of(start, work_dir)
    if template_name == start.name:
        return fitter
    parts = find_template(template_name)
    try:
        placement = place(parts.head, fitter.pose, start.landscape)
    except RegistrationError as error:
        raise TemplateError(
            f"template {parts.name}: shows no head that {start.name} fits; choose another template"
        ) from error
    if found := faults(measure(parts.head, placement, placement.to_template, fitter)):
        raise TemplateError(f"template {parts.name}: {'; '.join(found.values())}; choose another template")
    masks = {
        name: parts.regions[name]
        if name in parts.regions
        else lend_region(start.regions_mm[name], placement.to_template, parts)
        for name in regions
    }
    template = make_template(parts.name, parts.head, parts.brain, masks)
    return replace(fitter, template=template, link=np.linalg.inv(placement.to_template))


def fitter_of(template: Template, work_dir: Path) -> Fitter:
    """Return what finds heads, judges them and masks them by one template alone."""
    pose = pose_template(template)
    return Fitter(
        template,
        template,
        pose,
        head_surface(template, pose),
        brain_shape(template.brain_mm, template.landscape.stages[1]),
        np.eye(4),
        work_dir,
    )


def fit(name: str, volume: Volume, reference: Fitted | None, fitter: Fitter, accepted: bool) -> Fitted:
    """Find a scan's place: through the head's reference where that can be trusted, else by itself.

    Parameters
    ----------
    name : str
        Of the scan.
    volume : Volume
        From `reduce_image`.
    reference : Fitted or None
    fitter : Fitter
    accepted : bool
        A person has looked: go on whatever speaks against it.

    Raises
    ------
    RegistrationError
        No place is found.
    Rejected
        One is found, but not to be trusted.
    """
    template = fitter.template
    placement = place(volume, fitter.pose, template.landscape, fitter.link)
    LOGGER.debug("%s: %s placed, similarity %.2f", name, template.name, placement.similarity)
    if reference is not None:
        registration = _through(volume, placement, reference, template)
        measures = measure(volume, registration.placement, registration.to_template, fitter)
        LOGGER.debug("%s: placed on %s, similarity %.2f", name, reference.reference, measures["similarity"])
        if not faults(measures):
            return Fitted(reference.reference, volume, registration, placement.to_template, measures)
        LOGGER.info("%s: does not fit %s; registered by itself", name, reference.reference)
    measures = measure(volume, placement, placement.to_template, fitter)
    found = faults(measures)
    if found and not accepted:
        raise Rejected(found, measures)
    registration = warp_brain(volume, placement, template.landscape, template.brain_mm, fitter.work_dir)
    LOGGER.debug("%s: brain warped, by %.1f mm at most", name, np.abs(registration.warp_mm).max())
    return Fitted(name, volume, registration, placement.second, measures)


def fit_to_reference(name: str, volume: Volume, reference: Fitted, fitter: Fitter, accepted: bool) -> Fitted:
    """Find the place of an image that does not look like the template (an EPI) by its head's reference.

    Evidence is that the rigid registration ends in one place from two starts, and fits worse from behind
    and upside down; and where the outline of what the image shows would put the face.

    Parameters
    ----------
    name : str
        Of the image.
    volume : Volume
        From `reduce_image`.
    reference : Fitted
    fitter : Fitter
    accepted : bool
        A person has looked: go on whatever speaks against it.

    Raises
    ------
    Rejected
        It cannot be trusted.
    """
    to_template = reference.registration.to_template
    on_head = _points_on_head(to_template, fitter.template)
    centre = on_head.mean(axis=0)
    turns = [Rotation.from_rotvec(axis) for axis in (*(np.pi * np.eye(3)), ANOTHER_START_RAD)]
    starts = [_about(centre, turn) for turn in turns]
    rigid = place_rigidly(volume, reference.volume, starts, on_head)
    LOGGER.debug("%s: placed on %s, similarity %.2f", name, reference.reference, rigid.similarity)
    registration = through(reference.registration, rigid)
    measures = measure(volume, registration.placement, registration.to_template, fitter, by_brain=True)
    found = faults(measures)
    if found and not accepted:
        raise Rejected(found, measures)
    return Fitted(reference.reference, volume, registration, reference.second @ rigid.second, measures)


def _about(centre: np.ndarray, turn: Rotation) -> np.ndarray:
    """Return a rotation about a point, (4, 4)."""
    moved = np.eye(4)
    moved[:3, :3] = turn.as_matrix()
    moved[:3, 3] = centre - turn.apply(centre)
    return moved


def measure(
    volume: Volume, placement: Placement, to_template: np.ndarray, fitter: Fitter, by_brain: bool = False
) -> dict[str, float]:
    """Measure how well the template lies on a scan.

    Parameters
    ----------
    volume : Volume
        From `reduce_image`.
    placement : Placement
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world; that of `placement`, unless it leads to a reference scan.
    fitter : Fitter
    by_brain : bool
        The scan may not show skull and scalp: its outline is that of the brain.
    """
    to_start = np.linalg.inv(fitter.link) @ to_template
    face_mm = fitter.start.regions_mm["face"]
    brain_mm = fitter.start.brain_mm if by_brain else None
    return measure_placement(volume, placement, to_start, fitter.pose, fitter.surface, face_mm, brain_mm)


def to_start(fitted: Fitted, fitter: Fitter) -> np.ndarray:
    """Return the way from scan world to the world of the template that heads are judged by, (4, 4)."""
    return np.linalg.inv(fitter.link) @ fitted.registration.to_template


def check_still(name: str, volume: Volume, fitted: Fitted, fitter: Fitter, must_show: bool = True) -> bool:
    """Check that a head lies where it lay in another image: the two are to share one mask.

    Parameters
    ----------
    name : str
        What `volume` is, for the message.
    volume : Volume
        From `reduce_image`.
    fitted : Fitted
        The other image.
    fitter : Fitter
    must_show : bool
        Whether an image that cannot be compared is refused as well.

    Returns
    -------
    bool
        Whether it could be compared.

    Raises
    ------
    RegistrationError
        It has moved by more than `STILL_MM`.
    """
    on_head = _points_on_head(fitted.registration.to_template, fitter.template)
    moved = place_rigidly(volume, fitted.volume, [np.eye(4)], on_head)
    moved_mm = disagreement_mm(np.linalg.inv(moved.to_template), np.eye(4), on_head)
    comparable = moved.similarity >= STILL_SIMILARITY
    if (comparable or must_show) and not (comparable and moved_mm <= STILL_MM):
        raise RegistrationError(
            f"{name}: the head has moved by {moved_mm:.0f} mm (at most {STILL_MM:.0f} expected), or "
            "cannot be compared, and one mask is for all; align the images first, or set them apart"
        )
    return comparable


def _through(volume: Volume, placement: Placement, reference: Fitted, template: Template) -> Registration:
    to_template = reference.registration.to_template
    start = np.linalg.inv(to_template) @ placement.to_template
    rigid = place_rigidly(volume, reference.volume, [start], _points_on_head(to_template, template))
    apart = disagreement_mm(
        np.linalg.inv(placement.to_template),
        np.linalg.inv(to_template @ rigid.to_template),
        template.landscape.probes,
    )
    # Rivals are sought by the scan's own placement alone; its lead counts.
    rival = rigid.similarity - (placement.similarity - placement.rival)
    rigid = replace(rigid, disagreement_mm=max(rigid.disagreement_mm, apart), rival=rival)
    return through(reference.registration, rigid)


def _points_on_head(to_template: np.ndarray, template: Template) -> np.ndarray:
    """Return places in brain, skull and scalp, none in the face, in scan world, mm, shape (N, 3)."""
    return apply_affine(np.linalg.inv(to_template), template.landscape.stages[1].where)
