"""A review through the real program: what was accepted is published, what was rejected withdrawn, no more."""

import gzip
import json
import os
from threading import Thread

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Picture

from bidsdeface.output.review import now
from bidsdeface.report.missing import BY_A_PERSON
from tests.conftest import make_dataset
from tests.heads import find_head
from tests.integration.conftest import bidsdeface_read_only, files, published
from tests.integration.test_verdicts import with_a_marker

GOOD, OTHER, HELD_BACK = "sub-good", "sub-other", "sub-marker"
NOTE, INITIALS = "a note about the nose", "QRZWXYKJ"
HEAD = "scan\tdecision\tnote\tinitials\tfingerprint\ttime\n"


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    """Run, review and run again; return the folder, the two runs and what the output held after the first."""
    root = tmp_path_factory.mktemp("review")
    head = find_head("average")
    images = {GOOD: head, OTHER: head, HELD_BACK: with_a_marker(head)}
    make_dataset(root, {f"{name}/anat/{name}_T1w.nii.gz": image for name, image in images.items()})
    options = ("-w", str(root / "work"), "--n-procs", "1")
    first = bidsdeface_read_only(root / "bids", root / "out", *options, "--private-report")
    before = files(root / "out")
    decisions = {GOOD: "rejected", HELD_BACK: "accepted"}
    write_review(root, {name: (decision, shown(root)[name]) for name, decision in decisions.items()})
    second = bidsdeface_read_only(root / "bids", root / "out", *options, "--review", str(root / "review.tsv"))
    return root, first, second, before


def shown(root):
    """Return the fingerprints on the private page."""
    (path,) = (root / "work/bidsdeface/report").glob("*/scans.js")
    scans = json.loads(path.read_text().removeprefix("const SCANS = ").removesuffix(";\n"))
    return {one["name"].removesuffix("_T1w"): one["fingerprint"] for one in scans}


def write_review(root, decisions):
    lines = (
        f"{name}/anat/{name}_T1w.nii.gz\t{decision}\t{NOTE}\t{INITIALS}\t{mark}\t{now()}\n"
        for name, (decision, mark) in decisions.items()
    )
    (root / "review.tsv").write_text(HEAD + "".join(lines))


def given_once(path):
    """Put a pipe in the place of a file: who reads it twice waits forever."""
    text = path.read_text()
    path.unlink()
    os.mkfifo(path)
    Thread(target=path.write_text, args=(text,), daemon=True).start()


def verdict(root, name):
    sidecar = root / f"out/{name}/anat/{name}_desc-defaced_T1w.json"
    return json.loads(sidecar.read_text())["Bidsdeface"]["Verdict"] if sidecar.exists() else None


@pytest.mark.slow
def test_exactly_what_was_decided_changes(reviewed):
    root, first, second, before = reviewed
    assert first.code == 3 and f"{HELD_BACK}_T1w.nii.gz: " in first.said
    assert not any(name.startswith(HELD_BACK) for name in before)
    assert "review: 2 decisions read (1 accepted, 1 rejected), 0 not counted" in second.said
    assert second.code == 3 and f"{GOOD}_T1w.nii.gz: rejected in review" in second.said
    assert [verdict(root, name) for name in (GOOD, OTHER, HELD_BACK)] == [None, "passed", "accepted"]
    assert published(root / "out", GOOD) == [] and len(published(root / "out", HELD_BACK)) == 5
    assert not (root / "out" / GOOD).exists()
    now = files(root / "out")
    assert all(now[name] == content for name, content in before.items() if name.startswith(OTHER))


@pytest.mark.slow
def test_what_was_decided_stays_without_being_said_again(reviewed):
    root, *_ = reviewed
    again = bidsdeface_read_only(root / "bids", root / "out", "-w", str(root / "work"), "--n-procs", "1")
    assert again.code == 3 and "rejected in review" in again.said
    assert [verdict(root, name) for name in (GOOD, OTHER, HELD_BACK)] == [None, "passed", "accepted"]


