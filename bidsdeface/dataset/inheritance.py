"""Read JSON files, and merge those that apply to a data file by BIDS inheritance."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bidsdeface.dataset.filename import FileName
from bidsdeface.errors import BidsdefaceError


class JsonError(BidsdefaceError):
    """A file that holds no JSON object; the message says why, and does not name the file."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : pathlib.Path
        UTF-8 or UTF-16, with a byte order mark or without.

    Returns
    -------
    dict

    Raises
    ------
    JsonError
        It holds none.
    OSError
        The file cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except UnicodeDecodeError:
        raise JsonError("is not UTF-8; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise JsonError(f"is not JSON ({type(error).__name__}); correct it") from None
    if not isinstance(content, dict):
        raise JsonError("is not a JSON object; correct it")
    return content


def read_with_additions(root: Path, name: FileName, additions: Path | None) -> dict[str, Any]:
    """Read a JSON file of a dataset, with what a person has described beside it.

    Parameters
    ----------
    root : pathlib.Path
        Of the dataset.
    name : FileName
    additions : pathlib.Path or None
        Folder of ``--data-dictionary``: a file of the same name in it adds keys, and keys to descriptions of
        columns.

    Raises
    ------
    JsonError, OSError
        As of `read_json`.
    """
    added = additions / name.path if additions else None
    more = read_json(added) if added and added.is_file() else {}
    content = read_json(root / name.path) if not more or (root / name.path).is_file() else {}
    for key, entry in more.items():
        was = content.get(key)
        content[key] = {**was, **entry} if isinstance(was, Mapping) and isinstance(entry, Mapping) else entry
    return content


def merged_metadata(
    root: Path, data: FileName, sidecars: Iterable[FileName], additions: Path | None = None
) -> dict[str, Any]:
    """Merge the JSON files that apply to a data file, the nearest winning; those that cannot be read do not.

    Parameters
    ----------
    root : pathlib.Path
        Of the dataset.
    data : FileName
    sidecars : iterable of FileName
        JSON files of the dataset, any of them.
    additions : pathlib.Path, optional
        As of `read_with_additions`.
    """
    merged: dict[str, Any] = {}
    for sidecar in applicable(data, sidecars):
        try:
            merged |= read_with_additions(root, sidecar, additions)
        except (JsonError, OSError):
            continue  # left out by itself, with the reason
    return merged


def applicable(data: FileName, sidecars: Iterable[FileName]) -> list[FileName]:
    """Return the JSON files that apply to a data file by BIDS inheritance, the farthest first.

    Parameters
    ----------
    data : FileName
    sidecars : iterable of FileName
        JSON files of the dataset, any of them.
    """
    above = set(data.path.parents)
    found = [
        one
        for one in sidecars
        if one.path.parent in above
        and one.suffix == data.suffix
        and one.entities.items() <= data.entities.items()
    ]
    return sorted(found, key=lambda one: (len(one.path.parts), len(one.entities)))
