"""Write one file of a dataset to share, as its treatment says.

Every file is written anew: nothing shares its bytes with the input, through no link of any kind.
"""

import gzip
import json
import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.carryover import WITHOUT_HEADER, Treatment
from bidsdeface.dataset.description import describe_shareable
from bidsdeface.dataset.filename import FileName, applicable, parse_name
from bidsdeface.dataset.redaction import (
    redacted_description,
    redacted_dictionary,
    redacted_table,
    renamed,
)
from bidsdeface.dataset.references import prune_metadata, prune_table
from bidsdeface.dataset.sidecar import to_json
from bidsdeface.errors import BidsdefaceError
from bidsdeface.imaging.image import clean_header, read_image, write_image
from bidsdeface.privacy.contents import open_unpacked
from bidsdeface.privacy.dates import day_offset
from bidsdeface.privacy.dictionary import scrub_dictionary
from bidsdeface.privacy.edf import scrub_edf
from bidsdeface.privacy.identifiers import Identifiers
from bidsdeface.privacy.policy import Policy, load_policy
from bidsdeface.privacy.recordings import LINE_BYTES, find_telling_numbers
from bidsdeface.privacy.redact import redact
from bidsdeface.privacy.tables import (
    INDEX_COLUMNS,
    ScrubbedTable,
    Table,
    format_table,
    parse_table,
    required_columns,
    scrub_table,
)

LOGGER = logging.getLogger(__name__)
STATEMENT = (
    "De-identified with bidsdeface: faces removed from anatomical images; headers, sidecars and tables "
    "cleaned. Functional, diffusion and phase images are defaced only where their sidecar says so: else "
    "their voxels are as acquired. Other images that show a head were left out."
)


@dataclass(frozen=True)
class Wishes:
    """What a person asked for, of metadata and tables.

    Attributes
    ----------
    policy : mapping of str to Rule
    keep_columns, drop_columns : tuple of str
    key : bytes or None
        Private; without it, dates are dropped.
    """

    policy: Policy = field(default_factory=load_policy)
    keep_columns: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    key: bytes | None = None


@dataclass(frozen=True)
class Source:
    """A dataset to carry over from, and what will be in the new one.

    Attributes
    ----------
    root : Path
    present : frozenset of PurePosixPath
        Files that the output has or will have: what is carried, and what was defaced and passed.
    sidecars : tuple of FileName
        All JSON files that are carried.
    fieldmaps : mapping of PurePosixPath to frozenset of str
        Every image's ``B0FieldIdentifier``.
    identifiers : Identifiers
        What is redacted.
    """

    root: Path
    present: frozenset[PurePosixPath]
    sidecars: tuple[FileName, ...]
    fieldmaps: Mapping[PurePosixPath, frozenset[str]]
    identifiers: Identifiers

    def fieldmaps_of(self, subject: str | None) -> frozenset[str]:
        """Return the field maps that are present, of a participant or of all."""
        within = f"sub-{subject}/" if subject else ""
        there = (path for path in self.fieldmaps if path in self.present and str(path).startswith(within))
        return frozenset().union(*(self.fieldmaps[path] for path in there))

    def without(self, absent: Collection[PurePosixPath]) -> "Source":
        """Return the same without some files and the sidecars that go with them."""
        stems = {stem(path) for path in absent}
        return replace(self, present=frozenset(path for path in self.present if stem(path) not in stems))


class NotCarried(BidsdefaceError):
    """A file that cannot be made safe, with the reason."""


def check_metadata(source: Source, path: PurePosixPath) -> None:
    """Refuse a file of which a JSON file that describes it cannot be read: what BIDS requires may be in it.

    Raises
    ------
    BidsdefaceError
        It names the JSON file.
    """
    name = parse_name(path)
    for sidecar in applicable(name, source.sidecars) if name else ():
        check_fetched(source.root / sidecar.path, source.root)
        try:
            read_json(source.root / sidecar.path)
        except NotCarried as error:
            raise NotCarried(f"its metadata cannot be read: {sidecar.path} {error}") from error


