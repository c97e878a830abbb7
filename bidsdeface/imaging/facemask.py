"""The face mask: a region of space in a scan's own grid, never the outline of this person's face."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from bidsdeface.errors import UsageError, raise_first
from bidsdeface.imaging.brain import Brain
from bidsdeface.imaging.image import Image, is_on_grid, read_image
from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    nearest,
    reduce_image,
    scan_mm,
    tissue_voxels,
    voxel_ml,
)

LATTICE_MM = 4.0
CAP_MM = 10.0  # from the template's brain as it is laid on the scan's own; those of 20 people reach 9 mm
BLOCK_REACH_MM = 2.0  # from the middle of a block of a coarse grid to any voxel in it
NO_VOXELS = np.zeros((4, 4))  # a grid without any, whose guard needs no more room
MORE_MARGIN_MM = 1.0  # around the template's brain, which is not the scan's own
SLAB_VOXELS = 4_000_000
LEAST_DRAWN_ML = 20.0  # a nose and two eyes
MOST_DRAWN_SHARE = 0.5  # of the head


@dataclass(frozen=True)
class FaceRegions:
    """What is removed from a scan, and the brain guard, which no mask may touch.

    Attributes
    ----------
    regions_mm : tuple of Volume
        Signed distances to the regions to remove (face, ears), template space, mm, negative inside.
    brain_mm : Volume
        Signed distance to the template's brain.
    guard_mm : float
        Margin around the scan's own brain, in mm.
    brain : Brain or None
        The scan's own brain, from `find_guard_brain`; None where it is not trusted.
    """

    regions_mm: tuple[Volume, ...]
    brain_mm: Volume
    guard_mm: float
    brain: Brain | None = None

    def distance(self, points: NDArray, to_template: NDArray) -> NDArray:
        """Return the signed distance in mm to the nearest region; see `region_distance`."""
        return region_distance(self.regions_mm, to_template, points)

    def guard_distance(self, points: NDArray, to_template: NDArray, affine: NDArray) -> NDArray:
        """Return the signed distance in mm from scan world points to the guard, negative inside.

        The guard is the scan's own brain with its margin, united with the template's brain. The former never
        reaches farther than `CAP_MM` from the template's brain as the own brain's surface places it: a
        network that goes astray must not spare a face. Where the scan's own brain is not trusted, the guard
        is the template's brain with a wider margin. The margin holds for whole voxels: half their width is
        added, as what is removed reaches that far around their centres.

        Parameters
        ----------
        points : numpy.ndarray, shape (..., 3)
        to_template : numpy.ndarray, shape (4, 4)
            Scan world to template world, RAS+ mm.
        affine : numpy.ndarray, shape (4, 4)
            Of the grid whose voxels are guarded.
        """
        margin_mm = self.guard_mm + float(np.cbrt(np.abs(np.linalg.det(affine[:3, :3])))) / 2
        template = region_distance((self.brain_mm,), to_template, points)
        if self.brain is None:
            return template - (margin_mm + MORE_MARGIN_MM)
        guarded = region_distance((self.brain_mm,), self.brain.to_template, points) - max(CAP_MM, margin_mm)
        undecided = (template > -LATTICE_MM) & (guarded < LATTICE_MM)
        own = self.brain.distance(points[undecided]) - margin_mm
        guarded[undecided] = np.maximum(guarded[undecided], own)
        return np.minimum(guarded, template)

    def near(self, scan: Volume, to_template: NDArray, within_mm: float) -> NDArray[np.bool_]:
        """Return the blocks of a scan that lie in the regions to remove, or so many mm beyond.

        Parameters
        ----------
        scan : Volume
            From `reduce_image`.
        to_template : numpy.ndarray, shape (4, 4)
            Scan world to template world, RAS+ mm.
        within_mm : float

        Returns
        -------
        numpy.ndarray, shape of `scan`, bool
        """
        return at_blocks(scan, lambda points: self.distance(points, to_template)) < within_mm

    def reach(self, scan: Volume, to_template: NDArray) -> NDArray[np.bool_]:
        """Return the blocks of a scan that the mask may touch, whatever brain the guard follows.

        Parameters and result are those of `near`.
        """
        to_brain = partial(region_distance, (self.brain_mm,), to_template)
        return self.near(scan, to_template, BLOCK_REACH_MM) & (at_blocks(scan, to_brain) > -BLOCK_REACH_MM)

    def guarded(self, scan: Volume, to_template: NDArray) -> NDArray[np.bool_]:
        """Return the blocks of a scan that the guard keeps any mask from.

        Parameters and result are those of `near`.
        """

        def guard_mm(points: NDArray) -> NDArray:
            return self.guard_distance(points, to_template, NO_VOXELS)

        return at_blocks(scan, guard_mm) < -BLOCK_REACH_MM


def face_mask(
    shape: tuple[int, ...], affine: NDArray, to_template: NDArray, regions: FaceRegions
) -> NDArray[np.bool_]:
    """Return where to deface a scan.

    The regions are carried by the affine alone: it knows nothing of the face, so neither does the mask.
    The guard wins over the face. Both are signed distances, which are smooth: they are computed on a coarse
    lattice and interpolated.

    Parameters
    ----------
    shape : tuple of int
    affine : numpy.ndarray, shape (4, 4)
        The scan's grid; voxel indices to world, RAS+ mm.
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, RAS+ mm.
    regions : FaceRegions

    Returns
    -------
    numpy.ndarray, shape (X, Y, Z), bool
        In Fortran order, as NIfTI stores it.
    """
    step, points = _lattice(shape, affine)
    face = regions.distance(points, to_template)
    guarded = regions.guard_distance(points, to_template, affine)
    mask = np.empty(shape, bool, order="F")
    thickness = max(SLAB_VOXELS // (shape[0] * shape[1]), 1)
    for start in range(0, shape[2], thickness):  # in slabs, so that little memory is needed
        planes = slice(start, start + thickness)
        face_slab, guard_slab = (_upsampled(field, step, shape, planes) for field in (face, guarded))
        mask[:, :, planes] = (face_slab < 0) & (guard_slab > 0)
    return mask


def region_distance(
    regions_mm: tuple[Volume, ...], to_template: NDArray, points: NDArray
) -> NDArray[np.float32]:
    """Return the signed distance in mm from scan world points to the nearest of some regions.

    Beyond the grid of a region, its distance at the nearest edge counts.

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
    return np.min([region.at(there, None) for region in regions_mm], axis=0) * scan_mm(to_template)


