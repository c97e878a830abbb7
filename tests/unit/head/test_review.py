"""An acceptance is followed where what was looked at is still there, a rejection until it is taken back."""

import json
from dataclasses import replace
from pathlib import PurePosixPath

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.dataset.names import stem_of
from bidsdeface.dataset.query import find_heads
from bidsdeface.errors import BidsdefaceError, Exit, RegistrationError
from bidsdeface.head import choose_mask
from bidsdeface.head import review as head_review
from bidsdeface.head.mask import NoFace
from bidsdeface.head.registered import RegisteredScan
from bidsdeface.head.review import read_decisions
from bidsdeface.output.names import outputs_of
from bidsdeface.output.record import read_record
from bidsdeface.output.review import COLUMNS
from bidsdeface.quality.limits import CHECKS
from bidsdeface.quality.outcome import ACCEPTED, FAILED, IN_REVIEW, KEPT, NO_FACE, PASSED, OutcomeFile
from bidsdeface.runtime.workdir import OUTCOMES, open_state
from bidsdeface.settings import Settings
from tests.conftest import fake_head, make_dataset

T1W = "sub-01/anat/sub-01_T1w.nii.gz"
BEYOND = {"measures": {"outline_shift_mm": 99.0}}
DAYS = (f"2026-01-01T00:00:00.{number:03}Z" for number in range(1000))  # each later than the one before


def save_review(root, decisions, fingerprint=None, time=None):
    """Save a review.tsv about what the report shows, or about another fingerprint; return its path."""
    rows = [COLUMNS]
    for scan, decision in decisions.items():
        (shown,) = (root / "work/bidsdeface/report").glob(f"*/{stem_of(PurePosixPath(scan))}.json")
        mark = fingerprint or json.loads(shown.read_text())["fingerprint"]
        rows.append((scan, decision, "seen", "AB", mark, time or next(DAYS)))
    (root / "review.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    return root / "review.tsv"


@pytest.fixture
def reviewed(run, tmp_path):
    """Run with a work dir; `decision` is saved in a review.tsv first, about what the report shows."""

    def run_again(found, decision=None, fingerprint=None, *, look=False, **options):
        if decision:
            options["review"] = save_review(tmp_path, {T1W: decision}, fingerprint)
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
        (reason,) = outcome.reasons
        assert reason.endswith("sub-01_T1w.nii.gz: rejected in review")
        assert "--private-report" in outcome.remedy and "--review" in outcome.remedy
        assert list((tmp_path / "out").iterdir()) == []  # nor are there empty folders
    assert reviewed({}, "accepted")[0].verdict == PASSED


def test_what_was_never_published_keeps_its_reason_when_it_is_rejected(reviewed, tmp_path):
    """So that a list of what is missing says what is true, and no more of the review than before."""
    file = OutcomeFile(None, open_state(tmp_path / "work").folder_for(OUTCOMES, tmp_path / "out"))
    outcome, scan = reviewed(BEYOND, look=True)
    cause = outcome.reasons[0].removeprefix(f"{scan.path}: ")
    assert "--accept" in outcome.remedy and not any("--" in reason for reason in outcome.reasons)
    file.add(outcome)
    for options in ({"decision": "rejected"}, {}, {"look": True}):
        rejected, _ = reviewed(BEYOND, **options)
        assert (rejected.verdict, rejected.kind, rejected.failed_checks) == (FAILED, "", ("OutlineShiftMM",))
        assert rejected.reasons == (f"{scan.path}: {IN_REVIEW}", cause) and not rejected.is_crash
        file.add(rejected)
    assert reviewed(BEYOND, "accepted")[0].verdict == ACCEPTED  # published, and then withdrawn by a person
    rejected, _ = reviewed(BEYOND, "rejected")
    assert (rejected.kind, rejected.failed_checks, len(rejected.reasons)) == (IN_REVIEW, (), 1)


def test_what_no_run_has_finished_is_withheld_by_the_person_who_rejects_it(reviewed, tmp_path):
    file = OutcomeFile(None, open_state(tmp_path / "work").folder_for(OUTCOMES, tmp_path / "out"))
    outcome, _ = reviewed(BEYOND, look=True)
    file.add(replace(outcome, cause=Exit.RETRY))
    assert reviewed(BEYOND, "rejected")[0].kind == IN_REVIEW


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


def test_a_mask_by_hand_can_be_rejected_too_and_takes_no_rejection_back_unseen(reviewed, tmp_path):
    drawn, by_hand = np.zeros(fake_head().shape, np.uint8), {"mask": tmp_path / "drawn.nii.gz"}
    drawn[:, 30:] = 1
    nib.save(nib.Nifti1Image(drawn, fake_head().affine), by_hand["mask"])
    outcome, _ = reviewed({}, look=True, **by_hand)
    assert outcome.verdict == "by hand"
    outcome, scan = reviewed({}, "rejected")
    assert outcome.kind == IN_REVIEW and not is_published(tmp_path, scan)
    assert reviewed({})[0].kind == IN_REVIEW  # with another mask, too
    drawn[:, 28:] = 1
    nib.save(nib.Nifti1Image(drawn, fake_head().affine), by_hand["mask"])
    assert reviewed({}, look=True, **by_hand)[0].kind == IN_REVIEW
    assert reviewed({}, "accepted", **by_hand)[0].verdict == "by hand"
    assert reviewed({})[0].verdict == KEPT


def test_a_face_outside_of_what_can_be_placed_cannot_be_accepted(reviewed):
    outcome, _ = reviewed(RegistrationError("no head"), look=True)
    assert outcome.verdict == FAILED
    outcome, _ = reviewed(RegistrationError("no head"), "accepted", "0" * 64)
    assert "no head" in outcome.reasons[0]
    assert "review.tsv, line 2: sub-01_T1w cannot be compared with what was looked at" in outcome.lapsed
    assert "another" not in outcome.lapsed


def another_input(tmp_path):
    path = tmp_path / "bids" / T1W
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[::-1].copy(), image.affine), path)
    return {}


