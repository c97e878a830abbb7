"""Read a BIDS filter file: pybids queries by image suffix, in fMRIPrep's form."""

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
