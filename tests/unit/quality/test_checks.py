"""From measures to a verdict: each threshold, on both sides of it."""

from dataclasses import replace

import numpy as np
import pytest

from bidsdeface.imaging.facemask import FaceMask
from bidsdeface.quality.measures import PlacementMeasures
from bidsdeface.quality.verdict import mask_faults, placement_faults

GOOD = PlacementMeasures(
    similarity=0.7,
    rival_similarity=0.3,
    start_disagreement_mm=0.1,
    outline_correlation=0.95,
    scale=0.95,
    stretch=1.1,
)
MASK = FaceMask(np.ones((2, 2, 2), bool), brain_distance_mm=4.1, guard_depth_mm=4.0)


def test_a_good_placement_has_no_fault():
    assert placement_faults(GOOD) == []


@pytest.mark.parametrize(
    ("measure", "fine", "bad", "words"),
    [
        ("outline_correlation", 0.75, 0.74, "outline does not fit a head"),
        ("start_disagreement_mm", 5.0, 5.1, "disagree by 5 mm"),
        ("start_disagreement_mm", 4.0, np.inf, "disagree by inf mm"),
        ("rival_similarity", 0.61, 0.63, "a head placed quite otherwise fits as well"),
        ("rival_similarity", -1.0, 0.75, "a head placed quite otherwise fits as well"),
        ("scale", 0.65, 0.64, "deformed too much"),
        ("scale", 1.35, 1.36, "deformed too much"),
        ("stretch", 1.4, 1.41, "deformed too much"),
    ],
)
def test_each_measure_has_its_limit(measure, fine, bad, words):
    assert placement_faults(replace(GOOD, **{measure: fine})) == []
    (fault,) = placement_faults(replace(GOOD, **{measure: bad}))
    assert words in fault


def test_a_similarity_has_its_limit_even_without_a_rival():
    alone = replace(GOOD, rival_similarity=-1.0)
    assert placement_faults(replace(alone, similarity=0.25)) == []
    (fault,) = placement_faults(replace(alone, similarity=0.24))
    assert "does not look like the template" in fault


@pytest.mark.parametrize("measure", list(vars(GOOD)))
def test_what_could_not_be_measured_is_a_fault(measure):
    assert placement_faults(replace(GOOD, **{measure: float("nan")}))


def test_all_faults_are_told():
    assert len(placement_faults(PlacementMeasures(0, 0, 99, 0, 3, 3))) == 5


def test_a_good_mask_has_no_fault():
    assert mask_faults(MASK) == []


def test_an_empty_mask_is_a_fault():
    (fault,) = mask_faults(replace(MASK, mask=np.zeros((2, 2, 2), bool)))
    assert fault == "the face lies outside the field of view"


def test_a_guard_that_covers_the_face_is_a_fault():
    assert mask_faults(replace(MASK, guard_depth_mm=10.0)) == []
    (fault,) = mask_faults(replace(MASK, guard_depth_mm=10.5))
    assert "brain guard covers the face" in fault
