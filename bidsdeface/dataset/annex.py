"""Tell files whose content git-annex (DataLad) has not fetched, and say how to get it.

Such a file is a link to nowhere, or, where links are not used, a small text that names its content.
"""

import os
import shlex
from pathlib import Path

from bidsdeface.errors import BidsdefaceError

POINTER = b"/annex/objects/"
LONGEST_POINTER = 32 * 1024  # git-annex's own limit


def is_fetched(path: Path) -> bool:
    """Tell whether a file's content is here; a file that does not exist at all counts as well."""
    try:
        with path.open("rb") as file:
            return not (file.read(len(POINTER)) == POINTER and path.stat().st_size < LONGEST_POINTER)
    except FileNotFoundError:
        return not path.is_symlink()
    except OSError:  # to be told where it is read
        return True


def check_fetched(path: Path, bids_dir: Path) -> None:
    """Refuse a file whose content is not here.

    Parameters
    ----------
    path : Path
    bids_dir : Path
        Root of its dataset.

    Raises
    ------
    BidsdefaceError
        With the command that gets it.
    """
    if not is_fetched(path):
        inside = shlex.quote(os.path.relpath(path, bids_dir))
        raise BidsdefaceError(f"{path}: its content is not here; in {bids_dir}, run: datalad get {inside}")
