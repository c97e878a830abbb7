"""The embedded template, TemplateFlow, and what is said when a template cannot be had."""

import json
import os
import re
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bidsdeface.errors import TemplateError
from bidsdeface.imaging.volume import apply_affine, interpolate
from bidsdeface.templates.source import EMBEDDED_ROOT, load_template, whole_head

FOLDER = EMBEDDED_ROOT / "tpl-WholeHead"


def embedded(name):
    return nib.load(FOLDER / f"tpl-WholeHead_res-02_{name}.nii.gz")


@pytest.fixture(scope="module")
def masks():
    return {name: embedded(f"desc-{name}_mask").get_fdata() > 0 for name in ("face", "brain", "ears")}


def test_the_embedded_template_is_no_larger_than_2_mb():
    assert sum(path.stat().st_size for path in EMBEDDED_ROOT.rglob("*") if path.is_file()) <= 2_000_000


def test_the_embedded_template_says_whose_it_is_and_under_which_licence():
    description = json.loads((FOLDER / "template_description.json").read_text())
    assert "MIT" in description["License"]
    assert "pydeface" in json.dumps(description)


def test_t1w_and_masks_share_one_canvas(masks):
    t1w = embedded("T1w")
    for name in masks:
        mask = embedded(f"desc-{name}_mask")
        assert mask.shape == t1w.shape and np.array_equal(mask.affine, t1w.affine)
        assert mask.get_data_dtype() == np.uint8
    assert nib.aff2axcodes(t1w.affine) == ("R", "A", "S")


def test_the_canvas_is_padded_in_front_and_below():
    """At least 60 mm before, and 80 mm below, what the mean itself shows."""
    t1w = embedded("T1w")
    shown = np.argwhere(t1w.get_fdata() > 0)
    low, high = apply_affine(t1w.affine, shown.min(axis=0)), apply_affine(t1w.affine, shown.max(axis=0))
    front = apply_affine(t1w.affine, np.array(t1w.shape) - 1)[1] - high[1]
    below = low[2] - t1w.affine[2, 3]
    assert front >= 60 and below >= 80


def test_the_masks_are_apart(masks):
    assert not (masks["face"] & masks["brain"]).any()
    assert not (masks["ears"] & masks["brain"]).any()


def test_each_mask_is_in_one_piece_but_the_ears_in_two(masks):
    assert [ndimage.label(masks[name])[1] for name in ("face", "brain", "ears")] == [1, 1, 2]


def test_the_face_reaches_the_front_and_the_bottom_of_the_canvas(masks):
    face = masks["face"]
    assert face[:, -1, :].any() and face[:, :, 0].any()
    assert not face[:, 0, :].any() and not face[:, :, -1].any()


def test_a_signed_distance_of_each_mask_is_negative_where_the_mask_is(masks):
    template = whole_head(("face", "ears"))
    voxels = np.stack(np.meshgrid(*map(np.arange, masks["face"].shape), indexing="ij"), -1)
    points = apply_affine(embedded("T1w").affine, voxels)
    for name, distance in {"brain": template.brain_mm, **template.regions_mm}.items():
        inside = interpolate(distance.data, distance.affine, points, np.inf) < 0
        assert 2 * (inside & masks[name]).sum() / (inside.sum() + masks[name].sum()) > 0.97


def test_reading_the_embedded_template_writes_nothing_to_home(tmp_path):
    script = "from bidsdeface.templates.source import whole_head; whole_head()"
    environ = {key: value for key, value in os.environ.items() if not key.startswith("TEMPLATEFLOW")}
    before = sorted((path, path.stat().st_mtime_ns) for path in EMBEDDED_ROOT.rglob("*"))
    subprocess.run([sys.executable, "-c", script], env={**environ, "HOME": str(tmp_path)}, check=True)
    assert [path for path in tmp_path.rglob("*") if "templateflow" in path.name.lower()] == []
    assert sorted((path, path.stat().st_mtime_ns) for path in EMBEDDED_ROOT.rglob("*")) == before


def test_ears_are_refused_where_the_template_has_none():
    with pytest.raises(TemplateError, match="for ears use --template WholeHead"):
        load_template("MNI152NLin2009cAsym", ("face", "ears"))


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return a TemplateFlow root that holds the embedded template, as one from elsewhere."""
    home = tmp_path / "templateflow"
    folder = home / "tpl-MyHead"
    folder.mkdir(parents=True)
    for path in FOLDER.iterdir():
        shutil.copyfile(path, folder / path.name.replace("WholeHead", "MyHead"))
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(home))
    return home


def error_of(name):
    with pytest.raises(TemplateError) as error:
        load_template(name, ("face",))
    message = str(error.value)
    assert message.startswith(f"template {name}: ") and "\n" not in message
    return message


def test_a_template_is_found_by_name(root):
    template = load_template("MyHead", ("face",))
    assert template.name == "MyHead" and template.regions_mm.keys() == {"face"}
    extended = np.array(template.head.data.shape) - embedded("T1w").shape
    assert list(extended) == [0, 40, 70]  # 80 mm in front and 140 mm below, in voxels of 2 mm


def test_the_mask_of_a_template_goes_on_beyond_its_field_of_view(root):
    face = load_template("MyHead", ("face",)).regions_mm["face"]
    assert (face.data[:, -1, :] < 0).any() and (face.data[:, :, 0] < 0).any()


def test_an_unknown_template_names_the_folder_and_the_ways_out(root):
    message = error_of("NoSuchHead")
    assert "is not in TemplateFlow" in message and str(root) in message
    assert "run `templateflow get NoSuchHead`" in message and "use --template WholeHead" in message


def test_a_template_without_a_face_mask_names_the_ways_out(root):
    next(root.glob("tpl-MyHead/*face*")).unlink()
    assert "has no face mask; choose one that has, such as" in error_of("MyHead")


@pytest.mark.parametrize("part", ["T1w", "desc-brain_mask"])
def test_a_template_with_a_part_missing_names_the_part(root, part):
    next(root.glob(f"tpl-MyHead/*{part}*")).unlink()
    message = error_of("MyHead")
    assert re.search(part.partition("_")[0].replace("-", "="), message)
    assert "run `templateflow get MyHead`" in message and "use --template WholeHead" in message


def test_masks_on_another_grid_are_refused(root):
    path = next(root.glob("tpl-MyHead/*brain*"))
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj)[1:], image.affine), path)
    with pytest.raises(TemplateError, match="do not share a grid"):
        load_template("MyHead", ("face",))


def test_a_folder_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(TemplateError):
        load_template("MyHead", ("face",))
