"""The way of a head without its engine: what one scan costs the others, and what is written of a verdict."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.errors import BidsdefaceError, RegistrationError
from bidsdeface.head import choose_mask, deface
from bidsdeface.head.mask import Masked, NoFace
from bidsdeface.head.registered import RegisteredScan
from bidsdeface.imaging.image import read_image
from bidsdeface.output.faceless import is_faceless
from bidsdeface.output.names import outputs_of
from bidsdeface.quality.limits import CHECKS
from bidsdeface.quality.outcome import ACCEPTED, FAILED, KEPT, NO_FACE, PASSED
from bidsdeface.runtime.workdir import open_state
from tests.conftest import fake_head, make_dataset

ECHOES = [f"sub-01/anat/sub-01_echo-{n}_MEGRE.nii.gz" for n in (1, 2, 3)]


def there(root, outputs):
    return [name for name in outputs.files if (root / "out" / name).exists()]


def record(root, outputs):
    return json.loads((root / "out" / outputs.image_sidecar).read_text())["Bidsdeface"]


def test_a_head_that_is_finished_is_not_registered_again(run, tmp_path):
    first, _ = run({}, work_dir=tmp_path / "work")
    assert [outcome.verdict for outcome in first.values()] == [PASSED]
    looked_at = []
    again, _ = run(lambda loaded: looked_at.append(loaded) or {}, work_dir=tmp_path / "work")
    assert [outcome.verdict for outcome in again.values()] == [KEPT] and looked_at == []


@pytest.mark.parametrize(
    ("measured", "found", "options", "expected"),
    [
        ({"tissue_left_ml": 0.0}, {}, {}, True),
        ({}, {}, {}, False),  # another scan has lent its mask
        ({"tissue_left_ml": 99.0}, {}, {"accept": ("sub-01_T1w",)}, False),
        ({"tissue_left_ml": 0.0}, {}, {"mask": Path("by hand")}, False),
        ({}, {"no_face": NoFace.BARE_BRAIN}, {}, False),
    ],
)
def test_only_what_was_verified_by_its_own_voxels_is_not_tested_for_a_face_again(
    run, tmp_path, monkeypatch, measured, found, options, expected
):
    monkeypatch.setattr(deface, "_measure_written", lambda *_: measured)
    drawn = np.zeros(fake_head().shape, bool, order="F")
    drawn[:, 22:] = True
    monkeypatch.setattr(choose_mask, "mask_from_file", lambda *_: Masked(drawn, fake_head().affine, {}))
    outcomes, head = run(found, work_dir=tmp_path / "work", **options)
    assert outcomes["sub-01_T1w"].verdict != FAILED
    outputs = outputs_of(head.scans[0], no_face=bool(found))
    path, state = tmp_path / "out" / outputs.image, open_state(tmp_path / "work")
    assert is_faceless(state, path, path.read_bytes()) == expected


def test_that_one_scan_of_a_set_is_a_bare_brain_says_nothing_of_the_others(run, tmp_path):
    def found(loaded):
        first = "echo-1" in loaded.scan.stem
        return {"no_face": NoFace.BARE_BRAIN} if first else RegistrationError("no bare brain")

    outcomes, head = run(found, ECHOES)
    assert [outcomes[scan.stem].verdict for scan in head.scans] == [NO_FACE, FAILED, FAILED]
    for scan, files in zip(head.scans, (3, 0, 0), strict=True):
        assert len(there(tmp_path, outputs_of(scan, no_face=True))) == files
        assert there(tmp_path, outputs_of(scan)) == []


def test_scans_of_a_set_share_the_mask_of_the_first(run, tmp_path):
    looked_at = []
    outcomes, head = run(lambda loaded: looked_at.append(loaded.scan.stem) or {}, ECHOES)
    assert {outcome.verdict for outcome in outcomes.values()} == {PASSED}
    assert looked_at == [head.scans[0].stem]


FIELDMAP = [f"sub-01/fmap/sub-01_{name}.nii.gz" for name in ("magnitude1", "phasediff")]


def test_a_phase_image_takes_the_mask_and_the_measures_of_its_magnitude(run, tmp_path):
    looked_at = []

    def found(loaded):
        looked_at.append(loaded.scan.stem)
        return {"measures": {"similarity": 0.8}}

    outcomes, head = run(found, FIELDMAP, suffixes=("magnitude1", "phasediff"))
    assert [outcome.verdict for outcome in outcomes.values()] == [PASSED, PASSED]
    assert looked_at == ["sub-01_magnitude1"]
    magnitude, phase = head.scans
    masks = [(tmp_path / "out" / outputs_of(scan).mask).read_bytes() for scan in head.scans]
    assert masks[0] == masks[1]
    assert record(tmp_path, outputs_of(phase))["MaskOf"] == "sub-01_magnitude1"
    assert record(tmp_path, outputs_of(phase))["Measures"] == {"Similarity": 0.8}
    assert "MaskOf" not in record(tmp_path, outputs_of(magnitude))


@pytest.mark.parametrize(
    "magnitude",
    [RegistrationError("no head"), {"no_face": NoFace.BARE_BRAIN}, {"measures": {"similarity": 0.0}}],
)
def test_a_phase_image_without_a_magnitude_to_trust_is_not_published(run, tmp_path, magnitude):
    outcomes, head = run(magnitude, FIELDMAP, suffixes=("magnitude1", "phasediff"))
    assert outcomes["sub-01_phasediff"].verdict == FAILED
    assert there(tmp_path, outputs_of(head.scans[1])) == []


def test_a_phase_image_shows_no_face_where_its_magnitude_ends_before_it(run, tmp_path):
    outcomes, head = run({"no_face": NoFace.FIELD_ENDS}, FIELDMAP, suffixes=("magnitude1", "phasediff"))
    assert [outcome.verdict for outcome in outcomes.values()] == [NO_FACE, NO_FACE]


def test_a_magnitude_is_redone_with_its_phase(run, tmp_path):
    asked = ("magnitude1", "phasediff")
    _, head = run({}, FIELDMAP, suffixes=asked)
    (tmp_path / "out" / outputs_of(head.scans[1]).image_sidecar).unlink()
    outcomes, _ = run({}, suffixes=asked)
    assert [outcome.verdict for outcome in outcomes.values()] == [PASSED, PASSED]


def test_maps_take_the_mask_of_the_set_they_are_computed_from(run, tmp_path):
    looked_at = []
    scans = [f"sub-01/anat/sub-01_{name}.nii.gz" for name in ("inv-1_MP2RAGE", "inv-2_MP2RAGE", "UNIT1")]
    outcomes, head = run(lambda loaded: looked_at.append(loaded.scan.stem) or {}, scans)
    assert {outcome.verdict for outcome in outcomes.values()} == {PASSED}
    assert looked_at == ["sub-01_inv-2_MP2RAGE"]  # the first is nearly nulled
    uniform = next(scan for scan in head.scans if scan.suffix == "UNIT1")
    assert record(tmp_path, outputs_of(uniform))["MaskOf"] == "sub-01_inv-2_MP2RAGE"


def test_a_map_on_another_grid_is_registered_by_itself(run, tmp_path):
    small = fake_head((30, 38, 34))
    scans = {"sub-01/anat/sub-01_inv-2_MP2RAGE.nii.gz": fake_head(), "sub-01/anat/sub-01_UNIT1.nii.gz": small}
    looked_at = []
    outcomes, _ = run(lambda loaded: looked_at.append(loaded.scan.suffix) or {}, scans)
    assert {outcome.verdict for outcome in outcomes.values()} == {PASSED}
    assert looked_at == ["MP2RAGE", "UNIT1"]


def test_a_reference_that_nobody_asked_for_is_read_and_not_published(run, tmp_path):
    scans = ("sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz")
    looked_at = []
    outcomes, head = run(lambda loaded: looked_at.append(loaded.scan.suffix) or {}, scans, suffixes=("T2w",))
    assert list(outcomes) == ["sub-01_T2w"] and looked_at == ["T1w", "T2w"]
    assert not (tmp_path / "out" / outputs_of(head.reference).image).exists()


def test_a_diffusion_series_has_its_gradients_with_it(run, tmp_path):
    scans = ["sub-01/dwi/sub-01_dwi.nii.gz"]
    make_dataset(tmp_path, scans)
    (tmp_path / "out").mkdir()
    outcomes, head = run({}, suffixes=("dwi",))
    assert "has no .bval file" in outcomes["sub-01_dwi"].reasons[0]
    (tmp_path / "bids/sub-01/dwi/sub-01_dwi.bval").write_text("0 1000\n")
    (tmp_path / "bids/dwi.bvec").write_text("0 1\n0 0\n0 0\n")
    run({}, suffixes=("dwi",))
    outputs = outputs_of(head.scans[0])
    assert (tmp_path / "out" / outputs.bval).read_text() == "0 1000\n"
    assert (tmp_path / "out" / outputs.bvec).read_text() == "0 1\n0 0\n0 0\n"
    (tmp_path / "bids/dwi.bvec").write_text("Doe 1\n")
    outcomes, _ = run({}, suffixes=("dwi",), force=True)
    assert (
        outcomes["sub-01_dwi"].verdict == FAILED
        and "not a table of numbers" in outcomes["sub-01_dwi"].reasons[0]
    )


def test_a_set_is_redone_as_a_whole_so_that_its_mask_fits_all_of_it(run, tmp_path):
    """Or the mask would be found anew for one scan, and take the place of what the others have."""
    _, head = run({}, [*ECHOES, "sub-01/anat/sub-01_T1w.nii.gz"])
    first, second = (scan for scan in head.scans if "echo-1" in scan.stem or "echo-2" in scan.stem)
    (tmp_path / "out" / outputs_of(second).image_sidecar).unlink()

    def another(loaded):
        mask = np.zeros(loaded.image.stored.shape, bool, order="F")
        mask[:, 30:] = True
        return {"mask": mask}

    outcomes, _ = run(another)
    assert outcomes["sub-01_T1w"].verdict == KEPT
    assert outcomes[first.stem].verdict == outcomes[second.stem].verdict == PASSED
    mask = read_image(tmp_path / "out" / outputs_of(first).mask).stored > 0
    for scan in (first, second):
        defaced = read_image(tmp_path / "out" / outputs_of(scan).image).stored
        original = read_image(scan.path).stored
        assert np.array_equal(defaced[~mask], original[~mask]) and not defaced[mask].any()


def test_a_measure_beyond_its_limit_fails_and_names_the_ways_out(run, tmp_path):
    outcomes, head = run({"measures": {"outline_shift_mm": 99.0}})
    (outcome,) = outcomes.values()
    assert outcome.verdict == FAILED and outcome.measures["outline_shift_mm"] == 99
    (reason,) = outcome.reasons
    for words in (
        str(head.scans[0].path),
        "99 mm",
        "--private-report -w DIR",
        "--accept sub-01_T1w",
        "--mask",
    ):
        assert words in f"{reason}; {outcome.remedy}"
    assert there(tmp_path, outputs_of(head.scans[0])) == []


@pytest.mark.parametrize("trusted", [True, False])
def test_a_scan_that_is_held_back_places_no_other_scan(run, templates, monkeypatch, trusted):
    placed = RegisteredScan("sub-01_T1w", None, np.eye(4), np.eye(4), {}, templates)
    monkeypatch.setattr(deface, "_measure_written", lambda *_: {} if trusted else {"tissue_left_ml": 9.0})
    t1w, t2w = (f"sub-01/anat/sub-01_{suffix}.nii.gz" for suffix in ("T1w", "T2w"))
    whole = {check.measure: check.best for check in CHECKS}
    run(lambda loaded: {"registered": placed, "measures": whole}, scans=(t1w, t2w))
    assert run.references == {"sub-01_T1w": None, "sub-01_T2w": placed if trusted else None}


def test_what_a_person_accepts_is_published_and_says_what_spoke_against_it(run, tmp_path):
    measures = {"outline_shift_mm": 99.0, "similarity": 0.8}
    outcomes, head = run({"measures": measures}, accept=("sub-01_T1w",))
    assert outcomes["sub-01_T1w"].verdict == ACCEPTED
    written = record(tmp_path, outputs_of(head.scans[0]))
    assert written["Verdict"] == "accepted" and written["Accepted"] == ["OutlineShiftMM"]
    assert written["Measures"] == {"OutlineShiftMM": 99.0, "Similarity": 0.8}


def test_what_a_person_accepted_is_kept_without_asking_again_and_withdrawn_by_force(run, tmp_path):
    found = {"measures": {"outline_shift_mm": 99.0}}
    _, head = run(found, accept=("sub-01_T1w",))
    outcomes, _ = run(found)
    assert outcomes["sub-01_T1w"].verdict == KEPT
    assert record(tmp_path, outputs_of(head.scans[0]))["Verdict"] == "accepted"
    outcomes, _ = run(found, force=True)  # nothing is remembered without a work dir
    assert outcomes["sub-01_T1w"].verdict == FAILED
    assert there(tmp_path, outputs_of(head.scans[0])) == []


def test_what_a_person_accepts_is_called_passed_where_nothing_speaks_against_it(run, tmp_path):
    outcomes, head = run({"measures": {"similarity": 0.8}}, accept=("sub-01_T1w",))
    assert outcomes["sub-01_T1w"].verdict == PASSED
    assert "Accepted" not in record(tmp_path, outputs_of(head.scans[0]))


def test_what_is_accepted_against_an_objection_without_a_measure_has_not_passed(run, tmp_path):
    objections = iter([RegistrationError("its background is as bright as its tissue")])
    outcomes, head = run(
        lambda _: next(objections, {"measures": {"similarity": 0.8}}), accept=("sub-01_T1w",)
    )
    assert outcomes["sub-01_T1w"].verdict == ACCEPTED
    assert record(tmp_path, outputs_of(head.scans[0]))["Verdict"] == "accepted"


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_could_not_be_measured_can_be_accepted_too(run, tmp_path, value):
    outcomes, head = run({"measures": {"outline_shift_mm": value}}, accept=("sub-01_T1w",))
    assert outcomes["sub-01_T1w"].verdict == ACCEPTED, outcomes
    written = record(tmp_path, outputs_of(head.scans[0]))
    assert written["Measures"] == {"OutlineShiftMM": None}
    assert written["Accepted"] == ["OutlineShiftMM"]


def test_a_result_of_the_other_kind_is_removed(run, tmp_path):
    _, head = run({})
    (scan,) = head.scans
    assert len(there(tmp_path, outputs_of(scan))) == 5
    outcomes, _ = run({"no_face": NoFace.BARE_BRAIN}, force=True)
    assert outcomes[scan.stem].verdict == NO_FACE
    assert there(tmp_path, outputs_of(scan)) == []
    assert len(there(tmp_path, outputs_of(scan, no_face=True))) == 3
    run({}, force=True)
    assert len(there(tmp_path, outputs_of(scan))) == 5
    assert there(tmp_path, outputs_of(scan, no_face=True)) == []
    run(RegistrationError("no head"), force=True)
    assert there(tmp_path, outputs_of(scan)) == there(tmp_path, outputs_of(scan, no_face=True)) == []


@pytest.mark.parametrize("error", [BidsdefaceError("disk full"), ValueError("a bug")])
def test_a_private_report_that_cannot_be_drawn_costs_no_result(run, tmp_path, monkeypatch, caplog, error):
    def add_scan(*_):
        raise error

    monkeypatch.setattr(deface, "add_scan", add_scan)
    outcomes, head = run({}, private_report=True, work_dir=tmp_path / "work")
    assert outcomes["sub-01_T1w"].verdict == PASSED
    assert len(there(tmp_path, outputs_of(head.scans[0]))) == 5
    assert "sub-01_T1w" in caplog.text and str(error) in caplog.text


def test_the_private_report_shows_the_mask_that_a_failed_scan_would_get(run, tmp_path, monkeypatch):
    shown, tried = [], []

    def found(loaded):
        tried.append(loaded)
        return {} if len(tried) > 1 else RegistrationError("doubtful")

    monkeypatch.setattr(deface, "add_scan", lambda *arguments: shown.append(arguments[1].mask))
    outcomes, _ = run(found, private_report=True, work_dir=tmp_path / "work")
    assert outcomes["sub-01_T1w"].verdict == FAILED and list((tmp_path / "out").iterdir()) == []
    assert shown[0].any()


def test_the_private_report_shows_where_the_template_was_placed_if_there_is_no_mask(
    run, tmp_path, monkeypatch
):
    shown, placed = [], np.ones(fake_head().shape, bool)
    monkeypatch.setattr(deface, "add_scan", lambda *arguments: shown.append(arguments[1]))
    monkeypatch.setattr(deface, "head_of_template", lambda *_: placed)
    run(RegistrationError("too close to the edge"), private_report=True, work_dir=tmp_path / "work")
    assert shown[0].mask is placed and shown[0].after is None and not shown[0].fingerprint


def test_the_private_report_tells_of_failed_scans_too(run, tmp_path):
    outcomes, _ = run(RegistrationError("no head"), private_report=True, work_dir=tmp_path / "work")
    assert outcomes["sub-01_T1w"].verdict == FAILED
    told = sorted(path.name for path in (tmp_path / "work/bidsdeface/report").glob("*/*"))
    assert told == ["sub-01_T1w.js", "sub-01_T1w.json", "sub-01_T1w.png"]
    assert list((tmp_path / "out").iterdir()) == []


def test_images_of_one_set_whose_headers_differ_are_all_published(run, tmp_path):
    make_dataset(tmp_path, ECHOES)
    (tmp_path / "out").mkdir()
    odd = nib.load(tmp_path / "bids" / ECHOES[2])
    odd.header.set_xyzt_units("mm", "msec")
    nib.save(nib.Nifti1Image(np.asarray(odd.dataobj), odd.affine, odd.header), tmp_path / "bids" / ECHOES[2])
    outcomes, head = run({}, ECHOES)
    assert [one.verdict for one in outcomes.values()] == [PASSED] * 3
    assert all(len(there(tmp_path, outputs_of(scan))) == len(outputs_of(scan).files) for scan in head.scans)


def test_an_image_of_a_set_with_another_mask_fails_and_takes_nothing_away(run, tmp_path, monkeypatch):
    def from_set(of_set, loaded):
        return replace(of_set, mask=np.roll(of_set.mask, int(loaded.scan.stem.endswith("echo-3_MEGRE")), 1))

    monkeypatch.setattr(choose_mask, "mask_from_set", from_set)
    outcomes, head = run({}, ECHOES)
    assert [one.verdict for one in outcomes.values()] == [PASSED, PASSED, FAILED]
    assert "another mask" in outcomes["sub-01_echo-3_MEGRE"].reasons[0]
    assert all((tmp_path / "out" / outputs_of(scan).image).exists() for scan in head.scans[:2])
