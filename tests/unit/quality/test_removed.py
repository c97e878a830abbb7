"""Is there a face where the mask is: a whole one, one that is gone already, or none."""

import numpy as np
import pytest

from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.foldover import PlacedHead
from bidsdeface.imaging.volume import Volume, world_aligned
from bidsdeface.quality.checks import failed_checks
from bidsdeface.quality.limits import EMPTIED
from bidsdeface.quality.measures import MEASURE_SPACING_MM, measure_removed


@pytest.fixture(scope="module")
def mask(head, expected):
    return face_mask(head.data.shape, head.affine, np.eye(4), expected)


@pytest.fixture
def measured(head, templates):
    def measure(values, mask, stored=None):
        scan = Volume(values.astype(np.float32), head.affine, head.seen)
        stored = scan.data if stored is None else stored
        placed = PlacedHead(templates.head_template.head_mm, np.eye(4))
        return measure_removed(world_aligned(scan, MEASURE_SPACING_MM), stored, mask, head.affine, placed)

    return measure


def test_a_whole_face_is_found(head, mask, measured):
    found = measured(head.data, mask)
    assert not failed_checks(found)
    assert 0.6 < found["face_found"] < 1.2 and found["emptied_share"] < 0.2
    assert 0.05 < found["removed_share"] < 0.3


def test_a_face_that_is_gone_was_found_by_somebody_before(head, mask, measured):
    found = measured(np.where(mask, 0, head.data), mask)
    assert not failed_checks(found)
    assert found["emptied_share"] > 0.95 and found["removed_share"] < 0.02


def test_a_face_that_is_half_gone_is_found(head, mask, measured, points):
    """The half that is there, at the least: it is defaced again."""
    half = mask & (points[..., 2] < np.median(points[mask][:, 2]))
    found = measured(np.where(half, 0, head.data), mask)
    assert not failed_checks(found) and found["removed_share"] > 0.04


def test_air_with_its_noise_where_the_face_should_be_is_a_fault(head, mask, measured):
    noise = np.random.default_rng(0).random(mask.shape) * 0.01
    found = measured(np.where(mask, noise, head.data), mask)
    assert found["emptied_share"] < EMPTIED
    assert list(failed_checks(found)) == ["face_found"]


@pytest.mark.parametrize("fill", [0, -1000, 7])
def test_a_mask_in_air_alone_is_a_fault_even_if_the_air_is_empty(head, mask, measured, templates, fill):
    """Of a head that ends above the brows, say; whatever value stands for nothing."""
    air = mask & (head.data < 0.02)
    out_of_view = mask & ~air
    scan = Volume(head.data, head.affine, np.where(out_of_view, 0, head.seen).astype(np.float32))
    in_air = air & np.roll(air, -2, 1) & np.roll(air, -4, 1)  # clear of the skin
    stored = np.where(air, fill, 1)
    placed = PlacedHead(templates.head_template.head_mm, np.eye(4))
    found = measure_removed(world_aligned(scan, MEASURE_SPACING_MM), stored, in_air, head.affine, placed)
    assert found["face_found"] < 0.2 and list(failed_checks(found)) == ["face_found"]
