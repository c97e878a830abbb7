"""The figure of a scan: outlines in two colours on its slices, none on its surfaces."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Picture

from bidsdeface.imaging.image import Image
from bidsdeface.imaging.volume import reduce_image
from bidsdeface.report import colours
from bidsdeface.report.figure import GUARD, MASK, PANEL_PIXELS, WHITE, draw, views

CENTRE = np.array([30.0, 30.0, 30.0])


@pytest.fixture
def head():
    """Return a ball of 25 mm around the centre."""
    away = np.linalg.norm(np.indices((61, 61, 61)).transpose(1, 2, 3, 0) - CENTRE, axis=-1)
    nifti = nib.Nifti1Image((away < 25).astype(np.int16) * 100, np.eye(4))
    return Image(nifti.header, np.eye(4), np.asanyarray(nifti.dataobj))


def panels(image, mask=None, guard=None):
    whole = views(image, reduce_image(image, "ball"), CENTRE, mask, guard)
    return np.split(whole, whole.shape[1] // PANEL_PIXELS, axis=1)


def test_each_slice_has_both_outlines_and_the_surfaces_have_none(head):
    mask = np.zeros(head.stored.shape, bool)
    mask[:, 40:, :] = True
    plain = panels(head)
    *slices, front, side = panels(head, mask, lambda points: np.linalg.norm(points - CENTRE, axis=-1) - 12)
    assert all((panel <= WHITE).all() for panel in (*plain, front, side))
    assert [bool((panel == GUARD).any()) for panel in slices] == [True] * 3
    assert [bool((panel == MASK).any()) for panel in slices] == [True, False, True]  # one is before the mask
    changed = slices[0] != plain[0]
    assert (slices[0][changed] > WHITE).all() and changed.mean() < 0.05


def test_the_picture_has_two_colours_beside_its_greys(head, tmp_path):
    mask = np.zeros(head.stored.shape, bool)
    mask[20:, 20:, 20:] = True
    shown = panels(head, mask, lambda points: np.linalg.norm(points - CENTRE, axis=-1) - 12)
    draw(tmp_path / "a.png", np.concatenate(shown, axis=1))
    picture = Picture.open(tmp_path / "a.png")
    assert picture.mode == "P"
    seen = {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in picture.convert("RGB").getcolors()}
    coloured = {colour for colour in seen if len({colour[1:3], colour[3:5], colour[5:7]}) > 1}
    assert coloured == {colours.MASK, colours.GUARD} and {"#000000", "#ffffff"} <= seen
