"""Images on coarse grids, on which registration and measures work."""

import math
import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from nibabel.affines import from_matvec, voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from bidsdeface.errors import ImageError
from bidsdeface.imaging.image import Image, canonical

BLOCK_MM = 2.0  # the finest that any registration here needs
BRIGHT_PERCENTILE = 99.5  # clips vessels, fat and spikes
DARK_PERCENTILE = 1.0
PADDING_GAP = 0.2  # of the range of an image: padding that is less far below air does no harm
SEEN = 0.98  # a point at which more than this share of the neighbouring voxels was acquired is in view
COIL_MM = 25.0  # over which the brightness of tissue is evened out
SERIES_SAMPLE = 15  # volumes of a series that stand for all of it
# Salt and pepper: neighbours differ by so much of the range, over so much of the image (as MP2RAGE has air).
NOISE_STEP = 0.2
NOISE_SHARES = (0.15, 0.95)  # of an image: less is edges, more leaves nothing that it could be told from


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
    own : numpy.ndarray, shape (X, Y, Z), or None
        The same in the image's own units, not clipped, NaN where unknown; None where there is no image.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    seen: NDArray[np.float32]
    own: NDArray | None = None

    @property
    def voxel_mm(self) -> NDArray[np.float64]:
        """The size of a voxel along each axis, in mm."""
        return voxel_sizes(self.affine)

    @property
    def voxel_ml(self) -> float:
        """The volume of one voxel in mL."""
        return voxel_ml(self.affine)

    @cached_property
    def tissue_threshold(self) -> float:
        """The intensity that parts air from tissue: Otsu's, on the square root of intensity."""
        counts, edges = np.histogram(np.sqrt(self.data[self.seen > 0]), bins=128, range=(0, 1))
        centres = (edges[1:] + edges[:-1]) / 2
        below, mass = np.cumsum(counts), np.cumsum(counts * centres)
        with np.errstate(divide="ignore", invalid="ignore"):
            between = (mass[-1] * below / below[-1] - mass) ** 2 / (below * (below[-1] - below))
        if not np.isfinite(between).any():
            return math.inf  # the same everywhere: no tissue
        return float(centres[np.nanargmax(between)] ** 2)

    @cached_property
    def edge_tree(self) -> cKDTree:
        """A search tree of the places half way between voxels above 0 and others, in world, mm."""
        above = self.data > 0
        ends = [np.argwhere(np.diff(above, axis=axis)) + 0.5 * np.eye(3)[axis] for axis in range(3)]
        return cKDTree(self.to_world(np.concatenate(ends)))

    def to_world(self, voxels: NDArray) -> NDArray[np.float64]:
        """Return the world coordinates of voxel indices, shape (..., 3), in mm."""
        return apply_affine(self.affine, voxels)

    def at(self, points: NDArray, outside: float | None = np.nan) -> NDArray[np.float32]:
        """Return the values at world points, as `interpolate` does."""
        return interpolate(self.data, self.affine, points, outside)

    def sees(self, points: NDArray, least: float = SEEN) -> NDArray[np.bool_]:
        """Return which world points, shape (..., 3), lie in the field of view."""
        return interpolate(self.seen, self.affine, points, 0.0) > least


def apply_affine(affine: NDArray, points: NDArray) -> NDArray:
    """Return points, shape (..., 3), moved by a (4, 4) affine."""
    return points @ affine[:3, :3].T + affine[:3, 3]


def interpolate(data: NDArray, affine: NDArray, points: NDArray, outside: float | None = np.nan) -> NDArray:
    """Return the values of a grid at world points, by trilinear interpolation.

    Parameters
    ----------
    data : numpy.ndarray, shape (X, Y, Z)
    affine : numpy.ndarray, shape (4, 4)
    points : numpy.ndarray, shape (..., 3)
        World coordinates, RAS+ mm.
    outside : float or None
        The value beyond the grid; None for the value at the nearest edge.

    Returns
    -------
    numpy.ndarray, shape (...)
    """
    voxels = np.moveaxis(apply_affine(np.linalg.inv(affine), points), -1, 0)
    mode, value = ("nearest", 0.0) if outside is None else ("constant", outside)
    return ndimage.map_coordinates(data, voxels, order=1, mode=mode, cval=value, prefilter=False)


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
    return data[tuple(np.moveaxis(np.clip(voxels, 0, np.array(data.shape[:3]) - 1), -1, 0))]


def scan_mm(to_template: NDArray) -> float:
    """Return the length in a scan, in mm, of 1 mm in the template: the cube root of the change of volume."""
    return float(np.abs(np.linalg.det(to_template[:3, :3])) ** (-1 / 3))


def voxel_ml(affine: NDArray) -> float:
    """Return the volume of one voxel in mL."""
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000


