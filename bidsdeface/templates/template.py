"""One template, ready for use: masks as signed distances, points and volumes for registration."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from nibabel.affines import from_matvec, voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from bidsdeface.errors import TemplateError
from bidsdeface.imaging.affine import Points, Surface, points_in
from bidsdeface.imaging.pose import AIR_MARGIN_MM, TISSUE_SPACING_MM, PoseTemplate
from bidsdeface.imaging.registration import FIT_SPACING_MM, STAGES
from bidsdeface.imaging.volume import Volume, apply_affine, largest_piece, saturated, smoothed, world_aligned

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
SKIN_SPACING_MM = 3.0
FOREHEAD_MM = 40.0  # skin so near before the brain is forehead
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
    """

    name: str
    head: Volume
    brain_mm: Volume
    regions_mm: dict[str, Volume]

    @cached_property
    def target(self) -> tuple[Points, ...]:
        """Points that registration compares a scan with, for each stage: on the head, none in the face."""
        coarse = world_aligned(self.head, FIT_SPACING_MM)
        stages = []
        for (sigma, _), reach, spacing in zip(STAGES, REACH_MM, POINT_SPACING_MM, strict=True):
            where = _places(self.head, spacing)
            clear = self.regions_mm["face"].at(where, np.inf) > FACE_CLEARANCE_MM
            where = where[(self.brain_mm.at(where, np.inf) < reach) & clear & self.head.sees(where)]
            # The average head is blurred already: no more at the finest stage, the rest at the coarser ones.
            level = smoothed(coarse, sigma) if sigma > STAGES[-1][0] else coarse
            stages.append(points_in(level, where))
        return tuple(stages)

    @cached_property
    def pose(self) -> PoseTemplate:
        """The template as the search for the pose of a head uses it."""
        tissue = saturated(world_aligned(self.head, TISSUE_SPACING_MM))
        around_mm = ndimage.distance_transform_edt(tissue.data < 0.5) * TISSUE_SPACING_MM
        weight = ((around_mm <= AIR_MARGIN_MM) & (tissue.seen > 0)).astype(np.float32)
        centre = _centre(self.brain_mm.data < 0, self.brain_mm.affine)
        return PoseTemplate(tissue, Volume(weight, tissue.affine, tissue.seen), centre - [0.0, 0.0, 20.0])

    @cached_property
    def brain_surface(self) -> Surface:
        """The surface of the brain."""
        brain = self.brain_mm
        inside = brain.to_world(np.argwhere(brain.data < 0))
        slope = np.stack(np.gradient(brain.data, *brain.voxel_mm), -1)
        return Surface(brain, slope, inside.mean(axis=0), inside[:, 2].min() + BRAIN_STEM_MM)

    @cached_property
    def outline(self) -> Points:
        """Tissue (1) or air (0) in and around the head, none near the face."""
        tissue, face_mm = self.pose.tissue, self.regions_mm["face"]
        where = _places(tissue, OUTLINE_SPACING_MM)
        near = self.brain_mm.at(where, np.inf) < OUTLINE_REACH_MM
        where = where[near & (face_mm.at(where, np.inf) > OUTLINE_CLEARANCE_MM) & tissue.sees(where)]
        return Points(where, smoothed(tissue, OUTLINE_SMOOTHING_MM).at(where))

    @cached_property
    def face(self) -> NDArray[np.float64]:
        """Places in the face, template world, mm, shape (N, 3)."""
        inside = self.pose.tissue.to_world(np.argwhere(self.pose.tissue.data > 0.5))
        face = inside[self.regions_mm["face"].at(inside, np.inf) < 0]
        return face[:: max(len(face) // 150, 1)]

    @cached_property
    def head_mm(self) -> Volume:
        """Distance to the head, mm, 0 inside; known down to the template's neck."""
        coarse = world_aligned(self.head, FIT_SPACING_MM)
        tissue = (saturated(coarse).data > 0.5) & (coarse.seen > 0)
        largest = largest_piece(ndimage.binary_closing(tissue, iterations=2))
        away_mm = ndimage.distance_transform_edt(~ndimage.binary_fill_holes(largest)) * FIT_SPACING_MM
        data = np.maximum(away_mm - FIT_SPACING_MM / 2, 0).astype(np.float32)
        return replace(coarse, data=data)

    @cached_property
    def skin(self) -> NDArray[np.float64]:
        """Where the skin of the face is met from the front, template world, mm, shape (N, 3)."""
        face_mm = self.regions_mm["face"]
        corners = face_mm.to_world(np.array([(0, 0, 0), np.array(face_mm.data.shape) - 1]))
        ranges = zip(corners.min(axis=0), corners.max(axis=0), strict=True)
        x, y, z = (np.arange(low, high, SKIN_SPACING_MM) for low, high in ranges)
        points = np.stack(np.meshgrid(x, y[::-1], z, indexing="ij"), -1)
        inside = self.head_mm.at(points, np.inf) <= 0
        across, up = np.nonzero(inside.any(axis=1))
        first = points[across, inside.argmax(axis=1)[across, up], up]
        return first[face_mm.at(first, np.inf) < 0]

    @cached_property
    def is_below_forehead(self) -> NDArray[np.bool_]:
        """Which places of `skin` have no brain close behind them, shape (N,)."""
        behind = np.arange(0, FOREHEAD_MM, SKIN_SPACING_MM)[:, None] * np.array([0.0, 1.0, 0.0])
        return self.brain_mm.at(self.skin[:, None] - behind, np.inf).min(axis=1) >= 0

    @cached_property
    def skin_neighbours(self) -> NDArray[np.intp]:
        """Pairs of neighbours in the skin below the forehead, as seen from the front, shape (M, 2)."""
        tree = cKDTree(self.skin[self.is_below_forehead][:, [0, 2]])
        return tree.query_pairs(1.1 * SKIN_SPACING_MM, output_type="ndarray")


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
    return Template(name, head, brain_mm, regions_mm)


def signed_distance(mask: NDArray, affine: NDArray) -> Volume:
    """Return the distance in mm to a mask's surface, negative inside, without the voxels' stairs.

    The result covers the mask and `FAR_MM` around it: farther away is far enough.

    Parameters
    ----------
    mask : numpy.ndarray, shape (X, Y, Z), bool
    affine : numpy.ndarray, shape (4, 4)
        With axes along those of the world.
    """
    spacing = voxel_sizes(affine)
    margin = np.ceil(FAR_MM / spacing).astype(int)
    box = tuple(
        slice(max(int(i.min()) - m, 0), int(i.max()) + m + 1)
        for i, m in zip(np.nonzero(mask), margin, strict=True)
    )
    mask, affine = mask[box], affine @ from_matvec(np.eye(3), [s.start for s in box])
    # A transform measures to the centre of the first voxel beyond, half a voxel past the surface.
    distance = (ndimage.distance_transform_edt(~mask, spacing) - spacing.mean() / 2).astype(np.float32)
    (tight,) = ndimage.find_objects(ndimage.binary_dilation(mask).view(np.uint8))
    inside = spacing.mean() / 2 - ndimage.distance_transform_edt(mask[tight], spacing)
    distance[tight][mask[tight]] = inside[mask[tight]]
    smooth = ndimage.gaussian_filter(distance, MASK_SMOOTHING_MM / spacing, mode="nearest")
    return Volume(smooth, affine, np.ones_like(smooth))


def _centre(mask: NDArray, affine: NDArray) -> NDArray[np.float64]:
    return apply_affine(affine, np.argwhere(mask).mean(axis=0))


def _places(volume: Volume, spacing: float) -> NDArray[np.float64]:
    """Return the multiples of a spacing that lie in a volume, world mm, shape (N, 3)."""
    ends = zip(volume.affine[:3, 3], volume.to_world(np.array(volume.data.shape) - 1.0), strict=True)
    axes = [np.arange(np.ceil(low / spacing) * spacing, high, spacing) for low, high in ends]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
