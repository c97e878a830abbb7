"""Recognise kinds of file by their first bytes, not by their names; and read what a gzip header reveals."""

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import compress
from pathlib import Path
from typing import IO, cast

GZIP = b"\x1f\x8b"
START_BYTES = 2048
LINE_BYTES = 1 << 20
BLOCK_BYTES, MEMBER_HEADER_BYTES = 1 << 18, 10
OWN_PICTURES = ("Software", "bidsdeface")  # the text in a picture of ours
# How files begin, as regular expressions, in the order in which they are tried.
_KINDS = {
    kind: re.compile(start, re.DOTALL)
    for kind, start in {
        "empty": rb"\Z",
        "nifti": rb"(?:\x5c\x01\0\0|\0\0\x01\x5c).{340}n[+i]1|(?:\x1c\x02\0\0|\0\0\x02\x1c)n[+i]2",
        # With its preamble, or with an element of group 2 or 8 at once.
        "scanner DICOM": rb".{128}DICM|[\x02\x08]\0..(?:UL|CS|UI|DA|TM|OB|SH)",
        "scanner Philips PAR": rb"(?=[\0-\x7f]{256}|[\0-\x7f]*\Z).{0,235}DATA DESCRIPTION FILE",
        "scanner Bruker": rb"##(?:TITLE=|\$)",
        "edf": rb"(?:0       |\xffBIOSEMI).{248}",
        "picture JPEG": rb"\xff\xd8\xff",
        "picture PNG": rb"\x89PNG\r\n\x1a\n",
        "picture GIF": rb"GIF8",
        "picture TIFF": rb"II[*+]\0|MM\0[*+]",
        "picture BMP": rb"BM(?=.{0,13}\0)",
        "picture HEIC": rb".{4}ftyp(?:hei[cx]|m[is]f1)",
        "picture AVIF": rb".{4}ftypavif",
        "closed video": rb".{4}ftyp|\x1aE\xdf\xa3",
        "picture WebP": rb"RIFF.{4}WEBP",
        "closed zip archive": rb"PK\x03\x04",
        "closed 7z archive": rb"7z\xbc\xaf",
        "closed rar archive": rb"Rar!",
        "closed bzip2 file": rb"BZh",
        "closed xz file": rb"\xfd7zXZ",
        "closed zstandard file": rb"\x28\xb5\x2f\xfd",
        "closed PDF": rb"%PDF",
        "closed Office file": rb"\xd0\xcf\x11\xe0",
        "closed HDF5 file": rb"\x89HDF",
        "closed database": rb"SQLite format 3\0",
        "closed MINC file": rb"CDF[\x01\x02]",
        "closed sound": rb"OggS|ID3[\x02-\x04]|fLaC",
        "closed sound or video": rb"RIFF",
        "closed array": rb"\x93NUMPY",
        "closed MATLAB file": rb"MATLAB 5\.0",
        "closed NRRD image": rb"NRRD000",
        "closed MetaImage": rb"ObjectType = ",
        "closed surface": rb"# vtk DataFile|ply[\n\r]",
        "closed BrainVision file": rb"Brain ?Vision",
        "text": rb"[^\0-\x08\x0e-\x1f]*\Z",
    }.items()
}


def kind_of(start: bytes) -> str:
    r"""Return the kind of a file that begins like this.

    Parameters
    ----------
    start : bytes
        The first `START_BYTES` of the file, unpacked.

    Returns
    -------
    str
        ``empty``, ``nifti``, ``edf``, ``scanner …``, ``picture …``, ``closed …`` (of a kind that is not
        looked into), ``text`` or ``unknown``.

    Examples
    --------
    >>> kind_of(b"# === DATA DESCRIPTION FILE ==="), kind_of(b"\xff\xd8\xff\xe1"), kind_of(b"onset\tduration")
    ('scanner Philips PAR', 'picture JPEG', 'text')
    """
    return next((kind for kind, begins in _KINDS.items() if begins.match(start)), "unknown")


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, through gzip if it is packed."""
    with path.open("rb") as raw:
        is_packed = raw.peek(len(GZIP)).startswith(GZIP)
        yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if is_packed else raw


def decoded(content: bytes) -> str:
    """Return bytes as text: UTF-8, or what older programs write instead."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, unpacked, and long ones in pieces."""
    with open_unpacked(path) as stream:
        yield from iter(lambda: stream.readline(LINE_BYTES), b"")


def gzip_extras(path: Path) -> set[str]:
    """Return the contents of a gzip file other than its data, in the headers of its members or after them.

    Parameters
    ----------
    path : pathlib.Path
        Packed or not.

    Returns
    -------
    set of str
        ``time``, ``extra field``, ``name``, ``comment``, ``bytes after the data``.

    Raises
    ------
    EOFError, isal.isal_zlib.error
        The file is cut short or damaged.
    """
    from isal import isal_zlib

    extras: set[str] = set()
    with path.open("rb") as file:
        rest = file.read(BLOCK_BYTES)
        is_packed = rest.startswith(GZIP)
        while rest.startswith(GZIP):
            flags = int.from_bytes(rest[3:4], "little")
            has = {"time": any(rest[4:8]), "extra field": flags & 4, "name": flags & 8, "comment": flags & 16}
            extras.update(compress(has, has.values()))
            member = isal_zlib.decompressobj(wbits=31)
            while not member.eof:
                if not rest:
                    raise EOFError
                member.decompress(rest, BLOCK_BYTES)
                rest = member.unused_data if member.eof else member.unconsumed_tail or file.read(BLOCK_BYTES)
            if len(rest) < MEMBER_HEADER_BYTES:  # the header of the next member may be cut by the block's end
                rest += file.read(BLOCK_BYTES)
    return extras | ({"bytes after the data"} if is_packed and any(rest) else set())