def _write_image(source: Source, path: PurePosixPath, target: Path, *_: Any) -> tuple[str, ...]:
    image = read_image(source.root / path)
    header = clean_header(image.header)
    write_image(target, header, image.stored)
    written = read_image(target)
    if written.stored.tobytes(order="F") != image.stored.tobytes(order="F"):
        raise NotCarried("its voxels did not come back as they were written; is the disk sound?")
    return ()


def _write_sidecar(
    source: Source, path: PurePosixPath, target: Path, wishes: Wishes, added: Mapping[str, Any]
) -> tuple[str, ...]:
    content = read_json(source.root / path)
    if path.name == "dataset_description.json":
        target.write_text(
            to_json(redacted_description(describe_shareable(content), source.identifiers)), encoding="utf-8"
        )
        return ()
    name = parse_name(path)
    entities = name.entities if name else {}
    subject = entities.get("sub")
    columns = _columns_described_by(source, path, content, wishes)
    kept, dropped = scrub_dictionary(
        content,
        columns,
        wishes.policy,
        wishes.keep_columns,
        entities.get("task"),
        datatype=name.datatype if name else None,
        telling=lambda text: redact(text, source.identifiers)[1] > 0,
    )
    # A text of a sidecar's field stays as it is, or goes as a whole; what is said of columns is redacted.
    told = {
        field: value
        for field, value in kept.items()
        if field not in wishes.keep_columns and (isinstance(value, Mapping) or field == "Columns")
    }
    rest = {field: value for field, value in kept.items() if field not in told}
    redacted = redacted_dictionary(told, source.identifiers)
    dropped += tuple(f"{field} (redacted)" for field in told if redacted.get(field) != told[field])
    kept = {**rest, **redacted}
    kept = prune_metadata(kept, subject, source.present, source.fieldmaps_of(subject), wishes.policy)
    target.write_text(to_json({**kept, **added}), encoding="utf-8")
    return dropped


def _write_table(
    source: Source, path: PurePosixPath, target: Path, wishes: Wishes, _: Any
) -> tuple[str, ...]:
    table = parse_table((source.root / path).read_bytes(), path)
    dictionary = dictionary_of(source.root, path, source.sidecars)
    result = scrubbed_table(path, table, dictionary, wishes, source.identifiers)
    result = redacted_table(result, dictionary, source.identifiers, wishes.keep_columns)
    if lost := required_columns(path.stem.rpartition("_")[2]) & set(result.dropped):
        raise NotCarried(
            f"values of {', '.join(sorted(lost))}, which BIDS requires, may tell who it is; correct them "
            "(an onset counts from the start of the recording, in seconds: no time of day)"
        )
    table = prune_table(result.table, path, source.present)
    if not table.columns:
        raise NotCarried("has no column that can be shared")
    target.write_text(format_table(table), encoding="utf-8")
    changed = tuple(f"{column} ({count} values redacted)" for column, count in result.redacted.items())
    if changed:
        LOGGER.warning(
            "%s: %s, as they name somebody elsewhere; levels of a data dictionary, in lower case, and "
            "columns of --keep-column stay as they are",
            path,
            ", ".join(changed),
        )
    return (*result.dropped, *changed)


def _write_recording(source: Source, path: PurePosixPath, target: Path, *_: Any) -> tuple[str, ...]:
    """Copy a table of numbers, packed without name and time."""
    with open_unpacked(source.root / path) as stream:
        lines = iter(lambda: stream.readline(LINE_BYTES), b"")
        if told := find_telling_numbers(lines, gradients=path.suffix in (".bval", ".bvec")):
            kind, place = told
            raise NotCarried(f"{place}: {kind}; only measurements go along")
    with open_unpacked(source.root / path) as stream, target.open("wb") as raw:
        if path.suffix != ".gz":
            shutil.copyfileobj(stream, raw, LINE_BYTES)
            return ()
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            shutil.copyfileobj(stream, packed, LINE_BYTES)
    return ()


