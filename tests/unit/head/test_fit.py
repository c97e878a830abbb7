"""Where a head lies: from its brain where that is trusted and the outline agrees, else by search."""

from dataclasses import replace

import numpy as np
import pytest

from bidsdeface.errors import RegistrationError
from bidsdeface.head import fit as fitting
from bidsdeface.head.fit import fit
from bidsdeface.imaging.volume import Volume, apply_affine
from bidsdeface.quality.checks import Rejected, failed_checks
from bidsdeface.quality.limits import is_brain_trusted


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


def face_off_mm(registered, templates, moved=None):
    """Return how far the average's face is placed from where it is."""
    moved = np.eye(4) if moved is None else moved
    found = apply_affine(np.linalg.inv(registered.to_template), templates.head_template.face)
    return np.linalg.norm(found - apply_affine(moved, templates.head_template.face), axis=1).max()


def test_a_trusted_brain_places_the_head_without_a_search(average, templates, searches):
    move = np.eye(4)
    move[:3, 3] = [30, -60, 150]
    scan = Volume(average.head.data, move @ average.head.affine, average.head.seen)
    registered = fit("x", scan, None, templates, accepted=False)
    assert not searches and face_off_mm(registered, templates, move) < 1
    assert registered.brain is not None and is_brain_trusted(registered.measures)
    assert "lead" not in registered.measures  # there was no rival


def test_a_brain_does_not_vouch_for_itself(average, templates, searches, monkeypatch):
    """The outline objects to a placement that started from the brain: the search goes on without it."""
    monkeypatch.setattr(fitting, "failed_without_brain", lambda measures: {"outline_shift_mm": "far off"})
    registered = fit("x", average.head, None, templates, accepted=False)
    assert len(searches) == 1 and face_off_mm(registered, templates) < 1
    assert registered.brain is not None and registered.measures["lead"] > 0.1


def test_without_a_brain_the_head_is_searched_for(average, templates, searches, monkeypatch):
    monkeypatch.setattr(fitting, "find_brain", lambda *_: None)
    registered = fit("x", average.head, None, templates, accepted=False)
    assert len(searches) == 1 and face_off_mm(registered, templates) < 1
    assert registered.brain is None and registered.measures["brain_ml"] == 0


def test_a_brain_that_puts_the_face_elsewhere_stops_a_placement(average, templates, monkeypatch):
    wrong = np.eye(4)
    wrong[2, 3] = 25
    search = fitting.place_from

    def place_from(scan, *_):
        right = search(scan, [np.eye(4)] * 2, average.target)
        return replace(right, to_template=wrong @ right.to_template, second=wrong @ right.second)

    for name in ("place", "place_from"):
        monkeypatch.setattr(fitting, name, place_from)
    monkeypatch.setattr(fitting, "settle", lambda scan, placement, *_, **__: placement)
    with pytest.raises(Rejected) as rejected:
        fit("x", average.head, None, templates, accepted=False)
    assert "brain_shift_mm" in str(rejected.value.args[0])
    assert fit("x", average.head, None, templates, accepted=True).to_template[2, 3] == pytest.approx(
        25, abs=1
    )


def test_a_scan_is_placed_through_its_reference_and_lent_its_brain(average, templates, monkeypatch):
    reference = fit("first", average.head, None, templates, accepted=False)
    move = np.eye(4)
    move[:3, 3] = [6, -8, 5]
    inverted = np.where(average.head.data > 0.1, 1.1 - average.head.data, 0).astype(np.float32)
    scan = Volume(inverted, move @ average.head.affine, average.head.seen)
    monkeypatch.setattr(fitting, "find_brain", lambda *_: None)
    registered = fit("second", scan, reference, templates, accepted=True)
    assert registered.reference == "first" and face_off_mm(registered, templates, move) < 2
    assert registered.brain is not None
    moved_mm = (registered.brain.places - reference.brain.places).mean(axis=0)
    assert np.allclose(moved_mm, move[:3, 3], atol=2)


@pytest.fixture(scope="module")
def first(average, templates):
    """Return the average's place, as a reference."""
    return fit("first", average.head, None, templates, accepted=False)


def test_a_guard_that_reaches_the_skin_of_the_face_fails_and_no_other(first):
    guard_to_skin_mm = first.guard_to_skin_mm(first.volume.affine)
    assert not failed_checks({"guard_to_skin_mm": guard_to_skin_mm})
    wide = replace(first, templates=replace(first.templates, guard_mm=14.0))
    found = wide.guard_to_skin_mm(first.volume.affine)
    assert found < guard_to_skin_mm and failed_checks({"guard_to_skin_mm": found})