def another_mask(tmp_path):
    mask = np.zeros(fake_head().shape, bool, order="F")
    mask[:, 25:] = True
    return {"mask": mask}


CHANGES = [another_input, another_mask, {"guard_mm": 5.0}, {"regions": ("face", "ears")}]


def changed(change, found, tmp_path):
    """Return what is found after a change of the input, its mask or the settings, and the settings."""
    if isinstance(change, dict):
        return found, change
    return found | change(tmp_path), {"force": change is another_mask}


@pytest.mark.parametrize("change", CHANGES)
def test_an_acceptance_of_something_else_changes_nothing_and_is_named(reviewed, tmp_path, change):
    reviewed(BEYOND, look=True)
    found, options = changed(change, BEYOND, tmp_path)
    outcome, scan = reviewed(found, "accepted", **options)
    assert (outcome.verdict, outcome.code) == (FAILED, 3) and not is_published(tmp_path, scan)
    for words in ("review.tsv, line 2: sub-01_T1w was looked at", "'accepted'", "look at it again"):
        assert words in outcome.lapsed
    outcome, _ = reviewed(found, **options | {"force": True})
    assert (outcome.verdict, outcome.lapsed) == (FAILED, "")  # it is not remembered either


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("is_known_before", [True, False])
def test_a_rejection_holds_until_what_is_there_by_then_is_accepted(
    reviewed, tmp_path, change, is_known_before
):
    reviewed({}, look=True)
    if is_known_before:
        reviewed({}, "rejected")
        found, options = changed(change, {}, tmp_path)
        outcome, _ = reviewed(found, **options)
    else:
        found, options = changed(change, {}, tmp_path)
        outcome, _ = reviewed(found, "rejected", **options)
    assert (outcome.kind, outcome.lapsed) == (IN_REVIEW, "")
    for _ in range(2):
        outcome, scan = reviewed(found, look=True, **options | {"force": True})
        assert outcome.kind == IN_REVIEW and list((tmp_path / "out").iterdir()) == []
    assert reviewed(found, "accepted", **options)[0].verdict == PASSED and is_published(tmp_path, scan)
    assert reviewed(found, **options | {"force": True})[0].verdict == PASSED


