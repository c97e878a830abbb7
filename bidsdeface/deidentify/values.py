"""Decide whether a value may stay in a sidecar field, by the kind of value that the policy gives the field.

Numbers must be in a range. Texts must be known as a whole, by the lists in ``values.tsv``, or follow a rule,
or be about the study; no text is judged by its words.
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
from bidsdeface.errors import first_of
from bidsdeface.schema import NOT_OF_BIDS, MetadataField, metadata_fields

NOT_AVAILABLE = "n/a"
TO_FILL_IN = "…"  # in a draft, where a person is to say something
LONGEST_NAME = 120
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
    if name not in _KINDS:
        raise ValueError(f"no kind of value is called {name!r}")
    schema = metadata_fields().get(field, NOT_OF_BIDS)
    into_objects = name == "mapping" or (name == "text" and "object" in schema.types)
    parts = (part for part in values_in(value, into_objects=into_objects) if part != NOT_AVAILABLE)
    return next(filter(None, (_objection_to_part(part, name, detail, schema, task) for part in parts)), None)


def values_in(value: Any, *, into_objects: bool = True, with_keys: bool = True) -> Iterator[Any]:
    """Yield the single values in a value of JSON, with the keys of its objects; or whole objects.

    Examples
    --------
    >>> list(values_in({"a": [1, [True, None]]})), list(values_in([{"a": 1}, [2]], into_objects=False))
    (['a', 1, True, None], [{'a': 1}, 2])
    """
    if into_objects and isinstance(value, Mapping):
        value = [part for item in value.items() for part in (item if with_keys else item[1:])]
    if isinstance(value, list):
        for part in value:
            yield from values_in(part, into_objects=into_objects, with_keys=with_keys)
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
    return all(not isinstance(part, float) or math.isfinite(part) for part in values_in(value))


def texts_in(value: Any) -> list[str]:
    """Return the texts in a value of JSON, keys included, but for ``n/a``.

    Examples
    --------
    >>> texts_in({"a": [1, "b", "n/a"]})
    ['a', 'b']
    """
    return [part for part in values_in(value) if isinstance(part, str) and part != NOT_AVAILABLE]


def is_known(text: str, lists: str) -> bool:
    """Return True if a text is in one of the lists of ``values.tsv``, or says that the value is unknown.

    Parameters
    ----------
    text : str
        Case, blanks, underscores and hyphens are ignored: converters replace one by another.
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


def _objection_to_part(
    part: Any, name: str, detail: str, schema: MetadataField, task: str | None
) -> str | None:
    """Return why a single value is not of a kind, or None."""
    match name:
        case "":
            return None
        case "flag":
            return None if isinstance(part, bool) else "not true or false"
        case "number":
            return _objection_to_number(
                part, detail, is_whole="integer" in schema.types and "number" not in schema.types
            )
        case "mapping" if not isinstance(part, str):
            return _objection_to_number(part, detail.partition(" ")[0], is_whole=False)
        case _ if not isinstance(part, str):
            return "not a text"
        case "text" | "task":
            kinds = () if name == "task" and is_label(part, task) else find_pii(part)
            kind = next((kind for kind in kinds if kind in (*PERSONAL, "date")), None)
            return f"holds {'an' if kind[0] in 'aeio' else 'a'} {kind}" if kind else None
        case _:
            is_of_kind, otherwise = _TEXTS[name]
            return None if is_of_kind(part, detail, schema) else otherwise.format(detail)


# Kinds of texts: a test of a text, by the detail of the kind and by the schema, and the objection.
_TEXTS: Mapping[str, tuple[Callable[[str, str, MetadataField], bool], str]] = {
    "listed": (
        lambda text, _, schema: text in schema.values,
        "not one of the values that BIDS lists",
    ),
    "known": (lambda text, lists, _: is_known(text, lists), "not a known value ({})"),
    "codes": (
        lambda text, lists, _: (
            is_known(text, lists) or all(is_known(part, lists) for part in _SEPARATORS.split(text))
        ),
        "not a known value ({})",
    ),
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


_KINDS = ("", "flag", "number", "text", "task", *_TEXTS)


def _objection_to_number(part: Any, limits: str, is_whole: bool) -> str | None:
    if not is_number(part):
        return "not a number"
    span = limits.partition(" ")[0]
    low, high = map(float, span.split("..")) if span else (-LARGEST_NUMBER, LARGEST_NUMBER)
    faults = {
        f"not within {limits}": not low <= part <= high,
        "not a whole number": is_whole and not float(part).is_integer(),
        "reads as a date": is_date_number(part),
    }
    return first_of(faults)


@cache
def _known_values() -> Mapping[str, tuple[frozenset[str], re.Pattern[str]]]:
    """Return the values of each list, folded, and one pattern for those that are given as a rule."""
    values: dict[str, list[str]] = defaultdict(list)
    for row in read_rows(Path(__file__).with_name("values.tsv")):
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