def slab_of(head, low_mm, high_mm, motion):
    """Return an axial slab of a head with another contrast, and what a header says of where it lies."""
    rows = np.round((np.array([low_mm, high_mm]) - head.affine[2, 3]) / head.affine[2, 2]).astype(int)
    data = head.data[:, :, slice(*rows)]
    data = np.where(data > 0.1, 1.1 - data, 0).astype(np.float32)
    affine = head.affine.copy()
    affine[2, 3] += rows[0] * affine[2, 2]
    return Volume(data, motion @ affine, np.ones_like(data))


@pytest.mark.parametrize("shift", [(0, 0, 0), (6, -8, 5)])
def test_a_slab_lies_where_its_reference_shows_the_same(average, templates, first, shift):
    move = np.eye(4)
    move[:3, 3] = shift
    registered = fit("slab", slab_of(average.head, -50, 0, move), first, templates, accepted=False)
    assert registered.reference == "first" and face_off_mm(registered, templates, move) < 3
    assert registered.measures["reference_likeness"] > 0.9 and registered.measures["lead"] > 0.1


@pytest.mark.parametrize("shift", [(0, 20, 0), (0, 0, 80)])
def test_the_word_of_a_header_places_no_slab(average, templates, first, shift):
    """Where it lies, the slab is found in its right place, or refused unless a person has looked."""
    move = np.eye(4)
    move[:3, 3] = shift
    slab = slab_of(average.head, -50, 0, move)
    try:
        registered = fit("slab", slab, first, templates, accepted=False)
    except Rejected:
        return
    assert face_off_mm(registered, templates, move) < 3


def test_what_a_person_accepts_is_placed_by_the_reference(average, templates, first):
    move = np.eye(4)
    move[2, 3] = 80
    slab = slab_of(average.head, -50, 0, move)
    assert fit("slab", slab, first, templates, accepted=True).reference == "first"


def test_a_slab_that_its_header_mirrors_is_refused(average, templates):
    """Left and right differ in a head, if not in the average of many."""
    data = average.head.data.copy()
    places = apply_affine(average.head.affine, np.stack(np.indices(data.shape), -1))
    data[np.linalg.norm(places - [35, -40, -25], axis=-1) < 18] = 0.9
    head = replace(average.head, data=data)
    reference = fit("first", head, None, templates, accepted=False)
    honest, mirrored = (slab_of(head, -50, 0, np.diag([x, 1.0, 1.0, 1.0])) for x in (1.0, -1.0))
    assert fit("slab", honest, reference, templates, accepted=False).reference == "first"
    with pytest.raises(Rejected):
        fit("slab", mirrored, reference, templates, accepted=False)


def test_a_slab_has_no_place_by_itself(average, templates):
    with pytest.raises(RegistrationError, match="no head found"):
        fit("slab", slab_of(average.head, -30, 0, np.eye(4)), None, templates, accepted=False)


def test_an_uneven_coil_is_evened_out_before_a_head_is_searched_for(
    average, templates, searches, monkeypatch
):
    answers = iter(({"outline_shift_mm": "far off"}, {}))
    monkeypatch.setattr(fitting, "failed_without_brain", lambda measures: next(answers))
    registered = fit("x", average.head, None, templates, accepted=False)
    assert not searches and face_off_mm(registered, templates) < 5
    assert registered.volume is average.head


def test_what_shows_no_head_is_refused(templates):
    data = np.random.default_rng(0).random((20, 20, 20), np.float32)
    speck = Volume(data, np.diag([2.0, 2.0, 2.0, 1.0]), np.ones_like(data))
    with pytest.raises(RegistrationError, match="no head found"):
        fit("x", speck, None, templates, accepted=False)


def test_a_head_whose_scalp_is_dark_and_whose_face_was_removed_is_found(average, templates):
    """As in some FLAIR: by brightness, the brain would be taken for the whole head."""
    head = average.head
    places = apply_affine(head.affine, np.stack(np.indices(head.data.shape), -1))
    off_brain_mm = templates.head_template.brain_mm.at(places, np.inf)
    data = head.data * (1 - 0.85 * np.clip((off_brain_mm - 1) / 4, 0, 1))
    data[templates.face_regions(None).distance(places, np.eye(4)) < 0] = 0
    scan = replace(head, data=data.astype(np.float32))
    registered = fit("x", scan, None, templates, accepted=False)
    assert face_off_mm(registered, templates) < 20 and registered.volume is scan
