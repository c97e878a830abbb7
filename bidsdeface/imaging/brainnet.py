"""A small neural network that sees the brain in a head scan: an array in, an array out.

It is the coarse network of deepbet 1.0.2 (Fisch et al., Comput Biol Med 2024; MIT licence), a LinkNet
(Chaurasia and Culurciello, VCIP 2017) of 2.1 million weights, which `scripts/build_brain_weights.py` takes
out of the package on PyPI. It is run here by numpy alone: for the same mask to the voxel, torch would be
750 MB to install, and onnxruntime 78 MB (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WEIGHTS = Path(__file__).parent / "data" / "deepbet.npz"
SIZE = 128  # voxels along each axis of what the network looks at
LEVELS = 4
SLAB_BYTES = 8 * 2**20  # of shifted copies at a time: more only costs memory
# Intensities as the network was trained on them.
DARK_BRIGHT_QUANTILES = (0.005, 0.995)
MEAN, DEVIATION = 0.449, 0.226

Array = NDArray[np.float32]
Weights = Mapping[str, Array]


def load_weights(path: Path = WEIGHTS) -> dict[str, Array]:
    """Return the network's weights by name, from half to single precision: 9 MB."""
    with np.load(path) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def brain_log_odds(intensities: Array, weights: Weights) -> Array:
    """Return the log odds of brain for each voxel.

    Parameters
    ----------
    intensities : numpy.ndarray, shape (128, 128, 128), float32
        Of a head, in any unit; axes nearest to R, A, S, about 1.4 to 2 mm apart. Air where nothing was seen.
    weights : mapping of str to numpy.ndarray
        From `load_weights`.

    Returns
    -------
    numpy.ndarray, shape (128, 128, 128), float32
        Above 0 where there is brain.
    """
    at = weights.__getitem__
    x = _pool(_relu(_norm(_convolve(_normalised(intensities)[None], at("init.0.weight"), 2))))
    skips = []
    for level in range(LEVELS):
        skips.append(x)
        x = _block(x, weights, f"down{level}.block1", 1 + (level > 0))
        x = _block(x, weights, f"down{level}.block2", 1)
    for level in range(LEVELS):
        x = _up(x, weights, f"up{level}", 1 + (level < LEVELS - 1))
        x += skips.pop()
    # Biases before a normalisation have no effect, and are left out.
    x = _relu(_norm(_upsample(x, at("tp_conv1.0.weight"), 2)))
    x = _relu(_norm(_convolve(x, at("conv.0.weight"))))
    classes, bias = at("tp_conv2.weight"), at("tp_conv2.bias")  # other tissue, brain
    return _upsample(x, classes[:, 1:] - classes[:, :1], 2)[0] + (bias[1] - bias[0])


def _normalised(x: Array) -> Array:
    dark, bright = np.quantile(x, DARK_BRIGHT_QUANTILES).astype(np.float32)
    x = np.clip((x - dark) / max(bright - dark, np.float32(1e-9)), 0, 1)
    return (DEVIATION * ((x - x.mean()) / max(x.std(), np.float32(1e-9))) + MEAN).astype(np.float32)


def _block(x: Array, weights: Weights, name: str, stride: int) -> Array:
    y = _relu(_norm(_convolve(x, weights[f"{name}.double_conv.0.weight"], stride)))
    y = _norm(_convolve(y, weights[f"{name}.double_conv.3.weight"]))
    if stride > 1:
        x = _norm(_convolve(x, weights[f"{name}.downsample.0.weight"], stride))
    y += x
    return _relu(y)


def _up(x: Array, weights: Weights, name: str, stride: int) -> Array:
    x = _relu(_norm(_convolve(x, weights[f"{name}.conv1.0.weight"])))
    x = _relu(_norm(_upsample(x, weights[f"{name}.tp_conv.0.weight"], stride)))
    return _relu(_norm(_convolve(x, weights[f"{name}.conv2.0.weight"])))


def _norm(x: Array) -> Array:
    """Bring each channel to mean 0 and deviation 1, in place."""
    flat = x.reshape(len(x), -1)
    flat -= flat.mean(axis=1, dtype=np.float64).astype(np.float32)[:, None]
    variance = np.einsum("ij,ij->i", flat, flat, dtype=np.float64, optimize=False) / flat.shape[1]
    flat *= (1 / np.sqrt(variance + 1e-5)).astype(np.float32)[:, None]
    return x


