"""The options of the command line, and the `Settings` made from them."""

import argparse
from collections.abc import Sequence

from bidsdeface import __version__
from bidsdeface.arguments import (
    Parser,
    Words,
    count,
    exit_codes,
    labels,
    local_path,
    parse_with_config,
)
from bidsdeface.dataset.query import read_filters
from bidsdeface.errors import OPTIONAL, Exit, UsageError
from bidsdeface.head.options import DEFAULT_GUARD_MM, DEFAULT_TEMPLATE, METHODS, REGIONS, REMOVE
from bidsdeface.output.names import LAYOUTS
from bidsdeface.settings import Settings, default_n_procs

USAGE = "bidsdeface BIDS_DIR OUTPUT_DIR {participant,group} [options]"

DESCRIPTION = """\
Deface the MRI scans of a BIDS dataset. The input is only read; OUTPUT_DIR becomes
a BIDS derivative dataset with the defaced images, their face masks and a record of
what was done, or a complete dataset to share. A scan that cannot be verified is not
written."""

MB_A_HEAD = 2_000  # less than half of it at 1 mm, see docs/benchmark.md; finer voxels take more
_CODES = "\n".join(f"  {code.value:>3}  {code.meaning}" for code in Exit)
EPILOG = f"""\
example:
  bidsdeface /data/ds01 /data/ds01-defaced participant --participant-label 01 02
  bidsdeface /data/ds01 /data/ds01-defaced group
  bidsdeface /data/ds01 /data/ds01-defaced group --reidentify --work-dir /private/deface

exit codes:
{_CODES}
Of several, the first of 5, 1, 2, 75, 4, 3 counts.

Long options may also be spelled with underscores (--participant_label)."""


