"""A face is seen by its skin: bright in what is in view, or dim all over."""

import numpy as np
import pytest

from bidsdeface.head.likely_places import likely_places
from bidsdeface.imaging.facemask import region_distance
from bidsdeface.imaging.volume import Volume, apply_affine, voxel_places
from bidsdeface.quality.no_face import face_seen

HERE = np.eye(4)


@pytest.fixture(scope="module")
def template_head(templates):
    """Return a function that makes an EPI of the template's head, of given brightness outside the brain."""
    head = templates.head_template.head
    step = np.diag([2.0, 2.0, 2.0, 1.0])
    shape = tuple(n // 2 for n in head.data.shape)
    places = voxel_places(shape, head.affine @ step)
    brain = region_distance((templates.head_template.brain_mm,), HERE, places) < 0
    inside = region_distance((templates.head_template.head_mm,), HERE, places) <= 0

    def make(skin, above_mm=-np.inf, turned=HERE):
        noise = np.random.default_rng(0).random(shape) * 0.02
        data = np.where(brain, 1.0, np.where(inside, skin, 0.0)) + noise
        seen = places[..., 2] > above_mm
        first = int(seen.any(axis=(0, 1)).argmax())
        data = data[:, :, first:].astype(np.float32)
        affine = turned @ head.affine @ step
        affine[:3, 3] = apply_affine(affine, np.array([0, 0, first]))
        return Volume(data, affine, np.ones_like(data))

    return make


def seen(volume, templates, placement=HERE):
    return face_seen([volume], [placement], templates.head_template)


@pytest.mark.parametrize(("skin", "is_face"), [(1, True), (0.4, True), (0.1, True), (0.06, True), (0, False)])
def test_a_face_is_seen_down_to_a_sixteenth_of_the_brain(template_head, templates, skin, is_face):
    assert (seen(template_head(skin), templates) > 1) is is_face


@pytest.mark.parametrize(
    ("above_mm", "skin", "is_face"),
    [(-50, 0.5, True), (-50, 0.1, False), (-15, 1.0, False), (60, 1.0, False)],
)
def test_of_a_part_of_a_face_only_what_is_bright_and_no_forehead_counts(
    template_head, templates, above_mm, skin, is_face
):
    assert (seen(template_head(skin, above_mm), templates) > 1) is is_face


def test_what_is_met_here_and_there_is_no_skin(template_head, templates):
    """Ghosts, eyes and muscles: as much as a face, near where its skin would be, at any depth."""
    head, rng = template_head(0.0), np.random.default_rng(2)
    places = voxel_places(head.data.shape, head.affine)
    depth = region_distance((templates.head_template.head_mm,), HERE, places)
    shell = (depth < 6) & (templates.head_template.brain_mm.at(places, np.inf) > 5)
    ghosts = shell & (rng.random(head.data.shape) < 0.15)
    head.data[ghosts] = 0.6
    assert seen(head, templates) < 1


def test_a_placement_that_is_somewhat_off_still_finds_the_face(template_head, templates):
    off = np.eye(4)
    off[1, 3], off[2, 3] = 10, 6
    assert seen(template_head(0.5), templates, off) > 1


def test_the_volume_and_the_placement_that_show_most_count(template_head, templates):
    dark, bright = template_head(0.0), template_head(1.0)
    far = np.eye(4)
    far[2, 3] = 200
    both = face_seen([dark, bright], [far, HERE], templates.head_template)
    assert both == seen(bright, templates) > 1


def test_an_image_that_cannot_be_placed_says_nothing(templates):
    noise = np.random.default_rng(1).random((12, 14, 10)).astype(np.float32)
    volume = Volume(noise, np.diag([6.0, 6.0, 6.0, 1.0]), np.ones_like(noise))
    places = likely_places(volume, None, templates)
    assert not places and np.isnan(face_seen([volume], places, templates.head_template))


def test_an_edge_of_the_field_of_view_is_no_skin(templates):
    """Noise in a small field of view that ends where the face would be: nothing is met from the air."""
    noise = 0.4 + 0.6 * np.random.default_rng(1).random((16, 22, 10)).astype(np.float32)
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    face = templates.head_template.skin.mean(axis=0)
    worst = 0.0
    for front_mm in range(-12, 13, 3):
        affine[:3, 3] = face + [-48, front_mm - 132, -20]
        worst = max(worst, seen(Volume(noise, affine, np.ones_like(noise)), templates))
    assert worst < 1
