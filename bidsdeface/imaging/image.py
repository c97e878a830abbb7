"""Lossless NIfTI: stored values and header come out exactly as they went in.

Nothing here converts, rescales or reorients; that is what makes "bit-identical outside the mask" true.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bidsdeface.errors import ImageError

# Header fields that no reader needs, and what they are emptied to.
EMPTIED_FIELDS = {
    # Scanners and converters fill these with times, names and comments: dcm2niix, the time into descrip.
    **dict.fromkeys(("descrip", "aux_file", "db_name", "intent_name"), b""),
    # Of Analyze; NIfTI-1 only keeps room for them.
    **{"data_type": b"", "extents": 0, "session_error": 0, "regular": b"r", "glmax": 0, "glmin": 0},
}
GZIP_LEVEL = 2  # of isal's 0 to 3
NIFTI2_HEADER_SIZE = 540
EXTENT_LIMITS_MM = (10.0, 1500.0)  # a slab at least, a whole body at most


@dataclass(frozen=True)
class Image:
    """A NIfTI image as it is stored.

    Attributes
    ----------
    header : nibabel.Nifti1Header or nibabel.Nifti2Header
        As read, including ``scl_slope`` and ``scl_inter``.
    affine : numpy.ndarray, shape (4, 4)
        Voxel indices to world coordinates, RAS+ mm (sform, else qform).
    stored : numpy.ndarray
        The values on disk, in their own type and byte order, unscaled; not writable.
    """

    header: nib.Nifti1Header
    affine: NDArray[np.float64]
    stored: NDArray

    def scaled(self, values: NDArray) -> NDArray[np.float32]:
        """Return stored values as the numbers they stand for, float32."""
        slope, inter = (float(self.header[key]) for key in ("scl_slope", "scl_inter"))
        values = np.abs(values) if np.iscomplexobj(values) else values
        values = np.asarray(values, dtype=np.float32)
        if not np.isfinite(slope) or slope == 0 or (slope, inter) == (1.0, 0.0):
            return values
        return values * np.float32(slope) + np.float32(inter if np.isfinite(inter) else 0.0)


def read_image(path: Path) -> Image:
    """Read a NIfTI-1 or NIfTI-2 file, compressed or not.

    Parameters
    ----------
    path : pathlib.Path
        ``.nii`` or ``.nii.gz``; links are followed.

    Returns
    -------
    Image

    Raises
    ------
    ImageError
        The file cannot be read, is not a single-file NIfTI, is cut short, holds colours instead of
        intensities, or says nothing usable about its place in space.
    """
    return parse_image(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Read a file as it is, whole and of one moment.

    Parameters
    ----------
    path : pathlib.Path
        Links are followed.

    Returns
    -------
    bytes
        At least one.

    Raises
    ------
    ImageError
        The file is not there, is empty, cannot be read, or changed meanwhile.
    """
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            content = file.read()
        after = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise ImageError(f"{path}: its content is not here; run: datalad get {path}") from None
        raise ImageError(f"{path}: is not there") from None
    except PermissionError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except OSError as error:
        raise ImageError(
            f"{path}: cannot be read ({error.strerror}); check the disk, and run again"
        ) from error
    if not os.path.samestat(before, after) or (before.st_size, before.st_mtime_ns, len(content)) != (
        after.st_size,
        after.st_mtime_ns,
        after.st_size,
    ):
        raise ImageError(f"{path}: changed while it was read; run again when the copy is complete")
    if not content:
        raise ImageError(f"{path}: is empty (0 bytes); fetch or convert it again")
    return content


def parse_image(packed: bytes, path: Path) -> Image:
    """Make sense of the bytes of a NIfTI-1 or NIfTI-2 file, compressed or not.

    Parameters
    ----------
    packed : bytes
        From `read_bytes`.
    path : pathlib.Path
        Where they are from, for messages.

    Returns
    -------
    Image

    Raises
    ------
    ImageError
        As `read_image` does.
    """
    content = _unpack(packed, path)
    raw, header = _parse_header(content, path)
    dtype, shape = header.get_data_dtype(), header.get_data_shape()
    if dtype.fields is not None or dtype.kind not in "iufc":
        raise ImageError(f"{path}: holds colours (RGB), not intensities; leave it out or convert it")
    if len(shape) < 3 or min(shape) < 1 or min(shape[:3]) < 2:
        raise ImageError(f"{path}: is not a 3D image (shape {shape}); leave it out with a filter file")
    offset, count = int(header.get_data_offset()), int(np.prod(shape))
    if len(content) < offset + count * dtype.itemsize:
        raise ImageError(
            f"{path}: is cut short, {len(content)} of {offset + count * dtype.itemsize} bytes; "
            "fetch or convert it again"
        )
    affine = _affine(header, shape, path)
    stored = np.frombuffer(content, dtype, count, offset).reshape(shape, order="F")
    return Image(raw, affine, stored)


