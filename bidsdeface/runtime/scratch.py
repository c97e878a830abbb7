"""Folders that only this run uses: private, held by a lock, swept when nobody holds them any more.

When a run is killed, a process that outlives it removes the folder that could tell whose heads these are
(`scratch_folder`). What else is left behind, any later run of the same user removes if its lock is free.
On some cluster file systems locks do not reach other machines, or there are none: then a folder must
also have lain untouched for a day.
"""

import fcntl
import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bidsdeface.errors import UsageError, storage_errors

PRIVATE = ".bidsdeface-"  # how the names of private folders begin
_LOCK = "lock"
_NAME = re.compile(rf"{re.escape(PRIVATE)}(?P<system>[0-9a-f]{{8}})-\w+")
_UNTOUCHED_S = 24 * 3600.0
# Waits until nobody holds the other end of its input; a process that ends meanwhile may still write.
_REMOVE_AFTER = 'cat; for _ in 1 2 3 4 5; do rm -rf -- "$1" && exit; sleep 1; done'


@contextmanager
def private_folder(parent: Path, *, must_be_private: bool = True) -> Iterator[Path]:
    """Give a folder that only this user can enter, gone at the end.

    Parameters
    ----------
    parent : pathlib.Path
        Where to make it; swept first.
    must_be_private : bool, optional
        Refuse a file system that cannot keep others out, such as CIFS. What is about to be published may be
        written there all the same.

    Yields
    ------
    pathlib.Path
        With mode 0700. It holds the lock, and nothing else yet.

    Raises
    ------
    BidsdefaceError
        The folder cannot be made.
    UsageError
        Others may enter it.
    """
    sweep(parent)
    with storage_errors(parent):
        folder, lock = _claim(parent)
    try:
        if must_be_private:
            check_keeps_others_out(folder)
        yield folder
    finally:
        os.close(lock)  # first, as NFS keeps a file that is open, and so the folder
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give a private folder for a whole run: gone at the end, and soon after the run is killed.

    A process in a session of its own sees to that, so that it outlives the signal to a whole process group.
    Where it is killed as well (the end of a container, or of a job in a control group), `sweep` is left.

    Parameters
    ----------
    parent : pathlib.Path
        Where to make it; swept first.

    Yields
    ------
    pathlib.Path
        See `private_folder`.

    Raises
    ------
    BidsdefaceError
        The folder cannot be made.
    """
    with private_folder(parent) as folder:
        command = ["/bin/sh", "-c", _REMOVE_AFTER, "sh", str(folder)]
        nothing = subprocess.DEVNULL
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, cwd="/", start_new_session=True
        ) as guard:
            try:
                yield folder
            finally:
                guard.kill()


def check_keeps_others_out(folder: Path) -> None:
    """Refuse a folder that this program has made, and that others may enter all the same.

    Raises
    ------
    UsageError
        Its file system has no permissions, or does not keep them: CIFS, some FUSE mounts, folders of the host
        in Docker Desktop.
    """
    with storage_errors(folder):
        mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        raise UsageError(
            f"{folder.parent}: its file system cannot keep a folder private (mode 0700), as with CIFS, some "
            "FUSE mounts and folders of the host in Docker Desktop; choose another --work-dir (or TMPDIR) on "
            "a local disk; with Docker a volume: -v deface-work:/work and --work-dir /work"
        )


def sweep(parent: Path) -> None:
    """Remove this user's private folders that a killed run has left behind.

    Parameters
    ----------
    parent : pathlib.Path
        A folder that others may write to as well, such as ``/tmp``: no link is followed. Nothing happens
        if it is not there.
    """
    with suppress(OSError):
        for name in os.listdir(parent):
            if match := _NAME.fullmatch(name):
                with suppress(OSError):  # gone meanwhile
                    _remove_abandoned(parent / name, match["system"])


def make_private(folder: Path) -> Path:
    """Make a folder that stays, for nobody else to enter, and what is missing above it.

    Raises
    ------
    BidsdefaceError
        It cannot be made.
    UsageError
        Others may enter it.
    """
    is_new = not folder.exists()
    with storage_errors(folder):
        for missing in (*reversed([one for one in folder.parents if not one.exists()]), folder):
            missing.mkdir(mode=0o700, exist_ok=True)
    if is_new:
        check_keeps_others_out(folder)
    return folder


def temporary_dir() -> Path:
    """Return ``$TMPDIR`` as it is set, even if it cannot be used: nothing is to go elsewhere unasked."""
    return Path(os.environ.get("TMPDIR") or tempfile.gettempdir())


def environment_in(folder: Path) -> dict[str, str]:
    """Return what keeps the files of libraries and programs inside a folder.

    They are temporary files of all kinds, and what the validator's deno has compiled.
    """
    return {"TMPDIR": str(folder), "DENO_DIR": str(folder / "deno")}


def _claim(parent: Path) -> tuple[Path, int]:
    """Make a private folder and hold its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{PRIVATE}{_system()}-", dir=parent))
        with suppress(FileNotFoundError):  # another run's sweep may take the folder at this moment
            try:
                lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            except OSError:  # such as a full disk
                with suppress(OSError):
                    folder.rmdir()
                raise
            with suppress(OSError):  # no locks on this file system
                fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                if os.path.samestat(os.fstat(lock), os.stat(folder / _LOCK)):
                    return folder, lock
            except OSError:
                os.close(lock)
                raise


def _remove_abandoned(folder: Path, system: str) -> None:
    with ExitStack() as opened:
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        opened.callback(os.close, inside)
        status = os.fstat(inside)
        if status.st_uid != os.geteuid():
            return
        # Where there is none, a run was killed while it made the folder, or while it removed it.
        lock = os.open(_LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600, dir_fd=inside)
        opened.callback(os.close, lock)
        os.utime(lock)
        untouched_s = os.fstat(lock).st_mtime - status.st_mtime  # by the file system's clock, both
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_proof = system == _system()
        except BlockingIOError:
            return
        except OSError:  # no locks on this file system
            is_proof = False
        if not is_proof and untouched_s < _UNTOUCHED_S:
            return
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()  # NFS kept the lock, as it was open


def _system() -> str:
    """Return a name of the running system: its containers have the same, and after a restart it has another.

    It is not the host's name: that would tell in the output where it was made.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:  # not Linux: no folder counts as this system's own
        boot = uuid.uuid4().bytes
    return hashlib.sha256(boot).hexdigest()[:8]