def _write_text(source: Source, path: PurePosixPath, target: Path, *_: Any) -> tuple[str, ...]:
    try:
        text = (source.root / path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise NotCarried("is not UTF-8; save it as UTF-8") from None
    text, _count = redact(text, source.identifiers)
    target.write_text(with_statement(path.name, text), encoding="utf-8")
    return ()


def with_statement(name: str, text: str) -> str:
    """Return a README or a list of changes with what was done to the data; other texts as they are."""
    if name.startswith("README"):
        return f"{text.rstrip()}\n\n{STATEMENT}\n".lstrip()
    if name.startswith("CHANGES"):
        return f"Version to share\n  - {STATEMENT}\n\n{text}"
    return text


def _write_edf(source: Source, path: PurePosixPath, target: Path, *_: Any) -> tuple[str, ...]:
    scrub_edf(source.root / path, target)
    return ()


def _write_copy(source: Source, path: PurePosixPath, target: Path, *_: Any) -> tuple[str, ...]:
    shutil.copyfile(source.root / path, target)  # bytes, through links: the copy is a plain file
    return ()


WRITERS: dict[Treatment, Callable[..., tuple[str, ...]]] = {
    Treatment.IMAGE: _write_image,
    Treatment.SIDECAR: _write_sidecar,
    Treatment.TABLE: _write_table,
    Treatment.RECORDING: _write_recording,
    Treatment.TEXT: _write_text,
    Treatment.EDF: _write_edf,
    Treatment.COPY: _write_copy,
}


def scrubbed_table(
    path: PurePosixPath,
    table: Table,
    dictionary: Mapping[str, Any],
    wishes: Wishes,
    identifiers: Identifiers,
) -> ScrubbedTable:
    """Return what of a table may be shared: a column that is called like somebody is dropped."""
    name = parse_name(path)
    subject = name.entities.get("sub") if name else None
    days = day_offset(wishes.key, subject) if wishes.key and subject else None
    told = renamed(table.columns, identifiers)
    called = {column for column in table.columns if told[column] != column}
    return scrub_table(
        table,
        path.stem.rpartition("_")[2],
        path,
        dictionary=dictionary,
        days=days,
        keep=wishes.keep_columns,
        drop={*wishes.drop_columns, *called} - set(wishes.keep_columns) - INDEX_COLUMNS.keys(),
    )


def dictionary_of(root: Path, table: PurePosixPath, sidecars: Iterable[FileName]) -> dict[str, Any]:
    """Read what describes the columns of a table, from all sidecars that apply to it."""
    name = parse_name(table)
    return merged_metadata(root, applicable(name, sidecars)) if name else {}


def _columns_described_by(
    source: Source, path: PurePosixPath, content: Mapping[str, Any], wishes: Wishes
) -> frozenset[str]:
    """Return the columns of the tables that a data dictionary describes, as far as they are shared."""
    dictionary = parse_name(path)
    columns: set[str] = set()
    for data in source.present if dictionary else ():
        name = parse_name(data)
        if not name or not dictionary or not applicable(name, [dictionary]):
            continue
        if name.extension == ".tsv" and name.suffix not in WITHOUT_HEADER:
            try:
                table = parse_table((source.root / data).read_bytes(), data)
                described = dictionary_of(source.root, data, source.sidecars)
                shared = scrubbed_table(data, table, described, wishes, source.identifiers)
                columns |= set(shared.table.columns)
            except (BidsdefaceError, OSError):
                continue  # that table is left out by itself
        elif name.extension in (".tsv", ".tsv.gz"):
            columns |= {one for one in content.get("Columns", ()) if isinstance(one, str)}
    return frozenset(columns)


def merged_metadata(root: Path, sidecars: Iterable[FileName]) -> dict[str, Any]:
    """Read JSON files and merge them, the last one winning."""
    merged: dict[str, Any] = {}
    for sidecar in sidecars:
        try:
            merged |= read_json(root / sidecar.path)
        except (BidsdefaceError, OSError):
            continue  # left out by itself, with the reason
    return merged


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or say why there is none."""
    try:
        content = json.loads(path.read_bytes())  # UTF-8 or UTF-16, with a byte order mark or without
    except UnicodeDecodeError:
        raise NotCarried("is not UTF-8; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise NotCarried(f"is not JSON ({type(error).__name__}); correct it") from None
    if not isinstance(content, dict):
        raise NotCarried("is not a JSON object; correct it")
    return content


def stem(path: PurePosixPath) -> PurePosixPath:
    """Return a path without any of its extensions."""
    return path.with_name(path.name.partition(".")[0])
