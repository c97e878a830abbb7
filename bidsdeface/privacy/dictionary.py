"""Keep what a data dictionary says of the columns that stay, and nothing in it that tells who somebody is."""

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from bidsdeface.privacy.looks import is_moment, is_spelled_day, looks_like
from bidsdeface.privacy.names import is_titled
from bidsdeface.privacy.policy import Policy
from bidsdeface.privacy.sidecar import Telling, scrub_metadata
from bidsdeface.privacy.values import LARGEST_NUMBER

_DESCRIPTIVE = {
    "LongName", "Description", "Levels", "Units", "TermURL", "Delimiter", "HED", "Format", "Maximum",
    "Minimum", "Derivative",
}  # fmt: skip


def scrub_dictionary(
    dictionary: Mapping[str, Any],
    columns: Collection[str] | None = None,
    policy: Policy | None = None,
    keep: Collection[str] = (),
    task: str | None = None,
    *,
    datatype: str | None = None,
    telling: Telling = lambda text: False,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Keep what a data dictionary says of the columns that stay.

    Parameters
    ----------
    dictionary : mapping
        Of one table, or an inherited one; may hold sidecar fields as well.
    columns : collection of str, optional
        Columns of the tables that it describes; what is said of others goes. Any, if they are not known.
    policy : mapping of str to Rule, optional
        For sidecar fields.
    keep : collection of str, optional
        Columns to describe as they are.
    task : str, optional
        Label of ``task-`` in the file's name.
    datatype, telling : optional
        For sidecar fields, as of `scrub_metadata`.

    Returns
    -------
    dict
    dropped : tuple of str
        Names of what is gone.
    """
    kept: dict[str, Any] = {}
    gone: list[str] = []
    for name, entry in dictionary.items():
        if name in keep:
            kept[name] = entry
        elif name == "Columns" and columns is not None and not set(_texts(entry)) <= set(columns):
            gone.append(name)
        elif isinstance(entry, Mapping) and entry.keys() & _DESCRIPTIVE:
            if looks_like(name) or not (columns is None or name in columns or _defines(entry)):
                gone.append(name)
                continue
            has_unit = isinstance(entry.get("Units"), str)
            kept[name] = {key: value for key, value in entry.items() if _is_harmless(key, value, has_unit)}
            gone += [f"{name}.{key}" for key in entry if key not in kept[name]]
        else:
            result = scrub_metadata({name: entry}, policy, task, datatype=datatype, telling=telling)
            kept |= result.metadata
            gone += result.dropped
    return kept, tuple(gone)


def _defines(entry: Mapping[str, Any]) -> bool:
    """Return True if an entry is about no column, but defines tags of HED that others use."""
    return "Levels" not in entry and "(Definition/" in json.dumps(entry.get("HED"))


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _is_harmless(key: str, value: Any, has_unit: bool) -> bool:
    """Tell whether a part of a column's description may be shared: plain words, levels, numbers."""
    if key not in _DESCRIPTIVE:
        return False
    if isinstance(value, Mapping):
        return all(
            not looks_like(str(one)) and not is_titled(str(one)) and _is_harmless(key, value[one], has_unit)
            for one in value
        )
    if isinstance(value, list):
        return all(_is_harmless(key, one, has_unit) for one in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_usual = has_unit or abs(value) < LARGEST_NUMBER
        return math.isfinite(value) and is_usual and not is_moment(value)
    return not isinstance(value, str) or not (looks_like(value) or is_spelled_day(value))
