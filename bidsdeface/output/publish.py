"""Publish finished files in the output dataset, a whole result or nothing; withdraw and remove files.

Files are written in a private folder inside the output folder and moved into place with one rename each, the
sidecar last: where the sidecar is, its result is complete.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from bidsdeface.dataset.names import Scan, parse_name
from bidsdeface.errors import BidsdefaceError, Exit, code_of_run, storage_errors, worst
from bidsdeface.output.names import DERIVATIVES, Outputs, mask_of, outputs_of
from bidsdeface.quality.outcome import FAILED, Outcome
from bidsdeface.runtime.scratch import private_folder


@dataclass(frozen=True)
class Staging:
    """A private folder in the output dataset for unfinished files: see `open_staging`.

    Attributes
    ----------
    output_dir : Path
        Root of the output dataset.
    folder : Path
        Where to write: on the file system of the output dataset.
    """

    output_dir: Path
    folder: Path

    def publish(self, files: Mapping[PurePath, Path], stale: Sequence[PurePath] = ()) -> None:
        """Move finished files into place, in the order given.

        Parameters
        ----------
        files : mapping of PurePath to Path
            Staged file by its final path, relative to the output dataset. The last one vouches for all the
            others: its older version is removed first, and it is moved last.
        stale : sequence of PurePath
            Files of an older result, to be removed before.

        Raises
        ------
        BidsdefaceError
            If a file cannot be written or moved, or another run wrote the same result at the same moment.
        """
        for staged in files.values():
            with storage_errors(staged), staged.open("rb") as file:
                os.fsync(file.fileno())
        for target in (self.output_dir / name for name in files):
            check_inside(target, self.output_dir)
            with storage_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
        *others, last = files
        with one_at_a_time((self.output_dir / last).parent) as is_locked:
            remove_files(self.output_dir, [*([last] if others else []), *stale])
            moved = {name: _move(staged, self.output_dir / name) for name, staged in files.items()}
            ours = (_is(self.output_dir / name, status) for name, status in moved.items())
            if others and not is_locked and not all(ours):  # the last one vouches for a mixture
                remove_files(self.output_dir, [last])
                raise BidsdefaceError(
                    f"{self.output_dir / last}: another run wrote it at the same moment; run the same "
                    "command again",
                    retry=True,
                )


@contextmanager
def open_staging(output_dir: Path) -> Iterator[Staging]:
    """Make a private folder inside an output dataset, which must exist; remove it at the end.

    Raises
    ------
    BidsdefaceError
        The folder cannot be made, or a file in it cannot be written.
    """
    with storage_errors(output_dir), private_folder(output_dir, must_be_private=False) as folder:
        yield Staging(output_dir, folder)


def publish_texts(folder: Path, texts: Mapping[PurePath, str]) -> None:
    """Write texts into a folder, each whole; those that are there already are left alone.

    Parameters
    ----------
    folder : Path
        Must exist.
    texts : mapping of PurePath to str
        By their paths within the folder.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    new = {name: text for name, text in texts.items() if not _holds(folder / name, text)}
    if new:
        with open_staging(folder) as staging:
            for name, text in new.items():
                (staging.folder / name).write_text(text, encoding="utf-8")
                staging.publish({name: staging.folder / name})


def _holds(path: Path, text: str) -> bool:
    """Return True if a file exists and holds a text."""
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


