"""Record the outcome of each scan, and write one line about each for the program that started the run."""

import errno
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bidsdeface.dataset.names import natural_key
from bidsdeface.errors import BidsdefaceError, Exit, UsageError, code_of_run, storage_error
from bidsdeface.runtime.scratch import make_private, private_folder

LOGGER = logging.getLogger("bidsdeface")

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
        Values by the names of `CHECKS`.
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

    @property
    def line(self) -> str:
        """One line of JSON: no path, no reason in words, no value of any metadata field."""
        content = {
            "scan": self.scan,
            "verdict": self.verdict,
            "failed_checks": list(self.failed_checks),
            "retry": self.code is Exit.RETRY,
        }
        return json.dumps(content) + "\n"


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
        self._path, self._folder = path, folder
        self._outcomes: list[Outcome] = []
        self._fault: OSError | None = None
        if path is not None:
            try:
                self._file = path.open("wb", buffering=0)
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
                _replace(folder / f"{outcome.scan}.json", outcome.line)
        if self._path is None or self._fault:
            return
        line = outcome.line.encode()
        try:
            if self._file.write(line) < len(line):
                self._fault = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._fault = error

    def close(self) -> set[Exit]:
        """Put all lines in order; return a code if they could not be written."""
        if self._path is None:
            return set()
        self._file.close()
        with suppress(BidsdefaceError, OSError):
            if self._path.is_file():
                outcomes = sorted(self._outcomes, key=lambda outcome: natural_key(outcome.scan))
                lines = "".join(outcome.line for outcome in outcomes)
                _replace(self._path.resolve(), lines, is_private=False)
                return set()
        # A pipe, or a single file that is mounted into a container: what was added is there.
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
        Files that `OutcomeFile` wrote, or folders of them. Of several, the newest file counts; a scan that
        was only ``kept`` says less than any other outcome.

    Raises
    ------
    UsageError
        A file cannot be read, or has a line that is no outcome. A last line that was cut off is ignored.
    """
    outcomes: dict[str, Mapping[str, Any]] = {}
    try:
        paths = [path for source in sources for path in (source.iterdir() if source.is_dir() else [source])]
        files = sorted((path.stat().st_mtime_ns, path) for path in paths if path.is_file() or path in sources)
        contents = [(path, path.read_text(encoding="utf-8")) for _, path in files]
    except (OSError, ValueError) as error:
        raise UsageError(f"--outcomes: {error}; give files that the participant level wrote") from error
    for path, content in contents:
        for number, line in enumerate(content.splitlines(keepends=True), 1):
            outcome = _parse(line)
            if outcome is None and line.endswith("\n"):
                raise UsageError(
                    f"{path}, line {number}: is no outcome of a scan; give --outcomes another file"
                )
            if outcome and (outcome["verdict"] != KEPT or outcome["scan"] not in outcomes):
                outcomes[outcome["scan"]] = outcome
    return outcomes


def _parse(line: str) -> Mapping[str, Any] | None:
    """Return an outcome, or None if the line is none."""
    with suppress(ValueError, KeyError, TypeError):
        content = json.loads(line)
        texts = [content["scan"], content["verdict"], *content["failed_checks"]]
        if all(isinstance(text, str) for text in texts) and isinstance(content["retry"], bool):
            return dict(content)
    return None
