"""Thousands of participants: what a plan, and one task of a cluster job, cost."""

import os
import resource
import subprocess
import sys
import time

import pytest

from tests.integration.conftest import command

pytestmark = pytest.mark.slow
PARTICIPANTS = 2000
PLAN_SECONDS, PLAN_MB = 30, 500
START_SECONDS = 5


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Return a dataset of 2,000 participants in two sessions, all images empty."""
    root = tmp_path_factory.mktemp("many")
    labels = [f"{number:04}" for number in range(1, PARTICIPANTS + 1)]
    (root / "dataset_description.json").write_text('{"Name": "many", "BIDSVersion": "1.11.1"}')
    (root / "README").write_text("Empty images.\n")
    (root / "participants.tsv").write_text("participant_id\n" + "".join(f"sub-{label}\n" for label in labels))
    for label in labels:
        for session in "ab":
            folder = root / f"sub-{label}/ses-{session}/anat"
            folder.mkdir(parents=True)
            for suffix in ("T1w", "T2w"):
                (folder / f"sub-{label}_ses-{session}_{suffix}.nii.gz").touch()
    return root


def measured(arguments):
    """Run a command, and return it with its CPU seconds (children included)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        arguments, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return run, seconds


def test_a_plan_of_two_thousand_participants_is_soon_made_in_little_memory(many, tmp_path):
    script = (  # what resource tells of children is the largest of all that there were
        "import atexit, sys\n"
        "from pathlib import Path\n"
        "peak = lambda: Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]\n"
        "atexit.register(lambda: print(peak(), file=sys.stderr))\n"
        "from bidsdeface.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    options = command(many, tmp_path / "out", "--dry-run")[3:]
    run, seconds = measured([sys.executable, "-c", script, *options])
    megabytes = int(run.stderr.split()[-1]) / 1024
    print(f"plan of {PARTICIPANTS} participants: {seconds:.1f} s CPU, {megabytes:.0f} MB")
    assert run.returncode == 0, run.stderr
    assert sum(line.startswith("sub-") for line in run.stdout.splitlines()) == 2 * PARTICIPANTS
    assert seconds < PLAN_SECONDS and megabytes < PLAN_MB


def test_one_participant_of_many_starts_work_at_once_validation_included(many, tmp_path):
    """CPU seconds, as other tests may run beside; work ends at once, as the images are empty."""
    script = (
        "import sys, bidsdeface.participant as p\n"
        "def stop(*_):\n    print('work starts'); sys.exit(0)\n"
        "p._deface = stop\n"
        "from bidsdeface.cli import main\nmain(sys.argv[1:])\n"
    )
    options = command(many, tmp_path / "out", "--participant-label", "0001", "--n-procs", "1")[3:]
    start = time.perf_counter()
    run, seconds = measured([sys.executable, "-c", script, *options])
    print(f"until work starts: {seconds:.1f} s CPU, {time.perf_counter() - start:.1f} s")
    assert "work starts" in run.stdout, run.stderr
    assert seconds < START_SECONDS
