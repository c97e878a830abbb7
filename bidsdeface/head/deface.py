"""Deface the scans of one head: read, mask, deface, verify, publish."""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from bidsdeface.dataset.inheritance import read_gradients, read_metadata
from bidsdeface.dataset.names import Head, Scan
from bidsdeface.dataset.people import People
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.errors import (
    BidsdefaceError,
    ImageError,
    UsageError,
    code_of_run,
    code_of_scan,
    describe,
    first_of,
)
from bidsdeface.head.candidate import Candidate, Tools, find_candidate
from bidsdeface.head.choose_mask import Progress, choose_mask
from bidsdeface.head.fit import make_template_set
from bidsdeface.head.mask import Loaded, Masked, NoFace, head_of_template, load, middle, not_applicable
from bidsdeface.head.options import REFACE, MaskOptions
from bidsdeface.head.registered import RegisteredScan
from bidsdeface.head.resume import finished_scans, has_result, is_by_hand, record_of, remember_input
from bidsdeface.head.review import Review
from bidsdeface.imaging.image import canonical, clean_header, is_on_grid, mask_header, read_image, write_image
from bidsdeface.imaging.methods import remove
from bidsdeface.imaging.volume import Volume, in_blocks, reduce_image
from bidsdeface.output.faceless import remember_faceless
from bidsdeface.output.names import FIGURES, figure_name, mask_of
from bidsdeface.output.publish import open_staging
from bidsdeface.output.record import image_sidecar, mask_sidecar, to_json
from bidsdeface.output.review import ACCEPT, REJECT
from bidsdeface.quality.checks import Rejected, failed_checks
from bidsdeface.quality.limits import bids_name
from bidsdeface.quality.measures import measure_defaced
from bidsdeface.quality.outcome import ACCEPTED, BY_HAND, FAILED, KEPT, NO_FACE, PASSED, Outcome
from bidsdeface.quality.readback import check_mask_written, check_written
from bidsdeface.report.figure import draw, views
from bidsdeface.report.private import Shown, add_scan
from bidsdeface.report.private_pages import report_folder
from bidsdeface.runtime.scratch import make_private
from bidsdeface.runtime.workdir import COMPLETE
from bidsdeface.templates.source import average_face

LOGGER = logging.getLogger(__name__)


def prepare(settings: MaskOptions, review: Review) -> Callable[[Head], Iterator[Outcome]]:
    """Load the template once, and return the function that defaces a head.

    Raises
    ------
    TemplateError
        The template is missing, or not what it says it is.
    """
    templates = make_template_set(settings.template, settings.regions, settings.guard_mm)
    average = average_face() if settings.method == REFACE else None
    people = People(settings.bids_dir, settings.policy, settings.keep_columns)
    above = people.identifiers_above

    @lru_cache(maxsize=1)
    def identifiers(subject: str) -> Identifiers:
        return above | people.identifiers_of(subject)

    return partial(deface_head, Tools(settings, templates, review, identifiers, average))


def deface_head(tools: Tools, head: Head) -> Iterator[Outcome]:
    """Deface the scans of a head that an earlier run has not finished.

    A scan that fails is withdrawn, and costs no other scan. The reference goes first; if it cannot be
    trusted, the next scan takes its place. Scans of one set (echoes, inversions) share one mask, and lend it
    to phase images and maps. Scans that a person has rejected are withdrawn at once, together with what was
    made with them; those that get a mask all the same go last, and lend nothing.

    Yields
    ------
    Outcome
        Of each scan, as soon as it is known.
    """
    rulings, settings = tools.review.of_published(head), tools.settings
    rejected = {stem for stem, ruling in rulings.items() if ruling.decision == REJECT}
    # Unless its mask is to be shown, or may be the one that was accepted.
    withdrawn = {stem for stem in rejected if not (settings.private_report or rulings[stem].why_lapsed)}
    yield from (one for one in tools.review.withdraw_all(head, rejected) if one.scan in withdrawn)
    kept = finished_scans(head, settings, tools.state, withdrawn) - rejected
    progress = Progress({scan.stem for scan in head.scans} - kept - withdrawn, rejected=rejected)
    scans = dict.fromkeys((head.reference, *head.scans) if progress.to_come else head.scans)
    for scan in sorted(scans, key=lambda scan: scan.stem in rejected):
        outcome = Outcome(scan.stem, KEPT, lapsed=rulings[scan.stem].why_lapsed)
        if scan.stem in progress.to_come:
            outcome = _deface(scan, head, progress, tools)
        elif progress.reference is None and progress.to_come and scan.stem not in rejected:
            _place(scan, head, progress, tools)
        if scan in head.scans and scan.stem not in withdrawn:
            yield outcome


def _place(scan: Scan, head: Head, progress: Progress, tools: Tools) -> None:
    """Find the mask of a scan that is not to be published, so that others can be placed by it."""
    settings = tools.settings
    by_a_person = has_result(settings.output_dir, settings.output.outputs_of(scan), {"Verdict": ACCEPTED})
    if settings.mask or by_a_person:  # its own checks do not carry it
        return
    with suppress(Exception):  # whatever one scan does, the others go on
        progress.learn(scan, choose_mask(load(scan, head), progress, settings, tools.templates))


