"""Fit the template to the scans of a head: directly, or by way of the head's reference scan."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bidsdeface.errors import RegistrationError, TemplateError
from bidsdeface.head.options import DEFAULT_GUARD_MM
from bidsdeface.head.registered import RegisteredScan, TemplateSet, find_guard
from bidsdeface.imaging.affine import turn_about
from bidsdeface.imaging.brain import Brain, find_brain, fit_brain, grid_over_head
from bidsdeface.imaging.brainnet import load_weights
from bidsdeface.imaging.registration import (
    NO_HEAD,
    Placement,
    place,
    place_from,
    place_rigidly,
)
from bidsdeface.imaging.settle import settle, settle_rigidly
from bidsdeface.imaging.volume import Volume, apply_affine, evened, flattened
from bidsdeface.quality.checks import Rejected, failed_checks, failed_without_brain
from bidsdeface.quality.limits import is_brain_trusted, lies_on_reference
from bidsdeface.quality.measures import measure_fit, measure_placement, outline_likeness
from bidsdeface.templates.source import find_template, lend_region, whole_head
from bidsdeface.templates.template import make_template

LOGGER = logging.getLogger(__name__)
GOOD_BRAIN_FIT_MM = 2.0  # a brain whose surface fits the template's so well needs no second look
ANOTHER_START_RAD = np.radians([10.0, 4.0, -6.0])
LEFT_RIGHT_FLIP = np.diag([-1.0, 1.0, 1.0, 1.0])
OFF_MM, OFF_RAD = 15.0, np.radians(10.0)  # how far a head may move and turn between two series


def make_template_set(
    template_name: str, regions: tuple[str, ...], guard_mm: float = DEFAULT_GUARD_MM
) -> TemplateSet:
    """Load a template, and place it on WholeHead, which finds the heads and lends the masks that it lacks.

    Raises
    ------
    TemplateError
        The template is missing, or not what it says it is.
    """
    head = whole_head(regions)
    templates = TemplateSet(head, head, np.eye(4), load_weights(), regions, guard_mm)
    if template_name == head.name:
        return templates
    parts = find_template(template_name)
    try:
        to_head = fit(parts.name, parts.head, None, templates, accepted=False).to_template
    except RegistrationError as error:
        fault = error if isinstance(error, Rejected) else f"shows no head that {head.name} fits"
        raise TemplateError(f"template {parts.name}: {fault}; choose another template") from error
    lent = (name for name in regions if name not in parts.regions)
    masks = parts.regions | {name: lend_region(head.regions_mm[name], to_head, parts) for name in lent}
    template = make_template(parts.name, parts.head, parts.brain, {name: masks[name] for name in regions})
    return replace(templates, template=template, head_to_template=np.linalg.inv(to_head))


def fit(
    name: str,
    volume: Volume,
    reference: RegisteredScan | None,
    templates: TemplateSet,
    accepted: bool,
    is_anatomical: bool = True,
) -> RegisteredScan:
    """Find a scan's place: through the head's reference where that can be trusted, else directly.

    An image that is not anatomical (EPI) does not look like the template: if there is a reference, it finds
    its place by that alone. It is accepted if the two images agree; otherwise its own brain and its outline
    must put the face in the same place.

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
    is_anatomical : bool, optional

    Raises
    ------
    RegistrationError
        No place is found.
    Rejected
        One is found, but not to be trusted.
    """
    registered = reference and _on_reference(volume, reference, templates, only_brain_shows=not is_anatomical)
    if registered is None or (is_anatomical and failed_checks(registered.measures)):
        if reference is not None:
            LOGGER.info("%s: does not match %s; registered by itself", name, reference.reference)
        try:
            registered = _directly(name, volume, templates)
        except RegistrationError:
            if registered is None:
                raise
    if (failed := failed_checks(registered.measures)) and not accepted:
        raise Rejected(failed, registered.measures)
    return registered


def _directly(name: str, volume: Volume, templates: TemplateSet) -> RegisteredScan:
    """Place the template on a scan, from its brain if that is trusted and the outline agrees.

    A brain does not vouch for a placement that started from it: if the head's outline, which had no part in
    it, or anything else objects, the placement is searched for without the brain. Where a dark scalp or an
    uneven coil hides the head's shape, both succeed once the scan is flattened.
    """
    target = templates.template.target
    for scan in _as_it_is_and_flat(volume):
        with suppress(RegistrationError):
            brain, starts = _starts_by_brain(scan, templates)
            registered = _judge(name, volume, scan, place_from(scan, starts, target), brain, templates)
            objections = failed_checks(registered.measures) or failed_without_brain(registered.measures)
            if registered.brain and not objections:
                del registered.measures["lead"]  # there was no rival
                return _with_guard(registered, scan)
    searched = []
    for scan in _as_it_is_and_flat(volume):
        placement = place(scan, templates.head_template.pose, target, templates.head_to_template)
        searched.append((_judge(name, volume, scan, placement, None, templates), scan))
        if not failed_checks(searched[-1][0].measures):
            return _with_guard(*searched[-1])
    return _with_guard(*searched[0])


def _as_it_is_and_flat(volume: Volume) -> Iterator[Volume]:
    yield volume
    yield flattened(volume)


def _starts_by_brain(scan: Volume, templates: TemplateSet) -> tuple[Brain, list[NDArray]]:
    """Return a scan's brain, the placement by that alone, and the same turned a little."""
    surface = templates.head_template.brain_surface
    brain = find_brain(scan, grid_over_head(scan, surface), surface, templates.weights)
    if brain is None:
        raise RegistrationError(NO_HEAD)
    by_brain = fit_brain(brain, surface, brain.centred_on(surface)).to_template
    starts = [by_brain, turn_about(surface.centre, ANOTHER_START_RAD) @ by_brain]
    return brain, [templates.head_to_template @ start for start in starts]


