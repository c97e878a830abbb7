"""Fit the template to the scans of a head: by itself, or by way of the head's reference scan."""

from __future__ import annotations

import itertools
import logging
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from bidsdeface.errors import RegistrationError, TemplateError
from bidsdeface.imaging.affine import Surface
from bidsdeface.imaging.brain import Brain, find_brain, fit_brain, grid_over_head, likely_placements
from bidsdeface.imaging.brainnet import Weights, load_weights
from bidsdeface.imaging.pose import PoseTemplate
from bidsdeface.imaging.registration import (
    NO_HEAD,
    Placement,
    disagreement_mm,
    place,
    place_from,
    place_rigidly,
)
from bidsdeface.imaging.volume import Volume, apply_affine, evened
from bidsdeface.quality.checks import Rejected, faults, is_brain_trusted, lies_on_reference, outline_faults
from bidsdeface.quality.face_seen import skin_of
from bidsdeface.quality.placement import measure_fit, measure_placement, outline_likeness
from bidsdeface.templates.source import find_template, lend_region, whole_head
from bidsdeface.templates.template import (
    HeadSurface,
    Template,
    brain_surface,
    head_surface,
    make_template,
    pose_template,
)

LOGGER = logging.getLogger(__name__)
STILL_MM = 3.0
STILL_SIMILARITY = 0.25
CLEAR_MM = 2.0  # a brain whose surface fits the template's so well needs no second look
ANOTHER_START_RAD = np.radians([10.0, 4.0, -6.0])
LEFT_RIGHT = np.diag([-1.0, 1.0, 1.0, 1.0])
OFF_MM, OFF_RAD = 15.0, np.radians(10.0)  # how far a head may move and turn between two series
# Of an image that is looked at: a brain, though much of it may be distorted or beyond the field of view.
LEAST_BRAIN_ML, BRAIN_MM, NEARLY_AS_GOOD, LEAST_SIMILARITY = 300.0, 5.0, 1.5, 0.25


@dataclass(frozen=True)
class TemplateSet:
    """What is needed of the templates, for any scan.

    Attributes
    ----------
    template : Template
        The one whose masks are used.
    start : Template
        The one that heads are found with, and judged by: WholeHead.
    pose : PoseTemplate
    surface : HeadSurface
    brain_surface : Surface
        All three of `start`.
    weights : mapping of str to numpy.ndarray
        Of the network that finds brains.
    skin : numpy.ndarray, shape (N, 3)
        Of the face of `start`, from `skin_of`.
    link : numpy.ndarray, shape (4, 4)
        World of `start` to world of `template`.
    """

    template: Template
    start: Template
    pose: PoseTemplate
    surface: HeadSurface
    brain_surface: Surface
    weights: Weights
    skin: np.ndarray
    link: np.ndarray


@dataclass(frozen=True)
class RegisteredScan:
    """A scan that has found its place.

    Attributes
    ----------
    reference : str
        Name of the scan that was registered to the template: this one, or its head's reference.
    volume : Volume
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, affine, RAS+ mm.
    second : numpy.ndarray, shape (4, 4)
        The same from another start.
    measures : dict of str to float
    brain : Brain or None
        The scan's own; None where it is not to be trusted.
    """

    reference: str
    volume: Volume
    to_template: np.ndarray
    second: np.ndarray
    measures: dict[str, float]
    brain: Brain | None = None


def make_template_set(template_name: str, regions: tuple[str, ...]) -> TemplateSet:
    """Load a template, and place it on WholeHead, which finds the heads, and lends what masks it lacks.

    Raises
    ------
    TemplateError
        The template is missing, or not what it says it is.
    """
    start = whole_head(regions)
    templates = template_set_of(start)
    if template_name == start.name:
        return templates
    parts = find_template(template_name)
    try:
        placed = fit(parts.name, parts.head, None, templates, accepted=False)
    except Rejected as error:
        raise TemplateError(f"template {parts.name}: {error}; choose another template") from error
    except RegistrationError as error:
        raise TemplateError(
            f"template {parts.name}: shows no head that {start.name} fits; choose another template"
        ) from error
    masks = {
        name: parts.regions[name]
        if name in parts.regions
        else lend_region(start.regions_mm[name], placed.to_template, parts)
        for name in regions
    }
    template = make_template(parts.name, parts.head, parts.brain, masks)
    return replace(templates, template=template, link=np.linalg.inv(placed.to_template))