def test_what_is_accepted_lapses_and_takes_no_rejection_back_if_it_is_not_what_is_there(reviewed):
    reviewed({}, look=True)
    reviewed({}, "rejected")
    outcome, _ = reviewed({}, "accepted", guard_mm=5.0)
    assert outcome.kind == IN_REVIEW and "was looked at with another" in outcome.lapsed
    assert reviewed({}, guard_mm=5.0)[0].kind == IN_REVIEW


def test_a_rejection_moves_with_its_dataset_and_is_not_about_another_one_in_the_same_work_dir(
    reviewed, tmp_path
):
    reviewed({}, look=True)
    reviewed({}, "rejected")
    (tmp_path / "bids").rename(tmp_path / "moved")
    make_dataset(tmp_path / "another", {T1W: fake_head((30, 38, 34))})
    for bids_dir, expected in (("moved", {"sub-01_T1w"}), ("another/bids", set())):
        (head,) = find_heads(tmp_path / bids_dir).heads
        settings = Settings(bids_dir=tmp_path / bids_dir, output_dir=tmp_path / "out", level="participant")
        assert read_decisions(settings, open_state(tmp_path / "work")).rejected(head) == expected


def test_what_was_rejected_stays_away_though_something_else_was_accepted_since(reviewed):
    reviewed({}, look=True)
    reviewed({}, "rejected")
    reviewed({}, look=True, guard_mm=5.0)
    assert reviewed({}, "accepted", guard_mm=5.0)[0].verdict == PASSED
    assert reviewed({})[0].kind == IN_REVIEW
    assert reviewed({}, guard_mm=5.0)[0].verdict == PASSED


@pytest.mark.parametrize(("first", "then"), [("accepted", "rejected"), ("rejected", "accepted")])
def test_a_file_of_earlier_decisions_overrides_none_that_was_taken_later(reviewed, tmp_path, first, then):
    reviewed(BEYOND, look=True)
    early, late = "2026-02-01T08:00:00.000Z", "2026-02-01T08:00:01.000Z"
    reviewed(BEYOND, review=save_review(tmp_path, {T1W: first}, time=early))
    expected = reviewed(BEYOND, review=save_review(tmp_path, {T1W: then}, time=late))[0].verdict
    assert expected == (FAILED if then == "rejected" else ACCEPTED)
    outcome, _ = reviewed(BEYOND, review=save_review(tmp_path, {T1W: first}, time=early), force=True)
    assert outcome.verdict == expected and outcome.code == 3
    assert f"line 2: sub-01_T1w was decided otherwise later; so {first!r} does not count" in outcome.lapsed
    assert reviewed(BEYOND, force=True)[0].verdict == expected


def test_an_acceptance_by_which_a_kept_result_was_not_made_is_named(reviewed):
    reviewed({}, look=True)
    outcome, _ = reviewed({}, "accepted", "0" * 64)
    assert (outcome.verdict, outcome.code) == (KEPT, 3) and "line 2" in outcome.lapsed


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


def drop_input(tmp_path, scan):
    (tmp_path / "bids" / T1W).rename(tmp_path / "aside")
    (tmp_path / "bids" / T1W).symlink_to(tmp_path / ".git/annex/objects/gone")


def damage_mask(tmp_path, scan):
    (tmp_path / "out" / outputs_of(scan).mask).write_bytes(b"no image")


@pytest.mark.parametrize("damage", [drop_input, damage_mask])
def test_a_rejection_needs_neither_input_nor_mask(reviewed, tmp_path, damage):
    _, scan = reviewed({}, look=True)
    damage(tmp_path, scan)
    outcome, scan = reviewed({}, "rejected")
    assert (outcome.kind, outcome.lapsed) == (IN_REVIEW, "") and list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("damage", [drop_input, damage_mask])
