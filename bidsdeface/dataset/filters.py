"""Read a BIDS filter file in fMRIPrep's form, and ask pybids which scans fit it."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from bidsdeface.dataset.inheritance import JsonError, read_json
from bidsdeface.errors import UsageError


def read_filters(path: Path) -> dict[str, dict[str, Any]]:
    """Read and check the form of a filter file.

    Parameters
    ----------
    path : Path
        JSON such as ``{"t1w": {"acquisition": "mprage", "reconstruction": null}}``, where null
        asks for the entity to be absent and ``"*"`` for any value of it.

    Returns
    -------
    dict of str to dict
        Query by lower-case suffix, values as in the file.

    Raises
    ------
    UsageError
        If it is not such a file.
    """
    try:
        filters = read_json(path)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); give --bids-filter-file a JSON file"
        ) from error
    except JsonError as error:
        raise UsageError(f"{path}: {error}") from None
    if not all(isinstance(query, dict) for query in filters.values()):
        raise UsageError(
            f"{path}: not a BIDS filter file; it must be a JSON object of queries by suffix, "
            'such as {"t1w": {"acquisition": "mprage"}}'
        )
    return {name.lower(): query for name, query in filters.items()}


def open_layout(
    bids_dir: Path,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    *,
    datatypes: Collection[str],
) -> Any:  # pybids is slow to import
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
    from bids import BIDSLayout, BIDSLayoutIndexer

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
