"""The mask is a region of space: it follows the head, however stored or turned, and not the face."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.image import Image, read_image
from bidsdeface.imaging.volume import apply_affine
from tests.integration.conftest import dice
from tests.unit.imaging.test_volume import ALL_ORIENTATIONS

pytestmark = [pytest.mark.heads, pytest.mark.slow]

LANDMARKS = json.loads(Path(__file__).with_name("landmarks.json").read_text())
SPACING_MM, FINE_MM = 1.0, 0.5  # of S01, and of the grid on which its masks are compared


def world_grid(image: Image):
    shape = image.stored.shape[:3]
    return apply_affine(image.affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))


def another_face(image: Image, landmarks: dict) -> tuple[Image, np.ndarray]:
    """Return the scan with another nose, brow and cheeks, and where it was changed."""
    world, values = world_grid(image), image.stored.copy()
    tissue = np.percentile(values[values > np.percentile(values, 60)], 60)
    rng = np.random.default_rng(0)
    air = values[:, -6:, -6:].ravel()

    def ball(centre, radius):
        return np.linalg.norm(world - np.array(centre), axis=-1) < radius

    nose, brow = np.array(landmarks["nose_tip"]), np.array(landmarks["brow"])
    left, right = np.array(landmarks["cornea_left"]), np.array(landmarks["cornea_right"])
    lost = ball(nose, 24) & (world[..., 1] > nose[1] - 14) & (world[..., 0] > nose[0])
    values[lost] = rng.choice(air, lost.sum())
    gained = ball(nose + [-6, 12, 8], 14) | ball(brow + [0, 6, 0], 13)
    for eye in (left, right):
        gained |= ball([eye[0], eye[1] + 8, (eye[2] + landmarks["upper_lip"][2]) / 2], 16)
    values[gained] = np.clip(rng.normal(tissue, tissue / 10, gained.sum()), 0, None)
    changed = values != image.stored
    return replace(image, stored=values), changed


def surfaces_apart_mm(one, other, spacing: float) -> float:
    """Return the largest distance from what one mask has to the other, both ways."""
    largest = 0.0
    for mine, its in ((one, other), (other, one)):
        extra = np.argwhere(mine & ~its)
        if len(extra):
            low, high = np.maximum(extra.min(axis=0) - 20, 0), extra.max(axis=0) + 21
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            surface = np.argwhere(its[box] & ~ndimage.binary_erosion(its[box])) + low
            largest = max(largest, float(cKDTree(surface).query(extra)[0].max()) * spacing)
    return largest


def test_another_nose_brow_and_cheeks_leave_the_mask_where_it_was(head, engine):
    image = read_image(head("S01"))
    changed_image, changed = another_face(image, LANDMARKS["S01"])
    before, after = engine.mask(image), engine.mask(changed_image)
    assert before.faults == after.faults == ()
    assert changed.sum() > 25_000  # mm³ of face
    assert (changed & before.mask).sum() / changed.sum() > 0.9
    # In half millimetres, as a voxel of 1 mm cannot tell less than its own size.
    inside = np.argwhere(before.mask | after.mask)
    low, high = inside.min(axis=0), np.minimum(inside.max(axis=0) + 1, image.stored.shape)
    shape = tuple(int(n) for n in (high - low) * SPACING_MM / FINE_MM)
    to_fine = np.diag([FINE_MM / SPACING_MM] * 3 + [1.0])
    to_fine[:3, 3] = low
    fine = [engine.apply(shape, image.affine @ to_fine, m.registered) for m in (before, after)]
    moved_mm = surfaces_apart_mm(*fine, FINE_MM)
    print(f"the boundary moved by at most {moved_mm:.2f} mm; {changed.sum()} voxels were changed")
    assert moved_mm < 1.0


def test_the_measure_of_distance_tells_a_move():
    one = np.zeros((40, 40, 40), bool)
    one[10:30, 10:30, 10:30] = True
    assert surfaces_apart_mm(one, one, 0.5) == 0
    assert surfaces_apart_mm(one, np.roll(one, 3, axis=1), 0.5) == 1.5


def test_all_48_orientations_give_the_same_mask(head, engine, tmp_path):
    original = nib.load(head("S04"))
    stored = np.asanyarray(original.dataobj.get_unscaled())
    expected = engine.mask(read_image(head("S04"))).mask
    found = []
    for orientation in ALL_ORIENTATIONS:
        turned = original.as_reoriented(orientation)
        assert np.array_equal(np.asanyarray(turned.dataobj), nib.apply_orientation(stored, orientation))
        nib.save(turned, tmp_path / "turned.nii.gz")
        masked = engine.mask(read_image(tmp_path / "turned.nii.gz"))
        assert masked.faults == ()
        back = nib.apply_orientation(masked.mask, nib.io_orientation(turned.affine))
        found.append(dice(back, nib.apply_orientation(expected, nib.io_orientation(original.affine))))
    print(f"Dice over 48 orientations: {min(found):.5f} to {max(found):.5f}")
    assert min(found) >= 0.99


def in_the_scanner(image: Image, turn_deg, shift_mm) -> Image:
    """Return a scan of the same head, lying turned about the middle of the image and shifted."""
    centre = apply_affine(image.affine, (np.array(image.stored.shape[:3]) - 1) / 2)
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    move[:3, 3] = centre + shift_mm - move[:3, :3] @ centre
    return replace(image, affine=move @ image.affine)


MOVES = [
    ((40, 0, 0), (60, 0, 0)),
    ((-40, 0, 0), (0, -60, 0)),
    ((0, 40, 0), (0, 0, 60)),
    ((0, 0, -40), (0, 0, -60)),
    ((-25, 15, 20), (0, 0, 0)),
]


@pytest.mark.parametrize("name", ["S04", "S01"])
def test_a_turned_and_shifted_head_gets_the_same_mask(head, engine, name):
    image = read_image(head(name))
    expected = engine.mask(image).mask
    found = {}
    for move in MOVES if name == "S04" else MOVES[-1:]:
        masked = engine.mask(in_the_scanner(image, *move))
        assert masked.faults == (), move
        found[move] = dice(masked.mask, expected)
    print(f"{name}: Dice turned and shifted {min(found.values()):.4f} to {max(found.values()):.4f}")
    assert min(found.values()) >= 0.97, found


@pytest.mark.parametrize("name", ["S04", "S01"])
def test_a_head_scanned_anew_turned_on_another_grid_gets_the_same_mask(head, engine, name):
    """Resampled to 1.7 mm, with what left the field of view lost and the corners unknown."""
    image = read_image(head(name))
    expected = engine.mask(image).mask
    moved = in_the_scanner(image, (20, -10, 15), (20, -15, 10))
    grid = np.diag([1.7, 1.7, 1.7, 1.0])
    shape = tuple(np.ceil(np.array(image.stored.shape) * np.linalg.norm(image.affine[:3, :3], axis=0) / 1.7))
    shape = tuple(int(n) for n in shape)
    middle = apply_affine(moved.affine, (np.array(image.stored.shape) - 1) / 2)
    grid[:3, 3] = middle - 1.7 * (np.array(shape) - 1) / 2
    to_voxels = np.linalg.inv(moved.affine) @ grid
    values = ndimage.affine_transform(
        image.stored.astype(np.float32), to_voxels[:3, :3], to_voxels[:3, 3], shape, order=1
    )
    stored = np.asfortranarray(np.round(values).astype(np.int16))
    masked = engine.mask(Image(nib.Nifti1Image(stored, grid).header, grid, stored))
    assert masked.faults == ()
    in_both = ndimage.affine_transform(
        expected.astype(np.float32), to_voxels[:3, :3], to_voxels[:3, 3], shape, order=1, cval=np.nan
    )
    known = np.isfinite(in_both)
    found = dice(masked.mask[known], in_both[known] > 0.5)
    print(f"{name}: Dice scanned anew {found:.4f}")
    assert found >= 0.97


DIRECTIONS = {
    "faces backwards": (-1, -1, 1),
    "front and back exchanged": (1, -1, 1),
    "left and right exchanged": (-1, 1, 1),
    "top and bottom exchanged": (1, 1, -1),
    "on its back": (1, -1, -1),
    "upside down": (-1, 1, -1),
}


@pytest.mark.parametrize("name", ["S04", "P13"])
@pytest.mark.parametrize("wrong", DIRECTIONS)
def test_a_header_that_tells_a_wrong_direction_gives_the_right_mask_or_none(head, engine, name, wrong):
    image = read_image(head(name))
    masked = engine.mask(replace(image, affine=np.diag([*DIRECTIONS[wrong], 1.0]) @ image.affine))
    assert masked.faults or dice(masked.mask, engine.mask(image).mask) >= 0.95
