"""Replace a face by the average one, in a scan's own contrast.

The face that was there has no influence: whatever lies in the mask is set to 0 before anything is computed.
So the result depends on the voxels outside the mask, the average face, the placement and the seed alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtr

from bidsdeface.imaging.average import AverageFace, Blocks, carried, lay_average, means, to_voxels
from bidsdeface.imaging.image import Image
from bidsdeface.imaging.methods import stored_as
from bidsdeface.imaging.noise import finest_sd, neighbours_of, sigma_of
from bidsdeface.imaging.volume import Volume

SKIN_SHARE = 0.6  # of Otsu's threshold: skin is darker than most tissue
# The person's skin beside the mask: within so much of the average's, of the mask, and not on an ear.
SKIN_REACH_MM, SEAM_REACH_MM, EARS_MM = 15.0, 60.0, 6.0
LEAST_SKIN = 200  # blocks; fewer say nothing of where the skin is
LARGEST_SHIFT_MM = 12.0  # of the average's skin, to meet the person's
MEETING_MM = 20.0  # into the mask, within which the average's skin leaves the person's for its own place
LID_MM = 2.0  # of skin before the eyes, whose fluid may be as dark as air
# How values are continued into the mask: Gaussian sigmas (mm) from coarse to fine, and the least weight of
# known voxels at which each still counts.
SKIN_MM, SKIN_SUPPORTS = (30.0, 12.0, 5.0), (1e-5, 3e-4, 3e-3)
SHADE_MM, SHADE_SUPPORTS = (25.0,), (1e-3,)
SEAM_MM, SEAM_SUPPORTS = (10.0, 5.0, 2.5), (0.08, 0.12, 0.25)
FRINGE, FRINGE_SUPPORT = 1.2, 0.05  # voxels: the finest scale of the seam
SHELL_MM = 10.0  # outside the mask, where the difference between scan and average is measured
LARGEST_SHADE = 0.6  # logarithm
# Brightness of the average where it is bone or air, muscle, and fat.
LEVELS = (0.12, 0.44, 0.60, 0.75)
LEVELS_REACH_MM = 15.0  # of the mask, where the scan's are measured: fat of the scalp is thinner, and duller
NOISE_SAMPLE = 50_000  # voxels of air


@dataclass(frozen=True)
class _Scan:
    """What a scan shows outside the mask.

    Attributes
    ----------
    fine : numpy.ndarray, float32
        Its voxels in the box of the blocks, 0 in the mask.
    data : numpy.ndarray, shape (X, Y, Z), float32
        Means of the blocks.
    threshold, air_level : float
        Of the skin, and of air.
    air, far : numpy.ndarray, shape (X, Y, Z), bool
        Known air around the head, and that far from the average's skin.
    """

    fine: NDArray[np.float32]
    data: NDArray[np.float32]
    threshold: float
    air_level: float
    air: NDArray[np.bool_]
    far: NDArray[np.bool_]


@dataclass(frozen=True)
class _Laid:
    """The average in blocks, moved to meet the person's skin: distance to it, intensities, eyes."""

    skin_mm: NDArray[np.float32]
    t1w: NDArray[np.float32]
    eyes: NDArray[np.float32]


def reface(
    image: Image, mask: NDArray[np.bool_], to_head: NDArray, average: AverageFace, seed: Sequence[int]
) -> NDArray:
    """Return the stored values with the average face inside the mask.

    Parameters
    ----------
    image : Image
        Stored values of shape (X, Y, Z) or (X, Y, Z, ...): the first volume gives the shape of the face, each
        its own brightness. Magnitudes alone.
    mask : numpy.ndarray, shape (X, Y, Z), bool
    to_head : numpy.ndarray, shape (4, 4)
        Scan world to WholeHead world, RAS+ mm.
    average : AverageFace
    seed : sequence of int
        Of the noise.

    Returns
    -------
    numpy.ndarray
        A new array, the same outside the mask bit for bit.
    """
    result = image.stored.copy(order="K")
    if not mask.any():
        return result
    volumes = replace(image, stored=result).volumes  # a view, as NIfTI is in Fortran order
    blocks = lay_average(mask, image.affine, to_head, average)
    hidden = mask[blocks.box]
    laid = None
    for number in range(volumes.shape[-1]):
        stored = volumes[..., number][blocks.box]
        fine = image.scaled(stored)
        fine = np.where(hidden | ~np.isfinite(fine), np.float32(0), fine)  # the face is gone from here on
        scan = _read(fine, blocks)
        laid = laid or _meet_skin(scan, blocks, average)
        values = _face(scan, hidden, blocks, laid, np.random.default_rng([*seed, number]))
        stored[hidden] = stored_as(values, image)
    return result


