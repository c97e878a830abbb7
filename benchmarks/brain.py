"""What defacing costs the brain: ``BIDSDEFACE_HEADS=FOLDER python -m benchmarks.brain [NAME ...]``.

The brain is the one that deepbet finds: a network of its own kind, which had no part in our masks on
these heads. niimath is given the same template and the same face mask, and carries it there by its own
registration; what it removed is what differs from the original.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.child import deface, keep
from benchmarks.heads import find_heads, make_dataset, niimath
from bidsdeface.imaging.image import read_image


def main() -> None:
    """Print a table: for each head, what each program took of the brain, and how near it came."""
    wanted = sys.argv[1:]
    heads = {name: path for name, path in find_heads().items() if not wanted or name in wanted}
    print("| head | brain mL | program | brain voxels changed | brain lost mL | mask to brain mm |")
    print("|---|--:|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="bidsdeface-bench-") as folder:
        for name, scan in make_dataset(Path(folder, "bids"), heads).items():
            image = read_image(scan)
            spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
            voxel_ml = float(spacing.prod()) / 1000
            brain = _brain(scan, Path(folder))
            for program, defaced, mask in _results(name, scan, Path(folder)):
                changed = image.stored != read_image(defaced).stored
                removed = changed if mask is None else changed | (read_image(mask).stored > 0)
                lost = int((brain & removed).sum())
                print(
                    f"| {name} | {brain.sum() * voxel_ml:.0f} | {program} | {lost} | {lost * voxel_ml:.2f} "
                    f"| {_distance(brain, removed, spacing):.1f} |",
                    flush=True,
                )


def _results(name: str, scan: Path, folder: Path) -> Iterator[tuple[str, Path, Path | None]]:
    """Yield each program's defaced image, and its mask where it writes one."""
    deface(str(folder / "bids"), str(folder / "out"), name)
    stem = folder / f"out/sub-{name}/anat/sub-{name}"
    mask = Path(f"{stem}_mod-T1w_desc-face_defacemask.nii.gz")
    yield "bidsdeface", Path(f"{stem}_desc-defaced_T1w.nii.gz"), mask
    template, target = keep(f"{folder}/keep.nii.gz"), folder / "niimath.nii.gz"
    options = ["-deface", template, f"{folder}/keep.nii.gz", str(target), "-odt", "input"]
    subprocess.run([niimath(), str(scan), *options], check=True, capture_output=True)
    yield "niimath", target, None


def _brain(scan: Path, folder: Path) -> NDArray[np.bool_]:
    from deepbet import run_bet

    target = folder / "brain.nii.gz"
    run_bet([str(scan)], None, [str(target)], None, threshold=0.5, n_dilate=0, no_gpu=True)
    return read_image(target).stored > 0


def _distance(brain: NDArray, removed: NDArray, spacing: NDArray) -> float:
    """Return the smallest distance between voxel centres, in mm; 0 where they overlap."""
    # Only around the brain: what is nearest lies there, or is 3 cm away and of no concern.
    margin = np.ceil(30 / spacing).astype(int)
    found = ndimage.find_objects(brain.astype(np.uint8))[0]
    box = tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in zip(found, margin, strict=True))
    away = ndimage.distance_transform_edt(~removed[box], sampling=spacing)
    return float(away[brain[box]].min())


if __name__ == "__main__":
    main()
