"""What an attacker sees of one head: pictures from a few sides, faces in them, and what they look like."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsdeface.reidentify.recognise import Recogniser, search_pitch
from bidsdeface.reidentify.render import Surface, View, render

YAWS = (0.0, -10.0, 10.0)  # an attacker takes a few pictures and averages
PROBE_LIGHT = (-0.4, 0.8, 0.6)
GALLERY_LIGHT = (0.5, 0.8, 0.5)  # a picture of the same person elsewhere
EMBEDDING = 128
VERSION = 1  # of what is seen; to be raised with any change that makes older sights useless


@dataclass(frozen=True)
class Sight:
    """What was seen of a head.

    Attributes
    ----------
    found : numpy.ndarray, shape (views,), bool
        In which of the pictures the detector saw a face.
    embedding : numpy.ndarray, shape (128,)
        The mean over the pictures that could be compared; NaN if none could.
    centre : numpy.ndarray, shape (3,)
        Where the camera looked, world mm.
    pitch : float
        Of the camera, degrees.
    landmarks : numpy.ndarray, shape (views, 5, 2)
        Where eyes and nose were; 0 in pictures without a face.
    """

    found: NDArray[np.bool_]
    embedding: NDArray[np.float64]
    centre: NDArray[np.float64]
    pitch: float
    landmarks: NDArray[np.int64]

    @property
    def has_face(self) -> bool:
        """Whether the detector saw a face in any picture."""
        return bool(self.found.any())


def look(surface: Surface, recogniser: Recogniser, light: tuple[float, float, float] = PROBE_LIGHT) -> Sight:
    """Look at a head of which nothing is known: search its pitch, find the face, compare what is found."""
    x, y, z = surface.centre
    pitch = search_pitch(surface, recogniser)
    found, embeddings = np.zeros(len(YAWS), bool), []
    landmarks = np.zeros((len(YAWS), 5, 2), int)
    for number, yaw in enumerate(YAWS):
        picture = render(surface, View(pitch, yaw, (x, y, z), light))
        if face := recogniser.find(picture):
            found[number], landmarks[number] = True, face.landmarks
            embeddings.append(recogniser.embed(picture, face.landmarks))
    return Sight(found, _mean(embeddings), surface.centre, pitch, landmarks)


def look_as(original: Sight, surface: Surface, recogniser: Recogniser) -> Sight:
    """Look at a head as its original was looked at, and compare the place where the face was."""
    x, y, z = original.centre
    found = np.zeros(len(YAWS), bool)
    embeddings: list[NDArray] = []
    for number in np.flatnonzero(original.found):
        picture = render(surface, View(original.pitch, YAWS[number], (x, y, z), PROBE_LIGHT))
        if not embeddings:  # one picture is enough to see whether a face is left
            found[number] = recogniser.find(picture) is not None
        embeddings.append(recogniser.embed(picture, original.landmarks[number]))
    return Sight(found, _mean(embeddings), original.centre, original.pitch, original.landmarks)


def remembered(key: str, see: Callable[[], dict[str, Sight]], folder: Path) -> dict[str, Sight]:
    """Return what was seen under a key, from a file in the folder; see it first where there is none.

    Parameters
    ----------
    key : str
        Names in full what was looked at, and how.
    see : callable
    folder : pathlib.Path
        Private: what is kept there tells who a face belongs to.
    """
    path = folder / f"{hashlib.sha256(f'{VERSION} {key}'.encode()).hexdigest()[:32]}.npz"
    if path.exists():
        with np.load(path) as stored:
            arrays = dict(stored)
        names = arrays.pop("names")
        sights = [{field: values[k] for field, values in arrays.items()} for k in range(len(names))]
        return {str(name): Sight(**sight) for name, sight in zip(names, sights, strict=True)}
    seen = see()
    columns: dict[str, Any] = {
        "names": np.array(list(seen)),
        **{f.name: np.stack([getattr(sight, f.name) for sight in seen.values()]) for f in fields(Sight)},
    }
    unfinished = path.with_suffix(f".{os.getpid()}.npz")
    unfinished.touch(0o600)
    np.savez(unfinished, **columns)
    unfinished.replace(path)
    return seen


def _mean(embeddings: list[NDArray]) -> NDArray[np.float64]:
    return np.mean(embeddings, axis=0) if embeddings else np.full(EMBEDDING, np.nan)
