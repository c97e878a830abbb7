"""Errors that a user can act on, and the exit codes of the program.

Each message is one line that names the file, the cause and the way out. It is shown without a traceback. A
subclass exists only where some caller distinguishes it.
"""

import errno
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

# Messages of the dynamic loader, C++ and the system.
_OUT_OF_MEMORY_TEXTS = ("failed to map segment", "bad_alloc", os.strerror(errno.ENOMEM))
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EIO}  # of storage
_STORAGE = {*_PASSING, errno.EROFS}
_Reason = TypeVar("_Reason")
OUT_OF_MEMORY = "its process was killed, most likely for memory; give the job more memory or lower --n-procs"


class BidsdefaceError(Exception):
    """A problem that a person can solve.

    Parameters
    ----------
    *args : object
        The message.
    retry : bool, optional
        Whether the cause may pass by itself, so that the same command may succeed later. Not needed if the
        error is raised from such a cause: see `may_pass`.

    Attributes
    ----------
    kind : str
        What went wrong, in words of the class: no path and no value. Empty if the class says too little.
    """

    kind = ""

    def __init__(self, *args: object, retry: bool = False) -> None:
        super().__init__(*args)
        self.retry = retry

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle an error for another process, where it has no cause any more: `retry` replaces that."""
        return type(self), self.args, {**self.__dict__, "retry": may_pass(self)}


def printable(text: str | os.PathLike[str]) -> str:
    r"""Return a path or a message as one line of UTF-8, with escapes for all other characters.

    Examples
    --------
    >>> printable("sub-01_T1w\udcff.nii"), printable("two\nlines")
    ('sub-01_T1w\\xff.nii', 'two\\nlines')
    """
    whole = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in whole)


def shortened(parts: Sequence[str], most: int, separator: str = ", ") -> str:
    """Return the first of some words or phrases, and how many more there are.

    Examples
    --------
    >>> shortened(["a", "b", "c"], 2), shortened(["a", "b", "c"], 1, "; ")
    ('a, b and 1 more', 'a; and 2 more')
    """
    more = f"{separator.strip(', ')} and {len(parts) - most} more" if len(parts) > most else ""
    return separator.join(parts[:most]) + more


def first_of(reasons: Mapping[_Reason, object]) -> _Reason | None:
    """Return the first reason whose condition holds, or None if none does.

    Examples
    --------
    >>> first_of({"is too long": False, "is empty": True}), first_of({"is empty": []})
    ('is empty', None)
    """
    return next((reason for reason, holds in reasons.items() if holds), None)


def counted_as(count: int, noun: str) -> str:
    """Return a number of things in words.

    Examples
    --------
    >>> counted_as(1, "scan"), counted_as(2, "scan")
    ('1 scan', '2 scans')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


class UsageError(BidsdefaceError):
    """A request on the command line that cannot be met."""

    kind = "the options do not fit it"


def raise_first(faults: Mapping[str, object], kind: type[Exception]) -> None:
    """Raise an error with the first message whose condition holds."""
    if fault := first_of(faults):
        raise kind(fault)


class StorageError(BidsdefaceError):
    """A file or folder that cannot be written."""

    kind = "its result could not be written"


class ImageError(BidsdefaceError):
    """An image file that cannot be read, understood or written."""

    kind = "its image file is damaged or cannot be used"


class RegistrationError(BidsdefaceError):
    """A scan and a template that could not be registered."""

    kind = "no head was found, or it could not be placed"


class TemplateError(BidsdefaceError):
    """A template that is missing, incomplete or wrongly labelled."""


def describe(error: Exception) -> str:
    """Return one line about any error; a fault of this program asks for a report."""
    if isinstance(error, BidsdefaceError):
        return str(error)
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in _STORAGE:
        return str(storage_error(error.filename or "a temporary file", error))
    return f"{type(error).__name__}: {error}; please report this, with the log of a run with -v"


def may_pass(error: BaseException) -> bool:
    """Return True if an error or its cause may pass: short memory, a full disk, a lost mount."""
    if error.__cause__ is not None and may_pass(error.__cause__):
        return True
    if isinstance(error, BidsdefaceError):
        return error.retry
    return (isinstance(error, OSError) and error.errno in _PASSING) or is_out_of_memory(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory was short, whichever library reports it."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY_TEXTS)


def storage_error(path: str | Path, error: OSError) -> StorageError:
    """Return an error that names a file that could not be written, and the ways out."""
    return StorageError(
        f"{path}: cannot be written ({error.strerror}); free some space, change the permissions "
        "or choose another folder",
        retry=may_pass(error),
    )


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn errors of the operating system about writing `path` into one clear line."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


@contextmanager
def read_errors(
    path: str | Path, remedy: str = "correct it", kind: type[BidsdefaceError] = BidsdefaceError
) -> Iterator[None]:
    """Turn errors of the operating system about reading a file or folder into one clear line."""
    try:
        yield
    except OSError as error:
        raise kind(f"{path}: cannot be read ({error.strerror}); {remedy}") from error


class Exit(IntEnum):
    """The exit code of a run, with its meaning in one line.

    Attributes
    ----------
    meaning : str

    Examples
    --------
    >>> int(Exit.RETRY), Exit(3).meaning
    (75, 'some scan failed, such as in its checks; all else is done')
    """

    meaning: str

    def __new__(cls, code: int, meaning: str = "") -> "Exit":
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


# Something is left for a person; all else is done.
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
    """Return the code that counts if several apply: 5, 1, 2, 75, 4, 3, in this order; 0 if none does.

    Examples
    --------
    >>> int(worst({Exit.FAILED, Exit.RETRY})), int(worst(set()))
    (75, 0)
    """
    return min(codes, key=_WORST_FIRST.index, default=Exit.DONE)


def counted(codes: Iterable[Exit], fail_on: Collection[Exit]) -> set[Exit]:
    """Return the codes that make a run fail: of those in `OPTIONAL`, only the ones in `fail_on`."""
    return {code for code in codes if code not in OPTIONAL or code in fail_on}


def code_of_run(error: BaseException) -> Exit:
    """Return the exit code of a run that an error has ended."""
    if may_pass(error):
        return Exit.RETRY
    return Exit.USAGE if isinstance(error, UsageError) else Exit.ERROR


def code_of_scan(error: BaseException) -> Exit:
    """Return the exit code for an error that costs one scan, or the files of one participant.

    A problem of a scan is left for a person. A folder that cannot be written and an unexpected error are not
    problems of the scan.
    """
    code = code_of_run(error)
    is_of_scan = isinstance(error, BidsdefaceError) and not isinstance(error, StorageError)
    return Exit.FAILED if code is Exit.ERROR and is_of_scan else code