def template_set_of(template: Template) -> TemplateSet:
    """Return what finds heads, judges them and masks them by one template alone."""
    pose = pose_template(template)
    surface = head_surface(template, pose)
    return TemplateSet(
        template,
        template,
        pose,
        surface,
        brain_surface(template.brain_mm),
        load_weights(),
        skin_of(surface.head_mm, template.regions_mm["face"]),
        np.eye(4),
    )


def fit(
    name: str, volume: Volume, reference: RegisteredScan | None, templates: TemplateSet, accepted: bool
) -> RegisteredScan:
    """Find a scan's place: through the head's reference where that can be trusted, else by itself.

    Parameters
    ----------
    name : str
        Of the scan.
    volume : Volume
        From `reduce_image`.
    reference : RegisteredScan or None
    templates : TemplateSet
    accepted : bool
        A person has looked: go on whatever speaks against it.

    Raises
    ------
    RegistrationError
        No place is found.
    Rejected
        One is found, but not to be trusted.
    """
    found = None
    if reference is not None:
        found = _on_reference(volume, reference, templates)
        if not faults(found.measures):
            return found
        LOGGER.info("%s: does not fit %s; registered by itself", name, reference.reference)
    try:
        found = _by_itself(name, volume, templates)
    except RegistrationError:
        if found is None:
            raise
    return _accepted(found, accepted)


def fit_to_reference(
    name: str, volume: Volume, reference: RegisteredScan, templates: TemplateSet, accepted: bool
) -> RegisteredScan:
    """Find the place of an image that does not look like the template (an EPI) by its head's reference.

    Evidence is that the two images vouch for each other; else where its own brain, or the outline of what it
    shows, would put the face.

    Parameters
    ----------
    name : str
        Of the image.
    volume : Volume
        From `reduce_image`.
    reference : RegisteredScan
    templates : TemplateSet
    accepted : bool
        A person has looked: go on whatever speaks against it.

    Raises
    ------
    Rejected
        It cannot be trusted.
    """
    return _accepted(_on_reference(volume, reference, templates, by_brain=True), accepted)


def likely_places(
    volume: Volume, reference: RegisteredScan | None, templates: TemplateSet
) -> list[np.ndarray]:
    """Return all ways in which a head may lie in an image that need not look like a head, such as EPI.

    By its own brain, half turns too where they fit nearly as well; and by its head's reference, where the
    header has it and by rigid registration. Cheap, and not enough to publish a mask by.

    Parameters
    ----------
    volume : Volume
        From `reduce_image`.
    reference : RegisteredScan or None
    templates : TemplateSet

    Returns
    -------
    list of numpy.ndarray, shape (4, 4)
        Scan world to the world of the template that heads are judged by. Empty if nothing can be told.
    """
    surface, found = templates.brain_surface, []
    brain = find_brain(volume, grid_over_head(volume, surface), surface, templates.weights)
    if brain is not None and brain.ml >= LEAST_BRAIN_ML:
        found += likely_placements(brain, surface, brain.centred_on(surface), BRAIN_MM, NEARLY_AS_GOOD)
    if reference is not None:
        on_head = _points_on_head(reference.to_template, templates.template)
        turned = _about(on_head.mean(axis=0), Rotation.from_rotvec(ANOTHER_START_RAD))
        rigid = place_rigidly(volume, reference.volume, [np.eye(4), turned], on_head)
        to_head = to_start(reference, templates)
        found += [to_head, to_head @ rigid.to_template] if rigid.similarity >= LEAST_SIMILARITY else []
    return found


