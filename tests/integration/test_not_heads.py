"""What is not a person's head ends as failed, with nothing published; a head among them passes."""

import pytest

from bidsdeface.dataset.validator import find_problems
from tests.conftest import make_dataset
from tests.heads import find_head
from tests.integration.conftest import bidsdeface_read_only, published

pytestmark = [pytest.mark.heads, pytest.mark.slow]

NOT_HEADS = {
    "phantom": ("O02", "T1w.nii.gz"),
    "animal": ("O05", "T1w.nii"),
    "neck": ("O06a", "T1w.nii.gz"),
    "skullphantom": ("O07", "T1w.nii.gz"),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    root = tmp_path_factory.mktemp("not-heads")
    scans = {f"sub-{n}/anat/sub-{n}_{end}": find_head(name) for n, (name, end) in NOT_HEADS.items()}
    bids_dir = make_dataset(root, {**scans, "sub-head/anat/sub-head_T1w.nii.gz": find_head("S04")})
    return root / "out", bidsdeface_read_only(bids_dir, root / "out", "--n-procs", "2")


def test_the_run_ends_with_3(outcome):
    assert outcome[1].code == 3


@pytest.mark.parametrize("name", NOT_HEADS)
def test_it_fails_in_one_line_and_nothing_of_it_is_published(outcome, name):
    output_dir, run = outcome
    (line,) = [line for line in run.said.splitlines() if f"sub-{name}_" in line]
    assert line.startswith("ERROR FAILED") and "--mask" in line
    assert published(output_dir, f"sub-{name}") == []
    assert not (output_dir / f"sub-{name}").exists()


def test_the_head_among_them_is_published(outcome):
    output_dir, run = outcome
    assert "sub-head_T1w: passed" in run.said
    assert len(published(output_dir, "sub-head")) == 5
    assert find_problems(output_dir) == []
