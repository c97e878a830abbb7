"""Slabs of heads whose place is known: ``BIDSDEFACE_HEADS=FOLDER python -m benchmarks.slabs [--half aside]``.

Each slab is cut from a T1w (or a FLAIR beside it) where sequences of its kind lie, with another contrast,
noise and an uneven coil, and goes through the program with the T1w as its reference: as it is, after the head
has moved, and under headers that lie. A published mask is right within `RIGHT_MM` of that of the T1w.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.heads import find_heads, find_people
from benchmarks.spoil import rigid
from bidsdeface.dataset.names import Head, Scan
from bidsdeface.errors import RegistrationError
from bidsdeface.head.fit import fit, make_template_set
from bidsdeface.head.mask import Loaded, mask_from_template
from bidsdeface.head.registered import RegisteredScan, TemplateSet
from bidsdeface.imaging.facemask import LATTICE_MM, FaceRegions, face_mask
from bidsdeface.imaging.image import Image, canonical, read_image
from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    in_blocks,
    nearest,
    reduce_image,
    voxel_ml,
)
from bidsdeface.quality.checks import Rejected, failed_checks
from bidsdeface.quality.measures import measure_defaced
from bidsdeface.runtime.workers import ONE_THREAD

RIGHT_MM = 6.0
DISPUTED_MM = 8.0  # as far beyond the guard, what one mask leaves alone is not held against it
HALVES = {
    "seen": ("S04", "S06a", "S03", "N15 T1w", "N17 T1w"),
    "aside": ("S01", "S09", "P19", "N18 T1w", "N22 T1w"),
}
HONEST = ("as it is", "moved by 5 mm and 5°")


@dataclass(frozen=True)
class Slab:
    """Where a sequence looks: middle and size in the template (mm), voxels (mm), turn, and its contrast."""

    name: str
    middle: tuple[float, float, float]
    size: tuple[float, float, float]
    voxel: tuple[float, float, float]
    turn_deg: tuple[float, float, float]
    contrast: str


SLABS = (
    Slab("hippocampal T2w", (0, -25, -10), (180, 68, 180), (0.8, 2, 0.8), (-25, 0, 0), "T2w"),
    Slab("angiography", (0, 0, -25), (180, 200, 60), (0.8, 0.8, 1), (0, 0, 0), "vessels"),
    Slab("neuromelanin", (0, 0, -32), (190, 210, 40), (0.8, 0.8, 2.5), (-8, 0, 0), "flat"),
    Slab("crown", (0, -5, 55), (190, 220, 60), (1, 1, 2), (0, 0, 0), "T2w"),
    Slab("occipital", (0, -65, 5), (190, 60, 140), (1, 2, 1), (20, 0, 0), "T2w"),
    Slab("inplane T1", (0, 0, 5), (200, 220, 120), (1, 1, 4), (-10, 0, 0), "T1w"),
    Slab("three slices", (0, 0, 0), (200, 220, 18), (1, 1, 6), (0, 0, 0), "T1w"),
)


def main() -> None:
    """Try all slabs of a half of the people, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=HALVES, default="seen")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("slabs.json"), help="all numbers")
    arguments = parser.parse_args()
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    with multiprocessing.get_context("spawn").Pool(arguments.jobs, maxtasksperchild=1) as pool:
        rows = [row for found in pool.imap(study, HALVES[arguments.half]) for row in found]
    arguments.json.write_text(json.dumps(rows))
    for lie in dict.fromkeys(row["lie"] for row in rows):
        ends = [row["end"] for row in rows if row["lie"] == lie]
        print(f"{lie:30s}", {end: ends.count(end) for end in sorted(set(ends))})


def study(name: str) -> list[dict[str, Any]]:
    """Mask the slabs of one person, and return one row per slab."""
    templates, scans = make_template_set("WholeHead", ("face",)), find_heads(all_scans=True) | find_people()
    image, flair = read_image(scans[name]), scans.get(name.replace("T1w", "FLAIR"))
    reference = fit(name, reduce_image(image, name), None, templates, accepted=False)
    rows = list(_rows(name, image, reference, reference, templates))
    if flair is not None and flair != scans[name]:
        image = read_image(flair)
        placed = fit("FLAIR", reduce_image(image, name), reference, templates, accepted=False)
        rows += _rows(f"{name} FLAIR", image, placed, reference, templates)
    return rows


