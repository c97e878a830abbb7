"""Put finished files into the output dataset: all of a result or nothing of it.

Files are written in a private folder inside the output folder, moved into place with one rename
each, the sidecar last: where the sidecar is, all that belongs to it is. A killed run leaves its
private folder behind; the next run knows by its lock that nobody owns it, and removes it.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from types import TracebackType

from bidsdeface.dataset.layout import outputs_of
from bidsdeface.dataset.scan import Head, Scan
from bidsdeface.errors import BidsdefaceError

_PREFIX = ".bidsdeface-"
_LOCK = "lock"
_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class Staging:
    """A private folder in the output dataset, for files that are not finished.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset; must exist.

    Attributes
    ----------
    folder : Path
        Where to write, while the context lasts. On the same file system as the final place.

    Raises
    ------
    BidsdefaceError
        On entering, and from within the context where storage is full or read-only.
    """

    folder: Path

    def __init__(self, output_dir: Path) -> None:
        self._output_dir = output_dir

    def __enter__(self) -> "Staging":
        with _storage_errors(self._output_dir):
            sweep(self._output_dir)
            self.folder, self._lock = _claim(self._output_dir)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)
        if isinstance(error, OSError) and error.errno in _STORAGE_ERRORS:
            raise _storage_error(self._output_dir, error) from error

    def publish(self, files: Mapping[PurePath, Path]) -> None:
        """Move finished files into place, in the order given.

        Parameters
        ----------
        files : mapping of PurePath to Path
            Final path, relative to the output dataset, to the staged file. The last one vouches
            for all the others: its older version goes first, and it comes last.

        Raises
        ------
        BidsdefaceError
            If a file cannot be written or moved.
        """
        for staged in files.values():
            with _storage_errors(staged):
                _flush_to_disk(staged)
        *others, last = files
        with _storage_errors(self._output_dir / last):
            (self._output_dir / last).parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time((self._output_dir / last).parent):
            if others:
                with _storage_errors(self._output_dir / last):
                    (self._output_dir / last).unlink(missing_ok=True)
            for final, staged in files.items():
                target = self._output_dir / final
                with _storage_errors(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _check_inside(target, self._output_dir)
                    os.replace(staged, target)


def withdraw(output_dir: Path, head: Head, scan: Scan) -> None:
    """Remove an older result of a scan, the image's sidecar first.

    A mask that other scans of the head share stays.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset.
    head : Head
    scan : Scan
        One of the head's; files of it that do not exist are passed over.

    Raises
    ------
    BidsdefaceError
        If a file exists and cannot be removed.
    """
    others = [vars(outputs_of(other)).values() for other in head.scans if other != scan]
    shared = {name for names in others for name in names}
    for name in reversed(vars(outputs_of(scan)).values()):
        if name in shared:
            continue
        with _storage_errors(output_dir / name):
            (output_dir / name).unlink(missing_ok=True)


def _claim(output_dir: Path) -> tuple[Path, int]:
    """Make a private folder (mode 0700) and hold its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=output_dir))
        with suppress(FileNotFoundError):  # another run's sweep may take the folder at this moment
            lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            with suppress(OSError):  # no locks on this file system: then nobody sweeps either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock).st_nlink:
                return folder, lock
            os.close(lock)


def sweep(output_dir: Path) -> None:
    """Remove the private folders of killed runs: those whose lock nobody holds."""
    for folder in output_dir.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # gone meanwhile, another user's, or no locks on this file system
            lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep two runs from mixing their files of one result, where the file system has locks."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _check_inside(path: Path, output_dir: Path) -> None:
    """Refuse to write through a link that leads out of the output dataset: it might lead into the input."""
    if not path.parent.resolve().is_relative_to(output_dir.resolve()):
        raise BidsdefaceError(f"{path.parent}: is a link out of OUTPUT_DIR; remove the link")


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _storage_error(path, error) from error


def _storage_error(path: Path, error: OSError) -> BidsdefaceError:
    return BidsdefaceError(
        f"{path}: cannot be written ({error.strerror}); free some space, change the permissions "
        "or choose another OUTPUT_DIR"
    )
