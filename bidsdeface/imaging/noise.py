"""The size and smoothness of the noise in an image."""

import numpy as np
from numpy.typing import NDArray

EVERY = 3  # row of voxels is looked at, along both other axes


def finest_sd(data: NDArray, axis: int, where: NDArray[np.bool_] | None = None) -> float:
    """Return the standard deviation of white noise with these second differences, robust to edges."""
    rows = _rows(data, axis)
    difference = np.abs(rows[1:-1] - 0.5 * (rows[:-2] + rows[2:]))
    difference = difference.ravel() if where is None else difference[_rows(where, axis)[1:-1]]
    return float(np.quantile(difference, 0.35) / 0.4538 / np.sqrt(1.5)) if difference.size else 0.0


def neighbours_of(data: NDArray, where: NDArray[np.bool_], axis: int) -> tuple[NDArray, NDArray]:
    """Return values, and those of the next voxels along an axis, where both are wanted."""
    rows, wanted = _rows(data, axis), _rows(where, axis)
    both = wanted[:-1] & wanted[1:]
    return rows[:-1][both], rows[1:][both]


def sigma_of(values: NDArray, neighbours: NDArray) -> float:
    """Return the Gaussian (voxels) that makes noise as alike as neighbours are."""
    if values.size < 500:
        return 0.4
    limit = np.quantile(np.abs(values), 0.98)  # without ghosts and vessels
    fine = (np.abs(values) <= limit) & (np.abs(neighbours) <= limit)
    spreads = values[fine].std(), neighbours[fine].std()
    alike = np.corrcoef(values[fine], neighbours[fine])[0, 1] if min(spreads) > 0 else 0.0
    sigma = 1 / (2 * np.sqrt(-np.log(np.clip(alike, 0.01, 0.45))))
    return float(sigma) if sigma >= 0.3 else 0.0


def _rows(data: NDArray, axis: int) -> NDArray:
    return np.moveaxis(data, axis, 0)[:, ::EVERY, ::EVERY]
