"""The scan's own brain: found by a neural network, and laid on the template's brain by its surface alone."""

from dataclasses import dataclass, field, replace

import numpy as np
from nibabel.affines import from_matvec
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.affine import Surface, fit_surface
from bidsdeface.imaging.brainnet import SIZE, Weights, brain_log_odds
from bidsdeface.imaging.volume import Volume, apply_affine, largest_piece, tissue_voxels

GRID_MM = 1.6  # 205 mm in all: a head from its crown to its chin
CROWN_TO_CENTRE_MM = 80.0  # from the crown to the middle of the grid, where nothing else is known
CROWN_STEP_MM, CROWN_AREA_MM2 = 4.0, 3000.0  # so large is a cross-section of a head near its crown
HEAD_MM = 150.0  # from the crown down, without the neck
SURFACE_POINTS = 1500
HALF_TURNS = np.array([np.diag(signs) for signs in ((1.0, -1, -1), (-1, 1, -1), (-1, -1, 1))])
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
        Where the brain's own surface places the template: scan world to template world. `fit_brain` sets
        this and the fields below.
    off_mm : float
        Root mean square distance between the brain's surface and the template's.
    lead : float
        How many times as far the surfaces lie apart in the best placement that is half a turn away.
    """

    inside: Volume
    whole: float
    to_template: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    off_mm: float = np.inf
    lead: float = 0.0

    @property
    def ml(self) -> float:
        """The brain's volume in mL."""
        return float(self.inside.data.sum()) * self.inside.voxel_ml

    @property
    def places(self) -> NDArray[np.float64]:
        """The brain's voxels, scan world, mm, shape (N, 3)."""
        return self.inside.to_world(np.argwhere(self.inside.data > 0))

    @property
    def surface(self) -> NDArray[np.float64]:
        """Places half way between voxels in the brain and out of it, scan world, mm, shape (N, 3)."""
        return self.inside.edge_tree.data

    def distance(self, points: NDArray) -> NDArray[np.float64]:
        """Return the distance in mm from scan world points, shape (N, 3), to the brain; negative inside."""
        away, _ = self.inside.edge_tree.query(points)
        return np.where(self.inside.at(points, 0.0) > 0.5, -away, away)

    def centred_on(self, template: Surface) -> NDArray[np.float64]:
        """Return the shift from the brain's middle to the template's, scan to template world, (4, 4)."""
        return from_matvec(np.eye(3), template.centre - self.places.mean(axis=0))

    def moved(self, to_world: NDArray) -> "Brain":
        """Return the brain on another scan, whose world a (4, 4) affine leads to."""
        inside = replace(self.inside, affine=to_world @ self.inside.affine)
        return replace(self, inside=inside, to_template=self.to_template @ np.linalg.inv(to_world))


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
    voxels = tissue_voxels(scan)
    height = voxels @ scan.affine[2, :3] + scan.affine[2, 3]
    heights = np.arange(height.min(), height.max() + CROWN_STEP_MM, CROWN_STEP_MM)
    counts = np.histogram(height, heights)[0] if len(heights) > 1 else np.zeros(0)
    large = np.flatnonzero(counts * scan.voxel_ml * 1000 > CROWN_AREA_MM2 * CROWN_STEP_MM)
    crown = heights[large.max(initial=len(counts) - 1) + 1] if len(large) else height.max()
    of_head = (height < crown) & (height > crown - HEAD_MM)
    middle = scan.to_world(voxels[of_head if of_head.any() else slice(None)].mean(axis=0))
    return from_matvec(np.eye(3), template.centre - [*middle[:2], crown - CROWN_TO_CENTRE_MM])


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
    grid = from_matvec(GRID_MM * np.eye(3), template.centre - GRID_MM * (SIZE - 1) / 2)
    to_world = np.linalg.inv(to_template) @ grid
    voxels = np.linalg.inv(scan.affine) @ to_world
    data = ndimage.affine_transform(
        scan.data, voxels[:3, :3], voxels[:3, 3], (SIZE,) * 3, order=1, cval=np.nan
    )
    seen = np.isfinite(data)
    looks_like_brain = brain_log_odds(np.nan_to_num(data), weights) > 0
    if not looks_like_brain.any():
        return None
    piece = largest_piece(looks_like_brain)
    around, _ = ndimage.label(~piece)
    inside = seen & (around != around[0, 0, 0])  # with holes: fluid, and what no network has seen before
    volume = Volume(inside.astype(np.float32), to_world, seen.astype(np.float32))
    return Brain(volume, float(piece.sum() / looks_like_brain.sum()))


def fit_brain(brain: Brain, template: Surface, to_template: NDArray) -> Brain:
    """Return a brain with the placement that its surface alone gives the template.

    Parameters
    ----------
    brain : Brain
    template : Surface
        Of the template's brain.
    to_template : numpy.ndarray, shape (4, 4)
        The start, scan world to template world.
    """
    (best, off_mm), (_, rival_mm) = brain_placements(brain, template, to_template)[:2]
    return replace(brain, to_template=best, off_mm=off_mm, lead=rival_mm / max(off_mm, 1e-6))


def brain_placements(
    brain: Brain, template: Surface, to_template: NDArray
) -> list[tuple[NDArray[np.float64], float]]:
    """Return where a brain's surface places a template, upright and from each half turn, the best first.

    Each is a similarity transform from scan world to template world, with the root mean square distance
    between the surfaces in mm. Parameters are those of `fit_brain`.
    """
    points = brain.surface[brain.inside.sees(brain.surface)]
    points = apply_affine(to_template, points[:: max(len(points) // SURFACE_POINTS, 1)])
    if not len(points):
        return [(to_template, BADLY_MM)] * 2
    centre = points.mean(axis=0)
    turned = [from_matvec(turn, template.centre - turn @ centre) for turn in HALF_TURNS]
    ends = [fit_surface(points, template, start) for start in (np.eye(4), *turned)]
    placements = [(end @ to_template, _off_mm(end, points, template)) for end in ends]
    return sorted(placements, key=lambda placement: placement[1])


def _off_mm(end: NDArray, points: NDArray, template: Surface) -> float:
    there = apply_affine(end, points)
    away = np.minimum(np.abs(template.distance_mm.at(there, None)), BADLY_MM)[there[:, 2] > template.low_mm]
    is_fitted = len(away) and 1 / MAX_SCALE < np.cbrt(np.linalg.det(end[:3, :3])) < MAX_SCALE
    return float(np.sqrt(np.mean(away**2))) if is_fitted else BADLY_MM
