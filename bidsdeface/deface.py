"""Deface the scans of one head: read, register, mask, deface, verify, publish.

This is the whole way of the data for one head; each step is a call into the room that knows how.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from bidsdeface.dataset.layout import outputs_of
from bidsdeface.dataset.metadata import read_metadata
from bidsdeface.dataset.publish import Staging
from bidsdeface.dataset.resume import finished_scans, promise, remember_input
from bidsdeface.dataset.scan import Head, Scan
from bidsdeface.dataset.sidecar import image_sidecar, mask_sidecar, to_json
from bidsdeface.errors import (
    BidsdefaceError,
    ImageError,
    RegistrationError,
    TemplateError,
    UsageError,
    describe,
)
from bidsdeface.imaging.drawnmask import read_drawn_mask
from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.image import (
    Image,
    clean_header,
    mask_header,
    parse_image,
    read_bytes,
    read_image,
    write_image,
)
from bidsdeface.imaging.methods import background, remove
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
from bidsdeface.imaging.volume import Volume, apply_affine, reduce_image
from bidsdeface.outcome import BY_HAND, FAILED, KEPT, PASSED, Outcome, fail
from bidsdeface.privacy.state import State
from bidsdeface.quality.measures import PlacementMeasures, measure_placement
from bidsdeface.quality.readback import check_written
from bidsdeface.quality.verdict import MIN_SIMILARITY, mask_faults, placement_faults
from bidsdeface.report.figure import draw_defaced
from bidsdeface.settings import Settings
from bidsdeface.templates.source import load_template, whole_head
from bidsdeface.templates.template import Template, pose_template

LOGGER = logging.getLogger(__name__)
WAY_OUT = "look at the scan, and if it shows a head, draw its face mask and give it with --mask"
STILL_MM = 3.0
HEAD_CENTRE_MM = np.array([0.0, 15.0, -25.0])  # in the template; eyes and brain show in slices through it


@dataclass(frozen=True)
class Tools:
    """What a process needs for any head, made once.

    Attributes
    ----------
    settings : Settings
    template : Template
        The one whose masks are used.
    start : Template
        The one that heads are found with: WholeHead.
    pose : PoseTemplate
        Of `start`.
    link : numpy.ndarray, shape (4, 4)
        World of `start` to world of `template`.
    work_dir : pathlib.Path
        Private, and gone when the run ends.
    state : State or None
        What is private and stays.
    """

    settings: Settings
    template: Template
    start: Template
    pose: PoseTemplate
    link: np.ndarray
    work_dir: Path
    state: State | None = None


@dataclass(frozen=True)
class Registered:
    """A scan that has found its place.

    Attributes
    ----------
    reference : str
        Stem of the scan that was registered to the template: this one, or its head's reference.
    volume : Volume
    registration : Registration
    measures : PlacementMeasures
    """

    reference: str
    volume: Volume
    registration: Registration
    measures: PlacementMeasures


@dataclass(frozen=True)
class Masked:
    """A scan's mask and where it comes from.

    Attributes
    ----------
    mask : numpy.ndarray, shape (X, Y, Z), bool
    affine : numpy.ndarray, shape (4, 4)
        Of its grid.
    measures : dict of str to float
    reference : str or None
        Stem of the scan that was registered to the template; None if a person drew the mask.
    centre : numpy.ndarray, shape (3,)
        Through which the picture's slices go, world, mm.
    """

    mask: np.ndarray
    affine: np.ndarray
    measures: dict[str, float]
    reference: str | None
    centre: np.ndarray


def prepare(
    settings: Settings, work_dir: Path, state: State | None = None
) -> Callable[[Head], list[Outcome]]:
    """Load the template once, and return the function that defaces a head.

    Raises
    ------
    TemplateError
        The template is missing, or not what it says it is.
    """
    start = whole_head(settings.regions)
    pose = pose_template(start)
    template = start
    link: np.ndarray = np.eye(4)
    if settings.template != start.name:
        template = load_template(settings.template, settings.regions)
        try:
            placement = place(template.head, pose, start.landscape)
        except RegistrationError as error:
            raise TemplateError(
                f"template {settings.template}: shows no head that {start.name} fits; choose another template"
            ) from error
        measures = measure_placement(
            template.head, placement, placement.to_template, pose, start.regions_mm["face"]
        )
        if faults := placement_faults(measures):
            raise TemplateError(f"template {settings.template}: {'; '.join(faults)}; choose another template")
        link = np.linalg.inv(placement.to_template)
    tools = Tools(settings, template, start, pose, link, work_dir, state)
    return lambda head: deface_head(head, tools)


def deface_head(head: Head, tools: Tools) -> list[Outcome]:
    """Deface the scans of a head that an earlier run has not finished.

    A scan that fails is withdrawn, and costs no other scan. The reference goes first; if it cannot be
    registered, the next scan takes its place. Scans of one set (echoes, inversions) share one mask.

    Returns
    -------
    list of Outcome
        One for each scan.
    """
    settings = tools.settings
    kept = finished_scans(head, settings, tools.state)
    outcomes = []
    reference: Registered | None = None
    drawn: dict[PurePosixPath, Masked] = {}
    for scan in sorted(head.scans, key=lambda scan: scan != head.reference):
        outcome = Outcome(scan.stem, KEPT)
        if scan.stem not in kept or reference is None:
            try:
                content = read_bytes(scan.path)
                image = parse_image(content, scan.path)
                mask_name = outputs_of(scan).mask
                if mask_name in drawn:
                    masked = _shared(drawn[mask_name], image, scan)
                elif settings.mask:
                    mask = read_drawn_mask(settings.mask, image)
                    centre = apply_affine(image.affine, (np.array(mask.shape) - 1) / 2)
                    masked = Masked(mask, image.affine, {}, None, centre)
                else:
                    registered = _register(scan, image, reference, tools)
                    _check_still(image, registered, tools)
                    reference = reference or registered
                    masked = _by_template(image, registered, tools)
                drawn[mask_name] = masked
                if scan.stem not in kept:
                    outcome = _publish(scan, content, image, masked, head, tools)
            except UsageError as error:  # the request is wrong, not what is published
                outcome = Outcome(scan.stem, FAILED, (str(error),))
            except Exception as error:  # whatever one scan does, the others go on
                if scan.stem not in kept:
                    outcome = fail(head, scan, _reason(scan, error), settings.output_dir)
        outcomes.append(outcome)
    return outcomes


def _register(scan: Scan, image: Image, reference: Registered | None, tools: Tools) -> Registered:
    """Find a scan's place: through the head's reference where that can be trusted, else by itself.

    Raises
    ------
    RegistrationError
        With all that speaks against the placement.
    """
    volume, template = reduce_image(image, str(scan.path)), tools.template
    placement = place(volume, tools.pose, template.landscape, tools.link)
    LOGGER.debug("%s: %s placed, similarity %.2f", scan.stem, template.name, placement.similarity)
    if reference is not None:
        to_template = reference.registration.to_template
        on_head = _points_on_head(to_template, template)
        start = np.linalg.inv(to_template) @ placement.to_template
        rigid = place_rigidly(volume, reference.volume, start, on_head)
        apart = disagreement_mm(
            np.linalg.inv(placement.to_template),
            np.linalg.inv(to_template @ rigid.to_template),
            template.landscape.probes,
        )
        rigid = replace(rigid, disagreement_mm=max(rigid.disagreement_mm, apart))
        registration = through(reference.registration, rigid)
        LOGGER.debug("%s: placed on %s, similarity %.2f", scan.stem, reference.reference, rigid.similarity)
        measures = _measure(volume, registration.placement, registration.to_template, tools)
        if not placement_faults(measures):
            return Registered(reference.reference, volume, registration, measures)
        LOGGER.info("%s: does not fit %s; registered by itself", scan.stem, reference.reference)
    measures = _measure(volume, placement, placement.to_template, tools)
    if faults := placement_faults(measures):
        raise RegistrationError(f"{'; '.join(faults)}; {WAY_OUT}")
    registration = warp_brain(volume, placement, template.landscape, template.brain_mm, tools.work_dir)
    LOGGER.debug("%s: brain warped, by %.1f mm at most", scan.stem, np.abs(registration.warp_mm).max())
    return Registered(scan.stem, volume, registration, measures)


def _check_still(image: Image, registered: Registered, tools: Tools) -> None:
    """Check that the head holds still through the volumes of an image: they are to share one mask.

    Raises
    ------
    RegistrationError
        It moves by more than `STILL_MM`.
    """
    if image.stored.ndim < 4:
        return
    on_head = _points_on_head(registered.registration.to_template, tools.template)
    series = image.stored.reshape(*image.stored.shape[:3], -1, order="F")
    for number in range(series.shape[-1]):
        volume = reduce_image(replace(image, stored=series[..., number]), f"volume {number + 1}")
        moved = place_rigidly(volume, registered.volume, np.eye(4), on_head)
        moved_mm = disagreement_mm(np.linalg.inv(moved.to_template), np.eye(4), on_head)
        if moved_mm > STILL_MM or moved.similarity < MIN_SIMILARITY:
            raise RegistrationError(
                f"the head moves by {moved_mm:.0f} mm in volume {number + 1} "
                f"(at most {STILL_MM:.0f} expected); align the volumes first, or split the file"
            )


def _points_on_head(to_template: np.ndarray, template: Template) -> np.ndarray:
    """Return places in brain, skull and scalp, none in the face, in scan world, mm, shape (N, 3)."""
    return apply_affine(np.linalg.inv(to_template), template.landscape.stages[1].where)


def _measure(
    volume: Volume, placement: Placement, to_template: np.ndarray, tools: Tools
) -> PlacementMeasures:
    to_start = np.linalg.inv(tools.link) @ to_template
    return measure_placement(volume, placement, to_start, tools.pose, tools.start.regions_mm["face"])


def _by_template(image: Image, registered: Registered, tools: Tools) -> Masked:
    template, settings = tools.template, tools.settings
    face = face_mask(
        image.stored.shape[:3],
        image.affine,
        registered.registration,
        tuple(template.regions_mm[name] for name in settings.regions),
        template.brain_mm,
        settings.guard_mm,
    )
    if faults := mask_faults(face):
        raise RegistrationError(f"{'; '.join(faults)}; {WAY_OUT}")
    measures = {
        **asdict(registered.measures),
        "brain_distance_mm": face.brain_distance_mm,
        "guard_depth_mm": face.guard_depth_mm,
    }
    to_start = np.linalg.inv(tools.link) @ registered.registration.to_template
    head_centre = apply_affine(np.linalg.inv(to_start), HEAD_CENTRE_MM)
    return Masked(face.mask, image.affine, measures, registered.reference, head_centre)


def _shared(masked: Masked, image: Image, scan: Scan) -> Masked:
    """Return the mask of a set for another scan of it.

    Raises
    ------
    ImageError
        The scan is on another grid than the first of its set.
    """
    if image.stored.shape[:3] != masked.mask.shape or not np.allclose(image.affine, masked.affine, atol=1e-3):
        raise ImageError(
            f"{scan.path}: is not on the grid of its set, and BIDS has one mask for a set; set it apart"
        )
    return masked


def _publish(scan: Scan, content: bytes, image: Image, masked: Masked, head: Head, tools: Tools) -> Outcome:
    """Deface a scan, check the written files, and publish them; `content` is what the image was read from.

    Raises
    ------
    BidsdefaceError
        Something speaks against the result; nothing was published.
    """
    settings, outputs = tools.settings, outputs_of(scan)
    voxel_ml = float(abs(np.linalg.det(image.affine[:3, :3]))) / 1000
    verdict = BY_HAND if settings.mask else PASSED
    measures = {**masked.measures, "mask_ml": float(masked.mask.sum()) * voxel_ml}
    provenance = {
        **promise(settings),
        "Reference": masked.reference,
        "Verdict": verdict,
        "Measures": {_camel(name): round(value, 4) for name, value in measures.items()},
    }
    metadata = read_metadata(settings.bids_dir, scan)
    sources = [other.uri for other in head.scans if outputs_of(other).mask == outputs.mask]
    with Staging(settings.output_dir) as staging:
        files = {name: staging.folder / name.name for name in vars(outputs).values()}
        defaced = remove(image, masked.mask)
        write_image(files[outputs.image], clean_header(image.header), defaced, settings.omp_nthreads)
        written = read_image(files[outputs.image])
        check_written(image, written, masked.mask, background(image))
        LOGGER.debug("%s: defaced, written, read back and compared", scan.stem)
        write_image(files[outputs.mask], mask_header(image.header), masked.mask.view(np.uint8))
        files[outputs.mask_sidecar].write_text(to_json(mask_sidecar(provenance, sources)))
        draw_defaced(files[outputs.figure], written, masked.centre)
        files[outputs.image_sidecar].write_text(to_json(image_sidecar(metadata, provenance, scan.uri)))
        remember_input(tools.state, settings.output_dir, scan, content, metadata, files[outputs.image])
        staging.publish(files)
    return Outcome(scan.stem, verdict, measures=provenance["Measures"])


def _camel(name: str) -> str:
    """Return a measure's name as BIDS spells them: brain_distance_mm is BrainDistanceMM."""
    return "".join(word.upper() if word in ("mm", "ml") else word.title() for word in name.split("_"))


def _reason(scan: Scan, error: Exception) -> str:
    if not isinstance(error, BidsdefaceError):
        LOGGER.debug("%s: unexpected error", scan.stem, exc_info=error)
    reason = describe(error)
    return reason if reason.startswith(str(scan.path)) else f"{scan.path}: {reason}"