def _accepted(registered: RegisteredScan, accepted: bool) -> RegisteredScan:
    """Return what was found, unless something speaks against it that no person has accepted."""
    if (against := faults(registered.measures)) and not accepted:
        raise Rejected(against, registered.measures)
    return registered


def _by_itself(name: str, volume: Volume, templates: TemplateSet) -> RegisteredScan:
    """Place the template on a scan, from its brain if that is to be trusted and the outline agrees.

    A brain does not vouch for a placement that started from it: if the head's outline, which had no part in
    it, or anything else objects, brain and placement are sought again with an uneven coil evened out; then
    the placement is searched for without the brain.

    Raises
    ------
    RegistrationError
        No place is found.
    """
    target = templates.template.target
    for is_evened in (False, True):
        scan = evened(volume) if is_evened else volume
        with suppress(RegistrationError):
            brain, starts = _starts_by_brain(scan, templates)
            found = _judge(name, scan, place_from(scan, starts, target), brain, templates)
            if found.brain and not faults(found.measures) and not outline_faults(found.measures):
                del found.measures["lead"]  # there was no rival
                return replace(found, volume=volume)
    return _judge(name, volume, place(volume, templates.pose, target, templates.link), None, templates)


def _starts_by_brain(scan: Volume, templates: TemplateSet) -> tuple[Brain, list[np.ndarray]]:
    """Return a scan's brain, where that alone places the template, and that turned a little."""
    surface = templates.brain_surface
    brain = find_brain(scan, grid_over_head(scan, surface), surface, templates.weights)
    if brain is None:
        raise RegistrationError(NO_HEAD)
    by_brain = fit_brain(brain, surface, brain.centred_on(surface)).to_template
    turned = _about(surface.centre, Rotation.from_rotvec(ANOTHER_START_RAD)) @ by_brain
    return brain, [templates.link @ by_brain, templates.link @ turned]


def _judge(
    name: str, volume: Volume, placement: Placement, brain: Brain | None, templates: TemplateSet
) -> RegisteredScan:
    """Measure a placement by the brain found already; if that fits badly, by one found where it lies."""
    to_template, measures = placement.to_template, dict[str, float]()
    if brain is not None:
        measures = measure(volume, placement, to_template, templates, brain)
    if measures.get("brain_fit_mm", np.inf) > CLEAR_MM:
        grid = np.linalg.inv(templates.link) @ to_template
        brain = find_brain(volume, grid, templates.brain_surface, templates.weights)
        measures = measure(volume, placement, to_template, templates, brain)
    trusted = _trusted(brain, measures, to_template, templates)
    return RegisteredScan(name, volume, to_template, placement.second, measures, trusted)


def _about(centre: np.ndarray, turn: Rotation) -> np.ndarray:
    """Return a rotation about a point, (4, 4)."""
    moved = np.eye(4)
    moved[:3, :3] = turn.as_matrix()
    moved[:3, 3] = centre - turn.apply(centre)
    return moved


def measure(
    volume: Volume,
    placement: Placement,
    to_template: np.ndarray,
    templates: TemplateSet,
    brain: Brain | None,
    by_brain: bool = False,
) -> dict[str, float]:
    """Measure how well the template lies on a scan.

    Parameters
    ----------
    volume : Volume
        From `reduce_image`.
    placement : Placement
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world; that of `placement`, unless it leads to a reference scan.
    templates : TemplateSet
    brain : Brain or None
        The scan's own, if one was found.
    by_brain : bool
        The scan may not show skull and scalp: its outline is that of the brain.
    """
    to_start = np.linalg.inv(templates.link) @ to_template
    return measure_placement(
        volume,
        placement,
        to_start,
        templates.pose,
        templates.surface,
        templates.start.regions_mm["face"],
        brain,
        templates.brain_surface,
        templates.start.brain_mm if by_brain else None,
    )


def to_start(registered: RegisteredScan, templates: TemplateSet) -> np.ndarray:
    """Return the way from scan world to the world of the template that heads are judged by, (4, 4)."""
    return np.linalg.inv(templates.link) @ registered.to_template


