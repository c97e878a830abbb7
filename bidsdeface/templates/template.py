"""One template, ready for use: masks as signed distances, points and volumes for registration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.errors import TemplateError
from bidsdeface.imaging.affine import Points, Surface
from bidsdeface.imaging.pose import AIR_MARGIN_MM, PoseTemplate, saturated
from bidsdeface.imaging.registration import SPACING_MM, STAGES, RegistrationTarget
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate, smoothed, world_aligned

# Template points: how far around the brain (mm), and their spacing (mm), for each stage of registration.
REACH_MM = (20.0, 20.0, 16.0)
POINT_SPACING_MM = (10.0, 8.0, 6.0)
FACE_CLEARANCE_MM = 8.0  # no point nearer to the face: smoothing would let it look in
MASK_SMOOTHING_MM = 2.0
FAR_MM = 40.0
# Places on and around the head's surface, for a registration by its outline alone.
OUTLINE_REACH_MM = 25.0
OUTLINE_CLEARANCE_MM = 10.0
OUTLINE_SPACING_MM = 8.0
OUTLINE_SMOOTHING_MM = 3.0
BRAIN_IN_FACE_LIMIT = 0.01
BRAIN_STEM_MM = 30.0  # from its lower end up, a brain mask shows more or less of the brain stem


@dataclass(frozen=True)
class Template:
    """A template of the head.

    Attributes
    ----------
    name : str
        As on the command line.
    head : Volume
        Intensities from 0 to 1.
    brain_mm : Volume
        Signed distance to the brain, negative inside, in mm.
    regions_mm : dict of str to Volume
        The same of what can be defaced: ``face``, and ``ears`` if the template has them.
    target : RegistrationTarget
        What registration looks at.
    """

    name: str
    head: Volume
    brain_mm: Volume
    regions_mm: dict[str, Volume]
    target: RegistrationTarget


@dataclass(frozen=True)
class HeadSurface:
    """A template's head as its surface shows it: what the head of a scan is compared with.

    Attributes
    ----------
    outline : Points
        Tissue (1) or air (0) in and around the head, none near the face.
    face : numpy.ndarray, shape (N, 3)
        Places in the face, template world, mm.
    head_mm : Volume
        Distance to the head, 0 inside; known down to the template's neck.
    """

    outline: Points
    face: NDArray[np.float64]
    head_mm: Volume


def make_template(name: str, head: Volume, brain: NDArray, regions: dict[str, NDArray]) -> Template:
    """Make a template of a head and its masks, after checking that they can be what they say.

    Parameters
    ----------
    name : str
    head : Volume
        Intensities from 0 to 1.
    brain : numpy.ndarray, shape of `head`, bool
    regions : dict of str to numpy.ndarray
        Masks, bool, on the same grid; ``face`` must be there.

    Raises
    ------
    TemplateError
        Brain and face overlap, or the face is not in front of and below the brain: the masks' polarity is
        nowhere documented, so it is checked.
    """
    face = regions["face"]
    overlap = (brain & face).sum() / max(brain.sum(), 1)
    if not brain.any() or not face.any() or overlap > BRAIN_IN_FACE_LIMIT:
        raise TemplateError(
            f"template {name}: {overlap:.0%} of its brain lies in its face mask; is one of them inverted?"
        )
    tissue = head.data > 0.1
    brain_centre, face_centre = (_centre(mask & tissue, head.affine) for mask in (brain, face))
    if not (face_centre[1] > brain_centre[1] + 20 and face_centre[2] < brain_centre[2] - 10):
        raise TemplateError(
            f"template {name}: its face mask is not in front of and below its brain; is it one of the face?"
        )
    brain_mm = signed_distance(brain, head.affine)
    regions_mm = {key: signed_distance(mask, head.affine) for key, mask in regions.items()}
    return Template(name, head, brain_mm, regions_mm, _landscape(head, brain_mm, regions_mm["face"]))


def pose_template(template: Template) -> PoseTemplate:
    """Return what the search for the head's pose needs of a template."""
    tissue = saturated(world_aligned(template.head, 6.0))
    around = ndimage.distance_transform_edt(tissue.data < 0.5) * 6.0 <= AIR_MARGIN_MM
    weight = Volume((around & (tissue.seen > 0)).astype(np.float32), tissue.affine, tissue.seen)
    brain = template.brain_mm
    centre = _centre(brain.data < 0, brain.affine)
    return PoseTemplate(tissue, weight, centre - [0.0, 0.0, 20.0])


def brain_surface(brain_mm: Volume) -> Surface:
    """Return the surface of a template's brain.

    Parameters
    ----------
    brain_mm : Volume
        Signed distance to the brain, negative inside, mm.
    """
    inside = apply_affine(brain_mm.affine, np.argwhere(brain_mm.data < 0))
    slope = np.gradient(brain_mm.data, *np.linalg.norm(brain_mm.affine[:3, :3], axis=0))
    return Surface(brain_mm, np.stack(slope, -1), inside.mean(axis=0), inside[:, 2].min() + BRAIN_STEM_MM)


