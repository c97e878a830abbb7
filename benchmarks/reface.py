"""Measure the average face in real heads: `python -m benchmarks.reface [NAME ...]`.

The first table has a row for each scan.

- Seam: the mean step of intensity across the edge of the mask, in tissue, over that between two voxels
  outside.
- Tissue: the Wasserstein distance of the intensities of the face that is put there from the person's, in
  standard deviations of the person's.
- Air: the standard deviation of air in the mask, over that of the air around it (further away, noise and
  ghosts differ).
- Brain: the volume that the program's own network finds, against that in the original.
- Changed: how many voxels outside the mask are not the original's.
- Shift: how far the placement (not the guard) moves the mask on average if another person's tissue is put in
  it before the head is placed.
- CPU and memory: more than `remove` takes, of the replacement alone; seconds count on a quiet machine only.

The second table has the mean distance between surfaces of the face, laid on the template: of a refaced face
from its original and from other people's, and of originals.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import wasserstein_distance

from benchmarks.heads import PEOPLE_BESIDE, find_heads
from bidsdeface.errors import BidsdefaceError
from bidsdeface.head.fit import fit, make_template_set
from bidsdeface.head.registered import RegisteredScan, TemplateSet
from bidsdeface.imaging.average import AverageFace, lay_average
from bidsdeface.imaging.brain import find_brain
from bidsdeface.imaging.facemask import face_mask, region_distance
from bidsdeface.imaging.image import Image, read_image
from bidsdeface.imaging.methods import remove, stored_as
from bidsdeface.imaging.reface import reface
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate, reduce_image
from bidsdeface.reidentify.render import image_surface
from bidsdeface.templates.source import average_face

NO_FACE = ("D", "O", "M")  # how names of scans begin that show no face, or no head
COLUMNS = (
    "seam, original",
    "seam, `remove`",
    "seam, `reface`",
    "tissue, SD",
    "air, SD ratio",
    "brain, `remove`, %",
    "brain, `reface`, %",
    "changed outside",
    "shift, mm",
    "CPU, s",
    "memory, MB",
)
AIR_MM = 6.0  # from the average's skin
EMPTIED = 0.95  # of the air has one value: a scanner or a program has set it
INSIDE_MM = 5.0  # so deep in the region of the face are surfaces compared,
NEAR_SKIN_MM = 25.0  # and so near to the average's skin
EDGE_MM = 6.0  # of the field of view, where a cut is no surface of a face
SURFACE_POINTS = 2000


@dataclass(frozen=True)
class Head:
    """A scan, where it lies, its face mask, and the same with the average face."""

    name: str
    image: Image
    volume: Volume
    registered: RegisteredScan
    mask: NDArray[np.bool_]
    refaced: Image

    @property
    def person(self) -> str:
        """The name without the contrast."""
        return self.name.partition("_")[0]

    @property
    def contrast(self) -> str:
        """What follows the person in the name; T1w where nothing does."""
        return self.name.rpartition("_")[2] if "_" in self.name else "T1w"

    @property
    def to_head(self) -> NDArray[np.float64]:
        """Scan world to WholeHead world."""
        return self.registered.head.to_head

    def levels(self, image: Image) -> NDArray[np.float32]:
        """Return the first volume of an image on the grid of this scan."""
        return image.scaled(image.volumes[..., 0])


@dataclass(frozen=True)
class Face:
    """Places on the surface of a face in WholeHead world, mm, shape (N, 3), and the scan that shows it."""

    head: Head
    points: NDArray[np.float64]


def scans() -> dict[str, Path]:
    """Return the scans in reach that show a face, by name."""
    heads = {name: path for name, path in find_heads(all_scans=True).items() if not name.startswith(NO_FACE)}
    people = {
        path.name.removesuffix(".nii.gz")[4:]: path for path in PEOPLE_BESIDE.rglob("sub-*/anat/*.nii.gz")
    }
    derived = {
        name for name, path in people.items() if "derivatives" in path.parts or name.startswith(NO_FACE)
    }
    return heads | {name: people[name] for name in sorted(people.keys() - derived)}


def load(name: str, path: Path, templates: TemplateSet, average: AverageFace) -> Head:
    """Read, place and reface a scan."""
    image = read_image(path)
    volume = reduce_image(image, name)
    return reface_head(name, image, volume, fit(name, volume, None, templates, accepted=False), average)


def reface_head(
    name: str, image: Image, volume: Volume, registered: RegisteredScan, average: AverageFace
) -> Head:
    """Reface a scan that is placed."""
    mask = face_mask(image.stored.shape[:3], image.affine, registered.to_template, registered.regions)
    stored = reface(image, mask, registered.head.to_head, average, (0,))
    return Head(name, image, volume, registered, mask, replace(image, stored=stored))


def measure(head: Head, others: list[Head], templates: TemplateSet, average: AverageFace) -> Iterator[str]:
    """Yield the cells of a scan's row."""
    before, after = head.levels(head.image), head.levels(head.refaced)
    removed = replace(head.image, stored=remove(head.image, head.mask))
    dark, bright = np.percentile(before[np.isfinite(before)], [1, 99.5])
    threshold = dark + head.volume.tissue_threshold * (bright - dark)
    for values in (before, head.levels(removed), after):
        yield f"{seam(values, head.mask, before > threshold):.2f}"
    persons, put = before[head.mask & (before > threshold)], after[head.mask & (after > threshold)]
    yield f"{wasserstein_distance(put[::7], persons[::7]) / persons.std():.2f}"
    yield f"{air_ratio(head, after, threshold, average):.2f}"
    whole = brain_ml(head, head.image)
    for image in (removed, head.refaced):
        yield f"{100 * (brain_ml(head, image) / whole - 1):+.2f}"
    yield str(int((head.image.stored != head.refaced.stored)[~head.mask].sum()))
    donor = donor_of(head, others)
    yield f"{shift_mm(head, donor, templates):.3f}" if donor else "–"
    costs = [cost(method) for method in _methods(head, average)]
    yield from (f"{here - there:.{digits}f}" for here, there, digits in zip(*costs, (1, 0), strict=True))


