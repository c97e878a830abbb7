"""What folded over is found where the field of view shows that it did, and nothing else is taken for it."""

import numpy as np
import pytest

from bidsdeface.imaging.foldover import KEPT_SKIN_MM, PlacedHead, find_foldover, on_grid
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate

SPACING_MM = 3.0
TIP_MM, OCCIPUT_MM = 118.0, -94.0  # where the average head ends, in front and behind
NOSE_MM = np.array([0, 104, -48])


def in_view(average, low, high):
    """Return the average head in a field of view, and where its voxels are."""
    low, high = np.array(low, float), np.array(high, float)
    shape = ((high - low) / SPACING_MM).astype(int)
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = low
    points = apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))
    head = average.head
    values = interpolate(head.data, head.affine, points, 0.0).astype(np.float32)
    return Volume(values, affine, np.ones_like(values)), points


def ball(points, centre, radius_mm):
    return np.linalg.norm(points - centre, axis=-1) < radius_mm


@pytest.fixture(scope="module")
def tight(average):
    """Return a field of view that cuts the nose off, with little air behind the head."""
    return in_view(average, (-93, OCCIPUT_MM - 20, -111), (93, TIP_MM - 15, 96))


@pytest.fixture
def find(templates):
    def run(scan, to_head=None):
        to_head = np.eye(4) if to_head is None else to_head
        return find_foldover(scan, PlacedHead(templates.head_template.head_mm, to_head))

    return run


def put(scan, thing):
    return Volume(np.where(thing, 0.6, scan.data).astype(np.float32), scan.affine, scan.seen)


@pytest.mark.parametrize("height_mm", [-20, -48, -65])
def test_a_nose_at_the_back_is_found_with_all_its_edges(tight, find, templates, height_mm):
    scan, points = tight
    nose = ball(points, [0, OCCIPUT_MM - 22, height_mm], 12)
    found = find(put(scan, nose))
    assert not (nose & ~found).any()
    head_mm = templates.head_template.head_mm
    nearest = interpolate(head_mm.data, head_mm.affine, points[found], 0.0).min()
    assert nearest >= KEPT_SKIN_MM  # nothing of the head goes


def test_what_folded_over_below_the_nose_goes_with_it(tight, find):
    scan, points = tight
    face = ball(points, [0, OCCIPUT_MM - 22, -48], 12) | ball(points, [0, OCCIPUT_MM - 20, -95], 14)
    found = find(put(scan, face))
    assert not (face & (points[..., 1] < OCCIPUT_MM - 8) & ~found).any()


def test_a_chin_above_the_crown_is_found(average, find):
    scan, points = in_view(average, (-93, OCCIPUT_MM - 20, -80), (93, TIP_MM + 10, 110))
    chin = ball(points, [0, 80, 112], 13)
    assert not (chin & ~find(put(scan, chin))).any()


def test_a_nose_that_is_in_view_did_not_fold_over(average, find):
    """What is at the back then is something else: not to be removed, but to be told of."""
    scan, points = in_view(average, (-93, OCCIPUT_MM - 20, -111), (93, TIP_MM + 15, 96))
    assert find(put(scan, ball(points, [0, OCCIPUT_MM - 22, -48], 12))) is None


@pytest.mark.parametrize(
    ("what", "where"),
    [("clear of the end", (0, -106, 60)), ("beside the head", (-97, 0, 20)), ("tiny", (0, -117, -48))],
)
def test_what_is_not_at_the_back_end_did_not_fold_over(tight, find, what, where):
    scan, points = tight
    assert find(put(scan, ball(points, where, 3.2 if what == "tiny" else 5))) is None


def test_a_head_alone_has_none_however_tight_the_field_of_view(average, find):
    for low, high in (
        ((-93, OCCIPUT_MM - 20, -111), (93, TIP_MM - 15, 96)),
        ((-60, -80, -60), (60, 80, 70)),
        ((-75, OCCIPUT_MM, -60), (75, TIP_MM - 40, 88)),
    ):
        assert find(in_view(average, low, high)[0]) is None


@pytest.mark.parametrize("turn", [(1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_it_is_found_whichever_way_the_head_lies_in_the_image(tight, find, turn):
    """The voxels are the same, the world is turned: only the template knows where the back is."""
    scan, points = tight
    nose = ball(points, [0, OCCIPUT_MM - 22, -48], 12)
    world = np.eye(4)[[*turn, 3]]
    turned = put(scan, nose)
    moved = Volume(turned.data, world @ scan.affine, scan.seen)
    found = find(moved, np.linalg.inv(world))
    assert (found == find(turned)).all()


def test_on_another_grid_of_the_same_field_of_view_it_is_the_same_place(tight):
    scan, points = tight
    mask = ball(points, [0, 0, 0], 30)
    fine = scan.affine @ np.diag([-0.5, 0.5, 0.5, 1.0])
    fine[:3, 3] += [SPACING_MM * (mask.shape[0] - 1), 0, 0]
    shape = tuple(2 * n - 1 for n in mask.shape)
    again = on_grid(mask, scan.affine, shape, fine)
    where = apply_affine(fine, np.argwhere(again))
    assert np.abs(where.mean(axis=0)).max() < 1
    assert again.sum() / 8 == pytest.approx(mask.sum(), rel=0.03)
