"""A face mask that a person drew on a scan: taken as it is, if it can be one at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsdeface.errors import UsageError
from bidsdeface.imaging.image import Image, is_on_grid, read_image
from bidsdeface.imaging.volume import masked_share, reduce_image, voxel_ml

LEAST_ML = 20.0  # a nose and two eyes
LARGEST_SHARE_OF_HEAD = 0.5


def read_drawn_mask(path: Path, image: Image) -> NDArray[np.bool_]:
    """Read a mask that a person drew on this very scan.

    Parameters
    ----------
    path : pathlib.Path
        A NIfTI image that holds 0 and one other value, which is on the face.
    image : Image
        The scan.

    Returns
    -------
    numpy.ndarray, shape (X, Y, Z), bool
        In Fortran order.

    Raises
    ------
    ImageError
        The file cannot be read.
    UsageError
        It is on another grid, is not a mask, or marks next to nothing or most of the head.
    """
    drawn = read_image(path)
    if not is_on_grid(image, drawn.stored.shape, drawn.affine):
        raise UsageError(f"{path}: is not on the grid of the scan; draw it on the scan itself")
    scaled = drawn.scaled(drawn.stored)
    values = np.unique(scaled)
    if len(values) != 2 or values[0] != 0 or not np.isfinite(values).all():
        raise UsageError(f"{path}: is not a mask; it must hold 0 and one other value, on the face")
    mask = np.asfortranarray(scaled != 0)
    share = masked_share(reduce_image(image, "the scan"), mask, image.affine)
    size_ml = mask.sum() * voxel_ml(image.affine)
    if size_ml < LEAST_ML or share > LARGEST_SHARE_OF_HEAD:
        raise UsageError(
            f"{path}: marks {size_ml:.0f} mL and {share:.0%} of the head, which is no face; "
            "other values than 0 mean face, not what to keep"
        )
    return mask
