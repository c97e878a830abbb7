"""Take away what earlier runs left in a folder of the output and nothing stands for any more."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.publish import check_inside
from bidsdeface.errors import storage_errors


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
