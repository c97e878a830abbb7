"""Studies of real heads, and in a run: seen before, not after; kept, so as to go on where they stopped."""

import csv
import os
import re
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bidsdeface.errors import BidsdefaceError
from bidsdeface.head import fit as fitting
from bidsdeface.head.fit import fit
from bidsdeface.head.refaced import placement_of, refaced
from bidsdeface.head.swap import load_swap
from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.image import Image, mask_header, read_image, write_image
from bidsdeface.imaging.methods import remove
from bidsdeface.imaging.volume import reduce_image
from bidsdeface.reidentify import study
from bidsdeface.reidentify.attack import Defaced
from bidsdeface.reidentify.people import at_mm, make_person, scan
from bidsdeface.reidentify.study import Case, conduct, strangers
from bidsdeface.templates.source import average_face
from tests.conftest import make_dataset
from tests.heads import find_head
from tests.integration.conftest import bidsdeface, command, files, read_only
from tests.integration.test_killed import wait_for

pytestmark = pytest.mark.heads


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A head whose front is cut away before the ears."""
    folder, path = tmp_path_factory.mktemp("study"), find_head("S04")
    image = read_image(path)
    mask = np.zeros(image.stored.shape, np.uint8, order="F")
    mask[:, 70:] = 1
    front = np.where(mask, 0, image.stored).astype(image.stored.dtype)
    write_image(folder / "defaced.nii.gz", image.header, np.asfortranarray(front))
    write_image(folder / "mask.nii.gz", mask_header(image.header), mask)
    return Case("S04", "sub-01", path, folder / "defaced.nii.gz", folder / "mask.nii.gz")


def test_a_head_is_recognised_before_and_the_study_goes_on_where_it_stopped(case, tmp_path, monkeypatch):
    pytest.importorskip("dlib", reason="pip install bidsdeface[audit]")
    findings = conduct([case], tmp_path, people=2).findings()
    assert (findings.people, findings.synthetic, findings.faceless) == (2, 1, 0)
    assert findings.before.ranks[1].hits == 1 and findings.before.detected.hits == 1
    assert findings.underpowered  # one head proves nothing
    assert [findings.after[name].detected.hits for name in ("plain", "informed", "mask")] == [0, 0, 0]
    assert findings.after["restoring"].detected.hits == 1  # it has the average face now
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 4 and {path.suffix for path in kept} == {".npz"}
    times = [path.stat().st_mtime_ns for path in kept[1:]]
    kept[0].unlink()  # as if it had stopped before this one
    assert conduct([case], tmp_path, people=2).findings() == findings
    assert [path.stat().st_mtime_ns for path in kept[1:]] == times


@pytest.mark.parametrize("method", ["remove", "reface"])
def test_no_face_makes_a_difference_to_what_is_published(method, templates, monkeypatch):
    """And if the face had a part in the placement, the swap attacker would see it."""
    image = read_image(find_head("S04"))
    faces = [at_mm(image, 2.0), *(scan(make_person(at_mm(image, 2.0), seed), 1) for seed in (1, 2))]

    def published():
        placed = fit("x", reduce_image(image, "x"), None, templates, accepted=False)
        mask = face_mask(image.stored.shape, image.affine, placed.to_template, placed.regions)
        stored = remove(image, mask)
        if method == "reface":
            stored = refaced("x", image, mask, placement_of(placed), average_face())
        shown = replace(image, stored=stored), Image(mask_header(image.header), image.affine, mask)
        return Defaced(*shown, placed.head.to_head if method == "reface" else None)

    assert np.array_equal(load_swap()(published(), faces), [0, 0, 0])
    monkeypatch.setattr(fitting, "settle", lambda scan, placement, *_, **__: placement)
    differences = load_swap()(published(), faces)
    assert differences[0] < differences[1:].min()


def test_a_gallery_is_filled_up_with_synthetic_people_made_from_all_scans(case):
    other = Case("S04 again", "sub-02", case.original, case.defaced, case.mask)
    added = list(strangers([case, other, other], 10))
    assert len(added) == 8 and len({stranger.seed for stranger in added}) == 8
    assert {stranger.key for stranger in added} == {"S04", "S04 again"}
    assert list(strangers([case], 1)) == []


def test_a_study_without_face_recognition_stops_before_the_work(case, tmp_path, monkeypatch):
    def missing():
        raise BidsdefaceError("dlib cannot be imported")

    monkeypatch.setattr(study, "DlibRecogniser", missing)
    with pytest.raises(BidsdefaceError, match="dlib cannot be imported"):
        conduct([case], tmp_path)
    assert list(tmp_path.iterdir()) == []


# The program with a gallery of the two people alone, for time.
SMALL_GALLERY = (
    "import sys; from bidsdeface import cli; from bidsdeface.reidentify import audit; audit.GALLERY = 2; "
    "sys.exit(cli.main(sys.argv[1:]))"
)


def offline():
    """Return what takes the network away from a command, where that is allowed."""
    alone = ["unshare", "--net"]
    return alone if subprocess.run([*alone, "true"], capture_output=True).returncode == 0 else []


def group(bids_dir, output_dir, *options):
    """Start the group level, in a session of its own."""
    _, _, _, *arguments = command(bids_dir, output_dir, "--reidentify", *options, level="group")
    return subprocess.Popen(
        [*offline(), sys.executable, "-c", SMALL_GALLERY, *arguments, "--n-procs", "1"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def private_files(work_dir: Path, end: str) -> dict[Path, int]:
    """Return finished files of the audit in the work dir, with their times of change."""
    found = sorted((work_dir / "bidsdeface" / "reidentification").rglob(f"*{end}"))
    return {path: path.stat().st_mtime_ns for path in found if "." not in path.stem}


def rows_of(output_dir):
    with (output_dir / "reidentification.tsv").open(newline="") as file:
        return {(row["condition"], row["attacker"]): row for row in csv.DictReader(file, delimiter="\t")}


@pytest.mark.slow
def test_a_run_audits_what_it_has_published_goes_on_when_killed_and_withdraws_who_is_recognised(tmp_path):
    pytest.importorskip("dlib", reason="pip install bidsdeface[audit]")
    stranger = scan(make_person(read_image(find_head("S04")), 7), 1)
    write_image(tmp_path / "stranger.nii.gz", stranger.header, stranger.stored)
    heads = {"01": find_head("S04"), "02": tmp_path / "stranger.nii.gz"}
    bids_dir = make_dataset(tmp_path, {f"sub-{n}/anat/sub-{n}_T1w.nii.gz": head for n, head in heads.items()})
    output_dir, work_dir = tmp_path / "out", tmp_path / "work"
    run = bidsdeface(bids_dir, output_dir, "--n-procs", "2", "--skip-bids-validation")
    assert run.code == 0, run.said
    undone = output_dir / "sub-02/anat/sub-02_desc-defaced_T1w.nii.gz"
    undone.write_bytes(heads["02"].read_bytes())  # as if nothing had been removed
    strict = ("--strict", "--keep-renders", "-w", str(work_dir))

    with read_only(bids_dir):
        process = group(bids_dir, output_dir, *strict)
        wait_for(lambda: len(private_files(work_dir, ".npz")) >= 3, process)  # one of two is done
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        seen = private_files(work_dir, ".npz")
        assert not (output_dir / "report.html").exists()
        assert {stat.S_IMODE(path.stat().st_mode) for path in seen} == {0o600}

        process = group(bids_dir, output_dir, *strict)
        _, said = process.communicate()
    assert process.returncode == 3 and "LEAK" not in said, said
    assert private_files(work_dir, ".npz").items() >= seen.items()  # not looked at again
    failed = [line for line in said.splitlines() if line.startswith("ERROR FAILED")]  # of two, by luck both
    (line,) = [line for line in failed if f"{bids_dir}/sub-02/anat/sub-02_T1w.nii.gz" in line]
    assert re.search(r"comes first of 2 \(attacker: plain, .*\); withdrawn, as --strict asks", line)
    assert not [name for name in files(output_dir) if name.startswith("sub-02")]
    left = [name for name in files(output_dir) if name.endswith("desc-defaced_T1w.nii.gz")]
    assert len(left) == len((output_dir / "quality.tsv").read_text().splitlines()) - 1 == 2 - len(failed)
    rows = rows_of(output_dir)
    assert (rows["before", "plain"]["heads"], rows["before", "plain"]["rank1"]) == ("2", "2")
    assert (rows["after", "plain"]["heads"], rows["after", "plain"]["rank1"]) == ("2", "1")
    assert rows["after", "plain"]["withdrawn"] == str(len(failed))

    page = (output_dir / "report.html").read_text()
    told = page.partition("<h2>Re-identification</h2>")[2].partition("<h2>")[0]
    told += "".join((output_dir / f"reidentification.{end}").read_text() for end in ("tsv", "json"))
    assert "Rank 1" in told and not re.search(r"sub-|_T1w|anat", told)
    assert "sub-02" not in page + (output_dir / "missing.tsv").read_text() and str(tmp_path) not in page

    (targets,) = private_files(work_dir, "matched.tsv")
    assert "sub-02_T1w.nii.gz\tplain," in targets.read_text()
    pictures = private_files(work_dir, ".png")
    assert sorted(path.name for path in pictures) == ["sub-01_T1w.png", "sub-02_T1w.png"]
    for path in (targets, *pictures):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
