"""What the group level measures of the impact of defacing, on the average head."""

import csv

import pytest

from bidsdeface.runtime.workdir import open_state
from tests.conftest import make_dataset
from tests.heads import find_head
from tests.integration.conftest import bidsdeface, bidsdeface_read_only

pytestmark = pytest.mark.slow


def test_defacing_changes_little_and_only_differences_are_shared(tmp_path):
    bids_dir = make_dataset(tmp_path, {"sub-01/anat/sub-01_T1w.nii.gz": find_head("average")})
    out, work_dir = tmp_path / "out", tmp_path / "work"
    options = ("-w", str(work_dir))
    assert bidsdeface_read_only(bids_dir, out, "--skip-bids-validation", *options).code == 0
    run = bidsdeface(bids_dir, out, "--impact", *options, level="group")
    assert run.code == 0, run.said
    with (out / "impact.tsv").open(newline="") as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    assert row.pop("scan") == "sub-01/anat/sub-01_desc-defaced_T1w.nii.gz"
    changes = {name: abs(float(value)) for name, value in row.items()}
    assert len(changes) == 5 and changes["BrainPercent"] < 3 and changes["PlacementMM"] < 1, changes
    kept = open_state(work_dir).folder_for("impact", out)
    before = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    again = bidsdeface(bids_dir, out, "--impact", "--skip-output-validation", *options, level="group")
    assert again.code == 0 and len(before) == 2
    assert before == {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    assert "Impact on measurements" in (out / "report.html").read_text()
