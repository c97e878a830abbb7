"""The BIDS-App command line: from arguments to one `Settings` object, and to an exit code.

Nothing heavy is imported here, so that ``--help`` answers at once.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bidsdeface import __version__
from bidsdeface.dataset.filters import read_filters
from bidsdeface.errors import BidsdefaceError, UsageError
from bidsdeface.privacy.state import State, log_of_run, open_state
from bidsdeface.settings import (
    DEFAULT_GUARD_MM,
    DEFAULT_TEMPLATE,
    REGIONS,
    Settings,
    check_settings,
    default_n_procs,
)

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 130, 143

USAGE = "bidsdeface BIDS_DIR OUTPUT_DIR {participant,group} [options]"

DESCRIPTION = """\
Deface the MRI scans of a BIDS dataset. The input is only read; OUTPUT_DIR becomes
a BIDS derivative dataset with the defaced images, their face masks and a record of
what was done. A scan that cannot be verified is not written."""

EPILOG = """\
example:
  bidsdeface /data/ds01 /data/ds01-defaced participant --participant-label 01 02
  bidsdeface /data/ds01 /data/ds01-defaced group

exit codes: 0 every scan done, 1 some scan failed, 2 wrong usage.
Long options may also be spelled with underscores (--participant_label)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run bidsdeface.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; the process's own by default.

    Returns
    -------
    int
        Exit code: 0 all is well, 1 something failed, 2 wrong usage, 130 interrupted.
    """
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    _log_to_stderr(arguments.verbosity)
    try:
        with _sigterm_as_exit():
            settings = _settings(arguments)
            check_settings(settings)
            return _run(settings)
    except BidsdefaceError as error:
        print(f"bidsdeface: error: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
    except KeyboardInterrupt:
        print("bidsdeface: interrupted; run the same command to go on", file=sys.stderr)
        return EXIT_INTERRUPTED


def _run(settings: Settings) -> int:
    if settings.work_dir is None or settings.dry_run:
        return _run_level(settings, None)
    state = open_state(settings.work_dir)
    with log_of_run(state):
        return _run_level(settings, state)


def _run_level(settings: Settings, state: State | None) -> int:
    if settings.level == "group":
        from bidsdeface.group import run_group_level

        return run_group_level(settings)
    from bidsdeface.participant import run_participant_level

    return run_participant_level(settings, state)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    return _parser().parse_args([_with_hyphens(argument) for argument in argv])


def _with_hyphens(argument: str) -> str:
    """Spell a long option with hyphens: ``--work_dir=a_b`` becomes ``--work-dir=a_b``."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        bids_dir=arguments.bids_dir,
        output_dir=arguments.output_dir,
        level=arguments.level,
        participants=tuple(label.removeprefix("sub-") for label in arguments.participant_label),
        sessions=tuple(label.removeprefix("ses-") for label in arguments.session_label),
        filters=read_filters(arguments.bids_filter_file) if arguments.bids_filter_file else {},
        template=arguments.template,
        guard_mm=arguments.guard_mm,
        regions=tuple(arguments.regions.split(",")),
        mask=arguments.mask,
        accept=tuple(arguments.accept),
        private_report=arguments.private_report,
        n_procs=arguments.n_procs or default_n_procs(arguments.omp_nthreads),
        omp_nthreads=arguments.omp_nthreads,
        validate=arguments.validate,
        work_dir=arguments.work_dir,
        dry_run=arguments.dry_run,
        force=arguments.force,
        stop_on_first_crash=arguments.stop_on_first_crash,
        verbosity=arguments.verbosity,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bidsdeface",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("bids_dir", metavar="BIDS_DIR", type=Path, help="root of the dataset")
    parser.add_argument(
        "output_dir", metavar="OUTPUT_DIR", type=Path, help="where to write, outside of BIDS_DIR"
    )
    parser.add_argument(
        "level",
        metavar="{participant,group}",
        choices=("participant", "group"),
        help="deface scans, or sum up in quality.tsv what was done",
    )
    parser.add_argument("--version", action="version", version=f"bidsdeface {__version__}")
    _add_selection(parser.add_argument_group("which scans"))
    _add_defacing(parser.add_argument_group("how to deface"))
    _add_running(parser.add_argument_group("how to run"))
    return parser


def _add_selection(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--participant-label",
        metavar="LABEL",
        nargs="+",
        action="extend",
        default=[],
        help="participants, with or without sub- (default: all)",
    )
    group.add_argument(
        "--session-label",
        metavar="LABEL",
        nargs="+",
        action="extend",
        default=[],
        help="sessions, with or without ses- (default: all)",
    )
    group.add_argument(
        "--bids-filter-file",
        metavar="FILE",
        type=Path,
        help='JSON of pybids queries by suffix, as in fMRIPrep: {"t1w": {"acquisition": "mprage"}}',
    )
    group.add_argument(
        "--skip-bids-validation",
        "--skip-bids-validator",
        dest="validate",
        action="store_false",
        help="do not run the BIDS validator on the selected participants first",
    )


def _add_defacing(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--template",
        metavar="NAME",
        default=DEFAULT_TEMPLATE,
        help="TemplateFlow template that has a face mask (default: %(default)s, built in)",
    )
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
    group.add_argument(
        "--mask",
        metavar="FILE",
        type=Path,
        help="a face mask drawn by hand, used instead of the template's",
    )
    group.add_argument(
        "--accept",
        metavar="FILE_STEM",
        nargs="+",
        action="extend",
        default=[],
        help="publish these scans, such as sub-01_T1w, though their checks failed: you have looked",
    )


def _add_running(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--n-procs",
        metavar="N",
        type=_count,
        help="heads worked on at once (default: the CPUs this job may use / --omp-nthreads)",
    )
    group.add_argument(
        "--omp-nthreads",
        metavar="N",
        type=_count,
        default=1,
        help="threads to compress with (default: %(default)s); all else takes one, for the same bytes",
    )
    group.add_argument(
        "-w",
        "--work-dir",
        metavar="DIR",
        type=Path,
        help="where private files go and stay: a key, fingerprints of inputs, logs "
        "(default: a temporary folder, gone at the end)",
    )
    group.add_argument(
        "--private-report",
        action="store_true",
        help="show every scan before and after, worst first, on a page in the work dir: it shows faces",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="print every scan, its reference and its outputs, and write nothing",
    )
    group.add_argument("--force", action="store_true", help="redo scans that are already done")
    group.add_argument("--stop-on-first-crash", action="store_true", help="stop when the first head fails")
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument(
        "-v",
        "--verbose",
        dest="verbosity",
        action="store_const",
        const=1,
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


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _log_to_stderr(verbosity: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    level = {-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}[verbosity]
    handler.addFilter(lambda record: record.levelno >= level)  # a log file may want more; tqdm keeps filters
    logger = logging.getLogger("bidsdeface")
    logger.handlers = [handler]
    logger.setLevel(level)


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Let a batch system's SIGTERM unwind the stack, so that temporary files are removed."""

    def leave(*_: object) -> None:
        sys.exit(EXIT_TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