def head_surface(template: Template, pose: PoseTemplate) -> HeadSurface:
    """Return a template's surface, from its air and tissue in `pose`."""
    tissue, brain_mm, face_mm = pose.tissue, template.brain_mm, template.regions_mm["face"]
    where = _places(tissue, OUTLINE_SPACING_MM)
    near = interpolate(brain_mm.data, brain_mm.affine, where, np.inf) < OUTLINE_REACH_MM
    clear = interpolate(face_mm.data, face_mm.affine, where, np.inf) > OUTLINE_CLEARANCE_MM
    where = where[near & clear & (interpolate(tissue.seen, tissue.affine, where, 0.0) > 0.98)]
    level = smoothed(tissue, OUTLINE_SMOOTHING_MM)
    outline = Points(where, interpolate(level.data, level.affine, where))
    inside = apply_affine(tissue.affine, np.argwhere(tissue.data > 0.5))
    face = inside[interpolate(face_mm.data, face_mm.affine, inside, np.inf) < 0]
    return HeadSurface(outline, face[:: max(len(face) // 150, 1)], _distance_to_head(template.head))


def _distance_to_head(head: Volume) -> Volume:
    coarse = world_aligned(head, SPACING_MM)
    tissue = (saturated(coarse).data > 0.5) & (coarse.seen > 0)
    pieces, _ = ndimage.label(ndimage.binary_closing(tissue, iterations=2))
    largest = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    distance = ndimage.distance_transform_edt(~ndimage.binary_fill_holes(largest)) * SPACING_MM
    return Volume(np.maximum(distance - SPACING_MM / 2, 0).astype(np.float32), coarse.affine, coarse.seen)


def signed_distance(mask: NDArray, affine: NDArray) -> Volume:
    """Return the distance in mm to a mask's surface, negative inside, without the voxels' stairs.

    The result covers the mask and `FAR_MM` around it: farther away is far enough.

    Parameters
    ----------
    mask : numpy.ndarray, shape (X, Y, Z), bool
    affine : numpy.ndarray, shape (4, 4)
        With axes along those of the world.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    margin = np.ceil(FAR_MM / spacing).astype(int)
    box = tuple(
        slice(max(int(i.min()) - m, 0), int(i.max()) + m + 1)
        for i, m in zip(np.nonzero(mask), margin, strict=True)
    )
    corner = np.eye(4)
    corner[:3, 3] = [s.start for s in box]
    mask, affine = mask[box], affine @ corner
    outside = ndimage.distance_transform_edt(~mask, spacing)
    inside = ndimage.distance_transform_edt(mask, spacing)
    # Either transform measures to the centre of the first voxel beyond, half a voxel past the surface.
    distance = np.where(mask, spacing.mean() / 2 - inside, outside - spacing.mean() / 2).astype(np.float32)
    smooth = ndimage.gaussian_filter(distance, MASK_SMOOTHING_MM / spacing, mode="nearest")
    return Volume(smooth, affine, np.ones_like(smooth))


def _centre(mask: NDArray, affine: NDArray) -> NDArray[np.float64]:
    return apply_affine(affine, np.argwhere(mask).mean(axis=0))


def _places(volume: Volume, spacing: float) -> NDArray[np.float64]:
    """Return the multiples of a spacing that lie in a volume, world mm, shape (N, 3)."""
    low, high = volume.affine[:3, 3], apply_affine(volume.affine, np.array(volume.data.shape) - 1.0)
    axes = [np.arange(np.ceil(a / spacing) * spacing, b, spacing) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def _landscape(head: Volume, brain_mm: Volume, face_mm: Volume) -> RegistrationTarget:
    coarse = world_aligned(head, SPACING_MM)
    finest = STAGES[-1][0]
    stages = []
    for (sigma, _), reach, spacing in zip(STAGES, REACH_MM, POINT_SPACING_MM, strict=True):
        where = _places(head, spacing)
        near = interpolate(brain_mm.data, brain_mm.affine, where, np.inf) < reach
        clear = interpolate(face_mm.data, face_mm.affine, where, np.inf) > FACE_CLEARANCE_MM
        seen = interpolate(head.seen, head.affine, where, 0.0) > 0.98
        where = where[near & clear & seen]
        # The average head is blurred already: no more at the finest stage, the rest at the coarser ones.
        level = smoothed(coarse, sigma) if sigma > finest else coarse
        value = interpolate(level.data, level.affine, where)
        stages.append(Points(where[np.isfinite(value)], value[np.isfinite(value)]))
    return RegistrationTarget(tuple(stages), stages[0].where[::40])