def seam(values: NDArray, mask: NDArray[np.bool_], tissue: NDArray[np.bool_]) -> float:
    """Return the mean step across the edge of a mask over that one voxel further out."""
    across, beside = [], []
    for axis in range(3):
        for flip in (1, -1):
            way = tuple(slice(None, None, flip if k == axis else 1) for k in range(3))
            data, inside, solid = (np.moveaxis(array[way], axis, 0) for array in (values, mask, tissue))
            edge = inside[:-2] & ~inside[1:-1] & ~inside[2:] & solid[1:-1] & solid[2:]
            across.append(np.abs(data[:-2] - data[1:-1])[edge])
            beside.append(np.abs(data[1:-1] - data[2:])[edge])
    return float(np.concatenate(across).mean() / np.concatenate(beside).mean())


def air_ratio(head: Head, after: NDArray, threshold: float, average: AverageFace) -> float:
    """Return the standard deviation of air in the mask over that of the air around it.

    NaN without air, and where it was emptied: what is left of it is no air.
    """
    box = lay_average(head.mask, head.image.affine, head.to_head, average).box
    shape = [part.stop - part.start for part in box]
    steps = (slice(None, None, 3 if n > 60 else 1) for n in shape)
    sample = tuple(np.arange(part.start, part.stop)[step] for part, step in zip(box, steps, strict=True))
    places = np.moveaxis(np.stack(np.meshgrid(*sample, indexing="ij")), 0, -1)
    skin_mm = average.skin_mm.at(apply_affine(head.to_head @ head.image.affine, places), None)
    values, inside = after[np.ix_(*sample)], head.mask[np.ix_(*sample)]
    air = (skin_mm > AIR_MM) & (values < threshold)
    put, around = values[air & inside], values[air & ~inside]
    if not put.size or not around.size or np.mean(around == np.median(around)) > EMPTIED:
        return np.nan
    return float(put.std() / around.std())


def brain_ml(head: Head, image: Image) -> float:
    """Return the volume of the brain that the program's network finds where the head lies."""
    templates = head.registered.templates
    surface = templates.head_template.brain_surface
    brain = find_brain(reduce_image(image, head.name), head.to_head, surface, templates.weights)
    return brain.ml if brain else np.nan


def donor_of(head: Head, others: list[Head]) -> Head | None:
    """Return the last scan of another person, of the same contrast if there is one."""
    rivals = [other for other in others if other.person != head.person]
    alike = [other for other in rivals if other.contrast == head.contrast]
    return next(reversed(alike or rivals), None)


def with_face_of(donor: Head, head: Head) -> Image:
    """Return a scan with another person's tissue in the mask, carried by both placements, as bright."""
    theirs, own = donor.levels(donor.image), head.levels(head.image)
    there = np.linalg.inv(donor.to_head) @ head.to_head @ head.image.affine
    values = interpolate(theirs, donor.image.affine, apply_affine(there, np.argwhere(head.mask)), None)
    (dark, bright), (black, white) = (np.percentile(np.nan_to_num(x), [1, 99.5]) for x in (theirs, own))
    values = black + (values - dark) * (white - black) / (bright - dark)
    stored = head.image.stored.copy(order="K")
    stored[head.mask] = stored_as(values, head.image).reshape(-1, *(1,) * (stored.ndim - 3))
    return replace(head.image, stored=stored)


