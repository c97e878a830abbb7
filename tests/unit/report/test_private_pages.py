"""The pages of the private report: every scan, worst first, and what is published of it now."""

import json
import os
import re
import stat
from dataclasses import asdict
from pathlib import Path

import pytest

from bidsdeface.errors import BidsdefaceError
from bidsdeface.output.request import Request
from bidsdeface.output.review import Decision, remember_decision
from bidsdeface.quality.limits import CHECKS
from bidsdeface.quality.outcome import (
    ACCEPTED,
    FAILED,
    IN_REVIEW,
    KEPT,
    NO_FACE,
    PASSED,
    Outcome,
    OutcomeFile,
)
from bidsdeface.report import private_pages
from bidsdeface.report.private_pages import MISSING, PAGE, files_of, refresh_pages, write_pages
from bidsdeface.runtime.scratch import make_private
from bidsdeface.runtime.workdir import OUTCOMES

(LIMIT_MM,) = (check.most for check in CHECKS if check.measure == "outline_shift_mm")
FINGERPRINT = "0a" * 32


@pytest.fixture
def request_(tmp_path):
    return Request(bids_dir=tmp_path / "bids", output_dir=tmp_path / "out")


@pytest.fixture
def publish(tmp_path):
    """Put the sidecar of a result into the output, or remove it."""

    def put(stem, verdict):
        name, suffix = stem.rsplit("_", 1)
        desc = "noface" if verdict == NO_FACE else "defaced"
        path = tmp_path / "out" / stem.partition("_")[0] / f"anat/{name}_desc-{desc}_{suffix}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        if verdict == FAILED:
            path.unlink(missing_ok=True)
        else:
            path.write_text(json.dumps({"Bidsdeface": {"Verdict": verdict, "Measures": {}}}))

    return put


@pytest.fixture
def keep(state, tmp_path):
    """Keep an outcome as a run does."""
    return OutcomeFile(None, state.folder_for(OUTCOMES, tmp_path / "out")).add


@pytest.fixture
def told(folder, publish, keep):
    """Add a scan as a run does, but for its picture; and publish it unless it failed."""

    def tell_of(stem, verdict, reasons=(), fingerprint="", **measures):
        outcome = Outcome(stem, verdict, reasons, measures)
        path = f"{stem.partition('_')[0]}/anat/{stem}.nii"
        content = asdict(outcome) | {"path": path, "fingerprint": fingerprint}
        make_private(folder)
        (folder / files_of(stem, fingerprint)[0]).touch()
        (folder / f"{stem}.json").write_text(json.dumps(content))
        publish(stem, verdict)
        keep(outcome)

    return tell_of


@pytest.fixture
def write(request_, state):
    return lambda *subjects: write_pages(request_, state, subjects or None)


def headings(page):
    return re.findall(r"<h2>(.*?): <span[^>]*>(.*?)</span>", page.read_text())


def listed(folder):
    return json.loads((folder / "scans.js").read_text().removeprefix("const SCANS = ").removesuffix(";\n"))


def counts(index, name):
    """Return the line of a participant: scans, not published, accepted, rejected, undecided."""
    line = index.read_text().partition(f">{name}</a>")[2].partition("</tr>")[0]
    return tuple(map(int, re.findall(r">(\d+)</td>", line)))


def test_participants_are_in_order_of_their_worst_scan_and_their_scans_too(told, write, folder):
    told("sub-1_T1w", PASSED, outline_shift_mm=0.1 * LIMIT_MM)
    told("sub-1_T2w", ACCEPTED, outline_shift_mm=1.5 * LIMIT_MM)
    told("sub-2_T1w", NO_FACE)  # a bare brain, of which nothing is measured: worth a look
    told("sub-2_T2w", FAILED, ("the scan does not fit",), outline_shift_mm=1.2 * LIMIT_MM)
    told("sub-3_T1w", PASSED, outline_shift_mm=0.9 * LIMIT_MM)
    told("sub-3_T2w", FAILED, ("cannot be measured",), outline_shift_mm=float("nan"))
    index = write()
    assert re.findall(r'<a href="(sub-\d).html"', index.read_text()) == ["sub-3", "sub-2", "sub-1"]
    assert [one["name"][4:7] for one in listed(folder)] == ["3_T"] * 2 + ["2_T"] * 2 + ["1_T"] * 2
    assert headings(folder / "sub-2.html") == [("sub-2_T2w", MISSING), ("sub-2_T1w", NO_FACE)]