def clean_header(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """Return a copy of the header with its free text and unused fields empty, and no extensions."""
    clean = header.copy()
    for field in EMPTIED_FIELDS.keys() & set(clean.keys()):  # NIfTI-2 has fewer
        clean[field] = EMPTIED_FIELDS[field]
    clean.extensions.clear()
    clean["vox_offset"] = clean.single_vox_offset
    return clean


def mask_header(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """Return the header of a mask (uint8, one volume) on the grid of an image."""
    mask = clean_header(header)
    mask.set_data_shape(header.get_data_shape()[:3])
    mask.set_data_dtype(np.uint8)
    mask["scl_slope"], mask["scl_inter"] = 1, 0
    for field in ("cal_min", "cal_max", "intent_code", "slice_code", "slice_start", "slice_end"):
        mask[field] = 0
    return mask


def write_image(path: Path, header: nib.Nifti1Header, stored: NDArray, threads: int = 1) -> None:
    """Write stored values under a header, as ``.nii.gz`` with no name, comment or time inside.

    Parameters
    ----------
    path : pathlib.Path
        The file to write; replaced if it is there.
    header : nibabel.Nifti1Header
        From `clean_header`; written as it is.
    stored : numpy.ndarray
        In the header's type, byte order and shape.
    threads : int
        For compression; the bytes do not depend on it.
    """
    from isal import igzip_threaded

    if stored.dtype != header.get_data_dtype() or stored.shape != header.get_data_shape():
        raise ValueError(f"{stored.dtype} {stored.shape} does not fit the header")
    voxels = stored if stored.flags.f_contiguous else np.asfortranarray(stored)
    start = header.binaryblock.ljust(int(header["vox_offset"]), b"\0")
    with igzip_threaded.open(path, "wb", compresslevel=GZIP_LEVEL, threads=max(threads, 1)) as stream:
        stream.write(start)
        stream.write(memoryview(voxels.T).cast("B"))


def canonical(stored: NDArray, affine: NDArray) -> tuple[NDArray, NDArray[np.float64]]:
    """Return a view with its axes nearest to R, A, S, and its affine: all 48 orientations look the same.

    Parameters
    ----------
    stored : numpy.ndarray, shape (X, Y, Z, ...)
    affine : numpy.ndarray, shape (4, 4)

    Returns
    -------
    view : numpy.ndarray
        Shares memory with `stored`.
    affine : numpy.ndarray, shape (4, 4)
    """
    orientation = nib.io_orientation(affine)
    view = nib.apply_orientation(stored, orientation)
    return view, affine @ nib.orientations.inv_ornt_aff(orientation, stored.shape[:3])


def _unpack(packed: bytes, path: Path) -> bytes:
    from isal import igzip, isal_zlib

    if not packed.startswith(b"\x1f\x8b"):
        return packed
    try:
        return igzip.decompress(packed)
    except (EOFError, OSError, isal_zlib.IsalError) as error:  # type: ignore[misc]
        raise ImageError(
            f"{path}: its gzip stream is damaged or cut short ({error}); fetch it again"
        ) from error


def _parse_header(content: bytes, path: Path) -> tuple[nib.Nifti1Header, nib.Nifti1Header]:
    """Return the header as it is, and with nibabel's repairs, which it needs to make sense of it."""
    size = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    header_class = nib.Nifti2Header if NIFTI2_HEADER_SIZE in size else nib.Nifti1Header
    try:
        raw = header_class.from_fileobj(io.BytesIO(content), check=False)
        header = header_class.from_fileobj(io.BytesIO(content))
    except Exception as error:
        raise ImageError(f"{path}: is not a NIfTI file ({error}); convert it again") from error
    if not header["magic"].item().startswith((b"n+1", b"n+2")):
        raise ImageError(f"{path}: keeps its voxels in another file; convert it to a single .nii.gz")
    return raw, header


def _affine(header: nib.Nifti1Header, shape: tuple[int, ...], path: Path) -> NDArray[np.float64]:
    try:
        affine = header.get_best_affine()
    except ValueError as error:
        raise ImageError(f"{path}: its qform cannot be understood ({error}); convert it again") from error
    extent_mm = np.linalg.norm(affine[:3, :3], axis=0) * shape[:3]
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ImageError(f"{path}: its header gives no usable orientation; convert it again")
    if extent_mm.min() < EXTENT_LIMITS_MM[0] or extent_mm.max() > EXTENT_LIMITS_MM[1]:
        extents = " x ".join(f"{extent:.4g}" for extent in extent_mm)
        raise ImageError(f"{path}: its field of view is {extents} mm by its header; is its unit wrong?")
    return affine
