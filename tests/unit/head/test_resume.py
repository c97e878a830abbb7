"""Resuming with private state: a result is kept only if nothing says that it was made of another input."""

import json
import os
from dataclasses import replace

import pytest

from bidsdeface.dataset.query import find_heads
from bidsdeface.head.options import NotRefaced
from bidsdeface.head.resume import expected_record, finished_scans, remember_input
from bidsdeface.imaging.image import read_bytes
from bidsdeface.output.names import outputs_of
from bidsdeface.runtime.workdir import open_state
from bidsdeface.settings import Settings
from tests.conftest import make_dataset

METADATA = {"EchoTime": 0.003, "FlipAngle": 9}  # what `make_dataset` writes


class Finished:
    """A dataset of one scan with a finished result, and its private state."""

    def __init__(self, folder):
        bids_dir = make_dataset(folder, metadata=METADATA)
        self.settings = Settings(bids_dir=bids_dir, output_dir=folder / "out", level="participant")
        self.state = open_state(folder / "work")
        (self.head,) = find_heads(bids_dir).heads
        (self.scan,) = self.head.scans
        self.image = self.publish()
        self.remember()

    def publish(self, output_dir=None, voxels="defaced"):
        output_dir = output_dir or self.settings.output_dir
        for name in outputs_of(self.scan).files:
            (output_dir / name).parent.mkdir(parents=True, exist_ok=True)
            (output_dir / name).write_text(json.dumps({"Bidsdeface": expected_record(self.settings)}))
        image = output_dir / outputs_of(self.scan).image
        image.write_text(voxels)
        return image

    def remember(self, output_dir=None):
        output_dir = output_dir or self.settings.output_dir
        content = read_bytes(self.scan.path)
        image = output_dir / outputs_of(self.scan).image
        remember_input(self.state, output_dir, self.scan, content, METADATA, image)

    def is_kept(self, state="its own", **settings):
        state = self.state if state == "its own" else state
        settings = replace(self.settings, **settings)
        return finished_scans(self.head, settings, state) == {self.scan.stem}


@pytest.fixture
def finished(tmp_path):
    return Finished(tmp_path)


def test_the_same_input_is_kept_whatever_its_times(finished):
    assert finished.is_kept()
    for year_s in (0, 4_102_444_800):
        os.utime(finished.scan.path, (year_s, year_s))
        assert finished.is_kept()


