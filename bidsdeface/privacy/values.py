"""Say whether a value may stay in a sidecar field, by the kind of value that the policy gives the field.

Numbers have a range. Texts are known as a whole, from the lists in ``values.tsv``, or are written by rule, or
are about the study; no text is judged by the words that it is made of.
"""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from bidsdeface.privacy.looks import PERSONAL, is_date_number, looks_like
from bidsdeface.schema import metadata_fields

NOT_SAID = "n/a"
TO_FILL_IN = "…"  # in a draft, where a person is to say something
LONGEST_NAME = 120
LARGEST_NUMBER = 1e5  # where a table gives no range; a date as a number (20261122) is larger
_TABLE = Path(__file__).with_name("values.tsv")
_FILE = re.compile(
    r"(bids:[A-Za-z0-9]*:)?/?((sub|ses)-[A-Za-z0-9+]+/){0,2}([a-z]+/)?(sub-[A-Za-z0-9+]+_)?"
    r"([a-z]+-[A-Za-z0-9+]+_)*[A-Za-z0-9]+(\.[a-z]+){1,2}(\.gz)?"
)
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_ ()/%.-]{0,39}")
# The kinds of texts, and what is said of one that does not pass.
_TEXTS = {
    "listed": "not one of the values that BIDS lists",
    "known": "not a known value ({})",
    "codes": "not a known value ({})",
    "word": "not written as its rule says",
    "files": "not the name of a BIDS file",
    "columns": "not the name of a column",
    "text": "",
    "task": "",
}
_SEPARATORS = re.compile(r"[\\/,;+_ ]+")


def objection(field: str, value: Any, kind: str, task: str | None = None) -> str | None:
    """Return why a value is not of the kind that its field may hold, or None if it is.

    Lists are looked at element by element. ``n/a`` is of every kind.

    Parameters
    ----------
    field : str
        The BIDS schema counts as well: which values it lists, and where numbers are whole.
    value : any
        Of JSON.
    kind : str
        ``number LOW..HIGH [UNIT]`` · ``flag`` · ``listed`` (the values that the schema lists) ·
        ``known NAME,NAME`` (whole values of these lists in ``values.tsv``) · ``codes NAME,NAME`` (the same,
        part by part) · ``word PATTERN`` · ``text`` (about the study, nothing identifying found in it) ·
        ``task`` (a text, or the label of the task) · ``files`` (BIDS names) · ``columns`` ·
        ``mapping LOW..HIGH NAME`` (an object with known keys, of numbers) · empty: anything.
    task : str, optional
        Label of ``task-`` in the file's name.

    Returns
    -------
    str or None
        Words that follow the name of the field; never the value.

    Raises
    ------
    ValueError
        There is no such kind.

    Examples
    --------
    >>> objection("EchoTime", 41207, "number 0..1 s")
    'not within 0..1 s'
    >>> objection("Manufacturer", ["Siemens", "siemens "], "known maker") is None
    True
    >>> objection("TaskDescription", "Call Dr. Doe", "text")
    'holds a name with a title'
    """
    name, _, detail = kind.partition(" ")
    if name == "":
        return None
    schema = metadata_fields().get(field)
    is_object = name == "mapping" or (name == "text" and (schema is None or "object" in schema.types))
    within = leaves if is_object else _elements
    found = (_objection_to_one(field, one, name, detail, task) for one in within(value) if one != NOT_SAID)
    return next(filter(None, found), None)


def leaves(value: Any) -> Iterator[Any]:
    """Yield the keys and single values within a value of JSON.

    Examples
    --------
    >>> list(leaves({"a": [1, [True, None]]}))
    ['a', 1, True, None]
    """
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield key
            yield from leaves(one)
    else:
        for one in _elements(value):
            yield from leaves(one) if isinstance(one, Mapping) else (one,)


def is_finite(value: Any) -> bool:
    """Return True if JSON can hold every number within a value.

    Examples
    --------
    >>> is_finite({"a": [1, "b"]}), is_finite({"a": [float("nan")]})
    (True, False)
    """
    return all(not isinstance(one, float) or math.isfinite(one) for one in leaves(value))


def texts_in(value: Any) -> list[str]:
    """Return the texts within a value of JSON, keys included, but for those that say nothing.

    Examples
    --------
    >>> texts_in({"a": [1, "b", "n/a"]})
    ['a', 'b']
    """
    return [one for one in leaves(value) if isinstance(one, str) and one != NOT_SAID]


