"""The real heads that benchmarks run on: one from PyPI, always; more where a folder of them is named.

Only the standard library is imported here: Linux counts the memory of a parent as a child's own until
the child grows past it, so the process that starts the measured ones stays small.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PEOPLE_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "people"
ROOT = Path(__file__).resolve().parents[1]
FOLDER_VARIABLE = "BIDSDEFACE_HEADS"  # holds S03.nii.gz and so on
FOLDER_BESIDE = ROOT.parent / "shared" / "heads"
DEMO_SCAN = ROOT / "demo/bids/sub-01/ses-baseline/anat/sub-01_ses-baseline_T1w.nii.gz"
# Where a scan may be found, apart from S01; the second name is the one beside the repository.
MORE_SCANS = {
    "S03": ("S03.nii.gz",),
    "S04": ("S04.nii.gz", "S04_pumi_T1w_2mm.nii.gz"),
    "S06a": ("S06a.nii.gz", "S06a_uih_T1w_hires.nii.gz"),
    "S09": ("S09.nii.gz", "S09_niimathT1head_T1w_1p6mm.nii.gz"),
    "P19": ("P19.nii.gz",),
}
# Other contrasts, and what is no head or shows no face.
OTHER_SCANS = {
    "P12": ("P12.nii.gz", "P12_niimath_T2w_partialface.nii.gz"),
    "P13": ("P13.nii.gz", "P13_synthsr_FLAIR3D_partialface.nii.gz"),
    "P15": ("P15.nii.gz", "P15_seg3d_T1w_partialface.nii.gz"),
    "D06": ("D06.nii.gz", "D06_ds002748_sub-01_T1w_skullstripped.nii.gz"),
    "D08T1": ("D08T1.nii.gz", "D08_stroke_T1_skullstripped.nii.gz"),
    "D08T2": ("D08T2.nii.gz", "D08_stroke_T2_skullstripped.nii.gz"),
    "D08FLAIR": ("D08FLAIR.nii.gz", "D08_stroke_FLAIR_skullstripped.nii.gz"),
    "O02": ("O02.nii.gz", "O02_phantom_cylinder_T1w.nii.gz"),
    "O03": ("O03.nii.gz", "O03_fruit_T1w_mri_reface_tag.nii.gz"),
    "O05": ("O05.nii", "O05_animal_T1w_TSE.nii"),
    "O06a": ("O06a.nii.gz", "O06_sct_cspine_T1w.nii.gz"),
    "O06b": ("O06b.nii.gz", "O06_sct_cspine_T2w.nii.gz"),
    "O07": ("O07.nii.gz", "O07_CT_pitch_skullphantom_oblique.nii.gz"),
    "O12": ("O12.nii.gz", "O12_dwi.nii.gz"),
    "O13": ("O13.nii.gz", "O13_fmri.nii.gz"),
}


def find_heads(environ: Mapping[str, str] = os.environ, all_scans: bool = False) -> dict[str, Path]:
    """Return the heads in reach by name; S01 is fetched from PyPI where it is not there yet.

    T1w of heads alone, unless all scans are asked for.
    """
    if not DEMO_SCAN.exists():
        subprocess.run([sys.executable, ROOT / "scripts/make_demo.py", ROOT / "demo"], check=True)
    folders = [Path(environ[FOLDER_VARIABLE])] if environ.get(FOLDER_VARIABLE) else []
    heads = {"S01": DEMO_SCAN}
    for name, files in (MORE_SCANS | OTHER_SCANS if all_scans else MORE_SCANS).items():
        places = [folder / file for folder in (*folders, FOLDER_BESIDE) for file in files]
        if found := [place for place in places if place.exists()]:
            heads[name] = found[0]
    return heads


def find_people() -> dict[str, Path]:
    """Return the scans of the real people in reach, by name, such as ``N13 T1w``."""
    scans = sorted(PEOPLE_BESIDE.glob("sub-*/anat/*.nii.gz"))
    return {scan.name[4:].removesuffix(".nii.gz").replace("_", " "): scan for scan in scans}


def make_dataset(bids_dir: Path, heads: Mapping[str, Path]) -> dict[str, Path]:
    """Write a raw BIDS dataset of the heads, and return its scans by name."""
    description = {"Name": "benchmark", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    bids_dir.mkdir()
    (bids_dir / "dataset_description.json").write_text(json.dumps(description))
    (bids_dir / "README.md").write_text("Real heads with their faces, for a benchmark: never share.\n")
    scans = {name: bids_dir / f"sub-{name}/anat/sub-{name}_T1w.nii.gz" for name in heads}
    for name, scan in scans.items():
        scan.parent.mkdir(parents=True)
        shutil.copyfile(heads[name], scan)
        scan.with_name(f"sub-{name}_T1w.json").write_text('{"EchoTime": 0.003}\n')
    return scans


def niimath() -> str:
    """Return the program inside the PyPI package; the command of that name is a Python script around it."""
    beside = Path(sys.executable).parent
    command = shutil.which("niimath", path=beside) or shutil.which("niimath")
    if command is None:
        sys.exit("niimath: not found; pip install niimath")
    inside = Path(command).parents[1].glob("lib/python*/site-packages/niimath/bin/niimath")
    return str(next(inside, command))
