"""The group level: report on all published scans, completion of a complete dataset, leak check."""

import logging
import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from bidsdeface.companions.run import refresh_dataset, warn_of_waiting
from bidsdeface.dataset.annex import check_all_fetched
from bidsdeface.dataset.names import Scan, parse_name, scan_at
from bidsdeface.dataset.query import find_heads
from bidsdeface.deidentify.tables import read_rows
from bidsdeface.errors import BidsdefaceError, Exit, counted_as, shortened
from bidsdeface.head.swap import load_swap
from bidsdeface.impact.study import measure_impact
from bidsdeface.leakcheck.run import check_whole_output
from bidsdeface.output.description import IGNORE_FILE, claim_shareable
from bidsdeface.output.names import sidecar_of
from bidsdeface.output.publish import publish_texts, remove_files
from bidsdeface.output.record import Published, published_scans, to_json
from bidsdeface.output.validate import check_output_valid
from bidsdeface.quality.outcome import FAILED, Outcome, read_outcomes
from bidsdeface.reidentify.audit import audited
from bidsdeface.reidentify.findings import Audit
from bidsdeface.report import impact, missing, quality, reidentification
from bidsdeface.report.page import page
from bidsdeface.report.private_pages import refresh_pages
from bidsdeface.report.subject import folder_of_pages, write_pages
from bidsdeface.runtime.scratch import make_private, scratch_folder, temporary_dir
from bidsdeface.runtime.workdir import OUTCOMES, State
from bidsdeface.settings import Settings

LOGGER = logging.getLogger(__name__)


def run_group_level(settings: Settings, state: State | None = None) -> set[Exit]:
    """Write ``quality.tsv`` and ``report.html`` about all published scans, with the audit if requested.

    A complete dataset gets its dataset-level files; its report and tables go to the work dir.

    Parameters
    ----------
    settings : Settings
    state : State, optional
        Private state in the work dir.

    Returns
    -------
    set of Exit
        Every code that applies; empty if all is well.

    Raises
    ------
    BidsdefaceError
        Nothing is published yet, a sidecar cannot be read, or a file cannot be written.
    """
    complete = settings.is_complete
    place = folder_of_pages(settings, state)
    check_all_fetched(settings.output_dir)
    results = (
        settings.output_dir.glob("sub-*/")
        if complete
        else published_scans(settings.output_dir, settings.output_layout)
    )
    if not any(results):
        needed = "participant" if complete else "defaced scan"
        raise BidsdefaceError(f"{settings.output_dir}: no {needed} here; run the participant level first")
    codes = warn_of_waiting(settings, state)
    asked, unreadable = _asked_for(settings, state)  # before the audit, which may withdraw scans: may fail
    with scratch_folder(state.folder if state else temporary_dir()) as scratch:
        if complete:
            claim_shareable(settings.output_dir)
        with audited(settings, state, scratch, load_swap) if settings.reidentify else nullcontext() as audit:
            # The audit may withdraw scans, so everything below comes after it.
            if complete:
                codes |= refresh_dataset(settings, state, scratch)
            scans = published_scans(settings.output_dir, settings.output_layout)
            if not complete:
                _name_orphans(scans, settings)
            absent = [*_find_missing(asked, scans, settings), *unreadable]
            if place:
                changes = measure_impact(settings, state, scans) if settings.impact and state else None
                _write_report(place, scans, absent, audit, changes, settings)
            else:
                LOGGER.info(
                    "quality.tsv and report.html do not belong in a complete dataset; give --work-dir to "
                    "have them written there"
                )
        codes |= check_whole_output(settings, state, scratch)
        codes |= check_output_valid(settings, scratch, codes)
    if state:
        refresh_pages(settings, state)
    _log_missing(absent, settings, state)
    if audit and audit.withdrawn:
        codes.add(Exit.FAILED)
    return codes


def _name_orphans(scans: Sequence[Published], settings: Settings) -> None:
    """Name the results whose original no longer exists, and how to remove them.

    A link to annexed content that was dropped still counts as an original.
    """
    for result in scans:
        if result.original is None or os.path.lexists(settings.bids_dir / result.original):
            continue
        names = [result.image]
        if parse_name(result.original):
            names = settings.output.results_of(scan_at(settings.bids_dir / result.original))
        paths = (settings.output_dir / name for name in names)
        files = " ".join(shlex.quote(str(path)) for path in paths if path.exists())
        LOGGER.warning("%s: its original no longer exists; to stop sharing it: rm %s", result.image, files)


