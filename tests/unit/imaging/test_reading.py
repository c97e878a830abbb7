"""Reading a file: whole and of one moment, or one clear line."""

import errno
import os
import threading
from pathlib import Path

import pytest

from bidsdeface.errors import ImageError
from bidsdeface.imaging.image import read_bytes


def test_a_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(b"abc")
    (tmp_path / "link.nii").symlink_to(path)
    assert read_bytes(path) == read_bytes(tmp_path / "link.nii") == b"abc"


def append(path):
    with path.open("ab") as file:
        file.write(b"x")


def rewrite(path):
    with path.open("r+b") as file:
        file.write(b"x")


def replace_(path):
    copy = path.with_name("copy")
    copy.touch()
    os.truncate(copy, path.stat().st_size)
    os.replace(copy, path)


@pytest.mark.parametrize("change", [append, rewrite, replace_, lambda path: os.truncate(path, 5)])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, change):
    path = tmp_path / "a.nii"
    path.touch()
    os.truncate(path, 64_000_000)  # takes long enough to read
    done = threading.Event()

    def keep_changing():
        while not done.wait(0.002):
            change(path)

    thread = threading.Thread(target=keep_changing)
    thread.start()
    try:
        with pytest.raises(ImageError, match="a.nii: changed while it was read; run again when the copy is"):
            for _ in range(20):
                if path.stat().st_size < 64_000_000:
                    os.truncate(path, 64_000_000)
                read_bytes(path)
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("number", "way_out"),
    [(errno.EACCES, "check its permissions"), (errno.ESTALE, "run again"), (errno.EIO, "run again")],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path, monkeypatch, number, way_out):
    def broken(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(ImageError, match=f"a.nii: cannot be read .{os.strerror(number)}.*{way_out}"):
        read_bytes(tmp_path / "a.nii")
