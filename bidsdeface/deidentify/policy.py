"""Decide which sidecar fields may be shared, by the table in ``policy.tsv``.

Each row has a field, an action (keep, generalise, drop), the kind of value that may pass, the reason and the
source. A person's own table and options take precedence. Fields that the policy does not name are dropped,
numbers too: a record number and a birth date are numbers. A value stays as it is, or is left out whole.
"""

import csv
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bidsdeface.deidentify.altered import cap_age
from bidsdeface.deidentify.tables import read_rows
from bidsdeface.deidentify.values import (
    NOT_AVAILABLE,
    is_finite,
    is_known,
    is_label,
    objection,
    texts_in,
    values_in,
)
from bidsdeface.errors import UsageError, first_of, read_errors
from bidsdeface.schema import NOT_OF_BIDS, metadata_fields, required_fields

ACTIONS = KEEP, GENERALISE, DROP = ("keep", "generalise", "drop")
FILES = "files"
# How values are generalised, by kind; a value that gives None is left out.
_GENERALISED: Mapping[str, Callable[[Any], Any]] = {"age": cap_age, "midnight": lambda _: "00:00:00"}
_OBJECT_KINDS = ("object", "filters")
_TABLE = Path(__file__).with_name("policy.tsv")
_LETTERS = str.maketrans("0123456789", "ghijklmnop")
# Landmarks show where the face was in an anatomical image; a recording needs them to be aligned with one.
_OF_THE_FACE = ("anat", "AnatomicalLandmarkCoordinates")
_SETTINGS = ("flag", "number -100000..100000", "known filter setting")
# Kinds that name nobody: values that a person keeps, names of files, and values known as a whole.
_PUBLIC = ("", FILES, "known", "codes", "listed")
_IDENTIFIER = "holds an identifier of this dataset"
TextTest = Callable[[str], bool]
Scrubbed = tuple[dict[str, Any], dict[str, str]]  # what is kept, and why the rest is not


@dataclass(frozen=True)
class Rule:
    """The rule for a field.

    Attributes
    ----------
    action : str
        ``keep``, ``generalise`` or ``drop``.
    kind : str
        The kind of value that may pass (see `objection`); empty if a person keeps the field as it is. Of a
        dropped field: the kind of identifier in it, ``text`` if it may hold any text, or empty.
    reason : str
        Why a field is dropped.
    """

    action: str
    kind: str = ""
    reason: str = field(default="", compare=False)


Policy = Mapping[str, Rule]
UNKNOWN = Rule(DROP, reason="it does not know the field")


def load_policy(table: Path | None = None, keep: Iterable[str] = (), drop: Iterable[str] = ()) -> Policy:
    """Return the policy: ours, then a person's table, then the fields they name; dropping wins.

    Parameters
    ----------
    table : pathlib.Path, optional
        Tab-separated like ``policy.tsv``; of its columns, ``field`` and ``action`` are needed. A field
        without a ``kind`` has that of ours if the action is the same; else a kept one passes as it is.
    keep, drop : iterable of str, optional
        Fields to keep as they are and to drop.

    Returns
    -------
    dict of str to Rule

    Raises
    ------
    UsageError
        The table is not such a table.
    """
    ours = _own_policy()
    return {
        **ours,
        **(_read_policy(table, ours) if table else {}),
        **{name: Rule(KEEP) for name in keep},
        **{name: Rule(DROP, _own_kind(ours, name, DROP), "asked for") for name in drop},
    }


def policy_mark(policy: Policy) -> str:
    """Return ``built-in``, or for another policy letters that change with it.

    Examples
    --------
    >>> policy_mark(load_policy())
    'built-in'
    """
    if policy == _own_policy():
        return "built-in"
    rules = repr(sorted((name, rule.action, rule.kind) for name, rule in policy.items()))
    # Letters cannot be read as a date or a record number.
    return hashlib.sha256(rules.encode()).hexdigest()[:12].translate(_LETTERS)


def scrub_metadata(
    metadata: Mapping[str, Any],
    policy: Policy | None = None,
    task: str | None = None,
    *,
    datatype: str | None = None,
    identifies: TextTest = lambda text: False,
) -> Scrubbed:
    """Keep what the policy lets through.

    A field that BIDS requires and whose text cannot be shared says "n/a" instead.

    Parameters
    ----------
    metadata : mapping
        Sidecar of a file, or an inherited one of an upper level.
    policy : mapping of str to Rule, optional
        From `load_policy`; ours by default.
    task : str, optional
        Label of ``task-`` in the file's name.
    datatype : str, optional
        Folder of the file; of ``anat``, coordinates of landmarks go.
    identifies : callable, optional
        Return True for a text that holds an identifier of the dataset. Asked of every text that would stay,
        but for names of files, and fields that a person keeps as they are.

    Returns
    -------
    kept : dict
        In the order of the source.
    reasons : dict of str to str
        Why fields are left out, or say "n/a", by their names; those of nested objects with dots. Never a
        value. Each field can be kept by its name.

    Examples
    --------
    >>> scrub_metadata({"EchoTime": 0.003, "RepetitionTime": 41207, "FlipAngle": "Doe^Jane"})
    ({'EchoTime': 0.003}, {'RepetitionTime': 'not within 0..100 s', 'FlipAngle': 'not a number'})
    >>> scrub_metadata({"TaskName": "Dr Doe's task", "TimeZero": "12:41:07"})[0]
    {'TaskName': 'n/a', 'TimeZero': '00:00:00'}
    """
    policy = load_policy() if policy is None else policy
    kept: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, value in metadata.items():
        rule = policy.get(name, UNKNOWN)
        if (datatype, name) == _OF_THE_FACE and rule.kind:
            rule = Rule(DROP, reason="shape of the face")
        reason, result = _objection(name, value, rule, task, identifies), value
        if reason is None and isinstance(value, Mapping) and rule.kind in _OBJECT_KINDS:
            result, inner = (
                scrub_metadata(value, policy, task, datatype=datatype, identifies=identifies)
                if rule.kind == "object"
                else _scrub_filters(value, identifies)
            )
            reasons |= {f"{name}.{part}": inner_reason for part, inner_reason in inner.items()}
            reason = None if result or not value else "nothing in it may stay"
        elif reason is None and rule.action == GENERALISE:
            result = _GENERALISED[rule.kind](value)
        if reason:
            reasons[name] = reason
            result = NOT_AVAILABLE
        if not reason or (rule.action != DROP and _may_be_missing(name, rule)):
            kept[name] = result
    return kept, reasons


