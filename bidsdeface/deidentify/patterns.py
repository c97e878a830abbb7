"""Patterns of identifying text: dates, e-mails, telephones, record numbers, paths.

A name in plain words looks like any other word. It is found by `identifiers`, and only if the dataset has it
in a field about a person.
"""

import re
import unicodedata
from contextlib import suppress
from datetime import date

LARGEST_NUMBER = 1e5  # where nothing gives a range; a date as a number (20261122) is larger
FIRST_YEAR = 1926  # scans of living people; dates that are shifted as BIDS asks come before, and pass
LONGEST_NUMBER = 7  # digits of a label; study numbers are shorter than dates and most record numbers
# Sessions are often named by their day: 180604 or 040618.
SHORT_DATE = r"(?:\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])|(?:[0-2]\d|3[01])(?:0[1-9]|1[0-2])\d\d)"
LOCAL = ("home folder", "path", "intranet link")
# Kinds that no kept text may hold, whatever the text is about.
PERSONAL = (
    "name with a title",
    "name of a person",
    "e-mail",
    "telephone",
    "person's number",
    "record number",
    "date of birth",
    *LOCAL,
)
# Kinds for which a README or another text of the dataset waits until a person accepts it.
WAITING = ("person's number", "record number", "date of birth")

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_MONTH = rf"(?P<name>{_MONTHS})[a-z]*"
_YEAR, _NUMBER, _DAY = (
    r"(?P<year>(?:1[6-9]|20)\d\d)",
    r"(?P<month>0?[1-9]|1[0-2])",
    r"(?P<day>0?[1-9]|[12]\d|3[01])",
)
_DATES = [
    re.compile(rf"(?<!\d)(?<!\d\.){spelling}(?!\d)", re.IGNORECASE)
    for spelling in (
        rf"{_YEAR}(?P<gap>[-/._]){_NUMBER}(?P=gap){_DAY}",
        rf"{_YEAR}(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])(?:[T_-]?\d{{4,6}}(?:\.\d+)?)?",
        rf"{_DAY}(?P<gap>[-/.]){_NUMBER}(?P=gap){_YEAR}",
        rf"{_NUMBER}(?P<gap>[-/.]){_DAY}(?P=gap){_YEAR}",
        rf"{_DAY}(?:st|nd|rd|th)?(?: of)?[ ./-]{{0,2}}{_MONTH}[ .,/-]{{0,3}}{_YEAR}",
        rf"{_MONTH}[ .]{{0,2}}{_DAY}(?:st|nd|rd|th)?,? {_YEAR}",
        rf"{_YEAR}年{_NUMBER}月{_DAY}(?=日)",
    )
]
# Folders at which the disks of laboratories and hospitals begin.
_ROOTS = (
    "mnt|media|data|srv|net|nas|nfs|scratch|shares?|vol|volumes|projects?|groups?|storage|gpfs|lustre|beegfs"
    "|archive|export|cluster"
)
_NUMBER_OF = (
    r"(?:patient(?:en)?|pat|hospital|medical record|fall|kis|akten)[. -]{0,2}(?:id|nr|no|number|nummer)"
)
_NATIONAL = (
    "ssn|social security|nhs|nir|pesel|cpf|dni|bsn|aadhaar|personnummer|personnr"
    "|f[oø]dselsnummer|fnr|ahv|hetu"
)
# Four digits or more that do not begin with a year.
_ITS_NUMBER = (
    r"(?i:\s?(?:id|nr|no|number|nummer))?[.:# ]{1,5}[A-Za-z-]{0,5}(?!(?:19|20)\d\d\b)\d(?:[ .-]?\d){3}"
)
# Repetitions have an end, or a beginning at which alone they are tried: a long text takes one pass.
_PATTERNS = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "time of day": r"(?<![\d:])(?:[01]?\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?![\d:])",
        # Upper and lower case count: MR, MS and DR are terms of the field.
        "name with a title": r"\b(?:(?:Dr|Prof|Professor|Mr|Mrs|Ms|Herr|Frau|Mme|Mlle)\b\.?|(?:DR|PROF)\.)"
        r"(?:\s?(?:Dr|med|rer|nat|phil|[A-Z])\b\.?)*\s?[^\W\d_a-z][\w'\u2019-]",
        "name of a person": r"(?<![\w'-])[^\W\d_][\w'-]+\^[^\W\d_][\w'-]",
        "e-mail": r"(?<![\w.+-])[\w.+-]+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
        "telephone": r"(?<![\w.])\+\d(?:[ ()./-]{0,3}\d){7,14}"
        r"|(?<![\w.-])\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?![\w.-])"
        r"|(?<![\w./-])0\d{1,4}[/ -]\d{5,8}(?![\w./-])|(?<![\w.])0\d(?:[ .]\d\d){4}(?![\w.])"
        r"|(?i:tel|phone|fax|mobile)\w{0,20}[.: ]{1,5}[\d+(][\d ()./-]{5,20}\d",
        # Social security (US), days of birth with four more signs (Nordic countries), and the numbers of
        # Italy and China; others where their name is said.
        "person's number": r"(?<![\w.-])(?:(?:\d{3}-\d{2}|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d"
        r"|(?:19|20)?\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))-\d{4}|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d[-+A]\d{3}[0-9A-Z]"
        r"|[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z]|\d{6}(?:19|20)\d\d(?:0[1-9]|1[0-2])[0-3]\d{4}[\dXx])(?![\w.-])"
        rf"|\b(?i:{_NATIONAL})\b{_ITS_NUMBER}(?:[ .-]?\d){{4}}",
        "record number": rf"\b(?i:mrn|{_NUMBER_OF})s?{_ITS_NUMBER}",
        "unique number": r"(?<![\w.])[0-2](?:\.\d{1,39}){6,20}(?![\w.])"
        r"|(?i:\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)",
        "long number": r"(?<![\w.+/-])\d{6,}(?:\.\d+)?(?!\w|\.\d)"
        r"|(?<![A-Za-z0-9.])[A-Z]{1,4}[-_ ]?\d{5,}(?!\w|\.\d)",
        "home folder": r"/(?:home|Users)/[^/\s\"']+|[A-Za-z]:\\Users\\[^\\\s\"']+|(?<![\w~])~[a-z][\w.-]*/",
        "path": rf"(?<![\w:./~-])/(?:{_ROOTS}|Volumes)/[\w.-]+|(?<![A-Za-z])[A-Za-z]:[\\/](?!/)\w"
        r"|(?<![\w\\])\\\\[A-Za-z][\w.-]*\\[\w$]|\bfile:/",
        # A host without a top-level domain of the public net.
        "intranet link": r"(?i:\b(?:smb|nfs|afp)://\w|\b(?:https?|s?ftp|ssh)://(?:[^\s/@]*@)?(?:localhost|[\w-]+"
        r"|(?:\d{1,3}\.){3}\d{1,3}|[\w.-]+\.(?:(?!xn--)\w+-[\w-]+"
        r"|local|localdomain|lan|intern|internal|intranet|corp|home|private))(?::\d+)?(?![\w.-]))",
    }.items()
}
_BORN = re.compile(
    r"\b(?:born|birth(?:\s?(?:date|day))?|date of birth|dob|geb(?:oren)?|nee|nacid[oa]|nat[oa])\b"
    r"(?!\W*(?:cohort|weight|rate|order|year))\D{0,12}",
    re.IGNORECASE,
)
# After such a word, a day in any language: 4.3.78, 7. Mai 1978, 5 août 1979.
_ANY_DAY = re.compile(
    r"(?<!\d)(?:0?[1-9]|[12]\d|3[01])(?:[ ./-]{1,2}(?:0?[1-9]|1[0-2])[ ./-]{1,2}(?:\d\d){1,2}"
    rf"|[ .-]{{1,2}}(?:de )?(?:{_MONTHS}|mai|okt|dez|ene|abr|ago|set|dic|fev|avr|aou|juin|juil|gen"
    r"|mag|giu|lug|ott|maj|mei|mrt)[^\W\d_]{0,9}\.? (?:de )?\d{4})(?!\d)",
    re.IGNORECASE,
)
# Numbers of publications and other public things, which look like record numbers.
_PUBLIC = re.compile(
    r"https?://[\w-]+(?:\.[\w-]+)+/[\w./#?=&%~-]*|(?:doi:\s*)?\b10\.\d{4,9}/[-._;()/:\w]+|\bPM(?:ID|C):?\s*\d+"
    r"|\bRRID:\s?\w+|\b(?:v|versions?|python|release)[:\s]*\d+(?:\.\d+)+|\bISBN[-:\s\d]+|\bISSN[-:\s\dXx]+"
    r"|\barXiv:\s?[\d.]+|\b\d{4}-\d{4}-\d{4}-\d{3}[\dX]\b",
    re.IGNORECASE,
)
_PRIVATE_HOST = re.compile(
    r"https?://\d+(?:\.\d+){3}|\.(?:local|lan|intranet|internal|corp|home)/", re.IGNORECASE
)
# Letters with a stroke and the like, which have no accent to remove.
_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "Ae"} | dict(zip("łŁøØđĐı", "lLoOdDi", strict=True)))
_DIGITS = re.compile(r"\d.*\d.*\d", re.DOTALL)
_DATE_NUMBER = re.compile(r"((?:19|20)\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6})?")


