"""What is measured on an image alone, and what of it changes."""

from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.imaging.image import Image
from bidsdeface.imaging.volume import Volume
from bidsdeface.impact.measure import Measured, change, tissue_volumes

BEFORE = Measured(1200.0, (200.0, 600.0, 400.0), np.eye(4))


@pytest.fixture
def template():
    """Return a template whose brain is a cube of 10 mm."""
    distance = np.full((20, 20, 20), 5.0, np.float32)
    distance[5:15, 5:15, 5:15] = -5.0
    return SimpleNamespace(brain_mm=Volume(distance, np.eye(4), np.ones_like(distance)))


def test_tissues_are_told_apart_by_intensity_in_the_brain_alone():
    values = np.full((24, 20, 20), 1000, np.int16)  # outside the brain
    values[2:6], values[6:15], values[15:22] = 10, 50, 90
    values += np.random.default_rng(0).integers(-3, 4, values.shape, dtype=np.int16)
    header = nib.Nifti1Image(values, np.diag([2.0, 1, 1, 1])).header
    brain = np.zeros((48, 20, 20), np.float32)  # on a finer grid
    brain[4:44] = 1
    brain = Volume(brain, np.diag([1.0, 1, 1, 1]), np.ones_like(brain))
    dark, middle, bright = tissue_volumes(Image(header, np.diag([2.0, 1, 1, 1]), values), brain)
    assert (dark, middle, bright) == pytest.approx((3.2, 7.2, 5.6), rel=0.06)


def test_the_same_measured_twice_has_changed_in_nothing(template):
    assert set(change(BEFORE, BEFORE, template).values()) == {0.0}


def test_changes_are_percentages_and_the_displacement_of_the_brain(template):
    shifted = np.eye(4)
    shifted[:3, 3] = 0, 3, 4
    changes = change(BEFORE, Measured(1188.0, (210.0, 600.0, 380.0), shifted), template)
    assert changes == pytest.approx(
        {
            "brain_percent": -1.0,
            "dark_percent": 5.0,
            "middle_percent": 0.0,
            "bright_percent": -5.0,
            "placement_mm": 5.0,
        }
    )


def test_a_turn_counts_by_how_far_it_moves_the_brain(template):
    turned = replace(BEFORE, to_head=np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert change(BEFORE, turned, template)["placement_mm"] == pytest.approx(27, rel=0.05)
