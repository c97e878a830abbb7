"""Arrays of tasks on a real Slurm, with the scripts people get: failures, repair, memory, all at once."""

import csv
import json
import os
import re
import shutil

import pytest

from bidsdeface.imaging.image import read_image
from tests.container.conftest import FOLDER, USER, open_folder
from tests.heads import AVERAGE

SIX = [f"sub-{number:02}" for number in range(1, 7)]
BROKEN = "sub-04"


@pytest.fixture(scope="module")
def heads(folder, bids_dir):
    """Return a dataset of six heads, of which one is a broken file."""
    root = folder / "six"
    shutil.copytree(bids_dir, root, ignore=shutil.ignore_patterns("sub-*"))
    (root / "participants.tsv").write_text("\n".join(["participant_id", *SIX, ""]))
    sidecar = {"EchoTime": 0.003, "FlipAngle": 9}
    for label in SIX:
        (root / label / "anat").mkdir(parents=True)
        (root / label / "anat" / f"{label}_T1w.json").write_text(json.dumps(sidecar))
        shutil.copyfile(AVERAGE, image_of(root, label))
    with image_of(root, BROKEN).open("r+b") as file:
        file.truncate(100_000)
    return root


def image_of(root, label):
    return root / label / "anat" / f"{label}_T1w.nii.gz"


def defaced(output_dir) -> list[str]:
    """Return the participants that have a result, each of which is whole."""
    found = sorted(output_dir.glob("sub-*/anat/*_desc-defaced_T1w.json"))
    for sidecar in found:
        assert json.loads(sidecar.read_text())["Bidsdeface"]["Verdict"] == "passed"
        read_image(sidecar.with_suffix(".nii.gz"))
    return [sidecar.name.partition("_")[0] for sidecar in found]


def table(output_dir) -> list[str]:
    with (output_dir / "quality.tsv").open() as file:
        return [row["scan"].partition("/")[0] for row in csv.DictReader(file, delimiter="\t")]


@pytest.fixture(scope="module")
def output_dir(folder):
    return open_folder(folder / "six-defaced")


@pytest.fixture(scope="module")
def logs(folder):
    path = open_folder(folder / "user") / "logs"
    open_folder(path)
    os.chown(path, USER, USER)
    return path


def test_one_failure_costs_one_participant_and_the_same_command_repairs_it(cluster, heads, output_dir, logs):
    array, group = cluster.submit(heads, output_dir, logs)
    states = cluster.states(array)
    assert states.pop(str(SIX.index(BROKEN) + 1)) == "FAILED 3:0"
    assert list(states.values()) == 5 * ["COMPLETED 0:0"]
    assert cluster.states(group) == {"-": "COMPLETED 0:0"}
    rest = [label for label in SIX if label != BROKEN]
    assert defaced(output_dir) == table(output_dir) == rest
    (log,) = logs.glob(f"{array}_{SIX.index(BROKEN) + 1}.txt")
    assert [BROKEN in line for line in log.read_text().splitlines() if "ERROR FAILED" in line] == [True]

    shutil.copyfile(AVERAGE, image_of(heads, BROKEN))
    array, group = cluster.submit(heads, output_dir, logs)
    assert cluster.states(array) == {"1": "COMPLETED 0:0"}  # nobody else was asked for again
    assert defaced(output_dir) == table(output_dir) == SIX


def test_tasks_and_group_at_the_same_moment_lose_nothing(cluster, heads, output_dir, logs):
    """Two tasks do all six again, in blocks of three, while group runs twice; then it has them all."""
    shutil.copyfile(AVERAGE, image_of(heads, BROKEN))
    cluster.submit(heads, output_dir, logs)  # what is not done yet
    blocks = logs / "blocks"
    blocks.write_text("\n".join([" ".join(SIX[:3]), " ".join(SIX[3:]), ""]))
    where = (FOLDER / "bidsdeface.sif", logs, heads, output_dir)
    tasks = cluster.batch(logs, *where, "participant", blocks, "--force", options=["--array=1,2"])
    groups = [cluster.batch(logs, *where, "group", "-") for _ in range(2)]
    cluster.wait([tasks, *groups])
    for job in (tasks, *groups):
        assert set(cluster.states(job).values()) == {"COMPLETED 0:0"}, (logs / f"{job}.txt").read_text()
    assert max(cluster.times(job)[0] for job in groups) < cluster.times(tasks)[1], "not at the same moment"
    assert set(table(output_dir)) <= set(SIX)
    assert defaced(output_dir) == SIX
    last = cluster.batch(logs, *where, "group", "-")
    cluster.wait([last])
    assert table(output_dir) == SIX
    assert not list(output_dir.glob(".bidsdeface-*"))
    assert {path.stat().st_uid for path in output_dir.rglob("*")} == {USER}


def test_too_little_memory_is_said(cluster, heads, output_dir, logs):
    """Slurm ends the whole job and says why, and what was there stays."""
    before = defaced(output_dir)
    (logs / "one").write_text(SIX[0] + "\n")
    where = (FOLDER / "bidsdeface.sif", logs, heads, output_dir)
    killed = cluster.batch(
        logs, *where, "participant", logs / "one", "--force", options=["--array=1", "--mem-per-cpu=150"]
    )
    cluster.wait([killed])
    (state,) = cluster.states(killed).values()
    assert not state.startswith("COMPLETED")
    log = (logs / f"{killed}.txt").read_text()
    assert re.search("(?i)exceeded job memory limit|out.of.memory", log), log
    assert defaced(output_dir) == before
