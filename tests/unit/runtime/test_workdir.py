"""Private state: one key for all, fingerprints that say nothing without it, logs; and nobody else enters."""

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bidsdeface.errors import BidsdefaceError, UsageError
from bidsdeface.runtime.workdir import KEY_BYTES, LOGGER, log_of_run, open_state


@pytest.fixture
def state(tmp_path):
    return open_state(tmp_path / "work")


@pytest.fixture(autouse=True)
def logger():
    """Give the logger back as it was."""
    handlers, level = LOGGER.handlers, LOGGER.level
    LOGGER.handlers, LOGGER.level = [], logging.INFO
    yield LOGGER
    LOGGER.handlers, LOGGER.level = handlers, level


def modes(folder):
    return {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def test_state_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        state = open_state(tmp_path / "made/work")
        with log_of_run(state):
            state.remember("name", b"fingerprint")
    finally:
        os.umask(before)
    assert (tmp_path / "made/work").stat().st_mode & 0o777 == 0o700
    assert state.folder.stat().st_mode & 0o777 == 0o700
    found = modes(state.folder)
    assert {name: found[name] for name in ("key", "fingerprints", "logs")} == {
        "key": 0o600,
        "fingerprints": 0o700,
        "logs": 0o700,
    }
    (log,) = (name for name in found if name.endswith(".log"))
    assert found[log] == 0o600
    assert sorted(found) == sorted(["key", "fingerprints", "logs", "fingerprints/name", log])


def test_the_key_stays_and_is_not_shown(tmp_path, state):
    assert len(state.key) == KEY_BYTES and open_state(tmp_path / "work") == state
    assert open_state(tmp_path / "other").key != state.key
    assert repr(state.key) not in repr(state) and state.key.hex() not in repr(state)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "private" / "key"
    path.parent.mkdir()
    path.write_bytes(bytes(range(KEY_BYTES)))
    path.chmod(0o600)
    return path


def test_work_dirs_that_are_handed_one_key_agree(tmp_path, key_file):
    one, other = (open_state(tmp_path / name, key_file) for name in ("one", "other"))
    assert one.key == other.key == key_file.read_bytes()
    assert open_state(tmp_path / "one") == open_state(tmp_path / "one", key_file) == one
    assert modes(one.folder)["key"] == 0o600
    again = open_state(tmp_path / "again", one.folder / "key")  # as it lies in a work dir
    assert again.key == one.key


def test_the_key_of_a_work_dir_is_not_exchanged(tmp_path, key_file, state):
    with pytest.raises(UsageError, match="is not the key of"):
        open_state(tmp_path / "work", key_file)
    assert open_state(tmp_path / "work") == state


@pytest.mark.parametrize("mark", [".git", ".datalad", "dataset_description.json"])
def test_a_key_in_a_dataset_or_repository_is_refused(tmp_path, key_file, mark):
    (key_file.parent / mark).touch()
    below = key_file.parent / "code" / "key"
    below.parent.mkdir()
    below.symlink_to("../key")
    for path in (key_file, below):
        with pytest.raises(UsageError, match="a dataset or repository"):
            open_state(tmp_path / "work", path)
    assert not (tmp_path / "work").exists()


def test_what_is_no_private_key_is_refused(tmp_path, key_file):
    with pytest.raises(UsageError, match="cannot be read"):
        open_state(tmp_path / "work", tmp_path / "nowhere")
    key_file.write_bytes(b"short")
    with pytest.raises(UsageError, match="holds 5 bytes and not 32"):
        open_state(tmp_path / "work", key_file)
    key_file.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        open_state(tmp_path / "work", key_file)


def test_many_tasks_that_start_at_once_agree_on_one_key(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from bidsdeface.runtime.workdir import open_state\n"
        "sys.stdin.readline(); print(open_state(Path(sys.argv[1])).key.hex())\n"
    )
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", script, tmp_path / "work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(12)
    ]
    for task in tasks:
        task.stdin.write("go\n")
        task.stdin.flush()
    keys = [task.communicate()[0] for task in tasks]
    assert len(set(keys)) == 1 and len(keys[0].strip()) == 2 * KEY_BYTES
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["bidsdeface"]


def test_where_hard_links_are_missing_and_a_rename_reports_an_error_though_it_was_done(tmp_path, monkeypatch):
    real = os.rename

    def retransmitted(source, target):
        real(source, target)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)

    def no_links(*_, **__):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "rename", retransmitted)
    state = open_state(tmp_path)
    monkeypatch.undo()
    assert open_state(tmp_path) == state


