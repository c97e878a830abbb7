"""Take references to files that are not in a dataset out of its tables and sidecars. No file is opened."""

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from bidsdeface.privacy.policy import DROP, Policy, Rule, file_fields, load_policy, passes
from bidsdeface.privacy.tables import Table, keep_rows

FIELD_MAP_FIELDS = ("B0FieldIdentifier", "B0FieldSource")
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
    names_files = file_fields(load_policy()) | file_fields(policy or {})
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

    Parameters
    ----------
    table : Table
    path : PurePosixPath
        Of the table, relative to the dataset.
    present : collection of PurePosixPath
    """
    folders = {parent for one in present for parent in one.parents}
    there = {
        "scans": ("filename", lambda value: path.parent / value in present),
        "sessions": ("session_id", lambda value: path.parent / value in folders),
        **dict.fromkeys(
            ("participants", "samples"), ("participant_id", lambda value: PurePosixPath(value) in folders)
        ),
    }
    suffix = "participants" if path.parts[0] == "phenotype" else path.stem.rpartition("_")[2]
    if suffix not in there:
        return table
    column, is_there = there[suffix]
    if column not in table.columns:
        return table
    return keep_rows(table, column, is_there)


def with_field_map_names(metadata: Mapping[str, Any], policy: Policy, key: bytes | None) -> dict[str, Any]:
    """Return metadata in which names of field maps that may not be told are replaced, always by the same.

    Parameters
    ----------
    metadata : mapping
        A raw sidecar.
    policy : mapping of str to Rule
        Says which names may be told.
    key : bytes or None
        Private: who lacks it cannot find the name by trying. Without it, nothing is replaced.

    Examples
    --------
    >>> with_field_map_names({"B0FieldSource": ["pepolar", "Doe"]}, load_policy(), bytes(32))
    {'B0FieldSource': ['pepolar', 'fieldmap_096_353']}
    """
    named = dict(metadata)
    if key is None:
        return named
    for field in FIELD_MAP_FIELDS:
        rule, value = policy.get(field, Rule(DROP)), metadata.get(field)
        if rule.action == DROP or value is None:
            continue
        texts = value if isinstance(value, list) else [value]
        if all(isinstance(text, str) for text in texts):
            told = [text if passes(field, text, rule.kind) else _field_map_name(text, key) for text in texts]
            named[field] = told if isinstance(value, list) else told[0]
    return named


def _field_map_name(name: str, key: bytes) -> str:
    digest = hmac.new(key, f"name of a field map {name}".encode(), hashlib.sha256).digest()
    number = int.from_bytes(digest[:8], "big") % 1_000_000
    return f"fieldmap_{number // 1000:03}_{number % 1000:03}"


def b0_identifiers(metadata: Mapping[str, Any]) -> set[str]:
    """Return the field maps that a sidecar says its scan is part of."""
    value = metadata.get("B0FieldIdentifier", [])
    return {one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)}


def _only(value: Any, is_there: Any) -> Any:
    if isinstance(value, list):
        return [one for one in value if isinstance(one, str) and is_there(one)] or None
    return value if isinstance(value, str) and is_there(value) else None


def _is_there(reference: str, subject: str | None, present: Collection[PurePosixPath]) -> bool:
    match = _URI.fullmatch(reference)
    if match:
        # Of another dataset, nothing is known: what it names is not for us to publish.
        return not match[1] and PurePosixPath(match[2]) in present
    path = PurePosixPath(reference.lstrip("/"))
    return path in present or (subject is not None and PurePosixPath(f"sub-{subject}") / path in present)
