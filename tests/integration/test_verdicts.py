"""Every verdict through the real program: no-face, failed, accepted, kept; and that no failure gets by."""

import json
import re
import stat
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from benchmarks.spoil import failures
from bidsdeface.dataset.query import find_heads
from bidsdeface.dataset.validator import find_problems
from bidsdeface.head import fit as fitting
from bidsdeface.head.deface import Tools, deface_head
from bidsdeface.head.mask import NoFace, load
from bidsdeface.head.review import read_decisions
from bidsdeface.imaging.image import clean_header, read_image
from bidsdeface.imaging.registration import place
from bidsdeface.imaging.volume import apply_affine, interpolate
from bidsdeface.quality.checks import failed_checks
from bidsdeface.quality.outcome import FAILED
from bidsdeface.settings import Settings
from tests.conftest import make_dataset, write_results
from tests.heads import find_head, real_head_or_average
from tests.integration.conftest import bidsdeface_read_only, files, published, snapshot

TIP_MM, OCCIPUT_MM = 118.0, -94.0  # where the average head ends, in front and behind
STRIPPED = {"sub-D06_T1w": "D06", "sub-D08_T1w": "D08T1", "sub-D08_T2w": "D08T2", "sub-D08_FLAIR": "D08FLAIR"}
NO_FACE = {
    **dict.fromkeys((*STRIPPED, "sub-brain_T1w"), NoFace.BARE_BRAIN),
    "sub-cap_T1w": NoFace.FIELD_ENDS,
    "sub-before_T1w": NoFace.DEFACED,
}
FOLDED, MARKER, BROW = "sub-folded_T1w", "sub-marker_T1w", "sub-brow_T1w"
REFILLED = "sub-refilled_T1w"


def brain_of(path, brain_mm):
    """Return the brain of the average head, in nothing."""
    scan = nib.load(path)
    voxels = np.stack(np.meshgrid(*map(np.arange, scan.shape), indexing="ij"), -1)
    to_brain_mm = interpolate(brain_mm.data, brain_mm.affine, apply_affine(scan.affine, voxels), np.inf)
    return nib.Nifti1Image(np.where(to_brain_mm < 0, scan.dataobj, 0).astype(np.uint8), scan.affine)


def behind_the_eyes(path):
    """Return the average head in a field of view that ends before its face."""
    scan = nib.load(path)
    return scan.slicer[:, : int((6 - scan.affine[1, 3]) / scan.affine[1, 1])]


def above_the_brows(path):
    """Return the average head in a field of view where the mask holds air before the forehead alone."""
    scan = nib.load(path)
    return scan.slicer[:, :, int((14 - scan.affine[2, 3]) / scan.affine[2, 2]) :]


def defaced_before(path):
    """Return the average head without anything before a plane from the crown to the throat."""
    scan = nib.load(path)
    voxels = np.stack(np.meshgrid(*map(np.arange, scan.shape), indexing="ij"), -1)
    _, y, z = np.moveaxis(apply_affine(scan.affine, voxels), -1, 0)
    return nib.Nifti1Image(np.where(y - z > 62, 0, scan.dataobj).astype(np.uint8), scan.affine)


def defaced_before_with_noise(path):
    """Return the average head with faint noise before a plane from the crown to the throat."""
    scan = defaced_before(path)
    noise = np.random.default_rng(0).integers(0, 8, scan.shape, np.uint8)
    emptied = (np.asanyarray(scan.dataobj) == 0) & (nib.load(path).get_fdata() > 0)  # head, that is
    return nib.Nifti1Image(np.where(emptied, noise, scan.dataobj).astype(np.uint8), scan.affine)


def folded(path, depth_mm, gap_mm):
    """Return the average head with a field of view too short for its nose, which appears behind the head."""
    scan = nib.load(path)
    spacing, planes = scan.affine[1, 1], int(gap_mm / scan.affine[1, 1])
    values = np.pad(np.asanyarray(scan.dataobj), ((0, 0), (planes, 0), (0, 0)))  # there may be too little air
    affine = scan.affine @ nib.affines.from_matvec(np.eye(3), [0, -planes, 0])
    ends = (OCCIPUT_MM - gap_mm, TIP_MM - depth_mm)
    first, last = (round((mm - affine[1, 3]) / spacing) for mm in ends)
    inside, beyond = values[:, first:last].copy(), values[:, last : 2 * last - first]
    inside[:, : beyond.shape[1]] = np.maximum(inside[:, : beyond.shape[1]], beyond)
    return nib.Nifti1Image(inside, affine @ nib.affines.from_matvec(np.eye(3), [0, first, 0]))