def _judge(
    name: str, volume: Volume, scan: Volume, placed: Placement, brain: Brain | None, templates: TemplateSet
) -> RegisteredScan:
    """Settle a placement; measure it by the brain found already or, if that fits badly, found where it lies.

    `scan` is the volume, flattened or not, as it was placed.
    """
    hides = templates.face_regions(None).near
    placement = settle(volume, placed, templates.template.target, hides, is_flat=scan is not volume)
    to_head = templates.to_head(placement.to_template)
    if brain is not None:
        brain = fit_brain(brain, templates.head_template.brain_surface, to_head)
    if brain is None or brain.off_mm > GOOD_BRAIN_FIT_MM:
        brain = _brain_at(scan, to_head, templates)
    measures = measure_placement(scan, placement, to_head, templates.head_template, brain)
    return RegisteredScan(
        reference=name,
        volume=volume,
        to_template=placement.to_template,
        second_to_template=placement.second,
        measures=measures,
        templates=templates,
        brain=_trusted(brain, measures, templates),
    )


def _with_guard(registered: RegisteredScan, scan: Volume) -> RegisteredScan:
    """Return a placed scan with the brain that the guard follows."""
    if registered.brain is None:
        return registered
    placed = registered.volume, registered.to_template, registered.templates
    guard_brain = find_guard(registered.brain, *placed, is_flat=scan is not registered.volume)
    return replace(registered, guard_brain=guard_brain)


def _on_reference(
    volume: Volume, reference: RegisteredScan, templates: TemplateSet, only_brain_shows: bool
) -> RegisteredScan:
    """Return the place of a scan, or of a part of one, on its head's reference.

    If the two images vouch for each other, the reference's brain is the scan's; else its own is sought.
    """
    on_head = reference.points_on_head(stage=-1)  # many: a slab shows few
    middle = volume.to_world((np.array(volume.data.shape) - 1) / 2)
    half_turns = [turn_about(middle, turn) for turn in np.pi * np.eye(3)]
    small_moves = [
        turn_about(middle, way * OFF_RAD * np.roll(axis, 1), way * OFF_MM * axis)
        for axis, way in itertools.product(np.eye(3), (-1, 1))
    ]
    mirror = np.linalg.inv(reference.to_template) @ LEFT_RIGHT_FLIP @ reference.to_template
    starts = [np.eye(4), *half_turns, *small_moves]
    rigid = place_rigidly(evened(volume), evened(reference.volume), starts, on_head, mirror)
    hides = templates.face_regions(None).near
    rigid = settle_rigidly(volume, rigid, reference.volume, on_head, reference.to_template, hides)
    LOGGER.debug("placed on %s, similarity %.2f", reference.reference, rigid.similarity)
    to_template = reference.to_template @ rigid.to_template
    head = templates.head_template
    outline = apply_affine(np.linalg.inv(reference.head.to_head), head.outline.where)
    placement = replace(rigid, to_template=reference.to_template)  # how the template was deformed
    likeness = outline_likeness(volume, reference.volume, rigid.to_template, outline)
    measures = measure_fit(placement) | {"reference_likeness": likeness}
    brain, guard_brain = (
        brain and brain.moved(np.linalg.inv(rigid.to_template))
        for brain in (reference.brain, reference.guard_brain)
    )
    if not lies_on_reference(measures):
        to_head = templates.to_head(to_template)
        own = _brain_at(volume, to_head, templates)
        measures |= measure_placement(volume, placement, to_head, head, own, only_brain_shows)
        if trusted := _trusted(own, measures, templates):
            brain, guard_brain = trusted, find_guard(trusted, volume, to_template, templates)
    return RegisteredScan(
        reference=reference.reference,
        volume=volume,
        to_template=to_template,
        second_to_template=reference.second_to_template @ rigid.second,
        measures=measures,
        templates=templates,
        brain=brain,
        guard_brain=guard_brain,
    )


def _brain_at(volume: Volume, to_head: NDArray, templates: TemplateSet) -> Brain | None:
    """Return the brain of a scan whose place is known, laid on the template's."""
    surface = templates.head_template.brain_surface
    brain = find_brain(volume, to_head, surface, templates.weights)
    return brain and fit_brain(brain, surface, to_head)


def _trusted(brain: Brain | None, measures: dict[str, float], templates: TemplateSet) -> Brain | None:
    """Return a brain that places the template whose masks are used; None if it is not trusted."""
    return templates.on_template(brain) if brain and is_brain_trusted(measures) else None
