"""Kill runs at random moments, look at what they leave, and let later runs complete it.

``python -m benchmarks.kills [--kills 100] [--layout bids] [--bids-dir DIR] [--seed 0]``
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image as Picture
from scipy.spatial.transform import Rotation

from benchmarks.heads import ROOT
from bidsdeface.imaging.image import read_image
from bidsdeface.output.names import DERIVATIVES, LAYOUTS
from bidsdeface.templates.source import EMBEDDED_ROOT

HEADS = 6
AVERAGE = EMBEDDED_ROOT / "tpl-WholeHead" / "tpl-WholeHead_res-02_T1w.nii.gz"


def main() -> None:
    """Kill, look and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--bids-dir", type=Path, help="a dataset (default: six made of the built-in head)")
    parser.add_argument("--layout", choices=LAYOUTS, default=DERIVATIVES, help="of the outputs")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        bids_dir = arguments.bids_dir or _make_dataset(Path(folder, "bids"), HEADS, arguments.seed)
        chance = random.Random(arguments.seed)
        counts = kill_runs(bids_dir, Path(folder), arguments.kills, chance, arguments.layout)
    print("\n| | |\n|---|--:|")
    for what, count in counts.items():
        print(f"| {what} | {count} |")
    sys.exit(any(count for what, count in counts.items() if what in FAULTS))


FAULTS = (
    "torn files under a final name",
    "published scans without their evidence",
    "files outside of output and private folders",
    "private folders that the next run did not sweep",
    "runs that failed",
    "completed outputs that differ from the undisturbed one",
)


class Faults:
    """Count faults, and print each as it happens."""

    def __init__(self) -> None:
        self.counts = Counter[str]()

    def add(self, fault: str, where: Path | str) -> None:
        """Count a fault of `FAULTS`, and say where it is."""
        self.counts[fault] += 1
        print(f"\nFAULT {fault}: {where}", file=sys.stderr, flush=True)


def kill_runs(
    bids_dir: Path, folder: Path, kills: int, chance: random.Random, layout: str = DERIVATIVES
) -> dict[str, int | str]:
    """Kill that many runs, count what is wrong afterwards, and print it as it happens.

    Parameters
    ----------
    bids_dir : pathlib.Path
    folder : pathlib.Path
        Empty but for the dataset; outputs, HOME and TMPDIR of the runs go there.
    kills : int
    chance : random.Random
    layout : str, optional
        One of `bidsdeface.settings.LAYOUTS`.

    Returns
    -------
    dict of str to int or str
    """
    output_dir = folder / "undisturbed"
    start = time.monotonic()
    if _run(bids_dir, output_dir, folder, layout).wait():
        sys.exit("the undisturbed run failed")
    length_s = time.monotonic() - start
    expected, faults, done = _files(output_dir), Faults(), Counter[str]()
    output_dir = folder / "out-0"
    while done["kills"] < kills:
        before = _private_folders(output_dir, folder)
        run = _run(bids_dir, output_dir, folder, layout)
        try:
            code = run.wait(chance.uniform(0, length_s))
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            done["kills"] += 1
            done["while a worker wrote or ANTs ran"] += any(_private_folders(output_dir, folder))
            _check(output_dir, folder, layout, faults)
            print(f"\r{done['kills']} of {kills} kills", end="", file=sys.stderr)
        else:
            _check_completed(code, output_dir, folder, expected, before, faults)
            # The machine may be faster than it was: as many outputs are completed as it takes.
            done["outputs completed and compared"] += 1
            output_dir = folder / f"out-{done['outputs completed and compared']}"
    code = _run(bids_dir, output_dir, folder, layout).wait()
    left = _private_folders(output_dir, folder)
    _check_completed(code, output_dir, folder, expected, left, faults)
    done["outputs completed and compared"] += 1
    return {
        "length of an undisturbed run, s": f"{length_s:.1f}",
        **done,
        **{fault: faults.counts[fault] for fault in FAULTS},
    }


