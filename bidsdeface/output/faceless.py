"""Images that are known to show no face, by private fingerprints: the leak check need not test them again."""

import os
from pathlib import Path

from bidsdeface import __version__
from bidsdeface.runtime.workdir import State


def remember_faceless(state: State | None, path: Path, content: bytes) -> None:
    """Store that an image was tested and shows no face; do nothing without private state.

    Parameters
    ----------
    state : State or None
    path : Path
        Of the image in the output dataset, in which it may not be yet.
    content : bytes
        The image file.

    Raises
    ------
    BidsdefaceError
        It cannot be written.
    """
    if state:
        state.remember(_name(state, path), _fingerprint(state, content))


def is_faceless(state: State | None, path: Path, content: bytes) -> bool:
    """Return True if exactly this file was tested at this place, by this version, and shows no face.

    Raises
    ------
    OSError
        It cannot be determined.
    """
    return state is not None and state.remembered(_name(state, path)) == _fingerprint(state, content)


def _name(state: State, path: Path) -> str:
    """Name a place in an output dataset. A link into an annex is a place as well, wherever it leads."""
    return state.derive("name of a face test", os.fsencode(path.parent.resolve() / path.name)).hex()


def _fingerprint(state: State, content: bytes) -> bytes:
    return state.derive("no face seen", __version__.encode(), content)
