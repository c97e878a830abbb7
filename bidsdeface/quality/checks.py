"""From measures to the checks that failed."""

import math
from collections.abc import Collection, Mapping

from bidsdeface.errors import RegistrationError
from bidsdeface.quality.limits import CHECKS


def failed_checks(
    measures: Mapping[str, float], whole: bool = False, not_applicable: Collection[str] = ()
) -> dict[str, str]:
    """Return a message for each measure that speaks against a result; empty if none does.

    Parameters
    ----------
    measures : mapping of str to float
        Any of those of `CHECKS`.
    whole : bool
        Whether every measure that has a limit must be there.
    not_applicable : collection of str
        Those that need not be there all the same.
    """
    required = {check.measure for check in CHECKS if whole and check.limits} - set(not_applicable)
    values = {**dict.fromkeys(required, math.nan), **measures}
    judged = [check for check in CHECKS if check.decides(measures) and check.measure in values]
    failed = [(check, values[check.measure]) for check in judged if not check.is_met(values[check.measure])]
    return {check.measure: check.message(value) for check, value in failed}


def failed_without_brain(measures: Mapping[str, float]) -> dict[str, str]:
    """Return the checks that would fail if nothing were known of the scan's own brain."""
    return failed_checks({name: value for name, value in measures.items() if not name.startswith("brain_")})


class Rejected(RegistrationError):
    """A result that failed checks.

    Parameters
    ----------
    failed : mapping of str to str
        From `failed_checks`.
    measures : mapping of str to float
    """

    def __init__(self, failed: Mapping[str, str], measures: Mapping[str, float]) -> None:
        super().__init__(failed, measures)
        self.failed_checks = dict(failed)
        self.measures = dict(measures)

    def __str__(self) -> str:
        """Return all messages."""
        return "; ".join(self.failed_checks.values())
