"""The mask owes nothing to what is in it: another face there leaves it as it was, bit by bit."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bidsdeface.head.fit import fit, make_template_set
from bidsdeface.head.registered import find_guard
from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.volume import apply_affine, reduce_image
from tests.heads import find_head


def masked(image, templates, reference=None):
    """Return the placement of the template and the mask, as a whole run finds them."""
    name = "further" if reference else "first"
    registered = fit(name, reduce_image(image, name), reference, templates, accepted=True)
    mask = face_mask(image.stored.shape, image.affine, registered.to_template, registered.regions)
    return registered, mask


def with_tissue(image, mask, seed):
    """Return an image with lumps of tissue of any brightness, up to twice the scan's own, in a mask."""
    random = np.random.default_rng(seed)
    lumps = ndimage.gaussian_filter(random.normal(size=mask.shape).astype(np.float32), 4)
    lumps = np.clip(lumps / lumps.std(), 0, 2) * np.percentile(image.stored, 99)
    stored = image.stored.copy(order="K")
    stored[mask] = lumps[mask].astype(stored.dtype)
    return replace(image, stored=stored)


@pytest.mark.parametrize(
    ("name", "seed", "regions"),
    [
        ("average", 1, ("face",)),
        ("S01", 1, ("face",)),
        ("S04", 1, ("face",)),
        ("S04", 1, ("face", "ears")),
        ("P13", 1, ("face",)),
    ],
)
def test_another_face_changes_no_bit_of_the_mask(name, seed, regions):
    templates = make_template_set("WholeHead", regions)
    image = read_image(find_head(name))
    registered, mask = masked(image, templates)
    again, as_before = masked(with_tissue(image, mask, seed), templates)
    assert registered.guard_brain is not None
    assert np.array_equal(again.to_template, registered.to_template)
    assert np.array_equal(as_before, mask)
    # Though the head as it was first found does depend on the face.
    assert not np.array_equal(again.brain.inside.affine, registered.brain.inside.affine)


def test_the_guard_follows_the_brain_that_another_face_makes_the_network_see():
    """The exception: the placement is the same, but more brain than the network is unsure of is spared."""
    templates = make_template_set("WholeHead", ("face",))
    image = read_image(find_head("P12"))
    registered, mask = masked(image, templates)
    again, spared = masked(with_tissue(image, mask, 3), templates)
    assert np.array_equal(again.to_template, registered.to_template)
    assert again.guard_brain is again.brain and registered.guard_brain is not registered.brain
    assert not np.array_equal(spared, mask)


def test_another_face_changes_no_bit_of_the_mask_of_a_further_scan(templates):
    """Which is placed by its head's reference: here, the same head in other contrast, moved."""
    image = read_image(find_head("S04"))
    reference, _ = masked(image, templates)
    affine = image.affine.copy()
    affine[:3, 3] += [4, -6, 5]
    inverted = np.where(image.stored > 100, image.stored.max() - image.stored, image.stored)
    scan = replace(image, affine=affine, stored=inverted.astype(image.stored.dtype))
    registered, mask = masked(scan, templates, reference)
    again, as_before = masked(with_tissue(scan, mask, 1), templates, reference)
    assert registered.reference == again.reference == "first" and mask.any()
    assert np.array_equal(again.to_template, registered.to_template)
    assert np.array_equal(as_before, mask)


def test_a_brain_that_the_face_reveals_in_the_mask_is_spared_all_the_same(templates):
    """The network sees brain in the face only with the face in view: whoever is right, it is not removed."""
    image = read_image(find_head("S04"))
    own = masked(image, templates)[0].brain
    here = apply_affine(np.linalg.inv(own.to_template), templates.template.skin.mean(axis=0) - [0, 25, -20])
    inside = own.inside.data.copy()
    near = np.linalg.norm(own.inside.to_world(np.argwhere(inside >= 0)) - here, axis=1) < 6
    inside.ravel()[near] = 1
    seen = replace(own, inside=replace(own.inside, data=inside))
    guard = find_guard(seen, reduce_image(image, "x"), own.to_template, templates)
    assert guard is seen
    assert find_guard(own, reduce_image(image, "x"), own.to_template, templates) is not own
