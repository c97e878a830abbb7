"""Search text for identifiers that stood in headers, sidecars and tables, and put a mark in their place."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any

from bidsdeface.privacy.policy import technical_words

MARK = "[removed]"
SHORTEST_WORD, SHORTEST_NUMBER = 3, 4
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-/.]?(0\d|1[0-2])[-/.]?([0-2]\d|3[01])")
# Words that stand in fields about people and places, and tell nothing by themselves.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """
        and the for von van der den des del with from unknown none anonymous anonymized anonymised
        hospital clinic university department institute institution center centre school medical
        medicine radiology neurology
        street road city state country district scan scanner study research patient subject
        participant control male female left right yes not other first second one two three
        """,
    )
)


def identifiers_in(values: Iterable[Any]) -> frozenset[str]:
    """Return what to search for, given values that were taken out.

    Parameters
    ----------
    values : iterable of any
        Of JSON, of header fields, of table cells.

    Returns
    -------
    frozenset of str
        Whole texts, their parts and words, long numbers, and dates in all usual spellings; nothing that is
        short, common or technical.
    """
    found: set[str] = set()
    known = technical_words() | _COMMON
    for value in values:
        if isinstance(value, Mapping):
            found |= identifiers_in(value.values())
        elif isinstance(value, list | tuple):
            found |= identifiers_in(value)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            text = " ".join(str(value).split())
            found |= _spellings(text)
            parts = {text, *re.split(r"[\^,;|/\\()]+", text), *re.findall(r"[^\W_]+", text)}
            found |= {part.strip() for part in parts if _is_telling(part.strip(), known)}
    return frozenset(found)


def redact(text: str, identifiers: Collection[str]) -> tuple[str, int]:
    """Replace identifiers in a text, whatever their case, where they stand as words.

    Returns
    -------
    text : str
    count : int
        Of replacements.

    Examples
    --------
    >>> redact("Thanks to JANE DOE!", ["jane doe", "jane"])
    ('Thanks to [removed]!', 1)
    """
    if not identifiers:
        return text, 0
    longest_first = sorted(identifiers, key=len, reverse=True)
    spaced = [r"\s+".join(map(re.escape, one.split())) for one in longest_first]
    pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(spaced)})(?![^\W_])", re.IGNORECASE)
    return pattern.subn(MARK, text)


def _is_telling(part: str, known: Collection[str]) -> bool:
    digits = sum(character.isdigit() for character in part)
    letters = sum(character.isalpha() for character in part)
    if letters == 0:
        return digits >= SHORTEST_NUMBER and not re.fullmatch(r"(19|20)\d\d", part)
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", part)]
    return letters >= SHORTEST_WORD and not all(word in known or len(word) < SHORTEST_WORD for word in words)


def _spellings(text: str) -> set[str]:
    """Return the usual ways to write the dates in a text."""
    found: set[str] = set()
    for match in _DATE.finditer(text):
        try:
            day = date(*(int(part) for part in match.groups()))
        except ValueError:
            continue
        d, m, y = day.day, day.month, day.year
        month = _MONTHS[m - 1]
        found |= {f"{y}{m:02}{d:02}", f"{d:02}{m:02}{y}", f"{month} {d}, {y}", f"{month} {d} {y}"}
        for name in (month, month[:3]):
            found |= {f"{d} {name} {y}", f"{d:02} {name} {y}", f"{d:02}-{name}-{y}", f"{d}. {name} {y}"}
        for separator in "-./":
            found.add(separator.join((f"{y}", f"{m:02}", f"{d:02}")))
            for one, other in ((d, m), (m, d)):
                for year in (f"{y}", f"{y % 100:02}"):
                    found.add(separator.join((f"{one:02}", f"{other:02}", year)))
                    found.add(separator.join((f"{one}", f"{other}", year)))
    return found