def at_blocks(scan: Volume, field: Callable[[NDArray], NDArray]) -> NDArray[np.floating]:
    """Return a smooth field at every block of a scan, interpolated from a coarse lattice.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    field : callable
        Return its values at world points, shape (..., 3), mm.

    Returns
    -------
    numpy.ndarray, shape of `scan`
    """
    step, points = _lattice(scan.data.shape, scan.affine)
    return _upsampled(field(points), step, scan.data.shape, slice(None))


def _lattice(shape: tuple[int, ...], affine: NDArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the step of a lattice over a grid, in voxels, and the world coordinates of its nodes."""
    step = np.maximum(np.round(LATTICE_MM / voxel_sizes(affine)), 1).astype(int)
    nodes = [np.arange(0, n - 1 + s, s, dtype=float) for n, s in zip(shape, step, strict=True)]
    return step, apply_affine(affine, np.stack(np.meshgrid(*nodes, indexing="ij"), -1))


def _upsampled(field: NDArray, step: NDArray, shape: tuple[int, ...], planes: slice) -> NDArray[np.float32]:
    """Return a field that is known at every `step`-th voxel at every voxel of some planes, linear."""
    ranges = (range(shape[0]), range(shape[1]), range(shape[2])[planes])
    for axis in (2, 1, 0):
        voxels = np.array(ranges[axis])
        lower = np.minimum(voxels // step[axis], field.shape[axis] - 2)
        share = ((voxels - lower * step[axis]) / step[axis]).astype(np.float32)
        share = share.reshape([-1 if k == axis else 1 for k in range(3)])
        field = np.take(field, lower, axis) * (1 - share) + np.take(field, lower + 1, axis) * share
    return field


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
    scaled = drawn.scaled(drawn.stored)
    values = np.unique(scaled)
    raise_first(
        {
            f"{path}: is not on the grid of the scan; draw it on the scan itself": (
                not is_on_grid(image, drawn.stored.shape, drawn.affine)
            ),
            f"{path}: is not a mask; it must hold 0 and one other value, on the face": (
                len(values) != 2 or values[0] != 0 or not np.isfinite(values).all()
            ),
        },
        UsageError,
    )
    mask = np.asfortranarray(scaled != 0)
    scan = reduce_image(image, "the scan")
    share = nearest(mask, image.affine, scan.to_world(tissue_voxels(scan))).mean()
    size_ml = mask.sum() * voxel_ml(image.affine)
    if size_ml < LEAST_DRAWN_ML or share > MOST_DRAWN_SHARE:
        raise UsageError(
            f"{path}: marks {size_ml:.0f} mL and {share:.0%} of the head, which is not a face; "
            "values other than 0 mean face, not what to keep"
        )
    return mask