def find_pii(text: str) -> tuple[str, ...]:
    """Return the kinds of personal information that a text seems to hold.

    Parameters
    ----------
    text : str

    Returns
    -------
    tuple of str
        Each kind once; empty for text in which nothing stands out.

    Examples
    --------
    >>> find_pii("scanned 2018-06-04 by jane@hospital.org")
    ('date', 'e-mail')
    >>> find_pii("shifted to 1901-06-04, see doi:10.18112/openneuro.ds000001.v1.0.0")
    ()
    """
    private = unaccented(_PUBLIC.sub(lambda match: match[0] if _PRIVATE_HOST.search(match[0]) else " ", text))
    after = [private[match.end() : match.end() + 24] for match in _BORN.finditer(private)]
    found = {
        "date": any(day.year >= FIRST_YEAR for _, day in dates_in(private)),
        "date of birth": any(dates_in(text) or _ANY_DAY.match(text) for text in after),
        **{kind: pattern.search(private) for kind, pattern in _PATTERNS.items()},
    }
    return tuple(kind for kind, is_found in found.items() if is_found)


def dates_in(text: str) -> list[tuple[int, date]]:
    """Return the calendar days in a text with their positions: ISO, numbers, English months.

    Examples
    --------
    >>> [str(day) for _, day in dates_in("born 4th of March 1978, scanned 20190312")]
    ['1978-03-04', '2019-03-12']
    """
    days = []
    for spelling in _DATES if _DIGITS.search(text) else ():
        for match in spelling.finditer(text):
            parts = match.groupdict()
            month = parts.get("month") or _MONTHS.split("|").index(parts["name"].lower()) + 1
            with suppress(ValueError):  # no such day
                days.append((match.start(), date(int(parts["year"]), int(month), int(parts["day"]))))
    return sorted(days)


