"""Complete the output dataset: run over participants in processes, and say what was left out."""

import logging
import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from bidsdeface.companions.options import MetadataOptions
from bidsdeface.companions.review import fields_that_wait, label_folders, telling_labels, why_text_waits
from bidsdeface.companions.select import is_root_text
from bidsdeface.companions.source import RawDataset, SubjectScope
from bidsdeface.companions.sync import SyncReport, preview, preview_root, refresh, sync, sync_root
from bidsdeface.dataset.files import EXTENSIONS, participants
from bidsdeface.dataset.inheritance import JsonError, merged_metadata, parse_json, read_json
from bidsdeface.dataset.names import DESCRIPTION, FileName
from bidsdeface.deidentify.dictionary import draft_dictionary, merged_draft
from bidsdeface.deidentify.excluded import FILE, Excluded, as_table, in_groups
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.deidentify.tables import TableError, parse_table
from bidsdeface.errors import BidsdefaceError, Exit, code_of_scan, read_errors
from bidsdeface.output.publish import files_below, remove_empty, remove_files
from bidsdeface.output.record import to_json
from bidsdeface.runtime.scratch import environment_in, make_private, sweep
from bidsdeface.runtime.workdir import COMPLETE, State
from bidsdeface.runtime.workers import Lost, run_in_workers

LOGGER = logging.getLogger(__name__)
# Columns that are left out for one of these reasons can be shared if a person describes them.
_UNDESCRIBED = ("described", "unit is not clear")
_Reports = dict[str | None, SyncReport]  # by participant; None for the files above participants


def warn_of_waiting(settings: MetadataOptions, state: State | None) -> set[Exit]:
    """Name the texts and labels that wait for a person, before anything is computed.

    Returns
    -------
    set of Exit
        `Exit.WAITS` if there are any.
    """
    labels = settings.participants or participants(settings.bids_dir)
    identifiers, waiting = Identifiers(), []
    if settings.is_complete and settings.is_about_all:
        raw = RawDataset(settings, state)
        identifiers = raw.people.all_identifiers(participants(raw.root))
        waiting += _waiting_texts(raw, identifiers)
    if not settings.accept_labels:
        waiting += telling_labels(label_folders(settings.bids_dir, labels, settings.sessions), identifiers)
    for line in in_groups(waiting):
        LOGGER.warning("WAITS %s", line)
    return {Exit.WAITS} if waiting else set()


def _waiting_texts(raw: RawDataset, identifiers: Identifiers) -> list[Excluded]:
    waiting: list[Excluded] = []
    for path in (one for one in raw.root_files if is_root_text(one) or one == DESCRIPTION):
        try:
            content = (raw.root / path).read_bytes()
            reasons = _why_it_waits(content, path, identifiers)
        except (JsonError, OSError):
            continue  # it is named where it is written
        if not raw.is_accepted(path.name, content):
            waiting += reasons
        elif reasons and path.name not in raw.settings.accept_texts:
            LOGGER.info("%s: accepted in an earlier run", path)
    return waiting


def _why_it_waits(content: bytes, path: PurePosixPath, identifiers: Identifiers) -> list[Excluded]:
    if is_root_text(path):
        waits = why_text_waits(content, path, identifiers)
        return [waits] if waits else []
    return list(fields_that_wait(parse_json(content), path, identifiers).values())


def sync_dataset(settings: MetadataOptions, state: State | None, scratch: Path) -> set[Exit]:
    """Write the files of the participants that were asked for; those above them only if that is everybody.

    Returns
    -------
    set of Exit
        Empty if every image that was to go along is there.

    Raises
    ------
    BidsdefaceError
        A file cannot be written.
    """
    reports, codes = _in_workers(sync, _scopes(settings), settings, state, scratch)
    withdrawn = _only_in_output(settings)
    if not settings.is_about_all:
        LOGGER.info("dataset-level files (participants.tsv, README …) are written by the group level")
    elif withdrawn:
        LOGGER.warning(
            "OUTPUT_DIR has participants that BIDS_DIR does not have (%s): files above them are left to "
            "the group level",
            ", ".join(withdrawn),
        )
    else:
        reports[None] = sync_root(RawDataset(settings, state), _identifiers_in(reports))
    return codes | _log_reports(reports, settings, state)


