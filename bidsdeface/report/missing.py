"""Scans that were asked for and are not in the output, with reasons: a table, and what the report shows.

Where the table is shared, it names only scans that a run recorded as failed. All others are counted: one of
them may have been withdrawn because it was recognised, and nobody who reads the report may learn which.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bidsdeface.quality.outcome import FAILED
from bidsdeface.report.page import tsv

COLUMNS: dict[str, dict[str, Any]] = {
    "scan": {"Description": "Scan that is not in the output, without extension; n/a: not named here"},
    "reason": {"Description": "Why, as far as the outcomes of earlier runs say"},
}


@dataclass(frozen=True)
class Missing:
    """A scan that was asked for and is not in the output.

    Attributes
    ----------
    scan : str
        Its stem, such as ``sub-01_T1w``.
    outcome : mapping or None
        What its last run recorded, from `read_outcomes`.
    """

    scan: str
    outcome: Mapping[str, Any] | None

    @property
    def has_failed(self) -> bool:
        """Whether a run recorded that it failed."""
        return self.outcome is not None and self.outcome["verdict"] == FAILED

    @property
    def reason(self) -> str:
        """Why it is missing."""
        if self.outcome is None:
            return "no run has recorded an outcome; give group the --work-dir or the --outcomes of the runs"
        if not self.has_failed:
            return "published by an earlier run, and removed since"
        if self.outcome["retry"]:
            return "memory or disk space ran out, or its process was killed; run it again"
        checks = ", ".join(self.outcome["failed_checks"])
        return f"did not pass: {checks}" if checks else "could not be processed; the log of its run says why"


def table(missing: Sequence[Missing], *, with_names: bool) -> str:
    """Return ``missing.tsv``.

    Parameters
    ----------
    missing : sequence of Missing
    with_names : bool
        Whether the table is private, so that it names every scan.
    """
    rows = [
        {"scan": one.scan if with_names or one.has_failed else "n/a", "reason": one.reason} for one in missing
    ]
    return tsv(COLUMNS, sorted(rows, key=lambda row: row["scan"] == "n/a"))


def content(missing: Sequence[Missing]) -> list[dict[str, Any]]:
    """Return what the report shows: each reason, how many scans it has, and which of them failed."""
    named: dict[str, list[str]] = defaultdict(list)
    for one in missing:
        named[one.reason] += [one.scan] if one.has_failed else []
    counts = Counter(one.reason for one in missing)
    return [{"reason": reason, "count": n, "names": named[reason]} for reason, n in counts.most_common()]
