"""The BIDS-App command line: from arguments to one `Settings` object, and to an exit code.

It imports nothing heavy, so that ``--help`` is fast.
"""

import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from bidsdeface.errors import BidsdefaceError, Exit, code_of_run, counted, describe, may_pass, worst
from bidsdeface.options import parse
from bidsdeface.runtime.workdir import log_of_run, open_state
from bidsdeface.settings import Settings, check_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run bidsdeface.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; the process's own by default.

    Returns
    -------
    int
        Exit code, see `Exit`.
    """
    try:
        with _sigterm_as_exit():
            settings = parse(sys.argv[1:] if argv is None else argv)
            _log_to_stderr(settings.verbosity)
            check_settings(settings)
            return worst(counted(_run(settings), settings.fail_on))
    except Exception as error:
        if not (isinstance(error, BidsdefaceError) or may_pass(error)):
            raise  # a bug: with its traceback, and exit code 1
        print(f"bidsdeface: error: {describe(error)}", file=sys.stderr)
        return code_of_run(error)
    except KeyboardInterrupt:
        print("bidsdeface: interrupted; run the same command to continue", file=sys.stderr)
        return Exit.INTERRUPTED


def _run(settings: Settings) -> set[Exit]:
    state = open_state(settings.work_dir, settings.key_file) if settings.work_dir else None
    with log_of_run(state) if state else nullcontext():
        if settings.level == "group":
            from bidsdeface.group import run_group_level

            return run_group_level(settings, state)
        from bidsdeface.participant import run_participant_level

        return run_participant_level(settings, state)


def _log_to_stderr(verbosity: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    level = {-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}[verbosity]
    handler.addFilter(
        lambda record: record.levelno >= level
    )  # a log file may record more; tqdm keeps filters
    logger = logging.getLogger("bidsdeface")
    logger.handlers = [handler]
    logger.setLevel(level)


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Let a batch system's SIGTERM unwind the stack, so that temporary files are removed."""

    def leave(*_: object) -> None:
        sys.exit(Exit.TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
