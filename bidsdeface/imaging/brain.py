"""The scan's own brain: seen by a neural network, and laid on the template's brain by its surface alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from bidsdeface.imaging.affine import Surface, fit_surface
from bidsdeface.imaging.brainnet import SIZE, Weights, brain_log_odds
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate, tissue_voxels, voxel_ml

GRID_MM = 1.6  # 205 mm in all: a head from its crown to its chin
CROWN_TO_CENTRE_MM = 80.0  # from the crown to the middle of the grid, where nothing else is known
CROWN_STEP_MM, CROWN_AREA_MM2 = 4.0, 3000.0  # so large is a cross-section of a head near its crown
HEAD_MM = 150.0  # from the crown down, without the neck
SURFACE_POINTS = 1500
HALF_TURNS = tuple(np.diag([*signs, 1.0]) for signs in ((1, -1, -1), (-1, 1, -1), (-1, -1, 1)))
BADLY_MM = 12.0  # farther than that off counts as that
MAX_SCALE = 1.5  # a brain that is larger or smaller by more was not fitted, but shrunk to a point


@dataclass(frozen=True)
class Brain:
    """A brain on a scan.

    Attributes
    ----------
    inside : Volume
        1 in the brain, 0 elsewhere; its affine leads to scan world, RAS+ mm. Not `seen` beyond the scan.
    whole : float
        Share of what the network took for brain that is in one piece, this one.
    to_template : numpy.ndarray, shape (4, 4)
        Where the brain's own surface places the template, once that is known: scan world to template world.
    """

    inside: Volume
    whole: float
    to_template: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))

    @property
    def ml(self) -> float:
        """The brain's volume in mL."""
        return float(self.inside.data.sum()) * voxel_ml(self.inside.affine)

    @property
    def places(self) -> NDArray[np.float64]:
        """The brain's voxels, scan world, mm, shape (N, 3)."""
        return apply_affine(self.inside.affine, np.argwhere(self.inside.data > 0))

    @cached_property
    def surface(self) -> NDArray[np.float64]:
        """Places half way between voxels in the brain and out of it, scan world, mm, shape (N, 3)."""
        ends = [np.argwhere(np.diff(self.inside.data, axis=k)) + 0.5 * np.eye(3)[k] for k in range(3)]
        return apply_affine(self.inside.affine, np.concatenate(ends))

    def distance(self, points: NDArray) -> NDArray[np.float64]:
        """Return the distance in mm from scan world points, shape (N, 3), to the brain; negative inside."""
        away, _ = cKDTree(self.surface).query(points)
        return np.where(interpolate(self.inside.data, self.inside.affine, points, 0.0) > 0.5, -away, away)

    def centred_on(self, template: Surface) -> NDArray[np.float64]:
        """Return the shift from the brain's middle to the template's, scan to template world, (4, 4)."""
        shift = np.eye(4)
        shift[:3, 3] = template.centre - self.places.mean(axis=0)
        return shift

    def moved(self, to_world: NDArray) -> Brain:
        """Return the brain on another scan, whose world a (4, 4) affine leads to."""
        inside = replace(self.inside, affine=to_world @ self.inside.affine)
        return replace(self, inside=inside, to_template=self.to_template @ np.linalg.inv(to_world))


@dataclass(frozen=True)
class BrainFit:
    """A placement of the template by nothing but the surface of the brain.

    Attributes
    ----------
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, RAS+ mm.
    off_mm : float
        Root mean square distance between the two surfaces.
    lead : float
        How many times as far the surfaces lie apart in the best placement that is half a turn away.
    """

    to_template: NDArray[np.float64]
    off_mm: float
    lead: float


def grid_over_head(scan: Volume, template: Surface) -> NDArray[np.float64]:
    """Return a rough placement of the template on a scan whose axes are right: its brain below the crown.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    template : Surface
        Of the template's brain.

    Returns
    -------
    numpy.ndarray, shape (4, 4)
        Scan world to template world, a shift.
    """
    places = apply_affine(scan.affine, tissue_voxels(scan))
    heights = np.arange(places[:, 2].min(), places[:, 2].max() + CROWN_STEP_MM, CROWN_STEP_MM)
    counts = np.histogram(places[:, 2], heights)[0] if len(heights) > 1 else np.zeros(0)
    large = np.flatnonzero(counts * voxel_ml(scan.affine) * 1000 > CROWN_AREA_MM2 * CROWN_STEP_MM)
    crown = heights[large.max(initial=len(counts) - 1) + 1] if len(large) else places[:, 2].max()
    of_head = (places[:, 2] < crown) & (places[:, 2] > crown - HEAD_MM)
    middle = places[of_head if of_head.any() else slice(None)].mean(axis=0)
    shift = np.eye(4)
    shift[:3, 3] = template.centre - [*middle[:2], crown - CROWN_TO_CENTRE_MM]
    return shift


