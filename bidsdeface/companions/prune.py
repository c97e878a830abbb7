"""Remove references to files that are not in the output from tables and sidecars. No file is opened."""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from bidsdeface.dataset.names import suffix_of
from bidsdeface.deidentify.policy import FILES, UNKNOWN, Policy, load_policy
from bidsdeface.deidentify.tables import Table

STIMULUS = "stim_file"  # column of tables of events: a file below stimuli/
_ABOUT = {  # the column that names the file, session or participant of a row
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
    policy: Policy,
) -> dict[str, Any]:
    """Return metadata without references to absent files and absent field maps.

    Parameters
    ----------
    metadata : mapping
    subject : str or None
        Label of the participant, without ``sub-``; None for metadata above participants.
    present : collection of PurePosixPath
        Files of the dataset, relative to its root.
    identifiers : collection of str
        Every ``B0FieldIdentifier`` that is still present.
    policy : mapping of str to Rule, optional
        Policy with further fields that name files.

    Returns
    -------
    dict
        Without fields of which nothing is left; lists stay lists.
    """
    kept = {}
    for field, value in metadata.items():
        if FILES in {rules.get(field, UNKNOWN).kind for rules in (load_policy(), policy)}:
            value = _only(value, lambda reference: _is_present(reference, subject, present))
        elif field == "B0FieldSource":
            value = _only(value, identifiers.__contains__)
        if value is not None:
            kept[field] = value
    return kept


def prune_table(table: Table, path: PurePosixPath, present: Collection[PurePosixPath]) -> Table:
    """Return a table without rows about absent files, sessions and participants.

    Names of files are corrected: relative to the participant's folder, with the extension of the file. Absent
    stimuli become ``n/a``.

    Parameters
    ----------
    table : Table
    path : PurePosixPath
        Path of the table, relative to the dataset.
    present : collection of PurePosixPath
    """
    suffix = "participants" if path.parts[0] == "phenotype" else suffix_of(path)
    if suffix == "scans" and "filename" in table.columns:
        table = table.changed("filename", lambda name: _spelled(name, path.parent, present))
    if STIMULUS in table.columns:
        table = table.changed(
            STIMULUS, lambda name: name if PurePosixPath("stimuli", name) in present else "n/a"
        )
    column = _ABOUT.get(suffix)
    if column not in table.columns:
        return table
    existing = present if suffix == "scans" else {parent for file in present for parent in file.parents}
    folder = PurePosixPath() if column == "participant_id" else path.parent
    position = table.columns.index(column)
    return table.keep_rows(lambda row: folder / row[position] in existing)


def _spelled(name: str, folder: PurePosixPath, present: Collection[PurePosixPath]) -> str:
    """Return the corrected name of a file in a scans.tsv, if there is such a file; else the name as it is."""
    below = name.removeprefix("./").removeprefix(f"{folder}/")
    forms = (below, f"{below}.gz", below.removesuffix(".gz"))
    return next((form for form in forms if folder / form in present), name)


def b0_identifiers(metadata: Mapping[str, Any]) -> set[str]:
    """Return the ``B0FieldIdentifier`` of a sidecar: the field maps that its image is part of."""
    value = metadata.get("B0FieldIdentifier", [])
    return {one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)}


def _only(value: Any, is_present: Callable[[str], bool]) -> Any:
    """Return the references in a value that are present; None if there is none."""
    values = value if isinstance(value, list) else [value]
    kept = [one for one in values if isinstance(one, str) and is_present(one)] or None
    return kept[0] if kept and not isinstance(value, list) else kept


def _is_present(reference: str, subject: str | None, present: Collection[PurePosixPath]) -> bool:
    if match := _URI.fullmatch(reference):
        # Nothing is known about other datasets, so references to them are removed.
        return not match[1] and PurePosixPath(match[2]) in present
    path = PurePosixPath(reference.lstrip("/"))
    return path in present or (subject is not None and PurePosixPath(f"sub-{subject}") / path in present)
