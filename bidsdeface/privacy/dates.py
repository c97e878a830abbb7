"""Shift dates by whole days: back before 1925, as BIDS asks, by one private offset for each participant.

The offset comes from the key alone, so that sessions run apart agree and intervals stay; who has no key
cannot take it back.
"""

import hashlib
import hmac
import re
from datetime import datetime, timedelta

from bidsdeface.errors import UsageError

KEY_BYTES = 32
FIRST_YEAR_TOLD = 1925
# Scans of 1975 to 2099 come to lie between 1700 and 1924: before what BIDS takes for a true date,
# and after 1677, where pandas ends.
LEAST_DAYS, SPAN_DAYS = 64_100, 36_500
# A day, and what may follow it: the time of day to any precision, and its zone, as ISO 8601 spells them.
_ISO = re.compile(
    r"(?P<day>\d{4}(?P<dash>-?)\d\d(?P=dash)\d\d)"
    r"(?P<rest>(?:[T ](?:[01]\d|2[0-4])(?::?[0-5]\d(?::?[0-6]\d(?:[.,]\d+)?)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?)"
)


def day_offset(key: bytes, subject: str) -> int:
    """Return by how many days the dates of a participant go back.

    Parameters
    ----------
    key : bytes
        `KEY_BYTES` random bytes that stay private.
    subject : str
        Label without ``sub-``.

    Returns
    -------
    int
        The same for the same key and label.

    Raises
    ------
    UsageError
        The key is of another length.
    """
    if len(key) != KEY_BYTES:
        raise UsageError(f"the private key has {len(key)} bytes, not {KEY_BYTES}; remove it and start anew")
    digest = hmac.new(key, f"date offset of sub-{subject}".encode(), hashlib.sha256).digest()
    return LEAST_DAYS + int.from_bytes(digest[:8], "big") % SPAN_DAYS


def shift_back(text: str, days: int) -> str | None:
    """Return a date and time of ISO 8601, earlier by whole days; all that follows the day stays as it is.

    Parameters
    ----------
    text : str
        ``2018-06-04T19:31:49.235000``, with any fraction and zone or none, without a time too.
    days : int
        From `day_offset`.

    Returns
    -------
    str or None
        None for what is no such date. One before 1925 has been shifted before: it stays as it is.

    Examples
    --------
    >>> shift_back("2018-06-04T19:31:49.235000+02:00", 64_100), shift_back("1890-01-01", 64_100)
    ('1842-12-04T19:31:49.235000+02:00', '1890-01-01')
    """
    match = _ISO.fullmatch(text.strip())
    if match is None:
        return None
    try:
        day = datetime.strptime(match["day"].replace("-", ""), "%Y%m%d").date()
    except ValueError:  # no such day
        return None
    if day.year < FIRST_YEAR_TOLD:
        return text.strip()
    day -= timedelta(days=days)
    if day.year >= FIRST_YEAR_TOLD:
        return None
    dash = match["dash"]
    return f"{day.year:04}{dash}{day.month:02}{dash}{day.day:02}{match['rest']}"
