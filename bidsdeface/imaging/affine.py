"""Affine registration of template points to a scan, by Gauss-Newton on the correlation ratio.

The correlation ratio (Roche et al., MICCAI 1998) asks only that each template intensity goes with one
scan intensity, so T1w, T2w and FLAIR work alike. Here it is maximised over a fixed set of template
points: no tissue outside that set can pull, least of all the face. ANTs' own affine stage was tried
first: turned in the scanner by up to 40 degrees, the same head came out 5 to 25 mm apart, at 0.2 to 5 s;
here 0.2 to 2.5 mm, at 0.2 s (docs/method.md).
"""

from dataclasses import dataclass

import numpy as np
from nibabel.affines import from_matvec
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.volume import SEEN, Volume, apply_affine, nearest

BINS = 24
ITERATIONS = 20
ENOUGH_MM = 0.02  # a step shorter than this ends the search
LEVER_MM = 80.0  # scales turns and stretches to mm, at about the radius of a head
MIN_POINTS_SEEN = 0.25
MIN_POINTS = 200
SURFACE_MM = 4.0  # a point of a surface that is farther off than this pulls no harder
FADE_MM = 10.0  # over which points at the lower end of a surface lose their weight
RIGID, SIMILARITY = 6, 7


@dataclass(frozen=True)
class Points:
    """Template points and their intensities: where (N, 3) in mm, value (N,)."""

    where: NDArray[np.float64]
    value: NDArray[np.float32]

    def in_view(self, scan: Volume, from_template: NDArray, most: int) -> "Points":
        """Return `most` of the points that a scan shows, by chance, but much the same ones from nearby."""
        order = np.random.default_rng(0).permutation(len(self.where))
        chosen = order[scan.sees(apply_affine(from_template, self.where[order]))][:most]
        return Points(self.where[chosen], self.value[chosen])


def points_in(volume: Volume, where: NDArray) -> Points:
    """Return the places, shape (N, 3), that lie in a volume, with its intensities there."""
    value = volume.at(where)
    known = np.isfinite(value)
    return Points(where[known], value[known])


@dataclass(frozen=True)
class _Fit:
    """The scan at the moved points: residuals of the intensity fit, NaN where not seen."""

    voxels: NDArray
    seen: NDArray
    scan: NDArray
    residual: NDArray


@dataclass(frozen=True)
class Surface:
    """A closed surface in template space, as a landscape that points roll down to it.

    Attributes
    ----------
    distance_mm : Volume
        Signed distance, negative inside, on axes along those of the world.
    slope : numpy.ndarray, shape (X, Y, Z, 3)
        Its gradient, mm per mm.
    centre : numpy.ndarray, shape (3,)
        Of what is inside, mm.
    low_mm : float
        Height below which the surface is not compared: a brain stem is cut anywhere.
    """

    distance_mm: Volume
    slope: NDArray[np.float32]
    centre: NDArray[np.float64]
    low_mm: float


def fit_surface(points: NDArray, surface: Surface, start: NDArray) -> NDArray:
    """Return the similarity transform that brings points onto a surface.

    By Gauss-Newton on the distances, with Huber's weights.

    Parameters
    ----------
    points : numpy.ndarray, shape (N, 3)
        Template world, mm.
    surface : Surface
    start : numpy.ndarray, shape (4, 4)
        Template world to template world.
    """
    moved = start
    for _ in range(ITERATIONS):
        at = apply_affine(moved, points)
        distance = surface.distance_mm.at(at, None)
        weight = np.clip((at[:, 2] - surface.low_mm) / FADE_MM, 0, 1)
        weight = (weight / np.maximum(1, np.abs(distance) / SURFACE_MM))[:, None]
        slope = nearest(surface.slope, surface.distance_mm.affine, at)
        jacobian = _jacobian(slope, (at - surface.centre) / LEVER_MM, SIMILARITY)
        normal = (jacobian * weight).T @ jacobian + 1e-3 * np.eye(SIMILARITY)
        step = np.linalg.solve(normal, -(jacobian * weight).T @ distance)
        change, moved_mm = _change(step, surface.centre, SIMILARITY)
        moved = change @ moved
        if moved_mm < ENOUGH_MM:
            break
    return moved