@dataclass(frozen=True)
class OutputDataset:
    """An output dataset, which knows the names of its files and withdraws results.

    Attributes
    ----------
    root : Path
    layout : str
        One of `bidsdeface.output.names.LAYOUTS`.
    """

    root: Path
    layout: str = DERIVATIVES

    def outputs_of(self, scan: Scan, *, no_face: bool = False) -> Outputs:
        """Name the files of a published scan; see `bidsdeface.output.names.outputs_of`."""
        return outputs_of(scan, self.layout, no_face=no_face)

    def withdraw(self, scan: Scan) -> None:
        """Remove an older result of a scan, whatever its verdict, the image's sidecar first.

        Files that do not exist are passed over. A mask that other published scans share stays, and so does a
        folder with other files.

        Raises
        ------
        BidsdefaceError
            If a file exists and cannot be removed.
        """
        own = self.results_of(scan)
        for name in own:
            check_inside(self.root / name, self.root)
        with one_at_a_time((self.root / own[0]).parent):
            remove_files(self.root, own)
        remove_empty(self.root, PurePosixPath(f"sub-{scan.subject}"))

    def withdraw_failed(self, scan: Scan, reason: str, cause: Exit = Exit.FAILED) -> Outcome:
        """Remove an older result of a scan that failed, and return the outcome with its reasons."""
        try:
            self.withdraw(scan)
        except BidsdefaceError as error:
            reasons = (reason, f"its older result could not be removed: {error}")
            return Outcome(scan.stem, FAILED, reasons, cause=worst({cause, code_of_run(error)}))
        return Outcome(scan.stem, FAILED, (reason,), cause=cause)

    def results_of(self, scan: Scan) -> list[PurePosixPath]:
        """Return the files that a scan may have left, and that no other published scan needs.

        They are in the order in which to remove them: a file that vouches for others comes first.
        """
        outputs = self.outputs_of(scan)
        files = [*outputs.files, *self.outputs_of(scan, no_face=True).files]
        needed = (outputs.mask, outputs.mask_sidecar) if self.sharing_mask(scan) else ()
        return [name for name in dict.fromkeys(reversed(files)) if name not in needed]

    def sharing_mask(self, scan: Scan) -> list[Scan]:
        """Return the other published scans of a set, which have the same mask file."""
        sharing = []
        desc = "_desc-defaced" if self.layout == DERIVATIVES else ""
        sidecars = sorted((self.root / scan.folder).glob(f"*{desc}_{scan.suffix}.json"))
        for name in filter(None, map(parse_name, sidecars)):
            entities = tuple(pair for pair in name.entities.items() if pair != ("desc", "defaced"))
            other = Scan(Path(name.path), entities, scan.suffix, scan.extension, scan.datatype)
            shares = other.stem != scan.stem and mask_of(other) == mask_of(scan)
            if shares and (self.root / self.outputs_of(other).image).exists():  # not an inherited sidecar
                sharing.append(other)
        return sharing


def _move(staged: Path, target: Path) -> os.stat_result:
    """Rename a file, and return its status."""
    with storage_errors(target):
        status = staged.stat()
        try:
            os.replace(staged, target)
        except FileNotFoundError:
            # NFS repeats a request whose answer was lost, and then finds that the file has been moved.
            if not _is(target, status):
                if target.parent.is_dir() or not staged.exists():
                    raise
                # Another run has withdrawn something, and removed the folder while it was empty.
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(staged, target)
    return status


def _is(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except FileNotFoundError:
        return False


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[bool]:
    """Keep two runs from mixing their files of one result; yield True if the file system has locks.

    Parameters
    ----------
    folder : Path
        The folder of the result's sidecar.
    """
    is_locked = False
    with ExitStack() as opened:
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            opened.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            is_locked = True
        yield is_locked


def check_inside(path: Path, output_dir: Path) -> None:
    """Refuse to write through a link out of the output dataset: it might lead into the input.

    Raises
    ------
    BidsdefaceError
        The folder of `path` is such a link, or lies below one.
    """
    if not path.parent.resolve().is_relative_to(output_dir.resolve()):
        raise BidsdefaceError(f"{path.parent}: is a link out of OUTPUT_DIR; remove the link")


def files_below(output_dir: Path, folder: PurePosixPath) -> set[PurePosixPath]:
    """List the files below a folder of the output dataset, but for hidden ones, which are not ours.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset.
    folder : PurePosixPath
        Relative to it; need not exist.

    Returns
    -------
    set of PurePosixPath
        Relative to `output_dir`; links to files are included.

    Raises
    ------
    BidsdefaceError
        The folder is a link out of the output dataset.
    """
    check_inside(output_dir / folder / "file", output_dir)
    files = set()
    for place, folders, names in os.walk(output_dir / folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = PurePosixPath(Path(place).relative_to(output_dir))
        files |= {here / name for name in names if not name.startswith(".")}
    return files


def remove_files(output_dir: Path, files: Iterable[PurePath]) -> None:
    """Remove files of the output dataset.

    Raises
    ------
    BidsdefaceError
        A file exists and cannot be removed.
    """
    for path in files:
        with storage_errors(output_dir / path):
            (output_dir / path).unlink(missing_ok=True)


def remove_empty(output_dir: Path, folder: PurePosixPath) -> None:
    """Remove a folder of the output dataset and the folders below it if they are empty and not hidden."""
    for place, _, _ in os.walk(output_dir / folder, topdown=False):
        if not any(part.startswith(".") for part in Path(place).relative_to(output_dir).parts):
            with suppress(OSError):  # it is not empty
                os.rmdir(place)
