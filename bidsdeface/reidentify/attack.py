"""The attackers, what each of them sees of a defaced head, and pictures of it.

All attackers compare with a gallery of intact faces. *Plain* looks for a face in the defaced head and
compares it. *Informed* knows how the original was turned and where its eyes and nose were. *Restoring* first
empties the mask and fills it with the template's average face, as the strongest published attack does
(Schwarz et al., NeuroImage 2021). *Mask* has only the published face mask, and looks at its surface as
*informed* does. *Swap* has the program and a scan of each candidate's face: it puts these in the published
head, defaces that again, and looks which face leads to what is published, bit by bit.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.image import Image, canonical
from bidsdeface.imaging.methods import remove
from bidsdeface.imaging.registration import place
from bidsdeface.imaging.volume import apply_affine, in_blocks, reduce_image
from bidsdeface.reidentify.recognise import PROBE_LIGHT, Recogniser, Sight, look, look_as, remembered
from bidsdeface.reidentify.render import (
    FINE_MM,
    Surface,
    View,
    image_surface,
    make_surface,
    mask_surface,
    render,
    shifted,
    tissue_surface,
)
from bidsdeface.templates.template import Template

ATTACKERS = ("plain", "informed", "restoring", "mask")  # those that compare pictures
SWAP = "swap"
CANDIDATES = 10  # of the swap attacker, the right one among them
AVERAGE_SKIN_SHARE = 1.4  # the skin of an average is a slope; its faint outer part is not the shape of a face
PICTURE_YAWS = (0.0, 45.0)


@dataclass(frozen=True)
class Tools:
    """Everything that a study needs, made once.

    Attributes
    ----------
    recogniser : Recogniser
    template : Template
    folder : pathlib.Path
        Private. It keeps what was seen, so that an interrupted study continues where it stopped.
    swap : callable, optional
        Return the `Sight.differences` that some intact heads make to a published one. Without it, there is no
        swap attacker.
    """

    recogniser: Recogniser
    template: Template
    folder: Path
    swap: Callable[["Defaced", Iterable[Image]], NDArray] | None = None

    @cached_property
    def average(self) -> Surface:
        """The surface of the template's head."""
        return average_face(self.template)


@dataclass(frozen=True)
class Defaced:
    """A defaced scan as its attackers get it.

    Attributes
    ----------
    image : Image
    mask : Image
        On the grid of the image; above 0 where it was defaced.
    to_template : numpy.ndarray, shape (4, 4), optional
        World of the image to that of the template. Without it, attackers who need it register the image.
    """

    image: Image
    mask: Image
    to_template: NDArray[np.float64] | None = None


def attack(
    defaced: Defaced, original: Sight, tools: Tools, attackers: Sequence[str] = ATTACKERS
) -> dict[str, Sight]:
    """Return what each attacker sees of a defaced head.

    Parameters
    ----------
    defaced : Defaced
    original : Sight
        What was seen of the same scan before defacing.
    tools : Tools
    attackers : sequence of str
        Some of `ATTACKERS`.
    """
    surface, recogniser = image_surface(defaced.image, "the defaced image"), tools.recogniser
    looks: dict[str, Callable[[], Sight]] = {
        "plain": lambda: look(surface, recogniser),
        "informed": lambda: look_as(original, surface, recogniser),
        "restoring": lambda: look(_restored(defaced, tools), recogniser),
        "mask": lambda: look_as(original, mask_surface(defaced.mask), recogniser),
    }
    return {name: looks[name]() for name in ATTACKERS if name in attackers}


def look_at(
    key: str, image: Callable[[], Image], tools: Tools, light: tuple[float, float, float] = PROBE_LIGHT
) -> Sight:
    """Return what is seen of an intact image, from the folder if it was looked at before.

    Parameters
    ----------
    key : str
        Identifies the image and its version.
    image : callable
        Returns the image; called only if it has to be looked at.
    """
    return remembered(
        f"{key} {light}",
        lambda: {"": look(image_surface(image(), "the original"), tools.recogniser, light)},
        tools.folder,
    )[""]


