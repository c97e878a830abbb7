"""Say whether a value may stay in a sidecar field, by the kind of value that the policy gives the field.

Numbers have a range. Texts are known as a whole, from the lists in ``values.tsv``, or are written by rule, or
are about the study; no text is judged by the words that it is made of.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bidsdeface.deidentify.patterns import LARGEST_NUMBER, PERSONAL, find_pii, is_date_number
from bidsdeface.deidentify.tables import read_rows
from bidsdeface.schema import NOT_OF_BIDS, MetadataField, metadata_fields

NOT_AVAILABLE = "n/a"
TO_FILL_IN = "…"  # in a draft, where a person is to say something
LONGEST_NAME = 120
_TABLE = Path(__file__).with_name("values.tsv")
_FILE = re.compile(
    r"(bids:[A-Za-z0-9]*:)?/?((sub|ses)-[A-Za-z0-9+]+/){0,2}([a-z]+/)?(sub-[A-Za-z0-9+]+_)?"
    r"([a-z]+-[A-Za-z0-9+]+_)*[A-Za-z0-9]+(\.[a-z]+){1,2}(\.gz)?"
)
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_ ()/%.-]{0,39}")
_RULE = re.compile(r"/.+/")  # around a pattern, among the values that are known as they are
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
    schema = metadata_fields().get(field, NOT_OF_BIDS)
    within = values_in(value, into_objects=name == "mapping" or (name == "text" and "object" in schema.types))
    found = (_objection_to_one(one, name, detail, schema, task) for one in within if one != NOT_AVAILABLE)
    return next(filter(None, found), None)


def values_in(value: Any, *, into_objects: bool = True, with_keys: bool = True) -> Iterator[Any]:
    """Yield the single values within a value of JSON, and the keys of its objects, or these as they are.

    Examples
    --------
    >>> list(values_in({"a": [1, [True, None]]})), list(values_in([{"a": 1}, [2]], into_objects=False))
    (['a', 1, True, None], [{'a': 1}, 2])
    """
    if into_objects and isinstance(value, Mapping):
        value = [part for item in value.items() for part in (item if with_keys else item[1:])]
    if isinstance(value, list):
        for one in value:
            yield from values_in(one, into_objects=into_objects, with_keys=with_keys)
    else:
        yield value


def is_number(value: Any) -> bool:
    """Return True for a number of JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: Any) -> bool:
    """Return True if JSON can hold every number within a value.

    Examples
    --------
    >>> is_finite({"a": [1, "b"]}), is_finite({"a": [float("nan")]})
    (True, False)
    """
    return all(not isinstance(one, float) or math.isfinite(one) for one in values_in(value))


def texts_in(value: Any) -> list[str]:
    """Return the texts within a value of JSON, keys included, but for those that say nothing.

    Examples
    --------
    >>> texts_in({"a": [1, "b", "n/a"]})
    ['a', 'b']
    """
    return [one for one in values_in(value) if isinstance(one, str) and one != NOT_AVAILABLE]


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


def _objection_to_one(
    one: Any, name: str, detail: str, schema: MetadataField, task: str | None
) -> str | None:
    """Return why a single value is not of a kind, or None."""
    if name == "flag":
        return None if isinstance(one, bool) else "not true or false"
    if name == "number":
        is_whole = "integer" in schema.types and "number" not in schema.types
        return _objection_to_number(one, detail, is_whole)
    if name == "mapping" and not isinstance(one, str):
        return _objection_to_number(one, detail.partition(" ")[0], is_whole=False)
    if name not in (*_TEXTS, "text", "task"):
        raise ValueError(f"no kind of value is called {name!r}")
    if not isinstance(one, str):
        return "not a text"
    if name in _TEXTS:
        is_of_kind, otherwise = _TEXTS[name]
        return None if is_of_kind(one, detail, schema) else otherwise.format(detail)
    found = next((kind for kind in find_pii(one) if kind in (*PERSONAL, "date")), None)
    if found is None or (name == "task" and is_label(one, task)):
        return None
    return f"holds {'an' if found[0] in 'aeio' else 'a'} {found}"


def _is_known_in_parts(text: str, lists: str) -> bool:
    return is_known(text, lists) or all(is_known(part, lists) for part in _SEPARATORS.split(text))


# Kinds of texts: whether one is of the kind, by what follows its name and by the schema; else what is said.
_TEXTS: Mapping[str, tuple[Callable[[str, str, MetadataField], bool], str]] = {
    "listed": (
        lambda text, _, schema: text in schema.values,
        "not one of the values that BIDS lists",
    ),
    "known": (lambda text, lists, _: is_known(text, lists), "not a known value ({})"),
    "codes": (lambda text, lists, _: _is_known_in_parts(text, lists), "not a known value ({})"),
    "word": (
        lambda text, rule, _: bool(re.fullmatch(rule, text.strip(), re.I)) or is_known(text, "unknown"),
        "not written as its rule says",
    ),
    # Labels are looked at in the names of the files themselves.
    "files": (lambda text, *_: bool(_FILE.fullmatch(text)), "not the name of a BIDS file"),
    "mapping": (
        lambda key, detail, _: is_known(key, detail.partition(" ")[2]),
        "has a name in it that is not known",
    ),
    "columns": (
        lambda text, *_: bool(_COLUMN.fullmatch(text)) and not find_pii(text),
        "not the name of a column",
    ),
}


def _objection_to_number(one: Any, limits: str, is_whole: bool) -> str | None:
    if not is_number(one):
        return "not a number"
    span = limits.partition(" ")[0]
    low, high = map(float, span.split("..")) if span else (-LARGEST_NUMBER, LARGEST_NUMBER)
    if not low <= one <= high:
        return f"not within {limits}"
    if is_whole and not float(one).is_integer():
        return "not a whole number"
    return "reads as a date" if is_date_number(one) else None


@cache
def _known_values() -> Mapping[str, tuple[frozenset[str], re.Pattern[str]]]:
    """Return the values of each list, folded, and the pattern of those that are written by rule."""
    values: dict[str, list[str]] = defaultdict(list)
    for row in read_rows(_TABLE):
        values[row["kind"]].append(row["value"])
    return {
        kind: (
            frozenset(_folded(value) for value in some if not _RULE.fullmatch(value)),
            re.compile("|".join(value[1:-1] for value in some if _RULE.fullmatch(value)) or "(?!)", re.I),
        )
        for kind, some in values.items()
    }


def _folded(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text.casefold())
