"""Which columns of a table tell who somebody is: by their names, and by the look of their values."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bidsdeface.privacy.looks import MONTH_NAME, is_moment, looks_like
from bidsdeface.privacy.policy import LARGEST_NUMBER

NOTHING = ("n/a", "")
LONGEST_VALUE, MOST_WORDS = 40, 5
# What stands for a place or a scanner without naming it: 1, A, 02.
_SITE_CODE = re.compile(r"[A-Za-z]?\d{0,2}")
_NAME_LIKE = re.compile(
    r"[^\W\d_a-z][^\W\d_]*[a-z][^\W\d_]*([ ,_-]+|, )[^\W\d_a-z][^\W\d_]*[a-z][^\W\d_]*\.?"
)
# A month, and a time of day: dates that stand for nothing else in a cell of their own.
_MONTH_OR_TIME = re.compile(
    rf"(19|20)\d\d[-/.](0[1-9]|1[0-2])|(0?[1-9]|1[0-2])[-/.](19|20)\d\d|{MONTH_NAME}[ .,-]+(19|20)\d\d"
    r"|(19|20)\d\d \d\d? \d\d?|\d\d? \d\d? (19|20)\d\d|([01]?\d|2[0-3]):[0-5]\d( ?[ap]\.?m\.?)?",
    re.IGNORECASE,
)
# Dr. Doe; J. Doe; Doe, J.: a title or an initial makes a name of any word.
_TITLED = re.compile(
    r"((Dr|Prof|Mr|Mrs|Herr|Frau|Mme)\.? |[A-Z]\. ?)[A-Z][^\W\d_]+|[A-Z][^\W\d_]+, ?[A-Z]\.?"
)
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
        address street city town village zip zipcode postcode postal county country hospital clinic
        institution institute university department ward latitude longitude lat lon residence birthplace
        employer nationality station phone telephone mobile tel fax email mail url website contact ip
        physician doctor operator radiologist technician experimenter examiner tester investigator
        interviewer referrer
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
# Words that say that it is a person who is named or numbered, and not a place, a device or a stimulus.
_OF_PERSONS = frozenset(
    re.findall(
        r"\w+",
        """
        surname firstname lastname forename fullname initials username nickname mrn ssn nhs cpr passport
        dob birthday birthdate birth
        physician doctor operator radiologist technician experimenter examiner tester investigator interviewer
        referrer nurse clinician responsible
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
_SITES = {"site", "sites", "center", "centre", "scanner"}


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
    return words == {"name"} or bool(words & _OF_PERSONS) or bool(words & _WHO and words & _CALLED)


def values_identify(column: str, values: Sequence[str], description: Mapping[str, Any] | None = None) -> bool:
    """Tell whether values look like dates, addresses, numbers or names of people, places or free text.

    Parameters
    ----------
    column : str
    values : sequence of str
    description : mapping, optional
        What the data dictionary says of the column: its levels are no free text, and numbers that have a
        unit are no record numbers.

    Returns
    -------
    bool
    """
    description = description or {}
    levels = description.get("Levels")
    described: Collection[str] = levels.keys() if isinstance(levels, Mapping) else ()
    told = [value for value in values if value not in NOTHING]
    distinct = set(told)
    if _SITES & set(tokens(column)) and not all(_SITE_CODE.fullmatch(value) for value in distinct):
        return True
    for value in distinct:
        if _NUMBER.fullmatch(value):
            if is_moment(number := float(value)) or (
                abs(number) >= LARGEST_NUMBER and not description.get("Units")
            ):
                return True
            continue
        if looks_like(value) or (_MONTH_OR_TIME.fullmatch(value) and not description.get("Units")):
            return True
        if value not in described and _TITLED.fullmatch(value):
            return True
        words = len(value.split())
        if value not in described and (words > MOST_WORDS or (words > 1 and len(value) > LONGEST_VALUE)):
            return True
    short = (value for value in distinct if value not in described and len(value) <= LONGEST_VALUE)
    people = {value for value in short if _NAME_LIKE.fullmatch(value)}
    return bool(people) and len(people) > len(told) / 2
