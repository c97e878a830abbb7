"""What became of a scan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PASSED, BY_HAND, FAILED, KEPT = "passed", "by hand", "failed", "kept"


@dataclass(frozen=True)
class Outcome:
    """What became of a scan.

    Attributes
    ----------
    scan : str
        Its stem, such as ``sub-01_T1w``.
    verdict : str
        ``passed``; ``by hand``, published with the mask that a person drew; ``failed``, nothing is
        published; ``kept``, an earlier run's result still holds.
    reasons : tuple of str
        Why it failed, in words.
    measures : dict
        What was measured, by the names of the sidecar.
    """

    scan: str
    verdict: str
    reasons: tuple[str, ...] = ()
    measures: dict[str, Any] = field(default_factory=dict)