def test_one_changed_byte_in_the_image_is_done_again(finished):
    content = bytearray(finished.scan.path.read_bytes())
    status = finished.scan.path.stat()
    content[-1] ^= 1
    finished.scan.path.write_bytes(content)
    os.utime(finished.scan.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not finished.is_kept()
    assert finished.is_kept(state=None)  # as documented: without a work dir nobody can tell


def test_changed_metadata_are_done_again(finished):
    sidecar = finished.scan.path.parent / "sub-01_T1w.json"
    sidecar.write_text(json.dumps({**METADATA, "EchoTime": 0.004}))
    assert not finished.is_kept()
    sidecar.write_text("{")
    assert not finished.is_kept()  # the run will say what is wrong


def test_a_result_that_is_not_the_one_that_was_remembered_is_done_again(finished):
    finished.image.write_text("of another input")
    assert not finished.is_kept()


def test_a_damaged_fingerprint_is_done_again(finished):
    (fingerprint,) = (finished.state.folder / "fingerprints").iterdir()
    fingerprint.write_bytes(b"")
    assert not finished.is_kept()


def test_without_a_fingerprint_settings_and_version_decide(finished):
    (fingerprint,) = (finished.state.folder / "fingerprints").iterdir()
    fingerprint.unlink()
    assert finished.is_kept() and not finished.is_kept(guard_mm=5.0)


def test_a_fingerprint_does_not_outvote_the_settings(finished):
    assert not finished.is_kept(guard_mm=5.0) and not finished.is_kept(force=True)


def test_an_input_that_is_not_here_is_kept(finished):
    finished.scan.path.unlink()
    finished.scan.path.symlink_to("../../.git/annex/objects/key")
    assert finished.is_kept()


def test_two_outputs_of_one_work_dir_are_told_apart(finished, tmp_path):
    finished.scan.path.write_bytes(finished.scan.path.read_bytes() + b"\0")
    finished.publish(tmp_path / "other", voxels="of the new input")
    finished.remember(tmp_path / "other")
    assert finished.is_kept(output_dir=tmp_path / "other") and not finished.is_kept()


def test_one_path_for_two_outputs_as_in_a_container_keeps_no_wrong_result(finished, tmp_path):
    finished.settings.output_dir.rename(tmp_path / "first")
    finished.scan.path.write_bytes(finished.scan.path.read_bytes() + b"\0")
    finished.publish(voxels="of the new input")
    finished.remember()
    assert finished.is_kept()
    finished.settings.output_dir.rename(tmp_path / "second")
    (tmp_path / "first").rename(finished.settings.output_dir)
    assert not finished.is_kept()


def test_a_run_that_ended_between_fingerprint_and_publishing_is_done_again(finished, tmp_path):
    finished.scan.path.write_bytes(finished.scan.path.read_bytes() + b"\0")
    staged = tmp_path / "staged"
    staged.write_text("of the new input")
    content = read_bytes(finished.scan.path)
    remember_input(finished.state, finished.settings.output_dir, finished.scan, content, METADATA, staged)
    assert not finished.is_kept()


def test_a_fingerprint_is_no_plain_hash_and_names_nobody(finished):
    (fingerprint,) = (finished.state.folder / "fingerprints").iterdir()
    assert "sub" not in fingerprint.name and len(fingerprint.read_bytes()) == 32
    other = open_state(finished.state.folder.parent.parent / "other work")
    content = read_bytes(finished.scan.path)
    image = finished.image
    remember_input(other, finished.settings.output_dir, finished.scan, content, METADATA, image)
    (same_with_other_key,) = (other.folder / "fingerprints").iterdir()
    assert same_with_other_key.name != fingerprint.name
    assert same_with_other_key.read_bytes() != fingerprint.read_bytes()


def test_another_metadata_policy_is_done_again(finished):
    assert not finished.is_kept(drop_fields=("EchoTime",)) and not finished.is_kept(
        keep_fields=("PatientID",)
    )


def test_in_a_complete_dataset_an_image_without_its_mask_is_not_taken_for_one_without_a_face(finished):
    settings = replace(finished.settings, output_layout="bids")
    outputs = outputs_of(finished.scan, "bids")
    for name in outputs.files:
        (settings.output_dir / name).write_text(json.dumps({"Bidsdeface": expected_record(settings)}))
    assert finished_scans(finished.head, settings) == {finished.scan.stem}
    (settings.output_dir / outputs.mask).unlink()
    assert finished_scans(finished.head, settings) == set()


@pytest.mark.parametrize(
    ("made", "asked", "expected"),
    [
        ({"method": "reface"}, "reface", True),
        ({"method": "reface"}, "remove", False),
        ({"method": "remove"}, "reface", False),
        *(({"method": "reface", "not_refaced": reason}, "reface", True) for reason in NotRefaced),
        ({"method": "reface", "not_refaced": NotRefaced.MAP}, "remove", False),
    ],
)
def test_a_result_of_the_other_method_is_made_anew(finished, made, asked, expected):
    settings = replace(finished.settings, method=made["method"])
    record = expected_record(settings, not_refaced=made.get("not_refaced"))
    sidecar = finished.settings.output_dir / outputs_of(finished.scan).image_sidecar
    sidecar.write_text(json.dumps({"Bidsdeface": record}))
    assert finished.is_kept(method=asked) is expected


@pytest.mark.parametrize("asked", ["remove", "reface"])
@pytest.mark.parametrize("reason", [None, NotRefaced.BY_HAND])
def test_a_mask_by_hand_stays_whatever_the_method(finished, asked, reason):
    record = expected_record(finished.settings, by_hand=True, not_refaced=reason)
    sidecar = finished.settings.output_dir / outputs_of(finished.scan).image_sidecar
    sidecar.write_text(json.dumps({"Bidsdeface": record}))
    assert finished.is_kept(method=asked)
