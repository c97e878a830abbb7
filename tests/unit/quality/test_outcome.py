"""The file with a line for each scan: whole at any moment, in order at the end, and no place in it."""

import errno
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.errors import Exit, UsageError
from bidsdeface.quality import outcome
from bidsdeface.quality.outcome import ACCEPTED, FAILED, KEPT, PASSED, Outcome, OutcomeFile, read_outcomes

DONE = Outcome("sub-10_T1w", PASSED, measures={"similarity": 0.8})
CHECKED = Outcome("sub-2_T1w", FAILED, ("/data/sub-2_T1w.nii: a marker",), {}, ("StrayTissueML",))
LOST = Outcome("sub-1_T1w", FAILED, ("/data/sub-1_T1w.nii: its process was killed",), cause=Exit.RETRY)
IN_ORDER = [
    {"scan": "sub-1_T1w", "verdict": "failed", "failed_checks": [], "kind": "", "retry": True},
    {
        "scan": "sub-2_T1w",
        "verdict": "failed",
        "failed_checks": ["StrayTissueML"],
        "kind": "",
        "retry": False,
    },
    {"scan": "sub-10_T1w", "verdict": "passed", "failed_checks": [], "kind": "", "retry": False},
]


def lines_of(path):
    """Return the lines without the times, which must be there."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(datetime.fromisoformat(line.pop("time")).tzinfo for line in lines)
    return lines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outcomes.jsonl"


def test_lines_are_there_as_they_come_and_in_order_at_the_end(path):
    path.write_text("of an earlier run\n")
    file = OutcomeFile(path)
    assert path.read_text() == ""
    for count, one in enumerate((DONE, CHECKED, LOST), start=1):
        file.add(one)
        assert path.read_text().endswith("\n") and len(lines_of(path)) == count
    assert file.close() == set()
    assert lines_of(path) == IN_ORDER
    assert list(path.parent.iterdir()) == [path]


def test_without_a_file_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = OutcomeFile(None)
    file.add(DONE)
    assert file.close() == set() and list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(path, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere/real")
    file = OutcomeFile(path)
    file.add(DONE)
    file.close()
    assert path.is_symlink() and lines_of(tmp_path / "elsewhere/real") == IN_ORDER[2:]


def test_a_pipe_gets_each_line_as_it_comes(path):
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.extend(path.read_text().splitlines()))
    reader.start()
    file = OutcomeFile(path)
    file.add(DONE)
    file.add(LOST)
    assert file.close() == set()
    reader.join(timeout=20)
    assert [json.loads(line)["scan"] for line in read] == [DONE.scan, LOST.scan] and path.is_fifo()


@pytest.mark.parametrize("name", ["none/outcomes.jsonl", "."])
def test_a_file_that_cannot_be_made_is_wrong_usage(tmp_path, name):
    with pytest.raises(UsageError, match="cannot be written .*; give --outcomes a file"):
        OutcomeFile(tmp_path / name)


class FullFile:
    """A file on a disk that is full: it takes a part of a line, and then nothing."""

    def __init__(self, file):
        self._file = file

    def write(self, line):
        return self._file.write(line[:10])

    def close(self):
        self._file.close()


def test_a_disk_that_was_full_for_a_moment_costs_no_line(path):
    file = OutcomeFile(path)
    file._file = FullFile(file._file)
    file.add(LOST)
    file.add(CHECKED)
    file.add(DONE)
    assert file.close() == set() and lines_of(path) == IN_ORDER


def test_a_disk_that_stays_full_is_one_line_and_worth_another_try(path, monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = OutcomeFile(path)
    file._file = FullFile(file._file)
    file.add(DONE)
    monkeypatch.setattr(outcome.os, "replace", full)
    assert file.close() == {Exit.RETRY}
    assert [line.partition(";")[0] for line in caplog.messages] == [
        f"{path}: cannot be written (No space left on device)"
    ]


def test_a_file_that_cannot_be_replaced_keeps_what_was_added(path, monkeypatch):
    def busy(*_):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))  # as of a file that is mounted by itself

    file = OutcomeFile(path)
    file.add(DONE)
    file.add(LOST)
    monkeypatch.setattr(outcome.os, "replace", busy)
    assert file.close() == set()
    assert [one["scan"] for one in lines_of(path)] == [DONE.scan, LOST.scan]
    assert list(path.parent.iterdir()) == [path]


def test_a_run_that_is_killed_leaves_whole_lines(path):
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.quality.test_outcome import DONE, LOST, OutcomeFile\n"
        "file = OutcomeFile(Path(sys.argv[1]))\n"
        "file.add(DONE)\n"
        "file.add(LOST)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)]).returncode == -9
    assert [one["scan"] for one in lines_of(path)] == [DONE.scan, LOST.scan]


@given(
    st.sampled_from((PASSED, FAILED, ACCEPTED, KEPT)),
    st.lists(st.text(), max_size=2).map(tuple),
    st.sampled_from((Exit.FAILED, Exit.ERROR, Exit.RETRY)),
)
def test_a_line_holds_no_place_and_no_reason_and_is_one_line(verdict, reasons, cause):
    reasons = ("/data/of/nurse-joy/sub-1_T1w.nii: its metadata cannot be read (PatientName: Doe)", *reasons)
    time = "2026-01-01T00:00:00.000+00:00"
    line = Outcome("sub-1_T1w", verdict, reasons, {}, ("StrayTissueML",), cause, time=time).line
    assert line.count("\n") == 1 and "/" not in line and "Doe" not in line
    assert json.loads(line) == {
        "scan": "sub-1_T1w",
        "verdict": verdict,
        "failed_checks": ["StrayTissueML"],
        "kind": "",
        "time": "2026-01-01T00:00:00.000+00:00",
        "retry": verdict == FAILED and cause is Exit.RETRY,
    }


def test_only_a_failure_has_a_code():
    assert [one.code for one in (DONE, CHECKED, LOST)] == [0, 3, 75]
    assert replace(LOST, verdict=KEPT).code == 0


def test_the_newest_outcome_counts_whichever_file_was_copied_last(tmp_path):
    for name, day, verdict in (("a", 2, PASSED), ("b", 1, FAILED), ("c", 3, KEPT)):
        one = Outcome("sub-1_T1w", verdict, time=f"2026-01-0{day}T00:00:00.000+00:00")
        (tmp_path / name).write_text(one.line)
    os.utime(tmp_path / "a", (0, 0))
    assert read_outcomes([tmp_path])["sub-1_T1w"]["verdict"] == PASSED


def test_a_line_without_a_time_is_as_old_as_its_file(tmp_path):
    line = '{"scan": "sub-1_T1w", "verdict": "%s", "failed_checks": [], "retry": false}\n'
    for name, verdict, mtime in (("a", FAILED, 2e9), ("b", PASSED, 1e9)):
        (tmp_path / name).write_text(line % verdict)
        os.utime(tmp_path / name, (mtime, mtime))
    outcome = read_outcomes([tmp_path])["sub-1_T1w"]
    assert outcome["verdict"] == FAILED and outcome["kind"] == "" and outcome["reasons"] == []


def test_the_work_dir_keeps_the_reasons_and_the_file_does_not(path, tmp_path):
    file = OutcomeFile(path, tmp_path / "private")
    file.add(replace(CHECKED, kind="a kind"))
    file.close()
    assert "reasons" not in lines_of(path)[0]
    (kept,) = read_outcomes([tmp_path / "private"]).values()
    assert kept["reasons"] == ["/data/sub-2_T1w.nii: a marker"] and kept["kind"] == "a kind"