def is_whole(settings: MetadataOptions) -> bool:
    """Return True if a run is about all participants of the output, so that nothing is left to group."""
    return settings.is_about_all and not _only_in_output(settings)


def refresh_dataset(settings: MetadataOptions, state: State | None, scratch: Path) -> set[Exit]:
    """Complete the dataset that tasks have written: what is above participants, and what refers to files.

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
    labels = [one for one in participants(settings.bids_dir) if (settings.output_dir / f"sub-{one}").is_dir()]
    reports, codes = _in_workers(refresh, [SubjectScope(one) for one in labels], settings, state, scratch)
    reports[None] = sync_root(RawDataset(settings, state), _identifiers_in(reports))
    return codes | _log_reports(reports, settings, state)


def preview_dataset(settings: MetadataOptions, state: State | None, scratch: Path) -> set[Exit]:
    """Name what would stay behind of what was asked for, before anything is computed.

    With private state, draft a ``participants.json`` for columns that nobody has described.
    """
    reports, codes = _in_workers(preview, _scopes(settings), settings, state, scratch)
    if settings.is_about_all:
        reports[None] = preview_root(RawDataset(settings, state), _identifiers_in(reports))
        if state:
            _write_draft(reports[None].left_out, settings, state)
    return codes | _log_reports(reports, settings, state)


def _write_draft(left_out: Sequence[Excluded], settings: MetadataOptions, state: State) -> None:
    """Draft a dictionary of the participants' table; entries that a person has filled in are kept."""
    name = FileName(PurePosixPath("participants.tsv"), {}, "participants", ".tsv")
    columns = [
        one.what.removeprefix("column ")
        for one in left_out
        if one.path == name.path
        and one.what.startswith("column ")
        and any(part in one.reason for part in _UNDESCRIBED)
    ]
    path = state.folder_for(COMPLETE, settings.output_dir) / "draft" / "participants.json"
    try:
        table = parse_table((settings.bids_dir / name.path).read_bytes(), name.path)
        known = merged_metadata(settings.bids_dir, name, additions=settings.data_dictionary)
        draft = draft_dictionary(table, columns, known)
        older = read_json(path) if path.exists() else {}
    except JsonError as error:
        LOGGER.warning("%s: the draft is left as it is, because it %s", path, error)
        return
    except (TableError, OSError):
        return
    if draft:
        unfinished = make_private(path.parent) / "unfinished"  # a person's work is never lost
        unfinished.write_text(to_json(merged_draft(draft, older)), encoding="utf-8")
        unfinished.replace(path)
        LOGGER.info("a draft to fill in, for --data-dictionary: %s", path.parent)


def remove_withdrawn(settings: MetadataOptions) -> None:
    """Remove participants from the output that are not in the input any more.

    Raises
    ------
    BidsdefaceError
        The input looks like a part of the dataset: it has fewer participants than would go, or its
        ``participants.tsv`` lists one of them or cannot be read. Or a file cannot be removed.
    """
    withdrawn = _only_in_output(settings)
    if not withdrawn:
        return
    listed = sorted(set(withdrawn) & _listed(settings.bids_dir / "participants.tsv"))
    doubts = [f"its participants.tsv lists {name}" for name in listed]
    doubts += [
        f"its {name} is no folder, or a link to nowhere"
        for name in withdrawn
        if os.path.lexists(settings.bids_dir / name)
    ]
    if len(withdrawn) > len(participants(settings.bids_dir)):
        doubts.append("most of OUTPUT_DIR's are gone")
    if doubts:
        folders = " ".join(shlex.quote(str(settings.output_dir / name)) for name in withdrawn)
        raise BidsdefaceError(
            f"{settings.bids_dir}: has no files of {', '.join(withdrawn)}, and {doubts[0]}; give the whole "
            f"dataset, or, if they are withdrawn: rm -r {folders}"
        )
    for name in withdrawn:
        remove_files(settings.output_dir, files_below(settings.output_dir, PurePosixPath(name)))
        remove_empty(settings.output_dir, PurePosixPath(name))
    LOGGER.warning("removed from OUTPUT_DIR, because BIDS_DIR no longer has them: %s", ", ".join(withdrawn))