def reduce_image(image: Image, name: str) -> Volume:
    """Return an image averaged over blocks of about 2 mm, intensities from 0 (dark) to 1 (bright).

    The grid is the image's own, its axes nearest to R, A, S. Of a series, it is the median over volumes from
    all through it: a spike or a dark volume does not count. Taken for air are padding (see `air_level`) and
    salt-and-pepper noise, which fills the air of MP2RAGE's uniform images (Marques and others, NeuroImage
    2010).

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
        view = _median(view)
    means, in_mm = in_blocks(view, affine)
    blocks = np.maximum(image.scaled(means), air_level(image.scaled(view[::2, ::2, ::2])))
    finite = np.isfinite(blocks)
    if not finite.any():
        raise ImageError(f"{name}: has no finite voxel (NaN everywhere); convert it again")
    dark, bright = np.percentile(blocks[finite], [DARK_PERCENTILE, BRIGHT_PERCENTILE])
    if not bright > dark:
        raise ImageError(f"{name}: has the same value everywhere; convert it again")
    noise = _salt_and_pepper(view, affine, finite)
    if noise.any() and (finite & ~noise).any():
        finite &= ~noise
        dark = min(dark, blocks[finite].min())
    own = np.where(finite, blocks, np.nan)
    data = _in_range(own, dark, bright)
    return Volume(data, in_mm, np.ones_like(data), own)


def _in_range(values: NDArray, dark: float, bright: float) -> NDArray[np.float32]:
    return np.clip(np.nan_to_num((values - dark) / (bright - dark)), 0, 1).astype(np.float32)


def without(volume: Volume, hidden: NDArray[np.bool_]) -> Volume:
    """Return a volume as if a part of it had not been acquired: the scale of intensities owes nothing to it.

    Parameters
    ----------
    volume : Volume
    hidden : numpy.ndarray, shape (X, Y, Z), bool
    """
    own = np.where(hidden, np.nan, volume.data if volume.own is None else volume.own)
    known = own[::2, ::2, ::2]  # enough, and faster
    known = known[np.isfinite(known)]
    dark, bright = np.percentile(known, [DARK_PERCENTILE, BRIGHT_PERCENTILE]) if known.size else (0.0, 1.0)
    data = _in_range(own, dark, bright) if bright > dark else np.zeros_like(volume.data)
    return Volume(data, volume.affine, np.where(hidden, 0, volume.seen), own)


def air_level(values: NDArray) -> float:
    """Return the level of air in values some of which are padding far below it, else minus infinity.

    Around the round field of view of CT stands -2000, -3024 or -32768, where air has -1000.
    """
    values = values[np.isfinite(values)]
    lowest = values.min(initial=0.0)
    if lowest == 0 or not (values > lowest).any():
        return -np.inf
    dark, bright = np.percentile(values[values > lowest], [DARK_PERCENTILE, BRIGHT_PERCENTILE])
    return float(dark) if dark - lowest > PADDING_GAP * (bright - dark) else -np.inf


def spread(length: int, count: int) -> list[int]:
    """Return `count` numbers at most, from 0 to `length` - 1, evenly, the first and the last among them.

    Examples
    --------
    >>> spread(100, 4), spread(2, 4)
    ([0, 33, 66, 99], [0, 1])
    """
    return sorted(set(np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()))


def _median(series: NDArray) -> NDArray:
    """Return the median over some volumes of a series, slice by slice, so that little memory is needed."""
    series = series.reshape(*series.shape[:3], -1)
    sample = spread(series.shape[-1], SERIES_SAMPLE)
    middle = np.empty(series.shape[:3], np.float32)
    for z in range(series.shape[2]):
        some = series[:, :, z, sample]
        some = np.abs(some) if np.iscomplexobj(some) else some
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # nothing but NaN: stays NaN
            middle[:, :, z] = (
                np.nanmedian(some, axis=-1) if some.dtype.kind == "f" else np.median(some, axis=-1)
            )
    return middle


def _salt_and_pepper(view: NDArray, affine: NDArray, finite: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the blocks that hold nothing but strong noise from voxel to voxel, if that is a part of them."""
    view = np.abs(view) if np.iscomplexobj(view) else view
    nothing = np.zeros_like(finite)
    axis = int(np.argmin(voxel_sizes(affine)))  # across thick slices, tissue differs as well
    some = np.moveaxis(view, axis, 0)[:, :, ::4].astype(np.float32)
    low, high = np.percentile(some[np.isfinite(some)], [DARK_PERCENTILE, BRIGHT_PERCENTILE])
    limit = NOISE_STEP * (high - low)
    if not (np.abs(np.diff(some, axis=0)) > limit).mean() > NOISE_SHARES[0]:
        return nothing
    steps = np.empty(view.shape, np.float32)
    between, along = np.moveaxis(steps, axis, 0), np.moveaxis(view, axis, 0)
    between[1:] = np.abs(np.subtract(along[1:], along[:-1], dtype=np.float32))
    between[0] = between[1]
    rough = ndimage.uniform_filter(np.nan_to_num(in_blocks(steps, affine)[0]), 3) > limit
    noise = ndimage.uniform_filter(rough.astype(np.float32), 5) > 0.5  # what most around it are
    return noise if NOISE_SHARES[0] < noise[finite].mean() < NOISE_SHARES[1] else nothing


