"""Decisions of a person are followed where what they have looked at is still the same, and only there."""

import json

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.errors import RegistrationError
from bidsdeface.head.mask import NoFace
from bidsdeface.output.names import outputs_of
from bidsdeface.quality.outcome import ACCEPTED, FAILED, IN_REVIEW, KEPT, NO_FACE, PASSED
from tests.conftest import fake_head

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
BEYOND = {"measures": {"outline_shift_mm": 99.0}}


@pytest.fixture
def reviewed(run, tmp_path):
    """Run with a work dir; `decision` is saved in a review.tsv first, about what the report shows."""

    def run_again(found, decision=None, fingerprint=None, *, look=False, **options):
        if decision:
            (shown,) = (tmp_path / "work/bidsdeface/report").glob("*/sub-01_T1w.json")
            mark = fingerprint or json.loads(shown.read_text())["fingerprint"]
            lines = ["scan\tdecision\tnote\tinitials\tfingerprint", f"{T1W}\t{decision}\tseen\tAB\t{mark}"]
            options["review"] = tmp_path / "review.tsv"
            options["review"].write_text("\n".join([*lines, ""]))
        outcomes, head = run(found, work_dir=tmp_path / "work", private_report=look, **options)
        return outcomes["sub-01_T1w"], head.scans[0]

    return run_again


def is_published(root, scan, no_face=False):
    return (root / "out" / outputs_of(scan, no_face=no_face).image_sidecar).exists()


@pytest.mark.parametrize("found", [BEYOND, {"measures": {"outline_shift_mm": np.nan}}])
def test_what_was_held_back_and_accepted_is_published_and_stays(reviewed, tmp_path, found):
    assert reviewed(found, look=True)[0].verdict == FAILED
    outcome, scan = reviewed(found, "accepted")
    assert (outcome.verdict, outcome.code) == (ACCEPTED, 0) and is_published(tmp_path, scan)
    assert reviewed(found)[0].verdict == KEPT
    assert reviewed(found, force=True)[0].verdict == ACCEPTED


def test_what_was_rejected_is_withdrawn_and_stays_away(reviewed, tmp_path):
    assert reviewed({}, look=True)[0].verdict == PASSED
    for options in ({"decision": "rejected"}, {}, {"force": True}):
        outcome, scan = reviewed({}, **options)
        assert (outcome.verdict, outcome.code, outcome.kind) == (FAILED, 3, IN_REVIEW)
        assert "sub-01_T1w.nii.gz: rejected in review;" in outcome.reasons[0]
        assert not is_published(tmp_path, scan)
    assert reviewed({}, "accepted")[0].verdict == PASSED


@pytest.mark.parametrize("found", [{}, {"no_face": NoFace.BARE_BRAIN}])
def test_scans_of_a_complete_dataset_are_reviewed_too(reviewed, tmp_path, found):
    complete = {"output_layout": "bids"}
    assert reviewed(found, look=True, **complete)[0].verdict in (PASSED, NO_FACE)
    published = tmp_path / "out/sub-01/anat/sub-01_T1w.json"
    assert published.exists()
    assert reviewed(found, "rejected", **complete)[0].kind == IN_REVIEW and not published.exists()


def test_what_was_rejected_is_withdrawn_without_being_registered_again(reviewed):
    reviewed({}, look=True)
    tried = []
    assert reviewed(lambda loaded: tried.append(loaded) or {}, "rejected")[0].verdict == FAILED
    assert tried == []


def test_what_shows_no_face_can_be_rejected_too(reviewed, tmp_path):
    found = {"no_face": NoFace.BARE_BRAIN}
    assert reviewed(found, look=True)[0].verdict == NO_FACE
    outcome, scan = reviewed(found, "rejected")
    assert outcome.verdict == FAILED and not is_published(tmp_path, scan, no_face=True)


def test_a_mask_by_hand_can_be_rejected_too(reviewed, run, tmp_path):
    drawn = np.zeros(fake_head().shape, np.uint8)
    drawn[:, 30:] = 1
    nib.save(nib.Nifti1Image(drawn, fake_head().affine), tmp_path / "drawn.nii.gz")
    outcome, _ = reviewed({}, look=True, mask=tmp_path / "drawn.nii.gz")
    assert outcome.verdict == "by hand"
    outcome, scan = reviewed({}, "rejected")
    assert outcome.kind == IN_REVIEW and not is_published(tmp_path, scan)
    assert reviewed({})[0].verdict == PASSED  # with another mask, which nobody has rejected


