"""Share every dataset of bids-examples that has anatomical images: ``python -m benchmarks.examples FOLDER``.

FOLDER is a copy of github.com/bids-standard/bids-examples. Its empty images get content: a real head where a
head belongs (anatomy, magnitudes, PET, ASL), numbers in the shape of that head for phase, and noise for
echo-planar images. Of each dataset two participants are shared as a complete dataset; printed is how the run
ended, what the validator finds in the output that it does not find in the input, which texts differ, and how
many voxels of the face are in any image of the output.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.heads import find_heads
from bidsdeface.companions.select import is_root_text
from bidsdeface.dataset.names import parse_name
from bidsdeface.dataset.validator import find_new_errors
from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.volume import reduce_image

SMALL = 2000  # bytes; images of bids-examples have none, or a header
PEOPLE = 2
EDGE = 2  # voxels; the masks of two images of one head differ by less at their border
MANY = 4  # volumes; longer series get a coarser head
PHASE = ("phase", "phasediff", "phase1", "phase2", "fieldmap")
TISSUE = 0.05  # of the brightest voxel


def main() -> None:
    """Print a table, a line for each dataset as it ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="datasets (default: all with anatomical images)")
    arguments = parser.parse_args()
    folder = arguments.folder
    names = arguments.names or sorted(path.name for path in folder.iterdir() if any(_anatomy(path)))
    print("| dataset | exit | new errors | texts that differ | heads | voxels of faces | first failure |")
    print("|---|--:|---|---|--:|--:|---|")
    head = _head()
    with tempfile.TemporaryDirectory(prefix="bidsdeface-examples-") as scratch:
        for name in names:
            print(f"| {name} | {' | '.join(_share(folder / name, Path(scratch, name), head))} |", flush=True)
            shutil.rmtree(Path(scratch, name))


def _share(source: Path, place: Path, head: nib.Nifti1Image) -> Iterator[str]:
    """Share some participants of a dataset; yield the cells of its line."""
    raw, output = place / "bids", place / "out"
    shutil.copytree(source, raw, symlinks=True)
    _keep_some(raw)
    for path in sorted(raw.glob("sub-*/**/*.nii*")):
        if path.is_file() and not path.is_symlink() and _has_nothing(path):
            _fill(path, head)
    options = [
        "--output-layout",
        "bids",
        "--skip-bids-validation",
        "--n-procs",
        "1",
        "-w",
        str(place / "work"),
    ]
    command = [sys.executable, "-m", "bidsdeface", str(raw), str(output), "participant", *options]
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    yield str(run.returncode)
    yield "; ".join(
        f"{one.code} {one.part} {one.file}" for one in find_new_errors(output, raw, is_derivative=False)
    )
    texts = [
        path
        for path in raw.iterdir()
        if is_root_text(path.relative_to(raw)) and (output / path.name).exists()
    ]
    yield ", ".join(path.name for path in texts if path.read_bytes() != (output / path.name).read_bytes())
    heads, left = _faces(output, head)
    yield str(heads)
    yield str(left)
    yield next(
        (line[:160] for line in run.stderr.splitlines() if line.startswith(("ERROR", "Traceback"))), ""
    )


def _anatomy(dataset: Path) -> Iterator[Path]:
    yield from dataset.glob("sub-*/**/anat/*.nii*")


def _keep_some(raw: Path) -> None:
    """Remove all but the first participants with anatomical images, and empty rooms."""
    folders = sorted(path for path in raw.glob("sub-*") if path.is_dir())
    kept = [path for path in folders if any(path.glob("**/anat/*.nii*"))][:PEOPLE]
    kept += [path for path in folders if "empty" in path.name]
    for path in folders:
        if path not in kept:
            shutil.rmtree(path)
    table = raw / "participants.tsv"
    if table.is_file():
        labels = {path.name.encode() for path in kept}
        header, *rows = table.read_bytes().splitlines(keepends=True)
        rows = [row for row in rows if row.split(b"\t")[0].strip() in labels]
        table.write_bytes(b"".join((header, *rows)))


def _has_nothing(path: Path) -> bool:
    if path.stat().st_size < SMALL:
        return True
    try:
        data = np.asarray(nib.load(path).dataobj)
    except (OSError, ValueError, nib.filebasedimages.ImageFileError):
        return True
    return not np.isfinite(data).any() or data.min() == data.max()


