"""The errors this program tells a person about, as opposed to its own faults.

The message of each is one line that names the file, the cause and the way out. It is shown as it
is, without a traceback. A subclass exists only where somebody tells it apart from the others.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# What the dynamic loader, C++ and the system say.
_OUT_OF_MEMORY_TEXTS = ("failed to map segment", "bad_alloc", os.strerror(errno.ENOMEM))
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EIO}  # of storage
_STORAGE = {*_PASSING, errno.EROFS}
OUT_OF_MEMORY = "its process was killed, most likely for memory; give the job more memory or lower --n-procs"


class BidsdefaceError(Exception):
    """Something a person can put right.

    Parameters
    ----------
    *args : object
        The message.
    retry : bool, optional
        Whether the cause may pass by itself, so that the same command may succeed later. An error that was
        raised from such a cause need not say so: see `may_pass`.
    """

    def __init__(self, *args: object, retry: bool = False) -> None:
        super().__init__(*args)
        self.retry = retry

    def __reduce__(self) -> tuple[Any, ...]:
        """Send an error to another process, where its cause does not go along."""
        return type(self), self.args, {**self.__dict__, "retry": may_pass(self)}


def printable(text: str | os.PathLike[str]) -> str:
    r"""Return a path or a message as one line of UTF-8; whatever else is in it becomes escapes.

    Examples
    --------
    >>> printable("sub-01_T1w\udcff.nii"), printable("two\nlines")
    ('sub-01_T1w\\xff.nii', 'two\\nlines')
    """
    whole = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in whole)


class UsageError(BidsdefaceError):
    """What was asked for on the command line cannot be done as asked."""


class StorageError(BidsdefaceError):
    """A file or folder that cannot be written."""


class ImageError(BidsdefaceError):
    """An image file that cannot be read, understood or written."""


class RegistrationError(BidsdefaceError):
    """A scan and a template that could not be brought together."""


class TemplateError(BidsdefaceError):
    """A template that is missing, incomplete or not what it says it is."""


def describe(error: Exception) -> str:
    """Return one line about any error: a fault of this program is to be reported."""
    if isinstance(error, BidsdefaceError):
        return str(error)
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in _STORAGE:
        return str(storage_error(error.filename or "a temporary file", error))
    return f"{type(error).__name__}: {error}; please report this, with the log of a run with -v"


def may_pass(error: BaseException) -> bool:
    """Return True if an error, or what caused it, may pass: short memory, a full disk, a lost mount."""
    if error.__cause__ is not None and may_pass(error.__cause__):
        return True
    if isinstance(error, BidsdefaceError):
        return error.retry
    return (isinstance(error, OSError) and error.errno in _PASSING) or is_out_of_memory(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory was short, whatever library says so."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY_TEXTS)


def storage_error(path: str | Path, error: OSError) -> StorageError:
    """Say that a file could not be written, and the ways out."""
    return StorageError(
        f"{path}: cannot be written ({error.strerror}); free some space, change the permissions "
        "or choose another folder",
        retry=may_pass(error),
    )


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about writing `path` into one clear line."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error
