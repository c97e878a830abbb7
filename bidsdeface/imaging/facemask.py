"""The face mask: a region of space in a scan's own grid, never the outline of this person's face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.registration import Registration
from bidsdeface.imaging.volume import Volume, apply_affine

LATTICE_MM = 4.0
SLAB_VOXELS = 4_000_000


@dataclass(frozen=True)
class FaceMask:
    """Where a scan is defaced.

    Attributes
    ----------
    mask : numpy.ndarray, bool
        In the scan's own grid, Fortran order, as NIfTI stores it.
    brain_distance_mm : float
        From the mask to the nearest brain; never below the guard.
    guard_depth_mm : float
        How deep the brain guard reaches into the face region; face deeper than that is all hidden.
    """

    mask: NDArray[np.bool_]
    brain_distance_mm: float
    guard_depth_mm: float


def face_mask(
    shape: tuple[int, int, int],
    affine: NDArray,
    registration: Registration,
    regions_mm: tuple[Volume, ...],
    brain_mm: Volume,
    guard_mm: float,
) -> FaceMask:
    """Return where to deface a scan.

    The regions are carried by the affine alone: it knows nothing of the face, so neither does the mask.
    The brain guard is carried by the warp, and wins over the face. Both are signed distances, which are
    smooth: they are computed on a coarse lattice and interpolated.

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
    FaceMask
    """
    step = lattice_step(affine)
    nodes = [np.arange(0, n - 1 + s, s, dtype=float) for n, s in zip(shape, step, strict=True)]
    points = apply_affine(affine, np.stack(np.meshgrid(*nodes, indexing="ij"), -1))
    to_face = registration.to_template
    face = region_distance(regions_mm, to_face, points)
    brain = _distance(brain_mm, registration.warped_to_template(points)) * _scan_mm(to_face)
    mask = np.empty(shape, bool, order="F")
    nearest = np.inf
    for planes, face_slab, brain_slab in _upsampled(face, brain, step, shape):
        hidden = (face_slab < 0) & (brain_slab > guard_mm)
        nearest = min(nearest, brain_slab.min(where=hidden, initial=np.inf))
        mask[:, :, planes] = hidden
    depth = -face.min(where=brain <= guard_mm, initial=0.0)
    return FaceMask(mask, float(nearest), float(depth))


def lattice_step(affine: NDArray) -> NDArray[np.intp]:
    """Return how many voxels of a grid make a step of about `LATTICE_MM`, for each axis."""
    return np.maximum(np.round(LATTICE_MM / np.linalg.norm(affine[:3, :3], axis=0)), 1).astype(int)


def region_distance(
    regions_mm: tuple[Volume, ...], to_template: NDArray, points: NDArray
) -> NDArray[np.float32]:
    """Return the signed distance in mm from scan world points to the nearest of some regions.

    Parameters
    ----------
    regions_mm : tuple of Volume
        Signed distances in template space, mm, negative inside.
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, RAS+ mm.
    points : numpy.ndarray, shape (..., 3)

    Returns
    -------
    numpy.ndarray, shape (...)
    """
    there = apply_affine(to_template, points)
    return np.min([_distance(region, there) for region in regions_mm], axis=0) * _scan_mm(to_template)


def _scan_mm(to_template: NDArray) -> float:
    """Return the length in the scan of 1 mm in the template."""
    return float(np.abs(np.linalg.det(to_template[:3, :3])) ** (-1 / 3))


def _distance(region: Volume, points: NDArray) -> NDArray[np.float32]:
    """Return a signed distance at template points; past the grid's edge that of the nearest edge."""
    voxels = np.moveaxis(apply_affine(np.linalg.inv(region.affine), points), -1, 0)
    return ndimage.map_coordinates(region.data, voxels, order=1, mode="nearest", prefilter=False)


def _upsampled(
    face: NDArray, brain: NDArray, step: NDArray, shape: tuple[int, int, int]
) -> Iterator[tuple[slice, NDArray, NDArray]]:
    """Yield both fields in slabs of planes, from every `step`-th voxel to every voxel, linear."""
    thickness = max(SLAB_VOXELS // (shape[0] * shape[1]), 1)
    for start in range(0, shape[2], thickness):
        planes = range(start, min(start + thickness, shape[2]))
        slabs = []
        for field in (face, brain):
            for axis, at in ((2, planes), (1, range(shape[1])), (0, range(shape[0]))):
                field = _linear(field, np.array(at), step[axis], axis)
            slabs.append(field)
        yield slice(planes.start, planes.stop), slabs[0], slabs[1]


def _linear(field: NDArray, at: NDArray, step: int, axis: int) -> NDArray[np.float32]:
    lower = np.minimum(at // step, field.shape[axis] - 2)
    share = ((at - lower * step) / step).astype(np.float32)
    share = share.reshape([-1 if k == axis else 1 for k in range(3)])
    return np.take(field, lower, axis) * (1 - share) + np.take(field, lower + 1, axis) * share
