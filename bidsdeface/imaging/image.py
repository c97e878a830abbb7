"""Lossless NIfTI: stored values and header come out exactly as they went in.

Nothing here converts, rescales or reorients; that is what makes "bit-identical outside the mask" true.
"""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bidsdeface.errors import ImageError, raise_first, read_errors

# Header fields that no reader needs, and what they are emptied to.
EMPTIED_FIELDS = {
    # Scanners and converters fill these with times, names and comments: dcm2niix, the time into descrip.
    **dict.fromkeys(("descrip", "aux_file", "db_name", "intent_name"), b""),
    # Of Analyze; NIfTI-1 only keeps room for them.
    **{"data_type": b"", "extents": 0, "session_error": 0, "regular": b"r", "glmax": 0, "glmin": 0},
    "unused_str": b"",  # of NIfTI-2
    # The window of the viewer that somebody used; every viewer finds one of its own.
    **{"cal_max": 0, "cal_min": 0},
}
# NIfTI-2 gives codes 32 bits; a larger number than the standard's last code means something else.
LARGEST_CODES = {"slice_code": 6, "xyzt_units": 63, "intent_code": 32767, "qform_code": 5, "sform_code": 5}
# How many parameters statistics have (2 to 24, as nifti1.h lists them), and matrices: their sizes.
PARAMETERS_OF_INTENTS = {
    **dict(enumerate((1, 1, 2, 0, 1, 2, 2, 2, 1, 2, 3, 2, 2, 2, 2, 2, 3, 1, 2, 2, 0, 0, 0), start=2)),
    **{1004: 2, 1005: 1},
}
LARGEST_PARAMETER = 1e5  # one as large as this is somebody's number
TRANSFORMS = {
    "qform_code": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    "sform_code": ("srow_x", "srow_y", "srow_z"),
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

    @property
    def volumes(self) -> NDArray:
        """The stored values of a single volume or a series, shape (X, Y, Z, T)."""
        return self.stored.reshape(*self.stored.shape[:3], -1, order="F")

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
    """Read a whole file, and check that it did not change meanwhile.

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
    with read_errors(path, "check its permissions and the disk, and run again", ImageError):
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            content = file.read()
        after = path.stat()
    if not os.path.samestat(before, after) or (before.st_size, before.st_mtime_ns, len(content)) != (
        after.st_size,
        after.st_mtime_ns,
        after.st_size,
    ):
        raise ImageError(
            f"{path}: changed while it was read; run again when the copy is complete", retry=True
        )
    if not content:
        raise ImageError(f"{path}: is empty (0 bytes); fetch or convert it again")
    return content


def parse_image(packed: bytes, path: Path) -> Image:
    """Parse the bytes of a NIfTI-1 or NIfTI-2 file, compressed or not.

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
    offset, count = int(header.get_data_offset()), int(np.prod(shape))
    whole = offset + count * dtype.itemsize
    raise_first(
        {
            f"{path}: holds colours (RGB), not intensities; leave it out or convert it": (
                dtype.kind not in "iufc"
            ),
            f"{path}: is not a 3D image (shape {shape}); leave it out with a filter file": (
                len(shape) < 3 or min(shape) < 1 or min(shape[:3]) < 2
            ),
            f"{path}: is cut short, {len(content)} of {whole} bytes; fetch or convert it again": (
                len(content) < whole
            ),
        },
        ImageError,
    )
    affine = _affine(header, shape, path)
    stored = np.frombuffer(content, dtype, count, offset).reshape(shape, order="F")
    return Image(raw, affine, stored)


def clean_header(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """Return a copy of the header that holds what readers of the image need, and nothing else.

    It removes free text, extensions, and numbers that nobody reads and that may be a time or a record
    number: entries of unused dimensions, parameters that the intent does not have, an intercept without a
    slope, a start or a slice that lasts longer than the series. Grid, type, scaling, units, codes and slice
    timing stay.
    """
    clean = header.copy()
    for field in EMPTIED_FIELDS.keys() & set(clean.keys()):  # each version has its own
        clean[field] = EMPTIED_FIELDS[field]
    for field, largest in LARGEST_CODES.items():
        if not 0 <= clean[field] <= largest:
            # Readers ask whether a form's code is positive: it must stay so.
            clean[field] = int(field in ("qform_code", "sform_code") and clean[field] > 0)
    used = PARAMETERS_OF_INTENTS.get(int(clean["intent_code"]), 0)
    for number, field in enumerate(("intent_p1", "intent_p2", "intent_p3"), start=1):
        if number > used or not abs(clean[field]) < LARGEST_PARAMETER:
            clean[field] = 0
    if clean["scl_slope"] == 0 or np.isnan(clean["scl_slope"]):  # not scaled: readers pass both over
        clean["scl_inter"] = np.nan if np.isnan(clean["scl_inter"]) else 0
    _empty_large_unused_transforms(clean)
    _empty_unused_entries(clean)
    clean["bitpix"] = clean.get_data_dtype().itemsize * 8
    clean["magic"] = clean["magic"].item()[:3]
    if "eol_check" in clean:
        clean["eol_check"] = (13, 10, 26, 10)
    clean.extensions.clear()
    clean["vox_offset"] = clean.single_vox_offset
    return clean


def _empty_large_unused_transforms(header: nib.Nifti1Header) -> None:
    """Empty unused transforms with values too large for a rotation and a place; some readers use others."""
    for code, fields in TRANSFORMS.items():
        if header[code] == 0 and not all(np.all(np.abs(header[f]) < LARGEST_PARAMETER) for f in fields):
            for field in fields:
                header[field] = 0


def _empty_unused_entries(header: nib.Nifti1Header) -> None:
    ndim = len(header.get_data_shape())
    dim, pixdim = header["dim"].copy(), header["pixdim"].copy()
    dim[ndim + 1 :] = 1
    unused = pixdim[ndim + 1 :]
    unused[~np.isin(unused, (0, 1))] = 0
    if pixdim[0] not in (-1, 0, 1):
        pixdim[0] = -1 if pixdim[0] < 0 else 1  # which is how readers take it
    header["dim"], header["pixdim"] = dim, pixdim
    series = float(dim[4] * abs(pixdim[4])) if dim[4] > 1 else 0.0
    for field in ("toffset", "slice_duration"):
        if not abs(header[field]) <= series:  # NaN as well
            header[field] = 0
    if not 0 <= header["slice_start"] <= header["slice_end"] < max(dim[1:4]):
        header["slice_start"] = header["slice_end"] = 0


def mask_header(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """Return the header of a mask (uint8, one volume) on the grid of an image."""
    mask = header.copy()
    mask.set_data_shape(header.get_data_shape()[:3])
    mask.set_data_dtype(np.uint8)
    mask["scl_slope"], mask["scl_inter"] = 1, 0
    for field in ("intent_code", "slice_code", "slice_start", "slice_end"):
        mask[field] = 0
    return clean_header(mask)


def write_image(path: Path, header: nib.Nifti1Header, stored: NDArray, threads: int = 1) -> None:
    """Write stored values under a header; compressed files have no name, comment or time inside.

    Parameters
    ----------
    path : pathlib.Path
        The file to write, ``.nii.gz`` or ``.nii``; replaced if it is there.
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
    with (
        igzip_threaded.open(path, "wb", compresslevel=GZIP_LEVEL, threads=max(threads, 1))
        if path.suffix == ".gz"
        else path.open("wb")
    ) as stream:
        stream.write(start)
        stream.write(memoryview(voxels.T).cast("B"))


def is_flat(image: Image) -> bool:
    """Return True if an image has the same stored value everywhere, so that there is nothing to see."""
    return bool((image.stored == image.stored.flat[0]).all())


def is_on_grid(image: Image, shape: tuple[int, ...], affine: NDArray) -> bool:
    """Return True if an image has the voxels of a grid, in the same places."""
    return image.stored.shape[:3] == shape and np.allclose(image.affine, affine, atol=1e-3)


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
    extents = " x ".join(f"{extent:.4g}" for extent in extent_mm)
    raise_first(
        {
            f"{path}: its header gives no usable orientation; convert it again": (
                not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9
            ),
            f"{path}: its field of view is {extents} mm by its header; is its unit wrong?": (
                extent_mm.min() < EXTENT_LIMITS_MM[0] or extent_mm.max() > EXTENT_LIMITS_MM[1]
            ),
        },
        ImageError,
    )
    return affine
