"""Every defaced scan is measured beside its original, once; what cannot be measured costs nothing else."""

import json
import os
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest

from bidsdeface.errors import BidsdefaceError, ImageError, RegistrationError
from bidsdeface.impact import study
from bidsdeface.impact.measure import Measured
from bidsdeface.output.record import Published
from bidsdeface.output.request import Request
from bidsdeface.report.impact import CHANGES
from bidsdeface.runtime.workdir import open_state
from bidsdeface.runtime.workers import Lost
from tests.unit.test_group import NO_FACE, RECORD

BRAIN_ML = {"raw": 1000.0, "out": 990.0}


@pytest.fixture
def request_(tmp_path):
    for label in "12":
        for path in (f"raw/sub-{label}/anat/sub-{label}_T1w.nii", defaced(label)):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(path)
    return Request(bids_dir=tmp_path / "raw", output_dir=tmp_path / "out")


def defaced(label):
    return f"out/sub-{label}/anat/sub-{label}_desc-defaced_T1w.nii.gz"


def published(label, record=RECORD):
    image = PurePosixPath(defaced(label)).relative_to("out")
    return Published(
        image, {"Sources": [f"bids:raw:sub-{label}/anat/sub-{label}_T1w.nii"], "Bidsdeface": record}
    )


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Return the images that were measured, by a tool that looks at their paths alone."""
    seen = []

    def measure(path, templates):
        seen.append(str(path.relative_to(tmp_path)))
        return Measured(BRAIN_ML[path.relative_to(tmp_path).parts[0]], (1.0, 2.0, 3.0), np.eye(4))

    def run(prepare, arguments, items, n_procs):
        work = prepare(*arguments)
        for item in items:
            try:
                yield from ((item, result) for result in work(item))
            except BidsdefaceError as error:
                yield item, error

    monkeypatch.setattr(study, "read_image", lambda path: path)
    monkeypatch.setattr(study, "measure_alone", measure)
    monkeypatch.setattr(study, "run_in_workers", run)
    return seen


@pytest.fixture
def state(tmp_path):
    return open_state(tmp_path / "work")


def test_each_defaced_scan_is_compared_with_its_original(request_, state, measured):
    changes = study.measure_impact(request_, state, [published("1"), published("2", NO_FACE)])
    ((image, change),) = changes.items()
    assert str(image) == "sub-1/anat/sub-1_desc-defaced_T1w.nii.gz"
    assert change == {**dict.fromkeys((check.measure for check in CHANGES), 0.0), "brain_percent": -1.0}
    assert measured == ["raw/sub-1/anat/sub-1_T1w.nii", defaced("1")]


def test_what_was_measured_is_not_measured_again_until_the_image_changes(request_, state, measured, tmp_path):
    scans = [published("1"), published("2")]
    first = study.measure_impact(request_, state, scans)
    measured.clear()
    assert study.measure_impact(request_, state, scans) == first and measured == []
    os.utime(tmp_path / defaced("2"), (0, 0))
    study.measure_impact(request_, state, scans)
    assert measured == [defaced("2")]


def test_what_is_kept_is_private(request_, state, measured):
    study.measure_impact(request_, state, [published("1")])
    folder = state.folder_for("impact", request_.output_dir)
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = [json.loads(path.read_text())["brain_ml"] for path in folder.iterdir()]
    assert sorted(kept) == [990.0, 1000.0]
    outside = [path for path in request_.output_dir.rglob("*") if path.is_file()]
    assert len(outside) == 2


@pytest.mark.parametrize("error", [RegistrationError("no head"), ImageError("broken")])
def test_an_image_that_cannot_be_measured_costs_no_other(
    request_, state, measured, monkeypatch, caplog, error
):
    able = study.measure_alone

    def measure(path, templates):
        if path.name.startswith("sub-1_desc"):
            raise error
        return able(path, templates)

    monkeypatch.setattr(study, "measure_alone", measure)
    first, second = study.measure_impact(request_, state, [published("1"), published("2")]).values()
    assert first == {} and second["brain_percent"] == -1.0
    (line,) = caplog.messages
    assert line.startswith(f"{request_.output_dir.parent / defaced('1')}: its impact is not measured: ")


def test_an_original_that_is_gone_costs_no_other(request_, state, measured, caplog):
    (request_.bids_dir / "sub-1/anat/sub-1_T1w.nii").unlink()
    first, second = study.measure_impact(request_, state, [published("1"), published("2")]).values()
    assert first == {} and second and len(caplog.messages) == 1


def test_those_who_were_asked_for_are_measured(request_, state, measured):
    scans = [published("1"), published("2")]
    (image,) = study.measure_impact(replace(request_, participants=("2",)), state, scans)
    assert image.parts[0] == "sub-2"
    assert study.measure_impact(replace(request_, sessions=("a",)), state, scans) == {}


def test_a_cause_that_may_pass_ends_the_study_and_the_next_goes_on(request_, state, measured, monkeypatch):
    able = study.measure_alone

    def measure(path, templates):
        if path.name.startswith("sub-2_desc"):
            raise ImageError("changed while it was read", retry=True)
        return able(path, templates)

    scans = [published("1"), published("2")]
    monkeypatch.setattr(study, "measure_alone", measure)
    with pytest.raises(ImageError):
        study.measure_impact(request_, state, scans)
    monkeypatch.setattr(study, "measure_alone", able)
    measured.clear()
    study.measure_impact(request_, state, scans)
    assert measured == [defaced("2")]


def test_a_lost_process_costs_its_own_scan(request_, state, monkeypatch, caplog):
    monkeypatch.setattr(
        study, "run_in_workers", lambda *_: [(study._pair(published("1"), request_), Lost("killed"))]
    )
    (changes,) = study.measure_impact(request_, state, [published("1")]).values()
    assert changes == {} and "its impact is not measured: killed" in caplog.text
