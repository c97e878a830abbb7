"""The group level: report on all published scans, completion of a complete dataset, leak check."""

import logging
import os
import shlex
from contextlib import nullcontext
from pathlib import Path

from bidsdeface.companions.run import refresh_dataset, warn_of_waiting
from bidsdeface.dataset.annex import check_all_fetched
from bidsdeface.dataset.names import parse_name, scan_at
from bidsdeface.errors import BidsdefaceError, Exit
from bidsdeface.leakcheck.run import check_whole_output
from bidsdeface.output.description import claim_shareable
from bidsdeface.output.publish import open_staging
from bidsdeface.output.record import published_scans, to_json
from bidsdeface.output.validate import check_output_valid
from bidsdeface.reidentify.audit import audited
from bidsdeface.reidentify.findings import Audit
from bidsdeface.report import quality, reidentification
from bidsdeface.report.page import page
from bidsdeface.runtime.scratch import make_private, scratch_folder, temporary_dir
from bidsdeface.runtime.workdir import COMPLETE, State
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
    private = state.folder_for(COMPLETE, settings.output_dir) if state else None
    place = private if complete else settings.output_dir
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
    with scratch_folder(state.folder if state else temporary_dir()) as scratch:
        if complete:
            claim_shareable(settings.output_dir)
        with audited(settings, state, scratch) if settings.reidentify else nullcontext() as audit:
            # The audit may withdraw scans, so everything below comes after it.
            if complete:
                codes |= refresh_dataset(settings, state, scratch)
            else:
                _name_orphans(settings)
            if place:
                _write_report(settings, make_private(place) if complete else place, audit)
            else:
                LOGGER.info(
                    "quality.tsv and report.html do not belong in a complete dataset; give --work-dir to "
                    "have them written there"
                )
        codes |= check_whole_output(settings, state, scratch)
        codes |= check_output_valid(settings, scratch, codes)
    if audit and audit.withdrawn:
        codes.add(Exit.FAILED)
    return codes


def _name_orphans(settings: Settings) -> None:
    """Name the results whose original no longer exists, and how to remove them.

    A link to annexed content that was dropped still counts as an original.
    """
    for result in published_scans(settings.output_dir, settings.output_layout):
        if result.original is None or os.path.lexists(settings.bids_dir / result.original):
            continue
        names = [result.image]
        if parse_name(result.original):
            names = settings.output.results_of(scan_at(settings.bids_dir / result.original))
        paths = (settings.output_dir / name for name in names)
        files = " ".join(shlex.quote(str(path)) for path in paths if path.exists())
        LOGGER.warning("%s: its original no longer exists; to stop sharing it: rm %s", result.image, files)


def _write_report(settings: Settings, folder: Path, audit: Audit | None) -> None:
    scans = published_scans(settings.output_dir, settings.output_layout)
    texts = {"quality.json": to_json(quality.COLUMNS), "quality.tsv": quality.table(scans)}
    sections = [quality.section(scans, pictures=folder == settings.output_dir)]
    if audit:
        texts["reidentification.json"] = to_json(reidentification.description(audit))
        texts["reidentification.tsv"] = reidentification.table(audit)
        sections.insert(0, reidentification.section(audit))
    elif (folder / "reidentification.tsv").exists():
        sections.insert(
            0, "<h2>Re-identification</h2><p><i>reidentification.tsv</i> is of an earlier run.</p>"
        )
    texts["report.html"] = page("Defacing report", "\n".join(sections))
    with open_staging(folder) as staging:
        for name, text in texts.items():
            (staging.folder / name).write_text(text, encoding="utf-8")
        staging.publish({Path(name): staging.folder / name for name in texts})
    LOGGER.info("%d scans in %s and %s", len(scans), folder / "quality.tsv", folder / "report.html")
