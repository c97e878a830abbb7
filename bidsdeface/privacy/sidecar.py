"""Take out of sidecar metadata what may tell who was scanned, where and when, field by field.

The policy says which fields may stay and what their values must look like; whatever it does not name goes,
numbers too: a record number and a birth date are numbers.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bidsdeface.privacy.policy import (
    DROP,
    GENERALISE,
    Policy,
    Rule,
    load_policy,
    passes,
    required_fields,
)

OLDEST = 89  # HIPAA, 45 CFR 164.514(b)(2)(i)(C), by way of the validator's AGE_89
NOT_SAID = "n/a"
_DICOM_AGE = re.compile(r"(\d{1,3})([DWMY])")
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 1 / 52, "D": 1 / 365}
_UNKNOWN = Rule(DROP)


@dataclass(frozen=True)
class Scrubbed:
    """Metadata that may be shared, and what became of the rest.

    Attributes
    ----------
    metadata : dict
        In the order of the source.
    dropped : tuple of str
        Names of fields that are gone; those of nested objects with dots. For the private log alone.
    changed : tuple of str
        Names of fields that say less than before.
    lost : tuple of str
        Fields that BIDS requires, of `dropped`: their value was of a kind that cannot be shared.
    """

    metadata: dict[str, Any]
    dropped: tuple[str, ...]
    changed: tuple[str, ...]
    lost: tuple[str, ...]


def scrub_metadata(
    metadata: Mapping[str, Any], policy: Policy | None = None, task: str | None = None
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

    Returns
    -------
    Scrubbed

    Examples
    --------
    >>> scrub_metadata({"EchoTime": 0.003, "PatientID": 4711, "FlipAngle": "Doe^Jane"}).metadata
    {'EchoTime': 0.003}
    >>> scrub_metadata({"TaskName": "Dr Doe's task", "TimeZero": "12:41:07"}, task="rest").metadata
    {'TaskName': 'rest', 'TimeZero': '00:00:00'}
    """
    policy = load_policy() if policy is None else policy
    kept: dict[str, Any] = {}
    dropped: list[str] = []
    changed: list[str] = []
    for field, value in metadata.items():
        rule = policy.get(field, _UNKNOWN)
        if rule.kind == "object" and rule.action != DROP:
            inner = scrub_metadata(value, policy, task) if isinstance(value, Mapping) else None
            if inner and inner.metadata:
                kept[field] = inner.metadata
            else:
                dropped.append(field)
            if inner:
                dropped += [f"{field}.{name}" for name in inner.dropped]
                changed += [f"{field}.{name}" for name in inner.changed]
            continue
        result = _apply(field, value, rule, task)
        if result is None:
            dropped.append(field)
            continue
        kept[field] = result
        if result != value:
            changed.append(field)
    lost = tuple(
        name for name in dropped if name in required_fields() and policy.get(name, _UNKNOWN).action != DROP
    )
    return Scrubbed(kept, tuple(dropped), tuple(changed), lost)


def _apply(field: str, value: Any, rule: Rule, task: str | None) -> Any:
    """Return what may be said of a value, or None."""
    if rule.action == DROP:
        return None
    if rule.action == GENERALISE:
        return _GENERALISE[rule.kind](value, task)
    if passes(field, value, rule.kind):
        return value
    is_text = rule.kind.partition(" ")[0] in ("word", "words")
    return NOT_SAID if is_text and field in required_fields() else None


def cap_age(years: float) -> float | int:
    """Return an age, at most `OLDEST`.

    Examples
    --------
    >>> cap_age(34), cap_age(93.5)
    (34, 89)
    """
    return OLDEST if years >= OLDEST else years


def _age(value: Any, _: str | None) -> float | int | None:
    if isinstance(value, str) and (match := _DICOM_AGE.fullmatch(value.strip())):
        return int(cap_age(int(int(match[1]) * _YEARS[match[2]])))
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 150:
        return cap_age(value)
    return None


def _task(value: Any, task: str | None) -> str:
    """Keep a name that is the label spelled in words; else the label stands in for it."""
    letters = "".join(re.findall(r"[A-Za-z0-9]", value)).lower() if isinstance(value, str) else ""
    if task is None:
        return value if value == NOT_SAID else NOT_SAID
    return value if letters == task.lower() and value.isascii() and value.isprintable() else task


def _midnight(_: Any, __: str | None) -> str:
    return "00:00:00"


def _filters(value: Any, _: str | None) -> Any:
    """Keep filters whose names and settings are technical words and numbers."""
    if not isinstance(value, Mapping):
        return NOT_SAID
    kept = {}
    for name, setting in value.items():
        if passes("", name, "words") and isinstance(setting, Mapping):
            kept[name] = {
                key: one for key, one in setting.items() if passes("", key, "words") and _is_setting(one)
            }
    return kept or NOT_SAID


def _is_setting(value: Any) -> bool:
    return passes("", value, "numbers") or passes("", value, "words") or isinstance(value, bool)


_GENERALISE: dict[str, Callable[[Any, str | None], Any]] = {
    "age": _age,
    "task": _task,
    "midnight": _midnight,
    "filters": _filters,
}
