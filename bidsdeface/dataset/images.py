"""List the images of heads below participants' folders, and say of all others why they are not taken.

Names decide; no file is opened.
"""

import os
import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.annex import why_not_here
from bidsdeface.dataset.listing import files_in, is_ignored, is_utf8, read_ignored
from bidsdeface.dataset.names import parse_name, suffix_of
from bidsdeface.dataset.scan import Scan, scan_at
from bidsdeface.errors import BidsdefaceError
from bidsdeface.schema import file_rules, is_data_file

EXTENSIONS = (".nii", ".nii.gz")
_IMAGE = re.compile(r"\.(nii|mg[hz]|img|mnc|nrrd|nhdr|mh[ad]|dcm|ima)(?![a-z0-9])", re.IGNORECASE)


@dataclass
class Images:
    """What is below the folders of participants.

    Attributes
    ----------
    scans : list of Scan
        Of the kinds that were asked for.
    ignored : list of PurePosixPath
        Images that ``.bidsignore`` takes out.
    not_taken : dict of PurePosixPath to str
        Why images of heads, as it seems, are not among the scans.
    problems : list of str
        Folders that cannot be read, one line each.
    unreadable : set of str
        Participants that they belong to.
    """

    scans: list[Scan] = field(default_factory=list)
    ignored: list[PurePosixPath] = field(default_factory=list)
    not_taken: dict[PurePosixPath, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)


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
        Datatype and suffix of the scans that are wanted.

    Returns
    -------
    Images
    """
    ignored = read_ignored(bids_dir)
    found = Images()
    for label in participants:
        for folder in _folders(bids_dir, label, sessions):
            try:
                for path in _files(bids_dir, folder):
                    _sort_in(found, path, bids_dir, kinds, ignored)
            except BidsdefaceError as error:
                found.problems.append(str(error))
                found.unreadable.add(label)
    return found


def _folders(bids_dir: Path, label: str, sessions: Sequence[str]) -> list[str]:
    """Return the folders of a participant to look into: the whole, or some sessions that are there."""
    whole = f"sub-{label}"
    some = [f"{whole}/ses-{one}" for one in sessions]
    return [one for one in some if os.path.lexists(bids_dir / one)] if sessions else [whole]


def _files(bids_dir: Path, folder: str) -> Iterable[PurePosixPath]:
    """Yield the files below a folder.

    Raises
    ------
    BidsdefaceError
        It is a link to nowhere, or one below it cannot be read.
    """
    if not os.path.exists(bids_dir / folder):
        raise BidsdefaceError(why_not_here(bids_dir / folder, bids_dir))
    return files_in(bids_dir, folder)


def _sort_in(
    found: Images,
    path: PurePosixPath,
    bids_dir: Path,
    kinds: Set[tuple[str, str]],
    ignored: Sequence[str],
) -> None:
    """Put a file where it belongs, if it is an image that may show a head."""
    if _is_folder_to_nowhere(bids_dir / path):
        found.problems.append(why_not_here(bids_dir / path, bids_dir))
        found.unreadable.add(path.parts[0].removeprefix("sub-"))
        return
    if not is_utf8(str(path)):
        found.not_taken[path] = "its name is not UTF-8"
        return
    if not _IMAGE.search(path.name):
        return
    objection = _objection(path)
    is_wanted = not objection and (path.parent.name, suffix_of(path)) in kinds
    if not is_wanted and (not objection or _belongs_elsewhere(path, kinds)):
        return  # of a kind that was not asked for
    if is_ignored(path, ignored):
        found.ignored.append(path)
    elif objection:
        found.not_taken[path] = f"is not named as BIDS asks: {objection}"
    else:
        found.scans.append(scan_at(bids_dir / path))


def _is_folder_to_nowhere(path: Path) -> bool:
    is_folder = path.name in _datatypes() or path.name.startswith("ses-")
    return is_folder and not path.suffix and path.is_symlink()  # it was listed as a file


def _objection(path: PurePosixPath) -> str:
    """Return why a file is no image of BIDS, by its name; empty if it is one."""
    name = parse_name(path)
    if name is None:
        return "entities such as acq-x, joined by _, then one suffix"
    if name.extension not in EXTENSIONS:
        return f"its extension is not {' or '.join(EXTENSIONS)}"
    if name.folder != path.parent or name.datatype is None:
        return "its name and its folders do not agree"
    if not is_data_file(name.datatype, name.suffix, name.extension):
        return f"there is no suffix {name.suffix} in {name.datatype}"
    return ""


def _belongs_elsewhere(path: PurePosixPath, kinds: Set[tuple[str, str]]) -> bool:
    """Return True for a file in a folder of images that are not asked for, unless its suffix is."""
    is_other = path.parent.name in _datatypes() - {datatype for datatype, _ in kinds}
    return is_other and suffix_of(path).lower() not in {suffix.lower() for _, suffix in kinds}


@cache
def _datatypes() -> frozenset[str]:
    return frozenset(datatype for rule in file_rules() for datatype in rule.datatypes)
