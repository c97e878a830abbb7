"""The demo dataset: valid, of nobody, and never written over anything."""

import numpy as np

from bidsdeface.dataset.validator import find_problems
from bidsdeface.demo import main
from bidsdeface.errors import Exit
from bidsdeface.imaging.image import read_image


def test_it_is_a_valid_dataset_of_a_head(tmp_path, capsys):
    assert main([str(tmp_path / "new" / "bids")]) == 0
    run, group, report = capsys.readouterr().out.splitlines()
    dataset = tmp_path / "new" / "bids"
    assert run == f"bidsdeface {dataset} {dataset}-defaced participant" and group.endswith(" group")
    assert report.endswith(f" {dataset}-defaced/report.html")
    assert find_problems(tmp_path / "new" / "bids") == []
    (scan,) = (tmp_path / "new" / "bids").rglob("*.nii.gz")
    assert scan.name == "sub-average_T1w.nii.gz" and np.any(read_image(scan).stored)


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").write_text("")
    assert main([str(tmp_path)]) == Exit.USAGE
    assert capsys.readouterr().err == f"bidsdeface-demo: {tmp_path}: not empty; give DIR a new folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file" / "bids")]) != 0
    said = capsys.readouterr().err
    assert said.startswith("bidsdeface-demo: ") and said.count("\n") == 1
