"""What text looks like that may tell who, where or when: dates, times, e-mails, telephones, record numbers.

Patterns only: a name in plain words looks like any other word, and is found nowhere here.
"""

import re
from datetime import date

from bidsdeface.privacy.days import CERTAIN, LIKELY, days_in
from bidsdeface.privacy.folding import fold

FIRST_YEAR = 1926  # scans of living people; dates that are shifted as BIDS asks come before, and pass
# Folders at which the disks of laboratories and hospitals begin.
_ROOTS = (
    "mnt|media|data|srv|net|nas|nfs|scratch|shares?|vol|volumes|projects?|groups?|storage|gpfs|lustre|beegfs"
    "|archive|export|cluster"
)
_NUMBER_OF = r"(?:patient(?:en)?|pat|case|record|fall)[. -]{0,2}(?:id|nr|no|number|nummer)"

_PATTERNS = {
    "date": r"(?<!\d)(?:19|20)\d\d\s?[年년]\s?(?:0?[1-9]|1[0-2])",  # with a month; days are found as such
    "time of day": r"(?<![\d:])(?:[01]?\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?![\d:])"
    r"|(?<![\d:])(?:0?\d|1[0-2])[:.][0-5]\d\s?[ap]\.?m\b",
    "e-mail": r"(?<![\w.+-])[\w.+-]+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
    "telephone": r"(?<![\w.])\+\d(?:[ ()./-]{0,3}\d){7,14}"
    r"|(?<![\w.-])\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?![\w.-])"
    r"|(?<![\w./-])0\d{1,4}[/ -]\d{5,8}(?![\w./-])|(?<![\w.])0\d(?:[ .]\d\d){4}(?![\w.])"
    r"|(?:tel|phone|fax|mobile)\w{0,20}[.: ]{1,5}[\d+(][\d ()./-]{5,20}\d",
    "person's number": r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w.-])|(?<![\w.-])\d{6}-\d{3,4}(?![\w.-])",
    "unique number": r"(?<![\w.])[0-2](?:\.\d{1,39}){6,20}(?![\w.])"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    "record number": r"(?<![\w.+/-])\d{6,}(?:\.\d+)?(?!\w|\.\d)"
    r"|(?<![A-Za-z0-9.])[A-Z]{1,4}[-_ ]?\d{5,}(?!\w|\.\d)"
    rf"|\b(?i:mrn|accession|aktenzeichen|{_NUMBER_OF})\w{{0,20}}[.:# ]{{1,5}}\w{{0,20}}\d\w",
    "name of a person": r"(?<![\w'-])[^\W\d_][\w'-]+\^[^\W\d_][\w'-]",
    "home folder": r"/(?:home|Users)/[^/\s\"']+|[A-Za-z]:\\Users\\[^\\\s\"']+|(?<![\w~])~[a-z][\w.-]*/",
    "path": rf"(?<![\w:./~-])/(?:{_ROOTS})/[\w.-]+|(?<![A-Za-z])[A-Za-z]:[\\/](?!/)\w"
    r"|(?<![\w\\])\\\\[A-Za-z][\w.-]*\\[\w$]|\bfile:/",
}
# Repetitions above have an end, or a beginning at which alone they are tried: long text takes one pass.
_COMPILED = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _PATTERNS.items()}
_COMPILED["record number"] = re.compile(_PATTERNS["record number"])
# What looks like a number of a record and is one of a publication or a public thing.
_PUBLIC = re.compile(
    r"https?://[\w.-]+/[\w./#?=&%~-]*|(?:doi:\s*)?\b10\.\d{4,9}/[-._;()/:\w]+|\bPM(?:ID|C):?\s*\d+|\bRRID:\s?\w+"
    r"|\b(?:v|versions?|python|release)[:\s]*\d+(?:\.\d+)+|\bISBN[-:\s\d]+|\bISSN[-:\s\dXx]+|\barXiv:\s?[\d.]+",
    re.IGNORECASE,
)


_DATE_NUMBER = re.compile(r"(19\d\d|20\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6})?")
# Seconds, and their thousandths, since 1970, from 1990 to 2040: what clocks of computers count.
_CLOCK_SECONDS = (6.3e8, 2.21e9)


def looks_like(text: str) -> tuple[str, ...]:
    """Return the kinds of identifying things that a text seems to hold.

    Parameters
    ----------
    text : str

    Returns
    -------
    tuple of str
        Each kind once; empty for text in which nothing stands out.

    Examples
    --------
    >>> looks_like("scanned 2018-06-04 by jane@hospital.org")
    ('date', 'e-mail')
    >>> looks_like("shifted to 1901-06-04, see doi:10.18112/openneuro.ds000001.v1.0.0")
    ()
    """
    private = _PUBLIC.sub(" ", fold(text))
    is_dated = any(_is_recent(days) for _, _, days in days_in(private, CERTAIN))
    kinds = (kind for kind, pattern in _COMPILED.items() if pattern.search(private))
    return tuple(dict.fromkeys((*(["date"] if is_dated else []), *kinds)))


def is_spelled_day(text: str) -> bool:
    """Tell whether a text, or what stands in a cell, is a day and nothing else.

    Examples
    --------
    >>> [is_spelled_day(text) for text in ("4 Mar 78", "1978-063", "4 in 78", "1901-03-04")]
    [True, True, False, False]
    """
    folded = fold(text).strip()
    spelled = days_in(folded, CERTAIN + LIKELY)
    return any((0, len(folded)) == (start, end) and _is_recent(days) for start, end, days in spelled)


def _is_recent(days: set[date]) -> bool:
    return max(days).year >= FIRST_YEAR


def is_date_number(value: float) -> bool:
    """Tell whether a number reads as a date, such as 19780304 or 19780304193149.

    Examples
    --------
    >>> is_date_number(19780304), is_date_number(19781304)
    (True, False)
    """
    if not float(value).is_integer():
        return False
    match = _DATE_NUMBER.fullmatch(f"{abs(value):.0f}")
    return match is not None and int(match[1]) >= FIRST_YEAR


def is_moment(value: float) -> bool:
    """Tell whether a number reads as a date, or as the clock of a computer.

    Examples
    --------
    >>> is_moment(19780304), is_moment(1559638309.235), is_moment(1523411)
    (True, True, False)
    """
    first, last = _CLOCK_SECONDS
    return is_date_number(value) or any(first <= value / unit <= last for unit in (1, 1e3, 1e6))
