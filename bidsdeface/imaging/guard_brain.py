"""The brain that the guard follows, found without a look at what is removed.

A network that sees a face finds the brain beside it a little otherwise, so the mask's edge would depend on
what is in the mask. Here the average head stands in the place of all that may be removed; where the brain
that is found then reaches into it, that much is shown, and the network looks again.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.affine import Surface
from bidsdeface.imaging.brain import Brain, find_brain, fit_brain
from bidsdeface.imaging.brainnet import Weights
from bidsdeface.imaging.volume import Volume, apply_affine, flattened, without

MOST_LOOKS = 10
# Of brain, by which the network may differ from itself: neither a reason to look again, nor to follow the
# brain that it finds with the face in view.
UNSURE_ML = 0.25


def find_guard_brain(
    scan: Volume,
    hidden: NDArray[np.bool_],
    guarded: Callable[[Brain], NDArray[np.bool_]],
    average: Volume,
    to_average: NDArray,
    surface: Surface,
    weights: Weights,
    is_flat: bool,
) -> Brain | None:
    """Return the brain of a scan as it is found without what is removed, or None if none is.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    hidden : numpy.ndarray, shape of `scan`, bool
        Where a mask may reach.
    guarded : callable
        Return where it may not if the guard follows a brain, on the grid of `scan`.
    average : Volume
        The template's head.
    to_average : numpy.ndarray, shape (4, 4)
        Scan world to the world of `average`, RAS+ mm.
    surface : Surface
        Of that head's brain.
    weights : mapping of str to numpy.ndarray
        Of the network.
    is_flat : bool
        Whether the brain is to be found in the `flattened` scan.
    """
    brain = None
    for _ in range(MOST_LOOKS):
        filled = _filled(scan, hidden, average, to_average)
        found = find_brain(flattened(filled) if is_flat else filled, to_average, surface, weights)
        if found is None:
            return brain
        if brain is not None:
            both = np.maximum(found.inside.data, brain.inside.data)
            found = replace(found, inside=replace(found.inside, data=both))
        brain = fit_brain(found, surface, to_average)
        shown = hidden & guarded(brain)
        if shown.sum() * scan.voxel_ml < UNSURE_ML:
            break
        hidden = hidden & ~shown
    return brain


def _filled(scan: Volume, hidden: NDArray[np.bool_], average: Volume, to_average: NDArray) -> Volume:
    """Return a scan with the average head, as bright as the scan's own tissue, in a part of it."""
    shown = without(scan, hidden)
    here, there = (head.data[head.data > head.tissue_threshold] for head in (shown, average))
    level = np.median(here) / np.median(there) if here.size else 1.0
    places = apply_affine(to_average, scan.to_world(np.argwhere(hidden)))
    data = shown.data.copy()
    data[hidden] = np.clip(level * average.at(places, None), 0, 1)
    return Volume(data, scan.affine, scan.seen)
