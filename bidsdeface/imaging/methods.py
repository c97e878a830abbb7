"""Methods: the values that replace the face."""

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.image import Image
from bidsdeface.imaging.volume import air_level

EDGE_SHARE = 0.05  # of the darkest voxels: air, in any head scan


def background(image: Image) -> NDArray:
    """Return the stored value that means "nothing here" in this image: a scalar of its own type.

    It is the value that stands for 0 if the image holds nothing below 0, else the median of the darkest 5 %
    of the finite voxels without padding: CT has air at -1000 HU, standardised images have it below 0.
    """
    scaled = image.scaled(image.stored.ravel(order="K")[::7])
    scaled = scaled[np.isfinite(scaled) & (scaled >= air_level(scaled))]
    if scaled.min(initial=0.0) >= 0:
        return stored_as(0.0, image)
    dark = np.sort(scaled)[: max(int(EDGE_SHARE * scaled.size), 1)]
    return stored_as(float(dark[len(dark) // 2]), image)


def stored_as(levels: float | NDArray, image: Image) -> NDArray:
    """Return the stored values that stand for numbers in an image, or the nearest there are."""
    dtype, levels = image.stored.dtype, np.asarray(levels, np.float64)
    slope, inter = (float(image.header[key]) for key in ("scl_slope", "scl_inter"))
    if np.isfinite(slope) and slope != 0:
        levels = (levels - (inter if np.isfinite(inter) else 0.0)) / slope
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        levels = np.clip(np.round(levels), limits.min, limits.max)
    return np.asarray(levels).astype(dtype)


def remove(image: Image, mask: NDArray[np.bool_], fill: NDArray | None = None) -> NDArray:
    """Return the stored values with a fill value, or other values, inside the mask.

    Parameters
    ----------
    image : Image
        Stored values of shape (X, Y, Z) or (X, Y, Z, ...): every volume is treated.
    mask : numpy.ndarray, shape (X, Y, Z), bool
    fill : numpy.ndarray, shape () or the image's, optional
        In the image's type; the background value by default.

    Returns
    -------
    numpy.ndarray
        A new array, the same outside the mask bit for bit.
    """
    defaced = image.stored.copy(order="K")
    fill = background(image) if fill is None else fill
    defaced[mask] = fill[mask] if fill.ndim else fill
    return defaced
