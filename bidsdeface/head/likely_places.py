"""Where a head may lie in an image that need not look like a head, such as EPI."""

import numpy as np
from numpy.typing import NDArray

from bidsdeface.head.fit import ANOTHER_START_RAD
from bidsdeface.head.registered import RegisteredScan, TemplateSet
from bidsdeface.imaging.affine import turn_about
from bidsdeface.imaging.brain import brain_placements, find_brain, grid_over_head
from bidsdeface.imaging.registration import place_rigidly
from bidsdeface.imaging.volume import Volume

# Of an image that may show no face: a brain, though much of it may be distorted or out of the field of view.
MIN_BRAIN_ML, BRAIN_MM, NEARLY_AS_GOOD, MIN_SIMILARITY = 300.0, 5.0, 1.5, 0.25


def likely_places(
    volume: Volume, reference: RegisteredScan | None, templates: TemplateSet
) -> list[NDArray[np.float64]]:
    """Return all ways in which a head may lie in an image that need not look like a head, such as EPI.

    By its own brain, half turns too where they fit nearly as well; and by its head's reference, where the
    header has it and by rigid registration. Cheap, and not enough to publish a mask by.

    Parameters
    ----------
    volume : Volume
        From `reduce_image`.
    reference : RegisteredScan or None
    templates : TemplateSet

    Returns
    -------
    list of numpy.ndarray, shape (4, 4)
        Scan world to the world of the template that heads are judged by. Empty if no place is likely.
    """
    surface, places = templates.head_template.brain_surface, []
    brain = find_brain(volume, grid_over_head(volume, surface), surface, templates.weights)
    if brain is not None and brain.ml >= MIN_BRAIN_ML:
        by_brain = brain_placements(brain, surface, brain.centred_on(surface))
        most_mm = min(BRAIN_MM, NEARLY_AS_GOOD * by_brain[0][1])
        places += [to_head for to_head, off_mm in by_brain if off_mm <= most_mm]
    if reference is not None:
        on_head, to_head = reference.points_on_head(), reference.head.to_head
        starts = [np.eye(4), turn_about(on_head.mean(axis=0), ANOTHER_START_RAD)]
        rigid = place_rigidly(volume, reference.volume, starts, on_head)
        places += [to_head, to_head @ rigid.to_template] if rigid.similarity >= MIN_SIMILARITY else []
    return places
