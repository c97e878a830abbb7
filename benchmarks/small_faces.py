"""Synthetic children: ``BIDSDEFACE_HEADS=FOLDER python -m benchmarks.small_faces [NAME ...]``.

A child has a smaller face under a larger brain. Real heads are bent by a smooth flow that shrinks the face
about the ears, and keeps brain and cranium or enlarges them. The flow also carries what is known of the head:
its brain (by the network, and by DLMUSE where there is that), landmarks that were placed by eye, and the
face region. Measured at 2 mm: the verdict, how much of the known brain lies in the mask, how deep the
landmarks do, and how much of the known face does not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.calibrate import judge
from benchmarks.heads import PEOPLE_BESIDE, ROOT, find_heads, find_people
from bidsdeface.errors import RegistrationError
from bidsdeface.head.fit import fit, make_template_set
from bidsdeface.head.registered import RegisteredScan, TemplateSet
from bidsdeface.imaging.facemask import NO_VOXELS, face_mask
from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    interpolate,
    nearest,
    reduce_image,
    voxel_ml,
    voxel_places,
)
from bidsdeface.quality.checks import failed_checks

CHILDREN = ((1.0, 1.0), (0.85, 1.0), (0.7, 1.0), (0.85, 1.07), (0.7, 1.07))  # size of face, of cranium
CRANIUM_MM, FACE_MM = 3.0, 40.0  # from the brain: nearer it is all cranium, farther away all face
DEEP_MM = 4.0  # so deep in the face region two good registrations agree that it is face
STEPS = 24
LATTICE_MM = 4.0
NOT_FACE = ("occiput", "vertex")
LANDMARKS = ROOT / "tests" / "integration" / "landmarks.json"


@dataclass(frozen=True)
class Flow:
    """A smooth flow of space, by its velocity on a lattice.

    Attributes
    ----------
    velocity : numpy.ndarray, shape (X, Y, Z, 3)
        In mm for all of the time.
    affine : numpy.ndarray, shape (4, 4)
        Of the lattice.
    """

    velocity: NDArray
    affine: NDArray

    def carried(self, points: NDArray, way: int) -> NDArray:
        """Return where points, shape (..., 3), go to (1), or come from (-1)."""
        points = np.array(points, float)
        for _ in range(STEPS):
            voxels = np.moveaxis(apply_affine(np.linalg.inv(self.affine), points), -1, 0)
            step = [
                ndimage.map_coordinates(self.velocity[..., k], voxels, order=1, mode="nearest")
                for k in range(3)
            ]
            points = points + way * np.stack(step, -1) / STEPS
        return points


def growth(good: RegisteredScan, templates: TemplateSet, face: float, cranium: float) -> Flow:
    """Return the flow that makes a child of a head."""
    assert good.brain
    shape, affine = good.volume.data.shape, good.volume.affine
    step = np.maximum(np.round(LATTICE_MM / np.linalg.norm(affine[:3, :3], axis=0)), 1)
    affine = affine @ np.diag([*step, 1.0])
    places = voxel_places(tuple(np.ceil(np.array(shape) / step).astype(int) + 2), affine)
    regions = replace(templates.face_regions(good.brain), guard_mm=0.0)
    away = regions.guard_distance(places, good.to_template, NO_VOXELS)
    share = np.clip((away - CRANIUM_MM) / (FACE_MM - CRANIUM_MM), 0, 1)[..., None]
    share = share**2 * (3 - 2 * share)
    ears_mm = templates.template.regions_mm["ears"]
    ears = apply_affine(ears_mm.affine, np.argwhere(ears_mm.data < 0)).mean(axis=0)
    ears = apply_affine(np.linalg.inv(good.to_template), ears)
    brain = good.brain.places.mean(axis=0)
    velocity = share * np.log(face) * (places - ears) + (1 - share) * np.log(cranium) * (places - brain)
    return Flow(velocity, affine)


def child_of(scan: Volume, flow: Flow) -> tuple[Volume, NDArray]:
    """Return a scan of the child, and from where in the head each of its voxels comes."""
    places = voxel_places(scan.data.shape, scan.affine)
    lattice = voxel_places(flow.velocity.shape[:3], flow.affine)
    back = flow.carried(lattice, -1) - lattice
    origins = places + np.stack([interpolate(back[..., k], flow.affine, places, 0.0) for k in range(3)], -1)
    voxels = np.moveaxis(apply_affine(np.linalg.inv(scan.affine), origins), -1, 0)
    data = ndimage.map_coordinates(scan.data, voxels, order=1, mode="nearest")
    return Volume(data, scan.affine, np.ones_like(data)), origins


def known_brains(name: str, good: RegisteredScan) -> dict[str, Callable[[NDArray], NDArray]]:
    """Return, for each judge, a function that says which places of the head are brain."""
    assert good.brain
    inside = good.brain.inside
    brains = {"network": lambda places: interpolate(inside.data, inside.affine, places, 0.0) > 0.5}
    person = f"sub-{name.split()[0]}"
    labels = PEOPLE_BESIDE / f"derivatives/dlmuse/{person}/anat/{person}_desc-dlmuse_dseg.nii.gz"
    if labels.exists() and name.endswith("T1w"):
        image = read_image(labels)
        brains["DLMUSE"] = lambda places: nearest(image.stored, image.affine, places) > 0
    return brains


def study(name: str, scan: Volume, templates: TemplateSet) -> None:
    """Print a line for each child of a head."""
    templates = replace(templates, regions=("face",))
    good = fit(name, scan, None, templates, accepted=True)
    landmarks = {
        landmark: place
        for landmark, place in json.loads(LANDMARKS.read_text()).get(name, {}).items()
        if place is not None and landmark not in NOT_FACE
    }
    ml, spacing = voxel_ml(scan.affine), np.linalg.norm(scan.affine[:3, :3], axis=0)
    for face, cranium in CHILDREN:
        flow = growth(good, templates, face, cranium)
        child, origins = child_of(scan, flow)
        try:
            registered = fit(name, child, None, templates, accepted=True)
        except RegistrationError:
            print(f"| {name} | {face} | {cranium} | failed: no head found | | | | |", flush=True)
            continue
        found = judge(registered)
        found_faults = sorted({*found["faults"], *failed_checks(registered.measures)})
        placed = (registered.to_template, registered.regions)
        mask = face_mask(child.data.shape, child.affine, *placed)
        lost = {
            judge_name: f"{float((is_brain(origins) & mask).sum()) * ml:.3f}"
            for judge_name, is_brain in known_brains(name, good).items()
        }
        depth = ndimage.distance_transform_edt(mask, spacing) - ndimage.distance_transform_edt(~mask, spacing)
        places = flow.carried(np.reshape(list(landmarks.values()), (-1, 3)), 1)
        depths = dict(zip(landmarks, interpolate(depth, child.affine, places), strict=True))
        least = min(depths, key=lambda landmark: depths[landmark], default="")
        known = good.regions.distance(origins, good.to_template) < -DEEP_MM
        known &= good.regions.guard_distance(origins, good.to_template, NO_VOXELS) > DEEP_MM
        known &= child.data > child.tissue_threshold
        line = (
            "failed: " + ", ".join(found_faults) if found_faults else "passed",
            ", ".join(f"{volume} ({who})" for who, volume in lost.items()),
            f"{depths[least]:.0f} ({least})" if least else "",
            f"{float((known & ~mask).sum()) * ml:.0f} of {float(known.sum()) * ml:.0f}",
            f"{registered.measures.get('brain_shift_mm', np.nan):.1f}",
        )
        print("|", " | ".join((name, f"{face}", f"{cranium}", *line)), "|", flush=True)


def main() -> None:
    """Study the scans that are named, or all T1w in reach."""
    scans = {**find_heads(all_scans=True), **find_people()}
    t1w = [*find_heads(), *(name for name in find_people() if name.endswith(" T1w"))]
    templates = make_template_set("WholeHead", ("face", "ears"))
    print("| head | face | cranium | verdict | brain lost, mL | landmark, mm deep | left, mL | brain, mm |")
    print("|---|--:|--:|---|--:|--:|--:|--:|")
    for name in sys.argv[1:] or t1w:
        study(name, reduce_image(read_image(scans[name]), name), templates)


if __name__ == "__main__":
    main()
