"""Pictures show the head where it is, as large as it is, whatever the grid and the contrast."""

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.errors import ImageError
from bidsdeface.reidentify.render import BACKGROUND, CAMERA_MM, WIDTH_MM, View, image_surface, render
from tests.conftest import as_image
from tests.unit.imaging.test_volume import ALL_ORIENTATIONS

RADIUS_MM = 80.0
FRONT = View()


def ball(spacing=(2.0, 2.0, 2.0), bump=None, centre=(0.0, 0.0, 0.0), size_mm=200.0):
    """Return a ball of tissue in air, with a smaller one on its surface in the direction of `bump`."""
    shape = np.ceil(size_mm / np.array(spacing)).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = centre - (shape - 1) / 2 * spacing
    at = np.moveaxis(np.indices(shape), 0, -1) * spacing + affine[:3, 3] - centre
    away = np.linalg.norm(at, axis=-1) - RADIUS_MM
    if bump is not None:
        away = np.minimum(away, np.linalg.norm(at - RADIUS_MM * np.array(bump), axis=-1) - 15)
    return nib.Nifti1Image((1000 / (1 + np.exp(2 * away))).astype(np.float32), affine)


def picture(image, view=FRONT, pixels=120):
    surface = image_surface(as_image(np.asanyarray(image.dataobj), image.affine), "x")
    return render(surface, view, pixels)


def seen(picture):
    return (picture != BACKGROUND).any(axis=-1)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.5, 2.0), (3.0, 2.0, 1.0), (2.0, 2.0, 5.0)])
def test_a_ball_is_a_disc_as_large_as_the_camera_sees_it(spacing):
    disc = seen(picture(ball(spacing)))
    # The rays that touch the ball meet the plane through its centre a little outside of it.
    radius = RADIUS_MM / np.sqrt(1 - (RADIUS_MM / CAMERA_MM) ** 2) * 120 / WIDTH_MM
    rows, columns = np.indices(disc.shape) - 59.5
    assert (disc != (np.hypot(rows, columns) < radius)).mean() < 0.015


def test_all_48_orientations_and_any_place_in_the_world_give_the_same_picture():
    head = ball((5.0, 4.0, 6.0), bump=(0.6, 0.8, 0))
    expected = picture(head, pixels=50)
    for orientation in ALL_ORIENTATIONS:
        assert np.array_equal(picture(head.as_reoriented(orientation), pixels=50), expected)
    moved = nib.Nifti1Image(head.dataobj, nib.affines.from_matvec(np.eye(3), [50, -70, 90]) @ head.affine)
    assert np.abs(picture(moved, pixels=50).astype(int) - expected).max() <= 2


def test_an_oblique_grid_shows_the_head_upright_in_the_world():
    turn = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.3, 0.2, -0.25), [20, -10, 30])
    upright = ball(bump=(0, 0, 1))
    at = np.moveaxis(np.indices((120, 120, 120)), 0, -1) * 2.0 - 119.0
    oblique = nib.Nifti1Image(sampled(upright, at @ turn[:3, :3].T + turn[:3, 3]), turn @ grid_of(at))
    difference = picture(oblique).astype(int) - picture(upright)
    assert (np.abs(difference).max(axis=-1) > 25).mean() < 0.03


def sampled(image, points):
    from bidsdeface.imaging.volume import interpolate

    return interpolate(np.asanyarray(image.dataobj), image.affine, points, 0.0).astype(np.float32)


def grid_of(at):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = at[0, 0, 0]
    return affine


@pytest.mark.parametrize(
    ("bump", "view", "side"),
    [
        ((1, 0, 0), View(), "left"),  # the subject's right is on the viewer's left
        ((0, 0, 1), View(), "top"),
        ((0, 1, 0), View(yaw=60), "right"),  # from the subject's right, its nose points to the right
        ((0, 1, 0), View(pitch=60), "bottom"),  # from above, its nose points down
    ],
)
def test_what_sticks_out_is_seen_on_its_side(bump, view, side):
    centre = View(view.pitch, view.yaw, (0.0, 0.0, 0.0))
    plain, bumped = (seen(picture(ball(bump=b), centre)) for b in (None, bump))
    where = np.argwhere(bumped & ~plain).mean(axis=0) - 59.5
    expected = {"left": (0, -1), "right": (0, 1), "top": (-1, 0), "bottom": (1, 0)}[side]
    assert where @ expected > 35
    assert np.abs(where @ expected[::-1]) < 3


def test_contrast_and_scaling_do_not_change_what_is_seen():
    head = ball(bump=(0, 1, 0))
    values = np.asanyarray(head.dataobj)
    expected = picture(head)
    hounsfield = nib.Nifti1Image((values - 1000).astype(np.int16), head.affine)  # air at -1000
    assert np.abs(picture(hounsfield).astype(int) - expected).max() < 30
    series = nib.Nifti1Image(np.stack([values, values], -1), head.affine)
    assert np.array_equal(picture(series), expected)


def test_noise_and_holes_of_nan_in_the_air_are_not_seen():
    head = ball()
    rng = np.random.default_rng(3)
    values = np.asanyarray(head.dataobj) + np.abs(rng.normal(0, 40, head.shape)).astype(np.float32)
    values[:4] = np.nan
    difference = seen(picture(nib.Nifti1Image(values, head.affine))) != seen(picture(head))
    assert difference.mean() < 0.01


def test_a_cleft_inside_a_head_that_is_cut_open_looks_shallow():
    head = ball()
    values = np.asanyarray(head.dataobj).copy()
    values[48:52, 20:60, 30:70] = 0
    values[:, 60:] = 0  # the front is gone
    surface = image_surface(as_image(values, head.affine), "x")
    x, _, z = np.array(surface.solid.shape) // 2
    front = np.argmax(surface.solid[x, ::-1, z] > 0.5)
    depth = surface.affine[1, 3] + 2.0 * (surface.solid.shape[1] - 1 - front)
    assert 5 < depth < 22  # near the cut, at 20, and not at the bottom of the cleft, at -60


def test_the_surface_is_hit_at_a_fraction_of_a_voxel():
    flat, tilted = (render(image_surface(as_image(*both), "x"), View()) for both in (plane(0.0), plane(0.5)))
    assert np.abs(flat.astype(int) - tilted)[40:-40, 40:-40].max() < 12  # no terraces


def plane(slope):
    at = np.moveaxis(np.indices((100, 60, 100)), 0, -1) * 2.0
    away = at[..., 1] - 60 - slope * (at[..., 0] - 100) * 0.05
    return (1000 / (1 + np.exp(away))).astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0])


def test_an_image_of_nothing_is_an_error_that_names_the_file():
    with pytest.raises(ImageError, match="a.nii.gz: has the same value everywhere"):
        image_surface(as_image(np.zeros((20, 20, 20), np.int16)), "a.nii.gz")
    spikes = np.zeros((20, 20, 20), np.int16)
    spikes[::5, ::5, ::5] = 100
    with pytest.raises(ImageError, match="a.nii.gz: .* is it an image of a head"):
        image_surface(as_image(spikes), "a.nii.gz")