def find_brain(scan: Volume, to_template: NDArray, template: Surface, weights: Weights) -> Brain | None:
    """Return the brain of a head, or None if the network sees none.

    The placement need not be right: 40 mm off, turned by 30 degrees or upside down, the network sees the same
    brain, as long as the grid around the template's brain covers it (docs/method.md).

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, RAS+ mm.
    template : Surface
        Of the template's brain, on which the grid is centred.
    weights : mapping of str to numpy.ndarray
        Of the network.
    """
    grid = np.diag([GRID_MM] * 3 + [1.0])
    grid[:3, 3] = template.centre - GRID_MM * (SIZE - 1) / 2
    to_world = np.linalg.inv(to_template) @ grid
    voxels = np.linalg.inv(scan.affine) @ to_world
    data = ndimage.affine_transform(scan.data, voxels[:3, :3], voxels[:3, 3], (SIZE,) * 3, order=1)
    pieces, count = ndimage.label(brain_log_odds(data, weights) > 0)
    if not count:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    around, _ = ndimage.label(pieces != sizes.argmax() + 1)
    inside = around != around[0, 0, 0]  # holes are inside: fluid, and what no network has seen before
    x, y, z = np.ogrid[:SIZE, :SIZE, :SIZE]
    seen = np.ones(inside.shape, bool)
    for (a, b, c, start), size in zip(voxels[:3], scan.data.shape, strict=True):
        at = a * x + b * y + c * z + start
        seen &= (at >= 0) & (at <= size - 1)
    found = (inside & seen).astype(np.float32)
    return Brain(Volume(found, to_world, seen.astype(np.float32)), float(sizes.max() / sizes.sum()))


def fit_brain(brain: Brain, template: Surface, to_template: NDArray) -> BrainFit:
    """Lay a brain on the template's by a similarity transform: upright, and from each half turn.

    Parameters
    ----------
    brain : Brain
    template : Surface
        Of the template's brain.
    to_template : numpy.ndarray, shape (4, 4)
        The start, scan world to template world.
    """
    best, second = _brain_fits(brain, template, to_template)[:2]
    return BrainFit(best[0], best[1], second[1] / max(best[1], 1e-6))


def likely_placements(
    brain: Brain, template: Surface, to_template: NDArray, most_mm: float, lead: float
) -> list[NDArray[np.float64]]:
    """Return all placements by a brain, half turns too, that fit well, and nearly as well as the best.

    Parameters
    ----------
    brain, template, to_template
        As of `fit_brain`.
    most_mm : float
        How far the surfaces may lie apart.
    lead : float
        How many times as far as in the best placement they may lie apart.
    """
    fits = _brain_fits(brain, template, to_template)
    return [placed for placed, off in fits if off <= min(most_mm, lead * fits[0][1])]


def _brain_fits(
    brain: Brain, template: Surface, to_template: NDArray
) -> list[tuple[NDArray[np.float64], float]]:
    """Return the placements by a brain and how far the surfaces lie apart, in mm, the best first."""
    known = interpolate(brain.inside.seen, brain.inside.affine, brain.surface, 0.0) > 0.98
    points = brain.surface[known]
    points = apply_affine(to_template, points[:: max(len(points) // SURFACE_POINTS, 1)])
    if not len(points):
        return [(to_template, BADLY_MM)] * 2
    about = np.eye(4)
    ends = [fit_surface(points, template, about)]
    for turn in HALF_TURNS:
        about = turn.copy()
        about[:3, 3] = template.centre - turn[:3, :3] @ points.mean(axis=0)
        ends.append(fit_surface(points, template, about))
    fits = [(end @ to_template, _off_mm(end, points, template)) for end in ends]
    return sorted(fits, key=lambda fit: fit[1])


def _off_mm(end: NDArray, points: NDArray, template: Surface) -> float:
    there = apply_affine(end, points)
    away = np.minimum(np.abs(template.distance_at(there)), BADLY_MM)[there[:, 2] > template.low_mm]
    registered = len(away) and 1 / MAX_SCALE < np.cbrt(np.linalg.det(end[:3, :3])) < MAX_SCALE
    return float(np.sqrt(np.mean(away**2))) if registered else BADLY_MM
