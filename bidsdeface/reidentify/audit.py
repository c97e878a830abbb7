"""The re-identification audit of an output dataset: attack it, name who is still found, withdraw them.

What is published of it are aggregates. Which scans are found, and what was seen on the way, is private.
"""

from __future__ import annotations

import csv
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from bidsdeface.dataset.names import scan_at
from bidsdeface.errors import BidsdefaceError, storage_errors
from bidsdeface.output.publish import open_staging
from bidsdeface.reidentify.dataset import published_cases
from bidsdeface.reidentify.findings import Audit, verdict
from bidsdeface.reidentify.options import AuditOptions
from bidsdeface.reidentify.study import GALLERY, Case, conduct
from bidsdeface.runtime.scratch import make_private
from bidsdeface.runtime.workdir import State

LOGGER = logging.getLogger("bidsdeface")
TARGETS = "matched.tsv"
PURPOSE = "reidentification"  # of a private folder


@contextmanager
def audited(settings: AuditOptions, state: State | None, scratch: Path) -> Iterator[Audit]:
    """Attack every published scan that was asked for.

    Without ``--keep-renders``, what was seen is removed at the end. If the run is interrupted before, the
    next one goes on from there.

    Parameters
    ----------
    settings : AuditOptions
    state : State or None
        Private state in the work dir.
    scratch : Path
        A private folder that goes with the run: without private state, nothing stays.

    Raises
    ------
    BidsdefaceError
        Nothing is published, an original is gone, or face recognition is not installed.
    """
    folder = state.folder_for(PURPOSE, settings.output_dir) if state else scratch / PURPOSE
    cases = published_cases(
        settings.bids_dir,
        settings.output_dir,
        settings.output_layout,
        settings.participants,
        settings.sessions,
    )
    sights, renders = (make_private(folder / name) for name in ("sights", "renders"))
    with logging_redirect_tqdm([LOGGER]):
        study = conduct(
            cases,
            sights,
            settings.n_procs,
            GALLERY,
            pictures=renders if settings.keep_renders else None,
            quiet=settings.verbosity < 0,
        )
    matched = study.matched()
    if state:
        _keep_targets(matched, folder)
    if matched and not settings.strict:
        where = f"they are in {folder / TARGETS}" if state else "give --work-dir to know which"
        LOGGER.warning("%d scans come first in the gallery for some attacker; %s", len(matched), where)
    findings = study.findings()
    LOGGER.info("re-identification: %s", verdict(findings))
    withdrawn = _withdraw(matched, settings, findings.people) if settings.strict else []
    yield Audit(
        findings,
        study.findings(without=withdrawn) if withdrawn else None,
        len(withdrawn),
        whole=not (settings.participants or settings.sessions),
    )
    if settings.keep_renders:
        LOGGER.info("pictures that show faces: %s", renders)
    else:
        for private in (sights, renders):
            with storage_errors(private):
                shutil.rmtree(private)


def _keep_targets(matched: Mapping[Case, tuple[str, ...]], folder: Path) -> None:
    """Keep the list of scans that are still found: a list of targets, so only in private."""
    with open_staging(folder) as staging:
        path = staging.folder / TARGETS
        path.touch(0o600)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(("scan", "attackers"))
            writer.writerows((case.original, ",".join(names)) for case, names in matched.items())
        staging.publish({Path(TARGETS): path})


def _withdraw(matched: Mapping[Case, tuple[str, ...]], settings: AuditOptions, people: int) -> list[Case]:
    """Withdraw scans, say so in a line each, and return them."""
    for number, (case, attackers) in enumerate(matched.items(), start=1):
        reason = (
            f"{case.original}: defaced, its person still comes first of {people} (attacker: "
            f"{', '.join(attackers)}); withdrawn, as --strict asks; leave it out, or deface it with "
            "--regions face,ears or a larger --mask"
        )
        outcome = settings.output.withdraw_failed(scan_at(case.original), reason)
        LOGGER.error("FAILED [%d/%d] %s", number, len(matched), "; ".join(outcome.reasons))
        if case.defaced.exists():
            raise BidsdefaceError(
                f"{case.defaced}: is still there; remove it, and run the same command again"
            )
    return list(matched)