def fit_affine(scan: Volume, points: Points, from_template: NDArray, freedom: int) -> tuple[NDArray, float]:
    """Move template points until scan intensities are best explained by template intensities.

    Parameters
    ----------
    scan : Volume
        Smoothed to the scale of the search.
    points : Points
    from_template : numpy.ndarray, shape (4, 4)
        The start: template world to scan world, RAS+ mm.
    freedom : {6, 7, 12}
        Rigid, rigid and one scale, or affine.

    Returns
    -------
    from_template : numpy.ndarray, shape (4, 4)
    correlation_ratio : float
        0 (unrelated) to 1; -1 if fewer than a quarter of the points, or than 200, lie in the field of view.
    """
    gradients = [np.ascontiguousarray(g) for g in np.gradient(scan.data)]
    to_world = np.linalg.inv(scan.affine[:3, :3])
    if len(points.where) < MIN_POINTS:
        return from_template, -1.0
    centre = points.where.mean(axis=0)
    lever = (points.where - centre) / LEVER_MM
    bins = _soft_bins(points.value)
    fit = _evaluate(scan, points, bins, from_template)
    damping = 1e-3
    for _ in range(ITERATIONS):
        ratio = _correlation_ratio(fit)
        if ratio < 0:
            break
        voxels = fit.voxels[:, fit.seen]
        slope = np.stack(
            [ndimage.map_coordinates(g, voxels, order=1, prefilter=False) for g in gradients], -1
        )
        jacobian = _jacobian(slope @ to_world @ from_template[:3, :3], lever[fit.seen], freedom)
        deviation = fit.scan[fit.seen] - fit.scan[fit.seen].mean()
        # d(SSR / SST): without the second term the points would flee to where the scan is flat.
        pull = -jacobian.T @ (fit.residual[fit.seen] - (1 - ratio) * deviation)
        normal = jacobian.T @ jacobian
        while damping < 1e4:
            damped = normal + damping * np.diag(np.diag(normal)) + 1e-9 * np.eye(freedom)
            change, moved_mm = _change(np.linalg.solve(damped, pull), centre, freedom)
            candidate = from_template @ change
            trial = _evaluate(scan, points, bins, candidate)
            both = fit.seen & trial.seen
            if _correlation_ratio(trial, both) > _correlation_ratio(fit, both):
                damping = max(damping / 5, 1e-4)
                from_template, fit = candidate, trial
                break
            damping *= 8
        else:
            break
        if moved_mm < ENOUGH_MM:
            break
    return from_template, _correlation_ratio(fit)


def _soft_bins(value: NDArray) -> tuple[NDArray, NDArray]:
    position = (value - value.min()) / (np.ptp(value) + 1e-6) * (BINS - 1)
    lower = np.minimum(position.astype(int), BINS - 2)
    return lower, position - lower


def _evaluate(scan: Volume, points: Points, bins: tuple[NDArray, NDArray], from_template: NDArray) -> _Fit:
    voxels = apply_affine(np.linalg.inv(scan.affine) @ from_template, points.where).T
    values = ndimage.map_coordinates(scan.data, voxels, order=1, cval=np.nan, prefilter=False)
    weight = ndimage.map_coordinates(scan.seen, voxels, order=1, cval=0.0, prefilter=False)
    seen = np.isfinite(values) & (weight > SEEN)
    residual = np.full(len(values), np.nan)
    if seen.sum() > MIN_POINTS_SEEN * len(values):
        lower, upper_share, value = bins[0][seen], bins[1][seen], values[seen]

        def spread(quantity: NDArray | float) -> NDArray:
            return np.bincount(lower, (1 - upper_share) * quantity, BINS) + np.bincount(
                lower + 1, upper_share * quantity, BINS
            )

        expected = spread(value) / np.maximum(spread(1.0), 1e-3)
        residual[seen] = value - (expected[lower] * (1 - upper_share) + expected[lower + 1] * upper_share)
    return _Fit(voxels, seen, values, residual)


def _correlation_ratio(fit: _Fit, among: NDArray | None = None) -> float:
    among = fit.seen if among is None else among
    residual = fit.residual[among]
    if residual.size == 0 or not np.isfinite(residual).all():
        return -1.0
    return float(1 - np.mean(residual**2) / max(np.var(fit.scan[among]), 1e-12))


def _jacobian(slope: NDArray, lever: NDArray, freedom: int) -> NDArray:
    if freedom == 12:
        return np.concatenate([slope, (slope[:, :, None] * lever[:, None, :]).reshape(-1, 9)], axis=1)
    columns = [slope, np.cross(lever, slope), (slope * lever).sum(axis=1, keepdims=True)]
    return np.concatenate(columns, axis=1)[:, :freedom]


def _change(step: NDArray, centre: NDArray, freedom: int) -> tuple[NDArray, float]:
    """Return the step as an affine in the template's frame, and how far it moves a head's surface."""
    if freedom == 12:
        linear = np.eye(3) + step[3:].reshape(3, 3) / LEVER_MM
    else:
        # A true rotation, so that "rigid" stays rigid however many steps are taken.
        linear = Rotation.from_rotvec(step[3:6] / LEVER_MM).as_matrix()
        if freedom == 7:
            linear = linear * np.exp(step[6] / LEVER_MM)
    change = from_matvec(linear, step[:3] + centre - linear @ centre)
    return change, float(np.linalg.norm(step[:3]) + np.abs(linear - np.eye(3)).max() * LEVER_MM)


def turn_about(centre: NDArray, rotvec: NDArray, shift: NDArray | float = 0.0) -> NDArray[np.float64]:
    """Return a rotation about a point, in radians, and a shift in mm, as a (4, 4) affine."""
    turn = Rotation.from_rotvec(rotvec)
    return from_matvec(turn.as_matrix(), centre - turn.apply(centre) + shift)
