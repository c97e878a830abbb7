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
_DATETIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d)(\.\d{1,6})?Z?)?")


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
    """Return a date and time of BIDS, shifted; the time of day stays.

    Parameters
    ----------
    text : str
        ``2018-06-04T19:31:49.235000``; without a time, midnight.
    days : int
        From `day_offset`.

    Returns
    -------
    str or None
        None for what is no such date, or lies after 1924 even so.

    Examples
    --------
    >>> shift_back("2018-06-04T19:31:49.235000", 64_100)
    '1842-12-04T19:31:49.235000'
    """
    match = _DATETIME.fullmatch(text.strip())
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00:00'}") - timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    if moment.year >= FIRST_YEAR_TOLD:
        return None
    return moment.isoformat(timespec="seconds") + (match[3] or "")
