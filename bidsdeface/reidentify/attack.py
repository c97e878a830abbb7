"""Four attackers, and what each of them sees of a defaced head.

All of them compare with a gallery of intact faces. *Plain* looks for a face in the defaced head and
compares what it finds. *Informed* knows how the original was turned and where its eyes and nose were.
*Restoring* first fills the hole with the template's average face. *Mask* has nothing but the published face
mask, and looks at its surface as *informed* does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.image import Image
from bidsdeface.imaging.pose import PoseTemplate
from bidsdeface.imaging.registration import place
from bidsdeface.imaging.volume import reduce_image
from bidsdeface.reidentify.recognise import Recogniser
from bidsdeface.reidentify.render import Surface, image_surface, mask_surface
from bidsdeface.reidentify.restore import average_face, restore
from bidsdeface.reidentify.sight import PROBE_LIGHT, Sight, look, look_as, remembered
from bidsdeface.templates.template import Template, pose_template

ATTACKERS = ("plain", "informed", "restoring", "mask")


@dataclass(frozen=True)
class Tools:
    """What a study needs, made once.

    Attributes
    ----------
    recogniser : Recogniser
    template : Template
    pose : PoseTemplate
    average : Surface
        Of the template.
    folder : pathlib.Path
        Private; what was seen is kept there, so that an interrupted study goes on where it stopped.
    """

    recogniser: Recogniser
    template: Template
    pose: PoseTemplate
    average: Surface
    folder: Path

    @classmethod
    def of(cls, recogniser: Recogniser, template: Template, folder: Path) -> Tools:
        """Return the tools for a template."""
        return cls(recogniser, template, pose_template(template), average_face(template), folder)


@dataclass(frozen=True)
class Defaced:
    """A defaced scan as its attackers get it.

    Attributes
    ----------
    image : Image
    mask : Image
        On its grid; above 0 where it was defaced.
    to_template : numpy.ndarray, shape (4, 4), optional
        World of the image to that of the template; the restoring attacker registers the image if it is not
        given.
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
        What was seen of the same scan before.
    tools : Tools
    attackers : sequence of str
        Some of `ATTACKERS`.
    """
    surface = image_surface(defaced.image, "the defaced image")
    sights = {}
    if "plain" in attackers:
        sights["plain"] = look(surface, tools.recogniser)
    if "informed" in attackers:
        sights["informed"] = look_as(original, surface, tools.recogniser)
    if "restoring" in attackers:
        sights["restoring"] = look(restored(surface, defaced, tools), tools.recogniser)
    if "mask" in attackers:
        sights["mask"] = look_as(original, cast(defaced), tools.recogniser)
    return sights


def restored(surface: Surface, defaced: Defaced, tools: Tools) -> Surface:
    """Return a defaced head, of which this is the surface, with the template's average face."""
    to_template = defaced.to_template
    if to_template is None:
        volume = reduce_image(defaced.image, "the defaced image")
        to_template = place(volume, tools.pose, tools.template.target).to_template
    return restore(surface, defaced.mask, tools.average, to_template)


def cast(defaced: Defaced) -> Surface:
    """Return the surface of a face mask."""
    return mask_surface(defaced.mask.stored > 0, defaced.mask.affine)


def look_at(
    key: str, image: Callable[[], Image], tools: Tools, light: tuple[float, float, float] = PROBE_LIGHT
) -> Sight:
    """Return what is seen of an intact image, from the folder if it was looked at before.

    Parameters
    ----------
    key : str
        What the image is; another for each image and each version of it.
    image : callable
        Returns the image; called only if need be.
    """
    sights = remembered(
        f"{key} {light}",
        lambda: {"": look(image_surface(image(), "the original"), tools.recogniser, light)},
        tools.folder,
    )
    return sights[""]


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
