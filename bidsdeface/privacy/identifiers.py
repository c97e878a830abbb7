"""What to search text for, given what was taken out of headers, sidecars and tables."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from itertools import permutations
from typing import Any

from bidsdeface.privacy.days import days_in
from bidsdeface.privacy.folding import IDEOGRAPHS, fold
from bidsdeface.privacy.policy import technical_words

SHORTEST_WORD, SHORTEST_NUMBER, LONG_NUMBER = 3, 4, 6
SHORTEST_NAME, MOST_NAMES, LONG_NAME = 2, 5, 8
OLDEST_EVER = 130  # years: what is more is in months, weeks or days
_WORDS_TOGETHER = re.compile(r"[^\W_][\W_]+[^\W_]")
_IDEOGRAPHS = re.compile(f"[{IDEOGRAPHS}]{{{SHORTEST_NAME},}}")
_UMLAUTS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}
)
_UMLAUTS_WRITTEN_OUT = re.compile("([AOUaou])e")
# Words that stand in fields about people and places, and tell nothing by themselves.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """
        and the for von van der den des del with from unknown none anonymous anonymized anonymised
        sub ses task run acq
        hospital clinic university department institute institution center centre school medical
        medicine radiology neurology
        street road city state country district scan scanner study research patient subject
        participant control male female left right yes not other first second one two three
        """,
    )
)


class About(Enum):
    """What a value that was taken out tells of."""

    PERSON = "a name, a number or a birth date of somebody"
    PLACE = "a place, a device or a time"
    TEXT = "anything"


@dataclass(frozen=True)
class Identifiers:
    """What to search for; texts as `fold` has them.

    Attributes
    ----------
    names : frozenset of str
        Whole names and numbers: in any case.
    words : frozenset of str
        Words of names, short numbers, and what stands out in free text: spelled like this, and in plain text
        alone, for they may be words of the study as well.
    days : frozenset of datetime.date
        However they are spelled.
    tabled : frozenset of str
        Those of `names` that are no words of the study, to search for in tables and data dictionaries: of
        persons all, of others several words together and long numbers.
    spared : frozenset of str
        The study's own names of columns and levels: left where a column, a level or a cell is just this.
    """

    names: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    days: frozenset[date] = frozenset()
    tabled: frozenset[str] = frozenset()
    spared: frozenset[str] = frozenset()

    def __or__(self, other: "Identifiers") -> "Identifiers":
        """Search for both."""
        return Identifiers(
            self.names | other.names,
            self.words | other.words,
            self.days | other.days,
            self.tabled | other.tabled,
            self.spared | other.spared,
        )

    @property
    def in_tables(self) -> "Identifiers":
        """What to search for in tables, data dictionaries, and names of fields."""
        return Identifiers(self.tabled, days=self.days, spared=self.spared)

    def outside(self, study: Collection[str]) -> "Identifiers":
        """Return the same, to leave in tables what the study calls so; in lower case."""
        return replace(self, tabled=frozenset(one for one in self.tabled if one.lower() not in study))

    def sparing(self, words: Iterable[str]) -> "Identifiers":
        """Return the same, to leave columns and levels that are one word in lower case: young, nback."""
        return replace(self, spared=frozenset(one for one in words if re.fullmatch(r"[a-z]+\d?", one)))

    def without(self, labels: Iterable[str]) -> "Identifiers":
        """Return the same without labels that stand in file names anyway."""
        known = {label.lower() for label in labels}
        names, words, tabled = (
            frozenset(one for one in some if one.lower() not in known)
            for some in (self.names, self.words, self.tabled)
        )
        return Identifiers(names, words, self.days, tabled, self.spared)


def identifiers_in(values: Iterable[Any], about: About = About.PERSON) -> Identifiers:
    """Return what to search for, given values that were taken out.

    Parameters
    ----------
    values : iterable of any
        Of JSON, of header fields, of table cells.
    about : About, optional
        Of any text, words with a capital and long numbers are taken for identifiers; of places, all that is
        not common or technical; of persons, names in every order as well.

    Returns
    -------
    Identifiers
    """
    names: set[str] = set()
    words: set[str] = set()
    tabled: set[str] = set()
    days: set[date] = set()
    known = technical_words() | _COMMON
    for text in {form for value in _texts(values) for form in _forms(value)}:
        days |= {day for _, _, some in days_in(text) for day in some}
        tabled |= set(re.findall(rf"(?<!\d)\d{{{LONG_NUMBER},}}(?!\d)", text))
        tokens = {one for one in re.findall(r"[^\W_]+", text) if _is_telling(one, known)}
        if about is About.TEXT:
            words |= {one for one in tokens if one[0].isupper() or sum(map(str.isdigit, one)) >= LONG_NUMBER}
            continue
        parts = {part.strip() for part in (text, *re.split(r"[\^,;|/\\()]+", text))}
        telling = {part for part in parts if _is_telling(part, known)}
        short = {part for part in telling if part.isdecimal() and len(part) < LONG_NUMBER}
        words |= {
            form for one in tokens | short for form in (one, one.lower(), one.upper(), one.capitalize())
        }
        if about is About.PERSON:
            spelled, single = _names(text)
            telling |= spelled
            words |= single
        names |= telling - short
        tabled |= {one for one in telling - short if about is About.PERSON or _WORDS_TOGETHER.search(one)}
    words |= {one.upper() for one in words}
    return Identifiers(frozenset(names), frozenset(words), frozenset(days), frozenset(tabled))


def identifiers_of_ages(years: Iterable[float]) -> Identifiers:
    """Return how ages that are not told are spelled in text.

    Examples
    --------
    >>> {"93 years", "aged 93"} <= identifiers_of_ages([93]).names
    True
    """
    in_years, in_parts = ("y", "yo", "yr", "yrs", "year", "years", "jahre"), ("months", "weeks", "days")
    before = ("age", "aged", "age of", "alter")
    found = set()
    for age in years:
        units = in_years if age <= OLDEST_EVER else in_parts
        found |= {*(f"{age:g} {unit}" for unit in units), *(f"{word} {age:g}" for word in before)}
    return Identifiers(frozenset(found))


def _names(text: str) -> tuple[set[str], set[str]]:
    """Return a person's names by twos, in any order and in one word, and each of them as it is written."""
    tokens = [one for one in re.findall(r"[^\W\d_]+", text) if len(one) >= SHORTEST_NAME]
    tokens = [one for one in tokens if one.lower() not in _COMMON]
    is_name = "^" in text or "," in text or not {one.lower() for one in tokens} <= technical_words()
    if not 2 <= len(tokens) <= MOST_NAMES or not is_name or re.search(r"\d", text):
        return set(), set()
    pairs = set(permutations(tokens, 2))
    glued = {one.capitalize() + other.capitalize() for one, other in pairs}
    whole = {f"{one} {other}" for one, other in pairs} | {one for one in glued if len(one) >= LONG_NAME}
    return whole, glued | {form for one in tokens for form in (one, one.upper(), one.capitalize())}


def _forms(text: str) -> set[str]:
    """Return a text folded, with its umlauts written out and taken back."""
    folded = fold(text)
    return {folded, fold(text.translate(_UMLAUTS)), _UMLAUTS_WRITTEN_OUT.sub(r"\1", folded)}


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """Yield all texts and numbers within values."""
    for value in values:
        if isinstance(value, Mapping):
            yield from _texts(value.values())
        elif isinstance(value, list | tuple):
            yield from _texts(value)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            yield " ".join(str(value).split())


def _is_telling(part: str, known: Collection[str]) -> bool:
    digits = sum(character.isdigit() for character in part)
    letters = sum(character.isalpha() for character in part)
    if letters == 0:
        return digits >= SHORTEST_NUMBER and not re.fullmatch(r"(19|20)\d\d", part)
    if _IDEOGRAPHS.search(part):
        return True
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", part)]
    return letters >= SHORTEST_WORD and not all(word in known or len(word) < SHORTEST_WORD for word in words)
