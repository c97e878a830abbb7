"""Put finished files into the output dataset: all of a result or nothing of it; and remove what is stale.

Files are written in a private folder inside the output folder, moved into place with one rename
each, the sidecar last: where the sidecar is, all that belongs to it is.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePath, PurePosixPath
from types import TracebackType

from bidsdeface.dataset.layout import no_face_outputs_of, outputs_of
from bidsdeface.dataset.names import Scan, parse_name
from bidsdeface.errors import BidsdefaceError, storage_error, storage_errors
from bidsdeface.privacy.scratch import private_folder
from bidsdeface.settings import DERIVATIVES


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
        On entering, and from within the context where a file cannot be written.
    """

    folder: Path

    def __init__(self, output_dir: Path) -> None:
        self._output_dir = output_dir
        self._private = private_folder(output_dir, must_be_private=False)

    def __enter__(self) -> "Staging":
        self.folder = self._private.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._private.__exit__(None, None, None)
        if isinstance(error, OSError):  # nothing but these files is touched in here
            raise storage_error(self._output_dir, error) from error

    def publish(self, files: Mapping[PurePath, Path], stale: Sequence[PurePath] = ()) -> None:
        """Move finished files into place, in the order given.

        Parameters
        ----------
        files : mapping of PurePath to Path
            Final path, relative to the output dataset, to the staged file. The last one vouches
            for all the others: its older version goes first, and it comes last.
        stale : sequence of PurePath
            Files of an older result, to be removed before: an image is never without its own evidence.

        Raises
        ------
        BidsdefaceError
            If a file cannot be written or moved, or another run wrote the same result at this moment.
        """
        for staged in files.values():
            with storage_errors(staged):
                _flush_to_disk(staged)
        targets = {self._output_dir / final: staged for final, staged in files.items()}
        *others, last = targets
        for target in targets:
            check_inside(target, self._output_dir)
            with storage_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(last.parent) as alone:
            if others:
                with storage_errors(last):
                    last.unlink(missing_ok=True)
            _remove([self._output_dir / name for name in stale])
            moved = {}
            for target, staged in targets.items():
                with storage_errors(target):
                    moved[target] = _move(staged, target)
            if others and not alone and not all(_is(target, status) for target, status in moved.items()):
                with storage_errors(last):
                    last.unlink(missing_ok=True)  # it vouched for a mixture
                raise BidsdefaceError(
                    f"{last}: another run wrote it at the same moment; run the same command again", retry=True
                )


def withdraw(output_dir: Path, scan: Scan, layout: str = DERIVATIVES) -> None:
    """Remove an older result of a scan, whatever its verdict, the image's sidecar first.

    A mask that other published scans share stays.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset.
    scan : Scan
        Files of it that do not exist are passed over.
    layout : str, optional
        Of the output dataset.

    Raises
    ------
    BidsdefaceError
        If a file exists and cannot be removed.
    """
    own = [output_dir / name for name in results_of(output_dir, scan, layout)]
    for path in own:
        check_inside(path, output_dir)
    with one_at_a_time(own[0].parent):
        _remove(own)


def results_of(output_dir: Path, scan: Scan, layout: str = DERIVATIVES) -> list[PurePosixPath]:
    """Return the files that a scan may have left, and that no other published scan needs.

    In the order in which to remove them: what vouches for others comes first.
    """
    outputs = outputs_of(scan, layout)
    files = [*outputs.files, *no_face_outputs_of(scan, layout).files]
    needed = (outputs.mask, outputs.mask_sidecar) if sharing_mask(output_dir, scan, layout) else ()
    return [name for name in dict.fromkeys(reversed(files)) if name not in needed]


def sharing_mask(output_dir: Path, scan: Scan, layout: str = DERIVATIVES) -> list[Scan]:
    """Return the other published scans that have the same mask file: those of a set."""
    found = []
    end = f"_desc-defaced_{scan.suffix}.json" if layout == DERIVATIVES else f"_{scan.suffix}.json"
    for path in sorted((output_dir / scan.folder).glob(f"*{end}")):
        name = parse_name(path)
        if name is None:
            continue
        entities = tuple(pair for pair in name.entities.items() if pair != ("desc", "defaced"))
        other = Scan(path, entities, scan.suffix, scan.extension, scan.datatype)
        outputs = outputs_of(other, layout)
        shares = other.stem != scan.stem and outputs.mask == outputs_of(scan, layout).mask
        if shares and (output_dir / outputs.image).exists():  # not an inherited sidecar
            found.append(other)
    return found


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        with storage_errors(path):
            path.unlink(missing_ok=True)


def _move(staged: Path, target: Path) -> os.stat_result:
    """Rename a file, and return what it is."""
    status = staged.stat()
    try:
        os.replace(staged, target)
    except FileNotFoundError:
        # NFS sends a request again if the answer to it was lost, and then finds the file moved already.
        if not _is(target, status):
            raise
    return status


def _is(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except FileNotFoundError:
        return False


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[bool]:
    """Keep two runs from mixing their files of one result; tell whether the file system has locks for it.

    Parameters
    ----------
    folder : Path
        Of the result's sidecar.
    """
    alone = False
    with ExitStack() as opened:
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            opened.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            alone = True
        yield alone


def check_inside(path: Path, output_dir: Path) -> None:
    """Refuse to write through a link that leads out of the output dataset: it might lead into the input.

    Raises
    ------
    BidsdefaceError
        The folder of `path` is such a link, or lies behind one.
    """
    if not path.parent.resolve().is_relative_to(output_dir.resolve()):
        raise BidsdefaceError(f"{path.parent}: is a link out of OUTPUT_DIR; remove the link")


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def files_below(output_dir: Path, folder: PurePosixPath) -> set[PurePosixPath]:
    """List the files below a folder of the output dataset; hidden ones are not ours, and not among them.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset.
    folder : PurePosixPath
        Relative to it; need not exist.

    Returns
    -------
    set of PurePosixPath
        Relative to `output_dir`; links to files too.

    Raises
    ------
    BidsdefaceError
        The folder is a link out of the output dataset.
    """
    check_inside(output_dir / folder / "file", output_dir)
    found = set()
    for place, folders, names in os.walk(output_dir / folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = PurePosixPath(Path(place).relative_to(output_dir))
        found |= {here / name for name in names if not name.startswith(".")}
    return found


def remove_files(output_dir: Path, files: Iterable[PurePosixPath]) -> None:
    """Remove files of the output dataset.

    Raises
    ------
    BidsdefaceError
        One is there and cannot be removed.
    """
    for path in files:
        with storage_errors(output_dir / path):
            (output_dir / path).unlink(missing_ok=True)


def remove_empty(output_dir: Path, folder: PurePosixPath) -> None:
    """Remove a folder of the output dataset and those below it, as far as nothing is in them.

    Those that are hidden, and what is in them, are not ours.
    """
    for place, _, _ in os.walk(output_dir / folder, topdown=False):
        if not any(part.startswith(".") for part in Path(place).relative_to(output_dir).parts):
            with suppress(OSError):  # something is in it
                os.rmdir(place)