def _asked_for(
    settings: Settings, state: State | None
) -> tuple[dict[Scan, Mapping[str, Any] | None], list[missing.Missing]]:
    """Return the scans that these options ask for, each with what its last run recorded.

    Beside them, the participants whose scans are not known, as a folder of theirs is a broken link.
    """
    plan = find_heads(
        settings.bids_dir, filters=settings.filters, suffixes=settings.to_deface, scans_expected=False
    )
    kept = state.folder_for(OUTCOMES, settings.output_dir) if state else None
    outcomes = read_outcomes([path for path in (settings.outcomes, kept) if path and path.exists()])
    asked = {
        scan: outcomes.get(scan.stem)
        for scan in (*(scan for head in plan.heads for scan in head.scans), *plan.twins)
        if settings.asks_for(scan)
    }
    kind = "a folder of this participant cannot be read, so its scans are not known"
    unreadable = [
        missing.Missing(f"sub-{label}", Outcome(f"sub-{label}", FAILED, (problem,), kind=kind).recorded)
        for label, problem in plan.unreadable
        if not settings.participants or label in settings.participants
    ]
    for one in unreadable:
        LOGGER.warning("%s: %s", one.scan, one.in_words)
    return asked, unreadable


def _find_missing(
    asked: Mapping[Scan, Mapping[str, Any] | None], scans: Sequence[Published], settings: Settings
) -> list[missing.Missing]:
    """Return the scans that were asked for and are not published."""
    there = {sidecar_of(scan.image) for scan in scans}
    return [
        missing.Missing(scan.stem, outcome)
        for scan, outcome in asked.items()
        if not any(
            settings.output.outputs_of(scan, no_face=by).image_sidecar in there for by in (False, True)
        )
    ]


def _log_missing(absent: Sequence[missing.Missing], settings: Settings, state: State | None) -> None:
    """Say at the end what is missing, and where the reasons are: private ones if there is private state."""
    where = "" if settings.is_complete else f"; why: {settings.output_dir / 'missing.tsv'}"
    if state:
        table = make_private(state.folder_for("missing", settings.output_dir)) / "missing.tsv"
        table.write_text(missing.table(absent, is_private=True), encoding="utf-8")
        where = f"; why: {table}"
    elif not settings.outcomes and any(one.outcome is None for one in absent):
        where = "; reasons unknown: give --work-dir or --outcomes"
    if absent:
        names = shortened([one.scan for one in absent], 10 if state else len(absent))
        LOGGER.warning(
            "missing from OUTPUT_DIR: %s (%s), which the exit code of group does not count%s",
            counted_as(len(absent), "scan"),
            names,
            where,
        )
    else:
        LOGGER.info("no scan is missing from OUTPUT_DIR")


def _write_report(
    folder: Path,
    scans: Sequence[Published],
    absent: Sequence[missing.Missing],
    audit: Audit | None,
    changes: impact.Impact | None,
    settings: Settings,
) -> None:
    texts = {
        "missing.json": to_json(missing.COLUMNS),
        "missing.tsv": missing.table(absent, is_private=settings.is_complete),
        "quality.json": to_json(quality.COLUMNS),
        "quality.tsv": quality.table(scans),
    }
    if audit:
        texts["reidentification.json"] = to_json(reidentification.description(audit))
        texts["reidentification.tsv"] = reidentification.table(audit)
    if changes is not None:
        texts["impact.json"] = to_json(impact.COLUMNS)
        texts["impact.tsv"] = impact.table(changes)
    else:  # that of an earlier run may name scans that are no longer here
        remove_files(folder, map(PurePath, ("impact.tsv", "impact.json")))
    texts["report.html"] = page(
        "report.html",
        title="Defacing report",
        missing=missing.content(absent, is_private=settings.is_complete),
        audit=reidentification.content(audit) if audit else None,
        is_shared=not settings.is_complete,
        impact=impact.content(changes, scans) if changes else None,
        has_older_audit=(folder / "reidentification.tsv").exists(),
        left_out=_count_left_out(folder / "left_out.tsv") if settings.is_complete else (),
        **quality.content(
            scans, partial(quality.picture_of, folder=folder, is_complete=settings.is_complete)
        ),
    )
    publish_texts(folder, {PurePath(name): text for name, text in texts.items()})
    if not settings.is_complete:
        publish_texts(folder, IGNORE_FILE)  # that of an earlier version lacks some names
    write_pages(folder, scans, is_complete=settings.is_complete)
    number = counted_as(len(scans), "scan")
    LOGGER.info("%s in %s and %s", number, folder / "quality.tsv", folder / "report.html")


def _count_left_out(table: Path) -> list[tuple[str, int]]:
    """Return the reasons in ``left_out.tsv``, the most frequent first; none if there is no such file."""
    rows = read_rows(table) if table.is_file() else ()
    return Counter(row["why"] for row in rows).most_common()
