"""Tell what a file is from its first bytes, and what a gzip header gives away. Names do not decide."""

import gzip
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

GZIP = b"\x1f\x8b"
START_BYTES = 2048
BLOCK_BYTES, MEMBER_HEADER_BYTES = 1 << 18, 10
_PICTURES = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF",
    b"BM": "BMP", b"II+\0": "TIFF", b"MM\0+": "TIFF",
}  # fmt: skip
_CLOSED = {
    b"PK\x03\x04": "zip archive",
    b"7z\xbc\xaf": "7z archive",
    b"Rar!": "rar archive",
    b"BZh": "bzip2 file",
    b"\xfd7zXZ": "xz file",
    b"\x28\xb5\x2f\xfd": "zstandard file",
    b"%PDF": "PDF",
    b"\xd0\xcf\x11\xe0": "Office file",
    b"\x89HDF": "HDF5 file",
    b"SQLite format 3\0": "database",
    b"CDF\x01": "MINC file",
    b"CDF\x02": "MINC file",
    b"OggS": "sound",
    b"RIFF": "sound or video",
    **{b"ID3" + bytes([version]): "sound" for version in (2, 3, 4)},
    b"fLaC": "sound",
    b"\x1aE\xdf\xa3": "video",
    b"\x93NUMPY": "array",
    b"MATLAB 5.0": "MATLAB file",
    b"NRRD000": "NRRD image",
    b"ObjectType = ": "MetaImage",
    b"# vtk DataFile": "surface",
    b"ply\n": "surface",
    b"ply\r": "surface",
    b"Brain Vision": "BrainVision file",
    b"BrainVision": "BrainVision file",
}
OWN_PICTURES = ("Software", "bidsdeface")  # what the text in a picture of ours says
_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF"}


def kind_of(start: bytes) -> str:
    r"""Name what begins like this.

    Parameters
    ----------
    start : bytes
        The first `START_BYTES` of the file, unpacked.

    Returns
    -------
    str
        ``empty``, ``nifti``, ``dicom``, ``par``, ``bruker``, ``edf``, ``picture …``, ``closed …`` (of a kind
        that is not looked into), ``text`` or ``unknown``.

    Examples
    --------
    >>> kind_of(b"# === DATA DESCRIPTION FILE ==="), kind_of(b"\xff\xd8\xff\xe1"), kind_of(b"onset\tduration")
    ('par', 'picture JPEG', 'text')
    """
    if not start:
        return "empty"
    if _is_nifti(start):
        return "nifti"
    if start[128:132] == b"DICM" or _is_bare_dicom(start):
        return "dicom"
    if start[:256].isascii() and b"DATA DESCRIPTION FILE" in start[:256]:
        return "par"
    if start.startswith((b"##TITLE=", b"##$")):
        return "bruker"
    if start.startswith((b"0       ", b"\xffBIOSEMI")) and len(start) >= 256:
        return "edf"
    for magic, name in _PICTURES.items():
        if start.startswith(magic) and (magic != b"BM" or b"\0" in start[:16]):
            return f"picture {name}"
    if start[4:8] == b"ftyp":
        return f"picture {_BRANDS[start[8:12]]}" if start[8:12] in _BRANDS else "closed video"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "picture WebP"
    for magic, name in _CLOSED.items():
        if start.startswith(magic):
            return f"closed {name}"
    control = sum(byte < 9 or 13 < byte < 32 for byte in start)
    return "text" if control == 0 else "unknown"


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, through gzip if it is packed."""
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield cast("IO[bytes]", stream)


def gzip_headers_tell(path: Path) -> set[str]:
    """Say what the headers of a gzip file's members have besides the data, and whether anything follows them.

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

    told: set[str] = set()
    with path.open("rb") as file:
        rest = file.read(BLOCK_BYTES)
        is_packed = rest.startswith(GZIP)
        while is_packed and rest:
            if not rest.startswith(GZIP):
                return told | ({"bytes after the data"} if any(rest) else set())
            told |= _header_tells(rest)
            member = isal_zlib.decompressobj(wbits=31)
            while not member.eof:
                if not rest:
                    raise EOFError
                member.decompress(rest, BLOCK_BYTES)
                rest = member.unused_data if member.eof else member.unconsumed_tail or file.read(BLOCK_BYTES)
            if len(rest) < MEMBER_HEADER_BYTES:  # the next one's may be cut by the block's end
                rest += file.read(BLOCK_BYTES)
    return told


def _header_tells(start: bytes) -> set[str]:
    flags = start[3] if len(start) > 3 else 0
    told = {"time"} if any(start[4:8]) else set()
    return told | {name for bit, name in ((4, "extra field"), (8, "name"), (16, "comment")) if flags & bit}


def _is_nifti(start: bytes) -> bool:
    size = (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
    return (348 in size and start[344:347] in (b"n+1", b"ni1")) or (
        540 in size and start[4:7] in (b"n+2", b"ni2")
    )


def _is_bare_dicom(start: bytes) -> bool:
    """Tell whether a file begins with a DICOM element of group 2 or 8, without a preamble."""
    group, _ = struct.unpack("<HH", start[:4].ljust(4, b"\0"))
    return group in (2, 8) and start[4:6] in (b"UL", b"CS", b"UI", b"DA", b"TM", b"OB", b"SH")
