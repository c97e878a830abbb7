"""Measure how well the average face fits into real heads: `python -m benchmarks.reface [NAME ...]`.

Two figures for each scan, for `reface` and `remove`. Seam: the mean step of intensity across the edge of the
mask, in tissue, over that between two voxels outside. Tissue: the Wasserstein distance of the intensities
of the face that is put there from the person's, in standard deviations of the person's.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from benchmarks.heads import PEOPLE_BESIDE, find_heads
from bidsdeface.errors import BidsdefaceError
from bidsdeface.head.fit import fit, make_template_set
from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.image import Image, read_image
from bidsdeface.imaging.methods import remove
from bidsdeface.imaging.reface import reface
from bidsdeface.imaging.volume import reduce_image, tissue_threshold
from bidsdeface.templates.source import average_face

NO_FACE = ("D", "O", "M")  # how names of scans begin that show no face, or no head


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


def measure(image: Image, stored: NDArray, mask: NDArray[np.bool_], threshold: float) -> tuple[float, float]:
    """Return seam and tissue of a defaced image; `threshold` parts air from tissue."""
    before, after = (image.scaled(array).reshape(*mask.shape, -1)[..., 0] for array in (image.stored, stored))
    persons, put = before[mask & (before > threshold)], after[mask & (after > threshold)]
    distance = wasserstein_distance(put[::7], persons[::7]) / persons.std() if put.size else np.nan
    return seam(after, mask, before > threshold), float(distance)


def main() -> None:
    """Print a row for each scan."""
    templates, average, wanted = make_template_set("WholeHead", ("face",), 3.0), average_face(), sys.argv[1:]
    print("| scan | seam, original | seam, remove | seam, reface | tissue, SD |\n|---|--:|--:|--:|--:|")
    for name, path in scans().items():
        if wanted and name not in wanted:
            continue
        try:
            image = read_image(path)
            volume = reduce_image(image, name)
            registered = fit(name, volume, None, templates, accepted=False)
        except BidsdefaceError as error:
            print(f"| {name} | {error} | | | |")
            continue
        mask = face_mask(image.stored.shape[:3], image.affine, registered.to_template, registered.regions)
        levels = image.scaled(image.stored)
        dark, bright = np.percentile(levels[np.isfinite(levels)], [1, 99.5])
        threshold = float(dark + tissue_threshold(volume) * (bright - dark))
        refaced = reface(image, mask, registered.head.to_head, average, (0,))
        rows = [
            measure(image, stored, mask, threshold) for stored in (image.stored, remove(image, mask), refaced)
        ]
        print(f"| {name} |", " | ".join(f"{row[0]:.2f}" for row in rows), f"| {rows[2][1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
