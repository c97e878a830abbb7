"""Write one sidecar, dataset description or table: only the fields and columns that may be shared."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.companions.prune import STIMULUS, prune_metadata, prune_table
from bidsdeface.companions.review import fields_that_wait
from bidsdeface.companions.select import WITHOUT_HEADER
from bidsdeface.companions.source import Source
from bidsdeface.dataset.inheritance import (
    applicable,
    merged_metadata,
    parse_json,
    read_sidecar,
    read_with_additions,
)
from bidsdeface.dataset.names import DESCRIPTION, FileName, parse_name
from bidsdeface.deidentify.altered import day_offset
from bidsdeface.deidentify.columns import TableOptions, columns_to_keep, scrub_columns
from bidsdeface.deidentify.dictionary import NO_COLUMN, scrub_dictionary
from bidsdeface.deidentify.excluded import NAME, Excluded
from bidsdeface.deidentify.tables import Table, check_rows, format_table, parse_table
from bidsdeface.errors import BidsdefaceError
from bidsdeface.output.description import describe_shareable
from bidsdeface.output.record import to_json
from bidsdeface.schema import table_columns

ABSENT = "names what is not in the output"
Parts = Iterable[Excluded]  # parts of a file that are not written


class NotShareable(BidsdefaceError):
    """A file that cannot be made safe; the argument is what to say about it, an `Excluded`."""


def check_metadata(source: Source, path: PurePosixPath) -> None:
    """Refuse a data file if a JSON file that describes it cannot be read: BIDS may require what is in it.

    Raises
    ------
    BidsdefaceError
        It names the JSON file.
    """
    name = parse_name(path)
    for sidecar in applicable(name, source.sidecars.near(name)) if name else ():
        if os.path.lexists(source.root / sidecar.path):  # else it is in the folder of --data-dictionary
            try:
                read_sidecar(source.root, sidecar.path)
            except BidsdefaceError as error:
                raise NotShareable(Excluded(path, f"its metadata cannot be read: {error}")) from error


def write_sidecar(source: Source, path: PurePosixPath, target: Path, added: Mapping[str, Any]) -> Parts:
    """Write a JSON file with the fields that the policy keeps, and some added ones."""
    if path == DESCRIPTION:
        return _write_description(source, path, target)
    if (name := parse_name(path)) is None:
        raise NotShareable(Excluded(path, "does not have a BIDS name"))
    settings, subject = source.raw.settings, name.entities.get("sub")
    content = read_with_additions(source.root, name, settings.data_dictionary)
    kept, reasons = scrub_dictionary(
        content,
        _columns_described_by(source, name, content),
        settings.policy,
        columns_to_keep(name.suffix, settings.keep_columns),
        name.entities.get("task"),
        datatype=name.datatype,
        identifies=source.identifiers.are_in,
    )
    pruned = prune_metadata(kept, subject, source.present, source.fieldmaps_of(subject), settings.policy)
    if name.suffix == "m0scan" and "IntendedFor" in kept:  # BIDS requires it: an empty list stays
        pruned.setdefault("IntendedFor", [])
    target.write_text(to_json({**pruned, **added}), encoding="utf-8")
    with_details = {key: reason.partition(": ") for key, reason in reasons.items()}
    return [
        *(Excluded(path, ABSENT, f"field {key}") for key in kept if pruned.get(key) != kept[key]),
        *(
            Excluded(
                path,
                reason,
                f"field {key}",
                "" if reason == NO_COLUMN else f"--keep-field {NAME}",
                detail=detail,
            )
            for key, (reason, _, detail) in with_details.items()
        ),
    ]


def _write_description(source: Source, path: PurePosixPath, target: Path) -> Parts:
    raw = (source.root / path).read_bytes()
    content = parse_json(raw)
    described, reasons = describe_shareable(content)
    waiting = (
        {} if source.raw.is_accepted(path.name, raw) else fields_that_wait(content, path, source.identifiers)
    )
    # A name and a version are required; our own version of what made the dataset holds nobody's name.
    kept = {field: value for field, value in described.items() if field not in waiting}
    target.write_text(to_json({**({"Name": "n/a"} if "Name" in waiting else {}), **kept}), encoding="utf-8")
    return [
        *waiting.values(),
        *(Excluded(path, reason, f"field {field}", "say it in README") for field, reason in reasons.items()),
    ]


def write_table(source: Source, path: PurePosixPath, target: Path, *_: Any) -> Parts:
    """Write a table with the columns that are described, and the rows about files that are present."""
    table = parse_table((source.root / path).read_bytes(), path)
    shared, parts = _scrubbed_table(source, path, table)
    required = {column for column, rule in table_columns(path).items() if rule.is_required}
    if lost := sorted(required & {*table.columns} - {*shared.columns}):
        why = next(one.whole_reason for one in reversed(parts) if one.what == f"column {lost[0]}")
        raise NotShareable(Excluded(path, f"BIDS requires its column {lost[0]}: {why}"))
    if not shared.columns:
        raise NotShareable(Excluded(path, "has no column that can be shared"))
    target.write_text(format_table(shared), encoding="utf-8")
    return parts


def _scrubbed_table(source: Source, path: PurePosixPath, table: Table) -> tuple[Table, list[Excluded]]:
    """Return the part of a table that may be shared, and the parts that are left out."""
    name, settings, state = parse_name(path), source.raw.settings, source.raw.state
    sidecars = source.sidecars.near(name) if name else ()
    options = TableOptions(
        merged_metadata(source.root, name, sidecars, settings.data_dictionary) if name else {},
        lambda column: source.raw.census.spread(path, column),
        source.identifiers.are_in,
        partial(day_offset, state.derive("dates")) if state else None,  # without a key, dates are dropped
        settings.keep_columns,
        settings.drop_columns,
    )
    checked, bad_rows = check_rows(table, path)
    pruned = prune_table(checked, path, source.present)
    absent = [
        Excluded(path, "is about something that is not in the output", f"line {line}")
        for line in checked.rows
        if line not in pruned.rows
    ]
    if STIMULUS in pruned.columns and pruned.values(STIMULUS) != checked.values(STIMULUS):
        absent.append(Excluded(path, f"{ABSENT}: n/a", f"column {STIMULUS}", "--include 'stimuli/*'"))
    shared, undescribed = scrub_columns(pruned, path, options)
    return shared, [*bad_rows, *absent, *undescribed]


def _columns_described_by(source: Source, dictionary: FileName, content: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys of a data dictionary that are shared columns of the tables that it describes."""
    named = content.get("Columns")
    listed = {one for one in named if isinstance(one, str)} if isinstance(named, list) else set()
    columns: set[str] = set()
    tables = (path for path in source.present if path.name.endswith((f"{dictionary.suffix}.tsv", ".tsv.gz")))
    for name in filter(None, map(parse_name, tables)):
        missing = {*content, *listed} - columns if applicable(name, [dictionary]) else set()
        if missing and (name.extension != ".tsv" or name.suffix in WITHOUT_HEADER):
            columns |= listed
        elif missing:
            with suppress(BidsdefaceError, OSError):  # that table is left out by itself
                raw = (source.root / name.path).read_bytes()
                # Of thousands of tables, a few have a column that none before them had.
                if any(column.encode() in raw.partition(b"\n")[0] for column in missing):
                    shared, _ = _scrubbed_table(source, name.path, parse_table(raw, name.path))
                    columns |= missing & set(shared.columns)
    return frozenset(columns)
