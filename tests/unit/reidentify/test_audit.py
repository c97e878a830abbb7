"""The audit within a group run, on made-up sights: what is published, what is private, what is withdrawn."""

import csv
import json
import logging
import stat
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bidsdeface import cli
from bidsdeface.errors import BidsdefaceError, Exit, UsageError
from bidsdeface.group import run_group_level
from bidsdeface.output.description import claim_shareable
from bidsdeface.reidentify import audit
from bidsdeface.reidentify.findings import Probe
from bidsdeface.reidentify.study import Study
from bidsdeface.runtime.workdir import COMPLETE, open_state
from bidsdeface.settings import Settings
from tests.conftest import make_dataset
from tests.unit.reidentify.test_findings import seen
from tests.unit.test_group import RECORD, table

PEOPLE = 8
HIDDEN = [-1.0] * PEOPLE  # all look like nobody; the nearest is person 0


@pytest.fixture
def settings(tmp_path):
    """A derivative dataset of people with one defaced scan each, and their originals."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    for k in range(PEOPLE):
        folder = f"sub-{k}/anat"
        sidecar = {"Sources": [f"bids:raw:{folder}/sub-{k}_T1w.nii"], "Bidsdeface": RECORD}
        for path, text in {
            raw / folder / f"sub-{k}_T1w.nii": "",
            out / folder / f"sub-{k}_desc-defaced_T1w.nii.gz": "",
            out / folder / f"sub-{k}_desc-defaced_T1w.json": json.dumps(sidecar),
            out / folder / f"sub-{k}_mod-T1w_desc-face_defacemask.nii.gz": "",
            out / folder / f"sub-{k}_mod-T1w_desc-face_defacemask.json": "{}",
            out / f"sub-{k}/figures/sub-{k}_desc-defaced_T1w.png": "",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return Settings(bids_dir=raw, output_dir=out, level="group", reidentify=True, validate_output=False)


@pytest.fixture(autouse=True)
def no_leak_check(monkeypatch):
    monkeypatch.setattr("bidsdeface.group.check_whole_output", lambda *_: set())


@pytest.fixture
def state(tmp_path):
    return open_state(tmp_path / "work")


def conducted(monkeypatch, places=HIDDEN, error=None):
    """Replace the study: defaced, person k is seen at a place on a line where the originals are at k."""
    calls = []

    def fake_conduct(cases, folder, n_procs, people, pictures, quiet, load_swap):
        calls.append((cases, folder, pictures, load_swap))
        (folder / "sight.npz").touch()
        if pictures:
            (pictures / "sub-0_T1w.png").touch()
        if error:
            raise error
        probes = {
            case: Probe(
                case.person, case.person, seen(k), seen(k + 0.1), {"plain": seen(None), "mask": seen(place)}
            )
            for case, k, place in zip(cases, range(PEOPLE), places, strict=False)
        }
        return Study(probes, [seen(50 + k) for k in range(people - len(probes))])

    monkeypatch.setattr(audit, "conduct", fake_conduct)
    return calls


def rows_of(folder):
    with (folder / "reidentification.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def published(settings):
    return sorted(path.name for path in settings.output_dir.rglob("*desc-defaced_T1w.nii.gz"))


def test_aggregates_are_published_beside_the_quality_table(settings, monkeypatch):
    conducted(monkeypatch)
    assert run_group_level(settings) == set()
    names = {path.name for path in settings.output_dir.iterdir() if path.is_file()}
    tables = ("missing", "quality", "reidentification")
    pages = (".bidsignore", "report.html", *(f"sub-{k}.html" for k in range(PEOPLE)))
    assert names == {*pages, *(f"{name}.{end}" for name in tables for end in ("tsv", "json"))}
    rows = rows_of(settings.output_dir)
    assert [row["condition"] for row in rows] == ["before", "after", "after"]
    assert rows[0]["rank1"] == "8" and rows[0]["people"] == "100"
    page = (settings.output_dir / "report.html").read_text()
    assert "<h2>Scans</h2>" in page and "<h2>Re-identification</h2>" in page


@pytest.mark.parametrize("is_refaced", [True, False])
def test_the_swap_attacker_is_tried_where_a_scan_was_refaced(settings, monkeypatch, is_refaced):
    path = settings.output_dir / "sub-3/anat/sub-3_desc-defaced_T1w.json"
    sidecar = json.loads(path.read_text())
    placement = {"PlacementOnWholeHead": [[1.0, 0.0, 0.0, 0.0]]} if is_refaced else {}
    path.write_text(json.dumps({**sidecar, "Bidsdeface": {**RECORD, **placement}}))
    calls = conducted(monkeypatch)
    run_group_level(settings)
    assert (calls[0][3] is not None) == is_refaced


def test_nothing_of_what_is_published_about_the_attack_names_a_scan(settings, state, monkeypatch):
    conducted(monkeypatch, [float(k) for k in range(PEOPLE)])
    run_group_level(replace(settings, strict=True), state)
    shared = [path for path in settings.output_dir.rglob("*") if path.is_file()]
    told = "".join(path.read_text() for path in shared if path.name != "dataset_description.json")
    assert told.count("8 scans whose person came first") == 1 and "missing.tsv" in {
        one.name for one in shared
    }
    for secret in ("sub-", "_T1w", "anat", str(settings.bids_dir), str(settings.output_dir)):
        assert secret not in told


def test_the_list_of_targets_is_in_the_work_dir_alone_and_only_its_owner_may_read_it(
    settings, state, monkeypatch, caplog
):
    conducted(monkeypatch, [5, 5, 2, 5, 5, 5, 5, 5])
    with caplog.at_level(logging.INFO, "bidsdeface"):
        assert run_group_level(settings, state) == set()
    (targets,) = state.folder.rglob("matched.tsv")
    original = settings.bids_dir / "sub-2/anat/sub-2_T1w.nii"
    other = settings.bids_dir / "sub-5/anat/sub-5_T1w.nii"
    assert targets.read_text() == f"scan\tattackers\n{original}\tmask\n{other}\tmask\n"
    assert stat.S_IMODE(targets.stat().st_mode) == 0o600
    for folder in (targets.parent, targets.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(published(settings)) == PEOPLE
    assert f"first in the gallery for some attacker: 2 scans; they are in {targets}" in caplog.text
    assert "sub-2" not in caplog.text.replace(str(targets), "")
    assert not list(settings.output_dir.rglob("matched*"))


def test_without_a_work_dir_nothing_private_stays(settings, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    calls = conducted(monkeypatch, [0.0] * PEOPLE)
    run_group_level(settings)
    assert calls[0][1].is_relative_to(tmp_path / "tmp") and list((tmp_path / "tmp").iterdir()) == []
    assert "first in the gallery for some attacker: 1 scan; give --work-dir to know which" in caplog.text


def test_strict_withdraws_what_is_matched_and_the_report_tells_what_is_left(
    settings, state, monkeypatch, caplog
):
    conducted(monkeypatch, [5, 5, 2, 5, 5, 5, 5, 5])
    assert run_group_level(replace(settings, strict=True), state) == {Exit.FAILED}
    left = [f"sub-{k}_desc-defaced_T1w.nii.gz" for k in (0, 1, 3, 4, 6, 7)]
    assert published(settings) == left
    assert [row["scan"].rpartition("/")[2] for row in table(settings.output_dir)] == left
    gone = [path for k in (2, 5) for path in (settings.output_dir / f"sub-{k}").rglob("*") if path.is_file()]
    assert gone == []  # masks and pictures neither
    failed = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [line.partition(": ")[0] for line in failed] == [
        f"FAILED [{number}/2] {settings.bids_dir / f'sub-{k}/anat/sub-{k}_T1w.nii'}"
        for number, k in ((1, 2), (2, 5))
    ]
    assert "its person still comes first of 100 (attacker: mask)" in failed[0]
    rows = {(row["condition"], row["attacker"]): row for row in rows_of(settings.output_dir)}
    assert (rows["after", "mask"]["heads"], rows["after", "mask"]["rank1"]) == ("8", "2")
    assert (rows["left", "mask"]["heads"], rows["left", "mask"]["rank1"]) == ("6", "0")
    assert rows["left", "mask"]["people"] == "100"
    page = (settings.output_dir / "report.html").read_text()
    assert "Published scans: <b>6</b>" in page and "2 scans whose person came first" in page
    assert "sub-2" not in page and "sub-5" not in page


def test_strict_without_a_match_withdraws_nothing(settings, monkeypatch):
    conducted(monkeypatch, [50.0] * PEOPLE)
    assert run_group_level(replace(settings, strict=True)) == set()
    assert len(published(settings)) == PEOPLE
    assert "withdrawn" not in (settings.output_dir / "report.html").read_text()


def test_all_may_be_withdrawn(settings, monkeypatch):
    conducted(monkeypatch, range(PEOPLE))
    assert run_group_level(replace(settings, strict=True)) == {Exit.FAILED}
    assert published(settings) == [] and table(settings.output_dir) == []
    assert "Published scans: <b>0</b>" in (settings.output_dir / "report.html").read_text()


def test_a_mask_that_scans_of_a_set_share_goes_with_the_last_of_them(settings, monkeypatch):
    folder = settings.output_dir / "sub-0/anat"
    for echo in (1, 2):
        sidecar = {"Sources": [f"bids:raw:sub-0/anat/sub-0_echo-{echo}_T1w.nii"], "Bidsdeface": RECORD}
        (settings.bids_dir / f"sub-0/anat/sub-0_echo-{echo}_T1w.nii").write_text("")
        (folder / f"sub-0_echo-{echo}_desc-defaced_T1w.nii.gz").write_text("")
        (folder / f"sub-0_echo-{echo}_desc-defaced_T1w.json").write_text(json.dumps(sidecar))
    for path in folder.glob("sub-0_desc-*"):
        path.unlink()
    mask = folder / "sub-0_mod-T1w_desc-face_defacemask.nii.gz"
    conducted(monkeypatch, [0.0, *[50.0] * 8])  # the first echo
    assert run_group_level(replace(settings, strict=True, participants=("0",))) == {Exit.FAILED}
    assert [path.name[:12] for path in folder.glob("*desc-defaced*.gz")] == ["sub-0_echo-2"] and mask.exists()
    conducted(monkeypatch, [0.0])
    assert run_group_level(replace(settings, strict=True, participants=("0",))) == {Exit.FAILED}
    assert not mask.exists()


def test_a_scan_that_cannot_be_withdrawn_is_an_error_and_no_report_claims_that_it_is_gone(
    settings, monkeypatch
):
    conducted(monkeypatch, [0.0] * PEOPLE)
    monkeypatch.setattr("bidsdeface.output.publish.OutputDataset.withdraw", lambda *_: None)
    with pytest.raises(BidsdefaceError, match="sub-0_desc-defaced_T1w.nii.gz: is still there"):
        run_group_level(replace(settings, strict=True))
    assert not (settings.output_dir / "report.html").exists()


def test_what_was_seen_is_gone_at_the_end_and_stays_after_an_interruption(settings, state, monkeypatch):
    conducted(monkeypatch, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_group_level(settings, state)
    assert len(list(state.folder.rglob("sight.npz"))) == 1
    conducted(monkeypatch)
    run_group_level(settings, state)
    assert [path.name for path in (state.folder / "reidentification").rglob("*") if path.is_file()] == [
        "matched.tsv"
    ]


def test_pictures_and_what_was_seen_stay_on_request(settings, state, monkeypatch):
    calls = conducted(monkeypatch)
    run_group_level(replace(settings, keep_renders=True), state)
    kept = {path.name: path for path in (state.folder / "reidentification").rglob("*") if path.is_file()}
    assert set(kept) == {"matched.tsv", "sight.npz", "sub-0_T1w.png"}
    assert stat.S_IMODE(kept["sub-0_T1w.png"].parent.stat().st_mode) == 0o700
    run_group_level(settings, state)
    assert calls[1][2] is None
    assert not list(state.folder.rglob("*.png"))


def test_those_who_were_asked_for_are_attacked_and_the_report_says_so(settings, monkeypatch):
    calls = conducted(monkeypatch)
    run_group_level(replace(settings, participants=("1", "3")))
    assert [case.person for case in calls[0][0]] == ["1", "3"]
    assert "not the whole dataset" in (settings.output_dir / "report.html").read_text()
    assert len(table(settings.output_dir)) == PEOPLE  # quality is of all


def test_a_run_without_the_audit_says_that_its_figures_are_older(settings, monkeypatch):
    conducted(monkeypatch)
    run_group_level(settings)
    run_group_level(replace(settings, reidentify=False))
    page = (settings.output_dir / "report.html").read_text()
    assert "<i>reidentification.tsv</i> is of an earlier run" in page and "rank 1" not in page


def test_in_a_complete_dataset_what_is_withdrawn_leaves_no_reference_and_the_report_goes_to_the_work_dir(
    tmp_path, state, monkeypatch
):
    scans = [f"sub-{k}/anat/sub-{k}_T1w.nii.gz" for k in range(3)]
    bids_dir, out = make_dataset(tmp_path, scans), tmp_path / "out"
    out.mkdir()
    claim_shareable(out)
    for scan in scans:
        path = out / scan
        path.parent.mkdir(parents=True)
        rows = f"filename\nanat/{path.name}\n"
        for folder in (bids_dir, out):
            (folder / path.parts[-3] / f"{path.parts[-3]}_scans.tsv").write_text(rows)
        path.write_bytes((bids_dir / scan).read_bytes())
        path.with_name(f"{path.name[:-7]}.json").write_text(json.dumps({"Bidsdeface": RECORD}))
        for end in ("nii.gz", "json"):
            path.with_name(f"{path.name[:5]}_mod-T1w_defacemask.{end}").write_text("{}")
    settings = Settings(
        bids_dir=bids_dir,
        output_dir=out,
        level="group",
        output_layout="bids",
        work_dir=tmp_path / "work",
        reidentify=True,
        strict=True,
        validate_output=False,
    )
    conducted(monkeypatch, [50, 1, 50])
    assert run_group_level(settings, state) == {Exit.FAILED}
    images = sorted(path.name for path in out.rglob("*_T1w.nii.gz"))
    assert images == ["sub-0_T1w.nii.gz", "sub-2_T1w.nii.gz"]
    assert not list(out.rglob("sub-1*anat*/*")) and not list(out.rglob("sub-1_*mask*"))
    assert "sub-1_T1w" not in "".join(path.read_text() for path in out.rglob("*.tsv"))
    assert "sub-0_T1w" in (out / "sub-0/sub-0_scans.tsv").read_text()
    assert not list(out.rglob("*.html")) and not list(out.rglob("reidentification*"))
    place = state.folder_for(COMPLETE, out)
    names = {path.name for path in place.iterdir() if path.is_file()}
    assert {"report.html", "quality.tsv", "reidentification.tsv", "reidentification.json"} <= names
    assert [row["scan"] for row in table(place)] == [scans[0], scans[2]]


@pytest.mark.parametrize("missing", ["dlib", "weights"])
def test_without_face_recognition_the_command_ends_with_one_line_before_anything_is_written(
    settings, monkeypatch, capsys, missing
):
    (settings.bids_dir / "dataset_description.json").write_text("{}")
    if missing == "dlib":
        monkeypatch.setitem(sys.modules, "dlib", None)  # as where there is no wheel
    else:
        monkeypatch.setitem(sys.modules, "dlib", SimpleNamespace())
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    before = sorted(settings.output_dir.rglob("*"))
    assert cli.main([str(settings.bids_dir), str(settings.output_dir), "group", "--reidentify"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bidsdeface: error: ") and "pip install bidsdeface[audit]" in line
    assert sorted(settings.output_dir.rglob("*")) == before


def test_outcomes_that_cannot_be_read_end_the_run_before_anything_is_withdrawn(settings, monkeypatch):
    conducted(monkeypatch, range(PEOPLE))
    bad = settings.bids_dir.parent / "outcomes"
    bad.write_bytes(b"\xff\xfe")
    before = published(settings)
    with pytest.raises(UsageError, match="--outcomes"):
        run_group_level(replace(settings, strict=True, outcomes=bad))
    assert published(settings) == before != []
