"""A small neural network that sees the brain in a head scan: an array in, an array out.

It is the coarse network of deepbet 1.0.2 (Fisch et al., Comput Biol Med 2024; MIT licence), a LinkNet
(Chaurasia and Culurciello, VCIP 2017) of 2.1 million weights, which `scripts/build_brain_weights.py` takes
out of the package on PyPI. It is run here by numpy alone: for the same mask to the voxel, torch would be
750 MB to install, and onnxruntime 78 MB (docs/method.md).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

WEIGHTS = Path(__file__).parent / "data" / "deepbet.npz"
SIZE = 128  # voxels along each axis of what the network looks at
LEVELS = 4
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
    x = _pool(_relu(_norm(_convolve(_normalised(intensities)[None], weights["init.0.weight"], 2))))
    skips = []
    for level in range(LEVELS):
        skips.append(x)
        x = _block(x, weights, f"down{level}.block1", 1 + (level > 0))
        x = _block(x, weights, f"down{level}.block2", 1)
    for level in range(LEVELS):
        x = _up(x, weights, f"up{level}", 1 + (level < LEVELS - 1))
        x += skips.pop()
    # Biases before a normalisation have no effect, and are left out.
    x = _relu(_norm(_upsample(x, weights["tp_conv1.0.weight"], 2)))
    x = _relu(_norm(_convolve(x, weights["conv.0.weight"])))
    classes, bias = weights["tp_conv2.weight"], weights["tp_conv2.bias"]  # other tissue, brain
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

    Parameters
    ----------
    x : numpy.ndarray, shape (C, X, Y, Z)
    kernel : numpy.ndarray, shape (O, C, K, K, K)
    stride : int

    Returns
    -------
    numpy.ndarray, shape (O, X / stride, Y / stride, Z / stride)
    """
    outputs, _, size = kernel.shape[:3]
    half = size // 2
    padded = np.pad(x, [(0, 0), (0, 0), (half, half), (half, half)])
    around = sliding_window_view(padded, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]  # type: ignore[call-overload]
    slices = kernel.transpose(2, 0, 1, 3, 4).reshape(size, outputs, -1)
    out = np.zeros((outputs, x.shape[1] // stride, *around.shape[2:4]), np.float32)
    for plane in range(x.shape[1]):  # its windows are copied once for all planes that it is a part of
        reached = [divmod(plane + half - k, stride) for k in range(size)]
        to = {
            k: there for k, (there, rest) in enumerate(reached) if not rest and there in range(out.shape[1])
        }
        windows = around[:, plane].transpose(0, 3, 4, 1, 2).reshape(slices.shape[2], -1)
        parts = slices[list(to)].reshape(-1, slices.shape[2]) @ windows
        for there, part in zip(to.values(), parts.reshape(-1, outputs, *out.shape[2:]), strict=True):
            out[:, there] += part
    return out


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
    nx, ny, nz = (n * stride for n in x.shape[1:])
    wide = np.zeros((outputs, nx + 2 * pad, ny + 2 * pad, nz + 2 * pad), np.float32)
    for plane in range(x.shape[1]):
        spread = matrix @ x[:, plane].reshape(channels, -1)
        spread = spread.reshape(outputs, size, size, size, *x.shape[2:])
        for i, j, k in np.ndindex(size, size, size):
            wide[:, plane * stride + i, j : j + ny : stride, k : k + nz : stride] += spread[:, i, j, k]
    inner = slice(pad, -pad or None)
    return np.ascontiguousarray(wide[:, inner, inner, inner])
