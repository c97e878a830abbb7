"""What a person has decided about scans: read from ``review.tsv``, and kept in the work dir.

An acceptance holds for what was looked at and for nothing else: a keyed fingerprint says what that was. A
rejection holds until the scan is accepted as it is by then.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.files import EXTENSIONS
from bidsdeface.dataset.names import parse_name, stem_of
from bidsdeface.errors import BidsdefaceError, UsageError, first_of, read_errors
from bidsdeface.runtime.workdir import State

COLUMNS = ("scan", "decision", "note", "initials", "fingerprint", "time")
DECISIONS = (ACCEPT, REJECT) = ("accepted", "rejected")
_FINGERPRINT = re.compile("[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")  # texts that sort by time
_CLOCKS_DIFFER = timedelta(days=1)  # at most, between a browser and the machine of a run
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet would compute such a cell


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person has decided about one scan.

    Attributes
    ----------
    decision : str
        One of `DECISIONS`.
    fingerprint : str
        Of what was looked at; empty if nobody knows.
    time : str
        When, as `now` gives it.
    note, initials : str
        For the private page only.
    place : str
        Where the decision was given, for messages.
    dataset, content : str
        Path of the dataset, and keyed fingerprint of the image alone: a scan of this name is the same if one
        of them is. Empty in a file.
    """

    decision: str
    fingerprint: str = ""
    time: str = ""
    note: str = ""
    initials: str = ""
    place: str = ""
    dataset: str = ""
    content: str = ""

    def fits(self, fingerprint: str) -> bool:
        """Return True if it is about what has this fingerprint."""
        return self.fingerprint in ("", fingerprint)

    @property
    def order(self) -> tuple[str, str]:
        """By which the last of several decisions is found: of two at one time, the rejection."""
        return self.time, self.decision


def now(ahead: timedelta = timedelta(0)) -> str:
    """Return the time as the private page writes it, such as ``2026-01-31T12:00:00.000Z``."""
    moment = datetime.now(timezone.utc) + ahead
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def decision_on(known: Mapping[str, Decision], fingerprint: str | None) -> Decision | None:
    """Return the decision that counts for what has this fingerprint, if there is one.

    The last decision about the scan counts if it is a rejection, whatever it was about; else the last one
    about this very thing.

    Parameters
    ----------
    known : mapping of str to Decision
        The last decision about each thing, by fingerprints.
    fingerprint : str or None
        None for a scan of which nothing could be looked at.
    """
    last = max(known.values(), key=lambda one: one.order, default=None)
    if last and last.decision == REJECT:
        return last
    return None if fingerprint is None else known.get(fingerprint)


def read_review(path: Path, bids_dir: Path) -> dict[str, Decision]:
    """Return the decisions in a ``review.tsv`` by the stems of their scans.

    Parameters
    ----------
    path : Path
        As the private page saves it.
    bids_dir : Path
        The dataset in which the scans must be.

    Raises
    ------
    UsageError
        The file cannot be read, or a line of it is not as it should be: then none of it counts.
    """
    try:
        with read_errors(path, "give --review the review.tsv that the private page has saved", UsageError):
            text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not text in UTF-8; save it as such") from error
    head, *lines = [line.split("\t") for line in text.split("\n")]  # reading has made all ends of lines \n
    if tuple(head) != COLUMNS:
        raise UsageError(
            f"{path}, line 1: must name the columns {', '.join(COLUMNS)}, with tabs between; save the file "
            "from the private page again"
        )
    rows = {number: row for number, row in enumerate(lines, 2) if row != [""]}
    scans = Counter(stem_of(PurePosixPath(row[0])) for row in rows.values())
    decisions = {}
    for number, row in rows.items():
        place = f"{path}, line {number}"
        if fault := _fault(row, scans, bids_dir):
            raise UsageError(f"{place}: {fault}; nothing of the file was used")
        scan, *values = row
        named = dict(zip(COLUMNS[1:], values, strict=True))
        decisions[stem_of(PurePosixPath(scan))] = Decision(**named, place=place)
    return decisions


def _fault(row: list[str], scans: Mapping[str, int], bids_dir: Path) -> str | None:
    """Return the first fault of a line and how to correct it; None if there is none."""
    if len(row) != len(COLUMNS):
        return f"has {len(row)} cells and not {len(COLUMNS)}; save it from the private page again"
    scan, decision, _, _, fingerprint, time = row
    name = parse_name(PurePosixPath(scan))
    is_name = name and name.datatype and scan == str(name.folder / name.path.name)
    return first_of(
        {
            "a cell begins as a formula does; remove = + - @ from its beginning": (
                any(cell.startswith(_FORMULA) for cell in row)
            ),
            "no such scan in BIDS_DIR; remove the line": not (
                is_name and scan.endswith(EXTENSIONS) and os.path.lexists(bids_dir / scan)
            ),
            "this scan has several lines; keep one of them": scans[stem_of(PurePosixPath(scan))] > 1,
            f"the decision is not {' or '.join(DECISIONS)}; correct it or remove the line": (
                decision not in DECISIONS
            ),
            "the fingerprint is damaged; save the file from the private page again": (
                not _FINGERPRINT.fullmatch(fingerprint)
            ),
            "the time is damaged; save the file from the private page again": not _TIME.fullmatch(time),
            "it was decided in the future; set the clock of that machine, and decide anew": (
                time > now(_CLOCKS_DIFFER)
            ),
        }
    )


def remember_decision(state: State, stem: str, decision: Decision) -> None:
    """Keep a decision about a scan, unless there is a later one about the same thing.

    Raises
    ------
    BidsdefaceError
        It cannot be written.
    """
    known = remembered_decisions(state, stem)
    last = max(decision, known.get(decision.fingerprint, decision), key=lambda one: one.order)
    known[decision.fingerprint] = last
    content = {fingerprint: asdict(one) for fingerprint, one in known.items()}
    state.remember(_name(state, stem), json.dumps(content).encode())


def remembered_decisions(state: State, stem: str) -> dict[str, Decision]:
    """Return the last decision about each thing that was looked at of a scan, by fingerprints.

    Raises
    ------
    BidsdefaceError
        There may be some, but they cannot be read.
    """
    try:
        content = state.remembered(_name(state, stem))
        known = {mark: Decision(**one) for mark, one in json.loads(content or "{}").items()}
        if not all(isinstance(value, str) for one in known.values() for value in asdict(one).values()):
            raise ValueError("a value is no text")
        return known
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BidsdefaceError(
            f"{state.folder}: what was decided about {stem} cannot be read ({error}); remove "
            f"{state.fingerprint_file(_name(state, stem))} and review the scan again"
        ) from error


def _name(state: State, stem: str) -> str:
    return state.derive("name of decisions", stem.encode()).hex()