def is_known(text: str, lists: str) -> bool:
    """Return True if a whole text is in one of the lists of ``values.tsv``, or says that nothing is known.

    Parameters
    ----------
    text : str
        Case, blanks, underscores and hyphens do not count: converters write one for the other.
    lists : str
        Names of lists, separated by commas.

    Examples
    --------
    >>> is_known("head_32", "coil"), is_known("Doe_32", "coil"), is_known("unknown", "coil")
    (True, False, True)
    """
    if len(text) > LONGEST_NAME or not text.isprintable():
        return False
    written = " ".join(text.split())
    known = _known_values()
    if unknown := {*lists.split(",")} - known.keys():
        raise ValueError(f"no list of known values is called {', '.join(sorted(unknown))}")
    return not written or any(
        _folded(text) in known[name][0] or known[name][1].fullmatch(written) is not None
        for name in ("unknown", *lists.split(","))
    )


def is_label(text: str, task: str | None) -> bool:
    """Return True if a text is the label of the task, spelled in words.

    Examples
    --------
    >>> is_label("N-Back", "nback"), is_label("N-Back", None)
    (True, False)
    """
    letters = "".join(re.findall(r"[A-Za-z0-9]", text)).lower()
    return task is not None and letters == task.lower() and text.isascii() and text.isprintable()


def _objection_to_one(field: str, one: Any, name: str, detail: str, task: str | None) -> str | None:
    """Return why a single value is not of a kind, or None."""
    schema = metadata_fields().get(field)
    if name == "flag":
        return None if isinstance(one, bool) else "not true or false"
    if name == "number":
        is_whole = schema is not None and "integer" in schema.types and "number" not in schema.types
        return _objection_to_number(one, detail, is_whole)
    if name == "mapping":
        limits, _, keys = detail.partition(" ")
        if not isinstance(one, str):
            return _objection_to_number(one, limits, is_whole=False)
        return None if is_known(one, keys) else "has a name in it that is not known"
    if name not in _TEXTS:
        raise ValueError(f"no kind of value is called {name!r}")
    if not isinstance(one, str):
        return "not a text"
    if name in ("text", "task"):
        if name == "task" and is_label(one, task):
            return None
        found = next((kind for kind in looks_like(one) if kind in (*PERSONAL, "date")), None)
        return f"holds {'an' if found[0] in 'aeio' else 'a'} {found}" if found else None
    if name == "listed":
        passes = schema is not None and one in schema.values
    elif name == "known":
        passes = is_known(one, detail)
    elif name == "codes":
        passes = is_known(one, detail) or all(is_known(part, detail) for part in _SEPARATORS.split(one))
    elif name == "word":
        passes = re.fullmatch(detail, one.strip(), re.IGNORECASE) is not None or is_known(one, "unknown")
    elif name == "files":
        passes = _FILE.fullmatch(one) is not None  # labels are looked at in the names of the files themselves
    else:
        passes = _COLUMN.fullmatch(one) is not None and not looks_like(one)
    return None if passes else _TEXTS[name].format(detail)


def _objection_to_number(one: Any, limits: str, is_whole: bool) -> str | None:
    if not isinstance(one, int | float) or isinstance(one, bool):
        return "not a number"
    span, _, _unit = limits.partition(" ")
    low, high = map(float, span.split("..")) if span else (-LARGEST_NUMBER, LARGEST_NUMBER)
    if not low <= one <= high:
        return f"not within {limits}"
    if is_whole and not float(one).is_integer():
        return "not a whole number"
    return "reads as a date" if is_date_number(one) else None


def _elements(value: Any) -> Iterator[Any]:
    """Yield what is in lists, at any depth; anything else as it is."""
    if isinstance(value, list):
        for one in value:
            yield from _elements(one)
    else:
        yield value


@lru_cache(maxsize=1)
def _known_values() -> Mapping[str, tuple[frozenset[str], re.Pattern[str]]]:
    """Return the values of each list, folded, and the pattern of those that are written by rule."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    found: dict[str, tuple[set[str], list[str]]] = {}
    for row in rows:
        whole, rules = found.setdefault(row["kind"], (set(), []))
        if rule := re.fullmatch(r"/(.+)/", row["value"]):
            rules.append(rule[1])
        else:
            whole.add(_folded(row["value"]))
    nothing = "(?!)"
    return {
        kind: (frozenset(whole), re.compile("|".join(rules) or nothing, re.IGNORECASE))
        for kind, (whole, rules) in found.items()
    }


def _folded(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text.casefold())
