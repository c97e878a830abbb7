"""The embedded template, TemplateFlow, and what is said when a template cannot be had."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bidsdeface.errors import TemplateError
from bidsdeface.head.fit import make_template_set
from bidsdeface.imaging.volume import apply_affine, interpolate
from bidsdeface.settings import Settings
from bidsdeface.templates.source import EMBEDDED_ROOT, check_template, find_template, whole_head

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
        find_template(name)
    message = str(error.value)
    assert message.startswith(f"template {name}: ") and "\n" not in message
    return message


def test_a_template_is_found_by_name(root):
    parts = find_template("MyHead")
    assert parts.name == "MyHead" and parts.regions.keys() == {"face"}
    extended = np.array(parts.head.data.shape) - embedded("T1w").shape
    assert list(extended) == [0, 40, 70]  # 80 mm in front and 140 mm below, in voxels of 2 mm


def test_the_mask_of_a_template_goes_on_beyond_its_field_of_view(root):
    face = find_template("MyHead").regions["face"]
    assert face[:, -1, :].any() and face[:, :, 0].any()


def test_a_template_is_known_before_it_is_fetched(root, tmp_path):
    assert check_template("MyHead") is None and check_template(str(tmp_path)) is None
    for unknown in ("NoSuchHead", str(tmp_path / "none")):
        with pytest.raises(TemplateError):
            check_template(unknown)


def test_an_unknown_template_names_the_folder_and_the_ways_out(root):
    message = error_of("NoSuchHead")
    assert "is not in TemplateFlow" in message and str(root) in message
    assert "run `templateflow get NoSuchHead`" in message and "use --template WholeHead" in message


def distance_of(template, region, points):
    found = template.regions_mm[region]
    return interpolate(found.data, found.affine, points, np.inf)


@pytest.mark.parametrize("regions", [("face",), ("face", "ears")])
def test_a_template_without_masks_is_lent_those_of_the_whole_head(root, tmp_path, masks, regions):
    """Here it is the same head, smaller and elsewhere: so must the masks be."""
    smaller = np.diag([0.8, 0.85, 0.8, 1.0])
    smaller[:3, 3] = [5, -12, 20]
    for path in root.glob("tpl-MyHead/*"):
        if path.name.endswith("nii.gz"):
            image = nib.load(path)
            nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), smaller @ image.affine), path)
    next(root.glob("tpl-MyHead/*face*")).unlink()
    templates = make_template_set("MyHead", regions)
    voxels = np.stack(np.meshgrid(*map(np.arange, masks["face"].shape), indexing="ij"), -1)
    places = apply_affine(smaller @ embedded("T1w").affine, voxels)
    for region in regions:
        lent, own = distance_of(templates.template, region, places) < 0, masks[region]
        assert 2 * (lent & own).sum() / (lent.sum() + own.sum()) > 0.93
    assert not (templates.template.brain_mm.data < 0).all()


def as_cohorts(root, labels):
    folder = root / "tpl-MyHead"
    for path in list(folder.glob("*.nii.gz")):
        for label in labels:
            name = path.name.replace("tpl-MyHead", f"tpl-MyHead_cohort-{label}")
            (folder / f"cohort-{label}").mkdir(exist_ok=True)
            shutil.copyfile(path, folder / f"cohort-{label}" / name)
        path.unlink()


def test_a_cohort_is_found_by_its_label(root):
    as_cohorts(root, ("1", "2"))
    assert find_template("MyHead:cohort-2").name == "MyHead:cohort-2"
    assert "has cohorts 1, 2; write MyHead:cohort-…" in error_of("MyHead")
    assert "TemplateFlow has no T1w image of it" in error_of("MyHead:cohort-7")


@pytest.mark.parametrize("given", ["MyHead:cohort", "MyHead:cohort-", "MyHead:speed-3"])
def test_a_name_that_is_not_one_says_how_it_is_written(root, given):
    assert "is not written NAME or NAME:cohort-N" in error_of(given)


@pytest.mark.parametrize("part", ["T1w", "desc-brain_mask"])
def test_a_template_with_a_part_missing_names_it(root, part):
    next(root.glob(f"tpl-MyHead/*{part}*")).unlink()
    message = error_of("MyHead")
    assert re.search(part.partition("_")[0].replace("-", "="), message)


def test_masks_on_another_grid_are_refused(root):
    path = next(root.glob("tpl-MyHead/*brain*"))
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj)[1:], image.affine), path)
    assert "do not share a grid" in error_of("MyHead")


def test_a_folder_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(TemplateError):
        find_template("MyHead")


def test_a_folder_of_the_user_is_a_template(root):
    folder = root / "tpl-MyHead"
    parts = find_template(str(folder))
    assert parts.name == "tpl-MyHead" and parts.regions.keys() == {"face"}
    next(folder.glob("*face*")).unlink()
    assert find_template(str(folder)).regions == {}
    (folder / "other_T1w.nii.gz").touch()
    assert "2 files are named *T1w.nii*" in error_of(str(folder))
    (folder / "other_T1w.nii.gz").unlink()
    next(folder.glob("*brain*")).unlink()
    assert "holds no *_desc-brain_mask.nii.gz; put it there" in error_of(str(folder))


def test_a_folder_that_is_not_there_is_said_to_be(tmp_path):
    assert "no such folder" in error_of(str(tmp_path / "nowhere"))


def test_of_a_folder_only_its_name_is_published(root):
    settings = Settings(bids_dir=root, output_dir=root, level="participant", template=f"{root}/tpl-MyHead/")
    assert settings.template_name == "own:tpl-MyHead"
    assert replace(settings, template="MNIInfant:cohort-5").template_name == "MNIInfant:cohort-5"


class Archive(ThreadingHTTPServer):
    """Plays TemplateFlow's archive, well or badly."""

    def __init__(self, mood):
        super().__init__(("127.0.0.1", 0), Answer)
        self.mood, self.asked = mood, []


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.rsplit("/", 1)[1].replace("MyHead", "WholeHead")
        content, mood = (FOLDER / name).read_bytes(), self.server.mood
        self.server.asked.append(name)
        if mood == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if mood == "slow":
            self.wfile.write(content[:2000])
            self.wfile.flush()
            time.sleep(3)
        elif mood == "torn":
            self.wfile.write(content[:2000])
        else:
            self.wfile.write(content if mood == "good" else content[:-4000] + bytes(4000))

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def archive(root, monkeypatch):
    """Return a function that empties the files of the root and starts an archive to fetch them from."""
    from templateflow import client

    servers = []

    def start(mood):
        for path in root.glob("tpl-MyHead/*.nii.gz"):
            path.write_bytes(b"")
        server = Archive(mood)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        original = client.TemplateFlowClient
        monkeypatch.setattr(client, "TemplateFlowClient", partial(original, s3_root=url, timeout=1))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        return server

    yield start
    for server in servers:
        server.shutdown()


def test_what_is_missing_is_fetched_once(root, archive):
    server = archive("good")
    assert find_template("MyHead").regions.keys() == {"face"}
    assert len(server.asked) == 3
    find_template("MyHead")
    assert len(server.asked) == 3


@pytest.mark.parametrize("mood", ["missing", "slow", "torn"])
def test_what_cannot_be_fetched_is_said_and_no_half_a_file_stays(root, archive, mood):
    archive(mood)
    message = error_of("MyHead")
    assert "cannot be fetched" in message and "run `templateflow get MyHead`" in message
    assert all(path.stat().st_size == 0 for path in root.glob("tpl-MyHead/*.nii.gz"))


def test_what_was_fetched_and_is_corrupt_is_named(root, archive):
    archive("corrupt")
    message = error_of("MyHead")
    assert str(root) in message and "remove it to have it fetched again" in message
