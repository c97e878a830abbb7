"""The re-identification audit of an output dataset: attack it, list who is still recognised, withdraw them.

Only aggregates are published. Which scans are recognised, and what was seen on the way, stays private.
"""

import csv
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from bidsdeface.dataset.names import Scan, scan_at
from bidsdeface.errors import BidsdefaceError, UsageError, counted_as, storage_errors
from bidsdeface.output.names import mask_of
from bidsdeface.output.publish import open_staging
from bidsdeface.output.record import Published, published_scans
from bidsdeface.output.request import Request
from bidsdeface.reidentify.findings import Audit, verdict
from bidsdeface.reidentify.options import AuditOptions
from bidsdeface.reidentify.study import GALLERY, Case, Swap, conduct, placement_of
from bidsdeface.runtime.scratch import make_private
from bidsdeface.runtime.workdir import State

LOGGER = logging.getLogger("bidsdeface")
TARGETS = "matched.tsv"
PURPOSE = "reidentification"  # name of the private folder


@contextmanager
def audited(
    settings: AuditOptions, state: State | None, scratch: Path, load_swap: Callable[[], Swap]
) -> Iterator[Audit]:
    """Attack every selected published scan.

    Without ``--keep-renders``, everything that was seen is removed at the end. If the run is interrupted
    before, the next one continues from there.

    Parameters
    ----------
    settings : AuditOptions
    state : State or None
        Private state in the work dir.
    scratch : Path
        Private folder that is removed with the run: without private state, nothing stays.
    load_swap : callable
        For the swap attacker, who is tried if any scan was refaced; see `conduct`.

    Raises
    ------
    BidsdefaceError
        Nothing is published, an original is missing, or face recognition is not installed.
    """
    folder = state.folder_for(PURPOSE, settings.output_dir) if state else scratch / PURPOSE
    cases = published_cases(settings)
    sights, renders = (make_private(folder / name) for name in ("sights", "renders"))
    with logging_redirect_tqdm([LOGGER]):
        study = conduct(
            cases,
            sights,
            settings.n_procs,
            GALLERY,
            pictures=renders if settings.keep_renders else None,
            quiet=settings.verbosity < 0,
            load_swap=load_swap if any(map(placement_of, cases)) else None,
        )
    matched = study.matched()
    if state:
        _write_targets(matched, folder)
    if matched and not settings.strict:
        LOGGER.warning(
            "first in the gallery for some attacker: %s; %s",
            counted_as(len(matched), "scan"),
            f"they are in {folder / TARGETS}" if state else "give --work-dir to know which",
        )
    findings = study.findings()
    LOGGER.info("re-identification: %s", verdict(findings))
    withdrawn = _withdraw(matched, settings, findings.people) if settings.strict else []
    yield Audit(
        findings,
        study.findings(without=withdrawn) if withdrawn else None,
        len(withdrawn),
        whole=settings.is_about_all,
    )
    if settings.keep_renders:
        LOGGER.info("pictures that show faces: %s", renders)
    else:
        for private in (sights, renders):
            with storage_errors(private):
                shutil.rmtree(private)


def published_cases(settings: Request) -> list[Case]:
    """Return every defaced anatomical scan of the output dataset, in natural order of the names.

    If a person has other scans, the gallery gets one of these: of another session if possible, then of the
    same contrast.

    Parameters
    ----------
    settings : Request
        Its participants and sessions select the scans to attack.

    Raises
    ------
    UsageError
        A requested participant or session has no such scan.
    BidsdefaceError
        The dataset has no such scan, or a published file or an original is missing.
    """
    scans = [
        _original(published, settings)
        for published in published_scans(settings.output_dir, settings.output_layout)
        if published.is_defaced and published.shows_anatomy
    ]
    if not scans:
        raise BidsdefaceError(f"{settings.output_dir}: no defaced scan here; run the participant level first")
    for prefix, requested, existing in (
        ("sub-", settings.participants, {scan.subject for scan in scans}),
        ("ses-", settings.sessions, {scan.session for scan in scans}),
    ):
        if missing := [prefix + label for label in requested if label not in existing]:
            raise UsageError(
                f"{settings.output_dir}: no defaced scan of {', '.join(missing)} here; leave it out"
            )
    return [_case(scan, scans, settings) for scan in scans if settings.asks_for(scan)]


def _original(published: Published, settings: Request) -> Scan:
    name = published.image if settings.is_complete else published.original
    if name is None:
        raise BidsdefaceError(f"{published.image}: its sidecar does not name its original; remove both")
    return scan_at(settings.bids_dir / name)


def _case(scan: Scan, scans: Sequence[Scan], settings: Request) -> Case:
    published = (settings.output.outputs_of(scan).image, mask_of(scan, settings.output_layout))
    files = [scan.path, *(settings.output_dir / name for name in published)]
    others = [other for other in scans if other.subject == scan.subject and other != scan]
    others.sort(key=lambda other: (other.session == scan.session, other.suffix != scan.suffix))
    files += [other.path for other in others[:1]]
    return Case(" ".join(map(_version, files)), scan.subject, *files)


def _version(path: Path) -> str:
    """Return a file's path, size and time of change."""
    try:
        status = path.stat()
    except OSError as error:
        raise BidsdefaceError(
            f"{path}: cannot be read ({error.strerror}); the study needs all originals and published files"
        ) from error
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def _write_targets(matched: Mapping[Case, tuple[str, ...]], folder: Path) -> None:
    """Write the list of scans that are still recognised: a list of targets, so it stays private."""
    with open_staging(folder) as staging:
        path = staging.folder / TARGETS
        path.touch(0o600)
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = [(case.original, ",".join(attackers)) for case, attackers in matched.items()]
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows([("scan", "attackers"), *rows])
        staging.publish({Path(TARGETS): path})


def _withdraw(matched: Mapping[Case, tuple[str, ...]], settings: AuditOptions, people: int) -> list[Case]:
    """Withdraw scans, log each, and return them."""
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
