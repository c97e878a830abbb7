"""Wrap-around: a nose that one end of the field of view cuts off appears at the opposite end, in the air."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.facemask import at_blocks, region_distance
from bidsdeface.imaging.volume import Volume, apply_affine

LEFT_RIGHT, DOWN_UP = 0, 2
NECK_Z_MM = -70.0  # in the template; below there may be shoulders
FOLDED_MM, MIN_FOLDED_ML = 4.0, 0.2  # counts at an end where wrap-around is expected
END_PLANES = 2
CUT_VOXELS = 8  # with so much of a head at an end of the field of view, something is cut off there
AROUND_MM = 8.0  # also taken, as the edges of what folded over are faint
KEPT_SKIN_MM = 3.0  # around the template's head: nothing nearer is taken


@dataclass(frozen=True)
class PlacedHead:
    """The template's head, placed on a scan.

    Attributes
    ----------
    head_mm : Volume
        Distance to the template's head, 0 inside.
    to_head : numpy.ndarray, shape (4, 4)
        Scan world to the world of `head_mm`, RAS+ mm.
    """

    head_mm: Volume
    to_head: NDArray[np.float64]

    def distance(self, points: NDArray) -> NDArray[np.float32]:
        """Return the distance in mm from scan world points, shape (..., 3), to the head."""
        return region_distance((self.head_mm,), self.to_head, points)

    def air_mm(self, scan: Volume) -> NDArray[np.float32]:
        """Return the distance in mm from every block of a scan to the head, and 0 below the neck."""
        height = at_blocks(scan, lambda points: apply_affine(self.to_head, points)[..., 2])
        return np.where(height > NECK_Z_MM, at_blocks(scan, self.distance), 0)


def find_foldover(scan: Volume, head: PlacedHead) -> NDArray[np.bool_] | None:
    """Find what folded over: tissue in the air at an end of the field of view whose opposite end cuts tissue.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`: its axes are those of the image, along which things fold over.
    head : PlacedHead
        On `scan`.

    Returns
    -------
    numpy.ndarray, shape (X, Y, Z), bool, or None
        On the grid of `scan`: what folded over and the air around it; None if nothing did.
    """
    shape, tissue = scan.data.shape, scan.data > scan.tissue_threshold
    pieces, _ = ndimage.label(tissue & (head.air_mm(scan) > FOLDED_MM))
    ends = [
        end_of(pieces, axis, is_last)
        for axis, is_last in far_ends(shape, head.to_head @ scan.affine)
        if np.count_nonzero(end_of(tissue, axis, not is_last)) >= CUT_VOXELS
    ]
    sizes = np.bincount(pieces.ravel()) * scan.voxel_ml
    boxes = ndimage.find_objects(pieces)
    grow = np.ceil(AROUND_MM / scan.voxel_mm).astype(int)
    found = np.zeros(shape, bool)
    for piece in {int(piece) for end in ends for piece in np.unique(end)} - {0}:
        if sizes[piece] >= MIN_FOLDED_ML:
            x, y, z = (
                slice(max(s.start - g, 0), s.stop + g) for s, g in zip(boxes[piece - 1], grow, strict=True)
            )
            found[x, y, : z.stop] = True  # and what is below it: where a nose folded over, so did the chin
    where = np.argwhere(found)
    found[found] = head.distance(scan.to_world(where)) > KEPT_SKIN_MM
    return found if found.any() else None


def on_grid(
    mask: NDArray[np.bool_], affine: NDArray, shape: tuple[int, ...], to: NDArray
) -> NDArray[np.bool_]:
    """Return a mask on another grid of the same field of view, by the nearest voxel."""
    taken = ndimage.affine_transform(
        mask.view(np.uint8), np.linalg.inv(affine) @ to, output_shape=shape, order=0, mode="nearest"
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


def end_of(grid: NDArray, axis: int, is_last: bool) -> NDArray:
    """Return the last planes of a grid along an axis, or the first, as a view."""
    planes = slice(-END_PLANES, None) if is_last else slice(END_PLANES)
    return np.moveaxis(grid, axis, 0)[planes]
