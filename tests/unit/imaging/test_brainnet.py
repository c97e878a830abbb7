"""The network in numpy: each layer does what its definition says, and all of it what torch makes of it."""

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, signal

from bidsdeface.imaging import brainnet
from bidsdeface.imaging.brainnet import SIZE, WEIGHTS, brain_log_odds, load_weights
from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.volume import reduce_image
from tests.heads import find_head

WEIGHTS_SHA256 = "912c85f766de99346d9233a4bb668709c4bc44ec867c947935cacfc5f93f93f2"


@pytest.fixture(scope="module")
def weights():
    return load_weights()


def cube(path):
    """Return a head on the network's grid: the middle of its field of view at 2 mm."""
    data = reduce_image(read_image(path), str(path)).data
    out = np.zeros((SIZE,) * 3, np.float32)
    shape = np.minimum(data.shape, SIZE)
    there = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(data.shape, shape, strict=True))
    here = tuple(slice((SIZE - m) // 2, (SIZE - m) // 2 + m) for m in shape)
    out[here] = data[there]
    return out


def test_the_weights_are_those_that_the_script_takes_out_of_the_package():
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == WEIGHTS_SHA256
    assert "MIT License" in WEIGHTS.with_name("deepbet-LICENSE.txt").read_text()
    with np.load(WEIGHTS) as stored:
        assert {stored[name].dtype for name in stored.files} == {np.dtype(np.float16)}
        assert sum(stored[name].size for name in stored.files) == 2_126_258


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_is_that_of_scipy(size, stride):
    random = np.random.default_rng(size)
    x = random.normal(size=(3, 12, 8, 16)).astype(np.float32)
    kernel = random.normal(size=(5, 3, size, size, size)).astype(np.float32)
    found = brainnet._convolve(x, kernel, stride)
    for one, of_one in zip(found, kernel, strict=True):
        expected = sum(ndimage.correlate(a, k, mode="constant") for a, k in zip(x, of_one, strict=True))
        assert np.allclose(one, expected[::stride, ::stride, ::stride], atol=1e-3)


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, 1), (2, 2)])
def test_a_transposed_convolution_spreads_each_voxel_over_a_finer_grid(size, stride):
    random = np.random.default_rng(size)
    x = random.normal(size=(2, 4, 5, 6)).astype(np.float32)
    kernel = random.normal(size=(2, 3, size, size, size)).astype(np.float32)
    found = brainnet._upsample(x, kernel, stride)
    spaced = np.zeros((2, *(n * stride for n in x.shape[1:])))
    spaced[:, ::stride, ::stride, ::stride] = x
    pad = (size - 1) // 2
    for k, one in enumerate(found):
        full = sum(signal.convolve(a, kernel[c, k], mode="full") for c, a in enumerate(spaced))
        x0, y0, z0 = (slice(pad, pad + n) for n in one.shape)
        assert np.allclose(one, full[x0, y0, z0], atol=1e-4)


def test_pooling_takes_the_largest_of_three_along_each_axis():
    x = np.random.default_rng(0).normal(size=(2, 8, 6, 10)).astype(np.float32)
    expected = ndimage.maximum_filter(x, (1, 3, 3, 3), mode="constant", cval=-np.inf)[:, ::2, ::2, ::2]
    assert np.array_equal(brainnet._pool(x), expected)


def test_it_sees_the_brain_of_the_average_head_and_none_in_noise(weights):
    found = brain_log_odds(cube(find_head("average")), weights) > 0
    assert 1200 < found.sum() * 8 / 1000 < 2000
    noise = np.random.default_rng(0).random((SIZE,) * 3, np.float32)
    assert (brain_log_odds(noise, weights) > 0).mean() < 0.25


def test_neither_unit_nor_offset_of_intensities_matters(weights):
    x = cube(find_head("average"))
    one, other = (brain_log_odds(values, weights) > 0 for values in (x, 37 * x - 12))
    assert (one != other).mean() < 1e-5


def test_bits_do_not_depend_on_threads():
    code = (
        "import hashlib, numpy as np; from bidsdeface.imaging.brainnet import *;"
        "x = np.random.default_rng(0).random((128,) * 3, np.float32);"
        "print(hashlib.sha256(brain_log_odds(x, load_weights()).tobytes()).hexdigest())"
    )
    said = set()
    for threads in ("1", "2", "1"):
        environ = {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(Path.cwd())}
        command = [sys.executable, "-c", code]
        said.add(subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout)
    assert len(said) == 1


@pytest.mark.heads
@pytest.mark.parametrize("name", ["average", "S01", "S04", "P12", "P13"])
def test_the_mask_is_that_of_torch_to_the_voxel(weights, name):
    torch = pytest.importorskip("torch", reason="torch and deepbet come with the bench extra")
    deepbet = pytest.importorskip("deepbet")
    wheel_data = Path(deepbet.__file__).parents[1] / "data/models/bbox_model.pt"
    model = torch.jit.load(io.BytesIO(wheel_data.read_bytes())).eval()
    x = cube(find_head(name))
    with torch.no_grad():
        there = model(torch.from_numpy(brainnet._normalised(x))[None, None])[0, 1].numpy() > 0.5
    assert zipfile.is_zipfile(wheel_data)
    assert np.array_equal(brain_log_odds(x, weights) > 0, there)
