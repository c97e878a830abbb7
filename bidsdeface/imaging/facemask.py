"""The face mask: a region of space in a scan's own grid, never the outline of this person's face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.errors import UsageError
from bidsdeface.imaging.brain import Brain
from bidsdeface.imaging.image import Image, is_on_grid, read_image
from bidsdeface.imaging.volume import Volume, apply_affine, masked_share, reduce_image, voxel_ml

LATTICE_MM = 4.0
CAP_MM = 10.0  # from the template's brain as it is laid on the scan's own; those of 20 people reach 9 mm
MORE_MARGIN_MM = 1.0  # around the template's brain, which is not the scan's own
SLAB_VOXELS = 4_000_000
LEAST_DRAWN_ML = 20.0  # a nose and two eyes
MOST_DRAWN_SHARE = 0.5  # of the head


@dataclass(frozen=True)
class Guard:
    """The brain and a margin around it: what no mask may touch.

    Attributes
    ----------
    brain_mm : Volume
        Signed distance to the template's brain, template space, mm, negative inside.
    margin_mm : float
        How far around the scan's own brain nothing is touched.
    own : Brain or None
        The scan's own brain; None where it is not to be trusted.
    """

    brain_mm: Volume
    margin_mm: float
    own: Brain | None = None

    def of_voxels(self, affine: NDArray) -> Guard:
        """Return the guard whose margin holds for whole voxels of a grid, by their centres."""
        half_mm = float(np.cbrt(np.abs(np.linalg.det(affine[:3, :3])))) / 2
        return replace(self, margin_mm=self.margin_mm + half_mm)

    def distance(self, points: NDArray, to_template: NDArray) -> NDArray:
        """Return the signed distance in mm from scan world points to the guard, negative inside.

        The guard is the scan's own brain and the margin, and the template's brain. The first never reaches
        farther than `CAP_MM` from the template's brain as the own brain's surface places it: a network that
        goes astray must not spare a face. Where the scan's own brain is not to be trusted, the guard is the
        template's brain, and a wider margin.

        Parameters
        ----------
        points : numpy.ndarray, shape (..., 3)
        to_template : numpy.ndarray, shape (4, 4)
            Scan world to template world, RAS+ mm.
        """
        template = region_distance((self.brain_mm,), to_template, points)
        if self.own is None:
            return template - (self.margin_mm + MORE_MARGIN_MM)
        by_own = region_distance((self.brain_mm,), self.own.to_template, points)
        guarded = by_own - max(CAP_MM, self.margin_mm)
        undecided = (template > -LATTICE_MM) & (guarded < LATTICE_MM)
        own = self.own.distance(points[undecided]) - self.margin_mm
        guarded[undecided] = np.maximum(guarded[undecided], own)
        return np.minimum(guarded, template)


@dataclass(frozen=True)
class FaceMask:
    """Where a scan is defaced.

    Attributes
    ----------
    mask : numpy.ndarray, bool
        In the scan's own grid, Fortran order, as NIfTI stores it.
    guard_depth_mm : float
        How deep the brain guard reaches into the face region; face deeper than that is all hidden.
    """

    mask: NDArray[np.bool_]
    guard_depth_mm: float


def face_mask(
    shape: tuple[int, int, int],
    affine: NDArray,
    to_template: NDArray,
    regions_mm: tuple[Volume, ...],
    guard: Guard,
) -> FaceMask:
    """Return where to deface a scan.

    The regions are carried by the affine alone: it knows nothing of the face, so neither does the mask.
    The guard wins over the face, and its margin is kept by whole voxels: half their width is added, as what
    is removed reaches that far around their centres. Both are signed distances, which are smooth: they are
    computed on a coarse lattice and interpolated.

    Parameters
    ----------
    shape : tuple of int
    affine : numpy.ndarray, shape (4, 4)
        The scan's grid; voxel indices to world, RAS+ mm.
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, RAS+ mm.
    regions_mm : tuple of Volume
        Signed distances in template space, in mm, negative inside: the face, the ears.
    guard : Guard

    Returns
    -------
    FaceMask
    """
    step = lattice_step(affine)
    nodes = [np.arange(0, n - 1 + s, s, dtype=float) for n, s in zip(shape, step, strict=True)]
    points = apply_affine(affine, np.stack(np.meshgrid(*nodes, indexing="ij"), -1))
    face = region_distance(regions_mm, to_template, points)
    guarded = guard.of_voxels(affine).distance(points, to_template)
    mask = np.empty(shape, bool, order="F")
    for planes, face_slab, guard_slab in _upsampled(face, guarded, step, shape):
        mask[:, :, planes] = (face_slab < 0) & (guard_slab > 0)
    return FaceMask(mask, float(-face.min(where=guarded <= 0, initial=0.0)))


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
    face: NDArray, guarded: NDArray, step: NDArray, shape: tuple[int, int, int]
) -> Iterator[tuple[slice, NDArray, NDArray]]:
    """Yield both fields in slabs of planes, from every `step`-th voxel to every voxel, linear."""
    thickness = max(SLAB_VOXELS // (shape[0] * shape[1]), 1)
    for start in range(0, shape[2], thickness):
        planes = range(start, min(start + thickness, shape[2]))
        slabs = []
        for field in (face, guarded):
            for axis, at in ((2, planes), (1, range(shape[1])), (0, range(shape[0]))):
                field = _linear(field, np.array(at), step[axis], axis)
            slabs.append(field)
        yield slice(planes.start, planes.stop), slabs[0], slabs[1]


def _linear(field: NDArray, at: NDArray, step: int, axis: int) -> NDArray[np.float32]:
    lower = np.minimum(at // step, field.shape[axis] - 2)
    share = ((at - lower * step) / step).astype(np.float32)
    share = share.reshape([-1 if k == axis else 1 for k in range(3)])
    return np.take(field, lower, axis) * (1 - share) + np.take(field, lower + 1, axis) * share


def read_mask_by_hand(path: Path, image: Image) -> NDArray[np.bool_]:
    """Read a mask that a person drew on this very scan.

    Parameters
    ----------
    path : pathlib.Path
        A NIfTI image that holds 0 and one other value, which is on the face.
    image : Image
        The scan.

    Returns
    -------
    numpy.ndarray, shape (X, Y, Z), bool
        In Fortran order.

    Raises
    ------
    ImageError
        The file cannot be read.
    UsageError
        It is on another grid, is not a mask, or marks next to nothing or most of the head.
    """
    drawn = read_image(path)
    if not is_on_grid(image, drawn.stored.shape, drawn.affine):
        raise UsageError(f"{path}: is not on the grid of the scan; draw it on the scan itself")
    scaled = drawn.scaled(drawn.stored)
    values = np.unique(scaled)
    if len(values) != 2 or values[0] != 0 or not np.isfinite(values).all():
        raise UsageError(f"{path}: is not a mask; it must hold 0 and one other value, on the face")
    mask = np.asfortranarray(scaled != 0)
    share = masked_share(reduce_image(image, "the scan"), mask, image.affine)
    size_ml = mask.sum() * voxel_ml(image.affine)
    if size_ml < LEAST_DRAWN_ML or share > MOST_DRAWN_SHARE:
        raise UsageError(
            f"{path}: marks {size_ml:.0f} mL and {share:.0%} of the head, which is no face; "
            "other values than 0 mean face, not what to keep"
        )
    return mask
