"""Share a complete dataset, participant by participant in processes: what goes along, and how it ends."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from bidsdeface.carrying import Scope, Shared, settle, share, share_root, wishes_of
from bidsdeface.dataset.identifying import told_above
from bidsdeface.dataset.stale import files_below, remove_empty, remove_files
from bidsdeface.errors import BidsdefaceError
from bidsdeface.exits import Exit, code_of_scan
from bidsdeface.privacy.scratch import environment_in, sweep
from bidsdeface.privacy.state import State
from bidsdeface.privacy.tables import parse_table
from bidsdeface.settings import Settings
from bidsdeface.sorting import files_above, participants, sort_files
from bidsdeface.workers import Lost, run_in_workers

LOGGER = logging.getLogger(__name__)


def share_dataset(settings: Settings, state: State | None, scratch: Path) -> set[Exit]:
    """Share what was asked for: participants, and what is above them if that is all of them.

    Returns
    -------
    set of Exit
        Empty if every image that was to go along is there.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    labels = settings.participants or participants(settings.bids_dir)
    scopes = [Scope(label, settings.sessions) for label in labels]
    codes = _in_workers(share, scopes, settings, state, scratch)
    if settings.participants or settings.sessions:
        LOGGER.info("what is above participants and sessions is written by the group level, at the end")
    elif gone := _only_in_output(settings):
        LOGGER.warning(
            "OUTPUT_DIR has participants that BIDS_DIR has not (%s): what is above participants is left to "
            "the group level",
            ", ".join(gone),
        )
    else:
        codes |= _log_left_out(share_root(settings, state))
    return codes


def settle_dataset(settings: Settings, state: State | None, scratch: Path) -> set[Exit]:
    """Bring everything that tasks have left to one end.

    Returns
    -------
    set of Exit
        Empty if that could be done.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    remove_withdrawn(settings)
    there = [one for one in participants(settings.bids_dir) if (settings.output_dir / f"sub-{one}").is_dir()]
    codes = _in_workers(settle, [Scope(label) for label in there], settings, state, scratch)
    return codes | _log_left_out(share_root(settings, state))


def remove_withdrawn(settings: Settings) -> None:
    """Take participants out of the output that are not in the input any more.

    Raises
    ------
    BidsdefaceError
        The input looks like a part of the dataset: it has fewer participants than would go, or its
        ``participants.tsv`` lists one of them or cannot be read. Or a file cannot be removed.
    """
    gone = _only_in_output(settings)
    if not gone:
        return
    listed = sorted(set(gone) & _listed(settings.bids_dir / "participants.tsv"))
    doubts = [f"its participants.tsv lists {name}" for name in listed]
    doubts += [
        f"its {name} is no folder, or a link to nowhere"
        for name in gone
        if os.path.lexists(settings.bids_dir / name)
    ]
    if len(gone) > len(participants(settings.bids_dir)):
        doubts.append("most of OUTPUT_DIR's are gone")
    if doubts:
        folders = " ".join(shlex.quote(str(settings.output_dir / name)) for name in gone)
        raise BidsdefaceError(
            f"{settings.bids_dir}: has no files of {', '.join(gone)}, and {doubts[0]}; give the whole "
            f"dataset, or, if they are withdrawn: rm -r {folders}"
        )
    for name in gone:
        remove_files(settings.output_dir, files_below(settings.output_dir, PurePosixPath(name)))
        remove_empty(settings.output_dir, PurePosixPath(name))
    LOGGER.warning("removed from OUTPUT_DIR, as BIDS_DIR has them no more: %s", ", ".join(gone))


def _only_in_output(settings: Settings) -> list[str]:
    there = {path.name for path in settings.output_dir.glob("sub-*") if path.is_dir()}
    return sorted(there - {f"sub-{label}" for label in participants(settings.bids_dir)})


def _listed(table: Path) -> set[str]:
    """Return the participants that a table has, if it is there."""
    try:
        found = parse_table(table.read_bytes(), table)
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise BidsdefaceError(f"{table}: cannot be read ({error.strerror}); correct it") from error
    column = next((one for one in found.columns if one.strip().lower() == "participant_id"), None)
    if column is None:
        raise BidsdefaceError(f"{table}: has no column participant_id; correct it")
    return {f"sub-{value.strip().removeprefix('sub-')}" for value in found.values(column)}


def _in_workers(
    work: Callable[..., Shared],
    scopes: Sequence[Scope],
    settings: Settings,
    state: State | None,
    scratch: Path,
) -> set[Exit]:
    codes: set[Exit] = set()
    for scope, result in run_in_workers(_prepare, (work, settings, state, scratch), scopes, settings.n_procs):
        if isinstance(result, Shared):
            codes |= _log_left_out(result)
        else:
            reason = result.reason if isinstance(result, Lost) else str(result)
            LOGGER.error(
                "FAILED sub-%s: what is not anatomical was not carried over: %s", scope.subject, reason
            )
            codes.add(result.code if isinstance(result, Lost) else code_of_scan(result))
    sweep(settings.output_dir)
    return codes


def _log_left_out(shared: Shared) -> set[Exit]:
    """Name files that could not be made safe; return a code if an image is among them, or if it may pass."""
    codes: set[Exit] = set()
    for one in shared.left_out:
        if one.path.name.endswith((".nii", ".nii.gz")):
            LOGGER.error("FAILED %s: left out: %s", one.path, one.reason)
            codes.add(Exit.FAILED)
        else:
            LOGGER.warning("%s: left out: %s", one.path, one.reason)
        if one.retry:
            codes.add(Exit.RETRY)
    return codes


def _prepare(
    work: Callable[..., Shared], settings: Settings, state: State | None, scratch: Path
) -> Callable[[Scope], list[Shared]]:
    """Return what shares or settles a scope, in a worker that reads what is above participants once."""
    os.environ.update(environment_in(scratch))
    carried, _ = sort_files(settings, files_above(settings, folders=True))
    above = told_above(settings.bids_dir, carried, wishes_of(settings, state))
    return lambda scope: [work(scope, settings, state, above)]
