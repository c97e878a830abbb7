"""What the user asked for, as one frozen object, and the check of it against the file system."""

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.companions.select import dictionaries_in
from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.inheritance import read_sidecar
from bidsdeface.dataset.kinds import ANATOMICAL, DEFAULT, suffixes_looked_at, suffixes_of_heads
from bidsdeface.deidentify.policy import Policy, load_policy
from bidsdeface.errors import BidsdefaceError, UsageError, storage_errors
from bidsdeface.exits import OPTIONAL, Exit
from bidsdeface.runtime.cpus import available_cpus
from bidsdeface.runtime.scratch import temporary_dir
from bidsdeface.runtime.workdir import state_folder

REGIONS = (("face",), ("face", "ears"))
DERIVATIVES, BIDS = LAYOUTS = ("derivatives", "bids")
DEFAULT_TEMPLATE = "WholeHead"
DEFAULT_GUARD_MM = 3.0
MAX_GUARD_MM = 20.0  # a guard that thick reaches the skin of the forehead: nothing is left to hide


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a run needs to know.

    Attributes
    ----------
    bids_dir, output_dir : Path
        The dataset to read and the folder to write to.
    level : str
        ``"participant"`` or ``"group"``.
    participants, sessions : tuple of str
        Labels without ``sub-`` or ``ses-``; empty for all.
    filters : mapping of str to mapping
        The BIDS filter file: lower-case suffix to pybids query.
    suffixes : tuple of str
        What is to be defaced, as it was given; empty for the default of the layout, see `to_deface`.
    longitudinal : bool
        Whether the sessions of a participant share one reference scan.
    template : str
        Name of a template of TemplateFlow, or a folder that holds one.
    guard_mm : float
        Margin around the brain that is never touched, in mm.
    regions : tuple of str
        One of `REGIONS`.
    mask : Path, optional
        A face mask made by hand, used instead of the template's.
    accept : tuple of str
        Names of scans, without extension, that a person has looked at: publish them whatever their
        measures are.
    output_layout : str
        One of `LAYOUTS`: a derivative dataset, or a complete one under its own names.
    include : tuple of str
        Patterns of paths that go along into a complete dataset at the user's word.
    metadata_policy : Path, optional
        A table of sidecar fields on top of the built-in one.
    keep_fields, drop_fields : tuple of str
        Sidecar fields to keep as they are, and to drop.
    keep_columns, drop_columns : tuple of str
        The same for columns of tables, as ``NAME`` or ``TABLE:NAME``.
    data_dictionary : Path, optional
        A folder of JSON files that describe columns, beside those of the dataset.
    accept_texts : tuple of str
        Names of texts, such as ``README``, that a person has read.
    accept_labels : bool
        Whether a person has looked at labels that read as dates or record numbers.
    private_report : bool
        Whether to keep pictures of every scan, before and after, in the work dir.
    reidentify : bool
        Whether the group level tries face recognition on the scans.
    strict : bool
        Whether scans that it still recognises are withdrawn.
    keep_renders : bool
        Whether pictures of heads, before and after, and what was seen in them stay in the work dir.
    n_procs, omp_nthreads : int
        Heads worked on at once, and threads for each.
    validate : bool
        Whether the selected participants go through the BIDS validator first.
    validate_output : bool
        Whether the whole output goes through the BIDS validator at the end.
    work_dir : Path, optional
        Where private state is kept; None for a temporary folder, gone at the end.
    dry_run : bool
        Print the plan and stop.
    force : bool
        Redo what an earlier run has finished.
    stop_on_first_crash : bool
        Stop at the first head that fails.
    fail_on : tuple of Exit
        Those of `OPTIONAL` that make the run end with another exit code than 0.
    outcomes : Path, optional
        A file for one line about each scan.
    verbosity : int
        -1 warnings only, 0 normal, 1 debug.
    """

    bids_dir: Path
    output_dir: Path
    level: str
    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    suffixes: tuple[str, ...] = ()
    longitudinal: bool = False
    template: str = DEFAULT_TEMPLATE
    guard_mm: float = DEFAULT_GUARD_MM
    regions: tuple[str, ...] = REGIONS[0]
    mask: Path | None = None
    accept: tuple[str, ...] = ()
    output_layout: str = DERIVATIVES
    include: tuple[str, ...] = ()
    metadata_policy: Path | None = None
    keep_fields: tuple[str, ...] = ()
    drop_fields: tuple[str, ...] = ()
    keep_columns: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    data_dictionary: Path | None = None
    accept_texts: tuple[str, ...] = ()
    accept_labels: bool = False
    private_report: bool = False
    reidentify: bool = False
    strict: bool = False
    keep_renders: bool = False
    n_procs: int = 1
    omp_nthreads: int = 1
    validate: bool = True
    validate_output: bool = True
    work_dir: Path | None = None
    dry_run: bool = False
    force: bool = False
    stop_on_first_crash: bool = False
    fail_on: tuple[Exit, ...] = OPTIONAL
    outcomes: Path | None = None
    verbosity: int = 0

    @property
    def template_name(self) -> str:
        """The template as it may be published: of a folder its own name, not where it lies."""
        path = Path(self.template)
        return f"own:{path.resolve().name}" if path.is_dir() else self.template

    @property
    def to_deface(self) -> tuple[str, ...]:
        """Suffixes of images to deface, ``anat`` for all anatomical ones.

        By default, anatomical images alone; of a complete dataset, all images of heads. Those that may show
        no face are looked at in a complete dataset, whatever is asked for.
        """
        complete = self.output_layout == BIDS
        default = suffixes_of_heads() if complete else (ANATOMICAL,)
        asked = (name for given in self.suffixes or (DEFAULT,) for name in _each(given, default))
        return tuple(dict.fromkeys((*asked, *(suffixes_looked_at() if complete else ()))))

    def option_to_deface(self, *suffixes: str) -> str:
        """Return the option that defaces images of these suffixes, beside those of this run."""
        return f"--suffixes {' '.join(dict.fromkeys((*(self.suffixes or (DEFAULT,)), *suffixes)))}"

    @cached_property
    def policy(self) -> Policy:
        """What becomes of each sidecar field; its file is read once, whatever is done to it in a run."""
        return load_policy(self.metadata_policy, self.keep_fields, self.drop_fields)


def _each(given: str, default: tuple[str, ...]) -> tuple[str, ...]:
    return default if given == DEFAULT else (given,)


def default_n_procs(omp_nthreads: int) -> int:
    """Count the heads that fit on the available processors, each with its threads."""
    return max(1, available_cpus() // omp_nthreads)


def check_settings(settings: Settings) -> None:
    """Check once that the request fits the file system, and create the output folder.

    Raises
    ------
    UsageError
        With the file, the cause and the way out.
    BidsdefaceError
        ``dataset_description.json`` of the input cannot be read.
    """
    _check_input(settings.bids_dir)
    if settings.dry_run and settings.level == "group":
        raise UsageError("--dry-run: is for the participant level; leave it out")
    _check_apart(settings.output_dir, "OUTPUT_DIR", settings.bids_dir, "BIDS_DIR")
    _check_apart(settings.bids_dir, "BIDS_DIR", settings.output_dir, "OUTPUT_DIR")
    if settings.work_dir is not None:
        _check_apart(settings.work_dir, "--work-dir", settings.bids_dir, "BIDS_DIR")
        _check_apart(settings.work_dir, "--work-dir", settings.output_dir, "OUTPUT_DIR")
        private = state_folder(settings.work_dir)  # in the work dir's parent the datasets may well be
        for dataset, name in ((settings.bids_dir, "BIDS_DIR"), (settings.output_dir, "OUTPUT_DIR")):
            _check_apart(private, "--work-dir's private folder", dataset, name)
            _check_apart(dataset, name, private, "--work-dir's private folder")
    else:
        _check_apart(temporary_dir(), "TMPDIR", settings.bids_dir, "BIDS_DIR")
        _check_apart(temporary_dir(), "TMPDIR", settings.output_dir, "OUTPUT_DIR")
    if not (math.isfinite(settings.guard_mm) and 0 <= settings.guard_mm <= MAX_GUARD_MM):
        raise UsageError(
            f"--guard-mm {settings.guard_mm:g}: not a margin around the brain; "
            f"give 0 to {MAX_GUARD_MM:g} mm (default {DEFAULT_GUARD_MM:g})"
        )
    if settings.mask is not None and not os.path.isfile(settings.mask):
        raise UsageError(f"{settings.mask}: no such file; give --mask an existing NIfTI image")
    if settings.private_report and settings.work_dir is None:
        raise UsageError("--private-report: shows faces, so it needs a place to stay; give --work-dir DIR")
    _check_outcomes(settings)
    _check_audit(settings)
    of_complete = {
        "--include": settings.include,
        "--keep-column": settings.keep_columns,
        "--drop-column": settings.drop_columns,
        "--data-dictionary": settings.data_dictionary,
        "--accept-text": settings.accept_texts,
    }
    if settings.output_layout != BIDS and (given := [name for name, value in of_complete.items() if value]):
        raise UsageError(
            f"{', '.join(given)}: about files that only a complete dataset has; add --output-layout bids"
        )
    _check_accepted(settings)
    if settings.data_dictionary:
        _check_dictionary(settings.data_dictionary)
    _ = settings.policy  # a table that makes no sense is told before any work
    if not settings.dry_run:
        _make_writable(settings.output_dir)


def _check_accepted(settings: Settings) -> None:
    there = os.listdir(settings.bids_dir) if settings.accept_texts else []
    for name in settings.accept_texts:
        may_be_included = settings.include and "/" not in name
        if name not in there and not (may_be_included and any(settings.bids_dir.rglob(escape(name)))):
            raise UsageError(
                f"--accept-text {name}: no such file in {settings.bids_dir}; give its name alone (README)"
            )


def _check_dictionary(folder: Path) -> None:
    found = dictionaries_in(folder)
    if not found:
        raise UsageError(
            f"{folder}: {'holds no data dictionary' if os.path.isdir(folder) else 'no such folder'}; give "
            "--data-dictionary a folder with participants.json, task-NAME_events.json and the like"
        )
    for path in found:
        try:
            read_sidecar(folder, PurePosixPath(path.name))
        except BidsdefaceError as error:
            raise UsageError(str(error)) from error


def _check_outcomes(settings: Settings) -> None:
    if settings.outcomes is None:
        return
    if settings.level != "participant":
        raise UsageError("--outcomes: is about scans as they are defaced; give it to the participant level")
    _check_apart(settings.outcomes, "--outcomes", settings.bids_dir, "BIDS_DIR")
    _check_apart(settings.outcomes, "--outcomes", settings.output_dir, "OUTPUT_DIR")


def _check_audit(settings: Settings) -> None:
    if settings.reidentify and settings.level != "group":
        raise UsageError("--reidentify: is about all defaced scans; give it to the group level, afterwards")
    for option, given in (("--strict", settings.strict), ("--keep-renders", settings.keep_renders)):
        if given and not settings.reidentify:
            raise UsageError(f"{option}: is about what face recognition finds; add --reidentify")
    if settings.work_dir is None and settings.keep_renders:
        raise UsageError("--keep-renders: shows faces, so it needs a place to stay; give --work-dir DIR")
    if settings.work_dir is None and settings.reidentify and settings.output_layout == BIDS:
        raise UsageError(
            "--reidentify: a complete dataset has no place for what it finds; give --work-dir DIR"
        )


def _check_input(bids_dir: Path) -> None:
    if not os.path.isdir(bids_dir):  # unlike Path.is_dir, False and no error where entry is denied
        raise UsageError(
            f"{bids_dir}: no such folder, or none you may read; "
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


def _check_apart(inner: Path, inner_name: str, outer: Path, outer_name: str) -> None:
    """Refuse `inner` when it is `outer` or lies inside it."""
    if inner.resolve().is_relative_to(outer.resolve()):
        raise UsageError(
            f"{inner}: {inner_name} lies inside {outer_name} ({outer}), and the two must not mix; "
            "choose a folder elsewhere"
        )


def _make_writable(output_dir: Path) -> None:
    try:
        with storage_errors(output_dir):
            output_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=output_dir):  # has no name: another's dataset stays as it is
                pass
    except BidsdefaceError as error:
        raise UsageError(str(error)) from error