@cache
def _own_policy() -> Policy:
    """Return our table, unchecked: a test checks it as a person's table is checked."""
    return {row["field"]: Rule(row["action"], row["kind"], row["reason"]) for row in read_rows(_TABLE)}


def _read_policy(path: Path, ours: Policy) -> dict[str, Rule]:
    try:
        with read_errors(path, "give --metadata-policy a readable table", UsageError):
            rows = read_rows(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not a text table ({error}); save it as UTF-8, tab-separated") from error
    policy = {}
    for number, row in enumerate(rows, start=2):
        name, action = row.get("field"), row.get("action")
        if not name or action not in ACTIONS:
            raise UsageError(
                f"{path}: line {number} has no field, or no action of {', '.join(ACTIONS)}; correct it"
            )
        kind = row.get("kind") or _own_kind(ours, name, action)
        try:
            _check_kind(action, kind)
        except (ValueError, re.error) as error:
            raise UsageError(f"{path}: line {number}: {error}; correct its kind") from error
        policy[name] = Rule(action, kind, row.get("reason") or "")
    return policy


def _own_kind(ours: Policy, name: str, action: str) -> str:
    """Return the kind of value that our table has for a field, if it has the same action."""
    return ours[name].kind if name in ours and ours[name].action == action else ""


def _check_kind(action: str, kind: str) -> None:
    """Raise ValueError if there is no such kind."""
    if action == GENERALISE and kind not in _GENERALISED:
        raise ValueError(f"nothing generalises to {kind!r}; choose from {', '.join(_GENERALISED)}")
    if action == KEEP and kind not in _OBJECT_KINDS:
        objection("", ["x", 0], kind)


def _objection(field: str, value: Any, rule: Rule, task: str | None, identifies: TextTest) -> str | None:
    """Return why a field is left out, or None."""
    is_object = isinstance(value, Mapping) or (isinstance(value, str) and is_known(value, "unknown"))
    faults = {
        f"left out by the policy{rule.reason and f': {rule.reason}'}": rule.action == DROP,
        "NaN or infinity, which JSON has not": not is_finite(value),
        "not an age": rule.action == GENERALISE and _GENERALISED[rule.kind](value) is None,
        "not an object": rule.kind in _OBJECT_KINDS and not is_object,
    }
    fault = first_of(faults)
    if fault or rule.action == GENERALISE or rule.kind in _OBJECT_KINDS:
        return fault
    is_public = rule.kind.partition(" ")[0] in _PUBLIC or (
        rule.kind == "task" and isinstance(value, str) and is_label(value, task)
    )
    has_identifier = not is_public and any(map(identifies, texts_in(value)))
    return objection(field, value, rule.kind, task) or (_IDENTIFIER if has_identifier else None)


def _may_be_missing(field: str, rule: Rule) -> bool:
    """Return True if BIDS requires the field, and allows ``n/a`` as its value."""
    schema = metadata_fields().get(field, NOT_OF_BIDS)
    is_required = field in required_fields() or rule.kind == "filters"
    allows_it = "string" in schema.types and NOT_AVAILABLE in (schema.values or {NOT_AVAILABLE})
    return is_required and allows_it and not schema.is_list


def _scrub_filters(filters: Mapping[str, Any], identifies: TextTest, names: str = "filter") -> Scrubbed:
    """Keep filters and settings with known names whose values are numbers or known."""
    kept: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, value in filters.items():
        is_group = isinstance(value, Mapping)
        faults = {
            f"not a known name ({names})": not is_known(name, names) or identifies(name),
            _IDENTIFIER: not is_group and any(map(identifies, texts_in(value))),
            "not a number or a known value (filter setting)": not is_group
            and any(all(objection("", part, kind) for kind in _SETTINGS) for part in values_in(value)),
        }
        if reason := first_of(faults):
            reasons[name] = reason
        elif is_group:
            inner, why = _scrub_filters(value, identifies, "filter setting")
            reasons |= {f"{name}.{setting}": reason for setting, reason in why.items()}
            kept |= {name: inner} if inner or not value else {}
        else:
            kept[name] = value
    return kept, reasons
