"""What the tests share: one way to make a head, one way to make a dataset, the real scans."""

import json
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared():
    if not SHARED.is_dir():
        pytest.skip(f"needs the real scans in {SHARED.parent.name}/{SHARED.name}, not there")
    return SHARED


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


def make_dataset(
    root: Path,
    scans: Iterable[str] = ("sub-01/anat/sub-01_T1w.nii.gz",),
    image: nib.Nifti1Image | None = None,
    metadata: dict | None = None,
    description: dict | None = None,
) -> Path:
    """Write a small valid raw BIDS dataset below `root` and return its root.

    `scans` are paths relative to the dataset; each gets `image` (a fake head by default) and a
    sidecar with `metadata`. `description` adds to dataset_description.json.
    """
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
    for scan in scans:
        path = bids_dir / scan
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(image or fake_head(), path)
        sidecar = path.with_name(path.name.partition(".")[0] + ".json")
        sidecar.write_text(json.dumps(metadata or {"EchoTime": 0.003, "FlipAngle": 9}))
    return bids_dir
