"""The names and numbers of this dataset's people: read from dropped fields, searched for in kept texts.

Nothing is guessed: an identifier is the value of a field about a person, a place or a record. It is found as
whole words, whatever their case and accents, and never rewritten.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bidsdeface.deidentify.patterns import dates_in, unaccented
from bidsdeface.deidentify.values import is_number, values_in

# Kinds of identifier: a person's name, each word of which is searched for; a number, code or place, which is
# searched for as a whole; a day.
PERSON, WHOLE, DAY = KINDS = ("person", "whole", "day")
SHORTEST_WORD, SHORTEST_WHOLE, SHORTEST_NUMBER = 3, 4, 5
# Words that such fields hold instead of a name, and titles.
STAND_INS = frozenset(
    """
    anon anonymous anonymized anonymised deidentified removed redacted unknown none nan null na not available
    sub ses subject patient participant volunteer control healthy phantom test pilot study research scan
    operator admin administrator technician user staff mri mrt mr fmri lab hospital university institute
    clinic center centre department
    dr prof professor mr mrs ms miss herr frau mme md phd msc jr
    """.split()  # noqa: SIM905
)
# Accents and soft hyphens that are characters of their own do not end a word.
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f\u00ad]+[^\W_]*)*")


@dataclass(frozen=True)
class Identifiers:
    """The identifiers to search for.

    Attributes
    ----------
    phrases : frozenset of tuple of str
        Words in a row, without case and accents.
    labels : frozenset of (str, str)
        Entities in the names of files that are words of a person's name.
    """

    phrases: frozenset[tuple[str, ...]] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()

    def __or__(self, other: "Identifiers") -> "Identifiers":
        return Identifiers(self.phrases | other.phrases, self.labels | other.labels)

    @cached_property
    def _lengths(self) -> set[int]:
        return set(map(len, self.phrases))

    def find(self, text: str) -> Iterator[int]:
        """Yield the positions in a text where an identifier begins.

        Examples
        --------
        >>> list(identifiers_in("Doe^Jane", PERSON).find("Thanks to JANE!"))
        [10]
        """
        words = [(match.start(), unaccented(match[0]).casefold()) for match in _WORD.finditer(text)]
        for at, (start, _) in enumerate(words):
            phrases = (tuple(word for _, word in words[at : at + length]) for length in self._lengths)
            if not self.phrases.isdisjoint(phrases):
                yield start

    def are_in(self, text: str) -> bool:
        """Return True if a text holds an identifier."""
        return next(self.find(text), None) is not None


def identifiers_in(value: Any, kind: str) -> Identifiers:
    """Return the identifiers in the value of a field.

    Parameters
    ----------
    value : any
        Of JSON: a text, a number, or lists and objects of them.
    kind : str
        One of `KINDS`.

    Examples
    --------
    >>> sorted(identifiers_in("Doe^Jane", PERSON).phrases)
    [('doe',), ('doe', 'jane'), ('jane',), ('jane', 'doe')]
    >>> sorted(identifiers_in("Essen Hospital", WHOLE).phrases), sorted(identifiers_in("2019", WHOLE).phrases)
    ([('essen', 'hospital')], [])
    >>> sorted(identifiers_in("20190312", DAY).phrases)
    [('2019', '03', '12'), ('20190312',)]
    """
    phrases: set[tuple[str, ...]] = set()
    parts = (part for part in values_in(value, with_keys=False) if isinstance(part, str) or is_number(part))
    for part in parts:
        text = f"{part:.0f}" if isinstance(part, float) and part.is_integer() else str(part)
        words = words_of(text)
        if kind == DAY:
            phrases |= {
                words_of(f"{day:{form}}") for _, day in dates_in(text) for form in ("%Y-%m-%d", "%Y%m%d")
            }
        elif kind == PERSON:
            names = tuple(word for word in words if word not in STAND_INS and not word.isdecimal())
            phrases |= {(word,) for word in names if len(word) >= SHORTEST_WORD}
            phrases |= {names, names[::-1]} if len(names) > 1 else set()
        elif not set(words) <= STAND_INS:
            letters = "".join(words)
            is_long = len(letters) >= (SHORTEST_NUMBER if letters.isdecimal() else SHORTEST_WHOLE)
            phrases |= {words} if is_long else set()
    return Identifiers(frozenset(phrases))


def are_of_names(labels: Iterable[str], phrases: Iterable[tuple[str, ...]]) -> set[str]:
    """Return the labels that, without digits, are a word of a name of several words, or all words of it.

    A name of one word is mostly a code of the study.

    Examples
    --------
    >>> names = identifiers_in("Doe^Jane", PERSON).phrases
    >>> sorted(are_of_names(["JaneDoe", "Doe2", "Doer", "01"], names)), are_of_names(["Doe"], [("doe",)])
    (['Doe2', 'JaneDoe'], set())
    """
    names = [phrase for phrase in phrases if len(phrase) > 1]
    words = {word for name in names for word in ("".join(name), *name) if len(word) >= SHORTEST_WORD}
    return {label for label in labels if re.sub(r"\d", "", unaccented(label)).casefold() in words}


def words_of(text: str) -> tuple[str, ...]:
    """Return the words and numbers of a text, without case and accents."""
    return tuple(word.casefold() for word in _WORD.findall(unaccented(text)))
