"""Coarse, world-aligned copies of images: what registration looks at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.errors import ImageError
from bidsdeface.imaging.image import Image, canonical

BLOCK_MM = 2.0  # the finest that any registration here needs
BRIGHT_PERCENTILE = 99.5  # clips vessels, fat and spikes
DARK_PERCENTILE = 1.0


@dataclass(frozen=True)
class Volume:
    """Intensities on a grid, and where the grid lies.

    Attributes
    ----------
    data : numpy.ndarray, shape (X, Y, Z), float32
    affine : numpy.ndarray, shape (4, 4)
        Voxel indices to world coordinates, RAS+ mm.
    seen : numpy.ndarray, shape (X, Y, Z), float32
        1 inside the field of view, 0 where `data` means nothing.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    seen: NDArray[np.float32]


def apply_affine(affine: NDArray, points: NDArray) -> NDArray:
    """Return points, shape (..., 3), moved by a (4, 4) affine."""
    return points @ affine[:3, :3].T + affine[:3, 3]


def interpolate(data: NDArray, affine: NDArray, points: NDArray, outside: float = np.nan) -> NDArray:
    """Return the values of a grid at world points, trilinear.

    Parameters
    ----------
    data : numpy.ndarray, shape (X, Y, Z)
    affine : numpy.ndarray, shape (4, 4)
    points : numpy.ndarray, shape (..., 3)
        World coordinates, RAS+ mm.
    outside : float
        The value beyond the grid.

    Returns
    -------
    numpy.ndarray, shape (...)
    """
    voxels = np.moveaxis(apply_affine(np.linalg.inv(affine), points), -1, 0)
    return ndimage.map_coordinates(data, voxels, order=1, mode="constant", cval=outside, prefilter=False)


def nearest(data: NDArray, affine: NDArray, points: NDArray) -> NDArray:
    """Return the values of a grid at the voxels nearest to world points; beyond the grid, those of its edge.

    Parameters
    ----------
    data : numpy.ndarray, shape (X, Y, Z)
    affine : numpy.ndarray, shape (4, 4)
    points : numpy.ndarray, shape (..., 3)
        World coordinates, RAS+ mm.

    Returns
    -------
    numpy.ndarray, shape (...)
    """
    voxels = np.round(apply_affine(np.linalg.inv(affine), points)).astype(int)
    return data[tuple(np.moveaxis(np.clip(voxels, 0, np.array(data.shape) - 1), -1, 0))]


def voxel_ml(affine: NDArray) -> float:
    """Return the volume of one voxel in mL."""
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000


def reduce_image(image: Image, name: str) -> Volume:
    """Return an image averaged over blocks of about 2 mm, intensities from 0 (dark) to 1 (bright).

    The grid is the image's own, its axes nearest to R, A, S; further volumes are averaged.

    Parameters
    ----------
    image : Image
    name : str
        Of the file, for messages.

    Raises
    ------
    ImageError
        No finite voxel, or the same value everywhere.
    """
    view, affine = canonical(image.stored, image.affine)
    if view.ndim > 3:
        view = view.reshape(*view.shape[:3], -1).mean(axis=-1)
    means, affine = in_blocks(view, affine)
    blocks = image.scaled(means)
    finite = np.isfinite(blocks)
    if not finite.any():
        raise ImageError(f"{name}: has no finite voxel (NaN everywhere); convert it again")
    dark, bright = np.percentile(blocks[finite], [DARK_PERCENTILE, BRIGHT_PERCENTILE])
    if not bright > dark:
        raise ImageError(f"{name}: has the same value everywhere; convert it again")
    data = np.clip((np.where(finite, blocks, dark) - dark) / (bright - dark), 0, 1).astype(np.float32)
    return Volume(data, affine, np.ones_like(data))


def world_aligned(volume: Volume, spacing_mm: float) -> Volume:
    """Return a volume on a coarser grid whose axes are those of the world.

    Smoothed before sampling, so that it does not alias; what lies beyond the field of view is marked,
    never mixed in.
    """
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    # A voxel of size s blurs by about 0.35 s already; aim at half the new spacing.
    sigma = np.sqrt(np.maximum((0.5 * spacing_mm) ** 2 - (0.35 * spacing) ** 2, 0)) / spacing
    last = np.array(volume.data.shape) - 1
    corners = apply_affine(volume.affine, np.array(np.meshgrid(*[(0, n) for n in last])).reshape(3, -1).T)
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = tuple(np.ceil((high - low) / spacing_mm - 1e-6).astype(int) + 1)
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = low
    voxels = np.linalg.inv(volume.affine) @ affine
    weight = ndimage.affine_transform(volume.seen, voxels[:3, :3], voxels[:3, 3], shape, order=1)
    smooth = ndimage.gaussian_filter(volume.data * volume.seen, sigma)
    data = ndimage.affine_transform(smooth, voxels[:3, :3], voxels[:3, 3], shape, order=1)
    seen = weight > 0.5
    return Volume(np.where(seen, data / np.maximum(weight, 0.5), 0), affine, seen.astype(np.float32))


def smoothed(volume: Volume, sigma_mm: float) -> Volume:
    """Return a volume blurred by a Gaussian inside its field of view."""
    sigma = sigma_mm / np.linalg.norm(volume.affine[:3, :3], axis=0)
    weight = ndimage.gaussian_filter(volume.seen, sigma)
    data = ndimage.gaussian_filter(volume.data * volume.seen, sigma) / np.maximum(weight, 0.05)
    return Volume(data, volume.affine, volume.seen)


def tissue_threshold(volume: Volume) -> float:
    """Return the intensity that parts air from tissue: Otsu's, on the square root of intensity."""
    counts, edges = np.histogram(np.sqrt(volume.data[volume.seen > 0]), bins=128, range=(0, 1))
    centres = (edges[1:] + edges[:-1]) / 2
    below, mass = np.cumsum(counts), np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mass[-1] * below / below[-1] - mass) ** 2 / (below * (below[-1] - below))
    if not np.isfinite(between).any():
        return math.inf  # the same everywhere: no tissue
    return float(centres[np.nanargmax(between)] ** 2)


def in_blocks(
    data: NDArray, affine: NDArray, block_mm: float = BLOCK_MM
) -> tuple[NDArray, NDArray[np.float64]]:
    """Return the means over blocks of about 2 mm, and the affine of the blocks.

    Parameters
    ----------
    data : numpy.ndarray, shape (X, Y, Z)
        What does not fill a block at the far ends is left out.
    affine : numpy.ndarray, shape (4, 4)
    block_mm : float
        If another size is wanted.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    factors = np.clip(np.round(block_mm / spacing).astype(int), 1, data.shape)
    to_voxels = np.diag([*factors, 1.0])
    to_voxels[:3, 3] = (factors - 1) / 2
    for axis, factor in enumerate(factors):
        if factor > 1:
            whole = data.shape[axis] // factor * factor
            parts = [data[(slice(None),) * axis + (slice(k, whole, factor),)] for k in range(factor)]
            total = parts[0].astype(np.result_type(data, np.float32))
            for part in parts[1:]:
                total += part
            data = total / factor
    return data, affine @ to_voxels