def with_a_marker(path):
    """Return the average head with a ball beside it, in the air."""
    scan = nib.load(path)
    voxels = np.stack(np.meshgrid(*map(np.arange, scan.shape), indexing="ij"), -1)
    ball = np.linalg.norm(apply_affine(scan.affine, voxels) - [-98, 0, 40], axis=-1) < 8
    return nib.Nifti1Image(np.where(ball, 150, scan.dataobj).astype(np.uint8), scan.affine)


def path_of(scan, suffix=""):
    subject, kind = scan.split("_")
    return f"{subject}/anat/{subject}{suffix}_{kind}"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, average):
    """Run the program once on everything that shows no face, and a folded nose; over older results."""
    root = tmp_path_factory.mktemp("verdicts")
    head = find_head("average")
    scans = {
        "sub-brain_T1w": brain_of(head, average.brain_mm),
        "sub-cap_T1w": behind_the_eyes(head),
        "sub-before_T1w": defaced_before(head),
        FOLDED: folded(head, depth_mm=15, gap_mm=40),
        MARKER: with_a_marker(head),
        BROW: above_the_brows(head),
        REFILLED: defaced_before_with_noise(head),
    }
    for scan, name in STRIPPED.items():
        try:
            scans[scan] = find_head(name)
        except pytest.skip.Exception:
            continue
    bids_dir = make_dataset(root, {f"{path_of(scan)}.nii.gz": image for scan, image in scans.items()})
    write_results(bids_dir, root / "out", {"Bidsdeface": {"Version": "0.0.1"}})  # of a version of before
    options = ("--n-procs", "1", "--private-report", "-w", str(root / "work"))
    options += ("--outcomes", str(root / "outcomes.jsonl"))
    return root, bidsdeface_read_only(bids_dir, root / "out", *options)


@pytest.fixture(params=NO_FACE)
def without_face(request, outcome):
    """Return the scan's name, and the paths of the original and of what was published."""
    scan = request.param
    if scan in STRIPPED:
        find_head(STRIPPED[scan])  # or skip, and say why
    root, _ = outcome
    stem = root / "out" / path_of(scan, "_desc-noface")
    return scan, root / "bids" / f"{path_of(scan)}.nii.gz", stem.with_suffix(".nii.gz")


@pytest.mark.slow
def test_what_shows_no_face_is_published_as_it_is(outcome, without_face):
    scan, original, image = without_face
    assert f"{scan}: no-face" in outcome[1].said
    before, after = read_image(original), read_image(image)
    assert after.stored.dtype == before.stored.dtype
    assert after.stored.tobytes() == before.stored.tobytes()
    assert after.header.binaryblock == clean_header(before.header).binaryblock


@pytest.mark.slow
def test_what_shows_no_face_claims_no_method_and_says_how_that_is_certain(outcome, without_face):
    scan, _, image = without_face
    sidecar = json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())
    record = sidecar["Bidsdeface"]
    assert (record["Verdict"], record["Evidence"]) == ("no-face", NO_FACE[scan])
    assert sidecar["SkullStripped"] is (NO_FACE[scan] == NoFace.BARE_BRAIN)
    assert not [field for field in sidecar if field.startswith("Deidentification")]
    assert "Method" not in record and "MaskSource" not in record


@pytest.mark.slow
def test_what_shows_no_face_has_no_mask_and_nothing_of_an_older_result_is_left(outcome, without_face):
    root, _ = outcome
    scan, _, image = without_face
    subject, kind = scan.split("_")
    left = [path for path in published(root / "out", subject) if path.endswith((f"_{kind}.png", kind))]
    assert left == [f"{subject}/figures/{subject}_desc-noface_{kind}.png"]
    beside = [path.name for path in image.parent.iterdir() if kind in path.name]
    assert sorted(beside) == [f"{subject}_desc-noface_{kind}.{end}" for end in ("json", "nii.gz")]


