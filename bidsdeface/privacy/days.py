"""Find the days in a text, however they are spelled: every spelling is built of the same parts.

A spelling may be read in several ways (04/03/78): each day that it may mean is told.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from functools import lru_cache

# English, German, French, Spanish, Italian and Dutch, without accents.
MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january januar janner janvier enero gennaio januari jan ene gen",
            "february februar fevrier febrero febbraio februari feb fev fevr",
            "march marz mars marzo maart mar mrz mrt",
            "april avril abril aprile apr avr abr",
            "may mai mayo maggio mei mag",
            "june juni juin junio giugno jun giu",
            "july juli juillet julio luglio jul juil lug",
            "august aout agosto augustus aug ago",
            "september septembre septiembre settembre sep sept",
            "october oktober octobre octubre ottobre oct okt ott",
            "november novembre noviembre nov",
            "december dezember decembre diciembre dicembre dec dez dic",
        ),
        start=1,
    )
    for name in names.split()
}
NAME = rf"(?P<name>{'|'.join(sorted(MONTHS, key=len, reverse=True))})"
YEAR, SHORT_YEAR = r"(?P<year>1[89]\d\d|20\d\d)", r"(?P<year>\d\d)"
DAY, MONTH = r"(?P<day>0?[1-9]|[12]\d|3[01])", r"(?P<month>0?[1-9]|1[0-2])"
_DAY2, _MONTH2 = r"(?P<day>0[1-9]|[12]\d|3[01])", r"(?P<month>0[1-9]|1[0-2])"
_NTH = r"(?:st|nd|rd|th|er|\.)?"
_GAP = r"[\s.,/_-]{0,3}(?:(?:of|de|del)[\s_]+)?(?:the[\s_]+)?"
_CLOCK = r"(?:[T_-]?\d{4}(?:\d\d)?(?:\.\d+)?)?"


def _same(*parts: str, between: str) -> str:
    """Join three parts by one separator, twice the same."""
    first, second, third = parts
    return f"{first}(?P<between>{between}){second}(?P=between){third}"


# Certain: in any text they mean a day. Likely: in a field of their own. Possible: where that day is known.
CERTAIN = (
    _same(YEAR, MONTH, DAY, between="[-/._]"),
    f"{YEAR}{_MONTH2}{_DAY2}{_CLOCK}",
    _same(DAY, MONTH, YEAR, between="[-/._]"),
    _same(MONTH, DAY, YEAR, between="[-/._]"),
    _same(DAY, MONTH, SHORT_YEAR, between="[-/.]"),
    _same(MONTH, DAY, SHORT_YEAR, between="[-/.]"),
    f"{DAY}{_NTH}{_GAP}{NAME}{_GAP}{YEAR}",
    f"{DAY}(?P<between>[./-]){NAME}(?P=between){SHORT_YEAR}",
    f"{NAME}{_GAP}{DAY}{_NTH}{_GAP}(?<!\\d){YEAR}",
    f"{YEAR}{_GAP}{NAME}{_GAP}{DAY}",
    rf"{YEAR}\s?[年년]\s?{MONTH}\s?[月월]\s?{DAY}\s?[日일]?",
    f"{YEAR}-?W(?P<week>[0-4]\\d|5[0-3])(?:-?(?P<weekday>[1-7]))?",
)
LIKELY = (
    _same(SHORT_YEAR, MONTH, DAY, between="[-/._]"),
    _same(DAY, MONTH, YEAR, between=" "),
    _same(YEAR, MONTH, DAY, between=" "),
    f"{DAY}{_NTH}{_GAP}{NAME}{_GAP}{SHORT_YEAR}",
    f"{NAME}{_GAP}{DAY}{_NTH}{_GAP}(?<!\\d){SHORT_YEAR}",
    f"{YEAR}-(?P<ordinal>[0-2]\\d\\d|3[0-6]\\d)",
)
POSSIBLE = (
    *(f"{one}{other}{YEAR}" for one, other in ((_DAY2, _MONTH2), (_MONTH2, _DAY2))),
    *(f"{one}{other}{SHORT_YEAR}" for one, other in ((_DAY2, _MONTH2), (_MONTH2, _DAY2))),
    f"{SHORT_YEAR}{_MONTH2}{_DAY2}",
    f"{YEAR}\\.{_MONTH2}{_DAY2}",
    _same(MONTH, DAY, YEAR, between=" "),
    _same(DAY, MONTH, SHORT_YEAR, between=" "),
    _same(SHORT_YEAR, MONTH, DAY, between=" "),
)


# What no day can be spelled with; tables are full of it.
_DIGITS = re.compile(r"\d.*\d.*\d", re.DOTALL)
_SMALL_NUMBER = re.compile(r"[-+]?\d{1,3}(?:\.\d*)?(?:e[-+]?\d{1,3})?", re.IGNORECASE)


@lru_cache(maxsize=64)
def pattern(spelling: str) -> re.Pattern[str]:
    """Return the pattern of a spelling that neither begins nor ends within a word or a number."""
    no_word = "(?<![A-Za-z](?=[A-Za-z]))"
    return re.compile(rf"(?<!\d)(?<!\d\.){no_word}{spelling}(?!\d)(?!\.\d){no_word}", re.IGNORECASE)


def days_in(
    text: str, spellings: tuple[str, ...] = CERTAIN + LIKELY + POSSIBLE
) -> Iterator[tuple[int, int, set[date]]]:
    """Yield where a day is spelled in a text, and which it may be.

    Parameters
    ----------
    text : str
        Without accents.
    spellings : tuple of str, optional
        To look for.

    Yields
    ------
    start, end : int
    days : set of datetime.date
        Two for a year of two digits; never empty.

    Examples
    --------
    >>> [sorted(map(str, days)) for _, _, days in days_in("born 4th of March 1978")]
    [['1978-03-04']]
    """
    if not _DIGITS.search(text) or _SMALL_NUMBER.fullmatch(text):
        return
    for spelling in spellings:
        for match in pattern(spelling).finditer(text):
            if days := _meant(match.groupdict()):
                yield match.start(), match.end(), days


def _meant(parts: dict[str, str | None]) -> set[date]:
    """Return the days that the parts of a spelling may mean."""
    year = parts["year"] or ""
    found = set()
    for full in (int(year),) if len(year) == 4 else (1900 + int(year), 2000 + int(year)):
        with suppress(ValueError):
            if week := parts.get("week"):
                weekdays = [int(parts["weekday"])] if parts["weekday"] else range(1, 8)
                found |= {date.fromisocalendar(full, int(week), weekday) for weekday in weekdays}
            elif ordinal := parts.get("ordinal"):
                first = date(full, 1, 1).toordinal()
                day = date.fromordinal(first + int(ordinal) - 1)
                found |= {day} if day.year == full else set()
            else:
                name = parts.get("name")
                month = MONTHS[name.lower()] if name else int(parts["month"] or 0)
                found.add(date(full, month, int(parts["day"] or 0)))
    return found
