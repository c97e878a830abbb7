"""Private folders of one run: each is held by a lock, and removed when nobody holds it any more.

If a run is killed, a process that outlives it removes its `scratch_folder`, whose files could identify
participants. Any later run of the same user removes other folders that were left behind, if their lock is
free. On some cluster file systems locks do not reach other machines, or there are none: there, a folder must
also have been untouched for a day.
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
    """Make a folder that only this user can enter, and remove it at the end.

    Parameters
    ----------
    parent : pathlib.Path
        Where to make it; swept first.
    must_be_private : bool, optional
        Refuse a file system that cannot keep others out, such as CIFS. Files that are about to be published
        may be written there.

    Yields
    ------
    pathlib.Path
        With mode 0700. It contains the lock and nothing else yet.

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
    """Make a private folder for a whole run, and remove it at the end, or soon after the run is killed.

    A process in a session of its own removes it, so that it survives a signal to the whole process group.
    Where that process is killed as well (the end of a container, or of a job in a control group), a later
    `sweep` removes the folder.

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
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        ) as guard:
            try:
                yield folder
            finally:
                guard.kill()


def check_keeps_others_out(folder: Path) -> None:
    """Refuse a folder that this program has made if others may enter it.

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
        A folder that others may write to as well, such as ``/tmp``: no link is followed. It need not exist.
    """
    with suppress(OSError):
        for name in os.listdir(parent):
            if match := _NAME.fullmatch(name):
                with suppress(OSError):  # gone meanwhile
                    _remove_abandoned(parent / name, match["system"])


def make_private(folder: Path) -> Path:
    """Make a lasting folder that only this user can enter, and missing folders above it.

    Raises
    ------
    BidsdefaceError
        It cannot be made.
    UsageError
        Others may enter it.
    """
    is_new = not folder.exists()
    with storage_errors(folder):
        for missing in (*reversed([above for above in folder.parents if not above.exists()]), folder):
            missing.mkdir(mode=0o700, exist_ok=True)
    if is_new:
        check_keeps_others_out(folder)
    return folder


def temporary_dir() -> Path:
    """Return ``$TMPDIR`` as it is set, even if it cannot be used: no other place is taken unasked.

    Raises
    ------
    UsageError
        It is not set, and no usual place can be written to, as in a read-only container.
    """
    try:
        return Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    except FileNotFoundError as error:
        raise UsageError(
            "no folder for temporary files can be written to; add --tmpfs /tmp to docker run --read-only, or "
            "set TMPDIR"
        ) from error


def environment_in(folder: Path) -> dict[str, str]:
    """Return the variables that keep temporary files, and the cache of the validator's deno, in a folder."""
    return {"TMPDIR": str(folder), "DENO_DIR": str(folder / "deno")}


def _claim(parent: Path) -> tuple[Path, int]:
    """Make a private folder and hold its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{PRIVATE}{_system()}-", dir=parent))
        # Another run's sweep may remove the folder at this moment.
        with suppress(FileNotFoundError), ExitStack() as on_failure:
            on_failure.callback(shutil.rmtree, folder, ignore_errors=True)
            lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            on_failure.callback(os.close, lock)
            with suppress(OSError):  # no locks on this file system
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(lock), os.stat(folder / _LOCK)):
                on_failure.pop_all()
                return folder, lock


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
    """Return a name of the running system, shared by its containers; it changes with each restart.

    It does not reveal the host's name.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:  # not Linux: no folder counts as this system's own
        boot = uuid.uuid4().bytes
    return hashlib.sha256(boot).hexdigest()[:8]