def check_still(
    name: str, volume: Volume, registered: RegisteredScan, templates: TemplateSet, must_show: bool = True
) -> bool:
    """Check that a head lies where it lay in another image: the two are to share one mask.

    Parameters
    ----------
    name : str
        What `volume` is, for the message.
    volume : Volume
        From `reduce_image`.
    registered : RegisteredScan
        The other image.
    templates : TemplateSet
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
    on_head = _points_on_head(registered.to_template, templates.template)
    moved = place_rigidly(volume, registered.volume, [np.eye(4)], on_head)
    moved_mm = disagreement_mm(np.linalg.inv(moved.to_template), np.eye(4), on_head)
    comparable = moved.similarity >= STILL_SIMILARITY
    if (comparable or must_show) and not (comparable and moved_mm <= STILL_MM):
        raise RegistrationError(
            f"{name}: the head has moved by {moved_mm:.0f} mm (at most {STILL_MM:.0f} expected), or "
            "cannot be compared, and one mask is for all; align the images first, or set them apart"
        )
    return comparable


def _on_reference(
    volume: Volume, reference: RegisteredScan, templates: TemplateSet, by_brain: bool = False
) -> RegisteredScan:
    """Return the place of a scan, or of a part of one, on its head's reference.

    If the two images vouch for each other, the reference's brain is the scan's; else its own is sought.
    """
    on_head = _points_on_head(reference.to_template, templates.template, stage=-1)  # many: a slab shows few
    middle = apply_affine(volume.affine, (np.array(volume.data.shape) - 1) / 2)
    starts = [np.eye(4), *(_about(middle, Rotation.from_rotvec(turn)) for turn in np.pi * np.eye(3))]
    for axis, way in itertools.product(np.eye(3), (-1, 1)):
        starts.append(_about(middle, Rotation.from_rotvec(way * OFF_RAD * np.roll(axis, 1))))
        starts[-1][:3, 3] += way * OFF_MM * axis
    mirror = np.linalg.inv(reference.to_template) @ LEFT_RIGHT @ reference.to_template
    rigid = place_rigidly(evened(volume), evened(reference.volume), starts, on_head, mirror)
    LOGGER.debug("placed on %s, similarity %.2f", reference.reference, rigid.similarity)
    to_template, second = (reference.to_template @ one for one in (rigid.to_template, rigid.second))
    outline = apply_affine(np.linalg.inv(to_start(reference, templates)), templates.surface.outline.where)
    placement = replace(rigid, to_template=reference.to_template)  # how the template was deformed
    likeness = outline_likeness(volume, reference.volume, rigid.to_template, outline)
    measures = measure_fit(placement) | {"reference_likeness": likeness}
    brain = reference.brain and reference.brain.moved(np.linalg.inv(rigid.to_template))
    if not lies_on_reference(measures):
        grid = np.linalg.inv(templates.link) @ to_template
        own = find_brain(volume, grid, templates.brain_surface, templates.weights)
        measures |= measure(volume, placement, to_template, templates, own, by_brain)
        brain = _trusted(own, measures, to_template, templates) or brain
    return RegisteredScan(
        reference.reference, volume, to_template, reference.second @ rigid.second, measures, brain
    )


def _trusted(
    brain: Brain | None, measures: dict[str, float], to_template: np.ndarray, templates: TemplateSet
) -> Brain | None:
    """Return a brain with where its own surface places the template; None if it is not to be trusted."""
    if brain is None or not is_brain_trusted(measures):
        return None
    registered = fit_brain(brain, templates.brain_surface, np.linalg.inv(templates.link) @ to_template)
    return replace(brain, to_template=templates.link @ registered.to_template)


def _points_on_head(to_template: np.ndarray, template: Template, stage: int = 1) -> np.ndarray:
    """Return places in brain, skull and scalp, none in the face, in scan world, mm, shape (N, 3)."""
    return apply_affine(np.linalg.inv(to_template), template.target.stages[stage].where)
