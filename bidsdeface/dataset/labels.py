"""Find labels of participants and sessions that read as a date, a record number or a person's name."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from bidsdeface.privacy.identifiers import Identifiers
from bidsdeface.privacy.leftout import LeftOut
from bidsdeface.privacy.looks import FIRST_YEAR, dates_in

LONGEST_NUMBER = 7  # digits; study numbers are shorter than dates and most record numbers
_SHORT_DATE = re.compile(
    r"(?<!\d)(\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])|([0-2]\d|3[01])(0[1-9]|1[0-2])\d\d)(?!\d)"
)


def telling_labels(folders: Iterable[PurePosixPath], identifiers: Identifiers) -> Iterator[LeftOut]:
    """Yield the folders of participants and sessions, and labels of files, that may tell who or when.

    Parameters
    ----------
    folders : iterable of PurePosixPath
        ``sub-…`` and ``sub-…/ses-…``.
    identifiers : Identifiers
        With the labels in the names of files.

    Examples
    --------
    >>> [one.reason for one in telling_labels([PurePosixPath("sub-01/ses-20190312")], Identifiers())]
    ['its label reads as a date: beside shifted dates, it tells by how many days they are shifted']
    """
    of_files = (f"{key}-{label}" for key, label in identifiers.labels if key not in ("sub", "ses"))
    for folder in (*folders, *map(PurePosixPath, sorted(of_files))):
        key, _, label = folder.name.partition("-")
        reason, days = None, [day for _, day in dates_in(label)]
        if any(day.year >= FIRST_YEAR for day in days) or (key == "ses" and _SHORT_DATE.search(label)):
            reason = (
                "its label reads as a date: beside shifted dates, it tells by how many days they are shifted"
            )
        elif label.isdecimal() and len(label) > LONGEST_NUMBER and not days:
            reason = "its label reads as a record number"
        elif (key, label) in identifiers.labels:
            reason = "its label stands in a field about a person"
        if reason:
            yield LeftOut(folder, reason, "label", "rename it, or --accept-labels", waits=True)


def label_folders(
    bids_dir: Path, participants: Iterable[str], sessions: Iterable[str]
) -> list[PurePosixPath]:
    """Return the folders of participants, and of their sessions, relative to the dataset."""
    found = []
    wanted = {f"ses-{label}" for label in sessions}
    for label in participants:
        folder = PurePosixPath(f"sub-{label}")
        found.append(folder)
        visits = sorted(path.name for path in (bids_dir / folder).glob("ses-*") if path.is_dir())
        found += [folder / name for name in visits if not wanted or name in wanted]
    return found
