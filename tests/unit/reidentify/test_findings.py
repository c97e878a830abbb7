"""The study, with made-up sights and a made-up recogniser: what is found, missed, left out, and enough."""

from dataclasses import replace

import numpy as np
import pytest

from bidsdeface.reidentify import recognise as sights
from bidsdeface.reidentify.findings import Probe, evaluate, matches, verdict
from bidsdeface.reidentify.recognise import EMBEDDING, YAWS, Sight, look, look_as, remembered
from bidsdeface.reidentify.render import image_surface
from tests.conftest import as_image
from tests.unit.reidentify.test_render import ball

FACELESS = np.full(EMBEDDING, np.nan)


def seen(place, found=True):
    """Return a sight whose embedding is a place on a line."""
    embedding = FACELESS if place is None else np.full(EMBEDDING, float(place))
    return Sight(np.full(len(YAWS), found), embedding, np.zeros(3), 0.0, np.zeros((len(YAWS), 5, 2), int))


def study(after, before=None, gallery=None, people=None, strangers=()):
    count = len(after)
    before = before or [seen(k + 0.1) for k in range(count)]
    gallery = gallery or [seen(k) for k in range(count)]
    people = people or [f"p{k}" for k in range(count)]
    return evaluate(
        [
            Probe(person, person, own, original, {"plain": sight})
            for person, own, original, sight in zip(people, gallery, before, after, strict=True)
        ],
        strangers,
    )


def test_heads_that_are_recognised_before_and_not_after_are_counted_so():
    findings = study([seen(-1, found=False)] * 20)  # all look the same, and like the first
    assert findings.people == 20 and findings.faceless == 0
    assert findings.before.ranks[1].value == 1 and findings.before.auc == 1
    after = findings.after["plain"]
    assert after.ranks[1].hits == 1 and after.ranks[5].hits == 5
    assert after.auc == pytest.approx(0.5)
    assert after.detected.hits == 0
    assert after.ranks[1].chance == 1 / 20 and after.ranks[5].chance == 5 / 20
    assert after.curve[0] == 1 / 20 and after.curve[-1] == 1
    assert not after.reidentifiable and not findings.underpowered


def test_heads_that_are_recognised_after_all_are_reidentifiable():
    after = study([seen(k) for k in range(20)]).after["plain"]
    assert after.reidentifiable and after.ranks[1].value == 1 and after.detected.value == 1


def test_a_head_without_a_face_afterwards_is_a_miss_and_not_left_out():
    after = study([seen(None, found=False)] * 20).after["plain"]
    assert after.ranks[1].count == 20 and after.ranks[5].hits == 0 and after.auc == 0.5


def test_a_head_without_a_face_in_view_before_is_left_out_and_counted_apart():
    before = [seen(k + 0.1) for k in range(9)] + [seen(None, found=False)]
    findings = study([seen(k) for k in range(10)], before)
    assert findings.faceless == 1 and findings.after["plain"].ranks[1].count == 9
    assert findings.people == 9
    gallery = [seen(k) for k in range(9)] + [seen(None, found=False)]
    findings = study([seen(k) for k in range(10)], gallery=gallery)
    assert findings.faceless == 1 and findings.people == 9


@pytest.mark.parametrize(
    ("recognised", "people", "underpowered"),
    [(20, 20, False), (16, 20, False), (10, 20, True), (5, 5, True), (6, 6, False), (0, 20, True)],
)
def test_a_study_is_underpowered_if_too_few_or_too_seldom_recognised(recognised, people, underpowered):
    before = [seen(k if k < recognised else k + 7) for k in range(people)]
    gallery = [seen(k) for k in range(people)]
    assert study([seen(0)] * people, before, gallery).underpowered == underpowered


def test_ties_are_decided_against_power_before_and_against_privacy_after():
    same = [seen(0)] * 10
    findings = study(same, before=same, gallery=same)
    assert findings.before.ranks[1].hits == 0 and findings.underpowered
    assert findings.after["plain"].ranks[1].hits == 10


