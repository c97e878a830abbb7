"""The exit codes of the program: what each means, which of several counts, and which error gives which.

Nothing heavy is imported here: the command line's help lists the codes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import IntEnum

from bidsdeface.errors import BidsdefaceError, StorageError, UsageError, may_pass


class Exit(IntEnum):
    """How a run ended, and in one line what that means to whoever started it.

    Attributes
    ----------
    meaning : str

    Examples
    --------
    >>> int(Exit.RETRY), Exit(3).meaning
    (75, 'some scan failed, such as in its checks; all else is done')
    """

    meaning: str

    def __new__(cls, code: int, meaning: str = "") -> Exit:
        """Make a member that is its number and knows its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "everything that was asked for is done"
    ERROR = 1, "an error: not everything could be done"
    USAGE = 2, "wrong usage"
    FAILED = 3, "some scan failed, such as in its checks; all else is done"
    WAITS = 4, "a text waits for a person; all else is done"
    LEAK = 5, "a leak, or a validation error that the input does not have"
    RETRY = 75, "try again: memory or disk space was short, or a process was killed"
    INTERRUPTED = 130, "interrupted"
    TERMINATED = 143, "ended by SIGTERM"


# Those that say that something is left for a person, and that all else is done.
OPTIONAL = (Exit.FAILED, Exit.WAITS, Exit.LEAK)
_WORST_FIRST = (
    Exit.TERMINATED,
    Exit.INTERRUPTED,
    Exit.LEAK,  # whatever else happened, this must not be shared
    Exit.ERROR,  # another try would end in the same way
    Exit.USAGE,
    Exit.RETRY,  # before all that a person is to look at: it is not complete yet
    Exit.WAITS,
    Exit.FAILED,
    Exit.DONE,
)


def worst(codes: Iterable[Exit]) -> Exit:
    """Return the code that counts where several hold: 5, 1, 2, 75, 4, 3, in this order; 0 where none does.

    Examples
    --------
    >>> int(worst({Exit.FAILED, Exit.RETRY})), int(worst(set()))
    (75, 0)
    """
    return min(codes, key=_WORST_FIRST.index, default=Exit.DONE)


def counted(codes: Iterable[Exit], fail_on: Collection[Exit]) -> set[Exit]:
    """Return the codes that count when, of those in `OPTIONAL`, only some are to make a run fail."""
    return {code for code in codes if code not in OPTIONAL or code in fail_on}


def code_of_run(error: BaseException) -> Exit:
    """Return the exit code of a run that an error has ended."""
    if may_pass(error):
        return Exit.RETRY
    return Exit.USAGE if isinstance(error, UsageError) else Exit.ERROR


def code_of_scan(error: BaseException) -> Exit:
    """Return the exit code for an error that costs one scan, or the files of one participant.

    What is wrong with a scan is for a person to look at. A folder that cannot be written and an error that
    nobody expected are not the scan's fault.
    """
    code = code_of_run(error)
    is_of_scan = isinstance(error, BidsdefaceError) and not isinstance(error, StorageError)
    return Exit.FAILED if code is Exit.ERROR and is_of_scan else code
