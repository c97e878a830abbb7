"""Deface the scans of one head: read, mask, deface, verify, publish."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from bidsdeface.dataset.names import Head, Scan
from bidsdeface.dataset.people import identifiers_above, identifiers_of
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.errors import BidsdefaceError, UsageError, code_of_run, code_of_scan, describe
from bidsdeface.head.choose_mask import Progress, choose_mask
from bidsdeface.head.fit import RegisteredScan, make_template_set
from bidsdeface.head.mask import Loaded, Masked, load, mask_from_template, middle
from bidsdeface.head.options import MaskOptions
from bidsdeface.head.release import Tools, release
from bidsdeface.head.resume import finished_scans
from bidsdeface.output.names import mask_of
from bidsdeface.quality.checks import Rejected, failed_checks
from bidsdeface.quality.limits import bids_name
from bidsdeface.quality.outcome import FAILED, KEPT, Outcome
from bidsdeface.report.private import add_scan, report_folder
from bidsdeface.runtime.workdir import State

LOGGER = logging.getLogger(__name__)


def prepare(settings: MaskOptions, scratch: Path, state: State | None) -> Callable[[Head], Iterator[Outcome]]:
    """Load the template once, and return the function that defaces a head.

    Raises
    ------
    TemplateError
        The template is missing, or not what it says it is.
    """
    templates = make_template_set(settings.template, settings.regions, settings.guard_mm)
    policy, keep = settings.policy, settings.keep_columns
    above = identifiers_above(settings.bids_dir, policy, keep)

    @lru_cache(maxsize=1)
    def identifiers(subject: str) -> Identifiers:
        return above | identifiers_of(settings.bids_dir, subject, policy, keep)

    return partial(deface_head, Tools(settings, templates, state, identifiers))


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
    progress = Progress({scan.stem for scan in head.scans} - kept)
    for scan in dict.fromkeys((head.reference, *head.scans) if progress.to_come else head.scans):
        outcome = Outcome(scan.stem, KEPT)
        is_needed = progress.reference is None and not tools.settings.mask and len(kept) < len(head.scans)
        if scan.stem in progress.to_come or is_needed:
            outcome = _deface(scan, head, progress, tools)
        if scan in head.scans:
            yield outcome


def _deface(scan: Scan, head: Head, progress: Progress, tools: Tools) -> Outcome:
    """Deface a scan that is to be published, or find its mask so that others can be placed by it."""
    outcome, to_publish = Outcome(scan.stem, KEPT), scan.stem in progress.to_come
    progress.to_come.discard(scan.stem)
    loaded, masked = None, None
    try:
        loaded = load(scan, head)
        masked = choose_mask(loaded, progress, tools.settings, tools.templates)
        if to_publish:
            outcome = release(loaded, masked, tools, progress.to_come)
            progress.published[scan] = replace(masked, measures=outcome.measures)
        if not masked.no_face:
            progress.sets.setdefault(mask_of(scan), masked)
            if progress.reference is None and not failed_checks(masked.measures):
                progress.reference = masked.registered
    except UsageError as error:  # the request is wrong, not what is published
        outcome = Outcome(scan.stem, FAILED, (str(error),), cause=code_of_run(error))
    except Exception as error:  # whatever one scan does, the others go on
        if to_publish:
            outcome = _failed(scan, error, tools.settings)
    if tools.settings.private_report and loaded and outcome.verdict != KEPT:
        _add_to_report(loaded, masked, progress.reference, outcome, tools)
    return outcome


def _add_to_report(
    loaded: Loaded, masked: Masked | None, reference: RegisteredScan | None, outcome: Outcome, tools: Tools
) -> None:
    """Add a scan to the private report; one that failed with the mask that acceptance would give it."""
    assert tools.state is not None  # by check_settings
    if masked is None:
        with suppress(BidsdefaceError):
            masked = mask_from_template(loaded, reference, tools.templates, True)
    try:
        folder = report_folder(tools.state, tools.settings.output_dir)
        mask = masked.mask if masked else None
        add_scan(folder, outcome, loaded.image, loaded.volume, mask, middle(loaded, masked))
    except Exception as error:  # a picture costs no scan
        LOGGER.warning("%s: not in the private report: %s", outcome.scan, describe(error))


def _failed(scan: Scan, error: Exception, settings: MaskOptions) -> Outcome:
    """Withdraw an older result of a scan that failed, and return the outcome."""
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
    failed = tuple(map(bids_name, error.failed_checks))
    return replace(outcome, measures=error.measures, failed_checks=failed)
