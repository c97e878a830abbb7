"""The face mask: a region of space in a scan's own grid, never the outline of this person's face."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.registration import Registration
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate

LATTICE_MM = 4.0
SLAB_VOXELS = 4_000_000


def face_mask(
    shape: tuple[int, int, int],
    affine: NDArray,
    registration: Registration,
    regions_mm: tuple[Volume, ...],
    brain_mm: Volume,
    guard_mm: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where to deface, and the brain guard, in a scan's own grid.

    The regions are carried by the affine alone: it knows nothing of the face, so neither does the mask.
    The brain guard is carried by the warp. Both are signed distances, which are smooth: they are
    computed on a coarse lattice and interpolated.

    Parameters
    ----------
    shape : tuple of int
    affine : numpy.ndarray, shape (4, 4)
        The scan's grid; voxel indices to world, RAS+ mm.
    registration : Registration
    regions_mm : tuple of Volume
        Signed distances in template space, in mm, negative inside: the face, the ears.
    brain_mm : Volume
        The same of the brain.
    guard_mm : float
        How far around the brain nothing is touched.

    Returns
    -------
    mask, guard : numpy.ndarray, shape `shape`, bool
        In Fortran order, as NIfTI stores it. They do not overlap.
    """
    step = np.maximum(np.round(LATTICE_MM / np.linalg.norm(affine[:3, :3], axis=0)), 1).astype(int)
    nodes = [np.arange(0, n - 1 + s, s, dtype=float) for n, s in zip(shape, step, strict=True)]
    points = apply_affine(affine, np.stack(np.meshgrid(*nodes, indexing="ij"), -1))
    to_face = registration.to_template
    straight = apply_affine(to_face, points)
    # A length in the template is 1/scale of that length in the scan.
    scale = np.abs(np.linalg.det(to_face[:3, :3])) ** (-1 / 3)
    face = np.min([_distance(region, straight) for region in regions_mm], axis=0) * scale
    brain = _distance(brain_mm, registration.warped_to_template(points)) * scale - guard_mm
    mask, guard = np.empty(shape, bool, order="F"), np.empty(shape, bool, order="F")
    for planes, (face_slab, brain_slab) in _upsampled((face, brain), step, shape):
        guard[:, :, planes] = brain_slab <= 0
        mask[:, :, planes] = (face_slab < 0) & (brain_slab > 0)
    return mask, guard


def _distance(region: Volume, points: NDArray) -> NDArray[np.float32]:
    """Return a signed distance at template points; past the grid's edge that of the nearest edge."""
    low = region.affine[:3, 3]
    high = apply_affine(region.affine, np.array(region.data.shape) - 1.0)
    return interpolate(region.data, region.affine, np.clip(points, low, high)).astype(np.float32)


def _upsampled(
    fields: tuple[NDArray, ...], step: NDArray, shape: tuple[int, int, int]
) -> Iterator[tuple[slice, list[NDArray]]]:
    """Yield slabs of planes and the fields in them, from every `step`-th voxel to every voxel, linear."""
    thickness = max(SLAB_VOXELS // (shape[0] * shape[1]), 1)
    for start in range(0, shape[2], thickness):
        planes = np.arange(start, min(start + thickness, shape[2]))
        yield (
            slice(start, start + len(planes)),
            [
                _linear(_linear(_linear(field, planes, step[2], 2), np.arange(shape[1]), step[1], 1), np.arange(shape[0]), step[0], 0)
                for field in fields
            ],
        )


def _linear(field: NDArray, at: NDArray, step: int, axis: int) -> NDArray[np.float32]:
    lower = np.minimum(at // step, field.shape[axis] - 2)
    share = ((at - lower * step) / step).astype(np.float32)
    share = share.reshape([-1 if k == axis else 1 for k in range(3)])
    return np.take(field, lower, axis) * (1 - share) + np.take(field, lower + 1, axis) * share
