"""The leak check at the end of a run: look at what was written, and say what still identifies."""

from __future__ import annotations

import filecmp
import logging
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

from bidsdeface import __version__
from bidsdeface.companions.options import MetadataOptions
from bidsdeface.companions.select import is_root_text
from bidsdeface.dataset.annex import is_own_file
from bidsdeface.dataset.files import participants
from bidsdeface.dataset.names import DESCRIPTION, suffix_of
from bidsdeface.errors import BidsdefaceError, Exit
from bidsdeface.leakcheck.find import (
    REPOSITORIES,
    Finding,
    find_leaks,
    survey_dataset,
)
from bidsdeface.output.record import read_record
from bidsdeface.quality.outcome import ACCEPTED, BY_HAND
from bidsdeface.runtime.scratch import PRIVATE, environment_in
from bidsdeface.runtime.workdir import State
from bidsdeface.runtime.workers import Lost, run_in_workers

LOGGER = logging.getLogger("bidsdeface")


def check_leaks(
    settings: MetadataOptions,
    state: State | None,
    scratch: Path,
    files: Iterable[PurePosixPath],
    verified: Collection[PurePosixPath] = (),
) -> set[Exit]:
    """Look into files of the output, and say in one line each what still identifies.

    Whether an image shows a face is looked at, whatever its kind, unless it has been verified or a person
    answers for it. With private state, an image in which no face was seen is not looked at again.

    Parameters
    ----------
    settings : MetadataOptions
    state : State or None
        Private state in the work dir.
    scratch : Path
        Private.
    files : iterable of PurePosixPath
        Relative to the output dataset.
    verified : collection of PurePosixPath, optional
        Images that were judged when they were defaced.

    Returns
    -------
    set of Exit
        `Exit.LEAK` if something was found; the code of each process that was lost.
    """
    by_participant: dict[str, list[tuple[PurePosixPath, bool]]] = defaultdict(list)
    for path in sorted({path for path in files if not _is_judged(settings, path)}):
        shows = _is_image(path) and path not in verified and not _is_answered_for(settings, path)
        by_participant[path.parts[0]].append((path, shows))
    items = list(by_participant.values())
    if min(settings.n_procs, len(items)) > 1 or any(shows for item in items for _, shows in item):
        results = (
            result
            for _, result in run_in_workers(_prepare, (settings, state, scratch), items, settings.n_procs)
        )
    else:
        results = (_check(item, settings, None) for item in items)
    codes: set[Exit] = set()
    for result in results:
        if isinstance(result, BidsdefaceError):
            raise result
        if isinstance(result, Lost):
            LOGGER.error("LEAK check: %s", result.reason)
            codes.add(result.code)
            continue
        for one in result:
            LOGGER.error("LEAK %s, %s: %s", one.path, one.place, one.kind)
            codes.add(Exit.LEAK)
    return codes


def check_whole_output(settings: MetadataOptions, state: State | None, scratch: Path) -> set[Exit]:
    """Look into all of the output; parameters as of `check_leaks`.

    Private folders of runs that go on are passed over. Repositories are not searched, and one line says so.

    Returns
    -------
    set of Exit
        See `check_leaks`.
    """
    survey = survey_dataset(settings.output_dir, passed_over=(PRIVATE,))
    if survey.notice:
        LOGGER.warning(survey.notice)
    for one in survey.histories:
        LOGGER.error("LEAK %s, %s: %s", one.path, one.place, one.kind)
    codes = {Exit.LEAK} if survey.histories else set()
    return codes | check_leaks(settings, state, scratch, survey.files)


def files_of_run(settings: MetadataOptions) -> list[PurePosixPath]:
    """List the files that a participant-level run answers for, whichever run has written them.

    Those at the root, and those of the participants and sessions that were asked for; other tasks may be
    at work on all others. What is hidden is not written by any run.
    """
    root = settings.output_dir
    found = [
        PurePosixPath(path.name)
        for path in root.iterdir()
        if path.name not in REPOSITORIES and (not path.is_dir() or path.is_symlink())
    ]
    labels = settings.participants or (participants(root) if settings.sessions else ())
    folders = [f"sub-{label}" for label in labels] if labels or settings.sessions else [""]
    ours = {f"ses-{label}" for label in settings.sessions}
    for folder in folders:
        for path in survey_dataset(root / folder, passed_over=(PRIVATE,)).files:
            whole = PurePosixPath(folder) / path
            session = {part for part in re.split("[/_]", str(path)) if part.startswith("ses-")}
            if len(whole.parts) > 1 and (not ours or not session or session & ours):
                found.append(whole)
    return [path for path in found if not any(part.startswith(".") for part in path.parts[:-1])]


def _prepare(
    settings: MetadataOptions, state: State | None, scratch: Path
) -> Callable[[Sequence[tuple[PurePosixPath, bool]]], list[list[Finding]]]:
    os.environ.update(environment_in(scratch))
    test: list[Callable[[Path], str | None]] = []

    def shows_face(path: Path) -> str | None:
        if state and state.remembered(_name(state, path)) == _content(state, path):
            return None
        if not test:
            from bidsdeface.leakcheck.faces import face_test  # heavy

            test.append(face_test())
        shown = test[0](path)
        if state and shown is None:
            state.remember(_name(state, path), _content(state, path))
        return shown

    return lambda item: [_check(item, settings, shows_face)]


def _check(
    item: Sequence[tuple[PurePosixPath, bool]],
    settings: MetadataOptions,
    shows_face: Callable[[Path], str | None] | None,
) -> list[Finding]:
    looked_at = {settings.output_dir / path for path, shows in item if shows}
    return list(
        find_leaks(
            settings.output_dir,
            policy=settings.policy,
            keep_columns=settings.keep_columns,
            shows_face=lambda path: shows_face(path) if shows_face and path in looked_at else None,
            files=[path for path, _ in item],
            described_in=settings.bids_dir if settings.is_complete else None,
            data_dictionary=settings.data_dictionary,
            look_at_labels=False,  # the run has named them
        )
    )


def _name(state: State, path: Path) -> str:
    return state.derive("name of a face test", os.fsencode(path.resolve())).hex()


def _content(state: State, path: Path) -> bytes:
    return state.derive("no face seen", __version__.encode(), path.read_bytes())


def _is_image(path: PurePosixPath) -> bool:
    """Tell whether a file may be an image to look for a face in."""
    is_image = path.name.endswith((".nii", ".nii.gz"))
    return is_image and suffix_of(path) != "defacemask"


def _is_judged(settings: MetadataOptions, path: PurePosixPath) -> bool:
    """Return True for a text that the run itself has read, or that a person has accepted."""
    if not settings.is_complete or len(path.parts) > 1:
        return False
    source, copy = settings.bids_dir / path, settings.output_dir / path
    is_copy = is_root_text(path) and source.is_file() and is_own_file(copy)
    return path == DESCRIPTION or (is_copy and filecmp.cmp(source, copy, shallow=False))


def _is_answered_for(settings: MetadataOptions, path: PurePosixPath) -> bool:
    """Tell whether a person answers for an image."""
    return read_record(settings.output_dir / path).get("Verdict") in (ACCEPTED, BY_HAND)
