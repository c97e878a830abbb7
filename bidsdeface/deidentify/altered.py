"""The two kinds of value that are altered: dates are shifted by whole days, and ages capped at 89 years.

Dates are shifted to before 1925, as BIDS asks, by a private offset for each participant. It is derived from
the key, so that separate runs agree and intervals stay; nobody can undo it without the key. Ages are capped
in their own unit; if that is not clear, no age is altered.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from bidsdeface.deidentify.values import is_number
from bidsdeface.errors import first_of
from bidsdeface.schema import MISSING

FIRST_TRUE_YEAR = 1925
# Dates of 1975 to 2099 are shifted to between 1700 and 1924: before the first true date of BIDS, and after
# 1677, the first year of pandas.
LEAST_DAYS, SPAN_DAYS = 64_100, 36_500
# A day, and optionally the time of day to any precision and its zone, in the spellings of ISO 8601.
_ISO = re.compile(
    r"(?P<day>\d{4}(?P<dash>-?)\d\d(?P=dash)\d\d)"
    r"(?P<rest>(?:[T ](?:[01]\d|2[0-4])(?::?[0-5]\d(?::?[0-6]\d(?:[.,]\d+)?)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?)"
)

OLDEST = 89  # HIPAA, 45 CFR 164.514(b)(2)(i)(C), by way of the validator's AGE_89
OLDEST_EVER = 120
_UNITS_PER_YEAR = {
    **dict.fromkeys(("year", "years", "y", "yr", "yrs"), 1.0),
    **dict.fromkeys(("month", "months", "mo", "mos"), 12.0),
    **dict.fromkeys(("week", "weeks", "wk", "wks"), 365.25 / 7),
    **dict.fromkeys(("day", "days", "d"), 365.25),
}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\+?")
_DICOM_AGE = re.compile(r"(\d{1,3})([DWMY])")  # three digits of months are 83 years at most


def day_offset(key: bytes, subject: str) -> int:
    """Return the number of days by which the dates of a participant are shifted back.

    Parameters
    ----------
    key : bytes
        Random bytes that stay private.
    subject : str
        Label without ``sub-``.

    Returns
    -------
    int
        The same for the same key and label.
    """
    digest = hmac.new(key, f"date offset of sub-{subject}".encode(), hashlib.sha256).digest()
    return LEAST_DAYS + int.from_bytes(digest[:8], "big") % SPAN_DAYS


def shift_back(text: str, days: int) -> str | None:
    """Shift a date and time of ISO 8601 back by whole days; everything after the day stays as it is.

    Parameters
    ----------
    text : str
        ``2018-06-04T19:31:49.235000``, with any fraction and zone or none, without a time too.
    days : int
        From `day_offset`.

    Returns
    -------
    str or None
        None for any other text. A date before 1925 has been shifted before, and stays as it is.

    Examples
    --------
    >>> shift_back("2018-06-04T19:31:49.235000+02:00", 64_100), shift_back("1890-01-01", 64_100)
    ('1842-12-04T19:31:49.235000+02:00', '1890-01-01')
    """
    with suppress(ValueError):  # no such day
        if match := _ISO.fullmatch(text.strip()):
            day = datetime.strptime(match["day"].replace("-", ""), "%Y%m%d").date()
            if day.year < FIRST_TRUE_YEAR:
                return text.strip()
            day -= timedelta(days=days)
            if day.year < FIRST_TRUE_YEAR:
                return day.isoformat().replace("-", match["dash"]) + match["rest"]
    return None


def cap_ages(values: Sequence[str], entry: Any) -> tuple[Sequence[str], str | None]:
    """Return ages of at most 89 years, in the unit that the data dictionary says.

    Parameters
    ----------
    values : sequence of str
    entry : mapping, optional
        The entry of the column in the data dictionary.

    Returns
    -------
    values : sequence of str
        Those that need no capping are as they were.
    reason : str or None
        Why the ages cannot be shared: their unit is not clear.

    Examples
    --------
    >>> cap_ages(["34", "93", "n/a"], {"Units": "years"}), cap_ages(["1104"], {"Units": "months"})
    ((['34', '89', 'n/a'], None), (['1068'], None))
    >>> cap_ages(["120"], {"Description": "age in months"})
    (['120'], 'its unit is not clear: give Units')
    """
    matches = {value: _AGE.fullmatch(value.strip()) for value in values if value not in MISSING}
    ages = {value: float(match[1]) for value, match in matches.items() if match}
    largest = max(ages.values(), default=0.0)
    per_year = _units_per_year(entry, largest)
    reasons = {
        "a value is no number, so that it cannot be capped: give numbers and Units": len(ages) < len(matches),
        "its unit is not clear: give Units": per_year is None and largest > OLDEST,
    }
    if reason := first_of(reasons):
        return values, reason
    oldest = round(OLDEST * (per_year or 1.0))  # if the unit is not clear, no value needs capping
    # "89+" says no more than 89, and is no number.
    return [
        f"{oldest}" if value in ages and (ages[value] > oldest or value.strip().endswith("+")) else value
        for value in values
    ], None


def cap_age(value: Any) -> Any:
    """Return the age in a sidecar, capped at 89 years, as a number of years or as in DICOM; or None.

    Examples
    --------
    >>> cap_age(34.5), cap_age(112), cap_age("018M"), cap_age("095Y"), cap_age("old")
    (34.5, 89, '018M', '089Y', None)
    """
    if isinstance(value, str) and (match := _DICOM_AGE.fullmatch(value.strip())):
        return f"{OLDEST:03}Y" if match[2] == "Y" and int(match[1]) > OLDEST else value
    return min(value, OLDEST) if is_number(value) and 0 <= value <= OLDEST_EVER else None


def _units_per_year(entry: Any, largest: float) -> float | None:
    """Return how many units of age a year has, if that is clear."""
    if not isinstance(entry, Mapping):
        return 1.0 if largest <= OLDEST_EVER else None
    if units := entry.get("Units"):
        return _UNITS_PER_YEAR.get(str(units).strip().casefold())
    said = re.findall(r"[a-z]+", f"{entry.get('LongName', '')} {entry.get('Description', '')}".casefold())
    known = {_UNITS_PER_YEAR[word] for word in said if len(word) > 1 and word in _UNITS_PER_YEAR}
    return 1.0 if known == {1.0} and largest <= OLDEST_EVER else None
