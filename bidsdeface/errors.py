"""The errors this program tells a person about, as opposed to its own faults.

The message of each is one line that names the file, the cause and the way out. It is shown as it
is, without a traceback. A subclass exists only where somebody catches it apart from the others.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What the dynamic loader, C++ and the system say.
_OUT_OF_MEMORY_TEXTS = ("failed to map segment", "bad_alloc", os.strerror(errno.ENOMEM))
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EIO}
OUT_OF_MEMORY = "its process was killed, most likely for memory; give the job more memory or lower --n-procs"


class BidsdefaceError(Exception):
    """Something a person can put right."""


class UsageError(BidsdefaceError):
    """What was asked for on the command line cannot be done as asked."""


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
    if isinstance(error, OSError) and error.errno in _STORAGE and error.filename:
        return str(storage_error(error.filename, error))
    return f"{type(error).__name__}: {error}; please report this, with the log of a run with -v"


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether memory was short, whatever library says so."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY_TEXTS)


def storage_error(path: str | Path, error: OSError) -> BidsdefaceError:
    """Say that a file could not be written, and the ways out."""
    return BidsdefaceError(
        f"{path}: cannot be written ({error.strerror}); free some space, change the permissions "
        "or choose another folder"
    )


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about writing `path` into one clear line."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error
