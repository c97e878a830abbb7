"""The participant level: plan the heads, deface them in worker processes, report what became of each scan."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bidsdeface.companions.run import is_whole, preview_dataset, sync_dataset, warn_of_waiting
from bidsdeface.dataset.names import Head
from bidsdeface.dataset.query import Plan, find_heads
from bidsdeface.dataset.validator import check_valid
from bidsdeface.errors import OPTIONAL, BidsdefaceError, Exit, UsageError, counted_as, describe, printable
from bidsdeface.head.options import DEFAULT_TEMPLATE
from bidsdeface.head.resume import finished_scans
from bidsdeface.head.review import Review, read_decisions
from bidsdeface.leakcheck.run import check_leaks, files_of_run
from bidsdeface.output.description import check_ours, claim_shareable, write_dataset_files
from bidsdeface.output.record import published_scans
from bidsdeface.output.review import DECISIONS, REJECT
from bidsdeface.output.validate import check_output_valid
from bidsdeface.quality.outcome import FAILED, KEPT, Outcome, OutcomeFile
from bidsdeface.report.private_pages import refresh_pages
from bidsdeface.report.quality import is_out_of_date
from bidsdeface.report.subject import folder_of_pages, write_pages
from bidsdeface.runtime.scratch import environment_in, scratch_folder, sweep, temporary_dir
from bidsdeface.runtime.workdir import OUTCOMES, State
from bidsdeface.runtime.workers import Lost, run_in_workers
from bidsdeface.settings import Settings

LOGGER = logging.getLogger("bidsdeface")
LOGGED = ("similarity", "start_disagreement_mm", "brain_shift_mm", "outline_shift_mm", "tissue_left_ml")


def run_participant_level(settings: Settings, state: State | None = None) -> set[Exit]:
    """Deface the selected scans.

    Parameters
    ----------
    settings : Settings
    state : State, optional
        Private state in the work dir, by which changed inputs are recognised.

    Returns
    -------
    set of Exit
        Every code that applies; empty if all scans are done, now or by an earlier run.

    Raises
    ------
    BidsdefaceError
        The run cannot start or go on at all; the message says why.
    """
    kept_in = state.folder_for(OUTCOMES, settings.output_dir) if state and not settings.dry_run else None
    outcome_file = OutcomeFile(None if settings.dry_run else settings.outcomes, kept_in)
    plan = _plan_heads(settings, outcome_file)
    decisions = read_decisions(settings, state)
    review = decisions.within(settings, plan.heads)
    codes = warn_of_waiting(settings, state) | ({Exit.FAILED} if plan.problems else set())
    private = state.folder if state else temporary_dir()
    if settings.dry_run:
        return codes | review.codes | _preview(settings, state, plan.heads, private)
    if state:
        sweep(temporary_dir())  # what killed runs without a work dir have left
    with scratch_folder(private) as scratch:
        _open_output(settings, plan.heads, state, scratch)
        outcomes = _deface(settings, plan.heads, scratch, review, outcome_file)
        is_crash = codes or any(outcome.is_crash for outcome in outcomes)
        codes |= review.codes | {outcome.code for outcome in outcomes} - {Exit.DONE}
        if not (is_crash and settings.stop_on_first_crash):
            codes |= _finish(settings, plan.heads, outcomes, scratch, state, codes)
        elif codes <= set(OPTIONAL):  # these alone would mean that everything else is done
            codes.add(Exit.ERROR)
    if settings.review:
        _log_review(decisions, outcomes)
    if state:
        subjects = {head.subject for head in plan.heads}
        refresh_pages(settings, state, subjects, is_asked=settings.private_report)
    counts = Counter(outcome.verdict for outcome in outcomes)
    parts = [f"{counts[verdict]} {verdict}" for verdict in sorted(counts)]
    LOGGER.info("in all: %s", ", ".join(parts) or "no scan to deface")
    return codes | outcome_file.close()


def _plan_heads(settings: Settings, outcome_file: OutcomeFile) -> Plan:
    """Find the heads to deface. Log what is wrong with the input, and withdraw results that are ambiguous."""
    check_ours(settings.output_dir, settings.output_layout)
    plan = find_heads(
        settings.bids_dir,
        settings.participants,
        settings.sessions,
        settings.filters,
        settings.to_deface,
        longitudinal=settings.longitudinal,
        scans_expected=not settings.is_complete,
    )
    for problem in plan.problems:
        LOGGER.error("FAILED %s", problem)
    for scan in () if settings.dry_run else plan.twins:
        settings.output.withdraw(scan)
        outcome_file.add(Outcome(scan.stem, FAILED, kind="it is there as .nii and as .nii.gz"))
    _check_remedies(settings, plan.heads)
    return plan


def _check_remedies(settings: Settings, heads: Sequence[Head]) -> None:
    scans = [scan.stem for head in heads for scan in head.scans]
    if settings.mask and len(scans) > 1:
        raise UsageError(
            f"{settings.mask}: --mask is for one scan, and this request has {len(scans)}; narrow it with "
            "--participant-label, --session-label, --suffixes or --bids-filter-file"
        )
    if unknown := sorted(set(settings.accept) - set(scans)):
        raise UsageError(
            f"--accept {' '.join(unknown)}: no such scan in this request; give names as in sub-01_T1w, "
            "without extension"
        )


def _preview(settings: Settings, state: State | None, heads: Sequence[Head], private: Path) -> set[Exit]:
    """Print every scan with its reference and its outputs, and log which files would stay behind."""
    for head in heads:
        print(f"{head.name}, reference {head.reference.stem} ({head.reason})")
        for scan in head.scans:
            outputs = settings.output.outputs_of(scan)
            print(f"  {printable(scan.path)}\n    -> {outputs.image}\n    -> {outputs.mask}")
    if not settings.is_complete:
        return set()
    with scratch_folder(private) as scratch:
        return preview_dataset(settings, state, scratch)


def _open_output(settings: Settings, heads: Sequence[Head], state: State | None, scratch: Path) -> None:
    """Validate the input, and mark the output folder as a dataset of this program."""
    if settings.validate:
        subjects = set() if settings.is_complete else {head.subject for head in heads}
        check_valid(settings.bids_dir, sorted(subjects or set(settings.participants)), scratch)
    if not settings.is_complete:
        write_dataset_files(settings.output_dir, settings.bids_dir)
        return
    claim_shareable(settings.output_dir)
    if state is None:
        LOGGER.info("without --work-dir, dates are dropped, and pictures and quality.tsv are not kept")


def _finish(
    settings: Settings,
    heads: Sequence[Head],
    outcomes: Sequence[Outcome],
    scratch: Path,
    state: State | None,
    codes: Set[Exit],
) -> set[Exit]:
    """Complete the dataset, look for leaks, and validate what was written."""
    failed = {outcome.scan for outcome in outcomes if outcome.verdict == FAILED}
    # Images that were verified when they were published, by this run or an earlier one.
    verified = {
        settings.output.outputs_of(scan, no_face=no_face).image
        for head in heads
        for scan in head.scans
        if scan.stem not in failed
        for no_face in (False, True)
    }
    added: set[Exit] = set()
    if settings.is_complete:
        added |= sync_dataset(settings, state, scratch)
    _write_pages(settings, state, sorted({head.subject for head in heads}))
    added |= check_leaks(settings, state, scratch, files_of_run(settings), verified=verified)
    if settings.is_complete and settings.validate_output and is_whole(settings):
        added |= check_output_valid(settings, scratch, codes | added)
    return added


def _write_pages(settings: Settings, state: State | None, subjects: Sequence[str]) -> None:
    """Write the pages of participants. A fault costs no result: the group level writes all pages again."""
    try:
        if folder := folder_of_pages(settings, state):
            published = published_scans(settings.output_dir, settings.output_layout, subjects)
            write_pages(folder, published, subjects, is_complete=settings.is_complete)
            if is_out_of_date(folder, published, subjects):
                LOGGER.warning("report.html and quality.tsv are older than this run; run group")
    except Exception as error:  # such as a sidecar that somebody has edited
        LOGGER.warning("no page is written for these participants: %s", describe(error))


def _deface(
    settings: Settings,
    heads: Sequence[Head],
    scratch: Path,
    review: Review,
    outcome_file: OutcomeFile,
) -> list[Outcome]:
    """Deface the heads that are not done yet, log and return what became of each scan."""
    # With private state the inputs have to be read to tell what is done: workers do that.
    state = review.state
    to_do = [head for head in heads if state or len(finished_scans(head, settings)) < len(head.scans)]
    not_kept = set(to_do)
    kept = [Outcome(scan.stem, KEPT) for head in heads if head not in not_kept for scan in head.scans]
    for outcome in kept:
        outcome_file.add(outcome)
    if to_do and (folder := folder_of_pages(settings, state)):
        write_pages(folder, [], [head.subject for head in to_do])  # removed until they are right again
    if to_do and settings.template != DEFAULT_TEMPLATE:
        from bidsdeface.templates.source import find_template

        find_template(settings.template)  # fetched once, before all workers do so at the same time
    outcomes: list[Outcome] = []
    total = sum(len(head.scans) for head in to_do)
    arguments = (settings, scratch, review)
    try:
        quiet = settings.verbosity < 0 or None  # None: without a terminal
        with tqdm(total=total, unit="scan", disable=quiet) as bar, logging_redirect_tqdm([LOGGER]):
            for head, result in run_in_workers(_prepare, arguments, to_do, settings.n_procs):
                if isinstance(result, BidsdefaceError):
                    raise result  # the template is missing: the same for every head
                is_lost = isinstance(result, Lost)
                for outcome in _give_up(settings, head, outcomes, result, review) if is_lost else [result]:
                    outcomes.append(outcome)
                    outcome_file.add(outcome)
                    _log_outcome(outcome, len(outcomes), total)
                    bar.update()
                if settings.stop_on_first_crash and _is_crash(head, outcomes):
                    LOGGER.error(
                        "stopped at the first failure, as requested; not tried: %s",
                        counted_as(total - len(outcomes), "scan"),
                    )
                    break
    finally:
        sweep(settings.output_dir)
    return kept + outcomes


def _is_crash(head: Head, outcomes: Sequence[Outcome]) -> bool:
    """Return True if a scan has failed, and all scans of the current head are reported."""
    reported = {outcome.scan for outcome in outcomes}
    return any(outcome.is_crash for outcome in outcomes) and {s.stem for s in head.scans} <= reported


def _prepare(settings: Settings, scratch: Path, review: Review) -> Callable[..., Iterator[Outcome]]:
    os.environ.update(environment_in(scratch))
    if settings.verbosity < 1:
        _silence_libraries()
    from bidsdeface.head.deface import prepare  # heavy: for the workers alone

    return prepare(settings, review)


def _silence_libraries() -> None:
    """Close standard output and error. ANTs and ITK print there what they also raise as an exception."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _give_up(
    settings: Settings, head: Head, outcomes: Sequence[Outcome], lost: Lost, review: Review
) -> list[Outcome]:
    """Return outcomes for the scans of a head that its lost worker has not reported."""
    reported = {outcome.scan for outcome in outcomes}
    rejected = review.rejected(head)
    review.withdraw_all(head, rejected)
    finished = finished_scans(head, settings, review.state, rejected)
    return [
        Outcome(scan.stem, KEPT)
        if scan.stem in finished
        else settings.output.withdraw_failed(scan, f"{scan.path}: {lost.reason}", lost.code)
        for scan in head.scans
        if scan.stem not in reported
    ]


