"""List the participants, files and images of a raw dataset by their names; links to folders are followed."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.annex import check_fetched, why_not_here
from bidsdeface.dataset.names import Scan, parse_name, scan_at, suffix_of
from bidsdeface.errors import BidsdefaceError, first_of, read_errors
from bidsdeface.schema import file_rules, is_data_file

EXTENSIONS = (".nii", ".nii.gz")
_IMAGE = re.compile(r"\.(nii|mg[hz]|img|mnc|nrrd|nhdr|mh[ad]|dcm|ima)(?![a-z0-9])", re.IGNORECASE)


def participants(root: Path) -> list[str]:
    """Return the labels of all participants, without ``sub-``; names that are not UTF-8 are skipped."""
    folders = (path.name for path in root.glob("sub-*") if path.is_dir())
    return sorted(name.removeprefix("sub-") for name in folders if is_utf8(name))


def files_in(root: Path, folder: str) -> Iterator[PurePosixPath]:
    """Yield the files below a folder, relative to the dataset; none if the folder does not exist.

    Files that macOS leaves beside others (``._*``, ``.DS_Store``) are skipped.

    Raises
    ------
    BidsdefaceError
        A folder cannot be read.
    """
    place = os.path.join(root, folder)
    yield from _walk(place, PurePosixPath(folder), (os.path.realpath(place),))


def _walk(place: str, here: PurePosixPath, above: tuple[str, ...]) -> Iterator[PurePosixPath]:
    """Yield the files below a folder; `above` holds the real paths of the folder and those above it."""
    entries: list[os.DirEntry[str]] = []
    with read_errors(place), suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    for entry in entries:
        if is_folder(entry):
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
            if real not in above:  # else it is a link to a folder above itself
                yield from _walk(entry.path, here / entry.name, (*above, real))
        elif not is_of_macos(entry.name):
            yield here / entry.name


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return True for a folder or a link to one; a link to itself raises no error."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def is_of_macos(name: str) -> bool:
    """Return True for the name of a file that macOS leaves beside others."""
    return name.startswith("._") or name == ".DS_Store"


def is_utf8(name: str) -> bool:
    """Return True if the bytes of a name are UTF-8; Python represents others by lone surrogates."""
    return name.isascii() or not any("\ud800" <= one <= "\udfff" for one in name)


def read_ignored(root: Path) -> list[str]:
    """Return the lines of ``.bidsignore``.

    Raises
    ------
    BidsdefaceError
        It exists and cannot be read.
    """
    path = root / ".bidsignore"
    check_fetched(path, root)
    with read_errors(path), suppress(FileNotFoundError):
        return os.fsdecode(path.read_bytes()).removeprefix("\ufeff").splitlines()
    return []


def is_ignored(path: PurePosixPath, lines: Sequence[str]) -> bool:
    """Return True if ``.bidsignore`` excludes a path. Exceptions (``!``) are not honoured, to be safe.

    Examples
    --------
    >>> path = PurePosixPath("sub-01/func/sub-01_task-rest_bold.nii.gz")
    >>> [is_ignored(path, [line]) for line in ("func/", "**/*_bold.nii.gz", "/sub-01", "/func", "!func/")]
    [True, True, True, False, False]
    """
    expression = _expression(tuple(lines))
    return any(expression.fullmatch(str(place)) for place in (path, *path.parents))


@lru_cache(maxsize=4)
def _expression(lines: tuple[str, ...]) -> re.Pattern[str]:
    """Return the regular expression for the paths and folders that ``.bidsignore`` excludes."""
    patterns = []
    for line in lines:
        pattern = line.strip().rstrip("/")
        if pattern and not pattern.startswith(("#", "!")):
            below = "" if "/" in pattern and "**" not in line else "(?s:.*/)?"
            patterns.append(below + translate(pattern.lstrip("/").removeprefix("**/")))
    return re.compile("|".join(patterns) or r"(?!)")  # matches nothing


@dataclass
class Images:
    """The images below the folders of participants.

    Attributes
    ----------
    scans : list of Scan
        Images of the requested kinds.
    ignored : list of PurePosixPath
        Images that ``.bidsignore`` excludes.
    not_taken : dict of PurePosixPath to str
        Files that seem to be images of heads, with the reason why they are not among the scans.
    problems : list of (str, str)
        Folders that cannot be read: participant, and one line.
    """

    scans: list[Scan] = field(default_factory=list)
    ignored: list[PurePosixPath] = field(default_factory=list)
    not_taken: dict[PurePosixPath, str] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)


def list_images(
    bids_dir: Path, participants: Iterable[str], sessions: Sequence[str], kinds: Set[tuple[str, str]]
) -> Images:
    """List the images of some participants.

    Parameters
    ----------
    bids_dir : Path
        Root of a raw BIDS dataset.
    participants, sessions : iterable of str
        Labels without ``sub-`` or ``ses-``; all sessions where empty.
    kinds : set of (str, str)
        Datatype and suffix of the requested scans.

    Returns
    -------
    Images
    """
    ignored = read_ignored(bids_dir)
    images = Images()
    for label in participants:
        visits = [f"sub-{label}/ses-{one}" for one in sessions]
        there = [visit for visit in visits if os.path.lexists(bids_dir / visit)]
        for folder in there if sessions else [f"sub-{label}"]:
            try:
                if not os.path.exists(bids_dir / folder):
                    raise BidsdefaceError(why_not_here(bids_dir / folder, bids_dir))
                for path in files_in(bids_dir, folder):
                    _sort_in(images, path, bids_dir, kinds, ignored)
            except BidsdefaceError as error:
                images.problems.append((label, str(error)))
    return images


def _sort_in(
    images: Images,
    path: PurePosixPath,
    bids_dir: Path,
    kinds: Set[tuple[str, str]],
    ignored: Sequence[str],
) -> None:
    """Add a file to the list where it belongs, if it is an image that may show a head."""
    if _is_broken_folder(bids_dir / path):
        images.problems.append((path.parts[0].removeprefix("sub-"), why_not_here(bids_dir / path, bids_dir)))
    elif not is_utf8(str(path)):
        images.not_taken[path] = "its name is not UTF-8"
    elif not _IMAGE.search(path.name) or not _is_asked(path, objection := _objection(path), kinds):
        return
    elif is_ignored(path, ignored):
        images.ignored.append(path)
    elif objection:
        images.not_taken[path] = f"does not have a BIDS name: {objection}"
    else:
        images.scans.append(scan_at(bids_dir / path))


def _is_broken_folder(path: Path) -> bool:
    """Return True if a file is a broken link that has the name of a folder."""
    is_folder = path.name in _datatypes() or (path.name.startswith("ses-") and not path.suffix)
    return is_folder and path.is_symlink()  # it was listed as a file


def _objection(path: PurePosixPath) -> str | None:
    """Return why the name of a file is not that of a BIDS image, or None if it is."""
    name = parse_name(path)
    if name is None:
        return "entities such as acq-x, joined by _, then one suffix"
    reasons = {
        f"its extension is not {' or '.join(EXTENSIONS)}": name.extension not in EXTENSIONS,
        "its name and its folders do not agree": name.folder != path.parent or name.datatype is None,
        f"there is no suffix {name.suffix} in {name.datatype}": not is_data_file(
            name.datatype or "", name.suffix, name.extension
        ),
    }
    return first_of(reasons)


def _is_asked(path: PurePosixPath, objection: str | None, kinds: Set[tuple[str, str]]) -> bool:
    """Return True for an image of the requested kinds, and for one with a wrong name that may be of them."""
    if not objection:
        return (path.parent.name, suffix_of(path)) in kinds
    is_elsewhere = path.parent.name in _datatypes() - {datatype for datatype, _ in kinds}
    return not is_elsewhere or suffix_of(path).lower() in {suffix.lower() for _, suffix in kinds}


@cache
def _datatypes() -> frozenset[str]:
    return frozenset(datatype for rule in file_rules() for datatype in rule.datatypes)
