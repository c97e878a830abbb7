"""Which sidecar fields may be shared, and what their values must look like: the table in ``policy.tsv``.

Each row has a field, what becomes of it (keep, generalise, drop), the kind of value that may pass, the
reason and the source. A person's own table and wishes go on top of it.
"""

import csv
import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bidsdeface.errors import UsageError
from bidsdeface.privacy.looks import is_date_number, looks_like

KEEP, GENERALISE, DROP = "keep", "generalise", "drop"
ACTIONS = (KEEP, GENERALISE, DROP)
GENERALISED_KINDS = ("age", "task", "midnight", "filters")
FILES = "files"
LARGEST_NUMBER = 1e5  # every usual quantity stays below it; a date as a number (20261122) does not
LONGEST_TEXT = 64
_TABLE = Path(__file__).with_name("policy.tsv")
_WORDS = Path(__file__).with_name("words.txt")
_FILE = re.compile(
    r"(bids:[A-Za-z0-9]*:)?/?((sub|ses)-[A-Za-z0-9+]+/){0,2}([a-z]+/)?(sub-[A-Za-z0-9+]+_)?"
    r"([a-z]+-[A-Za-z0-9+]+_)*[A-Za-z0-9]+(\.[a-z]+){1,2}(\.gz)?"
)
# Not an address of a computer, whose first part would be one of these.
_NUMBERS_WITH_DOTS = r"v?\d{1,3}(\.\d{1,3}){1,3}"
_VERSION = re.compile(
    r"(?!(?:10|127|169|172|192)(?:\.\d{1,3}){3}$)" + rf"{_NUMBERS_WITH_DOTS}([\\_, ]+{_NUMBERS_WITH_DOTS})*"
)
_LETTERS = str.maketrans("0123456789", "ghijklmnop")
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


@dataclass(frozen=True)
class Rule:
    """What becomes of a field.

    Attributes
    ----------
    action : str
        ``keep``, ``generalise`` or ``drop``.
    kind : str
        What a value must look like to pass; empty where a person takes it as it is. Of a dropped field:
        ``text`` if it may hold any text, and empty if it is about somebody.
    """

    action: str
    kind: str = ""


Policy = Mapping[str, Rule]


