"""Private folders: kept while somebody holds them, swept when nobody does, whoever else writes there."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from bidsdeface.errors import BidsdefaceError, UsageError
from bidsdeface.runtime import scratch
from bidsdeface.runtime.scratch import (
    environment_in,
    make_private,
    private_folder,
    scratch_folder,
    sweep,
    temporary_dir,
)

DAY_S = 24 * 3600
OF_ANOTHER_SYSTEM = ".bidsdeface-00000000-abcdefgh"


def of_this_system(parent, name="abcdefgh"):
    """Return where a folder that a killed run of this system left would lie."""
    return parent / f".bidsdeface-{scratch._system()}-{name}"


def leave(folder, untouched_s=0.0):
    """Make what a killed run leaves behind."""
    (folder / "syn-1").mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "lock").touch()
    (folder / "syn-1/0GenericAffine.mat").write_text("private")
    os.utime(folder, (time.time() - untouched_s,) * 2)
    return folder


def holding(parent, make="private_folder"):
    """Start a process, in a group of its own, that holds a private folder; return both when it does."""
    script = (
        "import sys, time; from pathlib import Path\n"
        f"from bidsdeface.runtime.scratch import {make}\n"
        f"with {make}(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'face.nii').write_text('private')\n"
        "    print(folder, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, parent]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    return process, Path(process.stdout.readline().strip())


def test_a_private_folder_is_private_whatever_the_umask_and_gone_at_the_end(tmp_path):
    before = os.umask(0)
    try:
        with private_folder(tmp_path) as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
            (folder / "deep/er").mkdir(parents=True)
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_goes_even_when_the_whole_group_is_killed(tmp_path):
    process, folder = holding(tmp_path, "scratch_folder")
    assert (folder / "face.nii").exists() and folder.stat().st_mode & 0o777 == 0o700
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 10
    while folder.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_scratch_folder_is_gone_at_the_end_whatever_happens_inside(tmp_path):
    with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path) as folder:
        (folder / "face.nii").write_text("private")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_its_name_tells_neither_host_nor_user(tmp_path):
    with private_folder(tmp_path) as folder:
        assert os.uname().nodename not in folder.name
        boot_id = Path("/proc/sys/kernel/random/boot_id")
        assert not boot_id.exists() or boot_id.read_text()[:8] not in folder.name


def test_a_killed_runs_folder_is_swept_and_a_living_runs_is_not(tmp_path):
    (killed, left), (living, held) = holding(tmp_path), holding(tmp_path)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "face.nii").exists()
        sweep(tmp_path)
        assert not left.exists() and (held / "face.nii").exists()
    finally:
        living.kill()
        living.wait()


@pytest.mark.parametrize("content", [[], ["face.nii"]])
def test_a_run_killed_while_it_made_or_removed_its_folder_is_swept(tmp_path, content):
    folder = of_this_system(tmp_path)
    folder.mkdir(mode=0o700)
    for name in content:
        (folder / name).touch()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("untouched_s", "stays"), [(0, True), (DAY_S - 60, True), (DAY_S + 60, False)])
def test_a_free_lock_of_another_system_is_no_proof_before_a_day(tmp_path, untouched_s, stays):
    folder = leave(tmp_path / OF_ANOTHER_SYSTEM, untouched_s)
    sweep(tmp_path)
    assert folder.exists() == stays


@pytest.mark.parametrize("year_s", [0.0, 4_102_444_800.0], ids=["1970", "2100"])
def test_times_mean_nothing_on_the_own_system(tmp_path, year_s):
    process, held = holding(tmp_path)
    try:
        left = leave(of_this_system(tmp_path))
        for folder in (held, left):
            os.utime(folder, (year_s, year_s))
        sweep(tmp_path)
        assert held.exists() and not left.exists()
    finally:
        process.kill()
        process.wait()


def test_a_folder_of_another_system_that_is_dated_in_the_future_stays(tmp_path):
    folder = leave(tmp_path / OF_ANOTHER_SYSTEM, untouched_s=-100 * 365 * DAY_S)
    sweep(tmp_path)
    assert folder.exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_where_there_are_no_locks_a_day_must_have_passed(tmp_path, monkeypatch, number):
    def no_locks(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    fresh = leave(of_this_system(tmp_path, "fresh"))
    old = leave(of_this_system(tmp_path, "old"), DAY_S + 60)
    with private_folder(tmp_path) as folder:
        assert folder.exists() and fresh.exists() and not old.exists()


def test_in_a_hostile_place_no_link_is_followed_and_nothing_else_is_touched(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis").touch()
    (precious / "lock").touch()
    place = tmp_path / "tmp"
    place.mkdir()
    of_this_system(place, "link").symlink_to(precious)
    linked_lock = of_this_system(place, "lock")
    linked_lock.mkdir()
    (linked_lock / "lock").symlink_to(precious / "made")
    linked_inside = leave(of_this_system(place, "inside"))
    (linked_inside / "link").symlink_to(precious)
    of_this_system(place, "file").touch()
    alike = [leave(place / name) for name in (".bidsdeface-mine", "bidsdeface-12345678-abc", ".bidsdeface")]
    sweep(place)
    assert sorted(os.listdir(precious)) == ["lock", "thesis"]
    assert not linked_inside.exists()
    assert all((folder / "syn-1/0GenericAffine.mat").exists() for folder in alike)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_a_folder_of_another_user_is_left_alone(tmp_path):
    folder = leave(of_this_system(tmp_path))
    os.chown(folder, 65534, 65534)
    sweep(tmp_path)
    assert (folder / "syn-1").exists()


def test_sweeping_what_is_not_there_is_no_error(tmp_path):
    sweep(tmp_path / "none")


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    with (
        pytest.raises(BidsdefaceError, match="none: cannot be written .No such file.*choose another"),
        private_folder(tmp_path / "none"),
    ):
        pass


def test_a_lock_for_which_there_is_no_room_leaves_no_folder(tmp_path, monkeypatch):
    real = os.open

    def full(path, *how, **more):
        if str(path).endswith("lock"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, *how, **more)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(BidsdefaceError, match="No space left"), private_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_swept_before_it_had_its_lock_is_made_anew(tmp_path, monkeypatch):
    real, swept = fcntl.flock, []

    def sweep_once(lock, how):
        if not swept:  # another run comes between making the folder and locking it
            swept.append(True)
            sweep(tmp_path)
        real(lock, how)

    monkeypatch.setattr(fcntl, "flock", sweep_once)
    with private_folder(tmp_path) as folder:
        assert swept and list(tmp_path.iterdir()) == [folder]


def test_leftovers_that_nfs_keeps_for_a_while_go_with_the_next_sweep(tmp_path, monkeypatch):
    real = os.rmdir

    def busy(path, **how):  # a file that is open is renamed to .nfs…, so that the folder is not empty
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)

    with private_folder(tmp_path):
        monkeypatch.setattr(os, "rmdir", busy)
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(os, "rmdir", real)
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_container_without_a_place_for_temporary_files_is_told_so(monkeypatch):
    def find_none():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", find_none)
    with pytest.raises(UsageError, match="--tmpfs /tmp"):
        temporary_dir()


def test_temporary_files_of_everything_go_to_one_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "not there"))
    assert temporary_dir() == tmp_path / "not there"  # no other place is taken unasked
    monkeypatch.delenv("TMPDIR")
    assert temporary_dir().is_dir()
    script = "import tempfile; print(tempfile.gettempdir())"
    environ = {**os.environ, **environment_in(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [str(tmp_path)]


@pytest.fixture
def open_to_all(monkeypatch):
    """Make all folders as a file system without permissions shows them."""
    real = os.mkdir

    def mkdir(path, mode=0o777, **how):
        real(path, mode, **how)
        os.chmod(path, 0o777)

    monkeypatch.setattr(os, "mkdir", mkdir)


def make_lasting(parent):
    return nullcontext(make_private(parent / "x"))


@pytest.mark.parametrize("make", [private_folder, scratch_folder, make_lasting])
def test_a_file_system_that_cannot_keep_others_out_is_refused_with_the_way_out(tmp_path, open_to_all, make):
    with pytest.raises(UsageError) as refused, make(tmp_path):
        pass
    message = str(refused.value)
    assert message.startswith(f"{tmp_path}: ") and "\n" not in message
    assert all(text in message for text in ("another --work-dir", "local disk", "-v deface-work:/work"))
    assert not list(tmp_path.glob(".*"))


def test_what_is_to_be_published_may_be_written_where_others_cannot_be_kept_out(tmp_path, open_to_all):
    with private_folder(tmp_path, must_be_private=False) as folder:
        (folder / "image.nii").touch()
    assert list(tmp_path.iterdir()) == []
