"""Open a pybids index of no more of a dataset than the scans of a request need."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bids import BIDSLayout


def open_layout(
    bids_dir: Path,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    *,
    datatypes: Collection[str] = ("anat",),
    metadata: bool = False,
) -> "BIDSLayout":
    """Index folders of images and the JSON files that may apply to them.

    Folders of other participants are not even listed, so that the work of one cluster task does
    not grow with the dataset.

    Parameters
    ----------
    bids_dir : Path
        Root of the dataset.
    participants, sessions : sequence of str, optional
        Labels without ``sub-`` or ``ses-``; all where empty.
    datatypes : collection of str, optional
        Names of the folders.
    metadata : bool, optional
        Whether to read the JSON files as well.

    Returns
    -------
    bids.BIDSLayout
    """
    from bids import BIDSLayout, BIDSLayoutIndexer  # slow to import

    indexer = BIDSLayoutIndexer(
        ignore=[_all_but(participants, sessions, datatypes)], index_metadata=metadata, validate=False
    )
    return BIDSLayout(bids_dir, validate=False, indexer=indexer)


def _all_but(
    participants: Sequence[str], sessions: Sequence[str], datatypes: Collection[str]
) -> re.Pattern[str]:
    """Match every path, relative to the root, that the request has no use for."""
    subject = f"/sub-{_any_of(participants)}"
    session = f"/ses-{_any_of(sessions)}" if sessions else "(?:/ses-[^/]+)?"
    datatype = f"/{_any_of(sorted(datatypes))}"
    folders = f"{subject}(?:{session}(?:{datatype})?)?"
    inherited = rf"(?:{subject}(?:{session})?)?/[^/]+\.json"
    images = f"{subject}{session}{datatype}/[^/]+"
    return re.compile(f"^(?!(?:{folders}|{inherited}|{images})$)")


def _any_of(labels: Sequence[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, labels))})" if labels else "[^/]+"