def test_an_acceptance_of_what_cannot_be_read_leaves_a_result_and_says_so(reviewed, tmp_path, damage):
    _, scan = reviewed({}, look=True)
    damage(tmp_path, scan)
    outcome, scan = reviewed({}, "accepted")
    assert outcome.verdict == KEPT and is_published(tmp_path, scan)
    assert outcome.code == 3 and "cannot be compared" in outcome.lapsed


def test_a_rejection_that_cannot_be_kept_is_followed_and_named(reviewed, tmp_path, monkeypatch):
    def full(*_):
        raise BidsdefaceError("the work dir is full")

    reviewed({}, look=True)
    monkeypatch.setattr(head_review, "remember_decision", full)
    outcome, scan = reviewed({}, "rejected")
    assert outcome.verdict == FAILED and "the work dir is full" in outcome.reasons[0]
    assert not is_published(tmp_path, scan)


@pytest.mark.parametrize("content", ["{", "[]", '{"": {"decision": 5}}'])
def test_decisions_that_cannot_be_read_keep_a_result_and_say_so(run, tmp_path, content):
    scans = [f"sub-01/anat/sub-01_{suffix}.nii.gz" for suffix in ("T1w", "T2w")]
    options = {"scans": scans, "work_dir": tmp_path / "work"}
    run({}, private_report=True, **options)
    run({}, review=save_review(tmp_path, {scans[0]: "accepted"}), **options)
    for path in (tmp_path / "work/bidsdeface/fingerprints").iterdir():
        if path.read_bytes().startswith(b"{"):
            path.write_text(content)
    outcomes, _ = run({}, **options)
    assert verdicts(outcomes, scans) == [KEPT, KEPT]
    assert "review the scan again" in outcomes["sub-01_T1w"].lapsed
    outcomes, _ = run({}, force=True, **options)
    assert verdicts(outcomes, scans) == [FAILED, PASSED]  # it costs no other scan
    assert "review the scan again" in outcomes["sub-01_T1w"].reasons[0]


def test_a_rejection_is_followed_where_memory_is_short(reviewed, tmp_path, monkeypatch):
    def too_large(*_):
        raise MemoryError

    reviewed({}, look=True)
    monkeypatch.setattr(head_review, "fingerprint_of", too_large)
    outcome, scan = reviewed({}, "rejected")
    assert outcome.kind == IN_REVIEW and not is_published(tmp_path, scan)


def test_accepting_another_scan_at_the_same_path_takes_no_rejection_back(reviewed, tmp_path):
    reviewed({}, look=True)
    reviewed({}, "rejected")
    original = (tmp_path / "bids" / T1W).read_bytes()
    another_input(tmp_path)
    reviewed({}, look=True)
    assert reviewed({}, "accepted")[0].verdict == PASSED
    assert reviewed({}, guard_mm=5.0)[0].verdict == PASSED
    (tmp_path / "bids" / T1W).write_bytes(original)
    assert reviewed({}, guard_mm=5.0)[0].kind == IN_REVIEW


@pytest.mark.parametrize("content", ['{"fingerprint": ""}', '{"fingerp', "[]"])
def test_accept_does_not_hold_for_what_the_report_could_not_show(reviewed, tmp_path, content):
    reviewed(BEYOND, look=True)
    (shown,) = (tmp_path / "work/bidsdeface/report").glob("*/sub-01_T1w.json")
    shown.write_text(content)
    outcome, scan = reviewed(BEYOND, accept=("sub-01_T1w",))
    assert outcome.verdict == FAILED and outcome.lapsed and not is_published(tmp_path, scan)


ECHOES = [f"sub-01/anat/sub-01_echo-{n}_MEGRE.nii.gz" for n in (1, 2)]
FIELDMAP = [f"sub-01/fmap/sub-01_{name}.nii.gz" for name in ("magnitude1", "phasediff")]
INVERSIONS = [f"sub-01/anat/sub-01_{name}.nii.gz" for name in ("inv-2_MP2RAGE", "UNIT1")]
PARTS = [f"sub-01/anat/sub-01_part-{name}_MEGRE.nii.gz" for name in ("mag", "phase")]
SETS = pytest.mark.parametrize(
    ("scans", "asked"),
    [(ECHOES, ()), (PARTS, ()), (FIELDMAP, ("magnitude1", "phasediff")), (INVERSIONS, ())],
)


