"""The participant level: plan the heads, deface them in processes, say what became of each scan."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path, PurePosixPath

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bidsdeface.companions.run import is_whole, preview_dataset, share_dataset, warn_of_waiting
from bidsdeface.dataset.names import Head
from bidsdeface.dataset.query import find_heads
from bidsdeface.dataset.validator import check_valid
from bidsdeface.errors import OPTIONAL, BidsdefaceError, Exit, UsageError, printable
from bidsdeface.head.options import DEFAULT_TEMPLATE
from bidsdeface.head.resume import finished_scans
from bidsdeface.leakcheck.run import check_leaks, files_of_run
from bidsdeface.output.description import check_ours, claim_shareable, write_dataset_files
from bidsdeface.output.publish import OutputDataset
from bidsdeface.output.validate import check_output_valid
from bidsdeface.quality.outcome import FAILED, KEPT, Outcome, OutcomeFile
from bidsdeface.runtime.scratch import environment_in, scratch_folder, sweep, temporary_dir
from bidsdeface.runtime.workdir import State
from bidsdeface.runtime.workers import Lost, run_in_workers
from bidsdeface.settings import Settings

LOGGER = logging.getLogger("bidsdeface")
TOLD = ("similarity", "mask_disagreement_mm", "brain_shift_mm", "outline_shift_mm", "tissue_left_ml")


def run_participant_level(settings: Settings, state: State | None = None) -> set[Exit]:
    """Deface the scans that were asked for.

    Parameters
    ----------
    settings : Settings
    state : State, optional
        Private state in the work dir, by which changed inputs are known.

    Returns
    -------
    set of Exit
        What came up; empty if every scan is done, now or by an earlier run.

    Raises
    ------
    BidsdefaceError
        Nothing can be done at all; the message says why.
    """
    complete = settings.is_complete  # then there is more to do than heads
    file = OutcomeFile(None if settings.dry_run else settings.outcomes)
    check_ours(settings.output_dir, settings.output_layout)
    plan = find_heads(
        settings.bids_dir,
        settings.participants,
        settings.sessions,
        settings.filters,
        settings.to_deface,
        longitudinal=settings.longitudinal,
        scans_expected=not complete,
    )
    codes = {Exit.FAILED} if plan.problems else set()
    for problem in plan.problems:
        LOGGER.error("FAILED %s", problem)
    for scan in () if settings.dry_run else plan.twins:
        settings.output.withdraw(scan)
        file.add(Outcome(scan.stem, FAILED))
    _check_remedies(settings, plan.heads)
    codes |= warn_of_waiting(settings, state)
    if settings.dry_run:
        _print_plan(plan.heads, settings.output)
        if not complete:
            return codes
        with scratch_folder(state.folder if state else temporary_dir()) as scratch:
            return codes | preview_dataset(settings, state, scratch)
    if state:
        sweep(temporary_dir())  # of runs without a work dir
    with scratch_folder(state.folder if state else temporary_dir()) as scratch:  # which it sweeps
        if settings.validate:
            subjects = {head.subject for head in plan.heads}
            if complete or not subjects:
                subjects = set(settings.participants)
            check_valid(settings.bids_dir, sorted(subjects), scratch)
        if complete:
            claim_shareable(settings.output_dir)
            if state is None:
                LOGGER.info(
                    "without --work-dir, dates are dropped, and pictures and quality.tsv are not kept"
                )
        else:
            write_dataset_files(settings.output_dir, settings.bids_dir)
        outcomes: list[Outcome] = []
        to_do: list[Head] = []
        for head in plan.heads:
            # With private state, inputs have to be read to tell: that is for the workers.
            if state is None and len(finished_scans(head, settings)) == len(head.scans):
                outcomes += [Outcome(scan.stem, KEPT) for scan in head.scans]
            else:
                to_do.append(head)
        for outcome in outcomes:
            file.add(outcome)
        outcomes += _deface(settings, to_do, scratch, state, file)
        codes |= {outcome.code for outcome in outcomes} - {Exit.DONE}
        if codes and settings.stop_on_first_crash:
            if codes <= set(OPTIONAL):  # they would say that all else is done
                codes.add(Exit.ERROR)
        else:
            if complete:
                codes |= share_dataset(settings, state, scratch)
            judged = _judged(settings, plan.heads, outcomes)
            codes |= check_leaks(settings, state, scratch, files_of_run(settings), verified=judged)
            if complete and settings.validate_output and is_whole(settings):
                codes |= check_output_valid(settings, scratch, codes)
    if settings.private_report and state:
        from bidsdeface.report.private import report_folder, write_page

        page = write_page(report_folder(state, settings.output_dir))
        LOGGER.info("private report: %s", page or "nothing to show")
    _log_summary(outcomes)
    return codes | file.close()


def _judged(settings: Settings, heads: Sequence[Head], outcomes: Sequence[Outcome]) -> set[PurePosixPath]:
    """Return the images that were verified when they were published, by this run or an earlier one."""
    failed = {outcome.scan for outcome in outcomes if outcome.verdict == FAILED}
    scans = [scan for head in heads for scan in head.scans if scan.stem not in failed]
    return {
        image
        for scan in scans
        for image in (settings.output.outputs_of(scan, no_face=no_face).image for no_face in (False, True))
    }


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


def _print_plan(heads: Sequence[Head], output: OutputDataset) -> None:
    for head in heads:
        print(f"{head.name}, reference {head.reference.stem} ({head.reason})")
        for scan in head.scans:
            outputs = output.outputs_of(scan)
            print(f"  {printable(scan.path)}\n    -> {outputs.image}\n    -> {outputs.mask}")


def _deface(
    settings: Settings, heads: Sequence[Head], scratch: Path, state: State | None, file: OutcomeFile
) -> list[Outcome]:
    if heads and settings.template != DEFAULT_TEMPLATE:
        from bidsdeface.templates.source import find_template

        find_template(settings.template)  # fetched once, before the workers would do so all at once
    outcomes: list[Outcome] = []
    to_come = {head: len(head.scans) for head in heads}
    scans, failed = sum(to_come.values()), False
    hidden = settings.verbosity < 0 or not sys.stderr.isatty()
    try:
        with (
            tqdm(total=scans, unit="scan", disable=hidden) as bar,
            logging_redirect_tqdm([LOGGER]),
        ):
            arguments = (settings, scratch, state)
            for head, result in run_in_workers(_prepare, arguments, heads, settings.n_procs):
                if isinstance(result, BidsdefaceError):
                    raise result  # the template is missing: the same for every head
                if isinstance(result, Lost):
                    told = {outcome.scan for outcome in outcomes}
                    new = _without_worker(settings, head, told, result, state)
                else:
                    new = [result]
                for outcome in new:
                    _log_outcome(outcome, len(outcomes) + 1, scans)
                    outcomes.append(outcome)
                    file.add(outcome)
                    bar.update()
                    failed = failed or outcome.verdict == FAILED
                    to_come[head] -= 1
                if settings.stop_on_first_crash and failed and not to_come[head]:
                    LOGGER.error(
                        "stopped at the first failure, as asked; %d scans were not tried",
                        scans - len(outcomes),
                    )
                    break
    finally:
        sweep(settings.output_dir)
    return outcomes


def _prepare(settings: Settings, scratch: Path, state: State | None) -> Callable[..., Iterator[Outcome]]:
    os.environ.update(environment_in(scratch))
    if settings.verbosity < 1:
        _silence_libraries()
    from bidsdeface.head.deface import prepare  # heavy: for the workers alone

    return prepare(settings, scratch, state)


def _silence_libraries() -> None:
    """Close standard output and error: ANTs and ITK write to them what comes back as an exception as well."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _without_worker(
    settings: Settings, head: Head, told: Set[str], lost: Lost, state: State | None
) -> list[Outcome]:
    """Give up the scans of a head of which a lost worker has not told what became of them."""
    finished = finished_scans(head, settings, state)
    return [
        Outcome(scan.stem, KEPT)
        if scan.stem in finished
        else settings.output.withdraw_failed(scan, f"{scan.path}: {lost.reason}", lost.code)
        for scan in head.scans
        if scan.stem not in told
    ]


def _log_outcome(outcome: Outcome, number: int, total: int) -> None:
    if outcome.verdict == FAILED:
        reasons = " ".join("; ".join(outcome.reasons).split())  # one line, whatever libraries say
        LOGGER.error("FAILED [%d/%d] %s", number, total, reasons)
    elif outcome.verdict == KEPT:
        LOGGER.info("[%d/%d] %s: kept, done by an earlier run", number, total, outcome.scan)
    else:
        seen = [f"{name} {outcome.measures[name]:.2f}" for name in TOLD if name in outcome.measures]
        said = f"{outcome.verdict}  {', '.join(seen)}".rstrip()
        LOGGER.info("[%d/%d] %s: %s", number, total, outcome.scan, said)


def _log_summary(outcomes: Sequence[Outcome]) -> None:
    verdicts = [outcome.verdict for outcome in outcomes]
    parts = [f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts))]
    LOGGER.info("in all: %s", ", ".join(parts) or "no scan to deface")