def _relu(x: Array) -> Array:
    return np.maximum(x, 0, out=x)


def _pool(x: Array) -> Array:
    """Return the maximum over 3 x 3 x 3 voxels around every other voxel."""
    for axis in (1, 2, 3):
        x = np.moveaxis(x, axis, 0)
        largest = np.maximum(x[::2], x[1::2])
        np.maximum(largest[1:], x[1:-1:2], out=largest[1:])
        x = np.moveaxis(largest, 0, axis)
    return np.ascontiguousarray(x)


def _convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Return a convolution around every `stride`-th voxel, with zeros beyond the edges.

    Copies are shifted along two axes only: along the first, planes that follow each other are a matrix as
    they lie in memory.

    Parameters
    ----------
    x : numpy.ndarray, shape (C, X, Y, Z)
    kernel : numpy.ndarray, shape (O, C, K, K, K)
    stride : int

    Returns
    -------
    numpy.ndarray, shape (O, X / stride, Y / stride, Z / stride)
    """
    channels, size = kernel.shape[1:3]
    nx, ny, nz = (n // stride for n in x.shape[1:])
    pad = size // 2
    planes = np.pad(x.swapaxes(0, 1), ((pad, pad), (0, 0), (pad, pad), (pad, pad)))
    phases = [np.ascontiguousarray(planes[..., phase::stride]) for phase in range(min(stride, size))]
    matrix = np.ascontiguousarray(kernel.transpose(0, 2, 3, 4, 1)).reshape(len(kernel), -1)
    out = np.empty((len(kernel), nx, ny * nz), np.float32)
    plane_bytes = 4 * size**2 * channels * ny * nz
    thick = max(SLAB_BYTES // plane_bytes // stride, 1)
    for first in range(0, nx, thick):
        count = min(thick, nx - first)
        slab = slice(first * stride, (first + count - 1) * stride + size)
        shifted = np.empty((slab.stop - slab.start, size, size, channels, ny, nz), np.float32)
        for j in range(size):
            for k in range(size):
                phase, start = phases[k % stride], k // stride
                shifted[:, j, k] = phase[slab, :, j : j + (ny - 1) * stride + 1 : stride, start : start + nz]
        for k in range(count):
            run = shifted[k * stride : k * stride + size].reshape(matrix.shape[1], -1)
            np.matmul(matrix, run, out=out[:, first + k])
    return out.reshape(len(kernel), nx, ny, nz)


def _upsample(x: Array, kernel: Array, stride: int) -> Array:
    """Return a transposed convolution to a grid `stride` times as fine.

    Parameters
    ----------
    x : numpy.ndarray, shape (C, X, Y, Z)
    kernel : numpy.ndarray, shape (C, O, K, K, K)
        K is 3, or `stride`.
    stride : int

    Returns
    -------
    numpy.ndarray, shape (O, X * stride, Y * stride, Z * stride)
    """
    channels, outputs, size = kernel.shape[:3]
    pad = (size - 1) // 2
    matrix = np.ascontiguousarray(kernel.reshape(channels, -1).T)
    wide = np.zeros((outputs, *(n * stride + 2 * pad for n in x.shape[1:])), np.float32)
    thick = max(SLAB_BYTES // (4 * len(matrix) * x[0, 0].size), 1)
    for first in range(0, x.shape[1], thick):
        part = x[:, first : first + thick]
        spread = (matrix @ part.reshape(channels, -1)).reshape(outputs, size, size, size, *part.shape[1:])
        for i, j, k in np.ndindex(size, size, size):
            x0, x1 = first * stride + i, (first + part.shape[1]) * stride + i
            ends = (j + part.shape[2] * stride, k + part.shape[3] * stride)
            wide[:, x0:x1:stride, j : ends[0] : stride, k : ends[1] : stride] += spread[:, i, j, k]
    inner = slice(pad, -pad or None)
    return np.ascontiguousarray(wide[:, inner, inner, inner])
