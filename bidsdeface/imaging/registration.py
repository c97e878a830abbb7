"""Placement of a template on a scan, or of one scan on another.

A template is placed by an affine fit over brain, skull and scalp but not the face (`affine`), from where
the scan's own brain lies (`brain`) or from an exhaustive search (`pose`). Two placements from different
starts are always made: where they disagree, something is wrong. All is RAS+ mm.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from nibabel.affines import from_matvec
from numpy.typing import NDArray

from bidsdeface.errors import RegistrationError
from bidsdeface.imaging.affine import RIGID, Points, fit_affine, points_in
from bidsdeface.imaging.pose import PoseTemplate, find_poses
from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    evened,
    flattened,
    smoothed,
    without,
    world_aligned,
)

FIT_SPACING_MM = 4.0
# From coarse to fine: smoothing of the scan in mm, and degrees of freedom.
STAGES = ((6.0, 7), (3.0, 12), (1.5, 12))
STARTS = 2
MORE_STARTS = 6
AGREEMENT_MM = 5.0  # starts that end closer than this are one answer
ANOTHER_MM = 30.0  # starts that end farther apart than this are rivals
NO_HEAD = "no head found in the field of view; if there is one, give its mask with --mask"
MIRRORED = 0.02  # by so much less, two heads are alike, as both their halves are
PROBE_STEP = 40  # of the coarsest points, at which two placements are compared
MOST_POINTS = 3000  # at which two scans are compared
HIDDEN_MM = 4.0  # around what is removed: as far as a placement is rounded, and a block reaches
ROUNDED_MM = 2.0  # much farther than a face moves a placement that it has little part in
# A tetrahedron around the middle of the face, template world, mm: nothing near moves more than they do.
CORNERS = np.array([(-80.0, 0.0, -100.0), (80.0, 0.0, -100.0), (0.0, 0.0, 60.0), (0.0, 110.0, -50.0)])

Hides = Callable[[Volume, NDArray, float], NDArray[np.bool_]]
Fit = Callable[[NDArray], tuple[NDArray, float]]  # from a start


@dataclass(frozen=True)
class Placement:
    """An affine placement of a template on a scan, and how well it is supported.

    Attributes
    ----------
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, RAS+ mm.
    similarity : float
        Correlation ratio, 0 to 1.
    second : numpy.ndarray, shape (4, 4)
        The nearest placement from another start, as `to_template`; the same where there is no other.
    disagreement_mm : float
        The largest distance between the two over the head; infinite where there is no other.
    rival : float
        Similarity of the best placement that is quite another (back to front, upside down); -1 if none is.
    """

    to_template: NDArray[np.float64]
    similarity: float
    second: NDArray[np.float64]
    disagreement_mm: float
    rival: float


def place(
    scan: Volume,
    pose_template: PoseTemplate,
    target: Sequence[Points],
    head_to_template: NDArray | None = None,
) -> Placement:
    """Place a template on a scan, from several starts that an exhaustive search finds.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    pose_template : PoseTemplate
        Of the template that is robust to start from (WholeHead).
    target : sequence of Points
        Of the template to place, for each of `STAGES`: in brain, skull and scalp, none in the face.
    head_to_template : numpy.ndarray, shape (4, 4), optional
        From the world of `pose_template` to that of `target`; the identity if left out.

    Returns
    -------
    Placement
        The best of all starts.

    Raises
    ------
    RegistrationError
        No start puts the template's head inside the field of view.
    """
    upright, rivals = find_poses(scan, pose_template, MORE_STARTS)
    # Two upright starts, the best of each half turn, and all others if these give no answer.
    first = [*upright[:STARTS], *(pose for turned in rivals for pose in turned[:1])]
    poses = [*first, *upright[STARTS:], *(pose for turned in rivals for pose in turned[1:])]
    linked = np.eye(4) if head_to_template is None else head_to_template
    return place_from(scan, [linked @ pose.to_template for pose in poses], target, len(first))


def place_from(
    scan: Volume, starts: Sequence[NDArray], target: Sequence[Points], least: int = STARTS
) -> Placement:
    """Place a template on a scan, from given starts.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    starts : sequence of numpy.ndarray, shape (4, 4)
        Scan world to template world, RAS+ mm, the likeliest first.
    target : sequence of Points
        As `place` takes it.
    least : int
        How many starts to try at least; the others only until two of them agree.

    Raises
    ------
    RegistrationError
        No start puts the template's head inside the field of view.
    """
    levels = _levels(scan, STAGES)
    ends: list[tuple[NDArray, float]] = []
    for start in starts:
        from_template, similarity = np.linalg.inv(start), -1.0
        for level, points, (_, freedom) in zip(levels, target, STAGES, strict=True):
            from_template, similarity = fit_affine(level, points, from_template, freedom)
        ends.append((from_template, similarity))
        best = _best(ends, probes_of(target))
        if len(ends) >= least and best.disagreement_mm <= AGREEMENT_MM:
            break
    if not ends or best.similarity < 0:
        raise RegistrationError(NO_HEAD)
    return best


def settle(
    scan: Volume, placement: Placement, target: Sequence[Points], hides: Hides, is_flat: bool
) -> Placement:
    """Return a placement fitted once more, as if the face had not been acquired.

    The face has a part in any placement, by the scale of intensities and the way of the search. Whoever tries
    faces in a published head would know the right one by a mask that stays where it is. So the fit is
    repeated without the face, and once more from corners rounded to 2 mm: then another face changes no bit,
    unless a corner lies near the middle between two steps.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    placement : Placement
        From `place` or `place_from`. It says how sure the settled one is.
    target : sequence of Points
        As `place` takes it.
    hides : callable
        From a scan, where the template lies on it, and mm: which blocks lie in what is removed, or so near.
    is_flat : bool
        Whether the scan was `flattened` when it was placed.

    Returns
    -------
    Placement
        The same one if too little is left of the scan without the face.
    """

    def fit_to(faceless: Volume) -> Fit:
        levels = _levels(flattened(faceless) if is_flat else faceless, STAGES[1:])

        def fit(start: NDArray) -> tuple[NDArray, float]:
            end, similarity = start, -1.0
            for level, points, (_, freedom) in zip(levels, target[1:], STAGES[1:], strict=True):
                end, similarity = fit_affine(level, points, end, freedom)
            return end, similarity

        return fit

    return _settled(scan, placement, np.eye(4), hides, fit_to, target[0].where)


def settle_rigidly(
    scan: Volume,
    placement: Placement,
    reference: Volume,
    region: NDArray,
    to_template: NDArray,
    hides: Hides,
) -> Placement:
    """Return the placement of a reference scan, fitted once more as if neither scan showed a face.

    Parameters
    ----------
    scan, reference : Volume
        From `reduce_image`.
    placement : Placement
        From `place_rigidly`.
    region : numpy.ndarray, shape (N, 3)
        As `place_rigidly` takes it.
    to_template : numpy.ndarray, shape (4, 4)
        Reference world to template world, RAS+ mm.
    hides : callable
        As `settle` takes it.

    Returns
    -------
    Placement
        The same one if too little is left of the scan without the face.
    """
    faceless_reference = evened(without(reference, hides(reference, to_template, HIDDEN_MM)))
    points = [points_in(level, region) for level in _levels(faceless_reference, STAGES[1:])]

    def fit_to(faceless: Volume) -> Fit:
        levels = list(zip(_levels(evened(faceless), STAGES[1:]), points, strict=True))
        return lambda start: _fit_rigidly(levels, start, region)

    return _settled(scan, placement, to_template, hides, fit_to, region)


def _settled(
    scan: Volume,
    placement: Placement,
    to_template: NDArray,
    hides: Hides,
    fit_to: Callable[[Volume], Fit],
    probes: NDArray,
) -> Placement:
    """Return a placement on a target after a fit without the face; `to_template` leads on from the target.

    How far it moves at most, at some places of the target, counts as disagreement of starts.
    """

    def fit_without_face(start: NDArray) -> Fit:
        return fit_to(without(scan, hides(scan, to_template @ np.linalg.inv(start), HIDDEN_MM)))

    first = np.linalg.inv(placement.to_template)
    fit = fit_without_face(first)
    end, _ = fit(fit(first)[0])  # twice, so that less of where it came from is left
    start = _rounded(end, apply_affine(np.linalg.inv(to_template), CORNERS))
    end, similarity = fit_without_face(start)(start)
    if similarity < 0:
        return placement
    settled = np.linalg.inv(end)
    return replace(
        placement,
        to_template=settled,
        second=placement.second @ first @ settled,
        disagreement_mm=max(placement.disagreement_mm, disagreement_mm(first, end, probes)),
    )


def _rounded(from_target: NDArray, corners: NDArray) -> NDArray[np.float64]:
    """Return the affine nearest to another that puts corners on a lattice in scan world."""
    there = ROUNDED_MM * np.round(apply_affine(from_target, corners) / ROUNDED_MM)
    return np.linalg.solve(np.c_[corners, np.ones(4)], np.c_[there, np.ones(4)]).T


def probes_of(target: Sequence[Points]) -> NDArray[np.float64]:
    """Return the places (template world, mm), shape (N, 3), at which two placements are compared."""
    return target[0].where[::PROBE_STEP]


def place_rigidly(
    scan: Volume,
    reference: Volume,
    starts: Sequence[NDArray],
    region: NDArray,
    mirror: NDArray | None = None,
) -> Placement:
    """Place a reference scan on another scan of the same head, which may show a part of it.

    Parameters
    ----------
    scan, reference : Volume
        From `reduce_image`.
    starts : sequence of numpy.ndarray, shape (4, 4)
        Scan world to reference world.
    region : numpy.ndarray, shape (N, 3)
        Points on the head in reference world, mm; the scans are compared at those that both show.
    mirror : numpy.ndarray, shape (4, 4), optional
        Reference world to itself, left to right: a scan that fits better that way has a rival.

    Returns
    -------
    Placement
        Its ``to_template`` leads to the reference. Whatever ends farther off than `AGREEMENT_MM` is a rival.
    """
    points = [points_in(level, region) for level in _levels(reference, STAGES)]
    levels = list(zip(_levels(scan, STAGES), points, strict=True))
    ends = [_fit_rigidly(levels, np.linalg.inv(start), region) for start in starts]
    end, similarity = max(ends, key=lambda found: found[1])
    seen = points[-1].in_view(levels[-1][0], end, MOST_POINTS).where
    best = _best(ends, seen if len(seen) else region, AGREEMENT_MM)
    if mirror is not None:
        _, turned = _fit_rigidly(levels, np.linalg.inv(mirror @ best.to_template), region)
        best = replace(best, rival=turned) if turned > similarity + MIRRORED else best
    return best


def _levels(scan: Volume, stages: Sequence[tuple[float, int]]) -> list[Volume]:
    """Return a scan as it is seen at some of `STAGES`."""
    coarse = world_aligned(scan, FIT_SPACING_MM)
    return [smoothed(coarse, sigma) for sigma, _ in stages]


def _fit_rigidly(
    levels: list[tuple[Volume, Points]], start: NDArray, region: NDArray
) -> tuple[NDArray, float]:
    """Return the way from a reference to a scan, and the similarity there, from a start."""
    end, similarity = _nearest_rotation(start, region.mean(axis=0)), -1.0
    for level, points in (*levels, levels[-1]):  # twice, as other points have come into view
        end, similarity = fit_affine(level, points.in_view(level, end, MOST_POINTS), end, RIGID)
    return end, similarity


def disagreement_mm(first: NDArray, second: NDArray, probes: NDArray) -> float:
    """Return how far apart two placements lie at most.

    Parameters
    ----------
    first, second : numpy.ndarray, shape (4, 4)
        Template world to scan world, RAS+ mm.
    probes : numpy.ndarray, shape (N, 3)
        Places in template world, mm.
    """
    return float(np.linalg.norm(apply_affine(first, probes) - apply_affine(second, probes), axis=1).max())


def _best(ends: list[tuple[NDArray, float]], probes: NDArray, another_mm: float = ANOTHER_MM) -> Placement:
    (best, similarity), *others = sorted(ends, key=lambda end: -end[1])
    apart = [(disagreement_mm(best, other, probes), other, its) for other, its in others]
    nearest_mm, nearest, _ = min(apart, key=lambda other: other[0], default=(np.inf, best, similarity))
    return Placement(
        to_template=np.linalg.inv(best),
        similarity=similarity,
        second=np.linalg.inv(nearest),
        disagreement_mm=nearest_mm,
        rival=max((its for mm, _, its in apart if mm > another_mm), default=-1.0),
    )


def _nearest_rotation(affine: NDArray, centre: NDArray) -> NDArray:
    """Return the rigid transform nearest to an affine one, the same at one point."""
    u, _, v = np.linalg.svd(affine[:3, :3])
    return from_matvec(u @ v, apply_affine(affine, centre) - u @ v @ centre)
