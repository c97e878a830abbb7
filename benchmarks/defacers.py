"""Ways to deface that the re-identification benchmark compares, good and bad ones."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.child import keep
from benchmarks.heads import niimath
from bidsdeface.head.options import DEFAULT_GUARD_MM
from bidsdeface.imaging.brain import Brain
from bidsdeface.imaging.facemask import FaceRegions, face_mask
from bidsdeface.imaging.image import Image, read_image, write_image
from bidsdeface.imaging.methods import remove
from bidsdeface.imaging.reface import reface
from bidsdeface.reidentify.attack import ATTACKERS, Tools
from bidsdeface.reidentify.render import image_surface
from bidsdeface.templates.source import average_face

SHAVED_MM = 4.0
# In the template: before the ears; below the eyes and before the temporal lobes.
FLOOR_Y_MM = 20.0
BOX_Y_MM, BOX_Z_MM = 40.0, -35.0


@dataclass(frozen=True)
class Scanned:
    """A scan of a synthetic person, and where it lies in the template."""

    image: Image
    to_template: NDArray[np.float64]
    brain: Brain | None
    tools: Tools

    def in_template(self, axis: int) -> NDArray[np.float64]:
        """Return a coordinate of all voxels in the template, mm."""
        x, y, z = np.ogrid[tuple(slice(n) for n in self.image.stored.shape)]
        a, b, c, d = (self.to_template @ self.image.affine)[axis]
        return a * x + b * y + c * z + d

    def face(self) -> NDArray[np.bool_]:
        """Return this program's mask."""
        template = self.tools.template
        face_mm, brain_mm = template.regions_mm["face"], template.brain_mm
        regions = FaceRegions((face_mm,), brain_mm, DEFAULT_GUARD_MM, self.brain)
        return face_mask(self.image.stored.shape, self.image.affine, self.to_template, regions)


def by_bidsdeface(scanned: Scanned, folder: Path) -> tuple[NDArray, NDArray[np.bool_]]:
    mask = scanned.face()
    return remove(scanned.image, mask), mask


def by_refacing(scanned: Scanned, folder: Path) -> tuple[NDArray, NDArray[np.bool_]]:
    mask = scanned.face()
    return reface(scanned.image, mask, scanned.to_template, average_face(), (0,)), mask


def by_niimath(scanned: Scanned, folder: Path) -> tuple[NDArray, NDArray[np.bool_]]:
    image = scanned.image
    write_image(folder / "in.nii.gz", image.header, image.stored)
    template, target = keep(f"{folder}/keep.nii.gz"), folder / "out.nii.gz"
    command = [niimath(), f"{folder}/in.nii.gz", "-deface", template, f"{folder}/keep.nii.gz", str(target)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "-odt", "input"], check=True, capture_output=True, env=environ)
    defaced = read_image(target).stored
    return defaced, defaced != image.stored


def by_floor(scanned: Scanned, folder: Path) -> tuple[NDArray, NDArray[np.bool_]]:
    mask = scanned.in_template(1) > FLOOR_Y_MM
    return remove(scanned.image, mask), mask


def by_box(scanned: Scanned, folder: Path) -> tuple[NDArray, NDArray[np.bool_]]:
    mask = (scanned.in_template(1) > BOX_Y_MM) & (scanned.in_template(2) < BOX_Z_MM)
    return remove(scanned.image, mask), mask


def by_shaving(scanned: Scanned, folder: Path) -> tuple[NDArray, NDArray[np.bool_]]:
    image = scanned.image
    surface = image_surface(image, "the scan")
    # The image has its axes along R, A, S and no voxel below 1 mm, so both grids have the same voxels.
    offset = np.round((np.linalg.inv(image.affine) @ surface.affine)[:3, 3]).astype(int)
    steps = int(round(SHAVED_MM / np.linalg.norm(image.affine[:3, 0])))
    deep = np.zeros(image.stored.shape, bool)
    at = np.argwhere(ndimage.binary_erosion(surface.solid >= 0.5, iterations=steps)) + offset
    deep[tuple(at.T)] = True
    mask = scanned.face() & ~deep
    return remove(image, mask), mask


def by_blurring(scanned: Scanned, folder: Path, sigma_mm: float) -> tuple[NDArray, NDArray[np.bool_]]:
    image, mask = scanned.image, scanned.face()
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    return np.where(mask, ndimage.gaussian_filter(image.stored, sigma_mm / spacing), image.stored), mask


Method = Callable[[Scanned, Path], tuple[NDArray, NDArray[np.bool_]]]
# Each with the attackers that make sense: whatever publishes no mask has none to attack, and where a face
# is left, there is no hole to fill.
METHODS: dict[str, tuple[Method, tuple[str, ...]]] = {
    "bidsdeface": (by_bidsdeface, ATTACKERS),
    "bidsdeface reface": (by_refacing, ATTACKERS),
    "niimath": (by_niimath, ATTACKERS[:3]),
    "front cut off": (by_floor, ATTACKERS[:3]),
    "coarse box": (by_box, ATTACKERS[:3]),
    "skin shaved": (by_shaving, ATTACKERS[:2]),
    "blurred 6 mm": (functools.partial(by_blurring, sigma_mm=6.0), ATTACKERS[:2]),
    "blurred 10 mm": (functools.partial(by_blurring, sigma_mm=10.0), ATTACKERS[:2]),
}
