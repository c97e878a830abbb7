"""A nose that one end of the field of view cuts off, and that appears at the other end, in the air."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.facemask import region_distance
from bidsdeface.imaging.volume import Volume, apply_affine, tissue_voxels, voxel_ml

LEFT_RIGHT, DOWN_UP = 0, 2
AIR_MM = 6.0  # farther than that from the template's head there is air
NECK_Z_MM = -70.0  # in the template; below there may be shoulders
FOLDED_MM, LEAST_ML = 4.0, 0.2  # what counts at an end, where it is no wonder that something folded over
END_PLANES = 2
CUT_VOXELS = 8  # so much of a head at an end of the field of view, and something is cut off there
AROUND_MM = 8.0  # also taken, as the edges of what folded over are faint
SKIN_MM = 3.0  # of the template's head: nothing nearer is taken


def find_foldover(scan: Volume, to_head: NDArray, head_mm: Volume) -> NDArray[np.bool_] | None:
    """Find what folded over: tissue in the air at an end of the field of view, the other end of which cuts.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`: its axes are those of the image, along which things fold over.
    to_head : numpy.ndarray, shape (4, 4)
        Scan world to the world of `head_mm`.
    head_mm : Volume
        Distance to a template's head.

    Returns
    -------
    numpy.ndarray, shape (X, Y, Z), bool, or None
        On the grid of `scan`: what folded over and the air around it; None if nothing did.
    """
    voxels = tissue_voxels(scan)
    args = (to_head, head_mm, FOLDED_MM)
    ends = [
        end
        for end in _folded_ends(voxels, scan.data.shape, to_head @ scan.affine)
        if in_air(scan, voxels[end], *args).any()
    ]
    if not ends:
        return None
    beyond = np.zeros(scan.data.shape, bool)
    beyond[tuple(voxels[in_air(scan, voxels, *args)].T)] = True
    pieces, _ = ndimage.label(beyond)
    sizes = np.bincount(pieces.ravel()) * voxel_ml(scan.affine)
    at_ends = {int(piece) for end in ends for piece in pieces[tuple(voxels[end].T)]} - {0}
    boxes = ndimage.find_objects(pieces)
    grow = np.ceil(AROUND_MM / np.linalg.norm(scan.affine[:3, :3], axis=0)).astype(int)
    found = np.zeros(scan.data.shape, bool)
    for piece in at_ends:
        if sizes[piece] >= LEAST_ML:
            x, y, z = (
                slice(max(s.start - g, 0), s.stop + g) for s, g in zip(boxes[piece - 1], grow, strict=True)
            )
            found[x, y, : z.stop] = True  # and what is below it: where a nose folded over, so did the chin
    where = np.argwhere(found)
    places = apply_affine(scan.affine, where)
    own = region_distance((head_mm,), to_head, places) <= SKIN_MM
    found[tuple(where[own].T)] = False
    return found if found.any() else None


def head_voxels(scan: Volume, to_head: NDArray, head_mm: Volume) -> int:
    """Count the voxels of a scan that lie in the template's head."""
    places = apply_affine(scan.affine, np.indices(scan.data.shape).reshape(3, -1).T)
    return int(np.count_nonzero(region_distance((head_mm,), to_head, places) <= 0))


def in_air(
    scan: Volume, voxels: NDArray, to_head: NDArray, head_mm: Volume, air_mm: float = AIR_MM
) -> NDArray[np.bool_]:
    """Tell which voxels, shape (N, 3), lie clearly outside of the template's head, above its neck."""
    points = apply_affine(scan.affine, voxels)
    above_neck = apply_affine(to_head, points)[:, 2] > NECK_Z_MM
    return above_neck & (region_distance((head_mm,), to_head, points) > air_mm)


def on_grid(
    mask: NDArray[np.bool_], affine: NDArray, shape: tuple[int, ...], to: NDArray
) -> NDArray[np.bool_]:
    """Return a mask on another grid of the same field of view, by the nearest voxel."""
    voxels = np.linalg.inv(affine) @ to
    taken = ndimage.affine_transform(
        mask.view(np.uint8), voxels[:3, :3], voxels[:3, 3], shape, order=0, mode="nearest"
    )
    return np.asfortranarray(taken.view(np.bool_))


def far_ends(shape: tuple[int, ...], to_head: NDArray) -> Iterator[tuple[int, bool]]:
    """Yield the ends of a field of view behind and above a head: what folds over from the face appears there.

    Parameters
    ----------
    shape : tuple of int
    to_head : numpy.ndarray, shape (4, 4)
        Voxels to the world of the template's head.

    Yields
    ------
    axis : int
        Of the voxels.
    is_last : bool
        Whether it is the end with the highest index.
    """
    for axis in range(len(shape)):
        along = to_head[:3, axis]
        toward = int(np.abs(along).argmax())
        if toward != LEFT_RIGHT:  # ears that fold over are no faces
            yield axis, bool((along[toward] > 0) == (toward == DOWN_UP))


def at_end(voxels: NDArray, size: int, axis: int, is_last: bool) -> NDArray[np.bool_]:
    """Return which voxels, shape (N, 3), lie in the last planes, or the first, of a field of view."""
    return voxels[:, axis] >= size - END_PLANES if is_last else voxels[:, axis] < END_PLANES


def _folded_ends(voxels: NDArray, shape: tuple[int, ...], to_head: NDArray) -> Iterator[NDArray[np.bool_]]:
    """Yield which tissue, shape (N, 3), lies at a far end, if the opposite end cuts tissue off."""
    for axis, is_last in far_ends(shape, to_head):
        opposite = at_end(voxels, shape[axis], axis, not is_last)
        if np.count_nonzero(opposite) >= CUT_VOXELS:
            yield at_end(voxels, shape[axis], axis, is_last)