def _rows(
    name: str, image: Image, placed: RegisteredScan, reference: RegisteredScan, templates: TemplateSet
) -> Iterator[dict[str, Any]]:
    is_flair = name.endswith("FLAIR")
    for number, slab in enumerate(SLABS):
        contrast = "T1w" if is_flair else slab.contrast  # a FLAIR has one of its own
        of_slab = cut(image, replace(slab, contrast=contrast), placed.to_template, templates)
        middle = apply_affine(of_slab.affine, (np.array(of_slab.stored.shape) - 1) / 2)
        honest, lying = list(lies(middle))[:2], list(lies(middle))[2:]
        chosen = honest[:1]
        if not is_flair:
            chosen += [honest[1], lying[(sum(name.encode()) + number * 4) % len(lying)]]
        for lie, motion in chosen:
            moved = replace(of_slab, affine=motion @ of_slab.affine)
            truth = placed.to_template @ np.linalg.inv(motion)
            row = judge(moved, truth, placed, motion, reference, templates)
            row = {"head": name, "slab": slab.name, "lie": lie, **row}
            print(json.dumps(row), flush=True)
            yield row


def lies(middle: NDArray) -> Iterator[tuple[str, NDArray]]:
    """Yield how a head moves, and what wrong headers do to a slab, as motions of the world, (4, 4)."""
    yield HONEST[0], np.eye(4)
    yield HONEST[1], rigid((3, -2, 4), (2, -3, 3), middle)
    for axis, name in enumerate(("left-right", "front-back", "up-down")):
        for mm in (-60, -20, 20):
            yield f"shifted by {mm} mm {name}", rigid((0, 0, 0), mm * np.eye(3)[axis], middle)
        for degrees in (25, 180):
            yield f"turned by {degrees}° about {name}", rigid(degrees * np.eye(3)[axis], (0, 0, 0), middle)
    for axis, name in ((0, "mirrored left-right"), (2, "flipped up-down")):
        flip = np.eye(4)
        flip[axis, axis], flip[axis, 3] = -1, 2 * middle[axis]
        yield name, flip


def cut(image: Image, slab: Slab, to_template: NDArray, templates: TemplateSet) -> Image:
    """Return a slab of a head: a contrast of its own, noise of 4 %, an uneven coil."""
    random = np.random.default_rng(sum(slab.name.encode()))
    u, _, v = np.linalg.svd(np.linalg.inv(to_template)[:3, :3])
    affine, shape = np.eye(4), tuple(np.round(np.array(slab.size) / slab.voxel).astype(int))
    affine[:3, :3] = u @ v @ rigid(slab.turn_deg, (0, 0, 0), np.zeros(3))[:3, :3] @ np.diag(slab.voxel)
    middle = apply_affine(np.linalg.inv(to_template), np.array(slab.middle, float))
    affine[:3, 3] = middle - affine[:3, :3] @ (np.array(shape) - 1) / 2
    values = image.scaled(image.stored.reshape(image.stored.shape[:3]))
    values = np.clip(values / np.percentile(values, 99.5), 0, 1.3)
    voxels = np.linalg.inv(image.affine) @ affine
    values = ndimage.affine_transform(values, voxels[:3, :3], voxels[:3, 3], shape, order=1)
    values = CONTRASTS[slab.contrast](values, random)
    coil = ndimage.zoom(random.uniform(0.6, 1.4, (3, 3, 3)), np.array(shape) / 3, order=3)
    noise = random.normal(0, 0.04, (2, *shape))
    values = np.hypot(values * np.clip(coil, 0.4, 1.6) + noise[0], noise[1])
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    return Image(header, affine, (1000 * values).astype(np.int16))


def _t2w(values: NDArray, random: np.random.Generator) -> NDArray:
    return np.where(values > 0.1, np.clip(1.15 - values, 0.05, None), values)


def _flat(values: NDArray, random: np.random.Generator) -> NDArray:
    return np.where(values > 0.1, 0.5 + 0.25 * values, values)


def _vessels(values: NDArray, random: np.random.Generator) -> NDArray:
    """Return nearly flat tissue with bright vessels."""
    flat = np.where(values > 0.1, 0.35 + 0.15 * values, values)
    x, y, z = values.shape
    for _ in range(12):
        start, slope = random.uniform(0.3, 0.7, 2) * (x, y), random.normal(0, 0.6, 2)
        for plane in range(z):
            i, j = np.round(start + slope * (plane - z / 2)).astype(int)
            if 2 < i < x - 3 and 2 < j < y - 3:
                flat[i - 2 : i + 3, j - 2 : j + 3, plane] = 1.2
    return flat


