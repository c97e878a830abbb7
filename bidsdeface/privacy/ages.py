"""Cap ages at 89 years, in the unit that they are in: where that is not clear, no age is altered."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bidsdeface.schema import MISSING

OLDEST = 89  # HIPAA, 45 CFR 164.514(b)(2)(i)(C), by way of the validator's AGE_89
OLDEST_EVER = 120
_UNITS_PER_YEAR = {
    **dict.fromkeys(("year", "years", "y", "yr", "yrs"), 1.0),
    **dict.fromkeys(("month", "months", "mo", "mos"), 12.0),
    **dict.fromkeys(("week", "weeks", "wk", "wks"), 365.25 / 7),
    **dict.fromkeys(("day", "days", "d"), 365.25),
}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\+?")


def cap_ages(values: Sequence[str], entry: Any) -> tuple[Sequence[str], str | None]:
    """Return ages of at most 89 years, in the unit that the data dictionary says.

    Parameters
    ----------
    values : sequence of str
    entry : mapping, optional
        What the data dictionary says of the column.

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
    if len(ages) < len(matches):
        return values, "a value is no number, so that it cannot be capped: give numbers and Units"
    if per_year is None and largest > OLDEST:
        return values, "its unit is not clear: give Units"
    per_year = per_year or 1.0  # no value needs capping, whatever the unit
    oldest = round(OLDEST * per_year)
    # "89+" says no more than 89, and is no number.
    capped = (
        f"{oldest}" if value in ages and (ages[value] > oldest or value.strip().endswith("+")) else value
        for value in values
    )
    return list(capped), None


def _units_per_year(entry: Any, largest: float) -> float | None:
    """Return how many units of age a year has, if that is clear."""
    if not isinstance(entry, Mapping):
        return 1.0 if largest <= OLDEST_EVER else None
    if units := entry.get("Units"):
        return _UNITS_PER_YEAR.get(str(units).strip().casefold())
    said = re.findall(r"[a-z]+", f"{entry.get('LongName', '')} {entry.get('Description', '')}".casefold())
    known = {_UNITS_PER_YEAR[word] for word in said if len(word) > 1 and word in _UNITS_PER_YEAR}
    return 1.0 if known == {1.0} and largest <= OLDEST_EVER else None
