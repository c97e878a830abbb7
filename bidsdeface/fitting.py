"""Fit the template to the scans of a head: by itself, or by way of the head's reference scan."""

from __future__ import annotations

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
from bidsdeface.imaging.registration import Placement, disagreement_mm, place, place_from, place_rigidly
from bidsdeface.imaging.volume import Volume, apply_affine
from bidsdeface.quality.checks import Rejected, faults, is_brain_trusted, outline_faults
from bidsdeface.quality.face_seen import skin_of
from bidsdeface.quality.placement import measure_placement
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
# Of an image that is looked at: a brain, though much of it may be distorted or beyond the field of view.
LEAST_BRAIN_ML, BRAIN_MM, LEAD, LEAST_SIMILARITY = 300.0, 5.0, 1.5, 0.25
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
class Fitted:
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


def make_fitter(template_name: str, regions: tuple[str, ...]) -> Fitter:
    """Load a template, and place it on WholeHead, which finds the heads, and lends what masks it lacks.

    Raises
    ------
    TemplateError
        The template is missing, or not what it says it is.
    """
    start = whole_head(regions)
    fitter = fitter_of(start)
    if template_name == start.name:
        return fitter
    parts = find_template(template_name)
    try:
        placed = fit(parts.name, parts.head, None, fitter, accepted=False)
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
    return replace(fitter, template=template, link=np.linalg.inv(placed.to_template))


