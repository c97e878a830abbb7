"""The guard's brain: uncovered step by step where it reaches into what may be removed, and no farther."""

import numpy as np
import pytest
from scipy import ndimage

from bidsdeface.imaging import guard_brain
from bidsdeface.imaging.brain import Brain
from bidsdeface.imaging.guard_brain import UNSURE_ML, find_guard_brain
from bidsdeface.imaging.volume import Volume

SIDE, MIDDLE = 24, 12  # blocks of 2 mm
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def volume(data):
    return Volume(data.astype(np.float32), AFFINE, np.ones(data.shape, np.float32))


@pytest.fixture
def found(monkeypatch):
    """Find the brain of a head whose front half is hidden, and what a network was shown on the way.

    The network takes what is bright for brain, and one block around it; the brain ends at `end`.
    """
    shown = []

    def see(scan, *_):
        shown.append(scan.data)
        return Brain(volume(ndimage.binary_dilation(scan.data > 0.8)), 1.0)

    def find(end):
        head, average, hidden = (np.zeros((SIDE, SIDE, SIDE)) for _ in range(3))
        head[2:-2, 2:end, 2:-2], head[2:-2, end:-2, 2:-2] = 1.0, 0.4
        average[:, :2], average[:, 2:4] = 1.0, 0.5
        hidden[:, MIDDLE:] = 1
        result = find_guard_brain(
            volume(head),
            hidden=hidden > 0,
            guarded=lambda brain: brain.inside.data > 0,
            average=volume(average),
            to_average=np.eye(4),
            surface=None,
            weights={},
            is_flat=False,
        )
        return result.inside.data > 0, shown

    monkeypatch.setattr(guard_brain, "find_brain", see)
    monkeypatch.setattr(guard_brain, "fit_brain", lambda brain, *_: brain)
    return find


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_all_of_a_brain_that_reaches_into_what_is_hidden_is_found(found, depth):
    inside, _ = found(MIDDLE + depth)
    assert inside[2:-2, 2 : MIDDLE + depth, 2:-2].all()


def test_what_is_uncovered_is_what_the_guard_spares(found):
    inside, shown = found(MIDDLE + 3)
    assert len(shown) > 2
    in_front = shown[-1][:, MIDDLE:] > 0
    assert in_front.any() and not (in_front & ~inside[:, MIDDLE:]).any()


def test_a_network_that_finds_less_than_it_is_unsure_of_does_not_look_again(found, monkeypatch):
    monkeypatch.setattr(guard_brain, "UNSURE_ML", 100 * UNSURE_ML)
    assert len(found(MIDDLE + 3)[1]) == 1
