"""Give a defaced head the template's average face, as the strongest published attacker does.

After Schwarz et al. (NeuroImage 2021): recognition works better on a head with a plausible face than on
one with a hole, even though that face is nobody's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.image import Image, canonical
from bidsdeface.imaging.volume import apply_affine, in_blocks
from bidsdeface.reidentify.render import FINE_MM, Surface, make_surface, tissue_surface
from bidsdeface.templates.template import Template

AVERAGE_SKIN_SHARE = 1.4  # an average's skin is a slope, and its faint outer part is not the shape of a face


def average_face(template: Template) -> Surface:
    """Return the surface of a template's head, in template world."""
    head = template.head
    return tissue_surface(head.data, head.affine, template.name, AVERAGE_SKIN_SHARE)


def restore(head: Surface, mask: Image, average: Surface, to_template: NDArray) -> Surface:
    """Return a head with the average's surface where the mask says that something was removed.

    Parameters
    ----------
    head : Surface
        Of the defaced image.
    mask : Image
        On the grid of that image; above 0 where it was defaced.
    average : Surface
        From `average_face`.
    to_template : numpy.ndarray, shape (4, 4)
        World of the image to that of the template.
    """
    view, affine = canonical(mask.stored > 0, mask.affine)
    hidden, affine = in_blocks(view, affine, FINE_MM)
    # Both grids are made of the same blocks, so they differ by whole voxels.
    offset = np.round((np.linalg.inv(affine) @ head.affine)[:3, 3]).astype(int)
    low = np.minimum(offset, 0)
    high = np.maximum(offset + head.solid.shape, hidden.shape)
    solid = np.zeros(high - low, np.float32)
    solid[_place(offset - low, head.solid.shape)] = head.solid
    box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(hidden > 0.5))
    first = np.array([s.start for s in box])
    shape = tuple(s.stop - s.start for s in box)
    voxels = np.linalg.inv(average.affine) @ to_template @ affine
    face = ndimage.affine_transform(
        average.solid, voxels[:3, :3], apply_affine(voxels, first), shape, order=1, prefilter=False
    )
    face *= hidden[box] > 0.5
    where = _place(first - low, shape)
    solid[where] = np.maximum(solid[where], face)
    corner = np.eye(4)
    corner[:3, 3] = low
    return make_surface(solid, affine @ corner)


def _place(corner: NDArray, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(start, start + size) for start, size in zip(corner, shape, strict=True))
