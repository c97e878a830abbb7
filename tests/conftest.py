"""What the tests share: one way to make a head, one way to make a dataset. Real heads: see `heads`."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import settings

from bidsdeface.dataset.query import find_heads
from bidsdeface.head.fit import make_template_set
from bidsdeface.imaging.image import Image
from bidsdeface.output.description import write_dataset_files
from bidsdeface.output.names import outputs_of

settings.register_profile("shared machine", deadline=None)  # a slow moment is no fault
settings.load_profile("shared machine")

# What may change in a header: free text, fields that NIfTI-1 keeps for Analyze, where voxels begin,
# and numbers that say nothing about this image.
SCRUBBED = {"descrip", "aux_file", "db_name", "intent_name", "vox_offset"}
SCRUBBED |= {"data_type", "extents", "session_error", "regular", "glmax", "glmin"}
SCRUBBED |= {"cal_max", "cal_min", "toffset", "slice_duration", "slice_start", "slice_end", "bitpix"}


@pytest.fixture(scope="session")
def templates():
    """Return the template and what is made of it, made once: nothing changes it."""
    return make_template_set("WholeHead", ("face",))


@pytest.fixture(scope="session")
def average(templates):
    """Return the embedded template, the average of many heads."""
    return templates.head_template


@pytest.fixture(scope="session")
def expected(templates):
    return templates.face_regions(None)


def fake_head(shape=(32, 40, 36), zooms=(5.0, 5.0, 5.0), dtype=np.int16):
    """Return a NIfTI image of a smooth bright ellipsoid in the middle of dark air."""
    axes = np.meshgrid(*(np.linspace(-1.3, 1.3, size) for size in shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    values = (1000 / (1 + np.exp(20 * (radius - 1)))).astype(dtype)
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = -np.array(zooms) * (np.array(shape) - 1) / 2
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    return image


def as_image(stored, affine=None, slope=np.nan, inter=np.nan):
    """Return stored values as an `Image`, as if read from a file with this scaling."""
    affine = np.eye(4) if affine is None else affine
    header = nib.Nifti1Image(stored, affine, dtype=stored.dtype).header
    header["scl_slope"], header["scl_inter"] = slope, inter
    return Image(header, affine, stored)


def make_dataset(
    root: Path,
    scans: Iterable[str] | Mapping[str, nib.Nifti1Image | Path] = ("sub-01/anat/sub-01_T1w.nii.gz",),
    image: nib.Nifti1Image | None = None,
    metadata: dict | None = None,
    description: dict | None = None,
) -> Path:
    """Write a small valid raw BIDS dataset below `root` and return its root.

    `scans` are paths relative to the dataset; each gets `image` (a fake head by default), or the image or
    copy of a file that a mapping has for it, and a sidecar with `metadata`. `description` adds to
    dataset_description.json.
    """
    images = scans if isinstance(scans, Mapping) else dict.fromkeys(scans, image or fake_head())
    bids_dir = root / "bids"
    participants = sorted({Path(scan).parts[0] for scan in scans})
    texts = {
        "dataset_description.json": json.dumps(
            {"Name": "fake", "BIDSVersion": "1.11.1", "DatasetType": "raw", **(description or {})}
        ),
        "README": "A fake dataset for tests.\n",
        "participants.tsv": "\n".join(["participant_id", *participants, ""]),
    }
    bids_dir.mkdir(parents=True)
    for name, text in texts.items():
        (bids_dir / name).write_text(text)
    for scan, content in images.items():
        path = bids_dir / scan
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            nib.save(content, path)
        sidecar = path.with_name(path.name.partition(".")[0] + ".json")
        sidecar.write_text(json.dumps(metadata or {"EchoTime": 0.003, "FlipAngle": 9}))
    return bids_dir


def write_results(bids_dir, output_dir, sidecar):
    """Write what a finished run of every scan leaves, as far as a next run looks at it."""
    output_dir.mkdir()
    write_dataset_files(output_dir, bids_dir)
    for head in find_heads(bids_dir).heads:
        for scan in head.scans:
            for name in outputs_of(scan).files:
                (output_dir / name).parent.mkdir(parents=True, exist_ok=True)
                (output_dir / name).write_text(json.dumps(sidecar))


def save(dataset: Path, repository: Path | None = None) -> None:
    """Do to a dataset what ``datalad save`` does: each file becomes a read-only link into the annex.

    `repository` is the folder with the annex, the dataset itself by default.
    """
    repository = repository or dataset
    for name, text in (
        (".git/HEAD", "ref: refs/heads/master\n"),
        (".datalad/config", "[datalad]\n\tid = 0\n"),
    ):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    for path in sorted(dataset.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(dataset).parts)
        if not is_hidden and path.is_file() and not path.is_symlink():
            digest = hashlib.md5(path.read_bytes()).hexdigest()
            key = f"MD5E-s{path.stat().st_size}--{digest}{''.join(path.suffixes[-2:])}"
            content = repository / ".git/annex/objects" / key / key
            content.parent.mkdir(parents=True, exist_ok=True)
            path.replace(content)
            content.chmod(0o444)
            path.symlink_to(os.path.relpath(content, path.parent))
