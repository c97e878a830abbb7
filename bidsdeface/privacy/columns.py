"""Which columns of a table tell who somebody is: by their names, and by the look of their values."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bidsdeface.privacy.days import MONTHS
from bidsdeface.privacy.folding import fold
from bidsdeface.privacy.looks import is_moment, is_spelled_day, looks_like
from bidsdeface.privacy.names import are_names, is_titled
from bidsdeface.privacy.values import LARGEST_NUMBER

NOTHING = ("n/a", "")
LONGEST_VALUE, MOST_WORDS = 40, 5
# What stands for a place or a scanner without naming it: 1, A, 02.
_SITE_CODE = re.compile(r"[A-Za-z]?\d{0,2}")
# A month, and a time of day: dates that stand for nothing else in a cell of their own.
_FULL_YEAR, _NAME_OF_MONTH = r"(?:19|20)\d\d", f"(?:{'|'.join(MONTHS)})"
_MONTH_OR_TIME = re.compile(
    rf"{_FULL_YEAR}[-/._](0?[1-9]|1[0-2])|(0?[1-9]|1[0-2])[-/._]{_FULL_YEAR}"
    rf"|{_NAME_OF_MONTH}[ .,_/-]+({_FULL_YEAR}|'?\d\d)|{_FULL_YEAR}[ .,_/-]+{_NAME_OF_MONTH}"
    rf"|{_FULL_YEAR} \d\d? \d\d?|\d\d? \d\d? {_FULL_YEAR}"
    r"|([01]?\d|2[0-3]):[0-5]\d( ?[ap]\.?m\.?)?|([01]\d|2[0-3])h[0-5]\d",
    re.IGNORECASE,
)
# 040378, 093005.1234: a number never begins so; a day, a time or a code does. Those of 0 and 1 are bits.
_LED_BY_ZERO = re.compile(r"(?=.*[2-9])0\d{5,}(\.\d+)?")
_DAY_AS_DECIMAL = re.compile(rf"{_FULL_YEAR}\.(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

# Words that tell in any company.
_ALWAYS = frozenset(
    re.findall(
        r"\w+",
        """
        names surname firstname lastname forename fullname initials username nickname
        mrn ssn nhs cpr passport licence license insurance medicare medicaid
        id ids identifier guid uuid uid accession barcode pseudonym serial
        date dates dob birthday birthdate yob datetime timestamp deathdate born admission discharge
        address street city town suburb village zip zipcode postcode postal county country hospital clinic
        institution institute university department ward latitude longitude lat lon residence birthplace
        employer nationality station phone telephone mobile tel fax email mail url website contact ip
        physician doctor operator radiologist technician experimenter examiner tester investigator
        interviewer referrer consultant radiographer surgeon psychologist psychiatrist therapist supervisor
        nachname vorname familienname geburtsname geburtsdatum geburtstag geburtsort geb geboren initialen
        datum adresse strasse straße wohnort plz stadt klinik krankenhaus telefon bemerkung kommentar
        arzt nom prénom prenom adresse ville hôpital hopital naissance téléphone commentaire médecin
        nombre apellido apellidos fecha nacimiento dirección direccion ciudad teléfono telefono comentario
        cognome nascita indirizzo achternaam voornaam geboortedatum adres woonplaats
        nurse clinician comment comments note notes remark remarks memo diary photo fingerprint
        """,
    )
)
# Words that tell by themselves, and else in the company given, if any.
_ALONE = {
    "name": "first last full family given middle maiden patient subject participant person mother father "
    "child user kin scanner",
    "birth": "day year month place time name",
    "year": "birth scan visit exam study",
    "time": "acq acquisition scan visit start study clock exam session death",
    "number": "record medical patient hospital security case file",
    "no": "record medical patient hospital case file",
    "code": "patient subject participant person area",
    "location": "home scan scanner birth site",
    "record": "medical patient hospital",
    "place": "home scan site",
    **dict.fromkeys(("text", "face", "voice", "history", "school"), ""),
}
# Words that are written together, or cut short: what is named or numbered, and its name or number.
_GLUED = re.compile(
    r"(patient(en)?|participant|proband(en)?|subject|subj|person|pt|pat)(names?|ids?|no|nr|num|number|nummer|initials)"
    r"|(hospital|hosp|clinic|study|case|record|fall|akten?|medical|nhs|insurance)(ids?|no|nr|num|number|nummer|zeichen)"
    r"|(birth|geburts?)(year|date|day|month|place|name|jahr|datum|tag|monat|ort)"
    r"|(year|date|day|month|place)of(birth|scan|visit|death)"
    r"|(family|first|last|full|given|maiden|middle)name\d?|home(address|town|phone)|phone(no|number)"
    r"|(scanned|tested|rated|examined|assessed|entered)by"
)
# Words that say that it is a person who is named or numbered, and not a place, a device or a stimulus.
_OF_PERSONS = frozenset(
    re.findall(
        r"\w+",
        """
        surname firstname lastname forename fullname initials username nickname mrn ssn nhs cpr passport
        dob birthday birthdate birth
        physician doctor operator radiologist technician experimenter examiner tester investigator interviewer
        referrer nurse clinician responsible consultant radiographer surgeon psychologist psychiatrist
        therapist supervisor
        nachname vorname familienname geburtsname geburtsdatum geburtstag geboren geb initialen arzt
        nom prénom prenom naissance médecin apellido apellidos nacimiento cognome nascita achternaam voornaam
        geboortedatum
        """,
    )
)
_WHO = frozenset(
    [
        "patient",
        "subject",
        "participant",
        "person",
        "mother",
        "father",
        "child",
        "user",
        "first",
        "last",
        "family",
    ]
)
_CALLED = frozenset(["name", "id", "number", "no", "record"])
_COMPANY = {word: frozenset(others.split()) for word, others in _ALONE.items()}
# What may be told by a code alone: where somebody was, and who looked.
_SITES = {"site", "sites", "center", "centre", "scanner"}
_RATERS = {"rater", "raters", "scorer", "coder", "assessor", "referral"}


def tokens(column: str) -> list[str]:
    """Split the name of a column into words.

    Examples
    --------
    >>> tokens("dateOfBirth"), tokens("age_at_scan"), tokens("MRN")
    (['date', 'of', 'birth'], ['age', 'at', 'scan'], ['mrn'])
    """
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+", column)
    return [part.lower() for part in parts]


def names_a_person(column: str) -> bool:
    """Tell whether the name of a column says that it names, numbers, dates or places a person.

    Examples
    --------
    >>> [names_a_person(column) for column in ("dateOfBirth", "mrn", "home_address", "comments")]
    [True, True, True, True]
    >>> [names_a_person(column) for column in ("group", "reaction_time", "birth_weight", "trail_b")]
    [False, False, False, False]
    """
    words = tokens(column)
    if len(words) == 1 and words[0] in _COMPANY and words[0] not in ("time", "number", "no", "year"):
        return True
    company = set(words)
    pairs = (one + other for one, other in zip(words, words[1:], strict=False))
    if any(_GLUED.fullmatch(one) for one in (*words, *pairs, "".join(words))):
        return True
    return bool(company & _ALWAYS) or any(company & _COMPANY.get(word, frozenset()) for word in words)


def is_about_a_person(name: str) -> bool:
    """Tell whether the name of a column or a field says that it names or numbers a person, or when born.

    Examples
    --------
    >>> [is_about_a_person(one) for one in ("PatientName", "OperatorsName", "dob", "name")]
    [True, True, True, True]
    >>> [is_about_a_person(one) for one in ("StationName", "stim_id", "comments", "PatientWeight")]
    [False, False, False, False]
    """
    words = {word if word in _OF_PERSONS else word.removesuffix("s") for word in tokens(name)}
    if _GLUED.fullmatch("".join(tokens(name))):
        return True
    return words == {"name"} or bool(words & _OF_PERSONS) or bool(words & _WHO and words & _CALLED)


def values_identify(
    column: str,
    values: Sequence[str],
    description: Mapping[str, Any] | None = None,
    *,
    of_people: bool = False,
) -> bool:
    """Tell whether values look like dates, addresses, numbers or names of people, places or free text.

    Parameters
    ----------
    column : str
    values : sequence of str
    description : mapping, optional
        What the data dictionary says of the column: its levels are no free text, and numbers that have a
        unit are no record numbers.
    of_people : bool, optional
        Whether each row is about a person: then what is mostly different, and of the form of a name, is one.

    Returns
    -------
    bool
    """
    description = description or {}
    levels = description.get("Levels")
    described: Collection[str] = levels.keys() if isinstance(levels, Mapping) else ()
    told = [fold(value).strip() for value in values if value not in NOTHING]
    distinct = set(told)
    has_unit = bool(description.get("Units"))
    words = set(tokens(column))
    is_coded = words & _SITES or (len(words) == 1 and words <= _RATERS)
    if is_coded and not all(_SITE_CODE.fullmatch(value) for value in distinct):
        return True
    if distinct and all(_DAY_AS_DECIMAL.fullmatch(value) for value in distinct):
        return True
    if any(_tells(value, value in described, has_unit) for value in distinct):
        return True
    return are_names([value for value in told if value not in described], len(told), of_people)


def _tells(value: str, is_described: bool, has_unit: bool) -> bool:
    """Tell whether a single value is enough to drop its column."""
    if _LED_BY_ZERO.fullmatch(value):
        return True
    if _NUMBER.fullmatch(value):
        number = float(value)
        return is_moment(number) or (abs(number) >= LARGEST_NUMBER and not has_unit)
    if looks_like(value) or is_spelled_day(value) or (_MONTH_OR_TIME.fullmatch(value) and not has_unit):
        return True
    words = len(value.split())
    is_prose = words > MOST_WORDS or (words > 1 and len(value) > LONGEST_VALUE)
    return is_titled(value) or (is_prose and not is_described)
