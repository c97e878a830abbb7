"""Private state that outlives a run: the key, fingerprints made with it, and logs. Never in a dataset.

It lies in ``bidsdeface`` in the work dir, and only its owner may enter. Anybody with a copy of an original
could recognise its plain hash; fingerprints cannot be recognised without the key.
"""

import hmac
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bidsdeface import __version__
from bidsdeface.errors import UsageError, raise_first, read_errors, storage_errors
from bidsdeface.runtime.scratch import private_folder, sweep

KEY_BYTES = 32
COMPLETE = "complete"  # purpose of a folder for files that have no place in a complete dataset
LOGGER = logging.getLogger("bidsdeface")
OUTCOMES = "outcomes"  # purpose of a folder with the last outcome of each scan
REPORT = "report"  # purpose of the folder of the private report
_KEY, _FINGERPRINTS, _LOGS = "key", "fingerprints", "logs"
# A folder that holds one of these is passed on, and a key in it with it.
_OF_A_DATASET = (".git", ".datalad", "dataset_description.json")


@dataclass(frozen=True)
class State:
    """An open folder of private state.

    Attributes
    ----------
    folder : pathlib.Path
    key : bytes
        Random, made once.
    """

    folder: Path
    key: bytes = field(repr=False)

    def derive(self, purpose: str, *parts: bytes) -> bytes:
        """Return the HMAC-SHA256 of some bytes, 32 bytes: reproducible, and only with the key.

        Parameters
        ----------
        purpose : str
            Purpose of the result; another purpose gives another result.
        *parts : bytes
            ``b"ab", b"c"`` gives another result than ``b"a", b"bc"``.
        """
        code = hmac.new(self.key, digestmod="sha256")
        for part in (purpose.encode(), *parts):
            code.update(len(part).to_bytes(8, "little"))
            code.update(part)
        return code.digest()

    def folder_for(self, purpose: str, output_dir: Path) -> Path:
        """Return a private folder for one output dataset, as a work dir may serve several."""
        return self.folder / purpose / self.derive(purpose, os.fsencode(output_dir.resolve())).hex()[:8]

    def remember(self, name: str, fingerprint: bytes) -> None:
        """Store a fingerprint; it replaces an older one atomically.

        Raises
        ------
        BidsdefaceError
            It cannot be written.
        """
        with private_folder(self.folder) as unfinished, storage_errors(self.folder):
            (unfinished / name).touch(0o600)
            (unfinished / name).write_bytes(fingerprint)
            os.replace(unfinished / name, self.fingerprint_file(name))

    def remembered(self, name: str) -> bytes | None:
        """Return a fingerprint, or None if there is none.

        Raises
        ------
        OSError
            There may be one, but it cannot be read.
        """
        with suppress(FileNotFoundError):
            return self.fingerprint_file(name).read_bytes()
        return None

    def fingerprint_file(self, name: str) -> Path:
        """Return where a fingerprint is kept."""
        return self.folder / _FINGERPRINTS / name


def state_folder(work_dir: Path) -> Path:
    """Return the folder of private state in a work dir."""
    return work_dir / "bidsdeface"


def open_state(work_dir: Path, key_file: Path | None = None) -> State:
    """Open the private state in a work dir, or make it if there is none.

    If many tasks start at once, one makes the key, and all use it.

    Parameters
    ----------
    work_dir : Path
    key_file : Path, optional
        The key to use, such as that of another work dir. By default, a new work dir gets a random one.

    Raises
    ------
    UsageError
        The folder or the key is not private, the folder is not ours, or it has another key.
    BidsdefaceError
        It cannot be made or read.
    """
    given = read_key(key_file) if key_file else None
    folder = state_folder(work_dir)
    with storage_errors(work_dir):
        work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(work_dir)
    if not os.path.lexists(folder):
        with private_folder(work_dir) as unfinished, storage_errors(folder):
            _make(unfinished / "state", folder, given or secrets.token_bytes(KEY_BYTES))
    _check_private(folder)
    try:
        key = (folder / _KEY).read_bytes()
    except OSError as error:
        raise UsageError(
            f"{folder / _KEY}: cannot be read ({error.strerror}), so {folder} is not what bidsdeface "
            "made; remove it, or choose another --work-dir"
        ) from error
    raise_first(
        {
            f"{folder / _KEY}: is damaged ({len(key)} of {KEY_BYTES} bytes); remove {folder} to start over": (
                len(key) != KEY_BYTES
            ),
            f"{key_file}: is not the key of {folder}; leave it out, or choose another --work-dir": (
                given not in (None, key)
            ),
        },
        UsageError,
    )
    return State(folder, key)


