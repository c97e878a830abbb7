"""The participant level without its engine: plans, requests, exit codes, and what becomes of failures."""

import json
import logging

import pytest

from bidsdeface import cli, participant
from bidsdeface.dataset.names import scan_at
from bidsdeface.errors import Exit, TemplateError
from bidsdeface.group import run_group_level
from bidsdeface.head.resume import expected_record
from bidsdeface.output.review import COLUMNS, now
from bidsdeface.quality.outcome import (
    ACCEPTED,
    BY_HAND,
    FAILED,
    IN_REVIEW,
    KEPT,
    NO_FACE,
    PASSED,
    Outcome,
)
from bidsdeface.runtime import scratch
from bidsdeface.runtime.workers import Lost
from bidsdeface.settings import Settings
from tests.conftest import make_dataset, write_results

SCANS = (
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/sub-01_T2w.nii.gz",
    "sub-02/anat/sub-02_T1w.nii.gz",
)


@pytest.fixture
def bids_dir(tmp_path):
    yield make_dataset(tmp_path, SCANS)
    logging.getLogger("bidsdeface").handlers.clear()


@pytest.fixture
def output_dir(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def run(bids_dir, output_dir, monkeypatch, capsys):
    """Run the command line with the engine replaced; return exit code, standard error, heads worked on."""

    def run_participant(*options, result=None):
        worked_on = []

        def deface(prepare, arguments, heads, n_procs):
            for head in heads:
                worked_on.append(head.name)
                end = result(head) if result else [Outcome(scan.stem, PASSED) for scan in head.scans]
                for outcome in end if isinstance(end, list) else [end]:
                    yield head, outcome

        monkeypatch.setattr(participant, "run_in_workers", deface)
        arguments = [str(bids_dir), str(output_dir), "participant", "--skip-bids-validation", *options]
        return cli.main(arguments), capsys.readouterr().err, worked_on

    return run_participant


def publish(bids_dir, output_dir, **options):
    """Write what a finished run of every scan leaves, as far as a next run looks at it."""
    settings = Settings(bids_dir=bids_dir, output_dir=output_dir, level="participant", **options)
    write_results(bids_dir, output_dir, {"Bidsdeface": expected_record(settings)})


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_dry_run_prints_the_plan_and_writes_nothing(run, bids_dir, output_dir, capsys, monkeypatch):
    before = files(bids_dir.parent)
    monkeypatch.setattr(participant, "_deface", None)
    assert cli.main([str(bids_dir), str(output_dir), "participant", "--dry-run"]) == 0
    plan = capsys.readouterr().out
    assert "sub-01, reference sub-01_T1w" in plan and "sub-02, reference sub-02_T1w" in plan
    for scan in SCANS:
        assert str(bids_dir / scan) in plan
    assert "-> sub-01/anat/sub-01_desc-defaced_T2w.nii.gz" in plan
    assert "-> sub-01/anat/sub-01_mod-T2w_desc-face_defacemask.nii.gz" in plan
    assert files(bids_dir.parent) == before and not output_dir.exists()


@pytest.mark.parametrize(("named", "expected"), [([], 0), (["--participant-label", "01", "03"], 3)])
def test_a_dry_run_ends_with_3_where_a_participant_that_is_named_has_no_scan(
    bids_dir, output_dir, capsys, named, expected
):
    (bids_dir / "sub-03/func").mkdir(parents=True)
    assert cli.main([str(bids_dir), str(output_dir), "participant", "--dry-run", *named]) == expected
    assert ("sub-03: no anatomical scan" in capsys.readouterr().err) == (expected == 3)


def test_a_mask_for_several_scans_is_a_usage_error_and_nothing_is_done(run, tmp_path, output_dir):
    mask = tmp_path / "mask.nii.gz"
    mask.touch()
    code, said, worked_on = run("--mask", str(mask))
    assert code == 2 and worked_on == []
    assert f"{mask}: --mask is for one scan, and this request has 3" in said
    assert "--participant-label" in said and said.count("\n") == 1
    assert files(output_dir) == []


def test_a_mask_for_one_scan_is_taken(run, tmp_path):
    mask = tmp_path / "mask.nii.gz"
    mask.touch()
    assert run("--mask", str(mask), "--participant-label", "02")[0] == 0


@pytest.mark.parametrize("name", ["sub-03_T1w", "sub-01_T1w.nii.gz", "sub-01", "T1w", "*"])
def test_a_name_to_accept_that_no_scan_has_is_a_usage_error_and_nothing_is_done(run, output_dir, name):
    code, said, worked_on = run("--accept", "sub-01_T1w", name)
    assert code == 2 and worked_on == []
    assert f"--accept {name}: no such scan in this request" in said and said.count("\n") == 1
    assert files(output_dir) == []


def test_a_name_to_accept_outside_of_the_selection_is_a_usage_error(run):
    assert run("--accept", "sub-01_T1w", "--participant-label", "02")[0] == 2
    assert run("--accept", "sub-02_T1w", "--participant-label", "02")[0] == 0


@pytest.mark.parametrize(("verdict", "code"), [(NO_FACE, 0), (BY_HAND, 0), (ACCEPTED, 0), (FAILED, 3)])
def test_only_a_failed_scan_ends_with_3_and_each_verdict_is_told(run, verdict, code):
    def result(head):
        return [Outcome(scan.stem, verdict, ("x.nii: broken",) if code else ()) for scan in head.scans]

    ended, said, _ = run(result=result)
    assert ended == code and said.splitlines()[-1] == f"INFO in all: 3 {verdict}"
    assert said.count(f": {verdict}\n") == (0 if code else 3) and said.count("ERROR FAILED") == code


def test_a_line_of_a_scan_tells_its_most_telling_measures(run):
    measures = {"similarity": 0.81234, "tissue_left_ml": 0.0, "scale": 1.0}
    said = run(result=lambda head: [Outcome(scan.stem, PASSED, (), measures) for scan in head.scans])[1]
    assert "INFO [1/3] sub-01_T1w: passed  similarity 0.81, tissue_left_ml 0.00\n" in said


def test_a_dry_run_refuses_unknown_names_to_accept_as_well(bids_dir, output_dir):
    arguments = [str(bids_dir), str(output_dir), "participant", "--dry-run", "--accept", "sub-09_T1w"]
    assert cli.main(arguments) == 2


def test_all_passed_ends_with_0_and_a_summary(run, output_dir):
    code, said, worked_on = run()
    assert code == 0 and worked_on == ["sub-01", "sub-02"]
    assert said.splitlines()[-1] == "INFO in all: 3 passed"
    assert files(output_dir) == [".bidsignore", "README.md", "dataset_description.json", "descriptions.tsv"]


def test_one_failure_ends_with_3_and_the_others_go_on(run):
    def result(head):
        bad = head.name == "sub-01"
        return [Outcome(s.stem, FAILED if bad else PASSED, ("x.nii: broken; mend it",)) for s in head.scans]

    code, said, worked_on = run(result=result)
    assert code == 3 and worked_on == ["sub-01", "sub-02"]
    assert said.count("ERROR FAILED") == 2 and "x.nii: broken; mend it" in said
    assert said.splitlines()[-1] == "INFO in all: 2 failed, 1 passed"


def test_a_participant_without_scans_is_a_notice_and_the_others_go_on(run, bids_dir):
    (bids_dir / "sub-03/func").mkdir(parents=True)
    code, said, worked_on = run()
    assert code == 0 and worked_on == ["sub-01", "sub-02"]
    assert "WARNING no anatomical scan, so there is nothing to do: sub-03" in said


def test_a_participant_that_is_named_and_has_no_scans_ends_with_3(run, bids_dir):
    (bids_dir / "sub-03/func").mkdir(parents=True)
    code, said, worked_on = run("--participant-label", "02", "03")
    assert code == 3 and worked_on == ["sub-02"]
    assert "ERROR FAILED sub-03: no anatomical scan" in said


def test_a_folder_that_is_a_link_to_nowhere_ends_with_3_and_the_others_go_on(run, bids_dir):
    (bids_dir / "sub-03").symlink_to("/archive/sub-03")
    code, said, worked_on = run()
    assert code == 3 and worked_on == ["sub-01", "sub-02"]
    assert f"ERROR FAILED {bids_dir / 'sub-03'}: is a link to /archive/sub-03, which does not exist" in said


def test_stop_on_first_crash_leaves_the_rest_and_says_how_many(run):
    def result(head):
        return [Outcome(scan.stem, FAILED, ("broken",)) for scan in head.scans]

    code, said, worked_on = run("--stop-on-first-crash", result=result)
    assert code == 1 and worked_on == ["sub-01"]
    assert "stopped at the first failure, as requested; not tried: 1 scan" in said


@pytest.mark.parametrize(("cause", "expected"), [(Exit.FAILED, 1), (Exit.RETRY, 75), (Exit.ERROR, 1)])
@pytest.mark.parametrize("options", [[], ["--fail-on", "none"]])
def test_a_run_that_stopped_does_not_say_that_all_else_is_done(run, cause, expected, options):
    def result(head):
        return [Outcome(scan.stem, FAILED, ("broken",), cause=cause) for scan in head.scans]

    assert run("--stop-on-first-crash", *options, result=result)[0] == expected


@pytest.mark.parametrize(
    ("causes", "expected"),
    [
        ((Exit.FAILED, Exit.FAILED), 3),
        ((Exit.FAILED, Exit.RETRY), 75),
        ((Exit.RETRY, Exit.ERROR), 1),
        ((Exit.USAGE, Exit.RETRY), 2),
    ],
)
def test_the_worst_cause_of_a_failure_is_the_exit_code_and_the_others_go_on(run, causes, expected):
    def result(head):
        cause = causes[head.name == "sub-02"]
        return [Outcome(scan.stem, FAILED, ("broken",), cause=cause) for scan in head.scans]

    code, _, worked_on = run(result=result)
    assert code == expected and worked_on == ["sub-01", "sub-02"]


def test_failed_checks_may_end_with_0_and_nothing_else_does(run):
    def failed(head):
        return [Outcome(scan.stem, FAILED, ("broken",)) for scan in head.scans]

    assert run("--fail-on", "4", "5", result=failed)[0] == 0
    assert run("--fail-on", "4", "5", result=lambda head: Lost("killed"))[0] == 75
    assert run("--fail-on", "none", result=lambda head: Lost("a fault", Exit.ERROR))[0] == 1


def test_the_file_of_outcomes_has_a_line_for_each_scan_and_no_place(run, bids_dir, output_dir, tmp_path):
    def result(head):
        if head.name == "sub-02":
            return Lost("its process was killed")
        done, failed = head.scans
        reason = f"{failed.path}: broken"
        return [Outcome(done.stem, PASSED), Outcome(failed.stem, FAILED, (reason,), {}, ("Scale",))]

    path = tmp_path / "outcomes.jsonl"
    assert run("--outcomes", str(path), result=result)[0] == 75
    text = path.read_text()
    keys = ("scan", "verdict", "failed_checks", "retry")
    assert [tuple(map(json.loads(line).get, keys)) for line in text.splitlines()] == [
        ("sub-01_T1w", "passed", [], False),
        ("sub-01_T2w", "failed", ["Scale"], False),
        ("sub-02_T1w", "failed", [], True),
    ]
    assert "/" not in text and "\\" not in text
    assert run("--outcomes", str(path))[0] == 0
    verdicts = [json.loads(line)["verdict"] for line in path.read_text().splitlines()]
    assert verdicts == ["passed"] * 3  # each run starts anew


def test_the_file_of_outcomes_tells_what_was_kept_and_what_is_there_twice(
    run, bids_dir, output_dir, tmp_path
):
    publish(bids_dir, output_dir)
    twin = bids_dir / SCANS[2]
    twin.with_suffix("").write_bytes(b"")
    assert run("--outcomes", str(tmp_path / "o"))[0] == 3
    verdicts = [json.loads(line) for line in (tmp_path / "o").read_text().splitlines()]
    assert [(one["scan"], one["verdict"], one["kind"]) for one in verdicts] == [
        ("sub-01_T1w", "kept", ""),
        ("sub-01_T2w", "kept", ""),
        ("sub-02_T1w", "failed", "it is there as .nii and as .nii.gz"),
    ]


@pytest.mark.parametrize("end", [KeyboardInterrupt(), TemplateError("template x: not there")])
def test_a_run_that_ends_early_leaves_the_outcomes_of_before(run, tmp_path, end):
    def result(head):
        if head.name == "sub-02":
            raise end
        return [Outcome(scan.stem, PASSED) for scan in head.scans]

    (tmp_path / "o").write_text("of an earlier run\n")
    assert run("--outcomes", str(tmp_path / "o"), result=result)[0] in (130, 1)
    scans = [json.loads(line)["scan"] for line in (tmp_path / "o").read_text().splitlines()]
    assert scans == ["sub-01_T1w", "sub-01_T2w"]


def test_a_run_that_does_not_begin_leaves_no_outcomes_of_before(run, bids_dir, output_dir, tmp_path):
    (bids_dir / "sub-01/anat/sub-01_nonsense.nii.gz").touch()
    (tmp_path / "o").write_text("of an earlier run\n")
    arguments = [str(bids_dir), str(output_dir), "participant", "--outcomes", str(tmp_path / "o")]
    assert cli.main(arguments) == 1
    assert (tmp_path / "o").read_text() == ""


def test_a_dry_run_leaves_the_file_of_outcomes_alone(run, tmp_path):
    (tmp_path / "o").write_text("of an earlier run\n")
    assert run("--dry-run", "--outcomes", str(tmp_path / "o"))[0] == 0
    assert (tmp_path / "o").read_text() == "of an earlier run\n"


def test_finished_scans_are_kept_without_starting_the_engine(run, bids_dir, output_dir):
    publish(bids_dir, output_dir)
    code, said, worked_on = run()
    assert code == 0 and worked_on == []
    assert said.splitlines()[-1] == "INFO in all: 3 kept"


@pytest.mark.parametrize("option", [["--force"], ["--guard-mm", "5"], ["--regions", "face,ears"]])
def test_finished_scans_are_redone_by_force_or_other_settings(run, bids_dir, output_dir, option):
    publish(bids_dir, output_dir)
    assert run(*option)[2] == ["sub-01", "sub-02"]


def test_a_head_with_one_unfinished_scan_is_taken_up_again(run, bids_dir, output_dir):
    publish(bids_dir, output_dir)
    (output_dir / "sub-01/figures/sub-01_desc-defaced_T2w.png").unlink()
    assert run()[2] == ["sub-01"]


def test_a_lost_head_fails_with_its_files_named_and_is_withdrawn(run, bids_dir, output_dir):
    publish(bids_dir, output_dir)
    code, said, _ = run("--force", result=lambda head: Lost("its process was killed"))
    assert code == 75
    for scan in SCANS:
        assert f"{bids_dir / scan}: its process was killed" in said
    assert files(output_dir) == [".bidsignore", "README.md", "dataset_description.json", "descriptions.tsv"]


def test_a_lost_worker_costs_only_the_scans_it_had_not_told_of_even_by_force(
    run, bids_dir, output_dir, monkeypatch
):
    publish(bids_dir, output_dir)

    def lose(prepare, arguments, heads, n_procs):
        for head in heads:
            yield head, Outcome(head.scans[0].stem, PASSED)
            yield head, Lost("its process was killed")

    monkeypatch.setattr(participant, "run_in_workers", lose)
    arguments = [str(bids_dir), str(output_dir), "participant", "--skip-bids-validation", "--force"]
    assert cli.main(arguments) == 75
    left = [name for name in files(output_dir) if name.endswith("_desc-defaced_T1w.json")]
    assert len(left) == 2 and not list(output_dir.glob("**/*_T2w.json"))


def save_review(tmp_path, *scans):
    """Save a review that rejects scans; return options that give it."""
    lines = (f"{scan}\trejected\t\t\t{'0' * 64}\t2026-01-01T00:00:00.000Z\n" for scan in scans)
    (tmp_path / "review.tsv").write_text("\t".join(COLUMNS) + "\n" + "".join(lines))
    return "-w", str(tmp_path / "work"), "--review", str(tmp_path / "review.tsv")


def publish_measured(bids_dir, output_dir):
    settings = Settings(bids_dir=bids_dir, output_dir=output_dir, level="participant")
    write_results(bids_dir, output_dir, {"Bidsdeface": expected_record(settings) | {"Measures": {}}})
    return {path.name for path in output_dir.rglob("*_desc-defaced_*.json")}


def test_what_was_rejected_is_withdrawn_though_its_worker_is_lost(run, bids_dir, output_dir, tmp_path):
    before = publish_measured(bids_dir, output_dir)
    code, _, _ = run(*save_review(tmp_path, SCANS[0]), result=lambda head: Lost("its process was killed"))
    assert code == 75
    left = {path.name for path in output_dir.rglob("*_desc-defaced_*.json")}
    assert before - left == {"sub-01_desc-defaced_T1w.json"}


def test_a_decision_about_a_scan_that_was_not_asked_for_is_named_and_not_kept(
    run, bids_dir, output_dir, tmp_path
):
    before = publish_measured(bids_dir, output_dir)
    review = save_review(tmp_path, SCANS[0], SCANS[2])
    options = (*review, "--participant-label", "01", "--suffixes", "T2w")
    code, said, _ = run(*options, result=lambda head: [Outcome(s.stem, KEPT) for s in head.scans])
    assert code == 3
    assert "review.tsv, line 2: sub-01_T1w is not among the scans of this request" in said
    assert "1 decision about participants or sessions that were not asked for" in said
    assert "line 3" not in said
    code, said, _ = run(*review[:2], result=lambda head: Lost("its process was killed"))
    assert {path.name for path in output_dir.rglob("*_desc-defaced_*.json")} == before


def test_decisions_about_other_participants_alone_are_no_failure(run, bids_dir, output_dir, tmp_path):
    publish_measured(bids_dir, output_dir)
    assert run(*save_review(tmp_path, SCANS[2]), "--participant-label", "01")[0] == 0


def test_a_rejection_is_no_crash(run):
    def result(head):
        reason = f"{head.scans[0].path}: {IN_REVIEW}"
        return [
            Outcome(scan.stem, FAILED, (reason,), kind=IN_REVIEW, is_rejected=True) for scan in head.scans
        ]

    code, said, worked_on = run("--stop-on-first-crash", result=result)
    assert code == 3 and worked_on == ["sub-01", "sub-02"] and "stopped" not in said


def test_a_missing_template_is_told_once_and_nothing_else_is_tried(run, bids_dir, output_dir):
    publish(bids_dir, output_dir)
    before = len(files(output_dir))
    code, said, worked_on = run(
        "--force", result=lambda head: TemplateError("template x: not there; fetch it")
    )
    assert code == 1 and worked_on == ["sub-01"]
    assert said == "bidsdeface: error: template x: not there; fetch it\n"
    assert len(files(output_dir)) == before  # older results stay


def test_what_leaks_is_told_by_every_run_until_it_is_gone(run, bids_dir, output_dir):
    publish(bids_dir, output_dir)
    sidecar = output_dir / "sub-01/anat/sub-01_desc-defaced_T1w.json"
    for image in output_dir.glob("sub-*/anat/*.nii.gz"):
        image.write_bytes(b"")  # of a participant who was done long ago, kept
    for picture in output_dir.glob("sub-*/figures/*"):
        picture.write_bytes(b"")
    before = sidecar.read_text()
    sidecar.write_text(json.dumps({**json.loads(before), "PatientName": "Doe"}))
    for labels, code in (
        ((), 5),
        ((), 5),
        (("--participant-label", "01"), 5),
        (("--participant-label", "02"), 0),
    ):
        ended, said, worked_on = run(*labels)
        assert ended == code and worked_on == []
        finding = "ERROR LEAK sub-01/anat/sub-01_desc-defaced_T1w.json, field PatientName"
        assert said.count(finding) == (code == 5)
    sidecar.write_text(before)
    assert run()[0] == 0


def test_the_private_folder_is_private_and_gone_at_the_end(run, tmp_path, monkeypatch):
    seen = []

    def result(head):
        seen.append([path.stat().st_mode & 0o777 for path in place.glob(".bidsdeface-*")])
        return [Outcome(scan.stem, PASSED) for scan in head.scans]

    place = tmp_path
    monkeypatch.setenv("TMPDIR", str(place))
    run(result=result)
    place = tmp_path / "work/bidsdeface"
    run("-w", str(tmp_path / "work"), result=result)
    assert seen == [[0o700]] * 4
    assert list(tmp_path.glob(".bidsdeface-*")) == []
    assert sorted(path.name for path in place.iterdir()) == ["fingerprints", "key", "logs", "outcomes"]


def test_the_temporary_folder_of_a_killed_run_is_swept_by_the_next_with_or_without_work_dir(
    run, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for options in ((), ("-w", str(tmp_path / "work"))):
        left = tmp_path / f".bidsdeface-{scratch._system()}-killed"
        left.mkdir(mode=0o700)
        (left / "0GenericAffine.mat").touch()
        assert run(*options)[0] == 0 and not left.exists()


def test_a_temporary_folder_that_cannot_be_used_is_one_clear_line(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    code, said, worked_on = run()
    assert code == 1 and worked_on == []
    assert f"{tmp_path / 'none'}: cannot be written" in said and said.count("\n") == 1


def test_a_failure_is_one_line_whatever_the_reason_holds(run):
    def result(head):
        return [Outcome(scan.stem, FAILED, ("x.nii: said\nERROR FAILED\nmuch", "y")) for scan in head.scans]

    code, said, _ = run(result=result)
    failed = [line for line in said.splitlines() if line.startswith("ERROR FAILED")]
    assert code == 3 and len(failed) == len(SCANS)
    assert failed[0] == "ERROR FAILED [1/3] x.nii: said ERROR FAILED much; y"


def test_an_invalid_dataset_is_refused_before_any_work(run, bids_dir, output_dir, capsys):
    (bids_dir / "sub-01/anat/sub-01_nonsense.nii.gz").touch()
    assert cli.main([str(bids_dir), str(output_dir), "participant"]) == 1
    said = capsys.readouterr().err
    assert "not valid BIDS: NOT_INCLUDED" in said and "--skip-bids-validation" in said
    assert files(output_dir) == []


def test_a_table_that_a_run_has_made_older_is_named(run, bids_dir, output_dir):
    publish(bids_dir, output_dir)
    settings = Settings(bids_dir=bids_dir, output_dir=output_dir, level="group", validate_output=False)
    for sidecar in output_dir.glob("sub-*/anat/*.json"):
        record = json.loads(sidecar.read_text())["Bidsdeface"] | {"Verdict": PASSED, "Measures": {}}
        sidecar.write_text(json.dumps({"Bidsdeface": record}))
    run_group_level(settings)
    older = "report.html and quality.tsv are older than this run; run group"
    assert older not in run()[1]
    failed = settings.output.outputs_of(scan_at(bids_dir / SCANS[0])).image_sidecar
    (output_dir / failed).unlink()
    _, said, _ = run(result=lambda head: [Outcome(scan.stem, FAILED, ("beyond",)) for scan in head.scans])
    assert said.count(older) == 1


def test_a_review_is_confirmed_with_what_was_not_followed(run, bids_dir, output_dir, tmp_path):
    decided = ("accepted", "rejected", "accepted")
    rows = [(scan, one, "", "", "0" * 64, now()) for scan, one in zip(SCANS, decided, strict=True)]
    review = tmp_path / "review.tsv"
    review.write_text("".join("\t".join(row) + "\n" for row in (COLUMNS, *rows)))
    ends = {
        "sub-01_T1w": Outcome("sub-01_T1w", ACCEPTED),
        "sub-01_T2w": Outcome("sub-01_T2w", FAILED, ("rejected",)),
        "sub-02_T1w": Outcome("sub-02_T1w", FAILED, ("damaged",), lapsed="no such mask"),
    }
    options = ("--review", str(review), "-w", str(tmp_path / "work"))
    _, said, _ = run(*options, result=lambda head: [ends[scan.stem] for scan in head.scans])
    assert "review: 3 decisions read (2 accepted, 1 rejected), 1 not counted" in said
    _, said, _ = run(*options, "--participant-label", "02")
    assert "review: 3 decisions read (2 accepted, 1 rejected), 2 not counted" in said


def test_a_page_names_no_scan_while_that_scan_is_done_again(run, output_dir):
    pages = [output_dir / f"sub-0{label}.html" for label in "123"]
    run()
    for page in pages:
        page.write_text('<meta name="generator" content="bidsdeface 0.1.0">')
    there = []

    def result(head):
        there.append([page.exists() for page in pages])
        return [Outcome(scan.stem, PASSED) for scan in head.scans]

    run(result=result)
    assert there == [[False, False, True]] * 2
