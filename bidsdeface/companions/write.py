"""Write one file of a dataset to share, as its treatment says.

Every file is written anew: nothing shares its bytes with the input, through no link of any kind.
"""

import gzip
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.companions.prune import STIMULUS, prune_metadata, prune_table
from bidsdeface.companions.review import fields_that_wait, why_text_waits
from bidsdeface.companions.select import WITHOUT_HEADER, FileKind
from bidsdeface.dataset.inheritance import (
    NameIndex,
    applicable,
    merged_metadata,
    parse_json,
    read_sidecar,
    read_with_additions,
)
from bidsdeface.dataset.names import DESCRIPTION, FileName, parse_name, stem_of
from bidsdeface.dataset.people import Census
from bidsdeface.deidentify.altered import day_offset
from bidsdeface.deidentify.columns import TableOptions, columns_to_keep, scrub_columns
from bidsdeface.deidentify.contents import LINE_BYTES, open_unpacked, read_lines
from bidsdeface.deidentify.dictionary import NO_COLUMN, scrub_dictionary
from bidsdeface.deidentify.edf import AFTER_RECORDS, scrub_edf
from bidsdeface.deidentify.excluded import NAME, Excluded
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.deidentify.policy import Policy, load_policy
from bidsdeface.deidentify.tables import (
    GRADIENTS,
    Table,
    check_rows,
    find_identifying_number,
    format_table,
    parse_table,
)
from bidsdeface.errors import BidsdefaceError
from bidsdeface.imaging.image import clean_header, read_image, write_image
from bidsdeface.output.description import describe_shareable
from bidsdeface.output.record import to_json
from bidsdeface.schema import table_columns

ABSENT = "names what is not in the output"


@dataclass(frozen=True)
class Wishes:
    """What a person asked for, of metadata, tables and texts.

    Attributes
    ----------
    policy : mapping of str to Rule
    keep_columns, drop_columns : tuple of str
        As ``NAME`` or ``TABLE:NAME``.
    key : bytes or None
        Private; without it, dates are dropped.
    data_dictionary : pathlib.Path or None
        Folder of JSON files that describe columns beside those of the dataset.
    is_accepted : callable
        Takes the name and the content of a text, and returns True if a person has accepted it.
    """

    policy: Policy = field(default_factory=load_policy)
    keep_columns: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    key: bytes | None = None
    data_dictionary: Path | None = None
    is_accepted: Callable[[str, bytes], bool] = lambda name, content: False


@dataclass(frozen=True)
class Source:
    """A dataset to carry over from, and what will be in the new one.

    Attributes
    ----------
    root : Path
    wishes : Wishes
    present : frozenset of PurePosixPath
        Files that the output has or will have: what is carried, and what was defaced and passed.
    sidecars : NameIndex
        All JSON files that are carried.
    fieldmaps : mapping of PurePosixPath to frozenset of str
        Every image's ``B0FieldIdentifier``.
    identifiers : Identifiers
        What no kept text may hold.
    census : Census
    """

    root: Path
    wishes: Wishes
    present: frozenset[PurePosixPath]
    sidecars: NameIndex
    fieldmaps: Mapping[PurePosixPath, frozenset[str]]
    identifiers: Identifiers
    census: Census

    def fieldmaps_of(self, subject: str | None) -> frozenset[str]:
        """Return the field maps that are present, of a participant or of all."""
        within = f"sub-{subject}/" if subject else ""
        there = (path for path in self.fieldmaps if path in self.present and str(path).startswith(within))
        return frozenset().union(*(self.fieldmaps[path] for path in there))

    def without(self, absent: Collection[PurePosixPath]) -> "Source":
        """Return the same without some files and the sidecars that go with them."""
        stems = {(path.parent, stem_of(path)) for path in absent}
        present = (path for path in self.present if (path.parent, stem_of(path)) not in stems)
        return replace(self, present=frozenset(present))


