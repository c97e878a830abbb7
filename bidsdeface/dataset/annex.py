"""Files without content: not fetched by git-annex (DataLad), or broken links.

An annexed file is a relative link into ``.git/annex/objects`` of a folder above it or, where links are not
used, a small text file that names its content.
"""

import errno
import os
import shlex
from pathlib import Path

from bidsdeface.errors import BidsdefaceError

POINTER = b"/annex/objects/"
LONGEST_POINTER = 32 * 1024  # git-annex's own limit
OBJECTS = Path(".git", "annex", "objects")


def is_fetched(path: Path) -> bool:
    """Return True if the content of a file is present, or if there is no such file at all."""
    try:
        with path.open("rb") as file:
            return not (file.read(len(POINTER)) == POINTER and path.stat().st_size < LONGEST_POINTER)
    except OSError as error:  # other errors are reported where the file is read
        return error.errno != errno.ELOOP and not (error.errno == errno.ENOENT and path.is_symlink())


def check_fetched(path: Path, bids_dir: Path) -> None:
    """Refuse a file whose content is not present.

    Parameters
    ----------
    path : Path
    bids_dir : Path
        Root of its dataset.

    Raises
    ------
    BidsdefaceError
        The message has the command that fetches it, or the target of the broken link.
    """
    if not is_fetched(path):
        raise BidsdefaceError(why_not_here(path, bids_dir))


def why_not_here(path: Path, bids_dir: Path) -> str:
    """Return one line about a broken link, or about a file that git-annex has not fetched."""
    if path.is_symlink() and not _leads_into_annex(path):
        return (
            f"{path}: is a link to {os.path.realpath(path)}, which does not exist; mount that folder, or "
            "correct the link"
        )
    name = shlex.quote(os.path.relpath(path, bids_dir))
    return f"{path}: its content is not here; in {bids_dir}, run: datalad get {name}"


def _leads_into_annex(link: Path) -> bool:
    return any(
        "/.git/" in target and "/annex/objects/" in target
        for target in (f"/{os.readlink(link)}", os.path.realpath(link))
    )


def annexed_content(path: Path) -> Path | None:
    """Return where a link leads, if to content in the annex of its own repository, as DataLad saves files.

    The repository is any folder above the link, in or above the dataset. The content need not be present.
    """
    if not path.is_symlink() or os.path.isabs(os.readlink(path)):
        return None
    folder = path.parent.resolve()
    content = Path(os.path.normpath(folder / os.readlink(path)))
    is_in_annex = any(content.is_relative_to(above / OBJECTS) for above in (folder, *folder.parents))
    return content if is_in_annex and not content.is_symlink() else None


def is_own_file(path: Path) -> bool:
    """Return True for a regular file and for a link that DataLad has saved, but for no other link."""
    return path.is_file() and (not path.is_symlink() or annexed_content(path) is not None)


def check_all_fetched(root: Path) -> None:
    """Refuse a DataLad dataset if some of its content has been dropped.

    Raises
    ------
    BidsdefaceError
        The message has the command that fetches all of it.
    """
    absent = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        absent += [
            path for path in map(Path(place).joinpath, names) if annexed_content(path) and not path.is_file()
        ]
    if absent:
        more = f", nor is that of {len(absent) - 1} more" if len(absent) > 1 else ""
        raise BidsdefaceError(f"{min(absent)}: its content is not here{more}; in {root}, run: datalad get .")