def _head() -> nib.Nifti1Image:
    """Return a real head, small."""
    heads = find_heads()
    path = heads.get("S04", heads["S01"])
    volume = reduce_image(read_image(path), str(path))
    return nib.Nifti1Image((1000 * volume.data / volume.data.max()).astype(np.int16), volume.affine)


def _fill(path: Path, head: nib.Nifti1Image) -> None:
    """Write content into an image, by its name."""
    name = parse_name(path)
    data = np.asarray(head.dataobj)
    random = np.random.default_rng(0)
    if name is None:
        image = _noise(1)
    elif name.suffix in PHASE or name.entities.get("part") == "phase":
        image = nib.Nifti1Image(
            (random.integers(1, 4095, data.shape) * _tissue(data)).astype(np.int16), head.affine
        )
    elif name.datatype in ("anat", "pet", "perf") or (name.datatype == "fmap" and name.suffix != "epi"):
        image = _series(head, _volumes(path, name.suffix))
    else:
        image = _noise(_volumes(path, name.suffix))
    content = image.to_bytes()
    path.write_bytes(gzip.compress(content, 1, mtime=0) if path.suffix == ".gz" else content)


def _volumes(path: Path, suffix: str) -> int:
    """Return the number of volumes that the sidecar, context or b values of an image imply."""
    stem = path.name.partition(".")[0]
    context, sidecar = (
        path.with_name(f"{stem.rpartition('_')[0]}_aslcontext.tsv"),
        path.with_name(f"{stem}.json"),
    )
    if suffix == "asl" and context.is_file():
        return max(1, len(context.read_text().split()) - 1)
    if suffix == "pet" and sidecar.is_file():
        return len(json.loads(sidecar.read_bytes()).get("FrameTimesStart", (0, 1)))
    if suffix == "dwi":
        places = [
            path.with_name(f"{stem}.bval"),
            *(one for up in path.parents[1:4] for one in up.glob("*dwi.bval")),
        ]
        return next((len(one.read_text().split()) for one in places if one.is_file()), 4) or 1
    return 4 if suffix in ("bold", "cbv", "asl", "pet") else 1


def _series(head: nib.Nifti1Image, volumes: int) -> nib.Nifti1Image:
    step = 2 if volumes > MANY else 1
    data = np.asarray(head.dataobj)[::step, ::step, ::step]
    affine = head.affine @ np.diag([step, step, step, 1.0])
    image = nib.Nifti1Image(data if volumes == 1 else np.repeat(data[..., None], volumes, 3), affine)
    image.header.set_xyzt_units("mm", "sec")
    return image


def _noise(volumes: int) -> nib.Nifti1Image:
    shape = (16, 16, 10) if volumes == 1 else (16, 16, 10, volumes)
    data = np.random.default_rng(0).integers(0, 50, shape).astype(np.int16)
    data[4:12, 4:12, 2:8] += 500
    image = nib.Nifti1Image(data, np.diag([12.0, 12.0, 12.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    if volumes > 1:
        image.header.set_zooms((12.0, 12.0, 12.0, 2.0))
    return image


def _tissue(data: NDArray) -> NDArray[np.bool_]:
    return data > TISSUE * data.max()


def _faces(output: Path, head: nib.Nifti1Image) -> tuple[int, int]:
    """Return in how many images of the output the head is, and how many voxels of its face they have.

    Where the face is, the mask of the first of them says, but for its border.
    """
    data = np.asarray(head.dataobj)
    masks = (
        np.asarray(nib.load(path).dataobj).squeeze() for path in output.glob("sub-*/**/*_defacemask.nii*")
    )
    mask = next((one for one in masks if one.shape == data.shape and 0 < one.mean() < 0.5), None)
    if mask is None:
        return 0, 0
    face = ndimage.binary_erosion(mask > 0, iterations=EDGE) & _tissue(data)
    heads = left = 0
    for path in output.glob("sub-*/**/*.nii*"):
        image = nib.load(path)
        step = next((k for k in (1, 2) if image.shape[:3] == data[::k, ::k, ::k].shape), None)
        if step and "_defacemask." not in path.name:
            volumes = np.asarray(image.dataobj).reshape(*image.shape[:3], -1)
            heads += 1
            left += int((volumes[face[::step, ::step, ::step]] != 0).any(axis=-1).sum())
    return heads, left


if __name__ == "__main__":
    main()
