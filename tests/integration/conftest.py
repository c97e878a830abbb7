"""Real heads through the real program, and the proof that its input stays as it was."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bidsdeface.head.fit import Rejected, fit
from bidsdeface.head.registered import RegisteredScan, TemplateSet
from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.image import Image
from bidsdeface.imaging.volume import Volume, reduce_image, world_aligned
from bidsdeface.quality.checks import failed_checks
from bidsdeface.quality.measures import MEASURE_SPACING_MM, measure_mask, measure_removed
from tests.heads import find_head


def snapshot(folder: Path) -> dict[str, tuple]:
    """List a folder: every path with kind, size, time of change and, for files, a hash."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        link = os.readlink(path) if path.is_symlink() else ""
        found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns, content, link)
    return found


@contextmanager
def read_only(folder: Path):
    """Make a dataset read-only, and check afterwards that it is as it was.

    Permissions do not bind root; contents, times and the listing of every folder tell as well.
    """
    before = snapshot(folder)
    paths = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    modes = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(modes[path] & ~0o222)
    try:
        yield
    finally:
        for path in paths:
            path.chmod(modes[path])
    assert snapshot(folder) == before, "the input was changed"


@dataclass(frozen=True)
class Run:
    """What a run of the command left behind: exit code, standard error, seconds."""

    code: int
    said: str
    seconds: float


def command(bids_dir: Path, output_dir: Path, *options: str, level: str = "participant") -> list[str]:
    return [sys.executable, "-m", "bidsdeface", str(bids_dir), str(output_dir), level, *options]


def bidsdeface(bids_dir: Path, output_dir: Path, *options: str, level: str = "participant", **environ) -> Run:
    """Run the command line on an input that it must not touch."""
    start = time.perf_counter()
    done = subprocess.run(
        command(bids_dir, output_dir, *options, level=level),
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        check=False,
    )
    return Run(done.returncode, done.stderr, time.perf_counter() - start)


def bidsdeface_read_only(bids_dir: Path, output_dir: Path, *options: str, **environ) -> Run:
    """Run the participant level on a read-only dataset and check that nothing in it changed."""
    with read_only(bids_dir):
        return bidsdeface(bids_dir, output_dir, *options, **environ)


def files(folder: Path, without: Sequence[str] = ()) -> dict[str, bytes]:
    """Return all files of a folder with their bytes."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.name not in without}


def published(output_dir: Path, name: str = "sub-") -> list[str]:
    """List files that belong to scans: those in folders of participants."""
    return [path for path in files(output_dir) if path.startswith(name) and "/" in path]


@pytest.fixture
def head():
    """Find a head by name, and check at the end that its file is as it was."""
    seen: dict[Path, tuple] = {}

    def get(name: str) -> Path:
        path = find_head(name)
        seen[path] = _state(path)
        return path

    yield get
    assert {path: _state(path) for path in seen} == seen


def _state(path: Path) -> tuple:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Masked:
    """A head with its mask, or with what speaks against it."""

    registered: RegisteredScan | None
    mask: np.ndarray | None
    faults: tuple[str, ...]


class Engine:
    """Registration and mask as the program has them, in this process, for many variants of a head.

    What registration is given is the reduced volume. Where that is the same to the last bit as before,
    the registration of before is taken.
    """

    def __init__(self, templates: TemplateSet):
        self._templates = templates
        self._known: dict[str, RegisteredScan | Rejected] = {}

    def mask(self, image: Image) -> Masked:
        volume = reduce_image(image, "the head")
        key = hashlib.sha256(volume.data.tobytes() + np.round(volume.affine, 4).tobytes()).hexdigest()
        if key not in self._known:
            self._known[key] = self._fit(volume)
        registered = self._known[key]
        if isinstance(registered, Rejected):
            return Masked(None, None, tuple(failed_checks(registered.measures).values()))
        mask = self.apply(image.stored.shape[:3], image.affine, registered)
        coarse = world_aligned(volume, MEASURE_SPACING_MM)
        measures = {
            **registered.measures,
            **measure_mask(mask, image.affine, registered.brain),
            "guard_to_skin_mm": registered.guard_to_skin_mm(image.affine),
            **measure_removed(coarse, image.stored, mask, image.affine, registered.head),
        }
        nothing = () if mask.any() else ("the face lies outside the field of view",)
        return Masked(registered, mask, (*nothing, *failed_checks(measures).values()))

    def _fit(self, volume: Volume) -> RegisteredScan | Rejected:
        try:
            return fit("the head", volume, None, self._templates, accepted=False)
        except Rejected as rejected:
            return rejected

    def apply(self, shape, affine, registered: RegisteredScan) -> np.ndarray:
        return face_mask(shape, affine, registered.to_template, registered.regions)


@pytest.fixture(scope="session")
def engine(templates):
    return Engine(templates)


def dice(one, other) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())