def test_the_page_shows_each_picture_and_says_what_spoke_against_it(told, write, folder):
    told("sub-1_T1w", FAILED, ("the outline is off",), outline_shift_mm=2 * LIMIT_MM, similarity=0.8)
    write()
    text = (folder / "sub-1.html").read_text()
    assert "the outline is off" in text and 'src="sub-1_T1w.png"' in text
    rows = re.findall(r'<tr( class="beyond")?><th scope="row">(.*?)</th>', text)
    assert rows == [("", "Similarity"), (' class="beyond"', "Outline<wbr>Shift<wbr>MM")]


def test_after_a_review_the_pages_say_what_is_published_now(told, write, folder, publish, keep):
    told("sub-1_T1w", PASSED, fingerprint=FINGERPRINT)
    told("sub-1_T2w", FAILED, ("the outline is off",), fingerprint=FINGERPRINT)
    assert counts(write(), "sub-1") == (2, 1, 0, 0, 2)
    for stem, outcome in (
        ("sub-1_T1w", Outcome("sub-1_T1w", FAILED, ("rejected, said the run",), kind=IN_REVIEW)),
        ("sub-1_T2w", Outcome("sub-1_T2w", ACCEPTED)),
    ):
        publish(stem, outcome.verdict)
        keep(outcome)
    write()
    assert headings(folder / "sub-1.html") == [("sub-1_T1w", MISSING), ("sub-1_T2w", ACCEPTED)]
    text = (folder / "sub-1.html").read_text()
    assert "rejected, said the run" in text and "the outline is off" not in text


def test_why_a_scan_failed_is_said_without_its_path_and_without_what_the_page_itself_offers(
    told, write, folder, keep
):
    told("sub-1_T1w", FAILED, ("/data/of me/sub-1/anat/sub-1_T1w.nii.gz: the outline is off",))
    reasons = ("/bids/sub-1_T1w.nii: rejected", "it is stretched")
    failed = Outcome("sub-1_T1w", FAILED, reasons, remedy="--accept sub-1_T1w")
    for outcome, said in ((None, ["the outline is off"]), (failed, ["rejected", "it is stretched"])):
        if outcome:
            keep(outcome)
        write()
        text = (folder / "sub-1.html").read_text()
        assert re.findall("<p>(.*?)</p>", text.partition("</h2>")[2])[:-1] == said
        assert "--accept" not in text


def test_what_is_nearest_to_its_limit_is_said_beside_the_participant_and_under_the_scan(told, write, folder):
    told("sub-1_T1w", PASSED, similarity=0.9)
    told("sub-1_T2w", FAILED, ("it does not look like it",), similarity=0.2)
    words = "Similarity 0.2 (must be at least 0.25)"
    assert f"<td>sub-1_T2w: {words}</td>" in write().read_text()
    text = (folder / "sub-1.html").read_text()
    assert f"<p>{words}.</p>" in text and "<p>Similarity 0.9 (must be at least 0.25).</p>" in text


def test_what_a_run_has_followed_can_be_taken_back_and_not_be_undecided(told, write, folder, state, request_):
    place = str(request_.bids_dir.resolve())
    for decision, key in (("accepted", "r"), ("rejected", "a")):
        known = Decision(decision=decision, fingerprint=FINGERPRINT, time=decision, dataset=place)
        told("sub-1_T1w", FAILED, fingerprint=FINGERPRINT)
        remember_decision(state, "sub-1_T1w", known)
        write()
        text = (folder / "sub-1.html").read_text()
        assert f"<i>{decision}</i> already: to take it back, press <kbd>{key}</kbd>" in text
        assert re.findall('value="([a-z]*)" disabled', text) == [""]
    told("sub-2_T1w", PASSED, fingerprint=FINGERPRINT)
    write()
    assert " disabled>" not in (folder / "sub-2.html").read_text()


def test_what_has_gone_from_the_output_is_not_said_to_be_there(told, write, folder, publish):
    told("sub-1_T1w", PASSED)
    publish("sub-1_T1w", FAILED)  # by hand, or by the audit: no run has an outcome for it
    write()
    assert headings(folder / "sub-1.html") == [("sub-1_T1w", MISSING)]
    assert "published by an earlier run, and removed since" in (folder / "sub-1.html").read_text()


def test_a_scan_that_failed_before_there_was_a_picture_is_listed_with_its_reason(told, write, folder, keep):
    told("sub-1_T1w", PASSED)
    keep(Outcome("sub-2_T1w", FAILED, ("its gzip stream is damaged",)))
    index = write("1", "2")
    assert "its gzip stream is damaged" in index.read_text() and counts(index, "sub-2") == (1, 1, 0, 0, 0)
    text = (folder / "sub-2.html").read_text()
    assert "its gzip stream is damaged" in text and "<fieldset" not in text and "<img" not in text
    keep(Outcome("sub-2_T1w", PASSED))  # fetched again, and done by a run without --private-report
    assert "sub-2" not in write("2").read_text() and not (folder / "sub-2.html").exists()


