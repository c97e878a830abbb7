"""A defaced head gets the average face, in its place, and only where the mask says something is missing."""

from pathlib import Path

import numpy as np
import pytest
from nibabel.affines import from_matvec

from bidsdeface.imaging.volume import apply_affine, interpolate
from bidsdeface.reidentify.attack import (
    AVERAGE_SKIN_SHARE,
    Defaced,
    Tools,
    attack,
    average_face,
    restore,
)
from bidsdeface.reidentify.recognise import look
from bidsdeface.reidentify.render import tissue_surface
from bidsdeface.templates.source import whole_head
from tests.conftest import as_image
from tests.unit.reidentify.test_findings import Watcher


@pytest.fixture(scope="module")
def template():
    return whole_head()


@pytest.fixture(scope="module")
def average(template):
    return average_face(template)


def points_in(template, inside):
    """Return places in the average head, inside or outside its face region, world mm."""
    head = template.head
    at = apply_affine(head.affine, np.argwhere(head.data > 0.15)[::50])
    face = template.regions_mm["face"]
    distance = interpolate(face.data, face.affine, at, np.inf)
    return at[distance < -6] if inside else at[distance > 6]


def defaced(template, move):
    """Return the surface of the average head, moved and without its face, and the mask."""
    head, face = template.head, template.regions_mm["face"]
    grid = apply_affine(head.affine, np.moveaxis(np.indices(head.data.shape), 0, -1))
    mask = interpolate(face.data, face.affine, grid, np.inf) < 0
    affine = move @ head.affine
    surface = tissue_surface(np.where(mask, 0, head.data), affine, "x", AVERAGE_SKIN_SHARE)
    return surface, as_image(mask.astype(np.uint8), affine)


@pytest.mark.parametrize("shift", [(0, 0, 0), (10, -20, 30)])
def test_the_average_head_gets_its_own_face_back_wherever_it_lies(template, average, shift):
    move = np.eye(4)
    move[:3, 3] = shift
    head, mask = defaced(template, move)
    restored = restore(head, mask, average, np.linalg.inv(move))
    for inside in (True, False):
        at = points_in(template, inside)
        expected = interpolate(average.solid, average.affine, at, 0.0) > 0.5
        found = interpolate(restored.solid, restored.affine, at + shift, 0.0) > 0.5
        missing = interpolate(head.solid, head.affine, at + shift, 0.0) > 0.5
        assert (found == expected).mean() > 0.97
        if inside:
            assert expected.mean() > 0.8 and missing.mean() < 0.1


def test_where_nothing_was_removed_nothing_is_added(template, average):
    head, mask = defaced(template, np.eye(4))
    small = as_image(np.zeros_like(mask.stored), mask.affine)
    small.stored[55, 120, 60] = 1
    restored = restore(head, small, average, np.eye(4))
    at = points_in(template, True)
    assert (interpolate(restored.solid, restored.affine, at, 0.0) > 0.5).mean() < 0.1


@pytest.fixture(scope="module")
def tools(template):
    return Tools(Watcher(), template, Path())


def refaced(template, turn, inside):
    """Return the average head, turned, with this brightness in its face region."""
    head, face = template.head, template.regions_mm["face"]
    grid = apply_affine(head.affine, np.moveaxis(np.indices(head.data.shape), 0, -1))
    mask = interpolate(face.data, face.affine, grid, np.inf) < 0
    affine = from_matvec(turn) @ head.affine
    values = np.where(mask, inside, head.data).astype(np.float32)
    return Defaced(as_image(values, affine), as_image(mask.astype(np.uint8), affine), from_matvec(turn.T))


def test_the_restoring_attacker_empties_the_mask_first(template, tools):
    original = look(tools.average, tools.recogniser)
    seen = [
        attack(refaced(template, np.eye(3), inside), original, tools, ("restoring",))["restoring"]
        for inside in (template.head.data, 0.0, 0.5)
    ]
    assert len({tuple(sight.embedding) for sight in seen}) == 1
