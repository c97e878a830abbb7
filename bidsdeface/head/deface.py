"""Deface the scans of one head: read, mask, deface, verify, publish.

This is the whole way of the data for one head; each step is a call into the room that knows how.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsdeface.dataset.inheritance import read_gradients, read_metadata
from bidsdeface.dataset.kinds import is_phase, may_show_none, possible_donors
from bidsdeface.dataset.names import Head, Scan
from bidsdeface.dataset.people import identifiers_above, identifiers_of
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.errors import (
    BidsdefaceError,
    ImageError,
    RegistrationError,
    UsageError,
    code_of_run,
    code_of_scan,
    describe,
)
from bidsdeface.head.fit import RegisteredScan, TemplateSet, make_template_set, to_start
from bidsdeface.head.lending import mask_from_other
from bidsdeface.head.mask import (
    BARE_BRAIN,
    Loaded,
    Masked,
    find,
    load,
    look,
    mask_from_file,
    mask_from_set,
    middle,
    not_applicable,
)
from bidsdeface.head.options import MaskOptions
from bidsdeface.head.resume import (
    expected_record,
    finished_scans,
    is_by_hand,
    remember_input,
)
from bidsdeface.imaging.image import (
    canonical,
    clean_header,
    is_on_grid,
    mask_header,
    read_image,
    write_image,
)
from bidsdeface.imaging.methods import background, remove, stored_as
from bidsdeface.imaging.volume import Volume, in_blocks, reduce_image
from bidsdeface.output.names import figure_name, mask_of
from bidsdeface.output.publish import open_staging
from bidsdeface.output.record import image_sidecar, mask_sidecar, to_json
from bidsdeface.quality.checks import Rejected, bids_name, faults
from bidsdeface.quality.evidence import FaceRegions, measure_defaced
from bidsdeface.quality.outcome import ACCEPTED, BY_HAND, FAILED, KEPT, NO_FACE, PASSED, Outcome
from bidsdeface.quality.readback import check_mask_written, check_written
from bidsdeface.report.figure import draw, views
from bidsdeface.report.private import add_scan, report_folder
from bidsdeface.runtime.scratch import make_private
from bidsdeface.runtime.workdir import COMPLETE, State

LOGGER = logging.getLogger(__name__)
FIGURES = "figures"  # in the work dir


@dataclass(frozen=True)
class Tools:
    """What a process needs for any head, made once.

    Attributes
    ----------
    settings : MaskOptions
    templates : TemplateSet
    expected : FaceRegions
        The masks that a result is judged by.
    state : State or None
        What is private and stays.
    identifiers : callable
        Takes the label of a participant, and returns what no kept text of theirs may hold.
    """

    settings: MaskOptions
    templates: TemplateSet
    expected: FaceRegions
    state: State | None
    identifiers: Callable[[str], Identifiers] = lambda subject: Identifiers()


def prepare(settings: MaskOptions, scratch: Path, state: State | None) -> Callable[[Head], Iterator[Outcome]]:
    """Load the template once, and return the function that defaces a head.

    Raises
    ------
    TemplateError
        The template is missing, or not what it says it is.
    """
    templates = make_template_set(settings.template, settings.regions)
    regions_mm = tuple(templates.template.regions_mm[name] for name in settings.regions)
    expected = FaceRegions(regions_mm, templates.template.brain_mm, settings.guard_mm)
    policy, keep = settings.policy, settings.keep_columns
    above = identifiers_above(settings.bids_dir, policy, keep)

    @lru_cache(maxsize=1)
    def identifiers(subject: str) -> Identifiers:
        return above | identifiers_of(settings.bids_dir, subject, policy, keep)

    tools = Tools(settings, templates, expected, state, identifiers)
    return partial(deface_head, tools)


def deface_head(tools: Tools, head: Head) -> Iterator[Outcome]:
    """Deface the scans of a head that an earlier run has not finished.

    A scan that fails is withdrawn, and costs no other scan. The reference goes first; if it cannot be
    trusted, the next scan takes its place. Scans of one set (echoes, inversions) share one mask, and lend it
    to phase images and maps.

    Yields
    ------
    Outcome
        Of each scan, as soon as it is known.
    """
    kept = finished_scans(head, tools.settings, tools.state)
    if len(kept) == len(head.scans):
        yield from (Outcome(scan.stem, KEPT) for scan in head.scans)
        return
    reference: RegisteredScan | None = None
    done: dict[Scan, Masked] = {}  # with all measures, of what is published by now
    sets: dict[PurePosixPath, Masked] = {}
    to_come = {scan.stem for scan in head.scans if scan.stem not in kept}
    for scan in dict.fromkeys((head.reference, *head.scans)):
        outcome = Outcome(scan.stem, KEPT)
        to_publish = scan.stem in to_come
        to_come.discard(scan.stem)
        if to_publish or (reference is None and not tools.settings.mask):
            loaded, masked = None, None
            try:
                loaded = load(scan, head)
                masked = _mask(loaded, sets.get(mask_of(scan)), done, reference, tools)
                if to_publish:
                    outcome = _publish(loaded, masked, tools, to_come)
                    done[scan] = replace(masked, measures=outcome.measures)
                if not masked.no_face:
                    sets.setdefault(mask_of(scan), masked)
                    reference = reference or (None if faults(masked.measures) else masked.registered)
            except UsageError as error:  # the request is wrong, not what is published
                outcome = Outcome(scan.stem, FAILED, (str(error),), cause=code_of_run(error))
            except Exception as error:  # whatever one scan does, the others go on
                if to_publish:
                    outcome = _fail(scan, error, tools.settings)
            if tools.settings.private_report and loaded and outcome.verdict != KEPT:
                _tell(loaded, masked or _would_be(loaded, reference, tools), outcome, tools)
        if scan in head.scans:
            yield outcome


def _mask(
    loaded: Loaded,
    of_set: Masked | None,
    done: Mapping[Scan, Masked],
    reference: RegisteredScan | None,
    tools: Tools,
) -> Masked:
    """Find the mask of a scan in the way that fits its kind.

    Raises
    ------
    BidsdefaceError
        There is none that could be trusted.
    """
    if tools.settings.mask:
        return mask_from_file(tools.settings.mask, loaded.image)
    if lent := mask_from_other(loaded, done, tools.templates):
        return lent
    if of_set is not None:
        return mask_from_set(of_set, loaded, tools.templates, tools.expected)
    scan, accepted = loaded.scan, loaded.scan.stem in tools.settings.accept
    found = partial(find, loaded, reference, tools.templates, tools.expected)
    if scan.suffix in tools.settings.suffixes or not may_show_none(scan.datatype, scan.suffix):
        return found(accepted)
    if any(is_phase(other) and possible_donors(other, [scan]) for other in loaded.head.scans):
        with suppress(RegistrationError):  # phase shows a face where magnitude shows none, and needs a mask
            return found(False)
    try:
        return look(loaded, reference, tools.templates, accepted)
    except Rejected as told:
        try:
            return found(accepted and not math.isnan(told.measures["face_seen"]))
        except RegistrationError as error:
            reasons = error.faults if isinstance(error, Rejected) else {"placement": str(error)}
            raise Rejected({**told.faults, **reasons}, told.measures) from error


def _publish(loaded: Loaded, masked: Masked, tools: Tools, to_come: Collection[str]) -> Outcome:
    """Write a scan's result, judge it by what was written, and publish it.

    `to_come` holds the stems of the scans of this head that are not yet processed.

    Raises
    ------
    Rejected
        A measure speaks against the result, and no person has accepted it; nothing was published.
    BidsdefaceError
        The written files are not as they should be; nothing was published.
    """
    scan, image, settings = loaded.scan, loaded.image, tools.settings
    published = settings.output.outputs_of(scan, no_face=bool(masked.no_face))
    metadata = read_metadata(settings.bids_dir, scan)
    fill = stored_as(0.0, image) if is_phase(scan) else background(image)  # phase has no dark and bright
    uri = scan.uri if not settings.is_complete else None
    with open_staging(settings.output_dir) as staging:
        files: dict[PurePath, Path] = {name: staging.folder / name.name for name in published.files}
        write_image(
            files[published.image],
            clean_header(image.header),
            remove(image, masked.mask, fill),  # not kept: of a long series, one copy less in memory
            settings.omp_nthreads,
        )
        written = read_image(files[published.image])
        check_written(image, written, masked.mask, fill)
        volume = loaded.volume if masked.no_face else reduce_image(written, "the written image")
        LOGGER.debug("%s: written, read back and compared", scan.stem)
        measures = {**masked.measures, **_measure_written(volume, image.affine, masked, tools)}
        whole = masked.registered is not None and not masked.no_face
        found = faults(measures, whole, not_applicable(scan))
        if found and scan.stem not in settings.accept:
            raise Rejected(found, measures)
        verdict, failed_checks = _verdict(masked, found, settings), tuple(map(bids_name, found))
        record = {
            **_without_none(
                expected_record(settings, no_face=bool(masked.no_face), by_hand=bool(settings.mask))
            ),
            "Reference": masked.registered.reference if masked.registered else None,
            **({"MaskOf": masked.lent_by} if masked.lent_by else {}),
            "Verdict": verdict,
            **({"Evidence": masked.no_face} if masked.no_face else {}),
            **({"Accepted": list(failed_checks)} if failed_checks else {}),
            "Measures": {
                bids_name(name): round(value, 4) if math.isfinite(value) else None
                for name, value in measures.items()
            },
        }
        policy, task = settings.policy, dict(scan.entities).get("task")
        telling = tools.identifiers(scan.subject).are_in
        sidecar = image_sidecar(
            metadata,
            record,
            uri,
            policy,
            task,
            telling,
            no_face=bool(masked.no_face),
            skull_stripped=masked.no_face == BARE_BRAIN,
        )
        if published.mask and published.mask_sidecar:
            of_set = [one.uri for one in loaded.head.scans if mask_of(one) == mask_of(scan)]
            sources = of_set if uri else []
            write_image(files[published.mask], mask_header(image.header), masked.mask.view("uint8"))
            check_mask_written(masked.mask, image.affine, read_image(files[published.mask]))
            _make_way(loaded, published.mask, masked, settings, to_come)
            files[published.mask_sidecar].write_text(to_json(mask_sidecar(record, sources)))
        dropped = sorted(metadata.keys() - sidecar.keys())
        LOGGER.debug("%s: fields that are left out: %s", scan.stem, ", ".join(dropped))
        if published.bval and published.bvec:
            for name, text in zip((published.bval, published.bvec), read_gradients(scan), strict=True):
                files[name].write_text(text)
        files[published.image_sidecar].write_text(to_json(sidecar))
        staged = files[published.figure] if published.figure else None
        if picture := _picture(scan, masked, staged, tools):
            draw(picture, views(written, volume, middle(loaded, masked, tools.templates)))
        remember_input(
            tools.state, settings.output_dir, scan, loaded.content, metadata, files[published.image]
        )
        staging.publish(files, stale=settings.output.results_of(scan))
    return Outcome(scan.stem, verdict, measures=measures, failed_checks=failed_checks)


def _make_way(
    loaded: Loaded, name: PurePosixPath, masked: Masked, settings: MaskOptions, to_come: Collection[str]
) -> None:
    """Withdraw results of the same set that were made with another mask: there is one file for all.

    Raises
    ------
    ImageError
        A person drew that mask, or those results are not still to come in this run.
    """
    with suppress(ImageError):  # a mask that is damaged is another one
        there = read_image(settings.output_dir / name)
        same_grid = is_on_grid(there, masked.mask.shape, loaded.image.affine)
        if same_grid and np.array_equal(there.stored > 0, masked.mask):
            return
    for other in settings.output.sharing_mask(loaded.scan):
        if settings.mask:
            LOGGER.warning("%s: withdrawn, as it had another mask; give it --mask as well", other.stem)
        elif other.stem not in to_come or is_by_hand(settings, other):
            raise ImageError(
                f"{loaded.scan.path}: is of one set with {other.stem}, which has another mask, and BIDS "
                "has one for a set; do the whole set at once, or give its mask with --mask"
            )
        settings.output.withdraw(other)


def _measure_written(volume: Volume, affine: NDArray, masked: Masked, tools: Tools) -> dict[str, float]:
    if masked.registered is None or masked.lent_by:
        return {}
    hidden, _ = in_blocks(*canonical(masked.mask, affine))
    volume = replace(volume, seen=(hidden < 0.5).astype("float32"))
    to_head = to_start(masked.registered, tools.templates)
    head_mm = tools.templates.surface.head_mm
    second, own = masked.registered.second, masked.registered.brain
    return measure_defaced(volume, to_head, head_mm, second, own, tools.expected)


def _picture(scan: Scan, masked: Masked, staged: Path | None, tools: Tools) -> Path | None:
    """Return where to draw: where the layout has a place for it, else in the work dir, else nowhere."""
    if staged or tools.state is None:
        return staged
    folder = make_private(tools.state.folder_for(COMPLETE, tools.settings.output_dir) / FIGURES)
    return folder / figure_name(scan, no_face=bool(masked.no_face))


def _without_none(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}


def _verdict(masked: Masked, found: dict[str, str], settings: MaskOptions) -> str:
    if found:
        return ACCEPTED
    if masked.no_face:
        return NO_FACE
    return BY_HAND if settings.mask else PASSED


def _would_be(loaded: Loaded, reference: RegisteredScan | None, tools: Tools) -> Masked | None:
    """Return the mask that a scan would get if a person accepted it: to look at, never to publish."""
    with suppress(BidsdefaceError):
        return find(loaded, reference, tools.templates, tools.expected, True)
    return None


def _tell(loaded: Loaded, masked: Masked | None, outcome: Outcome, tools: Tools) -> None:
    assert tools.state is not None  # by check_settings
    try:
        folder = report_folder(tools.state, tools.settings.output_dir)
        centre = middle(loaded, masked, tools.templates)
        mask = masked.mask if masked else None
        add_scan(folder, outcome, loaded.image, loaded.volume, mask, centre)
    except Exception as error:  # a picture costs no scan
        LOGGER.warning("%s: not in the private report: %s", outcome.scan, describe(error))


def _fail(scan: Scan, error: Exception, settings: MaskOptions) -> Outcome:
    if not isinstance(error, BidsdefaceError):
        LOGGER.debug("%s: unexpected error", scan.stem, exc_info=error)
    reason = describe(error)
    if isinstance(error, Rejected):
        reason += (
            f"; look at it (--private-report): if it is right all the same, --accept {scan.stem}, "
            "else draw its face mask and give it with --mask"
        )
    reason = reason if reason.startswith(str(scan.path)) else f"{scan.path}: {reason}"
    outcome = settings.output.withdraw_failed(scan, reason, code_of_scan(error))
    if not isinstance(error, Rejected):
        return outcome
    return replace(outcome, measures=error.measures, failed_checks=tuple(map(bids_name, error.faults)))
