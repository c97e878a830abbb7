"""Measure an image alone, as somebody would who has nothing but this image.

Neither mask nor guard is used: within the guard, an image and its defaced version are identical, and a
comparison there would say nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from bidsdeface.errors import RegistrationError
from bidsdeface.head.fit import fit
from bidsdeface.head.registered import TemplateSet
from bidsdeface.imaging.brain import find_brain
from bidsdeface.imaging.image import Image
from bidsdeface.imaging.registration import NO_HEAD
from bidsdeface.imaging.volume import Volume, apply_affine, reduce_image, voxel_ml
from bidsdeface.templates.template import Template

START_PERCENTILES = (10, 50, 90)  # of the intensities in the brain: one for each kind of tissue
ITERATIONS = 50


@dataclass(frozen=True)
class Measured:
    """What was measured on an image.

    Attributes
    ----------
    brain_ml : float
        Volume of the brain, by the network.
    tissues_ml : tuple of float
        Volumes of dark, middle and bright tissue in it; in T1w, of fluid, grey and white matter.
    to_head : numpy.ndarray, shape (4, 4)
        Where the template's head lies: scan world to template world.
    """

    brain_ml: float
    tissues_ml: tuple[float, ...]
    to_head: NDArray[np.float64]


def measure_alone(image: Image, templates: TemplateSet) -> Measured:
    """Place the template on an image, and measure its brain.

    Raises
    ------
    ImageError
        The image shows nothing.
    RegistrationError
        No head is found in it, or its place is not to be trusted.
    """
    volume = reduce_image(image, "the image")
    to_head = fit("the image", volume, None, templates, accepted=False).head.to_head
    brain = find_brain(volume, to_head, templates.head_template.brain_surface, templates.weights)
    if brain is None:
        raise RegistrationError(NO_HEAD)
    return Measured(brain.ml, tissue_volumes(image, brain.inside), to_head)


def tissue_volumes(image: Image, inside: Volume) -> tuple[float, ...]:
    """Return the volumes in mL of dark, middle and bright tissue in a brain, by k-means of intensities.

    Parameters
    ----------
    image : Image
        Its first volume counts.
    inside : Volume
        1 in the brain, 0 elsewhere; on any grid.
    """
    voxels = np.linalg.inv(inside.affine) @ image.affine
    shape = image.stored.shape[:3]
    in_brain = (
        ndimage.affine_transform(inside.data, voxels[:3, :3], voxels[:3, 3], shape, order=1, prefilter=False)
        > 0.5
    )
    values = np.nan_to_num(image.scaled(image.volumes[..., 0][in_brain])).astype(np.float64)
    starts = np.percentile(values, START_PERCENTILES)
    centres, kinds = kmeans2(values, starts, iter=ITERATIONS, minit="matrix")
    counts = np.bincount(kinds, minlength=len(centres))[np.argsort(centres)]
    return tuple((counts * voxel_ml(image.affine)).tolist())


def change(before: Measured, after: Measured, template: Template) -> Mapping[str, float]:
    """Return the differences between what was measured before and after, by the names in `CHANGES`.

    Parameters
    ----------
    before, after : Measured
    template : Template
        The head that was placed; its brain's displacement is averaged.
    """
    brain = template.brain_mm.to_world(np.argwhere(template.brain_mm.data < 0))
    first, second = (apply_affine(np.linalg.inv(one.to_head), brain) for one in (before, after))
    tissues = zip(("dark", "middle", "bright"), before.tissues_ml, after.tissues_ml, strict=True)
    return {
        "brain_percent": _percent(before.brain_ml, after.brain_ml),
        **{f"{name}_percent": _percent(one, other) for name, one, other in tissues},
        "placement_mm": float(np.linalg.norm(second - first, axis=1).mean()),
    }


def _percent(before: float, after: float) -> float:
    return 100 * (after - before) / before if before else np.nan
