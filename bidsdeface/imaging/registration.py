"""Placement of a template on a scan, or of one scan on another.

A template is placed by an affine fit over brain, skull and scalp but not the face (`affine`), from where
the scan's own brain lies (`brain`) or from an exhaustive search (`pose`). Two placements from different
starts are always made: where they disagree, something is wrong. All is RAS+ mm.
"""

from collections.abc import Sequence
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
    smoothed,
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
    levels = levels_of(scan, STAGES)
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
    points = [points_in(level, region) for level in levels_of(reference, STAGES)]
    levels = list(zip(levels_of(scan, STAGES), points, strict=True))
    ends = [fit_rigidly(levels, np.linalg.inv(start), region) for start in starts]
    end, similarity = max(ends, key=lambda found: found[1])
    seen = points[-1].in_view(levels[-1][0], end, MOST_POINTS).where
    best = _best(ends, seen if len(seen) else region, AGREEMENT_MM)
    if mirror is not None:
        _, turned = fit_rigidly(levels, np.linalg.inv(mirror @ best.to_template), region)
        best = replace(best, rival=turned) if turned > similarity + MIRRORED else best
    return best


def levels_of(scan: Volume, stages: Sequence[tuple[float, int]]) -> list[Volume]:
    """Return a scan as it is seen at some of `STAGES`.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    stages : sequence of (float, int)

    Returns
    -------
    list of Volume
        On axes along those of the world.
    """
    coarse = world_aligned(scan, FIT_SPACING_MM)
    return [smoothed(coarse, sigma) for sigma, _ in stages]


def fit_rigidly(
    levels: list[tuple[Volume, Points]], start: NDArray, region: NDArray
) -> tuple[NDArray, float]:
    """Return the way from a reference to a scan, and the similarity there, from a start.

    Parameters
    ----------
    levels : list of (Volume, Points)
        The scan, from `levels_of`, and places of the reference with its intensities, from coarse to fine.
    start : numpy.ndarray, shape (4, 4)
        Reference world to scan world, RAS+ mm.
    region : numpy.ndarray, shape (N, 3)
        Points on the head in reference world, mm.
    """
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
