"""Take references to files that are not in a dataset out of its tables and sidecars. No file is opened."""

import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from bidsdeface.dataset.names import suffix_of
from bidsdeface.deidentify.policy import Policy, file_fields, load_policy
from bidsdeface.deidentify.tables import Table

STIMULUS = "stim_file"  # of tables of events: a file below stimuli/
_ABOUT = {  # which column says what a row is about
    "scans": "filename",
    "sessions": "session_id",
    "participants": "participant_id",
    "samples": "participant_id",
}
_URI = re.compile(r"bids:([A-Za-z0-9]*):(.+)")


def prune_metadata(
    metadata: Mapping[str, Any],
    subject: str | None,
    present: Collection[PurePosixPath],
    identifiers: Collection[str],
    policy: Policy | None = None,
) -> dict[str, Any]:
    """Return metadata without references to absent files and field maps.

    Parameters
    ----------
    metadata : mapping
    subject : str or None
        Label of the participant, without ``sub-``; None for metadata above the participants' folders.
    present : collection of PurePosixPath
        Files of the dataset, relative to its root.
    identifiers : collection of str
        Every ``B0FieldIdentifier`` that is still there.
    policy : mapping of str to Rule, optional
        Tells, beside ours, which fields name files.

    Returns
    -------
    dict
        A field of which nothing is left is gone; lists stay lists.
    """
    kept = {}
    names_files = file_fields(load_policy(), metadata) | file_fields(policy or {}, metadata)
    for field, value in metadata.items():
        if field in names_files:
            value = _only(value, lambda one: _is_there(one, subject, present))
        elif field == "B0FieldSource":
            value = _only(value, lambda one: one in identifiers)
        if value is not None:
            kept[field] = value
    return kept


def prune_table(table: Table, path: PurePosixPath, present: Collection[PurePosixPath]) -> Table:
    """Return a table without rows about files, sessions and participants that are absent.

    Names of files are spelled as BIDS asks: below the participant's folder, with the extension of the file.
    Stimuli that are absent become ``n/a``.

    Parameters
    ----------
    table : Table
    path : PurePosixPath
        Of the table, relative to the dataset.
    present : collection of PurePosixPath
    """
    suffix = "participants" if path.parts[0] == "phenotype" else suffix_of(path)
    if suffix == "scans" and "filename" in table.columns:
        names = [_spelled(value, path.parent, present) for value in table.values("filename")]
        table = table.with_values("filename", names)
    if STIMULUS in table.columns:
        names = [
            value if PurePosixPath("stimuli", value) in present else "n/a" for value in table.values(STIMULUS)
        ]
        table = table.with_values(STIMULUS, names)
    column = _ABOUT.get(suffix)
    if column not in table.columns:
        return table
    there = present if suffix == "scans" else {parent for one in present for parent in one.parents}
    above = PurePosixPath() if column == "participant_id" else path.parent
    at = table.columns.index(column)
    return table.keep_rows(lambda row: above / row[at] in there)


def _spelled(name: str, folder: PurePosixPath, present: Collection[PurePosixPath]) -> str:
    """Return the name of a file of a scans.tsv below its folder, if there is such a file; else the name."""
    below = name.removeprefix("./").removeprefix(f"{folder}/")
    forms = (below, f"{below}.gz", below.removesuffix(".gz"))
    return next((form for form in forms if folder / form in present), name)


def b0_identifiers(metadata: Mapping[str, Any]) -> set[str]:
    """Return the field maps that a sidecar says its scan is part of."""
    value = metadata.get("B0FieldIdentifier", [])
    return {one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)}


def _only(value: Any, is_there: Any) -> Any:
    if isinstance(value, list):
        return [one for one in value if isinstance(one, str) and is_there(one)] or None
    return value if isinstance(value, str) and is_there(value) else None


def _is_there(reference: str, subject: str | None, present: Collection[PurePosixPath]) -> bool:
    if match := _URI.fullmatch(reference):
        # Of another dataset, nothing is known: what it names is not for us to publish.
        return not match[1] and PurePosixPath(match[2]) in present
    path = PurePosixPath(reference.lstrip("/"))
    return path in present or (subject is not None and PurePosixPath(f"sub-{subject}") / path in present)