def refusal(work_dir):
    with pytest.raises(UsageError) as refused:
        open_state(work_dir)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_folder_that_others_may_enter_is_refused_with_the_way_out(tmp_path, state):
    state.folder.chmod(0o750)
    assert f"run chmod 700 {state.folder}" in refusal(tmp_path / "work")


def test_a_link_in_its_place_is_refused(tmp_path, state):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/bidsdeface").symlink_to(state.folder)
    assert "is a link" in refusal(tmp_path / "other")


def test_a_dangling_link_in_its_place_is_refused_and_not_followed(tmp_path):
    (tmp_path / "bidsdeface").symlink_to(tmp_path / "made")
    assert "is a link" in refusal(tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_a_folder_of_another_user_is_refused(tmp_path, state):
    os.chown(state.folder, 65534, 65534)
    assert "belongs to another user" in refusal(tmp_path / "work")


def test_a_folder_without_a_key_is_not_taken_over(tmp_path):
    (tmp_path / "bidsdeface").mkdir(mode=0o700)
    (tmp_path / "bidsdeface/thesis").touch()
    assert "is not what bidsdeface made" in refusal(tmp_path)


def test_a_key_that_is_cut_short_is_refused(tmp_path, state):
    (state.folder / "key").write_bytes(b"short")
    assert "is damaged (5 of 32 bytes)" in refusal(tmp_path / "work")


def test_what_is_derived_depends_on_key_purpose_and_every_part(tmp_path, state):
    inputs = [("a", b"bc"), ("a", b"b", b"c"), ("ab", b"c"), ("a", b"bc", b""), ("a", b"bd")]
    results = {state.derive(*one) for one in inputs} | {open_state(tmp_path / "other").derive("a", b"bc")}
    assert len(results) == 6 and all(len(result) == 32 for result in results)
    assert open_state(tmp_path / "work").derive("a", b"bc") == state.derive("a", b"bc")


def test_a_fingerprint_is_remembered_and_replaced(state):
    assert state.remembered("scan") is None
    state.remember("scan", b"one")
    state.remember("scan", b"two")
    assert state.remembered("scan") == b"two"


def test_a_fingerprint_that_cannot_be_kept_is_one_clear_line_and_the_older_one_stays(state, monkeypatch):
    state.remember("scan", b"one")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BidsdefaceError, match="No space left"):
        state.remember("scan", b"two")
    assert state.remembered("scan") == b"one"
    assert sorted(os.listdir(state.folder)) == ["fingerprints", "key", "logs"]


def logs(state):
    return "".join(path.read_text() for path in sorted((state.folder / "logs").iterdir()))


def test_the_log_holds_everything_and_the_terminal_what_it_asked_for(state, caplog):
    with log_of_run(state):
        LOGGER.debug("a detail")
        assert LOGGER.level == logging.DEBUG
    assert LOGGER.level == logging.INFO and LOGGER.handlers == []
    assert "DEBUG a detail" in logs(state)


@pytest.mark.parametrize("end", [BidsdefaceError("broken"), SystemExit(143), KeyboardInterrupt()])
def test_the_log_holds_the_traceback_of_an_early_end(state, end):
    with pytest.raises(type(end)), log_of_run(state):
        raise end
    assert "Traceback" in logs(state) and type(end).__name__ in logs(state)


def test_every_run_has_a_log_of_its_own(state):
    for _ in range(3):
        with log_of_run(state):
            pass
    assert len(list((state.folder / "logs").iterdir())) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_log_with_one_line_and_not_the_run(state, monkeypatch, capsys):
    said = []
    terminal = logging.Handler()
    terminal.emit = lambda record: said.append(record.getMessage())
    LOGGER.addHandler(terminal)
    with open("/dev/full", "w") as full, log_of_run(state):
        LOGGER.handlers[-1].setStream(full)
        LOGGER.info("one")
        LOGGER.info("two")
    assert [line for line in said if "goes on without a log" in line] == said[2:3]
    assert said[1] == "one" and said[3] == "two" and "Traceback" not in capsys.readouterr().err


def test_a_file_system_without_permissions_is_refused_with_the_way_out(tmp_path, monkeypatch, state):
    real = os.mkdir

    def mkdir(path, mode=0o777, **how):
        real(path, mode, **how)
        os.chmod(path, 0o777)

    state.folder.chmod(0o777)
    assert "run chmod 700" in refusal(tmp_path / "work")
    monkeypatch.setattr(os, "mkdir", mkdir)
    for work_dir in (tmp_path / "work", tmp_path / "new"):
        assert "cannot keep a folder private" in refusal(work_dir)
    assert not list((tmp_path / "new").iterdir())
