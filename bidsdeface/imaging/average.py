"""The average face, laid on a scan in blocks of about 2 mm. No intensity of the scan is read here."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.affines import from_matvec, voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.volume import BLOCK_MM, Volume, apply_affine, scan_mm, voxel_places

AROUND_MM = 50.0  # of the mask, within which the scan is read
# Of the average, in its own world: the middle of the nose on the plane of the cheeks, how far the tip is
# before it, and how far it spreads (sigma) along x and z.
NOSE, NOSE_MM, NOSE_SPREAD_MM = (0.0, 80.0, -70.0), 34.0, (15.0, 18.0)
NOSE_AIR_MM = 3.0  # before the tip, within the field of view
FLATTEST_NOSE = 2.0  # times as flat as the average's
LEAST_SIGMA = 2.5  # in blocks, of a scale that is computed in blocks


@dataclass(frozen=True)
class AverageFace:
    """The average face in the space of WholeHead.

    Attributes
    ----------
    skin_mm : Volume
        Signed distance to its skin, mm, negative inside.
    t1w : Volume
        Intensities from 0 to 1, known up to the skin and a little beyond.
    eyes : Volume
        1 inside the eyes.
    brain_mm, ears_mm : Volume
        Signed distances of WholeHead.
    """

    skin_mm: Volume
    t1w: Volume
    eyes: Volume
    brain_mm: Volume
    ears_mm: Volume


@dataclass(frozen=True)
class Blocks:
    """A part of a scan in blocks of about 2 mm, the average laid on it.

    Attributes
    ----------
    box : tuple of slice
        The voxels of the scan that the blocks cover.
    factors : numpy.ndarray, shape (3,)
        Voxels of a block along each axis.
    affine : numpy.ndarray, shape (4, 4)
    known : numpy.ndarray, shape (X, Y, Z), bool
        Blocks with no voxel in the mask; the arrays below have this shape.
    to_mask_mm, skin_mm, brain_mm, ears_mm : numpy.ndarray
        Distances, mm of the scan.
    there : numpy.ndarray, shape (X, Y, Z, 3)
        The places in WholeHead that the centres of the blocks stand for.
    to_there : numpy.ndarray, shape (3, 3)
        A direction of the grid, in mm, to one in WholeHead.
    """

    box: tuple[slice, ...]
    factors: NDArray[np.intp]
    affine: NDArray[np.float64]
    known: NDArray[np.bool_]
    to_mask_mm: NDArray[np.float32]
    skin_mm: NDArray[np.float32]
    brain_mm: NDArray[np.float32]
    ears_mm: NDArray[np.float32]
    there: NDArray[np.float64]
    to_there: NDArray[np.float64]

    @property
    def voxel_mm(self) -> NDArray[np.float64]:
        """The size of a block."""
        return voxel_sizes(self.affine)


def lay_average(mask: NDArray[np.bool_], affine: NDArray, to_head: NDArray, average: AverageFace) -> Blocks:
    """Lay the average on the blocks around a mask with this affine; `to_head` leads to WholeHead."""
    factors = np.clip(np.round(BLOCK_MM / voxel_sizes(affine)).astype(int), 1, mask.shape)
    coarse = affine @ from_matvec(np.diag(factors * 1.0), (factors - 1) / 2)
    masked = means(mask, factors) > 0
    hidden = np.argwhere(masked)
    reach = np.ceil(AROUND_MM / voxel_sizes(coarse)).astype(int)
    first = np.maximum(hidden.min(axis=0) - reach, 0)
    last = np.minimum(hidden.max(axis=0) + reach + 1, masked.shape)
    known = ~masked[tuple(map(slice, first, last))]
    coarse = coarse @ from_matvec(np.eye(3), first)
    there = apply_affine(to_head, voxel_places(known.shape, coarse))
    there[..., 1] += (_flatter_nose(mask.shape, affine, to_head) - 1) * _before_cheeks(there)
    scale = np.float32(scan_mm(to_head))
    fields = (average.skin_mm, average.brain_mm, average.ears_mm)
    skin, brain, ears = (field.at(there, None) * scale for field in fields)
    to_mask = ndimage.distance_transform_edt(known, voxel_sizes(coarse)).astype(np.float32)
    box = tuple(map(slice, first * factors, np.minimum(last * factors, mask.shape)))
    to_there = to_head[:3, :3] @ (coarse[:3, :3] / voxel_sizes(coarse))
    return Blocks(box, factors, coarse, known, to_mask, skin, brain, ears, there, to_there)


def _before_cheeks(there: NDArray) -> NDArray[np.float64]:
    """Return the distance (mm) of nose points in front of the cheeks; it fades to 0 around the nose."""
    aside, before, above = np.moveaxis(there - np.array(NOSE), -1, 0)
    spread = (aside / NOSE_SPREAD_MM[0]) ** 2 + (above / NOSE_SPREAD_MM[1]) ** 2
    return np.maximum(before, 0) * np.exp(-0.5 * spread)


def _flatter_nose(shape: tuple[int, ...], affine: NDArray, to_head: NDArray) -> float:
    """Return the factor by which the average's nose is flattened so that the field of view holds it."""
    to_voxels = np.linalg.inv(to_head @ affine)
    start, step = apply_affine(to_voxels, np.array(NOSE)), to_voxels[:3, 1]
    axis = int(np.argmax(np.abs(step) * voxel_sizes(affine)))
    end = shape[axis] - 1 if step[axis] > 0 else 0
    room = (end - start[axis]) / step[axis] - NOSE_AIR_MM
    return float(np.clip(NOSE_MM / max(room, 1.0), 1.0, FLATTEST_NOSE))


