"""Deface the scans of one head: read, mask, deface, verify, publish.

This is the whole way of the data for one head; each step is a call into the room that knows how.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from numpy.typing import NDArray

from bidsdeface.dataset.layout import Outputs, no_face_outputs_of, outputs_of
from bidsdeface.dataset.metadata import read_metadata
from bidsdeface.dataset.publish import Staging, results_of, sharing_mask, withdraw
from bidsdeface.dataset.resume import (
    finished_scans,
    is_by_hand,
    no_face_promise,
    promise,
    remember_input,
)
from bidsdeface.dataset.scan import Head, Scan
from bidsdeface.dataset.sidecar import image_sidecar, mask_sidecar, no_face_sidecar, to_json
from bidsdeface.errors import BidsdefaceError, ImageError, UsageError, describe
from bidsdeface.fitting import Fitted, Fitter, make_fitter, to_start
from bidsdeface.imaging.image import canonical, clean_header, mask_header, read_image, write_image
from bidsdeface.imaging.methods import background, remove
from bidsdeface.imaging.volume import Volume, in_blocks, reduce_image
from bidsdeface.masking import BARE_BRAIN, Loaded, Masked, find, load, middle, take_drawn, take_from_set
from bidsdeface.outcome import ACCEPTED, BY_HAND, FAILED, KEPT, NO_FACE, PASSED, Outcome, fail
from bidsdeface.privacy.state import State
from bidsdeface.quality.checks import Rejected, bids_name, faults
from bidsdeface.quality.evidence import Expected, measure_defaced
from bidsdeface.quality.readback import check_mask_written, check_written
from bidsdeface.report.figure import draw, views
from bidsdeface.report.private import report_folder, tell
from bidsdeface.settings import Settings

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tools:
    """What a process needs for any head, made once.

    Attributes
    ----------
    settings : Settings
    fitter : Fitter
    expected : Expected
        The masks that a result is judged by.
    state : State or None
        What is private and stays.
    """

    settings: Settings
    fitter: Fitter
    expected: Expected
    state: State | None


def prepare(
    settings: Settings, scratch: Path, state: State | None
) -> Callable[[Head, Callable[[Outcome], None]], None]:
    """Load the template once, and return the function that defaces a head and reports each outcome.

    Raises
    ------
    TemplateError
        The template is missing, or not what it says it is.
    """
    fitter = make_fitter(settings.template, settings.regions, scratch)
    regions_mm = tuple(fitter.template.regions_mm[name] for name in settings.regions)
    expected = Expected(regions_mm, fitter.template.brain_mm, settings.guard_mm)
    tools = Tools(settings, fitter, expected, state)
    return partial(deface_head, tools)


def deface_head(tools: Tools, head: Head, report: Callable[[Outcome], None]) -> None:
    """Deface the scans of a head that an earlier run has not finished.

    A scan that fails is withdrawn, and costs no other scan. The reference goes first; if it cannot be
    trusted, the next scan takes its place. Scans of one set (echoes, inversions) share one mask.

    Parameters
    ----------
    tools : Tools
    head : Head
    report : callable
        Given the outcome of each scan as soon as it is known.
    """
    kept = finished_scans(head, tools.settings, tools.state)
    if len(kept) == len(head.scans):
        for scan in head.scans:
            report(Outcome(scan.stem, KEPT))
        return
    reference: Fitted | None = None
    sets: dict[PurePosixPath, Masked] = {}
    for scan in sorted(head.scans, key=lambda scan: scan != head.reference):
        outcome = Outcome(scan.stem, KEPT)
        if scan.stem not in kept or reference is None:
            loaded, masked = None, None
            try:
                loaded = load(scan, head)
                masked = _mask(loaded, sets.get(outputs_of(scan).mask), reference, tools)
                if scan.stem not in kept:
                    outcome = _publish(loaded, masked, tools)
                if not masked.no_face:
                    sets.setdefault(outputs_of(scan).mask, masked)
                    reference = reference or (None if faults(masked.measures) else masked.fitted)
            except UsageError as error:  # the request is wrong, not what is published
                outcome = Outcome(scan.stem, FAILED, (str(error),))
            except Exception as error:  # whatever one scan does, the others go on
                if scan.stem not in kept:
                    outcome = _fail(scan, error, tools.settings.output_dir)
            if tools.settings.private_report and loaded and outcome.verdict != KEPT:
                _tell(loaded, masked, outcome, tools)
        report(outcome)


def _mask(loaded: Loaded, of_set: Masked | None, reference: Fitted | None, tools: Tools) -> Masked:
    if of_set is not None:
        return take_from_set(of_set, loaded, tools.fitter, tools.expected)
    if tools.settings.mask:
        return take_drawn(tools.settings.mask, loaded.image)
    accepted = loaded.scan.stem in tools.settings.accept
    return find(loaded, reference, tools.fitter, tools.expected, accepted)


def _publish(loaded: Loaded, masked: Masked, tools: Tools) -> Outcome:
    """Write a scan's result, judge it by what was written, and publish it.

    Raises
    ------
    Rejected
        A measure speaks against the result, and no person has accepted it; nothing was published.
    BidsdefaceError
        The written files are not as they should be; nothing was published.
    """
    scan, image, settings = loaded.scan, loaded.image, tools.settings
    outputs = no_face_outputs_of(scan) if masked.no_face else outputs_of(scan)
    metadata = read_metadata(settings.bids_dir, scan)
    with Staging(settings.output_dir) as staging:
        files = {name: staging.folder / name.name for name in vars(outputs).values()}
        defaced = remove(image, masked.mask)
        write_image(files[outputs.image], clean_header(image.header), defaced, settings.omp_nthreads)
        written = read_image(files[outputs.image])
        check_written(image, written, masked.mask, background(image))
        volume = reduce_image(written, "the written image")
        LOGGER.debug("%s: written, read back and compared", scan.stem)
        measures = {**masked.measures, **_measure_written(volume, image.affine, masked, tools)}
        found = faults(measures, whole=masked.fitted is not None)
        if found and scan.stem not in settings.accept:
            raise Rejected(found, measures)
        verdict = _verdict(masked, found, settings)
        record = {
            **(no_face_promise(settings) if masked.no_face else promise(settings)),
            "Reference": masked.fitted.reference if masked.fitted else None,
            "Verdict": verdict,
            **({"Evidence": masked.no_face} if masked.no_face else {}),
            **({"Accepted": [bids_name(name) for name in found]} if found else {}),
            "Measures": {
                bids_name(name): round(value, 4) if math.isfinite(value) else None
                for name, value in measures.items()
            },
        }
        if isinstance(outputs, Outputs):
            sidecar = image_sidecar(metadata, record, scan.uri)
            sources = [one.uri for one in loaded.head.scans if outputs_of(one).mask == outputs.mask]
            write_image(files[outputs.mask], mask_header(image.header), masked.mask.view("uint8"))
            check_mask_written(masked.mask, image.affine, read_image(files[outputs.mask]))
            _make_way(loaded, outputs.mask, files[outputs.mask], settings)
            files[outputs.mask_sidecar].write_text(to_json(mask_sidecar(record, sources)))
        else:
            sidecar = no_face_sidecar(metadata, record, scan.uri, masked.no_face == BARE_BRAIN)
        files[outputs.image_sidecar].write_text(to_json(sidecar))
        draw(files[outputs.figure], views(written, volume, middle(loaded, masked, tools.fitter)))
        remember_input(tools.state, settings.output_dir, scan, loaded.content, metadata, files[outputs.image])
        staging.publish(files, stale=results_of(settings.output_dir, scan))
    return Outcome(scan.stem, verdict, measures=measures)


def _make_way(loaded: Loaded, name: PurePosixPath, new: Path, settings: Settings) -> None:
    """Withdraw results of the same set that were made with another mask: there is one file for all.

    Raises
    ------
    ImageError
        A person drew that mask, or those results are not to be done again in this run.
    """
    old = settings.output_dir / name
    if not old.exists() or old.read_bytes() == new.read_bytes():
        return
    planned = {scan.stem for scan in loaded.head.scans}
    for other in sharing_mask(settings.output_dir, loaded.scan):
        if settings.mask:
            LOGGER.warning("%s: withdrawn, as it had another mask; give it --mask as well", other.stem)
        elif other.stem not in planned or is_by_hand(settings.output_dir, other):
            raise ImageError(
                f"{loaded.scan.path}: is of one set with {other.stem}, which has another mask, and BIDS "
                "has one for a set; do the whole set at once, or give its mask with --mask"
            )
        withdraw(settings.output_dir, other)


def _measure_written(volume: Volume, affine: NDArray, masked: Masked, tools: Tools) -> dict[str, float]:
    if masked.fitted is None:
        return {}
    hidden, _ = in_blocks(*canonical(masked.mask, affine))
    volume = replace(volume, seen=(hidden < 0.5).astype("float32"))
    to_head = to_start(masked.fitted, tools.fitter)
    head_mm = tools.fitter.surface.head_mm
    return measure_defaced(volume, to_head, head_mm, masked.fitted.second, tools.expected)


def _verdict(masked: Masked, found: dict[str, str], settings: Settings) -> str:
    if found:
        return ACCEPTED
    if masked.no_face:
        return NO_FACE
    return BY_HAND if settings.mask else PASSED


def _tell(loaded: Loaded, masked: Masked | None, outcome: Outcome, tools: Tools) -> None:
    assert tools.state is not None  # by check_settings
    try:
        folder = report_folder(tools.state, tools.settings.output_dir)
        tell(folder, outcome, loaded, masked, middle(loaded, masked, tools.fitter))
    except Exception as error:  # a picture costs no scan
        LOGGER.warning("%s: not in the private report: %s", outcome.scan, describe(error))


def _fail(scan: Scan, error: Exception, output_dir: Path) -> Outcome:
    if not isinstance(error, BidsdefaceError):
        LOGGER.debug("%s: unexpected error", scan.stem, exc_info=error)
    reason = describe(error)
    if isinstance(error, Rejected):
        reason += (
            f"; look at it (--private-report): if it is right all the same, --accept {scan.stem}, "
            "else draw its face mask and give it with --mask"
        )
    reason = reason if reason.startswith(str(scan.path)) else f"{scan.path}: {reason}"
    outcome = fail(scan, reason, output_dir)
    return replace(outcome, measures=error.measures) if isinstance(error, Rejected) else outcome
