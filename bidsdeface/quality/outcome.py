"""Record the outcome of each scan, and write one line about each for the program that started the run."""

import errno
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bidsdeface.dataset.names import natural_key
from bidsdeface.errors import BidsdefaceError, Exit, UsageError, code_of_run, storage_error
from bidsdeface.runtime.scratch import make_private, private_folder

LOGGER = logging.getLogger("bidsdeface")

PASSED, NO_FACE, BY_HAND, ACCEPTED = "passed", "no-face", "by hand", "accepted"
FAILED, KEPT = "failed", "kept"
IN_REVIEW = "rejected in review"


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
        Values by the names of `CHECKS`.
    failed_checks : tuple of str
        Names of the measures that spoke against it, as in the sidecar; if it is ``accepted``, those that a
        person has overruled.
    cause : Exit
        If it failed, the exit code that says why.
    kind : str
        If it failed and no check did, why, in words without a path or a value: see `BidsdefaceError`.
    time : str
        When it was known, UTC, in ISO 8601: texts that sort by time.
    lapsed : str
        Why a person's decision about it does not count, if it does not.
    remedy : str
        If it failed, and a person may decide otherwise, how.
    is_rejected : bool
        Whether a person has rejected it.
    """

    scan: str
    verdict: str
    reasons: tuple[str, ...] = ()
    measures: dict[str, Any] = field(default_factory=dict)
    failed_checks: tuple[str, ...] = ()
    cause: Exit = Exit.FAILED
    kind: str = ""
    time: str = field(default_factory=lambda: _in_iso(datetime.now(timezone.utc)), compare=False)
    lapsed: str = ""
    remedy: str = ""
    is_rejected: bool = False

    @property
    def code(self) -> Exit:
        """The exit code of a run of this scan alone."""
        return self.cause if self.verdict == FAILED else Exit.FAILED if self.lapsed else Exit.DONE

    @property
    def is_crash(self) -> bool:
        """Whether it failed though no person has rejected it."""
        return self.verdict == FAILED and not self.is_rejected

    @property
    def line(self) -> str:
        """One line of JSON: no path, no value of any metadata field."""
        public = {key: value for key, value in self.recorded.items() if key not in ("reasons", "remedy")}
        return json.dumps(public) + "\n"

    @property
    def recorded(self) -> dict[str, Any]:
        """What the work dir keeps of it: that line with the reasons in words, which name files."""
        return {
            "scan": self.scan,
            "verdict": self.verdict,
            "failed_checks": list(self.failed_checks),
            "kind": self.kind,
            "retry": self.code is Exit.RETRY,
            "time": self.time,
            "reasons": list(self.reasons),
            "remedy": self.remedy,
        }


class OutcomeFile:
    """A file with one line for each scan, which can be read at any time.

    Lines are added as scans get done, each at once and whole. At the end, all of them take their place in
    natural order, with one rename. If the run is interrupted, what is there by then stays.

    Parameters
    ----------
    path : Path or None
        Emptied at once; None for no file.
    folder : Path, optional
        Private folder that keeps the last line about each scan for the group level.

    Raises
    ------
    UsageError
        The file cannot be written.
    """

    def __init__(self, path: Path | None, folder: Path | None = None) -> None:
        self._path, self._folder = path or Path(os.devnull), folder
        self._outcomes: list[Outcome] = []
        self._fault: OSError | None = None
        try:
            self._file = self._path.open("wb", buffering=0)
        except OSError as error:
            raise UsageError(
                f"{path}: cannot be written ({error.strerror}); give --outcomes a file in a folder that "
                "exists and is writable"
            ) from error

    def add(self, outcome: Outcome) -> None:
        """Add a line about a scan. After a fault, such as a full disk, lines wait for the end."""
        self._outcomes.append(outcome)
        if self._folder and outcome.verdict != KEPT:
            with suppress(OSError, BidsdefaceError):  # it only explains; the run does not depend on it
                folder = make_private(self._folder)
                _replace(folder / f"{outcome.scan}.json", json.dumps(outcome.recorded) + "\n")
        if self._fault:
            return
        line = outcome.line.encode()
        try:
            if self._file.write(line) < len(line):
                self._fault = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._fault = error

    def close(self) -> set[Exit]:
        """Put all lines in order; return a code if they could not be written."""
        self._file.close()
        with suppress(BidsdefaceError, OSError):
            if self._path.is_file():
                outcomes = sorted(self._outcomes, key=lambda outcome: natural_key(outcome.scan))
                lines = "".join(outcome.line for outcome in outcomes)
                _replace(self._path.resolve(), lines, is_private=False)
                return set()
        # A device, a pipe, or a single file that is mounted into a container: what was added is there.
        if self._fault is None:
            return set()
        LOGGER.error("%s", storage_error(self._path, self._fault))
        return {code_of_run(self._fault)}


def _replace(path: Path, text: str, *, is_private: bool = True) -> None:
    """Put a text in the place of a file with one rename."""
    with private_folder(path.parent, must_be_private=is_private) as unfinished:
        (unfinished / path.name).write_text(text, encoding="utf-8")
        os.replace(unfinished / path.name, path)


def read_outcomes(sources: Sequence[Path]) -> dict[str, Mapping[str, Any]]:
    """Return the last outcome of each scan, by its stem.

    Parameters
    ----------
    sources : sequence of Path
        Files that `OutcomeFile` wrote, or folders of them. Of several outcomes, the newest counts, by the
        time in it (version 0.1.0 wrote none: by that of its file); ``kept`` says less than any other.

    Raises
    ------
    UsageError
        A file cannot be read, or has a line that is no outcome. A last line that was cut off is ignored.
    """
    found = []
    try:
        paths = [path for source in sources for path in (source.iterdir() if source.is_dir() else [source])]
        files = [path for path in paths if path.is_file() or path in sources]
        contents = [(path, path.stat().st_mtime, path.read_text(encoding="utf-8")) for path in files]
    except (OSError, ValueError) as error:
        raise UsageError(f"--outcomes: {error}; give files that the participant level wrote") from error
    for path, written, content in contents:
        for number, line in enumerate(content.splitlines(keepends=True), 1):
            if outcome := _parse(line, _in_iso(datetime.fromtimestamp(written, timezone.utc))):
                found.append(outcome)
            elif line.endswith("\n"):
                raise UsageError(
                    f"{path}, line {number}: is no outcome of a scan; give --outcomes another file"
                )
    found.sort(key=lambda outcome: (outcome["verdict"] != KEPT, outcome["time"]))
    return {outcome["scan"]: outcome for outcome in found}


def _in_iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


def _parse(line: str, written: str) -> dict[str, Any] | None:
    """Return an outcome, or None if the line is none; `written` is its time if it has none."""
    with suppress(ValueError, KeyError, TypeError):
        content = {"kind": "", "time": written, "reasons": [], "remedy": "", **json.loads(line)}
        texts = [*map(content.get, ("scan", "verdict", "kind", "time", "remedy")), *content["failed_checks"]]
        texts += content["reasons"]
        if all(isinstance(text, str) for text in texts) and isinstance(content["retry"], bool):
            return content
    return None