def _only_in_output(settings: MetadataOptions) -> list[str]:
    """Return the folders of participants in the output that the input does not have."""
    published = {path.name for path in settings.output_dir.glob("sub-*") if path.is_dir()}
    return sorted(published - {f"sub-{label}" for label in participants(settings.bids_dir)})


def _listed(table: Path) -> set[str]:
    """Return the participants in a table; none if there is no such table."""
    with read_errors(table), suppress(FileNotFoundError):
        parsed = parse_table(table.read_bytes(), table)
        column = next((one for one in parsed.columns if one.strip().lower() == "participant_id"), None)
        if column is None:
            raise BidsdefaceError(f"{table}: has no column participant_id; correct it")
        return {f"sub-{value.strip().removeprefix('sub-')}" for value in parsed.values(column)}
    return set()


def _scopes(settings: MetadataOptions) -> list[SubjectScope]:
    """Return the scopes of a run: the requested sessions of each participant."""
    labels = settings.participants or participants(settings.bids_dir)
    return [SubjectScope(label, settings.sessions) for label in labels]


def _in_workers(
    work: Callable[[SubjectScope, RawDataset], SyncReport],
    scopes: Sequence[SubjectScope],
    settings: MetadataOptions,
    state: State | None,
    scratch: Path,
) -> tuple[_Reports, set[Exit]]:
    reports: _Reports = {}
    codes: set[Exit] = set()
    for scope, result in run_in_workers(_prepare, (work, settings, state, scratch), scopes, settings.n_procs):
        if isinstance(result, SyncReport):
            reports[scope.subject] = result
        else:
            reason = result.reason if isinstance(result, Lost) else str(result)
            LOGGER.error(
                "FAILED sub-%s: the files that accompany the defaced images were not copied: %s",
                scope.subject,
                reason,
            )
            codes.add(result.code if isinstance(result, Lost) else code_of_scan(result))
    if settings.output_dir.is_dir():
        sweep(settings.output_dir)
    return reports, codes


def _identifiers_in(reports: _Reports) -> dict[str, Identifiers]:
    return {label: one.identifiers for label, one in reports.items() if label}


def _log_reports(reports: _Reports, settings: MetadataOptions, state: State | None) -> set[Exit]:
    """Say what was left out and why, grouped; of a whole dataset, list it file by file in the work dir."""
    planned = [one for report in reports.values() for one in report.planned]
    left_out = [one for report in reports.values() for one in report.left_out]
    failed = [one for one in left_out if one.what == FILE and one.path.name.endswith(EXTENSIONS)]
    for one in failed:
        LOGGER.error("FAILED %s: left out: %s", one.path, one.reason)
    unsafe = {one for one in left_out if one.what == FILE and not one.waits}
    for level, beginning, parts in (
        # Those at the root were named before the run.
        (logging.WARNING, "WAITS", [one for one in left_out if one.waits and len(one.path.parts) > 1]),
        (logging.WARNING, "left out:", unsafe - set(failed)),
        (logging.INFO, "left out:", {one for one in (*planned, *left_out) if not one.waits} - unsafe),
    ):
        for line in in_groups(parts):
            LOGGER.log(level, "%s %s", beginning, line)
    if state and settings.is_about_all:
        folder = make_private(state.folder_for(COMPLETE, settings.output_dir))
        (folder / "left_out.tsv").write_text(as_table([*planned, *left_out]), encoding="utf-8")
        LOGGER.info("everything that was left out, file by file: %s", folder / "left_out.tsv")
    ends = {
        Exit.FAILED: bool(failed),
        Exit.WAITS: any(one.waits for one in left_out),
        Exit.RETRY: any(one.retry for one in left_out),
    }
    return {code for code, holds in ends.items() if holds}


def _prepare(
    work: Callable[[SubjectScope, RawDataset], SyncReport],
    settings: MetadataOptions,
    state: State | None,
    scratch: Path,
) -> Callable[[SubjectScope], list[SyncReport]]:
    """Return the function for a scope, in a worker that reads the files above participants once."""
    os.environ.update(environment_in(scratch))
    raw = RawDataset(settings, state)
    return lambda scope: [work(scope, raw)]
