"""Search text for identifiers that stood in headers, sidecars and tables, and put a mark in their place."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from functools import lru_cache
from itertools import islice, zip_longest
from typing import Any

from bidsdeface.privacy.policy import technical_words

MARK, MARK_IN_NAMES = "[removed]", "removed"  # the second where brackets may not stand
SHORTEST_WORD, SHORTEST_NUMBER, LONG_NUMBER, SHORTEST_GENITIVE = 3, 4, 6, 4
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-/.]?(0\d|1[0-2])[-/.]?([0-2]\d|3[01])")
_RUN = re.compile(r"[^\W\d_]+|\d+")
_RUN_OF_WORDS = re.compile(r"[^\W_][\W_]+[^\W_]")
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
    """What to search for.

    Attributes
    ----------
    names : frozenset of str
        Whole names, numbers and dates: in any case.
    words : frozenset of str
        Words of names, short numbers, and what stands out in free text: spelled like this, and in plain text
        alone, for they may be words of the study as well.
    tabled : frozenset of str
        Those of `names` that are no words of the study, to search for in tables and data dictionaries: of
        persons all, of others several words together, long numbers and dates.
    """

    names: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    tabled: frozenset[str] = frozenset()

    def __or__(self, other: "Identifiers") -> "Identifiers":
        """Search for both."""
        return Identifiers(self.names | other.names, self.words | other.words, self.tabled | other.tabled)

    @property
    def in_tables(self) -> "Identifiers":
        """What to search for in tables, data dictionaries, and names of fields."""
        return Identifiers(self.tabled)

    def outside(self, study: Collection[str]) -> "Identifiers":
        """Return the same, to leave in tables what the study calls so; in lower case."""
        return replace(self, tabled=frozenset(one for one in self.tabled if one.lower() not in study))

    def without(self, labels: Iterable[str]) -> "Identifiers":
        """Return the same without labels that stand in file names anyway."""
        known = {label.lower() for label in labels}
        return Identifiers(
            *(frozenset(one for one in some if one.lower() not in known) for some in vars(self).values())
        )


def identifiers_in(values: Iterable[Any], about: About = About.PERSON) -> Identifiers:
    """Return what to search for, given values that were taken out.

    Parameters
    ----------
    values : iterable of any
        Of JSON, of header fields, of table cells.
    about : About, optional
        Of any text, words with a capital and long numbers are taken for identifiers; else, all that is not
        common or technical.

    Returns
    -------
    Identifiers
    """
    names: set[str] = set()
    words: set[str] = set()
    tabled: set[str] = set()
    known = technical_words() | _COMMON
    for text in _texts(values):
        dates = _spellings(text)
        names |= dates
        tabled |= dates | set(re.findall(rf"(?<!\d)\d{{{LONG_NUMBER},}}(?!\d)", text))
        parts = {part.strip() for part in (text, *re.split(r"[\^,;|/\\()]+", text))}
        tokens = {one for one in re.findall(r"[^\W_]+", text) if _is_telling(one, known)}
        if about is About.TEXT:
            words |= {one for one in tokens if one[0].isupper() or sum(map(str.isdigit, one)) >= LONG_NUMBER}
            continue
        telling = {part for part in parts if _is_telling(part, known)}
        short = {part for part in telling if part.isdecimal() and len(part) < LONG_NUMBER}
        names |= telling - short
        tabled |= {one for one in telling - short if about is About.PERSON or _RUN_OF_WORDS.search(one)}
        words |= {
            form for one in tokens | short for form in (one, one.lower(), one.upper(), one.capitalize())
        }
    words |= {one.upper() for one in words}
    return Identifiers(frozenset(names), frozenset(words), frozenset(tabled))


def redact(text: str, identifiers: Identifiers, mark: str = MARK) -> tuple[str, int]:
    """Replace identifiers in a text where they stand as words, also where digits or a genitive's s follow.

    Returns
    -------
    text : str
    count : int
        Of replacements.

    Examples
    --------
    >>> redact("Thanks to JANE DOE!", identifiers_in(["Doe^Jane"]))
    ('Thanks to [removed] [removed]!', 2)
    """
    candidates = _by_first_runs(identifiers)
    runs = list(_RUN.finditer(text)) if candidates else []
    parts, end, count = [], 0, 0
    for run, after in zip_longest(runs, runs[1:]):
        if run.start() < end:
            continue
        first, second = run[0].lower(), after[0].lower() if after else ""
        keys = [
            (first, second),
            (first, second.removesuffix("s")),
            (first, ""),
            (first.removesuffix("s"), ""),
        ]
        for one, any_case in (one for key in dict.fromkeys(keys) for one in candidates.get(key, ())):
            if match := _pattern(one, any_case).match(text, run.start()):
                parts += [text[end : run.start()], mark]
                end, count = match.end(), count + 1
                break
    return "".join((*parts, text[end:])), count


@lru_cache(maxsize=16)
def _by_first_runs(identifiers: Identifiers) -> Mapping[tuple[str, str], list[tuple[str, bool]]]:
    """Sort identifiers, and whether any case will do, by their first two runs of letters or digits.

    There may be a hundred thousand: one pattern of all of them would take hours.
    """
    found: dict[tuple[str, str], list[tuple[str, bool]]] = defaultdict(list)
    for some, any_case in ((identifiers.names, True), (identifiers.words, False)):
        for one in some:
            if runs := list(islice(_RUN.finditer(one), 2)):
                first, second = runs[0][0].lower(), runs[1][0].lower() if len(runs) > 1 else ""
                found[first, second].append((one[runs[0].start() :], any_case))
    return {runs: sorted(ones, key=lambda one: (-len(one[0]), one)) for runs, ones in found.items()}


@lru_cache(maxsize=1 << 14)
def _pattern(identifier: str, any_case: bool) -> re.Pattern[str]:
    """Match an identifier that does not go on in letters, or in digits, whichever it ends with."""
    after = r"\d" if identifier[-1].isdigit() else r"[^\W\d_]"
    genitive = "(?:['\u2019]?s)?" if len(identifier) >= SHORTEST_GENITIVE and identifier[-1].isalpha() else ""
    spaced = r"\s+".join(map(re.escape, identifier.split()))
    return re.compile(f"{spaced}{genitive}(?!{after})", re.IGNORECASE if any_case else 0)


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
