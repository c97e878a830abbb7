"""Keep what a data dictionary says of the columns that stay; texts go as they are, or are left out."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bidsdeface.privacy.looks import is_moment, personal_kind
from bidsdeface.privacy.policy import Policy
from bidsdeface.privacy.sidecar import Telling, scrub_metadata
from bidsdeface.privacy.values import TO_FILL_IN, leaves, texts_in

DESCRIPTIVE = {
    "LongName", "Description", "Levels", "Units", "TermURL", "Delimiter", "HED", "Format", "Maximum",
    "Minimum", "Derivative",
}  # fmt: skip
ABOUT_TOOL = "MeasurementToolMetadata"  # of phenotype tables
NO_COLUMN = "describes a column that is not here"
DRAFT = "is a draft that is not filled in"
NOT_BIDS = "BIDS has no such key in a data dictionary"
TELLS = "holds an address, a titled name, or a name or number of this dataset's people"


def scrub_dictionary(
    dictionary: Mapping[str, Any],
    columns: Collection[str] | None = None,
    policy: Policy | None = None,
    keep: Collection[str] = (),
    task: str | None = None,
    *,
    datatype: str | None = None,
    telling: Telling = lambda text: False,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Keep what a data dictionary says of the columns that stay, and definitions of HED.

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
    datatype : str, optional
        Folder of the file, as of `scrub_metadata`.
    telling : callable, optional
        Returns True if a text holds an identifier of this dataset.

    Returns
    -------
    kept : dict
    reasons : dict of str to str
        Why keys are left out, by their names; those of nested objects with dots.
    """
    kept: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    fields: dict[str, Any] = {}

    def tells(text: str) -> bool:
        return personal_kind(text) is not None or telling(text)

    for name, entry in dictionary.items():
        is_entry = isinstance(entry, Mapping) and bool(entry.keys() & DESCRIPTIVE)
        if name in keep and is_entry:
            kept[name] = entry
        elif name == "Columns" and columns is not None and not set(texts_in(entry)) <= set(columns):
            reasons[name] = NO_COLUMN
        elif not is_entry:
            fields[name] = entry
        elif TO_FILL_IN in texts_in(entry):
            reasons[name] = DRAFT
        elif tells(name):
            reasons[name] = TELLS
        elif columns is not None and name not in columns and name != ABOUT_TOOL and not _defines(entry):
            reasons[name] = NO_COLUMN
        else:
            kept[name] = _scrub_entry(entry, name, tells, reasons)
    metadata, why = scrub_metadata(fields, policy, task, datatype=datatype, telling=telling)
    kept |= metadata
    return {name: kept[name] for name in dictionary if name in kept}, reasons | why


def _defines(entry: Mapping[str, Any]) -> bool:
    """Return True if an entry is about no column, but defines tags of HED that others use."""
    return "Levels" not in entry and "(Definition/" in json.dumps(entry.get("HED"))


def _scrub_entry(
    entry: Mapping[str, Any], name: str, tells: Callable[[str], bool], reasons: dict[str, str]
) -> dict[str, Any]:
    """Keep the parts of a description; those of levels one by one."""
    kept: dict[str, Any] = {}
    for key, value in entry.items():
        place = f"{name}.{key}"
        if key not in DESCRIPTIVE:
            reasons[place] = NOT_BIDS
        elif key == "Levels" and isinstance(value, Mapping):
            telling = [level for level in value if any(map(tells, texts_in({level: value[level]})))]
            kept[key] = {level: value[level] for level in value if level not in telling}
            if telling:
                reasons[place] = f"{len(telling)} of its levels: {TELLS}"
        elif any(map(tells, texts_in(value))):
            reasons[place] = TELLS
        elif any(map(_is_no_measure, leaves(value))):
            reasons[place] = "is a date, or no number of JSON"
        else:
            kept[key] = value
    return kept


def _is_no_measure(value: Any) -> bool:
    """Return True for a number that reads as a date, or that JSON cannot hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return not math.isfinite(value) or is_moment(value)
