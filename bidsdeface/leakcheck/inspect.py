"""Check one file for what may identify a person; findings name the place and the kind, never the value."""

import io
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from itertools import compress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bidsdeface.dataset.inheritance import JsonError, TwiceError, read_json
from bidsdeface.dataset.names import FileName
from bidsdeface.deidentify.columns import SHIFTED, TableOptions, scrub_columns
from bidsdeface.deidentify.contents import LINE_BYTES, OWN_PICTURES, open_unpacked, read_lines
from bidsdeface.deidentify.dictionary import scrub_dictionary
from bidsdeface.deidentify.edf import (
    ANNOTATION_TIME,
    ANONYMOUS,
    FORMAT,
    find_records,
    has_numbers,
    is_harmless_label,
    read_annotations,
    read_header,
    read_signals,
)
from bidsdeface.deidentify.patterns import LARGEST_NUMBER, LOCAL, WAITING, find_pii, is_date_number
from bidsdeface.deidentify.policy import Policy
from bidsdeface.deidentify.tables import TableError, check_rows, parse_table
from bidsdeface.deidentify.values import texts_in
from bidsdeface.imaging.image import clean_header
from bidsdeface.output.record import OWN_FIELDS
from bidsdeface.schema import has_no_columns

Found = Iterator[tuple[str, str]]  # kind and place
# Findings in a file that is not what its name says.
UNREADABLE: Mapping[type[Exception], tuple[str, str]] = {
    TwiceError: ("not JSON", "a field that stands twice"),
    JsonError: ("not JSON", "whole file"),
    TableError: ("malformed table", "whole file"),
}

LARGE_HEADER_NUMBER = {"toffset": 1e4}  # seconds: from three in the morning on
# Written by this program; only their texts are checked.
_WRITTEN_FIELDS = {*OWN_FIELDS, "Description", "Sources"}
_LABEL = re.compile(r"(?:sub|ses)-[A-Za-z0-9+]+")
# How version 0.1.0 replaced names and numbers: in texts, at the end of a cell, and as a whole cell.
_FALSIFIED, _REMOVED = re.compile(r"\[removed\]|\.removed\d*$"), re.compile(r"removed\d*")
_DRAWING = re.compile(r"<svg\b", re.IGNORECASE)
# Pictures as text: in a data URL, or by how PNG, JPEG, GIF, TIFF and WebP begin in base64.
_INLINE_PICTURE = re.compile(
    r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=\s]*"
    r"|(?<![A-Za-z0-9+/])(?:iVBORw0KGgo|/9j/[24]|R0lGOD[lh]|SUkqA|TU0AK|UklGR)[A-Za-z0-9+/=]{24,}"
)
_GENERATOR = re.compile(r'<meta\s+name="generator"\s+content="bidsdeface', re.IGNORECASE)
_ANNOTATION = re.compile(ANNOTATION_TIME + rb"\x14(?P<texts>[^\x00]{1,400})\x14")


def inspect_nifti(path: Path) -> Found:
    """Check the header of an image, and the bytes before and after its voxels."""
    import nibabel as nib

    with open_unpacked(path) as stream:
        start = stream.read(544)
        is_version_2 = 540 in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
        header_class = nib.Nifti2Header if is_version_2 else nib.Nifti1Header
        size = header_class.sizeof_hdr
        header = header_class.from_fileobj(io.BytesIO(start[:size]), check=False)
        clean = clean_header(header)
        yield from _header_findings(header, clean)
        offset = int(header["vox_offset"]) or clean.single_vox_offset
        length, is_filled = len(start), any(start[size:offset])
        for block in iter(lambda: stream.read(LINE_BYTES), b""):
            is_filled = is_filled or any(block[: max(offset - length, 0)])
            length += len(block)
        voxels = int(np.prod(header.get_data_shape())) * header.get_data_dtype().itemsize
        odd = {
            ("header extension", "before the voxels"): is_filled,
            ("bytes that belong to nothing", "after the voxels"): length > offset + voxels,
        }
        yield from compress(odd, odd.values())


def _header_findings(header: Any, clean: Any) -> Found:
    """Yield texts and numbers in a header that no reader needs."""
    for field in header:
        value, largest = header[field], LARGE_HEADER_NUMBER.get(field, LARGEST_NUMBER)
        is_clean = value.tobytes() == clean[field].tobytes() or field in ("vox_offset", "magic", "eol_check")
        if value.dtype.kind in "SV":
            if not is_clean and value.item().strip(b"\0 r"):
                yield "header text", f"header field {field}"
        elif any(map(is_date_number, np.ravel(value))) or (not is_clean and np.any(np.abs(value) >= largest)):
            yield "number in the header", f"header field {field}"


def inspect_edf(path: Path, is_shared: Callable[[str], bool] = lambda text: False) -> Found:
    """Check the header and the annotations of an EDF or BDF file; `is_shared` accepts labels of signals."""
    with path.open("rb") as stream:
        header = read_header(stream)
        harmless = {**ANONYMOUS, "patient": "X F M"}
        yield from (
            ("EDF header", field)
            for field in harmless
            if {*header[field].split()} - {*harmless[field].split()}
        )
        signals = read_signals(stream, header)
        begin, labels = stream.tell(), signals["label"]
        odd = {
            "reserved fields": not FORMAT.fullmatch(header["format"]) or any(signals["reserved"]),
            "labels of signals": not all(is_harmless_label(label) or is_shared(label) for label in labels),
            "signals": any(map(find_pii, (*labels, *signals["transducer"]))),
            "numbers": not has_numbers(header, signals),
        }
        yield from (("EDF header", place) for place in compress(odd, odd.values()))
        kinds: set[str] = set()
        if not odd["numbers"]:
            if find_records(stream, header, signals).stop < stream.seek(0, os.SEEK_END):
                yield "bytes that belong to nothing", "after the last record"
            for text, times in read_annotations(stream, header, signals):
                kinds.update(find_pii(text), ["date"] if any(map(is_date_number, times)) else [])
        stream.seek(begin)
        tail = b""  # annotations may also be in signals that are not labelled as such
        for block in iter(lambda: stream.read(LINE_BYTES), b""):
            for match in _ANNOTATION.finditer(tail + block):
                kinds.update(*map(find_pii, match["texts"].decode("utf-8", "replace").split("\x14")))
            tail = block[-512:]
        yield from ((kind, "annotation") for kind in sorted(kinds))