def load_policy(table: Path | None = None, keep: Iterable[str] = (), drop: Iterable[str] = ()) -> Policy:
    """Return the policy: ours, then a person's table, then the fields they name; dropping wins.

    Parameters
    ----------
    table : pathlib.Path, optional
        Tab-separated like ``policy.tsv``; of its columns, ``field`` and ``action`` are needed. A kept field
        without a ``kind`` has that of ours, and else passes as it is.
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
    policy = {**ours, **(_read_policy(table, ours) if table else {})}
    policy |= {field: Rule(KEEP) for field in keep}
    policy |= {field: Rule(DROP) for field in drop}
    return policy


def file_fields(policy: Policy) -> frozenset[str]:
    """Return the fields whose values name files.

    Examples
    --------
    >>> sorted(file_fields(load_policy()))[-2:]
    ['ReferenceSignal', 'SpatialReference']
    """
    return frozenset(field for field, rule in policy.items() if rule.kind == FILES)


def policy_mark(policy: Policy) -> str:
    """Return what stands for a policy in a result: ``built-in``, or letters that change with the policy.

    Examples
    --------
    >>> policy_mark(load_policy())
    'built-in'
    """
    if policy == _own_policy():
        return "built-in"
    rules = repr(sorted((field, rule.action, rule.kind) for field, rule in policy.items()))
    # No digits: none that could read as a date or a record number.
    return hashlib.sha256(rules.encode()).hexdigest()[:12].translate(_LETTERS)


@lru_cache(maxsize=1)
def required_fields() -> frozenset[str]:
    """Return the sidecar fields that BIDS requires of any kind of file."""
    from bidsschematools.schema import load_schema

    schema = load_schema()
    names = schema["objects"]["metadata"]
    required = set()
    groups = list(schema["rules"]["sidecars"].values())
    while groups:
        group = groups.pop()
        for field, level in group.get("fields", {}).items():
            if (level if isinstance(level, str) else level["level"]) == "required":
                required.add(names[field]["name"] if field in names else field)
        groups += [one for name, one in group.items() if name != "fields" and hasattr(one, "items")]
    return frozenset(required)


def passes(field: str, value: Any, kind: str) -> bool:
    """Tell whether a value is of the kind that its field may hold.

    Parameters
    ----------
    field : str
    value : any
        Of JSON.
    kind : str
        ``number [LOW..HIGH]`` · ``numbers [LOW..HIGH]`` (or lists of them) · ``flag`` ·
        ``listed`` (what the BIDS schema lists for the field) · ``word PATTERN`` ·
        ``words`` (of ``words.txt``, and small numbers) · ``files`` (BIDS names) · ``columns`` ·
        empty: anything. Texts may come in a list.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        There is no such kind.
    """
    name, _, detail = kind.partition(" ")
    if name == "":
        return True
    if name == "flag":
        return isinstance(value, bool)
    if name in ("number", "numbers"):
        low, high = _limits(detail)
        return _are_numbers(value, low, high, nested=name == "numbers")
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) and len(text) <= 4 * LONGEST_TEXT for text in texts):
        return name == "words" and _are_numbers(value, 0, 1000, nested=True)
    if name == "listed":
        return all(text in _listed(field) for text in texts)
    if name == "word":
        pattern = _pattern(detail)
        return all(pattern.fullmatch(text) and len(text) <= LONGEST_TEXT for text in texts)
    if name == "words":
        return all(_are_words(text) for text in texts)
    if name == FILES:
        return all(_FILE.fullmatch(text) and not looks_like(text) for text in texts)
    if name == "columns":
        return all(_COLUMN.fullmatch(text) and not looks_like(text) for text in texts)
    raise ValueError(f"no kind of value is called {kind!r}")


def _are_numbers(value: Any, low: float, high: float, *, nested: bool) -> bool:
    if isinstance(value, list):
        return nested and all(_are_numbers(one, low, high, nested=True) for one in value)
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and low <= value <= high  # false for NaN as well
        and math.isfinite(value)
        and not is_date_number(value)
    )


def _are_words(text: str) -> bool:
    """Tell whether a text is of technical words and small numbers, at least one of them a word."""
    if looks_like(text) or len(text) > LONGEST_TEXT or not text.isprintable():
        return False
    known = technical_words()
    tokens = re.findall(r"[^\W\d_]+", text)
    digits = re.findall(r"\d+", text)
    return (
        any(token.lower() in known and len(token) > 1 for token in tokens)
        and all(token.lower() in known or len(token) == 1 for token in tokens)
        and all(len(run) <= 3 for run in digits)
        and sum(map(len, digits)) <= 8
    ) or bool(_VERSION.fullmatch(text) or text == "n/a")


@lru_cache(maxsize=1)
def _own_policy() -> Policy:
    return _read_policy(_TABLE, {})


@lru_cache(maxsize=1)
def technical_words() -> frozenset[str]:
    """Return the words that text in a kept field may consist of, in lower case."""
    lines = _WORDS.read_text(encoding="utf-8").splitlines()
    return frozenset(
        word for line in lines if not line.startswith("#") for word in re.findall(r"[a-z]+", line)
    )


@lru_cache(maxsize=512)
def _listed(field: str) -> frozenset[str]:
    from bidsschematools.schema import load_schema

    found = set()
    parts = [one for one in load_schema()["objects"]["metadata"].values() if one["name"] == field]
    while parts:
        part = parts.pop()
        found |= set(part.get("enum", ()))
        parts += [*part.get("anyOf", ()), *([part["items"]] if "items" in part else [])]
    return frozenset(found)


@lru_cache(maxsize=128)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def _limits(text: str) -> tuple[float, float]:
    low, _, high = text.partition("..")
    return (float(low), float(high)) if text else (-LARGEST_NUMBER, LARGEST_NUMBER)


def _read_policy(path: Path, ours: Policy) -> dict[str, Rule]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); give --metadata-policy a readable table"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not a text table ({error}); save it as UTF-8, tab-separated") from error
    policy = {}
    for number, row in enumerate(rows, start=2):
        field, action = row.get("field"), row.get("action")
        if not field or action not in ACTIONS:
            raise UsageError(
                f"{path}: line {number} has no field, or no action of {', '.join(ACTIONS)}; correct it"
            )
        kind = row.get("kind") or ("" if field not in ours or action == DROP else ours[field].kind)
        _check_kind(path, number, action, kind)
        policy[field] = Rule(action, kind)
    return policy


def _check_kind(path: Path, number: int, action: str, kind: str) -> None:
    try:
        if action == GENERALISE and kind not in GENERALISED_KINDS:
            raise ValueError(f"nothing generalises to {kind!r}; choose from {', '.join(GENERALISED_KINDS)}")
        if action == KEEP and kind != "object":
            passes("", "", kind)
    except (ValueError, re.error) as error:
        raise UsageError(f"{path}: line {number}: {error}; correct its kind") from error