def test_a_finished_scan_that_nobody_was_shown_is_not_listed(told, write, folder, keep, publish):
    told("sub-1_T1w", PASSED)
    for verdict in (PASSED, KEPT):
        keep(Outcome("sub-2_T1w", verdict))
    publish("sub-2_T1w", PASSED)
    assert "sub-2" not in write().read_text()


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "a'b\"c&d"])
def test_names_and_reasons_cannot_become_part_of_the_page(told, write, folder, text):
    told("sub-1_" + text.replace("/", ""), FAILED, (text,))
    write()
    for page in ("index.html", "sub-1.html"):
        content = (folder / page).read_text()
        shown = re.sub("(?s)<script.*?</script>", "", content)
        assert "alert(1)<" not in content and "a'b" not in shown and 'b"c' not in shown and "c&d" not in shown
        assert content.count("<section") == content.count("</section>") == (page == "sub-1.html")
        assert content.count("<script") == content.count("</script>")
    assert "<" not in (folder / "scans.js").read_text()


def test_only_what_has_a_fingerprint_can_be_decided(told, write, folder):
    told("sub-1_T1w", PASSED, fingerprint=FINGERPRINT)
    told("sub-1_T2w", FAILED)
    assert counts(write(), "sub-1") == (2, 1, 0, 0, 1)
    text = (folder / "sub-1.html").read_text()
    assert text.count("<fieldset") == 1 and text.count("Nothing can be decided") == 1


def test_the_pages_know_what_was_decided_about_what_they_show(told, write, folder, state, request_):
    here, elsewhere = str(request_.bids_dir.resolve()), "/another/dataset"
    nothing, seen = ("", "", ""), ("nose", "2026-01-31T12:00:00.000Z")
    for decision, dataset, fingerprint, expected, numbers in (
        ("accepted", here, "0a", ("accepted", *seen), (1, 0, 0)),
        ("accepted", here, "0b", nothing, (0, 0, 1)),
        ("rejected", elsewhere, "0a", ("rejected", *seen), (0, 1, 0)),
        ("rejected", elsewhere, "0b", nothing, (0, 0, 1)),
        ("rejected", here, "0a", ("rejected", *seen), (0, 1, 0)),
        ("rejected", here, "0b", ("rejected", *seen), (0, 1, 0)),
    ):
        known = Decision(
            decision=decision, fingerprint=FINGERPRINT, note=seen[0], time=seen[1], dataset=dataset
        )
        remember_decision(state, "sub-1_T1w", known)
        told("sub-1_T1w", FAILED, fingerprint=(fingerprint := fingerprint * 32))
        assert counts(write(), "sub-1")[2:] == numbers
        (one,) = listed(folder)
        assert (one["decision"], one["note"], one["time"], one["fingerprint"]) == (*expected, fingerprint)
        assert (one["scan"], one["page"]) == ("sub-1/anat/sub-1_T1w.nii", "sub-1.html")
        assert json.dumps(fingerprint) in (folder / "sub-1.html").read_text()  # it knows its own scans


def test_what_an_earlier_version_has_added_is_shown(told, write, folder):
    told("sub-1_T1w", PASSED)
    path = folder / "sub-1_T1w.json"
    old = json.loads(path.read_text())
    path.write_text(
        json.dumps({key: value for key, value in old.items() if key not in ("path", "fingerprint")})
    )
    write()
    text = (folder / "sub-1.html").read_text()
    assert "Nothing can be decided" in text and "data-volumes" not in text


def test_scans_of_earlier_runs_stay_and_a_job_writes_the_pages_of_its_own_participants(told, write, folder):
    told("sub-1_T1w", PASSED)
    write("1")
    (folder / "sub-1.html").write_text("as it was")
    told("sub-2_T1w", PASSED)
    index = write("2")
    assert {one["name"] for one in listed(folder)} == {"sub-1_T1w", "sub-2_T1w"}
    assert "sub-1.html" in index.read_text() and (folder / "sub-1.html").read_text() == "as it was"
    assert headings(folder / "sub-2.html") == [("sub-2_T1w", PASSED)]


def test_the_page_of_a_task_that_was_killed_before_it_wrote_one_is_left_to_the_next(told, write, folder):
    """It may still run, and know more."""
    told("sub-1_T1w", PASSED)
    told("sub-2_T1w", PASSED)
    write("2")
    assert not (folder / "sub-1.html").exists() and [one["name"] for one in listed(folder)] == ["sub-2_T1w"]
    write()
    assert headings(folder / "sub-1.html") == [("sub-1_T1w", PASSED)]