@pytest.mark.slow
def test_a_nose_folded_to_the_back_is_emptied_too(outcome):
    root, run = outcome
    assert f"{FOLDED}: passed" in run.said
    sidecar = json.loads((root / "out" / f"{path_of(FOLDED, '_desc-defaced')}.json").read_text())
    assert sidecar["Bidsdeface"]["Measures"]["FoldoverML"] > 10
    before = read_image(root / "bids" / f"{path_of(FOLDED)}.nii.gz")
    after = read_image(root / "out" / f"{path_of(FOLDED, '_desc-defaced')}.nii.gz")
    behind = slice(0, int((OCCIPUT_MM - 4 - before.affine[1, 3]) / before.affine[1, 1]))
    assert before.stored[:, behind].max() > 100 and after.stored[:, behind].max() < 25  # hardly air


@pytest.mark.slow
def test_something_else_in_the_air_fails_and_its_older_result_is_withdrawn(outcome):
    root, run = outcome
    assert run.code == 3
    (line,) = [line for line in run.said.splitlines() if line.startswith("ERROR FAILED") and MARKER in line]
    for words in (f"{MARKER}.nii.gz", "another head, a marker", "--private-report", f"--accept {MARKER}"):
        assert words in line
    assert published(root / "out", "sub-marker") == []


@pytest.mark.slow
def test_a_mask_that_holds_air_alone_is_not_taken_for_a_face_removed(outcome):
    root, run = outcome
    (line,) = [line for line in run.said.splitlines() if line.startswith("ERROR FAILED") and BROW in line]
    assert "of the tissue of a face" in line
    assert published(root / "out", "sub-brow") == []


@pytest.mark.slow
def test_a_face_that_somebody_replaced_by_noise_is_emptied_and_passes(outcome):
    """Brain and outline say where the face was; that nearly nothing is left there speaks against neither."""
    root, run = outcome
    assert f"{REFILLED}: passed" in run.said
    sidecar = json.loads((root / "out" / f"{path_of(REFILLED, '_desc-defaced')}.json").read_text())
    assert sidecar["Bidsdeface"]["Measures"]["FaceFound"] < 0.2
    mask = read_image(root / "out/sub-refilled/anat/sub-refilled_mod-T1w_desc-face_defacemask.nii.gz")
    after = read_image(root / "out" / f"{path_of(REFILLED, '_desc-defaced')}.nii.gz")
    assert mask.stored.any() and not after.stored[mask.stored > 0].any()


@pytest.mark.slow
def test_the_private_report_shows_every_scan_and_nothing_of_it_is_in_the_output(outcome):
    root, run = outcome
    (report,) = (root / "work/bidsdeface/report").iterdir()
    done = (": no-face", ": passed")
    said = [line for line in run.said.splitlines() if any(words in line for words in done)]
    scans = {line.split(": ")[0].split()[-1] for line in said}
    # Pictures and volumes are named by the scan and the start of what a decision about them is bound to.
    names = {re.sub(r"\.[0-9a-f]{16}\.(png|js)$", r".\1", path.name) for path in report.iterdir()}
    shown = {*scans, MARKER, BROW}
    assert names == {
        "index.html",
        "niivue.umd.js",
        "scans.js",
        *(f"{scan.split('_')[0]}.{end}" for scan in shown for end in ("html", "json")),
        *(f"{scan}.{end}" for scan in shown for end in ("png", "json", "js")),
    }
    assert stat.S_IMODE(report.stat().st_mode) == 0o700
    page = (report / "index.html").read_text()
    assert page.index(MARKER.split("_")[0]) < min(page.index(scan.split("_")[0]) for scan in scans)
    assert f"/report/{report.name}/index.html" in run.said
    assert not [path for path in files(root / "out") if "report" in path or "index" in path]
    figures = [path for path in files(root / "out") if path.endswith(".png")]
    desc = {scan: "defaced" if scan in (FOLDED, REFILLED) else "noface" for scan in scans}
    expected = [f"{s.split('_')[0]}/figures/{s.replace('_', f'_desc-{desc[s]}_')}.png" for s in scans]
    assert sorted(figures) == sorted(expected)