def doubtful_first():
    """Object to the first scan of a run, without a measure, until a person has looked; find the others."""
    objections = iter([RegistrationError("its background is as bright as its tissue")])
    return lambda loaded: next(objections, {"measures": {"similarity": 0.8}})


def verdicts(outcomes, scans):
    return [outcomes[stem_of(PurePosixPath(scan))].verdict for scan in scans]


@SETS
def test_an_acceptance_is_not_lent_with_the_mask(run, tmp_path, monkeypatch, scans, asked):
    monkeypatch.setattr(choose_mask, "check_still", lambda *_, **__: True)
    options = {"scans": scans, "suffixes": asked, "work_dir": tmp_path / "work"}
    stems = [stem_of(PurePosixPath(scan)) for scan in scans]
    outcomes, head = run(doubtful_first(), accept=(stems[0],), private_report=True, **options)
    assert verdicts(outcomes, scans) == [ACCEPTED, FAILED]
    assert f"gets the mask of {stems[0]}, which a person has accepted" in outcomes[stems[1]].reasons[0]
    assert not (tmp_path / "out" / outputs_of(head.scans[1]).image).exists()
    decisions = save_review(tmp_path, {scans[1]: "accepted"})  # shown with that mask
    outcomes, _ = run(doubtful_first(), review=decisions, **options)
    assert verdicts(outcomes, scans) == [ACCEPTED, ACCEPTED], outcomes
    outcomes, _ = run(doubtful_first(), **options)
    assert verdicts(outcomes, scans) == [KEPT, KEPT]


def test_phase_takes_the_mask_of_a_magnitude_that_has_passed_rather_than_of_one_accepted(run, tmp_path):
    scans = [f"sub-01/fmap/sub-01_{name}.nii.gz" for name in ("magnitude1", "magnitude2", "phasediff")]
    options = {"suffixes": ("magnitude1", "magnitude2", "phasediff"), "accept": ("sub-01_magnitude1",)}
    outcomes, head = run(doubtful_first(), scans, **options)
    assert verdicts(outcomes, scans) == [ACCEPTED, PASSED, PASSED]
    assert read_record(tmp_path / "out" / outputs_of(head.scans[2]).image)["MaskOf"] == "sub-01_magnitude2"


def test_a_set_is_shown_with_one_mask_so_that_it_is_accepted_at_once(run, tmp_path, monkeypatch):
    monkeypatch.setattr(choose_mask, "check_still", lambda *_, **__: True)

    def run_again(**options):
        tried = set()

        def found(loaded):
            echo = int(dict(loaded.scan.entities)["echo"])
            if echo not in tried:
                tried.add(echo)
                return RegistrationError("doubtful")
            mask = np.zeros(loaded.image.stored.shape, bool, order="F")
            mask[:, 20 + echo :] = True
            return {"mask": mask, "measures": {"outline_shift_mm": 99.0}}

        return verdicts(run(found, ECHOES, work_dir=tmp_path / "work", **options)[0], ECHOES)

    assert run_again(private_report=True) == [FAILED, FAILED]
    assert run_again(review=save_review(tmp_path, {ECHOES[1]: "accepted"})) == [FAILED, ACCEPTED]
    assert run_again(review=save_review(tmp_path, dict.fromkeys(ECHOES, "accepted"))) == [ACCEPTED, ACCEPTED]


