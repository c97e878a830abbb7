"""A complete dataset to share, by real runs: nothing tells who it is, and all the rest is there."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.dataset.validator import find_problems
from bidsdeface.imaging.image import read_image
from bidsdeface.leakcheck.find import find_leaks
from tests.fullset import full_dataset, image, packed
from tests.heads import find_head
from tests.integration.conftest import bidsdeface, bidsdeface_read_only, files, snapshot
from tests.integration.test_killed import start, wait_for
from tests.unit.companions.test_secrets import BINARY_SECRETS, PLANTED, SECRETS, all_bytes

pytestmark = pytest.mark.slow
T1W = "sub-{0}/ses-{1}/anat/sub-{0}_ses-{1}_T1w"
PASSED, WITHHELD = T1W.format("01", "a"), T1W.format("02", "a")
BIDS = ("--output-layout", "bids", "--skip-bids-validation", "--n-procs", "2", "--suffixes", "anat")
# Secrets of the header that the head brings along with its face.
HEADER = {
    "descrip": b"Qdescrip 14:31:07",
    "aux_file": b"Qauxfile",
    "db_name": b"Qdbname",
    "intent_name": b"Qintentname",
}


@dataclass(frozen=True)
class Whole:
    """The dataset, the work dir, the output of one run of all of it, and what that run said."""

    bids_dir: Path
    work_dir: Path
    output_dir: Path
    code: int
    said: str

    def options(self, *more):
        return (*BIDS, "-w", str(self.work_dir), *more)


def empty_image():
    return packed(nib.Nifti1Image(np.zeros((12, 14, 10), np.int16), np.diag([6.0, 6.0, 6.0, 1.0])).to_bytes())


def head_with_secrets():
    head = nib.load(find_head("average"))
    for field, value in HEADER.items():
        head.header[field] = value
    head.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Qextension, born 1941-02-04"))
    return packed(head.to_bytes() + b"Qtrailing bytes", "Qgzipname.nii", 1234567890, b"Qgzipcomment")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("complete")
    bids_dir = full_dataset(
        folder / "bids",
        {**PLANTED, f"{PASSED}.nii.gz": head_with_secrets(), f"{WITHHELD}.nii.gz": empty_image()},
    )
    for kind in ("T1w", "dwi", "epi"):  # in the second session; one T1w is withheld, not three
        for path in bids_dir.glob(f"sub-*/ses-b/*/*_{kind}.*"):
            path.unlink()
    output_dir, work_dir = folder / "out", folder / "work"
    run = bidsdeface_read_only(bids_dir, output_dir, *BIDS, "-w", str(work_dir))
    return Whole(bids_dir, work_dir, output_dir, run.code, run.said)


def test_the_run_names_the_scan_that_is_withheld_and_nothing_leaks(whole):
    failed = [line for line in whole.said.splitlines() if line.startswith("ERROR")]
    assert whole.code == 4, "texts that name somebody wait, which a person has to see before a failed scan"
    waits = {
        line.split()[2].rstrip(":") for line in whole.said.splitlines() if line.startswith("WARNING WAITS")
    }
    assert waits == {"README", "CHANGES", "LICENSE", "dataset_description.json"}
    account = next((whole.work_dir / "bidsdeface/complete").glob("*/left_out.tsv")).read_text()
    assert (
        "participants.tsv\tcolumn dob\tmay tell who somebody is\t--keep-column participants:dob\n" in account
    )
    assert len(failed) == 1 and failed[0].startswith("ERROR FAILED") and f"{WITHHELD}.nii.gz" in failed[0]
    assert list(find_leaks(whole.output_dir)) == []


def test_no_planted_secret_is_in_the_output(whole):
    planted = b"".join(content for _, content in all_bytes(whole.bids_dir)).lower()
    hidden = [one for one in SECRETS if one.lower().encode() in planted]
    assert len(hidden) > 70
    for path, content in all_bytes(whole.output_dir):
        found = [one for one in hidden if one.lower().encode() in content.lower()]
        found += [one for one in BINARY_SECRETS if one in content]
        assert found == [], f"{path}: {found}"


def test_the_output_is_valid_and_complete_under_its_own_names(whole):
    assert find_problems(whole.output_dir) == []
    there = set(files(whole.output_dir))
    mask = "sub-01/ses-a/anat/sub-01_ses-a_mod-T1w_defacemask"
    assert {
        f"{PASSED}.nii.gz",
        f"{PASSED}.json",
        f"{mask}.nii.gz",
        f"{mask}.json",
        "participants.tsv",
    } <= there
    assert not {"README", "CHANGES", "LICENSE"} & there, "they name somebody, and wait"
    assert not any("desc-" in name or "figures" in name or "quality" in name for name in there)
    (figure,) = (whole.work_dir / "bidsdeface/complete").glob("*/figures/*_desc-defaced_*")
    assert figure.name == "sub-01_ses-a_desc-defaced_T1w.png"


def test_the_face_is_gone_and_all_other_voxels_are_as_they_were(whole):
    mask = (
        read_image(whole.output_dir / "sub-01/ses-a/anat/sub-01_ses-a_mod-T1w_defacemask.nii.gz").stored > 0
    )
    before, after = (
        read_image(root / f"{PASSED}.nii.gz").stored for root in (whole.bids_dir, whole.output_dir)
    )
    assert not after[mask].any() and before[mask].any()
    assert np.array_equal(after[~mask], before[~mask])
    sidecar = json.loads((whole.output_dir / f"{PASSED}.json").read_text())
    assert sidecar["Bidsdeface"]["Verdict"] == "passed" and "Sources" not in sidecar
    assert sidecar["DeidentificationMethodCodeSequence"][0]["CodeValue"] == "113102"


def test_images_that_are_not_defaced_keep_their_stored_voxels_bit_for_bit(whole):
    images = [path for path in whole.output_dir.rglob("*.nii.gz") if path.parent.name != "anat"]
    assert len(images) == 8
    for path in images:
        original, carried = read_image(whole.bids_dir / path.relative_to(whole.output_dir)), read_image(path)
        assert carried.stored.tobytes() == original.stored.tobytes()
        assert carried.stored.dtype == original.stored.dtype


def test_what_is_withheld_is_referred_to_nowhere(whole):
    names = {Path(WITHHELD).name, "magnitude1"}
    for name, content in files(whole.output_dir).items():
        told = [one for one in names if one.encode() in content or one in name]
        assert told == [], f"{name}: {told}"


def test_another_run_writes_nothing_anew(whole):
    before = snapshot(whole.output_dir)
    run = bidsdeface_read_only(whole.bids_dir, whole.output_dir, *whole.options())
    assert run.said.splitlines()[-1] == "INFO in all: 1 failed, 9 kept"
    after = snapshot(whole.output_dir)
    assert {name for name in before if name not in (".", *map(str, Path(WITHHELD).parents))} <= after.keys()
    changed = [
        name for name in after if after[name] != before.get(name) and (whole.output_dir / name).is_file()
    ]
    assert changed == [] and after.keys() == before.keys()


def test_tasks_and_group_give_what_one_run_gives(whole, tmp_path):
    tasks = {("01", "--session-label", "b"): 0, ("02",): 3, ("01", "--session-label", "a"): 0}
    for task, code in tasks.items():
        run = bidsdeface(whole.bids_dir, tmp_path / "out", *whole.options("--participant-label", *task))
        assert run.code == code and "LEAK" not in run.said, run.said
    assert not (tmp_path / "out/participants.tsv").exists()
    group = bidsdeface(whole.bids_dir, tmp_path / "out", *whole.options(), level="group")
    assert group.code == 4, group.said
    assert files(tmp_path / "out") == files(whole.output_dir)
    assert (
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz\tpassed"
        in next((whole.work_dir / "bidsdeface/complete").glob("*/quality.tsv")).read_text()
    )


def test_a_run_that_is_killed_is_completed_by_the_next(whole, tmp_path):
    output_dir = tmp_path / "out"
    process = start(whole.bids_dir, output_dir, *whole.options())
    wait_for(lambda: any(output_dir.glob("sub-*/*/anat/*_T1w.json")), process, seconds=240)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for path in output_dir.glob("sub-*/**/*.nii.gz"):
        read_image(path)
    bidsdeface(whole.bids_dir, output_dir, *whole.options())
    assert files(output_dir) == files(whole.output_dir)
    assert list(output_dir.glob(".bidsdeface-*")) == []


def test_what_the_input_has_no_more_or_may_not_be_shared_any_more_is_taken_away(whole, tmp_path):
    bids_dir, output_dir = tmp_path / "bids", tmp_path / "out"
    shutil.copytree(whole.bids_dir, bids_dir)
    shutil.copytree(whole.output_dir, output_dir)
    physio = "sub-02/ses-a/func/sub-02_ses-a_task-rest_physio"
    assert (output_dir / f"{physio}.tsv.gz").exists()
    (bids_dir / f"{physio}.tsv.gz").write_bytes(packed(b"0.1\tQname\n"))
    (bids_dir / "sub-02/ses-a/func/sub-02_ses-a_task-rest_bold.nii.gz").write_bytes(
        packed(image((12, 14, 10, 4), seed=9))
    )
    options = whole.options("--participant-label", "02", "--session-label", "a", "--drop-field", "FlipAngle")
    run = bidsdeface(bids_dir, output_dir, *options)
    assert f"WARNING left out: {physio}.tsv.gz: line 1: text in a recording" in run.said
    there = files(output_dir)
    assert f"{physio}.tsv.gz" not in there and f"{physio}.json" not in there
    bold = "sub-02/ses-a/func/sub-02_ses-a_task-rest_bold"
    assert read_image(output_dir / f"{bold}.nii.gz").stored.tobytes() == (
        read_image(bids_dir / f"{bold}.nii.gz").stored.tobytes()
    )
    assert "FlipAngle" not in json.loads(there[f"{bold}.json"])


def test_another_layout_in_the_same_folder_is_refused(whole):
    run = bidsdeface(whole.bids_dir, whole.output_dir, "--skip-bids-validation")
    assert run.code == 2 and "of the other layout" in run.said and run.said.count("\n") == 1


def test_bidsdeface_check_finds_the_output_clean(whole):
    done = subprocess.run(
        [sys.executable, "-m", "bidsdeface.leakcheck.cli", str(whole.output_dir / "sub-01/ses-a/anat")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