@pytest.mark.slow
def test_a_second_run_keeps_what_shows_no_face_and_the_dataset_is_valid(outcome, tmp_path):
    root, _ = outcome
    assert find_problems(root / "out") == []
    before = snapshot(root / "out")
    options = ("--skip-bids-validation", "--participant-label", "brain", "cap")
    run = bidsdeface_read_only(root / "bids", root / "out", *options)
    assert run.code == 0 and run.said.splitlines()[-1].endswith("in all: 2 kept"), run.said
    assert snapshot(root / "out") == before


@pytest.mark.slow
def test_what_a_person_accepts_is_published_and_stays_until_it_is_redone(outcome):
    root, _ = outcome
    only = ("--skip-bids-validation", "--participant-label", "marker")
    run = bidsdeface_read_only(root / "bids", root / "out", *only, "--accept", MARKER)
    assert run.code == 0 and f"{MARKER}: accepted" in run.said, run.said
    sidecar = json.loads((root / "out" / f"{path_of(MARKER, '_desc-defaced')}.json").read_text())
    assert sidecar["Bidsdeface"]["Verdict"] == "accepted"
    assert sidecar["Bidsdeface"]["Accepted"] == ["StrayTissueML"]
    assert find_problems(root / "out") == []
    before = snapshot(root / "out")
    run = bidsdeface_read_only(root / "bids", root / "out", *only)
    assert run.code == 0 and run.said.splitlines()[-1].endswith("in all: 1 kept")
    assert snapshot(root / "out") == before
    run = bidsdeface_read_only(root / "bids", root / "out", *only, "--force")
    assert run.code == 3 and "a marker" in run.said
    assert published(root / "out", "sub-marker") == []


@pytest.mark.slow
def test_the_file_of_outcomes_says_which_checks_failed(outcome):
    root, run = outcome
    lines = {one["scan"]: one for one in map(json.loads, (root / "outcomes.jsonl").read_text().splitlines())}
    assert {name: value for name, value in lines[MARKER].items() if name != "time"} == {
        "scan": MARKER,
        "verdict": "failed",
        "failed_checks": ["StrayTissueML"],
        "kind": "",
        "retry": False,
    }
    said = [line for line in run.said.splitlines() if line.startswith(("INFO [", "ERROR FAILED ["))]
    assert len(lines) == len(said)
    verdicts = {scan: one["verdict"] for scan, one in lines.items()}
    no_face = dict.fromkeys((scan for scan in NO_FACE if scan in lines), "no-face")
    assert verdicts == {FOLDED: "passed", REFILLED: "passed", MARKER: "failed", BROW: "failed", **no_face}
    assert not any(one["failed_checks"] for one in lines.values() if one["verdict"] != "failed")


WRONG = (
    "shift 15 mm",
    "turn 15°",
    "upside down",
    "back to front",
    "mirrored",
    "onto the neck",
    "face outside",
)


def test_no_wrong_placement_gets_by_when_both_registrations_agree(average, templates, tmp_path, monkeypatch):
    """One of each kind (`benchmarks.calibrate` has all) fails, and none counts as a field without a face."""
    bids_dir = make_dataset(tmp_path, {"sub-01/anat/sub-01_T1w.nii.gz": real_head_or_average()})
    settings = Settings(bids_dir=bids_dir, output_dir=tmp_path / "out", level="participant")
    settings.output_dir.mkdir()
    (head,) = find_heads(bids_dir).heads
    right = place(load(head.reference, head).volume, templates.head_template.pose, average.target)
    motions = list(failures(average.target[0].where[::40]))
    wrong = dict(next(one for one in motions if one[0].startswith(kind)) for kind in WRONG)
    got_by = {}
    for name, motion in wrong.items():
        moved = np.linalg.inv(motion) @ right.to_template
        placement = replace(right, to_template=moved, second=moved)
        for search in ("place", "place_from"):
            monkeypatch.setattr(fitting, search, lambda *_, placement=placement: placement)
        (outcome,) = deface_head(Tools(settings, templates, read_decisions(settings, None)), head)
        if outcome.verdict != FAILED or not failed_checks(outcome.measures):
            got_by[name] = outcome
    assert got_by == {}
    assert list(settings.output_dir.rglob("*.nii.gz")) == []