@pytest.mark.parametrize("is_accepted_before", [True, False])
def test_what_is_accepted_against_an_objection_places_no_other_scan(run, templates, is_accepted_before):
    placed = RegisteredScan("sub-01_T1w", None, np.eye(4), np.eye(4), {}, templates)
    scans = [f"sub-01/anat/sub-01_{suffix}.nii.gz" for suffix in ("T1w", "T2w")]
    whole = {check.measure: check.best for check in CHECKS}
    objections = iter([RegistrationError("as bright as its tissue")])

    def found(loaded):
        is_first = loaded.scan.suffix == "T1w"
        objection = next(objections, None) if is_first else None
        return objection or {"measures": whole, "registered": placed if is_first else None}

    outcomes, _ = run(found, scans, accept=("sub-01_T1w",), suffixes=("T1w",) if is_accepted_before else ())
    assert outcomes["sub-01_T1w"].verdict == ACCEPTED
    if is_accepted_before:
        assert run(found, scans)[0]["sub-01_T1w"].verdict == KEPT
    assert run.references["sub-01_T2w"] is None


@SETS
def test_what_took_the_mask_of_a_rejected_scan_goes_with_it(run, tmp_path, scans, asked):
    options = {"scans": scans, "suffixes": asked, "work_dir": tmp_path / "work"}
    outcomes, head = run({}, private_report=True, **options)
    assert verdicts(outcomes, scans) == [PASSED, PASSED]
    looked_at = set()

    def found(loaded):
        looked_at.add(loaded.scan.path.name)
        return RegistrationError("no head")

    outcomes, _ = run(found, review=save_review(tmp_path, {scans[0]: "rejected"}), **options)
    assert verdicts(outcomes, scans) == [FAILED, FAILED]
    assert looked_at == (set() if "phase" in scans[1] else {PurePosixPath(scans[1]).name})
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_rejected_already_costs_the_others_of_its_set_no_further_run(run, tmp_path):
    options = {"scans": ECHOES, "work_dir": tmp_path / "work"}
    run({}, private_report=True, **options)
    outcomes, _ = run({}, review=save_review(tmp_path, {ECHOES[0]: "rejected"}), **options)
    assert verdicts(outcomes, ECHOES) == [FAILED, PASSED]  # with a mask of its own
    outcomes, _ = run({}, **options)
    assert verdicts(outcomes, ECHOES) == [FAILED, KEPT]


def test_one_of_a_set_that_was_rejected_is_accepted_with_the_mask_of_the_others(run, tmp_path):
    options = {"scans": ECHOES, "work_dir": tmp_path / "work"}

    def found(loaded):
        mask = np.zeros(loaded.image.stored.shape, bool, order="F")
        mask[:, 20 + int(dict(loaded.scan.entities)["echo"]) :] = True
        return {"mask": mask}

    run(found, private_report=True, **options)
    run(found, review=save_review(tmp_path, {ECHOES[0]: "rejected"}), **options)
    outcomes, _ = run(found, private_report=True, **options)
    assert verdicts(outcomes, ECHOES) == [FAILED, PASSED]
    outcomes, _ = run(found, review=save_review(tmp_path, {ECHOES[0]: "accepted"}), **options)
    assert verdicts(outcomes, ECHOES) == [PASSED, PASSED], outcomes


def test_an_interrupted_run_keeps_nothing_with_the_mask_of_what_was_rejected(run, tmp_path):
    options = {"scans": ECHOES, "work_dir": tmp_path / "work"}
    run({}, private_report=True, **options)

    def interrupted(loaded):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted, review=save_review(tmp_path, {ECHOES[0]: "rejected"}), **options)
    outcomes, _ = run({}, **options)
    assert verdicts(outcomes, ECHOES) == [FAILED, PASSED]


@pytest.mark.parametrize(("scans", "asked"), [(FIELDMAP, ("magnitude1", "phasediff")), (PARTS, ())])
def test_a_phase_image_that_is_rejected_takes_nothing_else_away(run, tmp_path, scans, asked):
    options = {"scans": scans, "suffixes": asked, "work_dir": tmp_path / "work"}
    run({}, private_report=True, **options)
    outcomes, _ = run({}, review=save_review(tmp_path, {scans[1]: "rejected"}), **options)
    assert verdicts(outcomes, scans) == [KEPT, FAILED]