def means(data: NDArray, factors: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the means over blocks; the last ones are filled up by repetition."""
    if (factors == 1).all():
        return data.astype(np.float32)
    data = np.pad(data, [(0, -n % f) for n, f in zip(data.shape, factors, strict=True)], mode="edge")
    x, y, z = np.array(data.shape) // factors
    return data.reshape(x, factors[0], y, factors[1], z, factors[2]).mean(axis=(1, 3, 5), dtype=np.float32)


def to_voxels(field: NDArray, factors: NDArray[np.intp], window: tuple[slice, ...]) -> NDArray[np.float32]:
    """Return a field of the blocks at the voxels of a window of their box, interpolated linearly."""
    field = field.astype(np.float32)
    for axis, (factor, part) in enumerate(zip(factors, window, strict=True)):
        if factor == 1:
            field = field[(slice(None),) * axis + (part,)]
            continue
        last = field.shape[axis] - 1
        place = np.clip((np.arange(part.start, part.stop) - (factor - 1) / 2) / factor, 0, last)
        low = np.minimum(place.astype(int), max(last - 1, 0))
        share = (place - low).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(3)])
        below, above = np.take(field, low, axis), np.take(field, np.minimum(low + 1, last), axis)
        field = below + share * (above - below)
    return field


def carried(
    values: NDArray, known: NDArray[np.bool_], sigmas: Sequence[NDArray | float], supports: tuple[float, ...]
) -> NDArray[np.float32]:
    """Return values where they are known, continued smoothly to everywhere, from coarse to fine.

    Each scale (sigma in voxels) fades to 0 where what is known around falls below its support. A wide one is
    computed in blocks.
    """
    weight = known.astype(np.float32)
    total, rest = np.zeros(values.shape, np.float32), np.where(known, values, 0).astype(np.float32)
    every = tuple(slice(0, n) for n in values.shape)
    for sigma, support in zip(sigmas, supports, strict=True):
        factors = np.maximum(np.broadcast_to(sigma, 3) // LEAST_SIGMA, 1).astype(int)
        around, step = (
            ndimage.gaussian_filter(means(field, factors), sigma / factors, mode="constant", truncate=3.0)
            for field in (weight, rest * weight)
        )
        step = to_voxels(step / (around + np.float32(support)), factors, every)
        total, rest = total + step, rest - step
    return total
