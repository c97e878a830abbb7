"""Take the weights of deepbet's coarse network out of the PyPI wheel deepbet==1.0.2.

    pip download --no-deps deepbet==1.0.2
    python scripts/build_brain_weights.py deepbet-1.0.2-py3-none-any.whl

Writes ``deepbet.npz`` and its licence below ``bidsdeface/imaging/data``; running it again writes the same
bytes. The wheel holds the network as a TorchScript archive: a zip file with one pickle of modules and one
raw file per tensor. Both are read here directly, so that torch is not needed. Nothing of the archive is
executed: of its pickle, only names, shapes and tensors are taken.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

WHEEL_SHA256 = "1999e2ea00ec48f6233b95b96f3901a962d3f70431c63aeb985e8a49a198473c"
MODEL, ROOT = "data/models/bbox_model.pt", "bbox_model_github"
LICENCE = "deepbet-1.0.2.dist-info/LICENSE"
TARGET = Path(__file__).parents[1] / "bidsdeface" / "imaging" / "data"


class Module:
    """A module of the network: a dictionary of its parts."""

    parts: dict[str, Any]

    def __setstate__(self, parts: dict[str, Any]) -> None:
        """Take the parts from the pickle."""
        self.parts = parts


class Archive(pickle.Unpickler):
    """The modules and tensors of a TorchScript archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        super().__init__(io.BytesIO(archive.read(f"{ROOT}/data.pkl")))
        self.archive = archive

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in for each class; none of torch's own is loaded."""
        stand_ins = {"_rebuild_tensor_v2": self.tensor, "FloatStorage": np.dtype("<f4"), "OrderedDict": dict}
        return stand_ins.get(name, Module)

    def persistent_load(self, pid: Any) -> np.ndarray:
        """Return the numbers of one storage, in the order of the file."""
        _, dtype, key, *_ = pid
        return np.frombuffer(self.archive.read(f"{ROOT}/data/{key}"), dtype)

    @staticmethod
    def tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
        """Return a tensor, whose strides count numbers."""
        in_bytes = [storage.itemsize * stride for stride in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, in_bytes)


def tensors(module: Module, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield the weights and biases of a network, by their names in it."""
    for name, part in module.parts.items():
        if isinstance(part, Module):
            yield from tensors(part, f"{prefix}{name}.")
        elif isinstance(part, np.ndarray):
            yield prefix + name, part


def main() -> None:
    """Read the wheel and write the weights."""
    content = Path(sys.argv[1]).read_bytes()
    if hashlib.sha256(content).hexdigest() != WHEEL_SHA256:
        sys.exit(f"{sys.argv[1]}: is not deepbet 1.0.2 as on PyPI")
    wheel = zipfile.ZipFile(io.BytesIO(content))
    model = zipfile.ZipFile(io.BytesIO(wheel.read(MODEL)))
    weights: dict[str, Any] = {}
    for name, exact in tensors(Archive(model).load()):
        weights[name] = exact.astype("<f2")
        if not np.array_equal(weights[name], exact):
            sys.exit(f"{name}: is not exact as half floats")
    TARGET.mkdir(exist_ok=True)
    np.savez(TARGET / "deepbet.npz", **weights)
    (TARGET / "deepbet-LICENSE.txt").write_bytes(wheel.read(LICENCE).strip() + b"\n")
    print(f"{len(weights)} tensors, {sum(w.size for w in weights.values())} weights")


if __name__ == "__main__":
    main()