CONTRASTS: dict[str, Callable[[NDArray, np.random.Generator], NDArray]] = {
    "T1w": lambda values, random: values,
    "T2w": _t2w,
    "flat": _flat,
    "vessels": _vessels,
}


def judge(
    image: Image,
    truth: NDArray,
    placed: RegisteredScan,
    motion: NDArray,
    reference: RegisteredScan,
    templates: TemplateSet,
) -> dict[str, Any]:
    """Run the program on one slab, and compare its mask with the known one."""
    scan = Scan(Path("sub-01_T2w.nii.gz"), (("sub", "01"),), "T2w", ".nii.gz")
    head = Head("01", None, (scan,), scan)
    brain = placed.brain.moved(motion) if placed.brain else None
    start = time.process_time()
    measures: dict[str, float] = {}
    try:
        loaded = Loaded(scan, head, b"", image, reduce_image(image, "slab"))
        masked = mask_from_template(loaded, reference, templates, False)
        assert masked.registered
        measures = masked.measures
        hidden, _ = in_blocks(*canonical(masked.mask.astype(np.float32), image.affine))
        volume = reduce_image(replace(image, stored=np.where(masked.mask, 0, image.stored)), "slab")
        volume = Volume(volume.data, volume.affine, (hidden < 0.5).astype(np.float32))
        registered = masked.registered
        second, regions = registered.second_to_template, registered.regions
        measures = measures | measure_defaced(volume, registered.head, second, regions)
        if found := failed_checks(measures, whole=not masked.no_face):
            raise Rejected(found, measures)
        mask = masked.mask
        by = masked.no_face.value if masked.no_face else masked.registered.reference
    except RegistrationError as error:
        seconds = time.process_time() - start
        measures = error.measures if isinstance(error, Rejected) else measures
        return {"end": "held back", "by": str(error), "measures": measures, "cpu_s": seconds}
    seconds = time.process_time() - start
    known = templates.face_regions(brain)
    right = face_mask(image.stored.shape[:3], image.affine, truth, known)
    off_mm = mask_disagreement_mm(mask, image.affine, truth, known)
    lost_ml = 0.0
    if brain is not None:
        corner = np.linalg.inv(image.affine)
        inside = apply_affine(corner, brain.places)
        inside = brain.places[((inside >= 0) & (inside <= np.array(mask.shape) - 1)).all(axis=1)]
        lost_ml = float(nearest(mask, image.affine, inside).sum()) * voxel_ml(brain.inside.affine)
    return {
        "end": "right" if off_mm <= RIGHT_MM else "WRONG",
        "by": by,
        "off_mm": off_mm,
        "brain_lost_ml": lost_ml,
        "mask_ml": float(mask.sum()) * voxel_ml(image.affine),
        "right_ml": float(right.sum()) * voxel_ml(image.affine),
        "measures": measures,
        "cpu_s": seconds,
    }


def mask_disagreement_mm(
    mask: NDArray[np.bool_], affine: NDArray, second: NDArray, regions: FaceRegions
) -> float:
    """Return the depth of what only one has: a mask, or the face region of a second registration.

    Parameters
    ----------
    mask : numpy.ndarray, shape (X, Y, Z), bool
    affine : numpy.ndarray, shape (4, 4)
        Of the mask.
    second : numpy.ndarray, shape (4, 4)
        Scan world to template world, of the other registration.
    regions : FaceRegions
        With the scan's own brain.

    Returns
    -------
    float
        The larger of the two depths, mm; 0 if both are the same.
    """
    step = np.maximum(np.round(LATTICE_MM / voxel_sizes(affine)), 1).astype(int)
    sampled = mask[tuple(slice(None, None, s) for s in step)]
    points = apply_affine(
        affine, np.stack(np.meshgrid(*map(np.arange, sampled.shape), indexing="ij"), -1) * step
    )
    face = regions.distance(points, second)
    free = regions.guard_distance(points, second, affine) > DISPUTED_MM
    too_much = face.max(where=sampled, initial=0.0)
    too_little = -face.min(where=~sampled & free, initial=0.0)
    return float(max(too_much, too_little))


if __name__ == "__main__":
    main()