def _log_review(review: Review, outcomes: Sequence[Outcome]) -> None:
    """Say how many decisions there were, and how many were not followed, such as those about other scans."""
    given = {stem: decision.decision for stem, decision in review.given.items()}
    counts = Counter(given.values())
    parts = ", ".join(f"{counts[decision]} {decision}" for decision in DECISIONS)
    followed = {
        outcome.scan
        for outcome in outcomes
        if not outcome.lapsed and (outcome.verdict == FAILED) == (given.get(outcome.scan) == REJECT)
    }
    read, lapsed = counted_as(len(given), "decision"), len(given.keys() - followed)
    LOGGER.info("review: %s read (%s), %d not counted", read, parts, lapsed)


def _log_outcome(outcome: Outcome, number: int, total: int) -> None:
    if outcome.lapsed:
        LOGGER.error("%s", outcome.lapsed)
    if outcome.verdict == FAILED:
        said = filter(None, (*outcome.reasons, outcome.remedy))
        reasons = " ".join("; ".join(said).split())  # on one line, whatever libraries say
        LOGGER.error("FAILED [%d/%d] %s", number, total, reasons)
        return
    measured = [f"{name} {outcome.measures[name]:.2f}" for name in LOGGED if name in outcome.measures]
    result = f"{outcome.verdict}  {', '.join(measured)}".rstrip()
    if outcome.verdict == KEPT:
        result = "kept, done by an earlier run"
    LOGGER.info("[%d/%d] %s: %s", number, total, outcome.scan, result)