class NotShareable(BidsdefaceError):
    """A file that cannot be made safe, with the reason, and what to do to have it in the output."""

    def __init__(self, reason: str, remedy: str = "", waits: bool = False) -> None:
        super().__init__(reason)
        self.remedy, self.waits = remedy, waits


Parts = Iterable[Excluded]  # what of a file is not written


def check_metadata(source: Source, path: PurePosixPath) -> None:
    """Refuse a file of which a JSON file that describes it cannot be read: what BIDS requires may be in it.

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
                raise NotShareable(f"its metadata cannot be read: {error}") from error


def _write_image(source: Source, path: PurePosixPath, target: Path, *_: Any) -> None:
    image = read_image(source.root / path)
    write_image(target, clean_header(image.header), image.stored)
    if read_image(target).stored.tobytes(order="F") != image.stored.tobytes(order="F"):
        raise NotShareable("its voxels did not come back as they were written; is the disk sound?")


def _write_sidecar(source: Source, path: PurePosixPath, target: Path, added: Mapping[str, Any]) -> Parts:
    if path == DESCRIPTION:
        return _write_description(source, path, target)
    if (name := parse_name(path)) is None:
        raise NotShareable("is not named as BIDS asks")
    wishes, subject = source.wishes, name.entities.get("sub")
    content = read_with_additions(source.root, name, wishes.data_dictionary)
    kept, reasons = scrub_dictionary(
        content,
        _columns_described_by(source, name, content),
        wishes.policy,
        columns_to_keep(name.suffix, wishes.keep_columns),
        name.entities.get("task"),
        datatype=name.datatype,
        identifies=source.identifiers.are_in,
    )
    pruned = prune_metadata(kept, subject, source.present, source.fieldmaps_of(subject), wishes.policy)
    if name.suffix == "m0scan" and "IntendedFor" in kept:  # BIDS requires it: an empty list stays
        pruned.setdefault("IntendedFor", [])
    target.write_text(to_json({**pruned, **added}), encoding="utf-8")
    left_out = [Excluded(path, ABSENT, f"field {key}") for key in kept if pruned.get(key) != kept[key]]
    for key, whole in reasons.items():
        reason, _, detail = whole.partition(": ")
        remedy = "" if whole == NO_COLUMN else f"--keep-field {NAME}"
        left_out.append(Excluded(path, reason, f"field {key}", remedy, detail=detail))
    return left_out


def _write_description(source: Source, path: PurePosixPath, target: Path) -> Parts:
    raw = (source.root / path).read_bytes()
    content = parse_json(raw)
    described, reasons = describe_shareable(content)
    waiting = (
        {}
        if source.wishes.is_accepted(path.name, raw)
        else fields_that_wait(content, path, source.identifiers)
    )
    # A name and a version are required; our own version of what made the dataset holds nobody's name.
    kept = {field: value for field, value in described.items() if field not in waiting}
    target.write_text(to_json({**({"Name": "n/a"} if "Name" in waiting else {}), **kept}), encoding="utf-8")
    return [
        *waiting.values(),
        *(Excluded(path, reason, f"field {field}", "say it in README") for field, reason in reasons.items()),
    ]


def _write_table(source: Source, path: PurePosixPath, target: Path, *_: Any) -> Parts:
    table = parse_table((source.root / path).read_bytes(), path)
    shared, left_out = scrubbed_table(source, path, table)
    required = {column for column, rule in table_columns(path).items() if rule.is_required}
    if lost := sorted(required & {*table.columns} - {*shared.columns}):
        reasons = {one.what: one.whole_reason for one in left_out}
        raise NotShareable(f"BIDS requires its column {lost[0]}: {reasons[f'column {lost[0]}']}")
    if not shared.columns:
        raise NotShareable("has no column that can be shared")
    target.write_text(format_table(shared), encoding="utf-8")
    return left_out


def scrubbed_table(source: Source, path: PurePosixPath, table: Table) -> tuple[Table, list[Excluded]]:
    """Return what of a table may be shared: rows about what is present, and columns that are described."""
    name, wishes = parse_name(path), source.wishes
    sidecars = source.sidecars.near(name) if name else ()
    options = TableOptions(
        merged_metadata(source.root, name, sidecars, wishes.data_dictionary) if name else {},
        lambda column: source.census.spread(path, column),
        source.identifiers.are_in,
        partial(day_offset, wishes.key) if wishes.key else None,
        wishes.keep_columns,
        wishes.drop_columns,
    )
    checked, bad_rows = check_rows(table, path)
    pruned = prune_table(checked, path, source.present)
    absent = [
        Excluded(path, "is about what is not in the output", f"line {line}")
        for line in checked.lines
        if line not in pruned.lines
    ]
    if STIMULUS in pruned.columns and pruned.values(STIMULUS) != checked.values(STIMULUS):
        absent.append(Excluded(path, f"{ABSENT}: n/a", f"column {STIMULUS}", "--include 'stimuli/*'"))
    shared, undescribed = scrub_columns(pruned, path, options)
    return shared, [*bad_rows, *absent, *undescribed]


def _columns_described_by(source: Source, dictionary: FileName, content: Mapping[str, Any]) -> frozenset[str]:
    """Return those of its keys that are shared columns of the tables that a data dictionary describes."""
    named = content.get("Columns")
    listed = {one for one in named if isinstance(one, str)} if isinstance(named, list) else set()
    columns: set[str] = set()
    for data in source.present:
        name = parse_name(data) if data.name.endswith((f"{dictionary.suffix}.tsv", ".tsv.gz")) else None
        missing = {*content, *listed} - columns
        if not name or not applicable(name, [dictionary]) or not missing:
            continue
        if name.extension == ".tsv" and name.suffix not in WITHOUT_HEADER:
            try:
                raw = (source.root / data).read_bytes()
                # Of thousands of tables, a few have a column that none before them had.
                if any(column.encode() in raw.partition(b"\n")[0] for column in missing):
                    shared, _ = scrubbed_table(source, data, parse_table(raw, data))
                    columns |= missing & set(shared.columns)
            except (BidsdefaceError, OSError):
                continue  # that table is left out by itself
        else:
            columns |= listed
    return frozenset(columns)


def _write_recording(source: Source, path: PurePosixPath, target: Path, *_: Any) -> None:
    """Copy a table of numbers, packed without name and time."""
    if told := find_identifying_number(read_lines(source.root / path), gradients=path.suffix in GRADIENTS):
        kind, place = told
        raise NotShareable(f"{place}: {kind}; only measurements go along")
    with open_unpacked(source.root / path) as stream, target.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                shutil.copyfileobj(stream, packed, LINE_BYTES)
        else:
            shutil.copyfileobj(stream, raw, LINE_BYTES)


def _write_text(source: Source, path: PurePosixPath, target: Path, *_: Any) -> None:
    content = (source.root / path).read_bytes()
    waits = why_text_waits(content, path, source.identifiers)
    if waits and not source.wishes.is_accepted(path.name, content):
        raise NotShareable(waits.reason, waits.remedy, waits=True)
    target.write_bytes(content)


def _write_edf(source: Source, path: PurePosixPath, target: Path, *_: Any) -> Parts:
    emptied = scrub_edf(source.root / path, target, source.census.is_shared, source.identifiers.are_in)
    unusual, outside = "some are neither usual nor shared by three participants", "they belong to no record"
    return [
        Excluded(path, outside, what)
        if what == AFTER_RECORDS
        else Excluded(path, unusual, f"texts of {what}")
        for what in emptied
    ]


def _write_copy(source: Source, path: PurePosixPath, target: Path, *_: Any) -> None:
    shutil.copyfile(source.root / path, target)  # bytes, through links: the copy is a plain file


WRITERS: dict[FileKind, Callable[..., Parts | None]] = {
    FileKind.IMAGE: _write_image,
    FileKind.SIDECAR: _write_sidecar,
    FileKind.TABLE: _write_table,
    FileKind.RECORDING: _write_recording,
    FileKind.TEXT: _write_text,
    FileKind.EDF: _write_edf,
    FileKind.COPY: _write_copy,
}