def fitter_of(template: Template) -> Fitter:
    """Return what finds heads, judges them and masks them by one template alone."""
    pose = pose_template(template)
    surface = head_surface(template, pose)
    return Fitter(
        template,
        template,
        pose,
        surface,
        brain_surface(template.brain_mm),
        load_weights(),
        skin_of(surface.head_mm, template.regions_mm["face"]),
        np.eye(4),
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
    placement, brain, measures = _place(volume, fitter)
    LOGGER.debug("%s: %s placed, similarity %.2f", name, fitter.template.name, placement.similarity)
    if reference is not None:
        found = _through(volume, placement, brain, reference, fitter)
        LOGGER.debug("%s: placed on %s", name, reference.reference)
        if not faults(found.measures):
            return found
        LOGGER.info("%s: does not fit %s; registered by itself", name, reference.reference)
    if (against := faults(measures)) and not accepted:
        raise Rejected(against, measures)
    trusted = _trusted(brain, measures, placement.to_template, fitter)
    return Fitted(name, volume, placement.to_template, placement.second, measures, trusted)


def fit_to_reference(name: str, volume: Volume, reference: Fitted, fitter: Fitter, accepted: bool) -> Fitted:
    """Find the place of an image that does not look like the template (an EPI) by its head's reference.

    Evidence is that the rigid registration ends in one place from two starts, and fits worse from behind
    and upside down; and where its own brain, or the outline of what it shows, would put the face.

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
    on_head = _points_on_head(reference.to_template, fitter.template)
    centre = on_head.mean(axis=0)
    turns = [Rotation.from_rotvec(axis) for axis in (*(np.pi * np.eye(3)), ANOTHER_START_RAD)]
    starts = [_about(centre, turn) for turn in turns]
    rigid = place_rigidly(volume, reference.volume, starts, on_head)
    LOGGER.debug("%s: placed on %s, similarity %.2f", name, reference.reference, rigid.similarity)
    found = _by_reference(volume, rigid, None, reference, fitter, by_brain=True)
    if (against := faults(found.measures)) and not accepted:
        raise Rejected(against, found.measures)
    return replace(found, second=reference.second @ rigid.second)


def likely_places(volume: Volume, reference: Fitted | None, fitter: Fitter) -> list[np.ndarray]:
    """Return all ways in which a head may lie in an image that need not look like a head, such as EPI.

    By its own brain, half turns too where they fit nearly as well; and by its head's reference, where the
    header has it and by rigid registration. Cheap, and not enough to publish a mask by.

    Parameters
    ----------
    volume : Volume
        From `reduce_image`.
    reference : Fitted or None
    fitter : Fitter

    Returns
    -------
    list of numpy.ndarray, shape (4, 4)
        Scan world to the world of the template that heads are judged by. Empty if nothing can be told.
    """
    surface, found = fitter.brain_surface, []
    brain = find_brain(volume, grid_over_head(volume, surface), surface, fitter.weights)
    if brain is not None and brain.ml >= LEAST_BRAIN_ML:
        found += likely_placements(brain, surface, _centred(brain, surface), BRAIN_MM, LEAD)
    if reference is not None:
        on_head = _points_on_head(reference.to_template, fitter.template)
        start = _about(on_head.mean(axis=0), Rotation.from_rotvec(ANOTHER_START_RAD))
        rigid = place_rigidly(volume, reference.volume, [start], on_head)
        to_head = to_start(reference, fitter)
        found += [to_head, to_head @ rigid.to_template] if rigid.similarity >= LEAST_SIMILARITY else []
    return found


def _place(volume: Volume, fitter: Fitter) -> tuple[Placement, Brain | None, dict[str, float]]:
    """Place the template on a scan, from its brain if that is to be trusted and the outline agrees.

    A brain does not vouch for a placement that started from it: if the head's outline, which had no part in
    it, or anything else objects, the placement is searched for without the brain.

    Returns
    -------
    placement : Placement
    brain : Brain or None
        To be trusted or not.
    measures : dict of str to float

    Raises
    ------
    RegistrationError
        No place is found.
    """
    surface = fitter.brain_surface
    brain = find_brain(volume, grid_over_head(volume, surface), surface, fitter.weights)
    if brain is not None:
        with suppress(RegistrationError):
            placement = place_from(volume, _starts_by_brain(brain, fitter), fitter.template.landscape)
            brain, measures = _judge(volume, placement, brain, fitter)
            agreed = not faults(measures) and not outline_faults(measures)
            if agreed and is_brain_trusted(measures):
                del measures["lead"]  # there was no rival
                return placement, brain, measures
    placement = place(volume, fitter.pose, fitter.template.landscape, fitter.link)
    return placement, *_judge(volume, placement, brain, fitter)


def _starts_by_brain(brain: Brain, fitter: Fitter) -> list[np.ndarray]:
    """Return where a brain alone places the template, and that turned a little: scan world to template."""
    surface = fitter.brain_surface
    by_brain = fit_brain(brain, surface, _centred(brain, surface)).to_template
    turned = _about(surface.centre, Rotation.from_rotvec(ANOTHER_START_RAD)) @ by_brain
    return [fitter.link @ by_brain, fitter.link @ turned]


def _centred(brain: Brain, surface: Surface) -> np.ndarray:
    """Return the shift that lays a brain's middle on the template's, scan world to template world."""
    shift = np.eye(4)
    shift[:3, 3] = surface.centre - brain.places.mean(axis=0)
    return shift


def _judge(
    volume: Volume, placement: Placement, brain: Brain | None, fitter: Fitter
) -> tuple[Brain | None, dict[str, float]]:
    """Measure a placement by the brain found already; if that fits badly, by one found where it lies."""
    to_template = placement.to_template
    measures = measure(volume, placement, to_template, fitter, brain)
    if measures.get("brain_fit_mm", np.inf) <= CLEAR_MM:
        return brain, measures
    to_start = np.linalg.inv(fitter.link) @ to_template
    again = find_brain(volume, to_start, fitter.brain_surface, fitter.weights)
    return again, measure(volume, placement, to_template, fitter, again)


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
    fitter: Fitter,
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
    fitter : Fitter
    brain : Brain or None
        The scan's own, if one was found.
    by_brain : bool
        The scan may not show skull and scalp: its outline is that of the brain.
    """
    to_start = np.linalg.inv(fitter.link) @ to_template
    return measure_placement(
        volume,
        placement,
        to_start,
        fitter.pose,
        fitter.surface,
        fitter.start.regions_mm["face"],
        brain,
        fitter.brain_surface,
        fitter.start.brain_mm if by_brain else None,
    )


def to_start(fitted: Fitted, fitter: Fitter) -> np.ndarray:
    """Return the way from scan world to the world of the template that heads are judged by, (4, 4)."""
    return np.linalg.inv(fitter.link) @ fitted.to_template


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
    on_head = _points_on_head(fitted.to_template, fitter.template)
    moved = place_rigidly(volume, fitted.volume, [np.eye(4)], on_head)
    moved_mm = disagreement_mm(np.linalg.inv(moved.to_template), np.eye(4), on_head)
    comparable = moved.similarity >= STILL_SIMILARITY
    if (comparable or must_show) and not (comparable and moved_mm <= STILL_MM):
        raise RegistrationError(
            f"{name}: the head has moved by {moved_mm:.0f} mm (at most {STILL_MM:.0f} expected), or "
            "cannot be compared, and one mask is for all; align the images first, or set them apart"
        )
    return comparable


def _through(
    volume: Volume, placement: Placement, brain: Brain | None, reference: Fitted, fitter: Fitter
) -> Fitted:
    """Return a scan's place through its head's reference; its own placement is evidence."""
    to_template = reference.to_template
    start = np.linalg.inv(to_template) @ placement.to_template
    on_head = _points_on_head(to_template, fitter.template)
    rigid = place_rigidly(volume, reference.volume, [start], on_head)
    apart = disagreement_mm(
        np.linalg.inv(placement.to_template),
        np.linalg.inv(to_template @ rigid.to_template),
        fitter.template.landscape.probes,
    )
    # Rivals are sought by the scan's own placement alone; its lead counts.
    rival = rigid.similarity - (placement.similarity - placement.rival)
    rigid = replace(rigid, disagreement_mm=max(rigid.disagreement_mm, apart), rival=rival)
    found = _by_reference(volume, rigid, brain, reference, fitter)
    return replace(found, second=placement.to_template)


def _by_reference(
    volume: Volume,
    rigid: Placement,
    brain: Brain | None,
    reference: Fitted,
    fitter: Fitter,
    by_brain: bool = False,
) -> Fitted:
    """Return the place of a scan on which a reference lies; the reference's brain is its own if need be."""
    to_template = reference.to_template @ rigid.to_template
    if brain is None:
        grid = np.linalg.inv(fitter.link) @ to_template
        brain = find_brain(volume, grid, fitter.brain_surface, fitter.weights)
    placement = replace(rigid, to_template=reference.to_template)  # how the template was deformed
    measures = measure(volume, placement, to_template, fitter, brain, by_brain)
    trusted = _trusted(brain, measures, to_template, fitter)
    if trusted is None and reference.brain is not None:
        trusted = reference.brain.moved(np.linalg.inv(rigid.to_template))
    return Fitted(reference.reference, volume, to_template, to_template, measures, trusted)


def _trusted(
    brain: Brain | None, measures: dict[str, float], to_template: np.ndarray, fitter: Fitter
) -> Brain | None:
    """Return a brain with where its own surface places the template; None if it is not to be trusted."""
    if brain is None or not is_brain_trusted(measures):
        return None
    fitted = fit_brain(brain, fitter.brain_surface, np.linalg.inv(fitter.link) @ to_template)
    return replace(brain, to_template=fitter.link @ fitted.to_template)


def _points_on_head(to_template: np.ndarray, template: Template) -> np.ndarray:
    """Return places in brain, skull and scalp, none in the face, in scan world, mm, shape (N, 3)."""
    return apply_affine(np.linalg.inv(to_template), template.landscape.stages[1].where)
