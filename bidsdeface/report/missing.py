"""Scans that were asked for and are not in the output, with reasons: a table, and what the report shows.

Where the table is shared, it names only scans that a run recorded as failed. All others are counted: one of
them may have been withdrawn because it was recognised, or by a person, and nobody who reads the report may
learn which.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bidsdeface.quality.outcome import FAILED, IN_REVIEW
from bidsdeface.report.page import tsv

BY_CHECK = "did not pass: "  # how such a reason begins
BY_A_PERSON = "withheld after visual inspection"
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
        """Whether a run recorded that it failed by itself: not because a person had rejected it."""
        outcome = self.outcome
        return outcome is not None and outcome["verdict"] == FAILED and outcome["kind"] != IN_REVIEW

    @property
    def reason(self) -> str:
        """Why it is missing: no path, no value of a field."""
        if self.outcome is None:
            return "no run has recorded an outcome; give group the --work-dir or the --outcomes of the runs"
        if self.outcome["verdict"] == FAILED and self.outcome["kind"] == IN_REVIEW:
            return BY_A_PERSON
        if not self.has_failed:
            return "published by an earlier run, and removed since"
        if self.outcome["retry"]:
            return "memory or disk space ran out, or its process was killed; run it again"
        checks = ", ".join(self.outcome["failed_checks"])
        kind = self.outcome["kind"] or "could not be processed; the log of its run says why"
        return f"{BY_CHECK}{checks}" if checks else kind

    @property
    def causes(self) -> list[str]:
        """What the run said, without the scan's own path and what to do, else the reason; it is private."""
        outcome, own_path = self.outcome, rf"^.*/{re.escape(self.scan)}\.nii(\.gz)?: "
        said = outcome["reasons"] if outcome and outcome["verdict"] == FAILED else ()
        return [re.sub(own_path, "", reason) for reason in said] or [self.reason]

    @property
    def in_words(self) -> str:
        """What the run said, on one line; it names files, and is private."""
        said = [*self.outcome["reasons"], self.outcome["remedy"]] if self.outcome else []
        return " ".join("; ".join(filter(None, said)).split())


def table(missing: Sequence[Missing], *, is_private: bool) -> str:
    """Return ``missing.tsv``.

    Parameters
    ----------
    missing : sequence of Missing
    is_private : bool
        Whether the table may name every scan, and say what its run said.
    """
    rows = [
        {
            "scan": one.scan if is_private or one.has_failed else "n/a",
            "reason": (is_private and one.in_words) or one.reason,
        }
        for one in missing
    ]
    return tsv(COLUMNS, sorted(rows, key=lambda row: row["scan"] == "n/a"))


def content(missing: Sequence[Missing], *, is_private: bool) -> list[dict[str, Any]]:
    """Return what the report shows: each reason, how many scans it has, and which of them failed.

    A private report adds what their runs said.
    """
    named: dict[str, list[str]] = defaultdict(list)
    for one in missing:
        words = f" ({one.in_words})" if is_private and one.in_words else ""
        named[one.reason] += [one.scan + words] if one.has_failed else []
    counts = Counter(one.reason for one in missing)
    return [
        {
            "reason": reason,
            "count": n,
            "names": named[reason],
            "is_by_check": reason.startswith(BY_CHECK),
            "is_by_a_person": reason == BY_A_PERSON,
        }
        for reason, n in counts.most_common()
    ]
