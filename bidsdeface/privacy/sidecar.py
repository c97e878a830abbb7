"""Take out of sidecar metadata what may tell who was scanned, where and when, field by field.

The policy says which fields may stay and what their values must look like; whatever it does not name goes,
numbers too: a record number and a birth date are numbers. A value stays as it is, or goes as a whole.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from bidsdeface.privacy.ages import OLDEST, OLDEST_EVER
from bidsdeface.privacy.policy import DROP, FILES, GENERALISE, OBJECT_KINDS, Policy, Rule, load_policy
from bidsdeface.privacy.values import NOT_SAID, is_finite, is_known, is_label, leaves, objection, texts_in
from bidsdeface.schema import metadata_fields, required_fields

_DICOM_AGE = re.compile(r"(\d{1,3})([DWMY])")
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 1 / 52, "D": 1 / 365}
_UNKNOWN = Rule(DROP, reason="it does not know the field")
# They say where the face of an anatomical image was; of a recording, they are the way to the image.
_OF_THE_FACE = ("anat", "AnatomicalLandmarkCoordinates")
_SETTINGS = ("flag", "number -100000..100000", "known filter setting")
# Values that a person keeps, names of files, and what is known as a whole: they name nobody.
_PUBLIC = ("", FILES, "known", "codes", "listed")
Telling = Callable[[str], bool]
Scrubbed = tuple[dict[str, Any], dict[str, str]]  # what is kept, and why the rest is not


def scrub_metadata(
    metadata: Mapping[str, Any],
    policy: Policy | None = None,
    task: str | None = None,
    *,
    datatype: str | None = None,
    telling: Telling = lambda text: False,
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
    telling : callable, optional
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
    for field, value in metadata.items():
        rule = policy.get(field, _UNKNOWN)
        if (datatype, field) == _OF_THE_FACE and rule.kind:
            rule = Rule(DROP, reason="shape of the face")
        found, result = _objection(field, value, rule, task, telling), value
        if found is None and isinstance(value, Mapping) and rule.kind in OBJECT_KINDS:
            result, inner = (
                scrub_metadata(value, policy, task, datatype=datatype, telling=telling)
                if rule.kind == "object"
                else _scrub_filters(value, telling)
            )
            reasons |= {f"{field}.{name}": reason for name, reason in inner.items()}
            found = None if result or not value else "nothing in it may stay"
        elif found is None and rule.action == GENERALISE:
            result = _GENERALISED[rule.kind](value)
        if found is not None:
            reasons[field] = found
            result = NOT_SAID
        if found is None or (rule.action != DROP and _may_say_nothing(field, rule)):
            kept[field] = result
    return kept, reasons


def _objection(field: str, value: Any, rule: Rule, task: str | None, telling: Telling) -> str | None:
    """Return why a field is left out, or None."""
    if rule.action == DROP:
        return f"left out by the policy{rule.reason and f': {rule.reason}'}"
    if not is_finite(value):
        return "NaN or infinity, which JSON has not"
    if rule.action == GENERALISE:
        return "not an age" if rule.kind == "age" and _age(value) is None else None
    if rule.kind in OBJECT_KINDS:
        is_fit = isinstance(value, Mapping) or (isinstance(value, str) and is_known(value, "unknown"))
        return None if is_fit else "not an object"
    found = objection(field, value, rule.kind, task)
    is_public = rule.kind.partition(" ")[0] in _PUBLIC or (
        isinstance(value, str) and rule.kind == "task" and is_label(value, task)
    )
    if found is None and not is_public and any(map(telling, texts_in(value))):
        return "holds an identifier of this dataset"
    return found


def _may_say_nothing(field: str, rule: Rule) -> bool:
    """Return True if BIDS asks for the field, and takes ``n/a`` for an answer."""
    schema = metadata_fields().get(field)
    if schema is None or schema.is_list or not (field in required_fields() or rule.kind == "filters"):
        return False
    return "string" in schema.types and NOT_SAID in (schema.values or {NOT_SAID})


def _scrub_filters(filters: Mapping[str, Any], telling: Telling, names: str = "filter") -> Scrubbed:
    """Keep filters and settings of known names, whose values are numbers or known."""
    kept: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, value in filters.items():
        if not is_known(name, names) or telling(name):
            reasons[name] = f"not a known name ({names})"
        elif isinstance(value, Mapping):
            inner, why = _scrub_filters(value, telling, "filter setting")
            reasons |= {f"{name}.{one}": reason for one, reason in why.items()}
            kept |= {name: inner} if inner or not value else {}
        elif any(map(telling, texts_in(value))):
            reasons[name] = "holds an identifier of this dataset"
        elif all(any(objection("", one, kind) is None for kind in _SETTINGS) for one in leaves(value)):
            kept[name] = value
        else:
            reasons[name] = "not a number or a known value (filter setting)"
    return kept, reasons


def _age(value: Any) -> Any:
    """Return an age of at most 89 years, in its own form; None for what is none."""
    if isinstance(value, str) and (match := _DICOM_AGE.fullmatch(value.strip())):
        return f"{OLDEST:03}Y" if int(match[1]) * _YEARS[match[2]] > OLDEST else value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= OLDEST_EVER:
        return min(value, OLDEST)
    return None


_GENERALISED: dict[str, Callable[[Any], Any]] = {"age": _age, "midnight": lambda _: "00:00:00"}
