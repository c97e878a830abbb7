"""Check that the head lies still between images, or through a series, that share one mask."""

from dataclasses import replace

import numpy as np

from bidsdeface.errors import ImageError, RegistrationError
from bidsdeface.head.registered import RegisteredScan
from bidsdeface.imaging.image import Image
from bidsdeface.imaging.registration import disagreement_mm, place_rigidly
from bidsdeface.imaging.volume import Volume, reduce_image, spread

STILL_MM = 3.0
STILL_SIMILARITY = 0.25
BRIGHTNESS_STEP = 4  # one voxel of so many along each axis shows which volume is the brightest
VOLUMES_COMPARED = 9  # of a functional or diffusion series


def check_still(name: str, volume: Volume, registered: RegisteredScan, must_show: bool = True) -> bool:
    """Check that a head lies where it lay in another image: the two are to share one mask.

    Parameters
    ----------
    name : str
        What `volume` is, for the message.
    volume : Volume
        From `reduce_image`.
    registered : RegisteredScan
        The other image.
    must_show : bool
        Whether an image that cannot be compared is refused as well.

    Returns
    -------
    bool
        Whether it could be compared.

    Raises
    ------
    RegistrationError
        It has moved by more than `STILL_MM`.
    """
    on_head = registered.points_on_head()
    moved = place_rigidly(volume, registered.volume, [np.eye(4)], on_head)
    moved_mm = disagreement_mm(np.linalg.inv(moved.to_template), np.eye(4), on_head)
    comparable = moved.similarity >= STILL_SIMILARITY
    if (comparable or must_show) and not (comparable and moved_mm <= STILL_MM):
        raise RegistrationError(
            f"{name}: the head has moved by {moved_mm:.0f} mm (at most {STILL_MM:.0f} expected), or its "
            "images cannot be compared, and they share one mask; align them first, or give each its own name"
        )
    return comparable


def check_series(image: Image, registered: RegisteredScan, each: bool) -> None:
    """Check that the head lies still through a series; a single volume passes.

    Parameters
    ----------
    image : Image
    registered : RegisteredScan
        Of all volumes together.
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
    count = image.volumes.shape[-1]
    numbers = spread(count, count if each else VOLUMES_COMPARED)
    compared = 0
    for number in numbers:
        try:
            volume = _volume(image, number)
        except ImageError:
            if each:
                raise
            continue
        compared += check_still(_name(number), volume, registered, must_show=each)
    if compared < len(numbers) / 2:
        raise RegistrationError(
            "most volumes do not show the head that their median shows; leave it out, or draw its mask and "
            "give it with --mask"
        )


def brightest(image: Image) -> list[Volume]:
    """Return the brightest volume of a series: without weighting or suppression, it shows most of a face.

    Returns
    -------
    list of Volume
        Empty if the image is no series.
    """
    if image.stored.ndim == 3:
        return []
    step = slice(None, None, BRIGHTNESS_STEP)
    sample = np.abs(np.nan_to_num(image.volumes[step, step, step]))
    return [_volume(image, int(sample.mean(axis=(0, 1, 2)).argmax()))]


def _volume(image: Image, number: int) -> Volume:
    return reduce_image(replace(image, stored=image.volumes[..., number]), _name(number))


def _name(number: int) -> str:
    return f"volume {number + 1}"
