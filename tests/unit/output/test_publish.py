"""Publishing: whole results or none, after crashes and side by side."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest

from bidsdeface.dataset.names import Scan
from bidsdeface.errors import BidsdefaceError, Exit
from bidsdeface.head.resume import has_result
from bidsdeface.output.names import outputs_of
from bidsdeface.output.publish import OutputDataset, open_staging

SCAN = Scan(Path("sub-1_T1w.nii"), (("sub", "1"),), "T1w", ".nii")
OUTPUTS = outputs_of(SCAN)
FILES = OUTPUTS.files


def stage_and_publish(output_dir, provenance=None):
    with open_staging(output_dir) as staging:
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
        with open_staging(tmp_path) as staging:
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
    OutputDataset(tmp_path).withdraw(SCAN)
    assert [path.relative_to(tmp_path) for path in moved] == [Path(name) for name in FILES]
    own = [path.relative_to(tmp_path) for path in removed if "_desc-noface_" not in path.name]
    assert own == [Path(name) for name in reversed(FILES)]


def test_withdrawing_leaves_no_empty_folder_and_takes_no_other_file(tmp_path):
    stage_and_publish(tmp_path)
    other = tmp_path / "sub-1/ses-2/anat/note.txt"
    other.parent.mkdir(parents=True)
    other.touch()
    OutputDataset(tmp_path).withdraw(SCAN)
    assert sorted(tmp_path.rglob("*")) == [*sorted(other.parents)[-3:], other]
    other.unlink()
    OutputDataset(tmp_path).withdraw(SCAN)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_run_has_removed_while_it_was_empty_is_made_again(tmp_path, monkeypatch):
    replace = os.replace

    def removed_before(source, target):
        monkeypatch.setattr(os, "replace", replace)
        target.parent.rmdir()
        replace(source, target)

    monkeypatch.setattr(os, "replace", removed_before)
    stage_and_publish(tmp_path)
    assert names(tmp_path) == sorted(map(str, FILES))


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), open_staging(tmp_path) as staging:
        (staging.folder / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_replaced_only_in_part_has_no_sidecar(tmp_path):
    stage_and_publish(tmp_path)
    with pytest.raises(BidsdefaceError), open_staging(tmp_path) as staging:
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
    with open_staging(tmp_path) as staging, final.open() as reader:
        (staging.folder / "file").write_text("new")
        before = final.stat().st_ino
        staging.publish({PurePosixPath("file"): staging.folder / "file"})
        assert reader.read() == "old" and final.stat().st_ino != before
    assert final.read_text() == "new"


def test_the_leftovers_of_a_killed_run_are_swept(tmp_path):
    script = (
        "import os, sys; from pathlib import Path\n"
        "from bidsdeface.output.publish import open_staging\n"
        "with open_staging(Path(sys.argv[1])) as staging:\n"
        "    (staging.folder / 'face.nii').write_text('private')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "face.nii").exists()
    stage_and_publish(tmp_path)
    assert not left.exists()


def error(number):
    return OSError(number, os.strerror(number))


def test_a_rename_that_nfs_reports_as_failed_though_it_was_done_counts_as_done(tmp_path, monkeypatch):
    replace = os.replace

    def retransmitted(source, target):
        replace(source, target)
        raise error(errno.ENOENT)

    stage_and_publish(tmp_path, {"Run": 1})
    monkeypatch.setattr(os, "replace", retransmitted)
    stage_and_publish(tmp_path, {"Run": 2})
    assert names(tmp_path) == sorted(map(str, FILES))
    assert all('"Run": 2' in (tmp_path / name).read_text() for name in FILES)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE, errno.EIO])
@pytest.mark.parametrize("failing", range(len(FILES)))
def test_a_rename_that_failed_is_one_clear_line_and_nothing_vouches_for_the_rest(
    tmp_path, monkeypatch, number, failing
):
    replace, calls = os.replace, []

    def failing_once(source, target):
        calls.append(target)
        if len(calls) == failing + 1:
            raise error(number)
        replace(source, target)

    stage_and_publish(tmp_path, {"Run": 1})
    monkeypatch.setattr(os, "replace", failing_once)
    with pytest.raises(BidsdefaceError, match="cannot be written .*choose another folder"):
        stage_and_publish(tmp_path, {"Run": 2})
    assert not (tmp_path / OUTPUTS.image_sidecar).exists()
    monkeypatch.undo()
    stage_and_publish(tmp_path, {"Run": 2})
    assert names(tmp_path) == sorted(map(str, FILES))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EBADF])
def test_without_locks_a_result_that_two_runs_mixed_is_taken_back(tmp_path, monkeypatch, number):
    def no_locks(*_):
        raise error(number)

    def as_another_run_comes_in_between(source, target):
        replace(source, target)
        if Path(target) == tmp_path / OUTPUTS.figure:
            monkeypatch.setattr(os, "replace", replace)
            stage_and_publish(tmp_path, {"Run": "other"})

    replace = os.replace
    monkeypatch.setattr(fcntl, "flock", no_locks)
    stage_and_publish(tmp_path, {"Run": 1})  # alone, it needs no lock
    monkeypatch.setattr(os, "replace", as_another_run_comes_in_between)
    with pytest.raises(BidsdefaceError, match="another run wrote it at the same moment; run the same"):
        stage_and_publish(tmp_path, {"Run": 2})
    assert not (tmp_path / OUTPUTS.image_sidecar).exists()


def test_nothing_is_made_through_a_link_that_leads_out_of_the_output(tmp_path):
    (tmp_path / "input/sub-1").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sub-1").symlink_to(tmp_path / "input/sub-1")
    with pytest.raises(BidsdefaceError, match="is a link out of OUTPUT_DIR"):
        stage_and_publish(tmp_path / "out")
    assert list((tmp_path / "input/sub-1").iterdir()) == []


def test_an_output_that_vanishes_is_one_clear_line_and_is_not_made_again(tmp_path):
    output_dir = tmp_path / "out"
    output_dir.mkdir()
    with pytest.raises(BidsdefaceError, match="out.*cannot be written .No such file"):  # noqa: SIM117
        with open_staging(output_dir) as staging:
            staged = {name: staging.folder / name.name for name in FILES}
            for path in staged.values():
                path.touch()
            output_dir.rename(tmp_path / "elsewhere")
            staging.publish(staged)
    assert not output_dir.exists()


def test_many_runs_side_by_side_keep_out_of_each_others_way(tmp_path):
    def publish(number):
        with open_staging(tmp_path) as staging:
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
        with open_staging(small_disk) as staging:
            (staging.folder / "image").write_bytes(bytes(200_000))
    assert list(small_disk.iterdir()) == []


def test_a_read_only_disk_is_one_clear_line(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(BidsdefaceError, match="Read-only file system"), open_staging(small_disk):
        pass


def test_a_withdrawn_result_is_gone_and_withdrawing_twice_is_no_error(tmp_path):
    stage_and_publish(tmp_path)
    OutputDataset(tmp_path).withdraw(SCAN)
    OutputDataset(tmp_path).withdraw(SCAN)
    assert names(tmp_path) == []


def test_a_mask_that_a_set_shares_stays_while_another_of_the_set_has_its_result(tmp_path):
    echoes = [Scan(Path(f"sub-1_echo-{n}_T1w.nii"), (("sub", "1"), ("echo", n)), "T1w", ".nii") for n in "12"]
    files = {name for echo in echoes for name in outputs_of(echo).files}
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    OutputDataset(tmp_path).withdraw(echoes[1])
    assert names(tmp_path) == sorted(str(name) for name in outputs_of(echoes[0]).files)
    OutputDataset(tmp_path).withdraw(echoes[0])
    assert names(tmp_path) == []


def test_a_result_is_complete_only_with_all_files_and_the_same_settings(tmp_path):
    settings = {"Version": "1", "Regions": ["face"], "GuardMm": 4.0}
    assert not has_result(tmp_path, OUTPUTS, settings)
    stage_and_publish(tmp_path, {**settings, "Verdict": "passed"})
    assert has_result(tmp_path, OUTPUTS, settings)
    assert not has_result(tmp_path, OUTPUTS, {**settings, "GuardMm": 5.0})
    assert not has_result(tmp_path, OUTPUTS, {**settings, "Method": "remove"})
    (tmp_path / OUTPUTS.mask).unlink()
    assert not has_result(tmp_path, OUTPUTS, settings)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Bidsdeface": 1}', "{"])
def test_a_sidecar_that_is_not_ours_does_not_count_as_complete(tmp_path, text):
    stage_and_publish(tmp_path)
    (tmp_path / OUTPUTS.image_sidecar).write_text(text)
    assert not has_result(tmp_path, OUTPUTS, {"Version": "1"})


def test_a_failure_whose_older_result_stays_is_an_error(tmp_path, monkeypatch):
    def stays(*_):
        raise BidsdefaceError("x: is a link out of OUTPUT_DIR")

    assert OutputDataset(tmp_path).withdraw_failed(SCAN, "broken").code is Exit.FAILED
    monkeypatch.setattr(OutputDataset, "withdraw", stays)
    assert OutputDataset(tmp_path).withdraw_failed(SCAN, "broken").code is Exit.ERROR
