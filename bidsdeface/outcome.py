"""What becomes of a scan, and the end of one that failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bidsdeface.dataset.publish import withdraw
from bidsdeface.dataset.scan import Scan
from bidsdeface.errors import BidsdefaceError
from bidsdeface.exits import Exit, code_of_run, worst
from bidsdeface.settings import DERIVATIVES

PASSED, NO_FACE, BY_HAND, ACCEPTED = "passed", "no-face", "by hand", "accepted"
FAILED, KEPT = "failed", "kept"


@dataclass(frozen=True)
class Outcome:
    """What became of a scan.

    Attributes
    ----------
    scan : str
        Its stem, such as ``sub-01_T1w``.
    verdict : str
        ``passed``; ``no-face``, published as it is; ``by hand``, published with the mask that a person
        drew; ``accepted``, published because a person says so; ``failed``, nothing is published; ``kept``,
        an earlier run's result still holds.
    reasons : tuple of str
        Why it failed, in words.
    measures : dict
        What was measured, by the names of the sidecar.
    failed_checks : tuple of str
        Names of the measures that spoke against it, as in the sidecar; if it is ``accepted``, those that a
        person has overruled.
    cause : Exit
        If it failed, the exit code that says why.
    """

    scan: str
    verdict: str
    reasons: tuple[str, ...] = ()
    measures: dict[str, Any] = field(default_factory=dict)
    failed_checks: tuple[str, ...] = ()
    cause: Exit = Exit.FAILED

    @property
    def code(self) -> Exit:
        """The exit code of a run of this scan alone."""
        return self.cause if self.verdict == FAILED else Exit.DONE


def fail(
    scan: Scan, reason: str, output_dir: Path, layout: str = DERIVATIVES, cause: Exit = Exit.FAILED
) -> Outcome:
    """Withdraw a scan's older result, and return the failure with its reasons."""
    try:
        withdraw(output_dir, scan, layout)
    except BidsdefaceError as error:
        reasons = (reason, f"its older result could not be removed: {error}")
        return Outcome(scan.stem, FAILED, reasons, cause=worst({cause, code_of_run(error)}))
    return Outcome(scan.stem, FAILED, (reason,), cause=cause)