def test_a_study_in_which_every_face_is_out_of_view_is_underpowered_and_does_not_fail():
    blind = [seen(None, found=False)] * 4
    findings = study(blind, before=blind, gallery=blind)
    assert findings.faceless == 4 and findings.people == 0 and findings.underpowered


def test_strangers_make_it_harder_and_are_counted_apart_unless_their_faces_are_out_of_view():
    crowd = [seen(k + 0.1) for k in range(10, 20)] + [seen(None, found=False)]
    findings = study([seen(-1)] * 4, strangers=crowd)
    assert (findings.people, findings.synthetic) == (14, 10)
    assert findings.after["plain"].ranks[1].chance == 1 / 14
    nearer = study([seen(k + 0.1) for k in range(4)], strangers=[seen(k + 0.1) for k in range(4)])
    assert nearer.after["plain"].ranks[1].hits == 0 and nearer.after["plain"].curve[1] == 1


def test_two_scans_of_a_person_are_one_person_of_the_gallery_each_matched_with_the_other_picture():
    findings = study(
        [seen(5), seen(9), seen(7)],
        before=[seen(5), seen(9), seen(7)],
        gallery=[seen(5.1), seen(9.1), seen(7.1)],
        people=["a", "a", "b"],
    )
    assert findings.people == 2
    assert findings.after["plain"].ranks[1].hits == 3  # with the picture of another scan, 9 were nearer to b
    assert findings.after["plain"].ranks[1].count == 3


def probes(*places):
    """Return probes of people at 0, 1, 2 …, who after defacing are seen at these places."""
    return [
        Probe(f"p{k}", f"p{k}", seen(k), seen(k + 0.1), {"plain": seen(None, False), "mask": seen(place)})
        for k, place in enumerate(places)
    ]


def test_matches_name_the_attackers_for_whom_a_person_comes_first_ties_included():
    assert matches(probes(0.2, 0, 1.5, 9)) == [("mask",), (), ("mask",), ("mask",)]
    assert matches(probes(0.5, 0.5), [seen(0.5)]) == [(), ()]
    assert matches([]) == []


def swapped(*differences):
    """Return probes to which the swap attacker's candidates make these differences, the right one first."""
    return [
        replace(probe, after={"swap": replace(seen(0), differences=np.array(one, float))})
        for probe, one in zip(probes(*range(len(differences))), differences, strict=True)
    ]


def test_the_swap_attacker_draws_lots_among_faces_that_make_no_difference():
    everybody = swapped(*[[0] * 10] * 200)
    found = evaluate(everybody).after["swap"]
    assert found.ranks[1].chance == 0.1 and found.ranks[5].chance == 0.5
    assert 10 < found.ranks[1].hits < 30 and 80 < found.ranks[5].hits < 120
    assert found.auc == pytest.approx(0.5, abs=0.05) and not found.reidentifiable
    assert not any(matches(everybody)) and verdict(evaluate(everybody)).startswith("No attacker")


def test_the_swap_attacker_finds_whose_face_alone_makes_no_difference():
    everybody = swapped(*[[0, 3, *[7] * 8]] * 20)
    found = evaluate(everybody).after["swap"]
    assert found.ranks[1].hits == 20 and found.auc == 1 and found.curve == (1,) * 10
    assert set(matches(everybody)) == {("swap",)}
    assert verdict(evaluate(everybody)).endswith("attacker: swap.")


def test_a_candidate_whom_the_swap_attacker_cannot_try_is_far():
    found = evaluate(swapped(*[[np.inf, *[0] * 9]] * 5, *[[2, *[np.inf] * 9]] * 5)).after["swap"]
    assert found.ranks[1].hits == 5