def test_a_face_outside_of_what_can_be_placed_cannot_be_accepted(reviewed):
    outcome, _ = reviewed(RegistrationError("no head"), look=True)
    assert outcome.verdict == FAILED
    outcome, _ = reviewed(RegistrationError("no head"), "accepted", "0" * 64)
    assert "no head" in outcome.reasons[0] and outcome.lapsed


def another_input(tmp_path):
    path = tmp_path / "bids" / T1W
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[::-1].copy(), image.affine), path)
    return {}


def another_mask(tmp_path):
    mask = np.zeros(fake_head().shape, bool, order="F")
    mask[:, 25:] = True
    return {"mask": mask}


@pytest.mark.parametrize(
    "change", [another_input, another_mask, {"guard_mm": 5.0}, {"regions": ("face", "ears")}]
)
@pytest.mark.parametrize("decision", ["accepted", "rejected"])
def test_a_decision_about_something_else_changes_nothing_and_is_named(reviewed, tmp_path, change, decision):
    found, before, after = (BEYOND, FAILED, False) if decision == "accepted" else ({}, PASSED, True)
    assert reviewed(found, look=True)[0].verdict == before
    options = dict(change) if isinstance(change, dict) else {}
    found = found | ({} if options else change(tmp_path))
    outcome, scan = reviewed(found, decision, force=change is another_mask, **options)
    assert (outcome.verdict, is_published(tmp_path, scan), outcome.code) == (before, after, 3)
    for words in ("review.tsv, line 2: sub-01_T1w was looked at", repr(decision), "look at it again"):
        assert words in outcome.lapsed
    outcome, _ = reviewed(found, force=True, **options)
    assert (outcome.verdict, outcome.lapsed) == (before, "")  # it is not remembered either


def test_a_decision_by_which_a_kept_result_was_not_made_is_named(reviewed):
    reviewed({}, look=True)
    outcome, _ = reviewed({}, "rejected", "0" * 64)
    assert (outcome.verdict, outcome.code) == (KEPT, 3) and "line 2" in outcome.lapsed


def test_decisions_come_back_with_the_settings_they_were_made_for(reviewed):
    reviewed({}, look=True)
    assert reviewed({}, "rejected")[0].verdict == FAILED
    assert reviewed({}, guard_mm=5.0)[0].verdict == PASSED
    assert reviewed({})[0].kind == IN_REVIEW


def test_rules_for_metadata_change_no_picture_and_so_no_decision(reviewed):
    reviewed({}, look=True)
    assert reviewed({}, "rejected", drop_fields=("EchoTime",))[0].kind == IN_REVIEW


def test_accept_is_about_what_the_report_has_shown(reviewed, tmp_path):
    reviewed(BEYOND, look=True)
    outcome, scan = reviewed(BEYOND, accept=("sub-01_T1w",), guard_mm=5.0)
    assert outcome.verdict == FAILED and "--accept sub-01_T1w: sub-01_T1w was looked at" in outcome.lapsed
    assert not is_published(tmp_path, scan)
    outcome, _ = reviewed(BEYOND, accept=("sub-01_T1w",))
    assert (outcome.verdict, outcome.lapsed) == (ACCEPTED, "")
    assert reviewed(BEYOND, guard_mm=5.0)[0].verdict == FAILED


def test_accept_of_what_no_report_has_shown_lapses_with_the_input(reviewed, tmp_path):
    assert reviewed(BEYOND, accept=("sub-01_T1w",))[0].verdict == ACCEPTED
    assert reviewed(BEYOND, force=True)[0].verdict == ACCEPTED
    another_input(tmp_path)
    assert reviewed(BEYOND)[0].verdict == FAILED


def test_the_input_that_cannot_be_read_leaves_a_result_and_says_so(reviewed, tmp_path):
    reviewed({}, look=True)
    (tmp_path / "bids" / T1W).rename(tmp_path / "aside")
    (tmp_path / "bids" / T1W).symlink_to(tmp_path / ".git/annex/objects/gone")
    outcome, scan = reviewed({}, "rejected")
    assert is_published(tmp_path, scan) and outcome.code == 3 and outcome.lapsed


@pytest.mark.parametrize("content", ['{"fingerprint": ""}', '{"fingerp', "[]"])
def test_accept_does_not_hold_for_what_the_report_could_not_show(reviewed, tmp_path, content):
    reviewed(BEYOND, look=True)
    (shown,) = (tmp_path / "work/bidsdeface/report").glob("*/sub-01_T1w.json")
    shown.write_text(content)
    outcome, scan = reviewed(BEYOND, accept=("sub-01_T1w",))
    assert outcome.verdict == FAILED and outcome.lapsed and not is_published(tmp_path, scan)