@pytest.mark.slow
def test_a_stale_line_changes_nothing_and_a_wrong_one_stops_the_run(reviewed):
    root, *_ = reviewed
    before, options = files(root / "out"), ("-w", str(root / "work"), "--review", str(root / "review.tsv"))
    write_review(root, {OTHER: ("accepted", shown(root)[GOOD])})
    given_once(root / "review.tsv")
    run = bidsdeface_read_only(root / "bids", root / "out", *options, "--participant-label", "other")
    assert run.code == 3 and "review.tsv, line 2: sub-other_T1w was looked at with another" in run.said
    assert "review: 1 decision read (1 accepted, 0 rejected), 1 not counted" in run.said
    (root / "review.tsv").unlink()
    write_review(root, {OTHER: ("rejected", shown(root)[OTHER]), "sub-nobody": ("rejected", "0" * 64)})
    run = bidsdeface_read_only(root / "bids", root / "out", *options, "--participant-label", "other")
    assert run.code == 2 and "review.tsv, line 3: no such scan in BIDS_DIR" in run.said
    assert files(root / "out") == before


@pytest.mark.slow
def test_what_was_withdrawn_is_counted_and_not_named(reviewed):
    root, *_ = reviewed
    options = ("-w", str(root / "work"), "--skip-output-validation")
    bidsdeface_read_only(root / "bids", root / "out", *options, level="group")
    missing = (root / "out/missing.tsv").read_text()
    assert GOOD not in missing and BY_A_PERSON in missing


@pytest.mark.slow
def test_nothing_of_a_face_or_of_the_reviewer_is_in_the_output(reviewed):
    root, *_ = reviewed
    (folder,) = (root / "work/bidsdeface/report").iterdir()
    private = [next(folder.glob(f"{OTHER}_T1w.*.js")).read_text()[20:], NOTE, INITIALS, *shown(root).values()]
    voxels, pixels = face_voxels(root, OTHER), face_pixels(folder, OTHER)
    places = (voxels, [root / f"bids/{OTHER}/anat/{OTHER}_T1w.nii.gz"]), (pixels, everything(folder))
    for secrets, known in places:
        assert all(any(secret in pixels_of(path) for path in known) for secret in secrets)
    secrets = [*(text[:200].encode() for text in private), *voxels, *pixels]
    for path in everything(root / "out"):
        assert [secret for secret in secrets if secret in pixels_of(path)] == [], path


def everything(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def pixels_of(path):
    """Return the bytes of a file; of an image, those of its voxels or pixels."""
    if path.suffix == ".png":
        return np.asarray(Picture.open(path)).tobytes()
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def face_voxels(root, name):
    """Return rows of voxels of the face in the order of the file: those in the mask, as they came."""
    original = np.asanyarray(nib.load(root / f"bids/{name}/anat/{name}_T1w.nii.gz").dataobj)
    mask = nib.load(root / f"out/{name}/anat/{name}_mod-T1w_desc-face_defacemask.nii.gz").get_fdata() > 0
    places = [(mask[:, y, z].nonzero()[0], y, z) for y, z in np.argwhere(mask.any(axis=0))[::50]]
    rows = [original[x, y, z] for x, y, z in places if np.ptp(x) == len(x) - 1]  # one piece of the file
    rows = [row.tobytes() for row in rows if len(np.unique(row)) > 10]
    assert rows
    return rows


def face_pixels(folder, name):
    """Return pieces of the face from the private picture: what it shows before, and not after."""
    both = np.asarray(Picture.open(next(folder.glob(f"{name}_T1w.*.png"))))
    before, after = np.split(both, 2)
    gone = (before > 40) & (after < 10)
    rows = [before[y, x : x + 24] for y, x in np.argwhere(gone)[::20] if gone[y, x : x + 24].all()]
    rows = [row.tobytes() for row in rows if len(np.unique(row)) > 12]
    assert rows
    return rows
