"""A placement that owes nothing to the face: fitted once more as if that had not been acquired.

The face has a part in any placement, by the scale of intensities and the way of the search. Whoever tries
faces in a published head would know the right one by a mask that stays where it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.affine import Points, fit_affine, points_in
from bidsdeface.imaging.registration import STAGES, Placement, disagreement_mm, fit_rigidly, levels_of
from bidsdeface.imaging.volume import Volume, apply_affine, evened, flattened, without

HIDDEN_MM = 4.0  # around what is removed: as far as a placement is rounded, and a block reaches
ROUNDED_MM = 2.0  # much farther than a face moves a placement that it has little part in
# A tetrahedron around the middle of the face, template world, mm: nothing near moves more than they do.
CORNERS = np.array([(-80.0, 0.0, -100.0), (80.0, 0.0, -100.0), (0.0, 0.0, 60.0), (0.0, 110.0, -50.0)])

Hides = Callable[[Volume, NDArray, float], NDArray[np.bool_]]
Fit = Callable[[NDArray], tuple[NDArray, float]]  # from a start


def settle(
    scan: Volume, placement: Placement, target: Sequence[Points], hides: Hides, is_flat: bool
) -> Placement:
    """Return the placement of a template, fitted once more without the face.

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
        levels = levels_of(flattened(faceless) if is_flat else faceless, STAGES[1:])

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
    points = [points_in(level, region) for level in levels_of(faceless_reference, STAGES[1:])]

    def fit_to(faceless: Volume) -> Fit:
        levels = list(zip(levels_of(evened(faceless), STAGES[1:]), points, strict=True))
        return lambda start: fit_rigidly(levels, start, region)

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

    The hidden part is computed from a placement whose corners are rounded to 2 mm, and the last fit starts
    from such a placement. So another face changes no bit, unless a corner lies near the middle between two
    steps. The largest distance that the placement moves, over the probes, counts as disagreement of starts.
    """
    fits: dict[bytes, Fit] = {}

    def fit_without_face(near: NDArray) -> Fit:
        key = near.tobytes()
        if key not in fits:
            hidden = hides(scan, to_template @ np.linalg.inv(near), HIDDEN_MM)
            fits[key] = fit_to(without(scan, hidden))
        return fits[key]

    corners, first = apply_affine(np.linalg.inv(to_template), CORNERS), np.linalg.inv(placement.to_template)
    end, start = first, _rounded(first, corners)
    for _ in range(2):  # so that little is left of where it came from
        end, _ = fit_without_face(start)(end)
        start = _rounded(end, corners)
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
