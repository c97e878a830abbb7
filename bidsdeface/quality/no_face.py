"""Positive evidence that there is no face: a bare brain, or a field of view that ends before the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.affine import Points, fit_affine
from bidsdeface.imaging.facemask import LATTICE_MM, region_distance
from bidsdeface.imaging.pose import FINE_SPACING_MM, PoseTemplate, find_poses
from bidsdeface.imaging.registration import disagreement_mm
from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    interpolate,
    smoothed,
    voxel_ml,
    world_aligned,
)

CLEAR_MM = 10.0  # a field of view that ends so far from the face region has no face by any registration
NOT_EMPTY = 0.025  # of an image's brightness
EDGE_VOXELS = 2  # beyond that from a bare brain, everything is exactly empty
MIN_OVERLAP = 0.94  # Dice; bare brains 0.96 and 0.97, a fruit 0.92, intact heads at most 0.90
BEYOND_MM, MAX_BEYOND_ML = 8.0, 0.5  # outside of the brain's shape; bare brains 0, intact heads 1.8 and more
VOLUME_ML = (300.0, 2200.0)  # bare brains 1100 to 1570, intact heads 2700 and more
MIN_LIKENESS = 0.5  # correlation ratio inside; bare brains 0.62 and more
AGREEMENT_MM = 5.0
AIR_MM = 24.0
STARTS = 2


@dataclass(frozen=True)
class BrainShape:
    """A template's brain as an object with air around it.

    Attributes
    ----------
    pose : PoseTemplate
    outline : Points
        1 inside, 0 outside.
    inside : Points
        Intensities.
    brain_mm : Volume
    """

    pose: PoseTemplate
    outline: Points
    inside: Points
    brain_mm: Volume


def brain_shape(brain_mm: Volume, landscape_points: Points) -> BrainShape:
    """Return the shape of a template's brain.

    Parameters
    ----------
    brain_mm : Volume
        Signed distance, negative inside, mm.
    landscape_points : Points
        Intensities of the template, in the brain and beyond.
    """
    brain = Volume((brain_mm.data < 0).astype(np.float32), brain_mm.affine, brain_mm.seen)
    coarse = world_aligned(brain, FINE_SPACING_MM)
    near = ndimage.distance_transform_edt(coarse.data < 0.5) * FINE_SPACING_MM <= AIR_MM
    places = apply_affine(coarse.affine, np.argwhere(near))
    centre = apply_affine(coarse.affine, np.argwhere(coarse.data > 0.5)).mean(axis=0)
    weight = Volume(near.astype(np.float32), coarse.affine, coarse.seen)
    inside = interpolate(brain_mm.data, brain_mm.affine, landscape_points.where, np.inf) < 0
    return BrainShape(
        PoseTemplate(coarse, weight, centre),
        Points(places, coarse.data[near]),
        Points(landscape_points.where[inside], landscape_points.value[inside]),
        brain_mm,
    )


def is_bare_brain(scan: Volume, shape: BrainShape) -> bool:
    """Tell whether an image holds a brain, all around it nothing at all, and two starts agree on that.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    shape : BrainShape
    """
    own = Volume((scan.data > NOT_EMPTY).astype(np.float32), scan.affine, scan.seen)
    volume_ml = float(own.data.sum()) * voxel_ml(scan.affine)
    if not VOLUME_ML[0] <= volume_ml <= VOLUME_ML[1]:
        return False
    around = scan.data[~ndimage.binary_dilation(own.data > 0, iterations=EDGE_VOXELS)]
    if around.size == 0 or around.any():
        return False
    poses, _ = find_poses(own, shape.pose, STARTS)
    if len(poses) < STARTS:
        return False
    first, second = (_fit(own, shape, pose.to_template) for pose in poses)
    agree = disagreement_mm(first, second, shape.inside.where) <= AGREEMENT_MM
    return agree and _is_brain(scan, own, first, shape) and _is_brain(scan, own, second, shape)


def field_ends_before_face(
    shape: tuple[int, int, int],
    affine: NDArray,
    placements: Sequence[NDArray],
    regions_mm: tuple[Volume, ...],
) -> bool:
    """Tell whether no voxel of an image comes near the face, whichever placement is asked.

    Parameters
    ----------
    shape : tuple of int
    affine : numpy.ndarray, shape (4, 4)
        Of the image.
    placements : sequence of numpy.ndarray, shape (4, 4)
        Scan world to template world, each from another start.
    regions_mm : tuple of Volume
        Signed distances in the template, mm.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    counts = np.maximum(np.ceil(np.array(shape) * spacing / LATTICE_MM), 2).astype(int)
    axes = [np.linspace(0, n - 1, k) for n, k in zip(shape, counts, strict=True)]
    points = apply_affine(affine, np.stack(np.meshgrid(*axes, indexing="ij"), -1))
    return all(region_distance(regions_mm, placed, points).min() > CLEAR_MM for placed in placements)


def _fit(own: Volume, shape: BrainShape, to_template: NDArray) -> NDArray:
    """Return template world to scan world, by the outline alone."""
    coarse, end = world_aligned(own, LATTICE_MM), np.linalg.inv(to_template)
    for sigma, freedom in ((6.0, 7), (3.0, 12)):
        end, _ = fit_affine(smoothed(coarse, sigma), shape.outline, end, freedom)
    return end


def _is_brain(scan: Volume, own: Volume, from_template: NDArray, shape: BrainShape) -> bool:
    points = apply_affine(scan.affine, np.argwhere(own.data > 0))
    distance = region_distance((shape.brain_mm,), np.linalg.inv(from_template), points)
    expected_ml = float((shape.brain_mm.data < 0).sum()) * voxel_ml(shape.brain_mm.affine @ from_template)
    found_ml = len(points) * voxel_ml(scan.affine)
    shared_ml = float((distance < 0).sum()) * voxel_ml(scan.affine)
    beyond_ml = float((distance > BEYOND_MM).sum()) * voxel_ml(scan.affine)
    level = smoothed(world_aligned(scan, LATTICE_MM), 3.0)
    _, likeness = fit_affine(level, shape.inside, from_template, 12)
    return bool(
        2 * shared_ml / (found_ml + expected_ml) >= MIN_OVERLAP
        and beyond_ml <= MAX_BEYOND_ML
        and likeness >= MIN_LIKENESS
    )