def attack_on(
    key: str,
    defaced: Callable[[], Defaced],
    original: Sight,
    tools: Tools,
    attackers: Sequence[str] = ATTACKERS,
) -> dict[str, Sight]:
    """Return what each attacker sees of a defaced head, from the folder if it was attacked before."""
    full_key = " ".join((key, *attackers))
    return remembered(full_key, lambda: attack(defaced(), original, tools, attackers), tools.folder)


def swap_on(key: str, plain: Sight, differences: Callable[[], NDArray], folder: Path) -> Sight:
    """Run the swap attack, or read its result from the folder if it was run before.

    Parameters
    ----------
    key : str
    plain : Sight
        Of the published head.
    differences : callable
        Try all candidates, the right one first.
    folder : pathlib.Path
        Private.
    """
    return remembered(f"{key} {SWAP}", lambda: {SWAP: replace(plain, differences=differences())}, folder)[
        SWAP
    ]


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
    hidden, affine = in_blocks(*canonical(mask.stored > 0, mask.affine), FINE_MM)
    # Both grids are made of the same blocks, so they differ by whole voxels.
    offset = np.round((np.linalg.inv(affine) @ head.affine)[:3, 3]).astype(int)
    low = np.minimum(offset, 0)
    solid = np.zeros(np.maximum(offset + head.solid.shape, hidden.shape) - low, np.float32)
    solid[_box(offset - low, head.solid.shape)] = head.solid
    box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(hidden > 0.5))
    first, shape = np.array([s.start for s in box]), hidden[box].shape
    voxels = np.linalg.inv(average.affine) @ to_template @ affine
    face = ndimage.affine_transform(
        average.solid, voxels[:3, :3], apply_affine(voxels, first), shape, order=1, prefilter=False
    )
    face *= hidden[box] > 0.5
    where = _box(first - low, shape)
    solid[where] = np.maximum(solid[where], face)
    return make_surface(solid, shifted(affine, low))


def draw(path: Path, original: Image, defaced: Defaced, sight: Sight, tools: Tools) -> None:
    """Draw the original, the defaced head, the restored head and the mask, from the front and the side.

    The picture shows a face: it is for private folders only.

    Parameters
    ----------
    path : pathlib.Path
        PNG file to write, mode 0600.
    original : Image
    defaced : Defaced
    sight : Sight
        Of the original; all four are seen from there.
    tools : Tools
    """
    from PIL import Image as Picture

    surface = image_surface(defaced.image, "the defaced image")
    surfaces = (
        image_surface(original, "the original"),
        surface,
        _restored(defaced, tools),
        mask_surface(defaced.mask),
    )
    rows = [
        np.concatenate([render(one, View(sight.pitch, yaw, sight.centre)) for one in surfaces], axis=1)
        for yaw in PICTURE_YAWS
    ]
    path.touch(0o600)
    Picture.fromarray(np.concatenate(rows)).save(path)


def _restored(defaced: Defaced, tools: Tools) -> Surface:
    """Return a defaced head with the template's average face, whatever else was put there before."""
    image = defaced.image
    emptied = replace(image, stored=remove(image, defaced.mask.stored > 0))
    surface = image_surface(emptied, "the defaced image")
    return restore(surface, defaced.mask, tools.average, _placed(emptied, defaced, tools))


def _placed(image: Image, defaced: Defaced, tools: Tools) -> NDArray[np.float64]:
    """Return the way of a defaced image to the template."""
    if defaced.to_template is not None:
        return defaced.to_template
    volume = reduce_image(image, "the defaced image")
    return place(volume, tools.template.pose, tools.template.target).to_template


def _box(corner: NDArray, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(start, start + size) for start, size in zip(corner, shape, strict=True))