def world_aligned(volume: Volume, spacing_mm: float) -> Volume:
    """Return a volume on a coarser grid whose axes are those of the world.

    Smoothed before sampling, so that it does not alias; what lies beyond the field of view is marked,
    never mixed in.
    """
    spacing = volume.voxel_mm
    # A voxel of size s blurs by about 0.35 s already; aim at half the new spacing.
    sigma = np.sqrt(np.maximum((0.5 * spacing_mm) ** 2 - (0.35 * spacing) ** 2, 0)) / spacing
    last = np.array(volume.data.shape) - 1
    corners = volume.to_world(np.array(np.meshgrid(*[(0, n) for n in last])).reshape(3, -1).T)
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = tuple(np.ceil((high - low) / spacing_mm - 1e-6).astype(int) + 1)
    affine = from_matvec(spacing_mm * np.eye(3), low)
    voxels = np.linalg.inv(volume.affine) @ affine
    smooth = ndimage.gaussian_filter(volume.data * volume.seen, sigma)
    if volume.seen.all():  # faster
        data = ndimage.affine_transform(smooth, voxels, output_shape=shape, order=1, cval=np.nan)
        seen = np.isfinite(data)
        return Volume(np.where(seen, data, 0), affine, seen.astype(np.float32))
    weight = ndimage.affine_transform(volume.seen, voxels, output_shape=shape, order=1)
    data = ndimage.affine_transform(smooth, voxels, output_shape=shape, order=1)
    seen = weight > 0.5
    return Volume(np.where(seen, data / np.maximum(weight, 0.5), 0), affine, seen.astype(np.float32))


def smoothed(volume: Volume, sigma_mm: float) -> Volume:
    """Return a volume blurred by a Gaussian inside its field of view."""
    sigma = sigma_mm / volume.voxel_mm
    weight = ndimage.gaussian_filter(volume.seen, sigma)
    data = ndimage.gaussian_filter(volume.data * volume.seen, sigma) / np.maximum(weight, 0.05)
    return Volume(data, volume.affine, volume.seen)


def evened(volume: Volume) -> Volume:
    """Return a volume without the slow change of brightness that an uneven coil makes.

    Intensities are divided by the mean of the tissue around them.
    """
    tissue = (volume.data > volume.tissue_threshold).astype(np.float32)
    mean = float(volume.data.mean(where=tissue > 0)) if tissue.any() else 1.0
    sigma = COIL_MM / volume.voxel_mm
    weight = ndimage.gaussian_filter(tissue, sigma) + 0.01  # far from any tissue, the mean of all of it
    around = (ndimage.gaussian_filter(volume.data * tissue, sigma) + 0.01 * mean) / weight
    return replace(volume, data=np.clip(volume.data / (2 * around), 0, 1), own=None)


def flattened(volume: Volume) -> Volume:
    """Return a volume in which dim tissue stands out from air as bright tissue does, wherever it lies."""
    even = evened(volume)
    return replace(even, data=np.sqrt(even.data))


def saturated(volume: Volume) -> Volume:
    """Return a volume with air near 0 and any tissue near 1."""
    full = 1.2 * volume.tissue_threshold
    return Volume(np.clip(volume.data / full, 0, 1).astype(np.float32), volume.affine, volume.seen)


def voxel_places(shape: tuple[int, ...], affine: NDArray) -> NDArray[np.float64]:
    """Return the world coordinates of all voxels of a grid, shape (X, Y, Z, 3), mm."""
    return apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))


def tissue_voxels(volume: Volume) -> NDArray[np.intp]:
    """Return the voxels that hold tissue, shape (N, 3)."""
    return np.argwhere(volume.data > volume.tissue_threshold)


def largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected piece of a mask; nothing of an empty one."""
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel(), minlength=2)[1:]  # without the background
    return pieces == sizes.argmax() + 1


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
    factors = np.clip(np.round(block_mm / voxel_sizes(affine)).astype(int), 1, data.shape)
    for axis, factor in enumerate(factors):
        if factor > 1:
            whole = data.shape[axis] // factor * factor
            parts = [data[(slice(None),) * axis + (slice(k, whole, factor),)] for k in range(factor)]
            data = sum(parts[1:], start=parts[0].astype(np.result_type(data, np.float32))) / factor
    return data, affine @ from_matvec(np.diag(factors * 1.0), (factors - 1) / 2)
