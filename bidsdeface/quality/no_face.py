"""Find evidence that an image shows no face: a bare brain, a field of view that ends before it, no skin."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from nibabel.affines import from_matvec, voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.affine import Surface
from bidsdeface.imaging.brain import Brain, fit_brain
from bidsdeface.imaging.facemask import LATTICE_MM, FaceRegions
from bidsdeface.imaging.volume import Volume, apply_affine, largest_piece, world_aligned
from bidsdeface.quality.limits import is_brain_trusted
from bidsdeface.quality.measures import brain_measures
from bidsdeface.templates.template import SKIN_SPACING_MM, Template

FACE_FREE_MM = 10.0  # a field of view that ends so far from the face region has no face by any registration
NOT_EMPTY = 0.025  # of an image's brightness
BORDER_VOXELS = 2  # beyond that from a bare brain, everything is exactly empty
BEYOND_MM, MAX_BEYOND_ML = 8.0, 0.5  # outside of the template's brain; bare brains 0, heads 16 and more
CM2 = SKIN_SPACING_MM**2 / 100  # of skin, as met by one line
SKIN_REACH_MM = 27.0  # before the template's skin, where the search for this person's skin starts
SKIN_DEPTH_MM = 9.0  # two faces differ by less than that
SKIN_STEP_MM = 4.0  # beyond the template's own step between two lines: there, another sheet begins
# A face is seen if one sheet of skin covers half of what is in view of it below the forehead. Of skin as
# bright as a quarter of the brain, 20 cm2 suffice; dimmer, it must be two fifths of all. It is also seen if
# two thirds of its skin in view are so bright, in one sheet or not (docs/method.md).
SHEET_SHARE, BRIGHT_SHARE = 1 / 2, 2 / 3
LEAST_SHARES = {1 / 4: 1 / 7, 1 / 8: 2 / 5, 1 / 16: 2 / 5, 1 / 32: 2 / 5}
IN_BRAIN_MM = 5.0
AIR_PERCENTILE = 10
NODS_DEG, SHIFTS_MM = (-8.0, 0.0, 8.0), (-10.0, 0.0, 10.0)  # how far off a placement by the brain may be


def is_bare_brain(scan: Volume, template: Surface) -> bool:
    """Return True if what is not empty in an image is a brain by the rule that brains are trusted by.

    All around it is exactly empty, and no more than `MAX_BEYOND_ML` lies farther than `BEYOND_MM` from the
    template's brain.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    template : Surface
        Of the template's brain.
    """
    shown = scan.data > NOT_EMPTY
    around = scan.data[~ndimage.binary_dilation(shown, iterations=BORDER_VOXELS)]
    if not shown.any() or around.size == 0 or around.any():
        return False
    whole = largest_piece(shown).sum() / shown.sum()
    inside = Volume(ndimage.binary_fill_holes(shown).astype(np.float32), scan.affine, scan.seen)
    brain = Brain(inside, float(whole))
    brain = fit_brain(brain, template, brain.centred_on(template))
    away = template.distance_mm.at(apply_affine(brain.to_template, brain.places), None)
    beyond_ml = float((away > BEYOND_MM).sum()) * scan.voxel_ml
    return is_brain_trusted(brain_measures(brain)) and beyond_ml <= MAX_BEYOND_ML


def field_ends_before_face(
    shape: tuple[int, ...], affine: NDArray, placements: Sequence[NDArray], regions: FaceRegions
) -> bool:
    """Return True if no voxel of an image comes near the face, by any of the placements.

    Parameters
    ----------
    shape : tuple of int
    affine : numpy.ndarray, shape (4, 4)
        Of the image.
    placements : sequence of numpy.ndarray, shape (4, 4)
        Scan world to template world, each from another start.
    regions : FaceRegions
    """
    counts = np.maximum(np.ceil(np.array(shape) * voxel_sizes(affine) / LATTICE_MM), 2).astype(int)
    axes = [np.linspace(0, n - 1, k) for n, k in zip(shape, counts, strict=True)]
    points = apply_affine(affine, np.stack(np.meshgrid(*axes, indexing="ij"), -1))
    return all(regions.distance(points, placed).min() > FACE_FREE_MM for placed in placements)


def face_seen(volumes: Iterable[Volume], placements: Iterable[NDArray], template: Template) -> float:
    """Return how much of a face is seen, relative to what counts as one: from 1 on, a face is seen.

    The skin of the face is looked for along lines from the front, near where the template has it, at several
    brightnesses between air and brain: a renderer may choose any. What counts is the largest sheet of it, in
    which neighbouring lines meet skin at about the depth that the template's shape predicts. Eyes, muscles
    and ghosts are met here and there, at any depth; the forehead says little, as every brain shows it.

    Parameters
    ----------
    volumes : iterable of Volume
        What to look at, such as the median of a series and its brightest volume.
    placements : iterable of numpy.ndarray, shape (4, 4)
        Scan world to template world: all ways in which the head may lie. The one that shows most counts.
    template : Template

    Returns
    -------
    float
        Not a number if there is no placement.
    """
    coarse = [world_aligned(volume, SKIN_SPACING_MM) for volume in volumes]
    pairs = itertools.product(coarse, placements)
    return max(
        (_face_seen_at(volume, to_template, template) for volume, to_template in pairs), default=np.nan
    )


def _face_seen_at(volume: Volume, to_template: NDArray, template: Template) -> float:
    values = volume.data[volume.seen > 0.5]
    points = apply_affine(to_template @ volume.affine, np.argwhere(volume.seen > 0.5))
    in_brain = template.brain_mm.at(points, np.inf) < -IN_BRAIN_MM
    if not in_brain.any():
        return 0.0
    air = np.percentile(values, AIR_PERCENTILE)
    contrast = max(float(np.median(values[in_brain]) - air), 0.0)
    levels = air + contrast * np.array(list(LEAST_SHARES))
    near = [
        from_matvec(Rotation.from_euler("x", nod, degrees=True).as_matrix(), [0.0, shift, 0.0]) @ to_template
        for nod, shift in itertools.product(NODS_DEG, SHIFTS_MM)
    ]
    return max(_skin_found(volume, moved, template, levels) for moved in near)


def _skin_found(volume: Volume, to_template: NDArray, template: Template, levels: NDArray) -> float:
    """Return the skin that is met, in one sheet or bright, relative to what is needed."""
    from_template, skin, below = np.linalg.inv(to_template), template.skin, template.is_below_forehead
    depths = np.arange(-SKIN_REACH_MM, SKIN_DEPTH_MM + SKIN_SPACING_MM / 2, SKIN_SPACING_MM)
    there = apply_affine(from_template, skin[:, None] - depths[:, None] * np.array([0.0, 1.0, 0.0]))
    values, seen = volume.at(there, 0.0), volume.sees(there, 0.5)
    in_view = volume.sees(apply_affine(from_template, skin), 0.5)
    least = np.array(list(LEAST_SHARES.values())) * below.sum()
    met = [_skin_depths(values, seen, depths, level) for level in levels]
    sheets = [_largest_sheet(depth[below], template) for depth in met]
    by_sheet = (sheets / np.maximum(SHEET_SHARE * in_view[below].sum(), least)).max()
    is_bright = np.isfinite(met[0])
    share = is_bright.sum() / max(in_view.sum(), 1) / BRIGHT_SHARE
    return float(max(by_sheet, min(share, is_bright[below].sum() / least[0])))


def _skin_depths(values: NDArray, seen: NDArray, depths: NDArray, level: float) -> NDArray[np.float64]:
    """Return how far behind the template's skin each line meets skin, in mm; not a number if nowhere."""
    rows, first = np.arange(len(values)), np.maximum((values > level).argmax(axis=1), 1)
    air, tissue = values[rows, first - 1], values[rows, first]
    # Skin is met from the air: what an edge of the field of view cuts is none.
    is_met = (air <= level) & (tissue > level) & seen[rows, first - 1]
    depth = depths[first] - SKIN_SPACING_MM * (tissue - level) / np.where(is_met, tissue - air, 1.0)
    return np.where(is_met & (np.abs(depth) <= SKIN_DEPTH_MM), depth, np.nan)


def _largest_sheet(depth: NDArray, template: Template) -> int:
    """Return how many lines meet the largest sheet of skin."""
    one, other = template.skin_neighbours.T
    is_linked = np.abs(depth[one] - depth[other]) <= SKIN_STEP_MM
    links = coo_array((is_linked[is_linked], (one[is_linked], other[is_linked])), (len(depth),) * 2)
    sheet = connected_components(links, directed=False)[1]
    return int(np.bincount(sheet).max())
