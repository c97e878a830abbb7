"""Whether the head lies still through a series, all of whose volumes share one mask; its brightest volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bidsdeface.errors import ImageError, RegistrationError
from bidsdeface.head.fit import RegisteredScan, TemplateSet, check_still
from bidsdeface.imaging.image import Image
from bidsdeface.imaging.volume import Volume, reduce_image, spread

BRIGHTNESS_STEP = 4  # one voxel of so many in each direction tells which volume is the brightest
VOLUMES_COMPARED = 9  # of a functional or diffusion series


def brightest(image: Image) -> list[Volume]:
    """Return the brightest volume of a series: without weighting or suppression, it shows most of a face.

    Returns
    -------
    list of Volume
        Empty if the image is no series.
    """
    if image.stored.ndim == 3:
        return []
    series = image.stored.reshape(*image.stored.shape[:3], -1, order="F")
    some = np.abs(np.nan_to_num(series[::BRIGHTNESS_STEP, ::BRIGHTNESS_STEP, ::BRIGHTNESS_STEP]))
    number = int(some.mean(axis=(0, 1, 2)).argmax())
    return [reduce_image(replace(image, stored=series[..., number]), f"volume {number + 1}")]


def check_series(image: Image, registered: RegisteredScan, templates: TemplateSet, each: bool) -> None:
    """Check that the head lies still through a series; a single volume passes.

    Parameters
    ----------
    image : Image
    registered : RegisteredScan
        Of all volumes together.
    templates : TemplateSet
    each : bool
        Whether each volume must show the head. Else some from all through the series are looked at, and of
        these a part may show none, such as a spike or a strong diffusion weighting.

    Raises
    ------
    ImageError, RegistrationError
        The head moves, or cannot be seen.
    """
    if image.stored.ndim == 3:
        return
    series = image.stored.reshape(*image.stored.shape[:3], -1, order="F")
    count = series.shape[-1]
    numbers = spread(count, count if each else VOLUMES_COMPARED)
    compared = 0
    for number in numbers:
        name = f"volume {number + 1}"
        try:
            volume = reduce_image(replace(image, stored=series[..., number]), name)
        except ImageError:
            if each:
                raise
            continue
        compared += check_still(name, volume, registered, templates, must_show=each)
    if compared < len(numbers) / 2:
        raise RegistrationError(
            "most volumes do not show the head that their median shows; leave it out, or draw its mask and "
            "give it with --mask"
        )