def test_an_index_is_emptied_when_the_last_scan_goes(write, folder, keep):
    keep(Outcome("sub-1_T1w", FAILED, ("its gzip stream is damaged",)))
    assert "sub-1_T1w" in write().read_text()
    keep(Outcome("sub-1_T1w", PASSED))
    assert "sub-1_T1w" not in write().read_text() and listed(folder) == []


@pytest.mark.parametrize("first", ["private.html", "private_subject.html"])
def test_tasks_that_end_at_the_same_time_lose_none_of_their_scans(told, write, folder, monkeypatch, first):
    """While one writes a page, another does all of its own work."""
    told("sub-1_T1w", PASSED)
    write("1")
    render, others = private_pages.page, iter(["2"])

    def interrupted(template, **content):
        if template == first and (other := next(others, None)):
            told(f"sub-{other}_T1w", PASSED)
            write(other)
        return render(template, **content)

    monkeypatch.setattr(private_pages, "page", interrupted)
    index = write("1")
    assert [one["name"] for one in listed(folder)] == ["sub-1_T1w", "sub-2_T1w"]
    assert counts(index, "sub-2") == (1, 0, 0, 0, 0)


def test_sessions_of_one_participant_that_end_at_the_same_time_lose_no_scan(told, write, folder, monkeypatch):
    told("sub-1_ses-a_T1w", PASSED)
    render, others = private_pages.page, iter(["b"])

    def interrupted(template, **content):
        if template == "private_subject.html" and next(others, None):
            told("sub-1_ses-b_T1w", FAILED, ("bad",))
            write("1")
        return render(template, **content)

    monkeypatch.setattr(private_pages, "page", interrupted)
    write("1")
    both = {"sub-1_ses-a_T1w", "sub-1_ses-b_T1w"}
    assert {one["name"] for one in listed(folder)} == both == dict(headings(folder / "sub-1.html")).keys()


def test_a_page_is_in_no_list_before_it_is_there(told, write, folder, monkeypatch):
    moved, move = [], os.replace

    def record(source, target):
        moved.append(target.name)
        move(source, target)

    monkeypatch.setattr(os, "replace", record)
    told("sub-1_T1w", PASSED)
    moved.clear()
    write()
    assert moved == ["sub-1.html", "sub-1.json", "niivue.umd.js", "scans.js", PAGE]


@pytest.mark.parametrize("name", ["sub-1_T1w.json", "sub-1.json"])
def test_a_damaged_file_is_named_and_costs_no_other_participant(told, write, folder, name):
    for number in (1, 2):
        told(f"sub-{number}_T1w", PASSED)
    write()
    (folder / name).write_text('{"scan": ')
    told("sub-2_T2w", PASSED)
    with pytest.raises(BidsdefaceError, match=rf"{re.escape(name)}: .*; remove it"):
        write("1" if "_" in name else "2")
    assert "sub-2_T1w" in [one["name"] for one in listed(folder)]


def test_nobody_else_may_look_whatever_the_umask(told, write, folder):
    told("sub-1_T1w", PASSED)
    for path in folder.iterdir():
        path.unlink()
    before = os.umask(0)
    try:
        told("sub-1_T1w", PASSED)
        page = write()
    finally:
        os.umask(before)
    assert page == folder / PAGE
    written = {path for path in folder.iterdir() if path.name.count("_") == 0}
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600} and len(written) == 5


def test_pages_are_written_again_only_where_there_are_some(told, folder, request_, state, caplog):
    refresh_pages(request_, state)
    assert not folder.exists() and not caplog.messages
    told("sub-1_T1w", PASSED)
    refresh_pages(request_, state)
    assert (folder / PAGE).exists()


def test_a_fault_of_the_pages_costs_no_run(told, folder, request_, state, caplog):
    told("sub-1_T1w", PASSED)
    (folder / "sub-1_T1w.json").write_text("[")
    refresh_pages(request_, state, is_asked=True)
    assert "the private report is not complete" in caplog.text and "sub-1_T1w.json" in caplog.text


def test_where_nothing_was_told_there_is_no_page(write, folder):
    assert write() is None and not (folder / PAGE).exists()


def test_the_pages_need_nothing_from_elsewhere(told, write, folder):
    told("sub-1_T1w", PASSED)
    write()
    sources = [re.findall(r'(?:src|href)="([^"#]*)', path.read_text()) for path in folder.glob("*.html")]
    assert all((folder / Path(source)).is_file() for source in sum(sources, []))
    assert not any("http" in path.read_text() for path in folder.glob("*.html"))
