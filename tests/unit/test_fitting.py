"""Where a head lies: from its brain where that is trusted and the outline agrees, else by search."""

from dataclasses import replace

import numpy as np
import pytest

from bidsdeface import fitting
from bidsdeface.errors import RegistrationError
from bidsdeface.fitting import fit
from bidsdeface.imaging.volume import Volume, apply_affine
from bidsdeface.quality.checks import Rejected, is_brain_trusted


@pytest.fixture
def searches(monkeypatch):
    """Count exhaustive searches."""
    done = []
    search = fitting.place

    def place(*args):
        done.append(args)
        return search(*args)

    monkeypatch.setattr(fitting, "place", place)
    return done


def face_off_mm(fitted, fitter, moved=None):
    """Return how far the average's face is placed from where it is."""
    moved = np.eye(4) if moved is None else moved
    found = apply_affine(np.linalg.inv(fitted.to_template), fitter.surface.face)
    return np.linalg.norm(found - apply_affine(moved, fitter.surface.face), axis=1).max()


def test_a_trusted_brain_places_the_head_without_a_search(average, fitter, searches):
    move = np.eye(4)
    move[:3, 3] = [30, -60, 150]
    scan = Volume(average.head.data, move @ average.head.affine, average.head.seen)
    fitted = fit("x", scan, None, fitter, accepted=False)
    assert not searches and face_off_mm(fitted, fitter, move) < 1
    assert fitted.brain is not None and is_brain_trusted(fitted.measures)
    assert "lead" not in fitted.measures  # there was no rival


def test_a_brain_does_not_vouch_for_itself(average, fitter, searches, monkeypatch):
    """The outline objects to a placement that started from the brain: the search goes on without it."""
    monkeypatch.setattr(fitting, "outline_faults", lambda measures: {"outline_shift_mm": "far off"})
    fitted = fit("x", average.head, None, fitter, accepted=False)
    assert len(searches) == 1 and face_off_mm(fitted, fitter) < 1
    assert fitted.brain is not None and fitted.measures["lead"] > 0.1


def test_without_a_brain_the_head_is_searched_for(average, fitter, searches, monkeypatch):
    monkeypatch.setattr(fitting, "find_brain", lambda *_: None)
    fitted = fit("x", average.head, None, fitter, accepted=False)
    assert len(searches) == 1 and face_off_mm(fitted, fitter) < 1
    assert fitted.brain is None and fitted.measures["brain_ml"] == 0


def test_a_brain_that_puts_the_face_elsewhere_stops_a_placement(average, fitter, monkeypatch):
    wrong = np.eye(4)
    wrong[2, 3] = 25
    search = fitting.place_from

    def place_from(scan, *_):
        right = search(scan, [np.eye(4)] * 2, average.landscape)
        return replace(right, to_template=wrong @ right.to_template, second=wrong @ right.second)

    for name in ("place", "place_from"):
        monkeypatch.setattr(fitting, name, place_from)
    with pytest.raises(Rejected) as rejected:
        fit("x", average.head, None, fitter, accepted=False)
    assert "brain_shift_mm" in str(rejected.value.args[0])
    assert fit("x", average.head, None, fitter, accepted=True).to_template[2, 3] == pytest.approx(25, abs=1)


def test_a_scan_is_placed_through_its_reference_and_lent_its_brain(average, fitter, monkeypatch):
    reference = fit("first", average.head, None, fitter, accepted=False)
    move = np.eye(4)
    move[:3, 3] = [6, -8, 5]
    inverted = np.where(average.head.data > 0.1, 1.1 - average.head.data, 0).astype(np.float32)
    scan = Volume(inverted, move @ average.head.affine, average.head.seen)
    monkeypatch.setattr(fitting, "find_brain", lambda *_: None)
    fitted = fit("second", scan, reference, fitter, accepted=True)
    assert fitted.reference == "first" and face_off_mm(fitted, fitter, move) < 2
    assert fitted.brain is not None
    moved_mm = (fitted.brain.places - reference.brain.places).mean(axis=0)
    assert np.allclose(moved_mm, move[:3, 3], atol=2)


def test_what_shows_no_head_is_refused(fitter):
    data = np.random.default_rng(0).random((20, 20, 20), np.float32)
    speck = Volume(data, np.diag([2.0, 2.0, 2.0, 1.0]), np.ones_like(data))
    with pytest.raises(RegistrationError, match="no head found"):
        fit("x", speck, None, fitter, accepted=False)