def unaccented(text: str) -> str:
    """Return a text without accents and invisible characters, and with ASCII dashes.

    Examples
    --------
    >>> unaccented("M\u00fcller"), unaccented("1978\u201103\u201104"), unaccented("Mu\u0308l\u00adler")
    ('Muller', '1978-03-04', 'Muller')
    """
    if text.isascii():
        return text
    dashed = re.sub("[\u2010-\u2013\u2212]", "-", text.replace("\u2014", " "))
    spread = unicodedata.normalize("NFKD", dashed).translate(_LETTERS)
    return "".join(letter for letter in spread if unicodedata.category(letter) not in ("Mn", "Cf"))


def is_date_number(value: float) -> bool:
    """Return True if a number reads as a date, such as 19780304 or 19780304193149.

    Examples
    --------
    >>> is_date_number(19780304), is_date_number(19781304)
    (True, False)
    """
    match = _DATE_NUMBER.fullmatch(f"{abs(value):.0f}") if float(value).is_integer() else None
    return match is not None and int(match[1]) >= FIRST_YEAR


def is_timestamp(value: float) -> bool:
    """Return True if a number reads as a date, or as the clock of a computer.

    Examples
    --------
    >>> is_timestamp(19780304), is_timestamp(1559638309.235), is_timestamp(1523411)
    (True, True, False)
    """
    # Seconds since 1970, or thousandths or millionths of them, from 1990 to 2040.
    return is_date_number(value) or any(6.3e8 <= value / unit <= 2.21e9 for unit in (1, 1e3, 1e6))