def test_a_head_without_a_face_in_view_before_is_never_matched():
    blind = Probe("p", "p", seen(0), seen(None, found=False), {"mask": seen(0)})
    assert matches([blind, *probes(0, 1)]) == [(), ("mask",), ("mask",)]


def test_who_is_withdrawn_is_not_counted_and_still_stands_in_the_gallery():
    everybody = probes(0.2, 0, 0.9, 9)
    left = evaluate(everybody[1:3], [seen(50)], others=[everybody[0], everybody[3]])
    assert (left.people, left.synthetic) == (5, 1)
    found = left.after["mask"]
    assert found.ranks[1].count == 2 and found.ranks[1].hits == 0
    assert found.ranks[1].chance == 1 / 5
    again = evaluate(everybody[1:3], [seen(50)])
    assert again.people == 3 and again.after["mask"].ranks[1].hits == 1  # without them it is another question


class Watcher:
    """A recogniser that sees a face wherever something bright is, and remembers what it was asked."""

    def __init__(self):
        self.aligned = []

    def likeness(self, picture):
        return float(picture.max() > 100)

    def find(self, picture):
        rows, columns = np.nonzero(picture[..., 0] > 100)
        return np.full((5, 2), [int(columns.mean()), int(rows.mean())]) if len(rows) else None

    def embed(self, picture, landmarks):
        self.aligned.append(landmarks)
        return np.full(EMBEDDING, picture.mean())


@pytest.fixture
def surfaces():
    head, blank = ball((4.0, 4.0, 4.0), bump=(0, 1, 0)), ball((4.0, 4.0, 4.0), bump=(0, 0, -1))
    return [image_surface(as_image(np.asanyarray(b.dataobj), b.affine), "x") for b in (head, blank)]


def test_the_informed_attacker_looks_from_where_the_original_was_seen_and_at_its_landmarks(surfaces):
    watcher = Watcher()
    original = look(surfaces[0], watcher)
    asked = watcher.aligned.copy()
    informed = look_as(original, surfaces[1], watcher)
    assert np.array_equal(watcher.aligned[len(asked) :], asked)
    assert informed.pitch == original.pitch and np.array_equal(informed.centre, original.centre)
    assert np.isfinite(informed.embedding).all()


def test_views_in_which_the_original_showed_no_face_are_not_compared(surfaces):
    watcher = Watcher()
    original = look(surfaces[0], watcher)
    partly = Sight(
        np.array([True, False, True]), original.embedding, original.centre, 0.0, original.landmarks
    )
    watcher.aligned.clear()
    look_as(partly, surfaces[1], watcher)
    assert len(watcher.aligned) == 2


def test_what_was_seen_is_kept_in_the_folder_and_not_looked_at_again(tmp_path, surfaces):
    original = look(surfaces[0], Watcher())
    first = remembered("a scan", lambda: {"plain": original, "mask": seen(None, False)}, tmp_path)
    again = remembered("a scan", lambda: pytest.fail("looked again"), tmp_path)
    assert list(again) == list(first) == ["plain", "mask"]
    for name in first:
        for field in vars(first[name]):
            assert np.array_equal(getattr(first[name], field), getattr(again[name], field), equal_nan=True)
    assert not [path for path in tmp_path.iterdir() if "scan" in path.name]  # names tell nobody


def test_another_key_or_another_version_is_looked_at_anew(tmp_path, monkeypatch):
    remembered("a scan", lambda: {"plain": seen(1)}, tmp_path)
    assert remembered("another", lambda: {"plain": seen(2)}, tmp_path)["plain"].embedding[0] == 2
    monkeypatch.setattr(sights, "VERSION", -1)
    assert remembered("a scan", lambda: {"plain": seen(3)}, tmp_path)["plain"].embedding[0] == 3


def test_a_study_that_was_interrupted_while_writing_looks_again(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remembered("a scan", interrupted, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert remembered("a scan", lambda: {"plain": seen(1)}, tmp_path)["plain"].has_face