def _deface(scan: Scan, head: Head, progress: Progress, tools: Tools) -> Outcome:
    """Deface a scan that is to be published."""
    progress.to_come.discard(scan.stem)
    loaded, candidate = None, None
    try:
        loaded = load(scan, head)
        candidate = find_candidate(loaded, progress, tools)
        outcome = release(candidate, tools, progress)
        if outcome.verdict != FAILED:
            progress.rejected.discard(scan.stem)
            masked = candidate.masked
            if outcome.verdict == ACCEPTED:
                masked = replace(masked, accepted_for=masked.accepted_for or scan.stem)
            progress.published[scan] = replace(masked, measures=outcome.measures)
            progress.learn(scan, masked)
    except UsageError as error:  # the request is wrong, not what is published
        outcome = Outcome(scan.stem, FAILED, (str(error),), cause=code_of_run(error), kind=error.kind)
    except Exception as error:  # whatever one scan does, the others go on
        outcome = _failed(scan, error, tools.settings)
        if candidate and candidate.objection and not candidate.masked.no_face:
            held_back = replace(candidate.masked, accepted_for=candidate.masked.accepted_for or scan.stem)
            progress.held_back.setdefault(mask_of(scan), held_back)
    if tools.settings.private_report and loaded:
        _add_to_report(loaded, candidate, progress.reference, outcome, tools)
    ruling = candidate.ruling if candidate else tools.review.of_nothing(scan)
    return replace(outcome, lapsed=ruling.why_lapsed)


def _add_to_report(
    loaded: Loaded,
    candidate: Candidate | None,
    reference: RegisteredScan | None,
    outcome: Outcome,
    tools: Tools,
) -> None:
    """Add a scan to the private report; one that failed with the mask that acceptance would give it.

    If there is none, with the place of the template's head.
    """
    assert tools.state is not None  # by check_settings
    try:
        folder = report_folder(tools.state, tools.settings.output_dir)
        masked = candidate.masked if candidate else None
        shown = Shown(outcome, loaded.scan.name.path, loaded.image, loaded.volume, middle(loaded, masked))
        if candidate is None:
            shown = replace(shown, mask=head_of_template(loaded, reference, tools.templates))
        else:
            after = remove(loaded.image, candidate.masked.mask, candidate.new.values)
            shown = replace(
                shown,
                mask=candidate.masked.mask,
                after=after,
                fingerprint=candidate.fingerprint,
                guard=candidate.masked.guard,
            )
        add_scan(folder, shown)
    except Exception as error:  # a picture costs no scan
        LOGGER.warning("%s: not in the private report: %s", outcome.scan, describe(error))


def _failed(scan: Scan, error: Exception, settings: MaskOptions) -> Outcome:
    """Withdraw an older result of a scan that failed, and return the outcome."""
    if not isinstance(error, BidsdefaceError):
        LOGGER.debug("%s: unexpected error", scan.stem, exc_info=error)
    reason = describe(error)
    reason = reason if reason.startswith(str(scan.path)) else f"{scan.path}: {reason}"
    outcome = settings.output.withdraw_failed(scan, reason, code_of_scan(error))
    if not isinstance(error, Rejected):
        return replace(outcome, kind=getattr(error, "kind", ""))
    remedy = (
        f"look at it (--private-report -w DIR): if it is right all the same, --accept {scan.stem}, else draw "
        "its face mask and give it with --mask"
    )
    failed = tuple(map(bids_name, error.failed_checks))
    return replace(outcome, measures=error.measures, failed_checks=failed, remedy=remedy)


