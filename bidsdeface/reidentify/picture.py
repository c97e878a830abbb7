"""A picture of a head before and after, as attackers see it. It shows a face: for private folders only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bidsdeface.imaging.image import Image
from bidsdeface.reidentify.attack import Defaced, Tools, cast, restored
from bidsdeface.reidentify.render import View, image_surface, render
from bidsdeface.reidentify.sight import Sight

YAWS = (0.0, 45.0)


def draw(path: Path, original: Image, defaced: Defaced, sight: Sight, tools: Tools) -> None:
    """Draw the original, the defaced head, the restored one and the mask, from the front and aside.

    Parameters
    ----------
    path : pathlib.Path
        PNG file to write, mode 0600.
    original : Image
    defaced : Defaced
    sight : Sight
        Of the original: from there all are seen.
    tools : Tools
    """
    from PIL import Image as Picture

    surface = image_surface(defaced.image, "the defaced image")
    surfaces = (
        image_surface(original, "the original"),
        surface,
        restored(surface, defaced, tools),
        cast(defaced),
    )
    x, y, z = sight.centre
    rows = [
        np.concatenate([render(one, View(sight.pitch, yaw, (x, y, z))) for one in surfaces], axis=1)
        for yaw in YAWS
    ]
    path.touch(0o600)
    Picture.fromarray(np.concatenate(rows)).save(path)
