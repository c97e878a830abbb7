"""Files that git-annex (DataLad) keeps: links to their content, which may not be here.

Such a file is a relative link into ``.git/annex/objects`` of a folder above it, or, where links are not used,
a small text that names its content.
"""

import os
import shlex
from pathlib import Path

from bidsdeface.errors import BidsdefaceError

POINTER = b"/annex/objects/"
LONGEST_POINTER = 32 * 1024  # git-annex's own limit
OBJECTS = Path(".git", "annex", "objects")


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


def leads_to_annex(path: Path) -> bool:
    """Return True if a path is a link to content in the annex of its own repository, as DataLad saves files.

    The repository is any folder above the link, in or above the dataset. The content need not be here.
    """
    if not path.is_symlink() or os.path.isabs(os.readlink(path)):
        return False
    folder = path.parent.resolve()
    content = Path(os.path.normpath(folder / os.readlink(path)))
    above = (folder, *folder.parents)
    return any(content.is_relative_to(one / OBJECTS) for one in above) and not content.is_symlink()


def is_own_file(path: Path) -> bool:
    """Return True for a plain file and for one that DataLad has saved, but for no other link."""
    return path.is_file() and (not path.is_symlink() or leads_to_annex(path))


def check_all_fetched(root: Path) -> None:
    """Refuse a dataset that was saved, and of which some content was dropped since.

    Raises
    ------
    BidsdefaceError
        With the command that gets all of it.
    """
    absent = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place, name) for name in names)
        absent += [path for path in paths if leads_to_annex(path) and not path.is_file()]
    if absent:
        more = f", nor is that of {len(absent) - 1} more" if len(absent) > 1 else ""
        raise BidsdefaceError(f"{min(absent)}: its content is not here{more}; in {root}, run: datalad get .")