def inspect_picture(path: Path, kind: str, own: bool = False) -> Found:
    """Check the metadata of a picture; what it shows is not checked, so that only ours are no findings.

    One of ours lies where our pictures do (`own`), and says so in its text.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            marked = kind == "PNG" and picture.info.get(OWN_PICTURES[0]) == OWN_PICTURES[1]
            texts = {key: text for key, text in picture.info.items() if not marked or key != OWN_PICTURES[0]}
            odd = {
                kind: not (own and marked),
                "EXIF": bool(picture.getexif()),
                "text inside": any(isinstance(text, str) for text in texts.values()) or "comment" in texts,
            }
            yield from (("picture", place) for place in compress(odd, odd.values()))
    except OSError:  # a kind that Pillow does not read, or a damaged one
        yield from (("picture", kind), ("not looked into", kind))


def inspect_json(
    path: Path, policy: Policy, name: FileName | None = None, keep_columns: Collection[str] = ()
) -> Found:
    """Check a sidecar or a data dictionary: by the policy, nothing in it should be left out or changed."""
    task, datatype = (name.entities.get("task"), name.datatype) if name else (None, None)
    columns = () if name and has_no_columns(name.suffix) else None
    for field, value in read_json(path, may_repeat=False).items():
        if field in _WRITTEN_FIELDS:
            yield from ((kind, f"field {field}") for kind in _kinds_within(value))
        else:
            kept, reasons = scrub_dictionary(
                {field: value}, columns, policy, keep_columns, task, datatype=datatype
            )
            yield from (("identifying or unknown field", f"field {place}") for place in reasons)
            if not reasons and kept.get(field) != value:
                yield "field that says too much", f"field {field}"


def inspect_description(path: Path) -> Found:
    """Check the description of a dataset; its authors' names are no findings."""
    for field, value in read_json(path).items():
        kinds = {kind for text in texts_in(value) for kind in find_pii(text)}
        yield from ((kind, f"field {field}") for kind in sorted(kinds & {*WAITING, *LOCAL}))


def inspect_table(path: Path, name: PurePosixPath, options: TableOptions, made_by_010: bool) -> Found:
    """Check a table with a header: undescribed columns, dates, ages above 89, values altered by 0.1.0.

    Parameters
    ----------
    path : pathlib.Path
    name : PurePosixPath
        Relative to the dataset.
    options : TableOptions
    made_by_010 : bool
        Whether version 0.1.0 wrote it, which put 89 in the place of other units' ages too.
    """
    table, bad_rows = check_rows(parse_table(path.read_bytes(), PurePosixPath(name.name)), name)
    # Dates of before 1925 are shifted dates: they come back as they are.
    shared, left_out = scrub_columns(table, name, replace(options, days=lambda subject: 0))
    for excluded in (*bad_rows, *left_out):
        yield ("date" if SHIFTED in excluded.what else excluded.reason), excluded.what
    for column in table.columns:
        values = table.values(column)
        is_kept = column != SHIFTED and column in shared.columns
        odd = {
            "age above 89": is_kept and values != shared.values(column),
            "value that version 0.1.0 replaced: run again": any(
                _FALSIFIED.search(value) or (made_by_010 and _REMOVED.fullmatch(value)) for value in values
            ),
            "version 0.1.0 may have written 89 for another age: run again": (
                made_by_010 and "age" in column.casefold() and "89" in values
            ),
        }
        yield from ((kind, f"column {column}") for kind in compress(odd, odd.values()))


def inspect_text(path: Path, is_root_text: bool = False, is_own_table: bool = False) -> Found:
    """Check a text line by line; a README and the like only for what holds it back for a person.

    Our own tables and reports may hold labels: these are checked in the names of files.
    """
    ours = False
    for number, raw in enumerate(read_lines(path), start=1):
        line = raw.decode("utf-8", "replace")
        ours = ours or _GENERATOR.search(line) is not None
        is_drawn = path.suffix in (".html", ".htm", ".svg", ".md") and _DRAWING.search(line)
        text = _INLINE_PICTURE.sub(" ", _LABEL.sub("", line) if ours or is_own_table else line)
        odd = {
            "picture in a report": not ours and (is_drawn or _INLINE_PICTURE.search(line)),
            **{kind: kind in WAITING or not is_root_text for kind in find_pii(text)},
            "text that version 0.1.0 redacted: run again": is_root_text and "[removed]" in line,
        }
        yield from ((kind, f"line {number}") for kind in compress(odd, odd.values()))


def _kinds_within(value: Any) -> Iterator[str]:
    """Yield the kinds of identifiers in texts; numbers of published codes and labels are none."""
    if isinstance(value, Mapping):
        value = [part for name, part in value.items() if name != "CodeValue"]
    for part in value if isinstance(value, list) else ():
        yield from _kinds_within(part)
    if isinstance(value, str):
        yield from find_pii(_LABEL.sub("", value))
