"""Publishing: whole results or none, after crashes and side by side."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest

from bidsdeface.dataset.layout import outputs_of
from bidsdeface.dataset.publish import Staging, withdraw
from bidsdeface.dataset.resume import is_complete
from bidsdeface.dataset.scan import Head, Scan
from bidsdeface.errors import BidsdefaceError

SCAN = Scan(Path("sub-1_T1w.nii"), (("sub", "1"),), "T1w", ".nii")
HEAD = Head("1", None, (SCAN,), SCAN)
OUTPUTS = outputs_of(SCAN)
FILES = tuple(vars(OUTPUTS).values())


def stage_and_publish(output_dir, provenance=None):
    with Staging(output_dir) as staging:
        staged = {name: staging.folder / name.name for name in FILES}
        for path in staged.values():
            path.write_text(json.dumps({"Bidsdeface": provenance or {}}))
        staging.publish(staged)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_published_files_are_in_place_and_the_private_folder_is_gone(tmp_path):
    stage_and_publish(tmp_path)
    assert names(tmp_path) == sorted(map(str, FILES))
    assert [path.name for path in tmp_path.iterdir()] == ["sub-1"]


def test_published_files_have_ordinary_permissions(tmp_path):
    before = os.umask(0o022)
    try:
        with Staging(tmp_path) as staging:
            assert staging.folder.stat().st_mode & 0o777 == 0o700
        stage_and_publish(tmp_path)
    finally:
        os.umask(before)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in FILES} == {0o644}


def test_the_sidecar_that_vouches_for_all_files_comes_last_and_is_withdrawn_first(tmp_path, monkeypatch):
    assert FILES[-1] == OUTPUTS.image_sidecar
    moved, removed = [], []
    replace, unlink = os.replace, Path.unlink
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(Path(b)), replace(a, b)))
    stage_and_publish(tmp_path)
    monkeypatch.setattr(Path, "unlink", lambda path, **k: (removed.append(path), unlink(path, **k)))
    withdraw(tmp_path, HEAD, SCAN)
    assert [path.relative_to(tmp_path) for path in moved] == [Path(name) for name in FILES]
    assert [path.relative_to(tmp_path) for path in removed] == [Path(name) for name in reversed(FILES)]


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), Staging(tmp_path) as staging:
        (staging.folder / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_replaced_only_in_part_has_no_sidecar(tmp_path):
    stage_and_publish(tmp_path)
    with pytest.raises(BidsdefaceError), Staging(tmp_path) as staging:
        staged = {name: staging.folder / name.name for name in FILES}
        for path in staged.values():
            path.touch()
        (tmp_path / OUTPUTS.image).unlink()
        (tmp_path / OUTPUTS.image).mkdir()  # a move that fails halfway
        staging.publish(staged)
    assert not (tmp_path / OUTPUTS.image_sidecar).exists()


def test_a_single_file_is_replaced_without_ever_being_absent(tmp_path):
    final = tmp_path / "file"
    final.write_text("old")
    with Staging(tmp_path) as staging, final.open() as reader:
        (staging.folder / "file").write_text("new")
        before = final.stat().st_ino
        staging.publish({PurePosixPath("file"): staging.folder / "file"})
        assert reader.read() == "old" and final.stat().st_ino != before
    assert final.read_text() == "new"


def killed_run(output_dir, body="time.sleep(60)"):
    """Start a process that stages a file; return it when the file is there."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from bidsdeface.dataset.publish import Staging\n"
        "with Staging(Path(sys.argv[1])) as staging:\n"
        "    (staging.folder / 'face.nii').write_text('private')\n"
        f"    print(staging.folder, flush=True); {body}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(output_dir)], stdout=subprocess.PIPE, text=True
    )
    return process, Path(process.stdout.readline().strip())


def test_the_leftovers_of_a_killed_run_are_swept_and_those_of_a_living_run_are_not(tmp_path):
    killed, leftover = killed_run(tmp_path)
    living, in_use = killed_run(tmp_path)
    try:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        assert (leftover / "face.nii").exists()
        stage_and_publish(tmp_path)
        assert not leftover.exists()
        assert (in_use / "face.nii").exists()
    finally:
        living.kill()
        living.wait()


def test_a_run_killed_before_it_had_its_lock_is_swept(tmp_path):
    (tmp_path / ".bidsdeface-empty").mkdir(mode=0o700)
    with Staging(tmp_path) as staging:
        assert list(tmp_path.iterdir()) == [staging.folder]


def test_many_runs_side_by_side_keep_out_of_each_others_way(tmp_path):
    def publish(number):
        with Staging(tmp_path) as staging:
            staged = {PurePosixPath(f"sub-{number}/{part}"): staging.folder / part for part in "ab"}
            for path in staged.values():
                path.write_text(str(number))
            staging.publish(staged)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(publish, range(200)))
    assert len(names(tmp_path)) == 400
    assert all(Path(tmp_path, name).read_text() in name for name in names(tmp_path))


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small tmpfs")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(small_disk):
    with pytest.raises(BidsdefaceError, match="No space left.*free some space"):  # noqa: SIM117
        with Staging(small_disk) as staging:
            (staging.folder / "image").write_bytes(bytes(200_000))
    assert list(small_disk.iterdir()) == []


def test_a_read_only_disk_is_one_clear_line(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(BidsdefaceError, match="Read-only file system"), Staging(small_disk):
        pass


def test_a_withdrawn_result_is_gone_and_withdrawing_twice_is_no_error(tmp_path):
    stage_and_publish(tmp_path)
    withdraw(tmp_path, HEAD, SCAN)
    withdraw(tmp_path, HEAD, SCAN)
    assert names(tmp_path) == []


def test_a_mask_that_a_set_shares_stays_while_another_of_the_set_has_its_result(tmp_path):
    echoes = [Scan(Path(f"sub-1_echo-{n}_T1w.nii"), (("sub", "1"), ("echo", n)), "T1w", ".nii") for n in "12"]
    files = {name for echo in echoes for name in vars(outputs_of(echo)).values()}
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    withdraw(tmp_path, Head("1", None, tuple(echoes), echoes[0]), echoes[1])
    assert names(tmp_path) == sorted(str(name) for name in vars(outputs_of(echoes[0])).values())


def test_a_result_is_complete_only_with_all_files_and_the_same_settings(tmp_path):
    settings = {"Version": "1", "Regions": ("face",), "GuardMm": 4.0}
    assert not is_complete(tmp_path, OUTPUTS, settings)
    stage_and_publish(tmp_path, {**settings, "Verdict": "passed"})
    assert is_complete(tmp_path, OUTPUTS, settings)
    assert not is_complete(tmp_path, OUTPUTS, {**settings, "GuardMm": 5.0})
    assert not is_complete(tmp_path, OUTPUTS, {**settings, "Method": "remove"})
    (tmp_path / OUTPUTS.mask).unlink()
    assert not is_complete(tmp_path, OUTPUTS, settings)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Bidsdeface": 1}', "{"])
def test_a_sidecar_that_is_not_ours_does_not_count_as_complete(tmp_path, text):
    stage_and_publish(tmp_path)
    (tmp_path / OUTPUTS.image_sidecar).write_text(text)
    assert not is_complete(tmp_path, OUTPUTS, {"Version": "1"})
