"""List the participants and files of a raw dataset, through links to folders too."""

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from functools import lru_cache
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.errors import BidsdefaceError


def participants(root: Path) -> list[str]:
    """Return the labels of all participants, without ``sub-``; names that are not UTF-8 are none."""
    found = [path.name for path in root.glob("sub-*") if path.is_dir()]
    return sorted(name.removeprefix("sub-") for name in found if is_utf8(name))


def files_in(root: Path, folder: str) -> Iterator[PurePosixPath]:
    """Yield the files below a folder, relative to the dataset; a folder that is not there has none.

    What macOS leaves beside files (``._*``, ``.DS_Store``) is nobody's data, and not among them.

    Raises
    ------
    BidsdefaceError
        A folder cannot be read.
    """
    place = os.path.join(root, folder)
    yield from _walk(place, PurePosixPath(folder), (os.path.realpath(place),))


def _walk(place: str, here: PurePosixPath, above: tuple[str, ...]) -> Iterator[PurePosixPath]:
    """Yield the files below a folder that lies in others, given by their real paths."""
    try:
        with os.scandir(place) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise BidsdefaceError(f"{place}: cannot be read ({error.strerror}); correct it") from error
    for entry in entries:
        if is_folder(entry):
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
            if real not in above:  # else a link back to a folder that it lies in
                yield from _walk(entry.path, here / entry.name, (*above, real))
        elif not is_of_macos(entry.name):
            yield here / entry.name


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return True for a folder or a link to one; a link to itself raises no error."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def is_of_macos(name: str) -> bool:
    """Return True for the name of a file that macOS leaves beside others."""
    return name.startswith("._") or name == ".DS_Store"


def is_utf8(name: str) -> bool:
    """Return True if the bytes of a name are UTF-8 (in Python, others come as lone surrogates)."""
    return name.isascii() or not any("\ud800" <= one <= "\udfff" for one in name)


def read_ignored(root: Path) -> list[str]:
    """Return the lines of ``.bidsignore``.

    Raises
    ------
    BidsdefaceError
        It is there and cannot be read.
    """
    path = root / ".bidsignore"
    check_fetched(path, root)
    try:
        return os.fsdecode(path.read_bytes()).removeprefix("\ufeff").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BidsdefaceError(f"{path}: cannot be read ({error.strerror}); correct it") from error


def is_ignored(path: PurePosixPath, lines: Sequence[str]) -> bool:
    """Return True if ``.bidsignore`` takes a path out; exceptions (``!``) are not honoured: less goes along.

    Examples
    --------
    >>> path = PurePosixPath("sub-01/func/sub-01_task-rest_bold.nii.gz")
    >>> [is_ignored(path, [line]) for line in ("func/", "**/*_bold.nii.gz", "/sub-01", "/func", "!func/")]
    [True, True, True, False, False]
    """
    expression = _expression(tuple(lines)) if lines else None
    if expression is None:
        return False
    return any(expression.fullmatch(str(place)) for place in (path, *path.parents))


@lru_cache(maxsize=4)
def _expression(lines: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return what matches a path, or a folder above it, that is ignored."""
    patterns = []
    for line in lines:
        pattern = line.strip().rstrip("/")
        if not pattern or pattern.startswith(("#", "!")):
            continue
        is_anchored = "/" in pattern and "**" not in line
        pattern = pattern.lstrip("/").removeprefix("**/")
        patterns += [translate(pattern), *([] if is_anchored else [translate(f"*/{pattern}")])]
    return re.compile("|".join(patterns)) if patterns else None