def _run(bids_dir: Path, output_dir: Path, folder: Path, layout: str) -> subprocess.Popen:
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    command = [sys.executable, "-m", "bidsdeface", bids_dir, output_dir, "participant", "--n-procs", "2"]
    return subprocess.Popen(
        [*command, "--output-layout", layout, "--skip-bids-validation"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )


def _check_completed(
    code: int,
    output_dir: Path,
    folder: Path,
    expected: dict[str, bytes],
    before: set[Path],
    faults: Faults,
) -> None:
    """Look at what a run has completed; `before` are the private folders that it had to sweep."""
    if code:
        faults.add("runs that failed", f"{output_dir}, exit code {code}")
    for path in sorted(before & _private_folders(output_dir, folder)):
        faults.add("private folders that the next run did not sweep", path)
    found = _files(output_dir)
    if found != expected:
        names = found.keys() | expected.keys()
        differ = sorted(name for name in names if found.get(name) != expected.get(name))
        faults.add("completed outputs that differ from the undisturbed one", f"{output_dir}: {differ}")


def _check(output_dir: Path, folder: Path, layout: str, faults: Faults) -> None:
    """Look at what a run has left that was killed."""
    for path in output_dir.rglob("*") if output_dir.exists() else ():
        if path.is_file() and ".bidsdeface-" not in str(path.relative_to(output_dir)):
            try:
                _parse(path)
            except Exception as error:  # whatever a torn file makes its reader say
                faults.add("torn files under a final name", f"{path}: {error}")
    for sidecar in output_dir.glob("sub-*/**/anat/*.json"):
        record = json.loads(sidecar.read_text()).get("Bidsdeface", {})
        if "_defacemask" in sidecar.name or not record:
            continue
        lacking = [path for path in _evidence(sidecar, output_dir, layout) if not path.is_file()]
        if lacking or not record.get("Verdict"):
            faults.add("published scans without their evidence", f"{sidecar}: {lacking or 'no verdict'}")
    for path in (path for name in ("home", "tmp") for path in (folder / name).iterdir()):
        if not path.name.startswith(".bidsdeface-"):
            faults.add("files outside of output and private folders", path)


def _evidence(sidecar: Path, output_dir: Path, layout: str) -> tuple[Path, ...]:
    """Return the files of the defaced image that a sidecar belongs to."""
    if layout == DERIVATIVES:
        mask = sidecar.stem.replace("_desc-defaced_", "_mod-") + "_desc-face_defacemask"
        subject = sidecar.relative_to(output_dir).parts[0]
        more = [output_dir / subject / "figures" / f"{sidecar.stem}.png"]
    else:
        before, _, suffix = sidecar.stem.rpartition("_")
        mask, more = f"{before}_mod-{suffix}_defacemask", []
    masks = (sidecar.with_name(f"{mask}{extension}") for extension in (".nii.gz", ".json"))
    return (sidecar.with_suffix(".nii.gz"), *masks, *more)


def _parse(path: Path) -> None:
    if path.name.endswith(".nii.gz"):
        read_image(path)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".png":
        with Picture.open(path) as picture:
            picture.load()
    elif not path.read_text().endswith("\n"):
        raise ValueError("ends in the middle of a line")


def _private_folders(output_dir: Path, folder: Path) -> set[Path]:
    return {path for place in (output_dir, folder / "tmp") for path in place.glob(".bidsdeface-*")}


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _make_dataset(bids_dir: Path, heads: int, seed: int) -> Path:
    """Write heads that lie differently: the built-in average, turned, shifted and with noise."""
    random_numbers = np.random.default_rng(seed)
    average = nib.load(AVERAGE)
    voxels = np.asanyarray(average.dataobj)
    for number in range(1, heads + 1):
        turn = Rotation.from_euler("xyz", random_numbers.uniform(-12, 12, 3), degrees=True).as_matrix()
        move = nib.affines.from_matvec(turn, random_numbers.uniform(-20, 20, 3))
        noise = random_numbers.normal(0, 0.01 * voxels.max(), voxels.shape)
        noisy = (voxels + noise).clip(0, voxels.max()).astype(voxels.dtype)
        path = bids_dir / f"sub-{number:02d}/anat/sub-{number:02d}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(noisy, move @ average.affine), path)
    description = {"Name": "kills", "BIDSVersion": "1.11.1", "DatasetType": "raw"}
    (bids_dir / "dataset_description.json").write_text(json.dumps(description))
    return bids_dir


if __name__ == "__main__":
    main()