def _read(fine: NDArray[np.float32], blocks: Blocks) -> _Scan:
    data, known = means(fine, blocks.factors), blocks.known
    dark, bright = (float(level) for level in np.percentile(data[known], [1, 99.5]))
    span = max(bright - dark, 1e-6)
    scaled = np.clip((data - dark) / span, 0, 1)
    otsu = Volume(scaled, blocks.affine, known.astype(np.float32)).tissue_threshold
    threshold = dark + SKIN_SHARE * (otsu if np.isfinite(otsu) else 0.5) * span
    air = _open_air(data, threshold, blocks)
    far = air & (blocks.skin_mm > 6)
    air_level = float(np.median(data[far])) if far.sum() > 100 else dark
    return _Scan(fine, data, threshold, air_level, air, far)


def _face(
    scan: _Scan, hidden: NDArray[np.bool_], blocks: Blocks, laid: _Laid, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the average face at the hidden voxels, in the order of ``array[hidden]``."""
    tissue, air_level = _in_contrast(scan, laid, blocks), np.float32(scan.air_level)
    blur_mm = np.float32(max(0.55 * float((blocks.voxel_mm / blocks.factors).max()), 0.5))
    solid = ndtr(-laid.skin_mm / max(blur_mm, 0.4 * float(blocks.voxel_mm.max())))
    shell = blocks.known & (blocks.to_mask_mm < SHELL_MM)
    difference = scan.data - air_level - solid * (tissue - air_level)
    residual = _carried_mm(difference, shell, blocks, SEAM_MM, SEAM_SUPPORTS)

    window = _window(hidden)
    inside = hidden[window]
    fields = (laid.skin_mm / blur_mm, tissue, residual)
    depth, value, rest = (to_voxels(field, blocks.factors, window) for field in fields)
    solid = ndtr(-depth)
    smooth = air_level + solid * (value - air_level) + rest * ndtr(0.5 / blur_mm - depth)
    fringe = carried(scan.fine[window] - smooth, ~inside, (FRINGE,), (FRINGE_SUPPORT,))
    noise, grain = _noise(scan, blocks, inside, rng)
    in_air = _voxels_of(scan.far, scan.fine, blocks)
    in_air = np.sort(in_air[:: max(len(in_air) // NOISE_SAMPLE, 1)]) if len(in_air) else air_level[None]
    in_air = in_air[(ndtr(noise) * (len(in_air) - 1)).astype(int)] - air_level
    solid = solid[inside]
    values = (smooth + fringe)[inside] + solid * (grain * noise) + (1 - solid) * in_air
    seen = scan.fine[~hidden]
    return np.clip(values, seen.min(), seen.max()).astype(np.float32)


def _window(hidden: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the box of the hidden voxels and a few around."""
    margin = int(np.ceil(3 * FRINGE))
    box = ndimage.find_objects(hidden.astype(np.uint8))[0]
    ends = zip(box, hidden.shape, strict=True)
    return tuple(slice(max(part.start - margin, 0), min(part.stop + margin, n)) for part, n in ends)


def _open_air(data: NDArray, threshold: float, blocks: Blocks) -> NDArray[np.bool_]:
    """Return the known air around the head: joined to air that is far from it, no hollow inside."""
    air = (data < threshold) & blocks.known
    labels, _ = ndimage.label(ndimage.binary_erosion(air, border_value=1) & (blocks.skin_mm > -8))
    outer = np.unique(labels[blocks.skin_mm > 15])
    return ndimage.binary_dilation(np.isin(labels, outer[outer > 0])) & air


def _skin_offset(scan: _Scan, blocks: Blocks) -> NDArray[np.float32]:
    """Return the distance (mm) of the person's skin outside the average's, measured beside the mask."""
    data, tissue = scan.data, blocks.known & ~scan.air
    near = (blocks.to_mask_mm < SEAM_REACH_MM) & (blocks.ears_mm > EARS_MM)
    total, count = np.zeros(data.shape, np.float32), np.zeros(data.shape, np.float32)
    for axis in range(3):
        for step in (1, -1):
            within, beyond = np.roll(data, step, axis), np.roll(data, -step, axis)
            meets = tissue & np.roll(scan.air, -step, axis) & near
            meets[(slice(None),) * axis + (-1 if step == 1 else 0,)] = False
            # Blocks blur the skin: it is half-way from the tissue beneath to air.
            half = (np.maximum(data, within) + scan.air_level) / 2
            other = np.where(data > half, beyond, within)
            part = np.clip(np.abs(data - half) / np.maximum(np.abs(data - other), 1e-6), 0, 1)
            outwards = np.where(data > half, part, -part)
            crossing = blocks.skin_mm + outwards * (np.roll(blocks.skin_mm, -step, axis) - blocks.skin_mm)
            meets &= np.abs(crossing) < SKIN_REACH_MM
            total[meets] += crossing[meets]
            count[meets] += 1
    found = count > 0
    if found.sum() < LEAST_SKIN:
        return np.zeros_like(total)
    offset = total / np.maximum(count, 1)
    middle = np.median(offset[found])
    around = middle + _carried_mm(offset - middle, found, blocks, SKIN_MM[:1], SKIN_SUPPORTS[:1])
    off = np.abs(offset - around)
    found &= off < 3 * 1.4826 * np.median(off[found]) + 1.0  # not hair, cushions, ears, ghosts
    inwards = ndimage.distance_transform_edt(~blocks.known, blocks.voxel_mm)
    fade = 0.5 + 0.5 * np.cos(np.pi * np.clip(inwards / MEETING_MM, 0, 1))
    local = _carried_mm(offset - middle, found, blocks, SKIN_MM, SKIN_SUPPORTS) * fade.astype(np.float32)
    # A head that is smaller or larger all round has such a face; a broad jaw says nothing of it.
    return np.clip(middle + local, -LARGEST_SHIFT_MM, LARGEST_SHIFT_MM).astype(np.float32)


def _carried_mm(
    values: NDArray,
    known: NDArray[np.bool_],
    blocks: Blocks,
    sigmas_mm: tuple[float, ...],
    supports: tuple[float, ...],
) -> NDArray[np.float32]:
    return carried(values, known, tuple(sigma / blocks.voxel_mm for sigma in sigmas_mm), supports)


def _meet_skin(scan: _Scan, blocks: Blocks, average: AverageFace) -> _Laid:
    """Return the average, moved along its normals by the offset of the skin."""
    offset = _skin_offset(scan, blocks)
    smooth = ndimage.gaussian_filter(blocks.skin_mm, 6 / blocks.voxel_mm)
    normal = np.stack(np.gradient(smooth, *blocks.voxel_mm), -1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-3)
    there = blocks.there - (offset[..., None] * normal) @ blocks.to_there.T
    return _Laid(blocks.skin_mm - offset, average.t1w.at(there, None), average.eyes.at(there, 0.0))


def _in_contrast(scan: _Scan, laid: _Laid, blocks: Blocks) -> NDArray[np.float32]:
    """Return the average in the contrast and shading of the scan."""
    data, skin_mm, average, threshold = scan.data, laid.skin_mm, laid.t1w, scan.threshold
    known, brain_mm = blocks.known, blocks.brain_mm
    beside = (
        known & (skin_mm < -1) & (brain_mm > 4) & (blocks.to_mask_mm < SEAM_REACH_MM) & (blocks.ears_mm > 0)
    )
    beside = beside if beside.sum() >= 2000 else known & (skin_mm < -1) & (brain_mm > 2)
    if not beside.any():
        return np.full(data.shape, threshold, np.float32)
    # A head that is smaller than the average's has air where that has muscle.
    empty = ndimage.binary_propagation(scan.air, mask=known & (data < threshold))
    near = beside & ~empty & (blocks.to_mask_mm < LEVELS_REACH_MM)
    in_fat = near & (skin_mm < -2) & (skin_mm > -9) & (blocks.ears_mm > 4)
    in_muscle = near & (np.abs(average - LEVELS[1]) < 0.05) & (skin_mm < -12)
    dark = float(np.quantile(data[beside], 0.06))
    muscle = float(np.median(data[in_muscle if in_muscle.sum() > 200 else beside]))
    fat = float(np.quantile(data[in_fat], 0.75) if in_fat.sum() > 200 else np.quantile(data[beside], 0.85))
    levels = (dark, muscle, fat, fat + 0.3 * (fat - muscle))
    tissue = np.interp(average, LEVELS, levels).astype(np.float32)
    tissue += (
        laid.eyes * np.clip(-skin_mm / LID_MM - 1, 0, 1) * (_fluid(data, average, blocks, dark) - tissue)
    )
    lit = beside & (data > threshold) & (tissue > threshold) & (tissue > 0)
    if not lit.any() or threshold <= 0:  # no ratio without a zero
        return tissue
    # Sums are compared, as the average's fat is not quite where the person's is: a mean of ratios would be
    # too small. The levels hold where they were measured.
    seen, expected = (_carried_mm(values, lit, blocks, SHADE_MM, SHADE_SUPPORTS) for values in (data, tissue))
    measured = lit & near if (lit & near).any() else lit
    expected *= np.median(seen[measured] / expected[measured])
    none = 1e-3 * expected.max()
    shade = np.log((seen + none) / (expected + none))
    return tissue * np.exp(shade.clip(-LARGEST_SHADE, LARGEST_SHADE))


def _fluid(data: NDArray, average: NDArray, blocks: Blocks, dark: float) -> float:
    """Return the brightness of fluid: the extreme of the brain's that its ventricles lean to."""
    deep = blocks.known & (blocks.brain_mm < -15)
    if deep.sum() < 2000:
        return dark
    ventricles = deep & (average <= np.quantile(average[deep], 0.015))
    is_bright = np.median(data[ventricles]) > np.median(data[deep])
    return float(np.quantile(data[deep], 0.99 if is_bright else 0.01))


def _voxels_of(chosen: NDArray[np.bool_], fine: NDArray[np.float32], blocks: Blocks) -> NDArray[np.float32]:
    return fine[_on_voxels(chosen, fine, blocks)]


def _on_voxels(chosen: NDArray[np.bool_], fine: NDArray[np.float32], blocks: Blocks) -> NDArray[np.bool_]:
    """Return the voxels of the chosen blocks."""
    for axis, factor in enumerate(blocks.factors):
        chosen = np.repeat(chosen, factor, axis)
    return chosen[tuple(map(slice, fine.shape))]


def _noise(
    scan: _Scan, blocks: Blocks, inside: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """Return noise of standard deviation 1 inside, as smooth as that of air, and its size in tissue.

    The size is measured at the finest scale, in the quietest places of the brain.
    """
    air = _on_voxels(scan.far, scan.fine, blocks)
    brain = _on_voxels(blocks.known & (blocks.brain_mm < -8), scan.fine, blocks)
    sigmas = [sigma_of(*neighbours_of(scan.fine, air, axis)) for axis in range(3)]
    noise = rng.standard_normal(inside.shape, dtype=np.float32)
    if any(sigmas):
        noise = ndimage.gaussian_filter(noise, sigmas, truncate=3.0)
        noise /= noise[inside].std()
    axes = [axis for axis in range(3) if min(inside.shape[axis], scan.fine.shape[axis]) > 2]
    sizes = [finest_sd(scan.fine, axis, brain) for axis in axes if brain.any()]
    smooth = min((finest_sd(noise, axis) for axis in axes), default=1.0)
    return noise[inside], min(sizes, default=0.0) / max(smooth, 0.35)