def parse(argv: Sequence[str]) -> Settings:
    """Return the settings that a command line asks for. Wrong usage ends the process with exit code 2.

    Raises
    ------
    BidsdefaceError
        The filter or configuration file cannot be read, or the values of ``--fail-on`` contradict each other.
    """
    given = parse_with_config(make_parser(), argv)
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    given["regions"] = tuple(given["regions"].split(","))
    if "n_procs" not in given:
        given["n_procs"] = default_n_procs(given["omp_nthreads"])
    memory_mb = given.pop("mem_mb", None)
    if memory_mb:
        given["n_procs"] = max(1, min(given["n_procs"], memory_mb // MB_A_HEAD))
    given["verbosity"] = min(given["verbosity"], 1)
    words = set(given.pop("fail_on", ()))
    if len(words) > 1 and "none" in words:
        raise UsageError("--fail-on none cannot be combined with codes; give one or the other")
    if words:
        given["fail_on"] = tuple(code for code in OPTIONAL if str(code.value) in words)
    return Settings(**given)


def make_parser() -> Parser:
    """Return the parser of the command line.

    Every ``dest`` is the name of a field of `Settings`. An option that is not given leaves the field's own
    default.
    """
    parser = Parser(
        prog="bidsdeface",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("bids_dir", metavar="BIDS_DIR", type=local_path, help="root of the dataset")
    parser.add_argument(
        "output_dir", metavar="OUTPUT_DIR", type=local_path, help="where to write, outside of BIDS_DIR"
    )
    parser.add_argument(
        "level",
        metavar="{participant,group}",
        choices=("participant", "group"),
        help="deface scans, or sum up in quality.tsv and report.html what was done",
    )
    parser.add_argument("--version", action="version", version=f"bidsdeface {__version__}")
    _add_selection(parser.add_argument_group("which scans"))
    _add_defacing(parser.add_argument_group("how to deface"))
    _add_sharing(parser.add_argument_group("what to share"))
    _add_auditing(parser.add_argument_group("what defacing achieves, and what it costs (group)"))
    _add_running(parser.add_argument_group("how to run"))
    return parser


def _add_selection(group: argparse._ArgumentGroup) -> None:
    for spellings, dest, prefix in (
        (("--participant-label",), "participants", "sub-"),
        (("--session-label", "--session-id"), "sessions", "ses-"),
    ):
        group.add_argument(
            *spellings,
            dest=dest,
            metavar="LABEL",
            nargs="+",
            action=Words,
            type=labels(prefix),
            help=f"{dest}, with or without {prefix}: 01 02 or 01,02 (default: all)",
        )
    group.add_argument(
        "--bids-filter-file",
        dest="filters",
        metavar="FILE",
        type=lambda path: read_filters(local_path(path)),
        help='JSON of pybids queries by suffix, as in fMRIPrep: {"t1w": {"acquisition": "mprage"}}',
    )
    group.add_argument(
        "--suffixes",
        metavar="SUFFIX",
        nargs="+",
        action="extend",
        help="images to deface, such as T1w, or default bold (default: anat, all anatomical ones; of a "
        "complete dataset also perf, pet and field maps)",
    )
    group.add_argument(
        "--longitudinal",
        action="store_true",
        help="all sessions of a participant share one reference scan (default: each has its own)",
    )
    group.add_argument(
        "--skip-bids-validation",
        "--skip-bids-validator",
        dest="validate",
        action="store_false",
        help="do not run the BIDS validator on the selected participants first",
    )
    group.add_argument(
        "--skip-output-validation",
        dest="validate_output",
        action="store_false",
        help="do not run the BIDS validator on the whole output at the end (group, or a complete dataset "
        "in one run)",
    )


def _add_defacing(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--template",
        metavar="NAME",
        default=DEFAULT_TEMPLATE,
        help="template of TemplateFlow, such as MNIPediatricAsym:cohort-3, or a folder with one of your own "
        "(default: %(default)s, built in)",
    )
    method = "remove the face, or replace it by an average one (default: %(default)s)"
    group.add_argument("--method", choices=METHODS, default=REMOVE, help=method)
    group.add_argument(
        "--regions",
        metavar="REGIONS",
        choices=[",".join(regions) for regions in REGIONS],
        default=",".join(REGIONS[0]),
        help="what to remove: face, or face,ears (default: %(default)s)",
    )
    group.add_argument(
        "--guard-mm",
        metavar="MM",
        type=float,
        default=DEFAULT_GUARD_MM,
        help="margin around the brain that is never touched, in mm (default: %(default)g)",
    )
    drawn = "a face mask drawn by hand, used instead of the template's"
    group.add_argument("--mask", metavar="FILE", type=local_path, help=drawn)
    decided = "decisions saved from the private report: publish or withdraw these scans"
    group.add_argument("--review", metavar="FILE", type=local_path, help=decided)
    group.add_argument(
        "--accept",
        metavar="FILE_STEM",
        nargs="+",
        action="extend",
        help="publish these scans, such as sub-01_T1w, though their checks failed: you have looked",
    )


def _add_sharing(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--output-layout",
        metavar="LAYOUT",
        choices=LAYOUTS,
        default=LAYOUTS[0],
        help="derivatives, or bids: a complete dataset under its own names (default: %(default)s)",
    )
    group.add_argument(
        "--metadata-policy",
        metavar="FILE",
        type=local_path,
        help="table of sidecar fields on top of the built-in one",
    )
    for option, field, metavar, text in (
        (
            "--keep-field",
            "keep_fields",
            "NAME",
            "sidecar fields that you have looked at: keep them as they are",
        ),
        ("--drop-field", "drop_fields", "NAME", "sidecar fields to drop"),
        (
            "--keep-column",
            "keep_columns",
            "TABLE:NAME",
            "table columns that you have looked at, as in participants:notes",
        ),
        ("--drop-column", "drop_columns", "TABLE:NAME", "table columns to leave out"),
        (
            "--accept-text",
            "accept_texts",
            "FILE",
            "texts that you have read, such as README: they go along as they are",
        ),
        (
            "--include",
            "include",
            "PATTERN",
            "files to take along that would stay behind, such as 'stimuli/*'",
        ),
    ):
        group.add_argument(option, dest=field, metavar=metavar, nargs="+", action="extend", help=text)
    group.add_argument(
        "--accept-labels",
        action="store_true",
        help="labels that read as dates, record numbers or names are as they should be",
    )
    group.add_argument(
        "--data-dictionary",
        metavar="DIR",
        type=local_path,
        help="folder with participants.json, task-NAME_events.json …, for a dataset you cannot write to",
    )


def _add_auditing(group: argparse._ArgumentGroup) -> None:
    _add_flags(
        group,
        (
            "--reidentify",
            "try face recognition on all scans, before and after; needs pip install bidsdeface[audit]",
        ),
        ("--strict", "with --reidentify: withdraw scans that are still recognised, and end with 3"),
        ("--keep-renders", "with --reidentify: keep pictures of all heads in the work dir: they show faces"),
        ("--impact", "measure brain, tissues and placement before and after; needs --work-dir"),
    )


def _add_running(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--n-procs",
        "--nprocs",
        "--n-cpus",
        "--nthreads",
        metavar="N",
        type=count,
        help="heads worked on at once (default: the CPUs this job may use / --omp-nthreads)",
    )
    group.add_argument(
        "--omp-nthreads",
        metavar="N",
        type=count,
        default=1,
        help="threads to compress with (default: %(default)s); all else takes one, for the same bytes",
    )
    group.add_argument(
        "--mem-mb",
        metavar="MB",
        type=count,
        help=f"memory for the whole run: no more heads at once than it has room for, {MB_A_HEAD:,} MB each",
    )
    group.add_argument(
        "-w",
        "--work-dir",
        metavar="DIR",
        type=local_path,
        help="where private files go and stay: a key, fingerprints of inputs, logs "
        "(default: a temporary folder, gone at the end)",
    )
    group.add_argument(
        "--key-file", metavar="FILE", type=local_path, help="key for a new work dir, from another one"
    )
    _add_flags(
        group,
        (
            "--private-report",
            "show every scan before and after, worst first, on a page in the work dir: it shows faces",
        ),
        (
            "--dry-run",
            "print every scan, its reference and its outputs; write nothing but in the work dir",
        ),
        ("--force", "redo scans that are already done"),
        ("--stop-on-first-crash", "stop when the first head fails"),
    )
    group.add_argument(
        "--fail-on",
        metavar="CODE",
        nargs="+",
        action=Words,
        type=exit_codes,
        help="which of the exit codes 3, 4 and 5 count, or none: the others become 0 (default: all)",
    )
    group.add_argument(
        "--outcomes",
        metavar="FILE",
        type=local_path,
        help="write the outcome of each scan as JSON; group: read it, or a folder, to say what is missing",
    )
    group.add_argument(
        "--config-file",
        metavar="FILE",
        type=local_path,
        help="TOML with options, as in n-procs = 8; the command line takes precedence",
    )
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument(
        "-v",
        "--verbose",
        dest="verbosity",
        action="count",
        default=0,
        help="say more, for finding faults",
    )
    loudness.add_argument(
        "-q",
        "--quiet",
        dest="verbosity",
        action="store_const",
        const=-1,
        help="only say what went wrong",
    )


def _add_flags(group: argparse._ArgumentGroup, *flags: tuple[str, str]) -> None:
    for flag, text in flags:
        group.add_argument(flag, action="store_true", help=text)
