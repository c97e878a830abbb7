"""What text looks like that may tell who, where or when: dates, times, e-mails, telephones, record numbers.

Patterns only: a name in plain words looks like any other word, and is found nowhere here.
"""

import re
import unicodedata

# Scans of living people; dates shifted to before 1926, as BIDS asks, pass.
_YEAR = r"(?:19(?:2[6-9]|[3-9]\d)|20\d\d)"
_MONTH, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
# English, German, French, Spanish, Italian and Dutch.
MONTH_NAME = (
    r"(?:jan(?:uary|uar|vier)?|jänner|enero|gennaio|januari|feb(?:ruary|ruar|braio|rero|ruari)?|févr?(?:ier)?"
    r"|mar(?:ch|s|zo)?|märz?|maart|mrt|apr(?:il|ile)?|avr(?:il)?|abr(?:il)?|may|mai|mayo|mei|maggio"
    r"|june?|juni|juin|junio|giugno|july?|juli|juil(?:let)?|julio|luglio|aug(?:ust|ustus)?|août|ago(?:sto)?"
    r"|sept?(?:ember|embre|tembre|iembre)?|sett(?:embre)?|o[ck]t(?:ober|obre|ubre)?|ott(?:obre)?"
    r"|nov(?:ember|embre|iembre)?|de[cz](?:ember)?|déc(?:embre)?|dic(?:iembre|embre)?)\b"
)

_PATTERNS = {
    "date": rf"(?<!\d){_YEAR}([-/._]){_MONTH}\1{_DAY}(?!\d)"
    rf"|(?<!\d){_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{{6}})?(?!\d)"
    rf"|(?<![\d.]){_DAY}([-/.]){_MONTH}\2(?:{_YEAR}|\d\d)(?![\d.])"
    rf"|(?<![\d.]){_MONTH}([-/.]){_DAY}\3(?:{_YEAR}|\d\d)(?![\d.])"
    rf"|\b{_DAY}(?:st|nd|rd|th|er)?[\s.-]+(?:de )?{MONTH_NAME}[\s.,-]+(?:de )?{_YEAR}\b"
    rf"|(?<!\d){_YEAR}\s?[年년]\s?{_MONTH}"
    rf"|\b{MONTH_NAME}\.?\s+{_DAY}(?:st|nd|rd|th)?,?\s+{_YEAR}\b",
    "time of day": r"(?<![\d:])(?:[01]?\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?![\d:])",
    "e-mail": r"(?<![\w.+-])[\w.+-]+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
    "telephone": r"(?<![\w.])\+\d[\d ()./-]{7,20}\d|(?<![\w.-])\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?![\w.-])"
    r"|(?:tel|phone|fax|mobile)\w{0,20}[.: ]{1,5}[\d+(][\d ()./-]{5,20}\d",
    "person's number": r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w.-])|(?<![\w.-])\d{6}-\d{3,4}(?![\w.-])",
    "unique number": r"(?<![\w.])[0-2](?:\.\d{1,39}){6,20}(?![\w.])"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    "record number": r"(?<![\w.+/-])\d{6,}(?![\w.])|(?<![A-Za-z0-9.])[A-Z]{1,4}[-_ ]?\d{5,}(?![\w.])"
    r"|\b(?:mrn|patient ?id|case ?no|accession|record)\w{0,20}[.:# ]{1,5}\w{0,20}\d\w",
    "name of a person": r"(?<![\w'-])[^\W\d_][\w'-]+\^[^\W\d_][\w'-]",
    "home folder": r"/(?:home|Users)/[^/\s\"']+|[A-Za-z]:\\Users\\[^\\\s\"']+",
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


_HYPHENS = dict.fromkeys(map(ord, "\u2010\u2012\u2013\u2014\u2212"), "-")  # NFKC makes U+2011 U+2010
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
    private = _PUBLIC.sub(" ", unicodedata.normalize("NFKC", text).translate(_HYPHENS))
    return tuple(kind for kind, pattern in _COMPILED.items() if pattern.search(private))


def is_date_number(value: float) -> bool:
    """Tell whether a number reads as a date, such as 19780304 or 19780304193149.

    Examples
    --------
    >>> is_date_number(19780304), is_date_number(19781304)
    (True, False)
    """
    return float(value).is_integer() and _COMPILED["date"].fullmatch(f"{abs(value):.0f}") is not None


def is_moment(value: float) -> bool:
    """Tell whether a number reads as a date, or as the clock of a computer.

    Examples
    --------
    >>> is_moment(19780304), is_moment(1559638309.235), is_moment(1523411)
    (True, True, False)
    """
    first, last = _CLOCK_SECONDS
    return is_date_number(value) or any(first <= value / unit <= last for unit in (1, 1e3, 1e6))