def read_key(path: Path) -> bytes:
    """Return the key in a file that nobody else may read, outside of all datasets and repositories.

    Raises
    ------
    UsageError
        The file is not so, or is no key.
    """
    real = path.resolve()
    for folder in real.parents:
        if any(os.path.lexists(folder / name) for name in _OF_A_DATASET):
            raise UsageError(
                f"{path}: lies in {folder}, a dataset or repository, and would be shared with it; "
                "move it elsewhere"
            )
    with read_errors(path, "give --key-file a key", UsageError):
        mode, key = real.stat().st_mode, real.read_bytes()
    raise_first(
        {
            f"{path}: may be read by others; run chmod 600 {path}": stat.S_IMODE(mode) & 0o077,
            f"{path}: holds {len(key)} bytes and not {KEY_BYTES}, so it is no key; make one with "
            f"head -c {KEY_BYTES} /dev/urandom, or copy bidsdeface/{_KEY} of a work dir": (
                len(key) != KEY_BYTES
            ),
        },
        UsageError,
    )
    return key


@contextmanager
def log_of_run(state: State) -> Iterator[None]:
    """Write all log messages, and the traceback of an early end, to a file of this run."""
    name = f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}.log"
    with storage_errors(state.folder / _LOGS):
        (state.folder / _LOGS).mkdir(mode=0o700, exist_ok=True)
        (state.folder / _LOGS / name).touch(0o600, exist_ok=False)
        handler = _LogFile(state.folder / _LOGS / name, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.debug("bidsdeface %s", __version__)
    try:
        yield
    except BaseException:
        LOGGER.debug("the run ended early", exc_info=True)
        raise
    finally:
        LOGGER.setLevel(level)
        LOGGER.removeHandler(handler)
        with suppress(OSError):  # said already
            handler.close()


class _LogFile(logging.FileHandler):
    """A log file that is given up, with one warning, when its disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:
        LOGGER.removeHandler(self)
        LOGGER.warning("%s: cannot be written; the run goes on without a log", self.baseFilename)


def _make(unfinished: Path, folder: Path, key: bytes) -> None:
    """Make the complete folder, then give it its name with one rename, in which only one task can succeed.

    This needs neither locks nor hard links, which some network file systems lack.
    """
    for made in (unfinished, unfinished / _FINGERPRINTS, unfinished / _LOGS):
        made.mkdir(mode=0o700)
    with open(os.open(unfinished / _KEY, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.rename(unfinished, folder)  # fails where there is a folder that is not empty
    except OSError:
        if not os.path.lexists(folder):
            raise


def _check_private(folder: Path) -> None:
    with storage_errors(folder):
        status = folder.lstat()
    raise_first(
        {
            f"{folder}: is a link or a file, not a folder; choose another --work-dir": (
                not stat.S_ISDIR(status.st_mode)
            ),
            f"{folder}: belongs to another user; choose another --work-dir, on a local disk": (
                status.st_uid != os.geteuid()
            ),
        },
        UsageError,
    )
    if stat.S_IMODE(status.st_mode) & 0o077:
        with private_folder(folder.parent):
            pass  # if no private folder can be made here, this error names the way out
        raise UsageError(
            f"{folder}: is accessible to others; run chmod 700 {folder}, or choose another --work-dir"
        )
