"""A run never removes what it needs later, whatever has become of the input meanwhile."""

import json
import logging
import shutil

import pytest

from bidsdeface import cli
from bidsdeface.head.resume import expected_record
from bidsdeface.output.names import LAYOUTS
from bidsdeface.settings import Settings
from tests.conftest import make_dataset, write_results
from tests.integration.conftest import snapshot

UNREADABLE = {
    "cut off": b'{"Name": "x", "BIDSVersion": "1.9',
    "empty": b"",
    "Latin-1": '{"Name": "Zürich", "BIDSVersion": "1.9.0"}'.encode("latin-1"),
    "a list": b'[{"Name": "x", "BIDSVersion": "1.9.0"}]',
    "a text": b'"x"',
    "nested too deeply": b"[" * 100_000,
}
ENDS_BEFORE = {"dry-run": ("participant", "--dry-run"), "participant": ("participant",), "group": ("group",)}


@pytest.fixture(autouse=True)
def _quiet():
    yield
    logging.getLogger("bidsdeface").handlers.clear()


@pytest.fixture(params=LAYOUTS)
def finished(request, tmp_path):
    """Return input and output of a finished run, and the options of its layout."""
    bids_dir, output_dir = make_dataset(tmp_path), tmp_path / "out"
    options = ("--output-layout", request.param, "--skip-bids-validation", "--skip-output-validation")
    record = expected_record(Settings(bids_dir=bids_dir, output_dir=output_dir, level="participant"))
    if request.param == "derivatives":
        write_results(bids_dir, output_dir, {"Bidsdeface": {**record, "Measures": {}, "Verdict": "passed"}})
    else:
        output_dir.mkdir()
        shutil.copytree(bids_dir / "sub-01", output_dir / "sub-01")
        sidecar = {"Bidsdeface": {**record, "Measures": {}, "Verdict": "passed"}}
        (output_dir / "sub-01/anat/sub-01_T1w.json").write_text(json.dumps(sidecar))
        ours = {
            "Name": "x",
            "BIDSVersion": "1.9.0",
            "DatasetType": "raw",
            "GeneratedBy": [{"Name": "bidsdeface"}],
        }
        (output_dir / "dataset_description.json").write_text(json.dumps(ours))
    return bids_dir, output_dir, options


@pytest.mark.parametrize("level", ENDS_BEFORE.values(), ids=ENDS_BEFORE)
def test_a_description_that_cannot_be_read_ends_the_run_before_anything_is_changed(finished, level, capsys):
    bids_dir, output_dir, options = finished
    path = bids_dir / "dataset_description.json"
    before = snapshot(output_dir)
    for what, content in UNREADABLE.items():
        path.write_bytes(content)
        assert cli.main([str(bids_dir), str(output_dir), *level, *options]) == 1, what
        said = capsys.readouterr().err
        assert said.startswith(f"bidsdeface: error: {path}: ") and said.count("\n") == 1
        assert "Zürich" not in said and snapshot(output_dir) == before


def test_a_dry_run_of_the_group_level_is_wrong_usage_and_changes_nothing(finished, capsys):
    bids_dir, output_dir, options = finished
    before = snapshot(output_dir)
    assert cli.main([str(bids_dir), str(output_dir), "group", "--dry-run", *options]) == 2
    assert "--dry-run: is for the participant level" in capsys.readouterr().err
    assert snapshot(output_dir) == before


def test_a_byte_order_mark_makes_no_description_unreadable(finished):
    bids_dir, output_dir, options = finished
    path = bids_dir / "dataset_description.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert cli.main([str(bids_dir), str(output_dir), "participant", "--dry-run", *options]) == 0


def test_nothing_is_withdrawn_from_the_dataset_of_somebody_else(tmp_path, capsys):
    """Of a scan that is there twice, an older result is withdrawn: in our own output alone."""
    bids_dir, other = make_dataset(tmp_path), make_dataset(tmp_path / "other")
    (bids_dir / "sub-01/anat/sub-01_T1w.nii").write_bytes(b"")
    before = snapshot(other)
    assert cli.main([str(bids_dir), str(other), "participant", "--output-layout", "bids"]) == 2
    assert "bidsdeface did not make" in capsys.readouterr().err
    assert snapshot(other) == before


@pytest.mark.parametrize("level", ENDS_BEFORE.values(), ids=ENDS_BEFORE)
def test_a_description_of_the_output_that_is_not_fetched_is_named_with_the_way_out(finished, level, capsys):
    bids_dir, output_dir, options = finished
    path = output_dir / "dataset_description.json"
    path.unlink()
    path.symlink_to(".git/annex/objects/aa/bb/MD5E-s9--0.json/MD5E-s9--0.json")
    assert cli.main([str(bids_dir), str(output_dir), *level, *options]) == 1
    said = capsys.readouterr().err
    assert f"{path}: its content is not here; in {output_dir}, run: datalad get " in said
    assert said.count("\n") == 1
