"""Open a pybids index of the images that a filter file asks about, and of nothing else."""

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
    datatypes: Collection[str],
) -> "BIDSLayout":
    """Index folders of images; JSON files, broken or not, are not looked at.

    Folders of other participants are not even listed, so that the work of one cluster task does
    not grow with the dataset.

    Parameters
    ----------
    bids_dir : Path
        Root of the dataset.
    participants, sessions : sequence of str, optional
        Labels without ``sub-`` or ``ses-``; all where empty.
    datatypes : collection of str
        Names of the folders.

    Returns
    -------
    bids.BIDSLayout
    """
    from bids import BIDSLayout, BIDSLayoutIndexer  # slow to import

    indexer = BIDSLayoutIndexer(
        ignore=[_all_but(participants, sessions, datatypes)], index_metadata=False, validate=False
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
    images = rf"{subject}{session}{datatype}/[^/.\ud800-\udfff][^/\ud800-\udfff]*\.nii(?:\.gz)?"
    return re.compile(f"^(?!(?:{folders}|{images})$)")


def _any_of(labels: Sequence[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, labels))})" if labels else r"[^/\ud800-\udfff]+"
