"""The leak check at the end of a run: check the output, and name what may identify a person."""

import filecmp
import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from itertools import chain, groupby
from pathlib import Path, PurePosixPath

from bidsdeface.companions.options import MetadataOptions
from bidsdeface.companions.select import is_root_text
from bidsdeface.dataset.annex import is_own_file
from bidsdeface.dataset.files import EXTENSIONS, participants
from bidsdeface.dataset.names import DESCRIPTION, suffix_of
from bidsdeface.errors import BidsdefaceError, Exit, counted_as
from bidsdeface.leakcheck.find import (
    REPOSITORIES,
    FaceTest,
    Finding,
    Survey,
    find_leaks,
    survey_dataset,
)
from bidsdeface.output.faceless import is_faceless, remember_faceless
from bidsdeface.output.record import read_record
from bidsdeface.quality.outcome import ACCEPTED, BY_HAND
from bidsdeface.runtime.scratch import PRIVATE, environment_in
from bidsdeface.runtime.workdir import State
from bidsdeface.runtime.workers import Lost, run_in_workers

LOGGER = logging.getLogger("bidsdeface")
MANY_FILES = 500  # take longer to check than a process to start


def check_leaks(
    settings: MetadataOptions,
    state: State | None,
    scratch: Path,
    files: Iterable[PurePosixPath],
    verified: Collection[PurePosixPath] = (),
    histories: Collection[Finding] = (),
) -> set[Exit]:
    """Check files of the output, and name in one line each what may identify a person.

    Images of all kinds are tested for a face, unless they have been verified or a person answers for them.
    With private state, an image that shows no face is tested only once, when it is defaced or here.

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
    histories : collection of Finding, optional
        Findings to name first.

    Returns
    -------
    set of Exit
        `Exit.LEAK` if there is a finding; the code of each process that was lost.
    """
    to_check = sorted({path for path in files if not _is_judged(settings, path)})
    images = {
        path
        for path in to_check
        if path.name.endswith(EXTENSIONS)
        and suffix_of(path) != "defacemask"
        and path not in verified
        and read_record(settings.output_dir / path).get("Verdict") not in (ACCEPTED, BY_HAND)
    }
    of_participants = [list(paths) for _, paths in groupby(to_check, key=lambda path: path.parts[0])]
    if images or (settings.n_procs > 1 and len(to_check) > MANY_FILES):
        arguments = (settings, state, scratch, frozenset(images))
        pairs = run_in_workers(_prepare, arguments, of_participants, settings.n_procs)
        results = (result for _, result in pairs)
    else:
        results = (_check(paths, settings, None) for paths in of_participants)
    codes: set[Exit] = set()
    for result in chain([histories], results):
        if isinstance(result, BidsdefaceError):
            raise result
        if isinstance(result, Lost):
            LOGGER.error("LEAK check: %s", result.reason)
            codes.add(result.code)
            continue
        for finding in result:
            LOGGER.error("LEAK %s, %s: %s", finding.path, finding.place, finding.kind)
            codes.add(Exit.LEAK)
    if not codes:
        LOGGER.info("leak check: nothing found in %s", counted_as(len(to_check), "file"))
    return codes


def check_whole_output(settings: MetadataOptions, state: State | None, scratch: Path) -> set[Exit]:
    """Check the whole output; parameters as of `check_leaks`.

    Private folders of other runs are passed over. Repositories are not searched, and one line says so.

    Returns
    -------
    set of Exit
        See `check_leaks`.
    """
    survey = survey_dataset(settings.output_dir, passed_over=(PRIVATE,))
    if survey.notice:
        LOGGER.warning(survey.notice)
    return check_leaks(settings, state, scratch, survey.files, histories=survey.histories)


def files_of_run(settings: MetadataOptions) -> list[PurePosixPath]:
    """List the files that a participant-level run answers for, whichever run has written them.

    These are the files at the root, and those of the participants and sessions that were asked for; other
    tasks may be at work on all others. No run writes hidden folders.
    """
    root = settings.output_dir
    labels = settings.participants or (participants(root) if settings.sessions else ())
    folders = [f"sub-{label}" for label in labels] if labels or settings.sessions else [""]
    files = [
        PurePosixPath(path.name)
        for path in root.iterdir()
        if path.name not in REPOSITORIES and (not path.is_dir() or path.is_symlink())
        # Pages of other participants are theirs.
        if not labels or not path.name.startswith("sub-") or path.stem in folders
    ]
    wanted = {f"ses-{label}" for label in settings.sessions}
    for folder in folders:
        for path in survey_dataset(root / folder, passed_over=(PRIVATE,)).files:
            whole = PurePosixPath(folder) / path
            session = {part for part in re.split("[/_]", str(path)) if part.startswith("ses-")}
            if len(whole.parts) > 1 and (not wanted or not session or session & wanted):
                files.append(whole)
    return [path for path in files if not any(part.startswith(".") for part in path.parts[:-1])]


def _prepare(
    settings: MetadataOptions, state: State | None, scratch: Path, images: Collection[PurePosixPath]
) -> Callable[[Sequence[PurePosixPath]], list[list[Finding]]]:
    os.environ.update(environment_in(scratch))

    @cache
    def load_test() -> FaceTest:
        from bidsdeface.leakcheck.faces import face_test  # heavy

        return face_test()

    def shows_face(path: Path) -> str | None:
        if path.relative_to(settings.output_dir) not in images:
            return None
        content = path.read_bytes() if state else b""
        if is_faceless(state, path, content):
            return None
        if (shown := load_test()(path)) is None:
            remember_faceless(state, path, content)
        return shown

    return lambda paths: [_check(paths, settings, shows_face)]


def _check(
    paths: Sequence[PurePosixPath], settings: MetadataOptions, shows_face: FaceTest | None
) -> list[Finding]:
    return list(
        find_leaks(
            settings.output_dir,
            policy=settings.policy,
            keep_columns=settings.keep_columns,
            shows_face=shows_face,
            survey=Survey(paths),
            described_in=settings.bids_dir if settings.is_complete else None,
            data_dictionary=settings.data_dictionary,
            look_at_labels=False,  # the run has named them
        )
    )


def _is_judged(settings: MetadataOptions, path: PurePosixPath) -> bool:
    """Return True for a text that the run itself has read, or that a person has accepted."""
    if not settings.is_complete or len(path.parts) > 1:
        return False
    source, copy = settings.bids_dir / path, settings.output_dir / path
    is_copy = is_root_text(path) and source.is_file() and is_own_file(copy)
    return path == DESCRIPTION or (is_copy and filecmp.cmp(source, copy, shallow=False))
