"""A template is what it says it is, or it is refused."""

from dataclasses import replace

import numpy as np
import pytest

from bidsdeface.errors import TemplateError
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate
from bidsdeface.templates.source import whole_head
from bidsdeface.templates.template import FACE_CLEARANCE_MM, make_template, signed_distance


@pytest.fixture(scope="module")
def template():
    return whole_head(("face", "ears"))


def inside(distance, grid):
    """Return where a signed distance is negative, on another grid."""
    voxels = np.stack(np.meshgrid(*map(np.arange, grid.data.shape), indexing="ij"), -1)
    return interpolate(distance.data, distance.affine, apply_affine(grid.affine, voxels), np.inf) < 0


@pytest.fixture(scope="module")
def masks(template):
    return tuple(inside(d, template.head) for d in (template.brain_mm, template.regions_mm["face"]))


def test_an_inverted_face_mask_is_refused(template, masks):
    brain, face = masks
    with pytest.raises(TemplateError, match=r"template mine: 100% of its brain .* inverted\?"):
        make_template("mine", template.head, brain, {"face": ~face})


def test_brain_and_face_mixed_up_are_refused(template, masks):
    brain, face = masks
    with pytest.raises(TemplateError, match="not in front of and below its brain"):
        make_template("mine", template.head, face, {"face": brain})


@pytest.mark.parametrize("empty", ["brain", "face"])
def test_an_empty_mask_is_refused(template, masks, empty):
    brain, face = ((mask & (name != empty)) for mask, name in zip(masks, ("brain", "face"), strict=True))
    with pytest.raises(TemplateError):
        make_template("mine", template.head, brain, {"face": face})


def test_a_mask_of_the_back_of_the_head_is_refused(template, masks):
    brain, face = masks
    with pytest.raises(TemplateError, match="is it one of the face"):
        make_template("mine", template.head, brain, {"face": face[:, ::-1] & ~brain})


def test_good_masks_are_taken(template, masks):
    brain, face = masks
    assert make_template("mine", template.head, brain, {"face": face}).regions_mm.keys() == {"face"}


def test_signed_distances_are_in_mm_and_negative_inside():
    affine = np.diag([2.0, 1.0, 4.0, 1.0])
    affine[:3, 3] = [-60, -60, -60]
    points = apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, (61, 121, 31)), indexing="ij"), -1))
    distance = signed_distance(np.linalg.norm(points, axis=-1) < 40, affine)
    voxels = np.stack(np.meshgrid(*map(np.arange, distance.data.shape), indexing="ij"), -1)
    error = distance.data - (np.linalg.norm(apply_affine(distance.affine, voxels), axis=-1) - 40)
    near = np.abs(distance.data) < 12
    assert np.abs(error[near]).max() < 3.0  # three quarters of the largest voxel side
    assert np.abs(error[near].mean()) < 0.5


def test_no_point_that_registration_looks_at_lies_in_or_near_the_face(template):
    face = template.regions_mm["face"]
    for stage in template.target:
        distances = interpolate(face.data, face.affine, stage.where, np.inf)
        assert len(stage.where) > 500
        assert distances.min() > FACE_CLEARANCE_MM


def test_points_do_not_change_with_the_face(template, masks):
    """With wax in place of the template's face, registration sees the same."""
    brain, face = masks
    data = np.where(face, 0.15, template.head.data).astype(np.float32)
    faceless = make_template("mine", replace(template.head, data=data), brain, {"face": face})
    one, other = (t.target[-1] for t in (template, faceless))
    near = {tuple(point) for point in one.where} & {tuple(point) for point in other.where}
    assert len(near) > 0.95 * len(one.where)
    values = [
        {tuple(p): v for p, v in zip(s.where, s.value, strict=True) if tuple(p) in near} for s in (one, other)
    ]
    assert max(abs(values[0][point] - values[1][point]) for point in near) < 0.05


def test_volumes_are_frozen(template):
    with pytest.raises(AttributeError):
        template.head.data = template.head.data * 0
    assert isinstance(template.head, Volume)
