"""Another template from TemplateFlow, offline: its own mask, carried past its own field of view."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.imaging.image import read_image
from tests.conftest import make_dataset
from tests.heads import SHARED, find_head
from tests.integration.conftest import bidsdeface_read_only

pytestmark = [pytest.mark.heads, pytest.mark.slow]

LANDMARKS = json.loads(Path(__file__).with_name("landmarks.json").read_text())
TEMPLATE = "MNI152NLin2009cAsym"
OFFLINE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def root():
    folder = SHARED / "templateflow"
    if not (folder / f"tpl-{TEMPLATE}").is_dir():
        pytest.skip(f"{TEMPLATE} not there: it belongs in ../{SHARED.name}/templateflow, by the repository")

    def state():
        return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))

    before = state()
    yield folder
    assert state() == before, "TemplateFlow's root was changed"


@pytest.fixture
def without_face_mask(root, tmp_path):
    """Return a root with the same template, but for its face mask: WholeHead lends its own."""
    home = tmp_path / "templateflow"
    shutil.copytree(root / f"tpl-{TEMPLATE}", home / f"tpl-{TEMPLATE}")
    next(home.glob("*/*desc-face*")).unlink()
    return home


@pytest.mark.parametrize(("name", "lent"), [("S01", False), ("S04", True)])
def test_a_templateflow_template_hides_the_face_down_to_the_chin(
    root, without_face_mask, tmp_path, name, lent
):
    root = without_face_mask if lent else root
    bids_dir = make_dataset(tmp_path, {"sub-01/anat/sub-01_T1w.nii.gz": find_head(name)})
    run = bidsdeface_read_only(
        bids_dir, tmp_path / "out", "--template", TEMPLATE, TEMPLATEFLOW_HOME=str(root), **OFFLINE
    )
    assert run.code == 0, run.said
    stem = tmp_path / "out/sub-01/anat/sub-01_"
    original = read_image(find_head(name))
    defaced = read_image(Path(f"{stem}desc-defaced_T1w.nii.gz"))
    mask = read_image(Path(f"{stem}mod-T1w_desc-face_defacemask.nii.gz")).stored > 0
    to_voxel = np.linalg.inv(original.affine)
    inside = {
        landmark: bool(mask[tuple(np.round(nib.affines.apply_affine(to_voxel, where)).astype(int))])
        for landmark, where in LANDMARKS[name].items()
        if lent or landmark != "brow"  # the stand-in's own face mask begins below it
    }
    assert inside == {landmark: landmark not in ("occiput", "vertex") for landmark in inside}
    assert np.array_equal(defaced.stored[~mask], original.stored[~mask])
    record = json.loads(Path(f"{stem}desc-defaced_T1w.json").read_text())["Bidsdeface"]
    assert record["Template"] == TEMPLATE
    assert all(np.isfinite(value) for value in record["Measures"].values())
    assert record["Measures"]["BrainInMaskML"] == 0


def test_a_template_that_is_not_there_is_one_clear_line_and_nothing_falls_back(root, tmp_path):
    bids_dir = make_dataset(tmp_path)
    run = bidsdeface_read_only(
        bids_dir, tmp_path / "out", "--template", "NoSuchHead", TEMPLATEFLOW_HOME=str(root), **OFFLINE
    )
    assert run.code == 1
    (line,) = [line for line in run.said.splitlines() if "NoSuchHead" in line]
    assert "is not in TemplateFlow" in line and "--template WholeHead" in line
    assert "Traceback" not in run.said and not (tmp_path / "out").exists()