def shift_mm(head: Head, donor: Head, templates: TemplateSet) -> float:
    """Return the mean displacement of the mask when the scan shows another person's face."""
    image = with_face_of(donor, head)
    moved = fit(head.name, reduce_image(image, head.name), None, templates, accepted=True).head.to_head
    places = apply_affine(head.image.affine, np.argwhere(head.mask)[::7])
    off = apply_affine(np.linalg.inv(moved) @ head.to_head, places) - places
    return float(np.linalg.norm(off, axis=1).mean())


def _methods(head: Head, average: AverageFace) -> tuple[Callable[[], NDArray], Callable[[], NDArray]]:
    where = head.image, head.mask
    return partial(reface, *where, head.to_head, average, (0,)), partial(remove, *where)


def cost(method: Callable[[], NDArray]) -> tuple[float, float]:
    """Return the CPU seconds of a method, and the most memory that it holds, in MB."""
    start = time.process_time()
    method()
    seconds = time.process_time() - start
    tracemalloc.start()
    method()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 1e6


def face_of(image: Image, head: Head, average: AverageFace) -> Face:
    """Return the surface of the face in an image of a head, before or after."""
    surface = image_surface(image, head.name)
    solid = surface.solid >= 0.5
    ends = [np.argwhere(np.diff(solid, axis=axis)) + 0.5 * np.eye(3)[axis] for axis in range(3)]
    points = apply_affine(head.to_head @ surface.affine, np.concatenate(ends))
    region = head.registered.templates.head_template.regions_mm["face"]
    in_face = region_distance((region,), np.eye(4), points) < -INSIDE_MM
    points = points[in_face & (np.abs(average.skin_mm.at(points, None)) < NEAR_SKIN_MM)]
    points = points[in_view(points, head)]
    return Face(head, points[:: max(len(points) // SURFACE_POINTS, 1)])


def in_view(points: NDArray, head: Head) -> NDArray[np.bool_]:
    """Return which places in WholeHead world a scan shows, and not at the end of its field of view."""
    steps = EDGE_MM * np.concatenate([np.eye(3), -np.eye(3)])
    to_scan = np.linalg.inv(head.to_head)
    return np.all([head.volume.sees(apply_affine(to_scan, points + step)) for step in steps], axis=0)


def apart_mm(one: Face, other: Face) -> float:
    """Return the mean distance between two surfaces where both scans show the face, both ways."""
    pairs = ((one, other), (other, one))
    distances = [
        cKDTree(there.points).query(here.points[in_view(here.points, there.head)])[0] for here, there in pairs
    ]
    return float(np.concatenate(distances).mean())


def print_surfaces(faces: list[tuple[Face, Face]]) -> None:
    """Print how far faces lie apart, each before and after."""
    columns = "refaced from its original", "from other people's refaced (farthest)", "originals of two people"
    print(f"\n| scan | {' | '.join(f'{column}, mm' for column in columns)} |")
    print("|---|--:|--:|--:|")
    for original, refaced in faces:
        others = [pair for pair in faces if pair[0].head.person != original.head.person]
        put, real = (
            [apart_mm(mine, pair[k]) for pair in others] for k, mine in ((1, refaced), (0, original))
        )
        print(
            f"| {original.head.name} | {apart_mm(refaced, original):.2f} "
            f"| {np.mean(put):.2f} ({max(put, default=np.nan):.2f}) | {np.mean(real):.2f} |",
            flush=True,
        )


def main() -> None:
    """Print both tables."""
    templates, average, wanted = make_template_set("WholeHead", ("face",), 3.0), average_face(), sys.argv[1:]
    print(f"| scan | {' | '.join(COLUMNS)} |\n|---|{'--:|' * len(COLUMNS)}")
    heads: list[Head] = []
    faces: list[tuple[Face, Face]] = []
    for name, path in scans().items():
        if wanted and name not in wanted:
            continue
        try:
            head = load(name, path, templates, average)
        except BidsdefaceError as error:
            print(f"| {name} | {error} |{' |' * (len(COLUMNS) - 1)}", flush=True)
            continue
        print(f"| {name} | {' | '.join(measure(head, heads, templates, average))} |", flush=True)
        faces.append((face_of(head.image, head, average), face_of(head.refaced, head, average)))
        heads.append(head)
    print_surfaces(faces)


if __name__ == "__main__":
    main()
