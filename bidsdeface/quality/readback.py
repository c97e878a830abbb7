"""Proof from the written file itself: read it back and compare it with the original, bit by bit."""

import numpy as np
from numpy.typing import NDArray

from bidsdeface.errors import ImageError, raise_first
from bidsdeface.imaging.image import Image, clean_header


def check_written(original: Image, written: Image, mask: NDArray[np.bool_], fill: NDArray) -> None:
    """Check that a written image is the original with other values inside a mask, and nothing else.

    Parameters
    ----------
    original, written : Image
    mask : numpy.ndarray, shape (X, Y, Z), bool
    fill : numpy.ndarray, shape () or that of the images
        In the images' type; its values in the mask.

    Raises
    ------
    ImageError
        The header, a value outside or a value inside the mask is not as it should be.
    """
    expected = clean_header(original.header)
    before, after = original.stored.T, written.stored.T  # transposed, a mask broadcasts over volumes
    replaced = np.broadcast_to(fill.T, before.shape)
    raise_first(
        {
            "its header was not read back as written; check the disk": (
                written.header.binaryblock != expected.binaryblock
            ),
            "voxels outside the mask changed; check the disk": not _same_bits(before, after, ~mask.T),
            "voxels inside the mask were not replaced; check the disk": (
                not _same_bits(replaced, after, mask.T)
            ),
        },
        ImageError,
    )


def check_mask_written(mask: NDArray[np.bool_], affine: NDArray, written: Image) -> None:
    """Check that a written mask is the one that was used.

    Parameters
    ----------
    mask : numpy.ndarray, shape (X, Y, Z), bool
    affine : numpy.ndarray, shape (4, 4)
        Of the scan.
    written : Image

    Raises
    ------
    ImageError
        It is not.
    """
    if not (np.array_equal(written.stored, mask) and np.array_equal(written.affine, affine)):
        raise ImageError("the mask was not read back as written; check the disk")


def _same_bits(first: NDArray, second: NDArray, where: NDArray[np.bool_]) -> bool:
    """Return True if two arrays are the same bit by bit in a mask: NaN is NaN, and -0 is not 0."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    # Plane by plane: the comparison needs no second copy of a large image.
    for index in np.ndindex(first.shape[:-2]):
        plane = where[index[-1]]
        values, others = (np.ascontiguousarray(array[index])[plane] for array in (first, second))
        if values.tobytes() != others.tobytes():
            return False
    return True
