"""Wrap-around: a nose that one end of the field of view cuts off appears at the opposite end, in the air."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.facemask import region_distance
from bidsdeface.imaging.volume import Volume, apply_affine, tissue_voxels

LEFT_RIGHT, DOWN_UP = 0, 2
AIR_MM = 6.0  # farther than that from the template's head there is air
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
        """Return the distance in mm from scan world points, shape (N, 3), to the head."""
        return region_distance((self.head_mm,), self.to_head, points)

    def in_air(self, points: NDArray, air_mm: float = AIR_MM) -> NDArray[np.bool_]:
        """Return which scan world points, shape (N, 3), lie in the air around the head, above its neck."""
        return (apply_affine(self.to_head, points)[:, 2] > NECK_Z_MM) & (self.distance(points) > air_mm)


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
    voxels, shape = tissue_voxels(scan), scan.data.shape
    in_air = voxels[head.in_air(scan.to_world(voxels), FOLDED_MM)]
    ends = [
        in_air[at_end(in_air, shape[axis], axis, is_last)]
        for axis, is_last in far_ends(shape, head.to_head @ scan.affine)
        if np.count_nonzero(at_end(voxels, shape[axis], axis, not is_last)) >= CUT_VOXELS
    ]
    pieces, _ = ndimage.label(marked(shape, in_air))
    sizes = np.bincount(pieces.ravel()) * scan.voxel_ml
    boxes = ndimage.find_objects(pieces)
    grow = np.ceil(AROUND_MM / scan.voxel_mm).astype(int)
    found = np.zeros(shape, bool)
    for piece in {int(piece) for end in ends for piece in pieces[tuple(end.T)]} - {0}:
        if sizes[piece] >= MIN_FOLDED_ML:
            x, y, z = (
                slice(max(s.start - g, 0), s.stop + g) for s, g in zip(boxes[piece - 1], grow, strict=True)
            )
            found[x, y, : z.stop] = True  # and what is below it: where a nose folded over, so did the chin
    where = np.argwhere(found)
    where = where[head.distance(scan.to_world(where)) > KEPT_SKIN_MM]
    return marked(shape, where) if len(where) else None


def marked(shape: tuple[int, ...], voxels: NDArray) -> NDArray[np.bool_]:
    """Return a mask of a grid that is True at some voxels, shape (N, 3)."""
    mask = np.zeros(shape, bool)
    mask[tuple(voxels.T)] = True
    return mask


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


def at_end(voxels: NDArray, size: int, axis: int, is_last: bool) -> NDArray[np.bool_]:
    """Return which voxels, shape (N, 3), lie in the last planes, or the first, of a field of view."""
    return voxels[:, axis] >= size - END_PLANES if is_last else voxels[:, axis] < END_PLANES
