"""The average head, voxel by voxel: what quality is tested on without reading a file."""

import numpy as np
import pytest

from bidsdeface.imaging.volume import Volume, apply_affine, interpolate

SPACING_MM = 3.0
LOW_MM, HIGH_MM = (-93.0, -114.0, -111.0), (93.0, 135.0, 96.0)  # from the chin to the crown


def distance(region, points):
    return interpolate(region.data, region.affine, points, np.inf)


@pytest.fixture(scope="session")
def head(average):
    """Return the average head on a coarse grid, for speed."""
    shape = ((np.array(HIGH_MM) - LOW_MM) / SPACING_MM).astype(int)
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = LOW_MM
    points = apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))
    values = interpolate(average.head.data, average.head.affine, points).astype(np.float32)
    return Volume(values, affine, np.ones_like(values))


@pytest.fixture(scope="session")
def points(head):
    """Return the world coordinates of the head's voxels, shape (X, Y, Z, 3)."""
    voxels = np.stack(np.meshgrid(*map(np.arange, head.data.shape), indexing="ij"), -1)
    return apply_affine(head.affine, voxels)


@pytest.fixture(scope="session")
def to_brain_mm(average, points):
    return distance(average.brain_mm, points)


@pytest.fixture(scope="session")
def with_values(head):
    """Return the head with other intensities."""

    def make(values):
        return Volume(values.astype(np.float32), head.affine, head.seen)

    return make


@pytest.fixture(scope="session")
def ml():
    """Return the volume of what is marked on the head's grid."""
    return lambda mask: float(mask.sum()) * SPACING_MM**3 / 1000
