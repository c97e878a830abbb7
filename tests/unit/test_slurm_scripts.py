"""The Slurm scripts without Slurm: who is submitted again after which code. Real ones: tests/container."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "slurm"
ENDS = {"sub-01": 0, "sub-02": 3, "sub-03": 4, "sub-04": 75, "sub-05": 137, "sub-06": 1, "sub-07": 143}
# Run every task of an array at once, as sbatch would in time; sub-08 is killed with its task.
SBATCH = """#!/bin/bash
echo "$@" >>"$CALLS"
echo 17
for argument; do case $argument in --array=1-*) tasks=${argument#--array=1-} tasks=${tasks%%%*};; esac; done
while [[ $1 == --* ]]; do shift; done
script=$1; shift
for task in $(seq "${tasks:-0}"); do
    SLURM_ARRAY_JOB_ID=17 SLURM_ARRAY_TASK_ID=$task bash "$script" "$@" >/dev/null
done
exit 0
"""
APPTAINER = """#!/bin/bash
while [ "$1" != --participant-label ]; do shift; done
echo "$2" >>"$TASKS"
[ "$3" = --outcomes ] && echo "{\"scan\": \"$2_T1w\"}" >"$4"
[ "$2" = sub-08 ] && { kill -KILL "$PPID"; sleep 1; }
exit "$(cat "$CODES/$2")"
"""


@pytest.fixture
def submit(tmp_path):
    """Return a function that runs submit.sh, and returns who was submitted and what sbatch was asked for."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    for name, text in {"bin/sbatch": SBATCH, "bin/apptainer": APPTAINER}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "codes").mkdir()
    for label, code in {**ENDS, "sub-08": 0}.items():
        (tmp_path / "bids" / label).mkdir(parents=True)
        (tmp_path / "codes" / label).write_text(f"{code}\n")
    (tmp_path / "image.sif").touch()

    def run(**environ):
        names = {"CALLS": "calls", "TASKS": "tasks", "CODES": "codes", "IMAGE": "image.sif"}
        for name in ("calls", "tasks"):
            (tmp_path / name).write_text("")
        subprocess.run(
            ["bash", SCRIPTS / "submit.sh", tmp_path / "bids", tmp_path / "out", tmp_path / "log"],
            env={
                **os.environ,
                **{name: str(tmp_path / path) for name, path in names.items()},
                "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                "TMPDIR": str(tmp_path),
                **environ,
            },
            check=True,
            capture_output=True,
        )
        return (tmp_path / "tasks").read_text().split(), (tmp_path / "calls").read_text().splitlines()

    return run


def test_all_that_is_not_done_is_submitted_again_or_only_what_another_try_may_change(submit, tmp_path):
    assert submit()[0] == [*ENDS, "sub-08"]
    ended = {path.name: int(path.read_text()) for path in (tmp_path / "log/ended").iterdir()}
    assert ended == {label: code for label, code in ENDS.items() if code}
    assert [path.name for path in (tmp_path / "log/done").iterdir()] == ["sub-01"]
    outcomes = sorted((tmp_path / "log/outcomes").iterdir())
    assert [path.name for path in outcomes] == [f"17_{task}.jsonl" for task in range(1, 9)]
    assert submit(RETRY="1")[0] == ["sub-04", "sub-05", "sub-07", "sub-08"]
    (tmp_path / "codes/sub-02").write_text("0\n")
    assert submit()[0] == [*list(ENDS)[1:], "sub-08"]
    assert sorted(path.name for path in (tmp_path / "log/done").iterdir()) == ["sub-01", "sub-02"]
    assert not (tmp_path / "log/ended/sub-02").exists()


def test_group_follows_whatever_the_tasks_end_with(submit):
    array, group = submit()[1]
    assert "--array=1-8%100" in array and " participant " in array
    assert "--dependency=afterany:17" in group and " group " in group
