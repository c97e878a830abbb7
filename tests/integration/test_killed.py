"""Killed at any moment, out of space: nothing half-written under a final name, and the next run completes."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bidsdeface.imaging.image import read_image
from tests.conftest import make_dataset
from tests.heads import find_head
from tests.integration.conftest import bidsdeface, command, files, published, read_only

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
]
HEADS = ("01", "02")


@pytest.fixture(scope="module")
def bids_dir(tmp_path_factory):
    scans = {f"sub-{n}/anat/sub-{n}_T1w.nii.gz": find_head("average") for n in HEADS}
    return make_dataset(tmp_path_factory.mktemp("killed"), scans)


@pytest.fixture(scope="module")
def expected(bids_dir):
    """Return the files of an undisturbed run."""
    output_dir = bids_dir.parent / "undisturbed"
    assert bidsdeface(bids_dir, output_dir, "--n-procs", "2").code == 0
    return files(output_dir)


def start(bids_dir, output_dir, *options):
    """Start a run in a session of its own, so that all of it can be found and killed."""
    options = ("--n-procs", "1", "--skip-bids-validation", *options)
    return subprocess.Popen(
        command(bids_dir, output_dir, *options), stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def processes_of(session: int) -> dict[int, str]:
    """Return command lines of the living processes of a session."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def workers_of(session: int) -> list[int]:
    return sorted(pid for pid, line in processes_of(session).items() if "spawn_main" in line)


def wait_for(condition, process=None, seconds=300):
    """Wait, but not for a run that has ended by itself."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    return value


def check_whole(output_dir):
    """Whatever stands under a final name is whole, and a sidecar vouches for all five files."""
    for name in published(output_dir):
        path = output_dir / name
        if name.endswith(".nii.gz"):
            read_image(path)
        elif name.endswith(".json"):
            assert json.loads(path.read_text())["Bidsdeface"]["Verdict"] == "passed"
    for sidecar in output_dir.glob("sub-*/anat/*_desc-defaced_T1w.json"):
        assert len(published(output_dir, sidecar.name.partition("_")[0])) == 5


def check_completes(bids_dir, output_dir, expected):
    with read_only(bids_dir):
        run = bidsdeface(bids_dir, output_dir, "--n-procs", "2", "--skip-bids-validation")
    assert run.code == 0, run.said
    assert files(output_dir) == expected
    assert list(output_dir.glob(".bidsdeface-*")) == []


MOMENTS = {
    "while a file is written": lambda output_dir: any(output_dir.glob(".bidsdeface-*/*.nii.gz")),
    "when one head is done": lambda output_dir: any(output_dir.glob("sub-*/anat/*_desc-defaced_T1w.json")),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_leaves_nothing_half_done_and_the_next_completes(
    bids_dir, tmp_path, expected, moment
):
    output_dir, outcomes = tmp_path / "out", tmp_path / "outcomes.jsonl"
    with read_only(bids_dir):
        process = start(bids_dir, output_dir, "--outcomes", str(outcomes))
        wait_for(lambda: MOMENTS[moment](output_dir), process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    text = outcomes.read_text()  # at most of the head whose result is there
    assert text == "" or (text.count("\n") == 1 and json.loads(text)["verdict"] == "passed")
    assert len(published(output_dir)) < 5 * len(HEADS)
    check_whole(output_dir)
    check_completes(bids_dir, output_dir, expected)


def test_workers_do_not_outlive_a_run_whose_parent_alone_is_killed(bids_dir, tmp_path, expected):
    output_dir = tmp_path / "out"
    process = start(bids_dir, output_dir)
    wait_for(lambda: any(output_dir.glob(".bidsdeface-*/*.nii.gz")), process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not processes_of(process.pid))
    check_whole(output_dir)
    assert len(published(output_dir)) < 5 * len(HEADS)  # what was begun may be finished, no more
    check_completes(bids_dir, output_dir, expected)


def test_a_worker_that_is_killed_costs_its_own_head_and_says_so(bids_dir, tmp_path, expected):
    output_dir = tmp_path / "out"
    outcomes = tmp_path / "outcomes.jsonl"
    process = start(bids_dir, output_dir, "--outcomes", str(outcomes))
    (worker,) = wait_for(lambda: workers_of(process.pid), process)
    time.sleep(1.0)
    os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75
    told = [json.loads(line) for line in outcomes.read_text().splitlines()]
    assert sorted((one["verdict"], one["retry"]) for one in told) == [("failed", True), ("passed", False)]
    assert [one["scan"] for one in told] == [f"sub-{n}_T1w" for n in HEADS]
    assert "/" not in outcomes.read_text()
    (line,) = [line for line in said.splitlines() if line.startswith("ERROR FAILED")]
    assert "_T1w.nii.gz: its process was killed" in line and "lower --n-procs" in line
    assert len(published(output_dir)) == 5 * (len(HEADS) - 1)
    check_whole(output_dir)
    check_completes(bids_dir, output_dir, expected)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_asked_to_stop_cleans_up(bids_dir, tmp_path, number, code):
    output_dir, work_dir = tmp_path / "out", tmp_path / "work"
    process = start(bids_dir, output_dir, "-w", str(work_dir))
    wait_for(lambda: any(output_dir.glob(".bidsdeface-*/*.nii.gz")), process)
    os.killpg(process.pid, number)  # as a terminal and a batch system do
    _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert "Traceback" not in said and "FAILED" not in said
    wait_for(lambda: not processes_of(process.pid))
    assert list(output_dir.glob(".bidsdeface-*")) == []
    assert sorted(os.listdir(work_dir / "bidsdeface")) == ["fingerprints", "key", "logs"]
    check_whole(output_dir)


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_is_one_clear_line_a_scan_and_leaves_nothing_half_written(bids_dir, small_disk):
    run = bidsdeface(bids_dir, small_disk / "out", "--n-procs", "1", "--skip-bids-validation")
    assert run.code == 75 and "Traceback" not in run.said
    assert "No space left on device" in run.said and "free some space" in run.said
    check_whole(small_disk / "out")
    assert len(published(small_disk / "out")) < 5 * len(HEADS)
    assert list((small_disk / "out").glob(".bidsdeface-*")) == []
