"""Read the text in headers of files, to search other text for the names in it: NIfTI, gzip, EDF."""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from bidsdeface.privacy.contents import gzip_texts, open_unpacked
from bidsdeface.privacy.identifiers import About
from bidsdeface.privacy.looks import looks_like

_HEADER_BYTES = 1 << 20
_COMMENT = 6  # code of an extension that is plain text
_EDF_PATIENT, _EDF_RECORDING = slice(8, 88), slice(88, 168)


def header_texts(path: Path) -> Iterator[tuple[About, str]]:
    """Yield the free text in the header of a file, and what it is about.

    Parameters
    ----------
    path : pathlib.Path
        Of any kind; of what cannot be read, nothing is told.

    Yields
    ------
    about : About
    text : str
    """
    try:
        if path.suffix == ".gz":
            for text in gzip_texts(path):
                yield About.TEXT, decoded(text).partition(".")[0]
        if path.name.endswith((".nii", ".nii.gz")):
            with open_unpacked(path) as stream:
                yield from ((About.TEXT, text) for text in _nifti_texts(stream.read(_HEADER_BYTES)))
        elif path.suffix in (".edf", ".bdf"):
            with path.open("rb") as stream:
                yield from _edf_texts(stream.read(256))
    except (OSError, EOFError, zlib.error):
        return


def decoded(text: bytes) -> str:
    """Return text that is UTF-8, or else Latin-1."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _edf_texts(header: bytes) -> Iterator[tuple[About, str]]:
    """Yield the parts of the patient's field, which underlines keep together, and the recording's."""
    parts = decoded(header[_EDF_PATIENT]).split()
    yield from ((About.PERSON, part) for part in parts)
    yield About.PERSON, " ".join(part for part in parts if part.isalpha())
    yield About.TEXT, decoded(header[_EDF_RECORDING])


def _nifti_texts(start: bytes) -> Iterator[str]:
    """Yield the free text of an image's header, its comments, and what else tells in extensions."""
    if len(start) < 540:
        return
    version_2 = start[4:7] == b"n+2"
    for begin, end in ((240, 320), (320, 344)) if version_2 else ((14, 32), (148, 228), (228, 252)):
        yield decoded(start[begin:end].split(b"\0")[0])
    size = 540 if version_2 else 348
    order = ">" if start[:2] == b"\0\0" else "<"
    kind, at = ("q", 168) if version_2 else ("f", 108)
    (offset,) = struct.unpack_from(f"{order}{kind}", start, at)
    end = int(min(max(offset, 0), _HEADER_BYTES))
    for run in re.findall(rb"[ -~]{4,}", start[size:end]):
        if looks_like(text := run.decode("ascii")):
            yield text
    at = size + 4
    while at + 8 <= end:
        length, code = struct.unpack_from(f"{order}ii", start, at)
        if code == _COMMENT:
            yield decoded(start[at + 8 : min(at + length, end)].strip(b"\0"))
        at += max(length, 16)
