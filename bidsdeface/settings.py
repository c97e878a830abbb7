"""All options of a run as one frozen object, and their check against the file system."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PurePosixPath

from bidsdeface.companions.options import MetadataOptions
from bidsdeface.companions.select import dictionaries_in
from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.inheritance import read_sidecar
from bidsdeface.errors import OPTIONAL, BidsdefaceError, Exit, UsageError, storage_errors
from bidsdeface.head.options import DEFAULT_GUARD_MM, DEFAULT_TEMPLATE, MaskOptions
from bidsdeface.reidentify.options import AuditOptions
from bidsdeface.runtime.scratch import temporary_dir
from bidsdeface.runtime.workdir import state_folder
from bidsdeface.runtime.workers import available_cpus

MAX_GUARD_MM = 20.0  # a thicker guard reaches the skin of the forehead, and spares the face


@dataclass(frozen=True, kw_only=True)
class Settings(MaskOptions, MetadataOptions, AuditOptions):
    """All options of a run: those of every room, and those of the run itself.

    Attributes
    ----------
    level : str
        ``"participant"`` or ``"group"``.
    validate : bool
        Whether the selected participants go through the BIDS validator first.
    work_dir : Path, optional
        Folder for private state; None for a temporary folder that is removed at the end.
    key_file : Path, optional
        The key to use in the work dir.
    stop_on_first_crash : bool
        Stop at the first head that fails.
    fail_on : tuple of Exit
        The members of `OPTIONAL` that make the run end with an exit code other than 0.
    outcomes : Path, optional
        File for one line about each scan. For ``group``, such a file or a folder of them, to read.
    impact : bool
        Whether the group level measures what defacing changed.
    """

    level: str
    validate: bool = True
    work_dir: Path | None = None
    key_file: Path | None = None
    stop_on_first_crash: bool = False
    fail_on: tuple[Exit, ...] = OPTIONAL
    outcomes: Path | None = None
    impact: bool = False


def default_n_procs(omp_nthreads: int) -> int:
    """Return how many heads fit on the available processors, each with its threads."""
    return max(1, available_cpus() // omp_nthreads)


def check_settings(settings: Settings) -> None:
    """Check the options against each other and the file system, and create the output folder.

    Raises
    ------
    UsageError
        The options contradict each other, or do not fit the file system.
    BidsdefaceError
        ``dataset_description.json`` of the input cannot be read, or there is no such template.
    """
    _check_input(settings.bids_dir)
    for is_wrong, message in (
        (
            settings.dry_run and settings.level == "group",
            "--dry-run: is for the participant level; leave it out",
        ),
        *_overlaps(settings),
        *_conflicts(settings),
    ):
        if is_wrong:
            raise UsageError(message)
    for path in dictionaries_in(settings.data_dictionary) if settings.data_dictionary else ():
        try:
            read_sidecar(path.parent, PurePosixPath(path.name))
        except BidsdefaceError as error:
            raise UsageError(str(error)) from error
    _ = settings.policy  # a table that makes no sense is reported before any work
    if settings.level == "participant" and settings.template != DEFAULT_TEMPLATE:
        from bidsdeface.templates.source import check_template  # heavy

        check_template(settings.template)
    if not settings.dry_run:
        _make_writable(settings.output_dir)


def _overlaps(settings: Settings) -> Iterator[tuple[bool, str]]:
    """For pairs of places that must not mix, yield whether the first lies in the second, and the message."""
    datasets = bids, output = (settings.bids_dir, "BIDS_DIR"), (settings.output_dir, "OUTPUT_DIR")
    pairs = [(output, bids), (bids, output)]
    if settings.work_dir:
        work = (settings.work_dir, "--work-dir")
        private = (state_folder(settings.work_dir), "--work-dir's private folder")
        pairs += [(work, bids), (work, output)]
        # The work dir itself may well hold the datasets; its private folder may not.
        pairs += [pair for dataset in datasets for pair in ((private, dataset), (dataset, private))]
    else:
        pairs += [((temporary_dir(), "TMPDIR"), dataset) for dataset in datasets]
    if settings.outcomes and settings.level == "participant":
        pairs += [((settings.outcomes, "--outcomes"), dataset) for dataset in datasets]
    for path, name in ((settings.key_file, "--key-file"), (settings.review, "--review")):
        pairs += [((path, name), dataset) for dataset in datasets if path]
    for (inner, inner_name), (outer, outer_name) in pairs:
        yield (
            inner.resolve().is_relative_to(outer.resolve()),
            f"{inner}: {inner_name} lies inside {outer_name} ({outer}), and the two must not mix; "
            "choose a folder elsewhere",
        )


def _conflicts(settings: Settings) -> tuple[tuple[object, str], ...]:
    """Return the conditions under which options are refused, each with its message, in order of the check."""
    no_work_dir, no_audit = settings.work_dir is None, not settings.reidentify
    of_complete = {
        "--include": settings.include,
        "--keep-column": settings.keep_columns,
        "--drop-column": settings.drop_columns,
        "--data-dictionary": settings.data_dictionary,
        "--accept-text": settings.accept_texts,
    }
    misplaced = [name for name, value in of_complete.items() if value and not settings.is_complete]
    unknown = [name for name in settings.accept_texts if not _is_in_input(name, settings)]
    dictionary = settings.data_dictionary
    fault = "holds no data dictionary" if dictionary and os.path.isdir(dictionary) else "no such folder"
    return (
        (
            not 0 <= settings.guard_mm <= MAX_GUARD_MM,  # also if it is not a number
            f"--guard-mm {settings.guard_mm:g}: not a margin around the brain; "
            f"give 0 to {MAX_GUARD_MM:g} mm (default {DEFAULT_GUARD_MM:g})",
        ),
        (
            settings.mask and not os.path.isfile(settings.mask),
            f"{settings.mask}: no such file; give --mask an existing NIfTI image",
        ),
        (
            settings.private_report and no_work_dir,
            "--private-report: shows faces, so it needs a place to stay; give --work-dir DIR",
        ),
        (
            settings.review and no_work_dir,
            "--review: only the work dir of its private report knows what was looked at; give --work-dir DIR",
        ),
        (
            settings.review and settings.level == "group",
            "--review: is for the participant level, which publishes and withdraws; leave it out",
        ),
        (
            settings.key_file and no_work_dir,
            "--key-file: is the key of a work dir; add --work-dir DIR",
        ),
        (
            settings.outcomes and settings.level == "group" and not os.path.exists(settings.outcomes),
            f"{settings.outcomes}: no such file or folder; give --outcomes what the participant level wrote",
        ),
        (
            settings.reidentify and settings.level == "participant",
            "--reidentify: is about all defaced scans; give it to the group level, afterwards",
        ),
        (
            settings.impact and settings.level == "participant",
            "--impact: is about all defaced scans; give it to the group level, afterwards",
        ),
        (
            settings.impact and no_work_dir,
            "--impact: what it measures is private and needs a place to stay; give --work-dir DIR",
        ),
        (
            settings.strict and no_audit,
            "--strict: is about what face recognition finds; add --reidentify",
        ),
        (
            settings.keep_renders and no_audit,
            "--keep-renders: is about what face recognition finds; add --reidentify",
        ),
        (
            settings.keep_renders and no_work_dir,
            "--keep-renders: shows faces, so it needs a place to stay; give --work-dir DIR",
        ),
        (
            settings.reidentify and settings.is_complete and no_work_dir,
            "--reidentify: a complete dataset has no place for what it finds; give --work-dir DIR",
        ),
        (
            misplaced,
            f"{', '.join(misplaced)}: about files that only a complete dataset has; add --output-layout bids",
        ),
        (
            unknown,
            f"--accept-text {''.join(unknown[:1])}: no such file in {settings.bids_dir}; give its name alone "
            "(README)",
        ),
        (
            dictionary and not dictionaries_in(dictionary),
            f"{dictionary}: {fault}; give "
            "--data-dictionary a folder with participants.json, task-NAME_events.json and the like",
        ),
    )


def _is_in_input(name: str, settings: Settings) -> bool:
    """Return True if a file of this name is at the root, or anywhere if ``--include`` may take it along."""
    anywhere = settings.bids_dir.rglob(escape(name)) if settings.include and "/" not in name else ()
    return name in os.listdir(settings.bids_dir) or any(anywhere)


def _check_input(bids_dir: Path) -> None:
    if not os.path.isdir(bids_dir):  # unlike Path.is_dir, False instead of an error where access is denied
        raise UsageError(
            f"{bids_dir}: no such folder, or you may not read it; "
            "give BIDS_DIR the root folder of a BIDS dataset"
        )
    description = bids_dir / "dataset_description.json"
    check_fetched(description, bids_dir)
    if not os.path.isfile(description):
        raise UsageError(
            f"{description}: no such file, so this is not the root of a "
            "BIDS dataset; give BIDS_DIR the folder that holds it, or write one with at least "
            '{"Name": "…", "BIDSVersion": "1.10.0"}'
        )
    read_sidecar(bids_dir, PurePosixPath(description.name))


def _make_writable(output_dir: Path) -> None:
    try:
        with storage_errors(output_dir):
            output_dir.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=output_dir).close()  # has no name: a foreign dataset stays as it is
    except BidsdefaceError as error:
        is_denied = isinstance(error.__cause__, PermissionError)
        hint = '; with Docker, make it first (mkdir), and add -u "$(id -u):$(id -g)"' if is_denied else ""
        raise UsageError(f"{error}{hint}") from error