def release(candidate: Candidate, tools: Tools, progress: Progress) -> Outcome:
    """Write a scan's result, judge it by what was written (the second gate), and publish it.

    What a person has rejected is withdrawn.

    Parameters
    ----------
    candidate : Candidate
    tools : Tools
    progress : Progress
        Of this head.

    Raises
    ------
    RegistrationError
        A check failed, and no person has accepted it; nothing was published.
    BidsdefaceError
        The written files are not as they should be; nothing was published.
    """
    loaded, masked, new = candidate.loaded, candidate.masked, candidate.new
    scan, image, settings = loaded.scan, loaded.image, tools.settings
    decision = candidate.ruling.decision
    if decision == REJECT:
        return replace(tools.review.withdraw(scan), measures=masked.measures)
    if candidate.objection and decision != ACCEPT:
        raise candidate.objection
    published = settings.output.outputs_of(scan, no_face=bool(masked.no_face))
    metadata = read_metadata(settings.bids_dir, scan)
    with open_staging(settings.output_dir) as staging:
        files: dict[PurePath, Path] = {name: staging.folder / name.name for name in published.files}
        write_image(
            files[published.image],
            clean_header(image.header),
            remove(image, masked.mask, new.values),  # not kept: of a long series, one copy less in memory
            settings.omp_nthreads,
        )
        written = read_image(files[published.image])
        check_written(image, written, masked.mask, new.values)
        LOGGER.debug("%s: written, read back and compared", scan.stem)
        volume = loaded.volume if masked.no_face else reduce_image(written, "the written image")
        # The average face has just been compared voxel by voxel, so the checks judge the rest of the image.
        judged = volume
        if new.placement:
            judged = reduce_image(replace(written, stored=remove(image, masked.mask)), "the written image")
        measured = _measure_written(judged, image.affine, masked)
        measures = {**masked.measures, **measured}
        is_whole = masked.registered is not None and not masked.no_face
        failed = failed_checks(measures, is_whole, not_applicable(scan))
        if failed and decision != ACCEPT:
            raise Rejected(failed, measures)
        outcome = _outcome(candidate, measures, failed, settings)
        record = record_of(outcome, masked, settings, new)
        sidecar = image_sidecar(
            metadata,
            record,
            None if settings.is_complete else scan.uri,
            settings.policy,
            dict(scan.entities).get("task"),
            tools.identifiers(scan.subject).are_in,
            no_face=bool(masked.no_face),
            skull_stripped=masked.no_face == NoFace.BARE_BRAIN,
            is_refaced=new.placement is not None,
        )
        if published.mask and published.mask_sidecar:
            write_image(files[published.mask], mask_header(image.header), masked.mask.view("uint8"))
            check_mask_written(masked.mask, image.affine, read_image(files[published.mask]))
            _withdraw_other_masks(loaded, published.mask, masked, settings, progress.to_come)
            good = [one for one in loaded.head.scans if one.stem not in progress.rejected - {scan.stem}]
            of_set = [one.uri for one in good if mask_of(one) == mask_of(scan)]
            # What replaced the values differs between images of a set, unless all are removed.
            differs = ("Method", "NotRefaced", "PlacementOnWholeHead") if settings.method == REFACE else ()
            of_any = {name: value for name, value in record.items() if name not in differs}
            of_mask = mask_sidecar(of_any, [] if settings.is_complete else of_set)
            files[published.mask_sidecar].write_text(to_json(of_mask))
        dropped = sorted(metadata.keys() - sidecar.keys())
        LOGGER.debug("%s: fields that are left out: %s", scan.stem, ", ".join(dropped))
        if published.bval and published.bvec:
            for name, text in zip((published.bval, published.bvec), read_gradients(scan), strict=True):
                files[name].write_text(text)
        files[published.image_sidecar].write_text(to_json(sidecar))
        picture = files[published.figure] if published.figure else _private_picture(scan, masked, tools)
        if picture:
            draw(picture, views(written, volume, middle(loaded, masked), masked.mask, masked.guard))
        remember_input(
            tools.state, settings.output_dir, scan, loaded.content, metadata, files[published.image]
        )
        # A scan whose mask was lent is not measured by its own voxels.
        if tools.state and measured and outcome.verdict == PASSED:
            content = files[published.image].read_bytes()
            remember_faceless(tools.state, settings.output_dir / published.image, content)
        staging.publish(files, stale=settings.output.results_of(scan))
    return outcome


def _measure_written(volume: Volume, affine: NDArray, masked: Masked) -> dict[str, float]:
    registered = masked.registered
    if registered is None or masked.lent_by:
        return {}
    hidden, _ = in_blocks(*canonical(masked.mask, affine))
    volume = replace(volume, seen=(hidden < 0.5).astype("float32"))
    return measure_defaced(volume, registered.head, registered.second_to_template, registered.regions)


def _outcome(
    candidate: Candidate, measures: dict[str, float], failed: Collection[str], settings: MaskOptions
) -> Outcome:
    verdicts = {
        ACCEPTED: failed or candidate.objection,
        NO_FACE: candidate.masked.no_face,
        BY_HAND: settings.mask,
    }
    return Outcome(
        candidate.loaded.scan.stem,
        first_of(verdicts) or PASSED,
        measures=measures,
        failed_checks=tuple(map(bids_name, failed)),
    )


def _withdraw_other_masks(
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
            LOGGER.warning("%s: withdrawn because it had another mask; give it --mask as well", other.stem)
        elif other.stem not in to_come or is_by_hand(settings, other):
            raise ImageError(
                f"{loaded.scan.path}: is in one set with {other.stem}, which has another mask, and BIDS "
                "allows one mask per set; do the whole set at once, or give its mask with --mask"
            )
        settings.output.withdraw(other)


def _private_picture(scan: Scan, masked: Masked, tools: Tools) -> Path | None:
    """Return where to draw a picture for which the output has no place: in the work dir, if there is one."""
    if tools.state is None:
        return None
    folder = make_private(tools.state.folder_for(COMPLETE, tools.settings.output_dir) / FIGURES)
    return folder / figure_name(scan, no_face=bool(masked.no_face))