@pytest.mark.parametrize(
    ("scans", "asked", "narrow"),
    [(INVERSIONS, (), ("MP2RAGE",)), (FIELDMAP, ("magnitude1", "phasediff"), ("magnitude1",))],
)
def test_what_took_the_mask_of_a_rejected_scan_goes_with_it_in_the_request_or_not(
    run, tmp_path, scans, asked, narrow
):
    options = {"scans": scans, "work_dir": tmp_path / "work"}
    run({}, suffixes=asked, private_report=True, **options)
    run({}, suffixes=narrow, review=save_review(tmp_path, {scans[0]: "rejected"}), **options)
    assert list((tmp_path / "out").iterdir()) == []
    outcomes, head = run({}, suffixes=asked, **options)
    assert outcomes[stem_of(PurePosixPath(scans[0]))].kind == IN_REVIEW
    assert read_record(tmp_path / "out" / outputs_of(head.scans[1]).image).get("MaskOf") is None


def test_a_damaged_sidecar_hides_nothing_that_was_made_with_a_rejected_scan(run, tmp_path):
    options = {"scans": INVERSIONS, "work_dir": tmp_path / "work"}
    _, head = run({}, private_report=True, **options)
    (tmp_path / "out/sub-01/anat/sub-01_desc-defaced_T2w.nii.gz").touch()
    (tmp_path / "out/sub-01/anat/sub-01_desc-defaced_T2w.json").write_text("{")
    run({}, suffixes=("MP2RAGE",), review=save_review(tmp_path, {INVERSIONS[0]: "rejected"}), **options)
    assert not is_published(tmp_path, head.scans[1])


def test_what_was_placed_by_a_rejected_scan_is_done_anew_without_it(run, tmp_path, templates):
    scans = [f"sub-01/anat/sub-01_{suffix}.nii.gz" for suffix in ("T1w", "T2w")]
    options = {"scans": scans, "work_dir": tmp_path / "work"}
    whole = {check.measure: check.best for check in CHECKS}

    def found(loaded):
        by = run.references[loaded.scan.stem]
        placed = RegisteredScan(
            by.reference if by else loaded.scan.stem, None, np.eye(4), np.eye(4), {}, templates
        )
        return {"measures": whole, "registered": placed}

    def reference():
        return read_record(tmp_path / "out" / outputs_of(head.scans[1]).image)["Reference"]

    _, head = run(found, private_report=True, **options)
    assert reference() == "sub-01_T1w"
    outcomes, _ = run(found, review=save_review(tmp_path, {scans[0]: "rejected"}), **options)
    assert verdicts(outcomes, scans) == [FAILED, PASSED] and reference() == "sub-01_T2w"
    assert verdicts(run(found, **options)[0], scans) == [FAILED, KEPT]
    left = [path for path in (tmp_path / "out").rglob("*.json") if "sub-01_T1w" in path.read_text()]
    assert left == []


@pytest.mark.parametrize("layout", ["derivatives", "bids"])
def test_a_mask_by_hand_that_is_rejected_for_one_of_a_set_stays_for_none(run, tmp_path, layout):
    drawn = np.zeros(fake_head().shape, np.uint8)
    drawn[:, 30:] = 1
    nib.save(nib.Nifti1Image(drawn, fake_head().affine), tmp_path / "drawn.nii.gz")
    options = {"scans": ECHOES, "work_dir": tmp_path / "work", "output_layout": layout}
    run({}, mask=tmp_path / "drawn.nii.gz", private_report=True, **options)
    outcomes, head = run({}, review=save_review(tmp_path, {ECHOES[0]: "rejected"}), **options)
    assert verdicts(outcomes, ECHOES) == [FAILED, PASSED]
    outputs = outputs_of(head.scans[1], layout)
    assert read_record(tmp_path / "out" / outputs.image)["MaskSource"] == "template"
    assert "echo-1" not in (tmp_path / "out" / outputs.mask_sidecar).read_text()
    assert not list((tmp_path / "out").rglob("*echo-1*"))
