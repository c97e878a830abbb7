"""A hundred scans reviewed by keyboard: the file that is saved says exactly what was decided."""

import csv
import re
from pathlib import PurePosixPath

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.volume import reduce_image
from bidsdeface.output.request import Request
from bidsdeface.output.review import Decision, now, read_review, remember_decision
from bidsdeface.quality.outcome import FAILED, PASSED, Outcome
from bidsdeface.report.private import Shown, add_scan
from bidsdeface.report.private_pages import files_of, report_folder, write_pages
from bidsdeface.runtime.workdir import open_state
from tests.browser.test_report import DESKTOP, PHONE, is_too_wide
from tests.heads import AVERAGE

PEOPLE, SCANS = 25, 100
SEEN = "2026-01-31T12:00:00.000Z"


def name_of(number):
    """Return the name of a scan; the fingerprint of what was looked at is its number."""
    return f"sub-{(number + 3) // 4:02}_run-{(number - 1) % 4 + 1}_T1w"


def number_of(scan):
    return next(number for number in range(1, SCANS + 1) if name_of(number) in scan)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Write a private report of 25 participants with four scans each, all of the average head."""
    root = tmp_path_factory.mktemp("private")
    state, image = open_state(root / "work"), read_image(AVERAGE)
    mask = np.zeros(image.stored.shape, bool, order="F")
    mask[:, mask.shape[1] * 3 // 4 :, : mask.shape[2] // 2] = True
    shown = Shown(
        Outcome(name_of(1), FAILED, ("the outline is off",)),
        PurePosixPath(f"sub-01/anat/{name_of(1)}.nii.gz"),
        image,
        reduce_image(image, "average"),
        np.zeros(3),
        mask,
        np.where(mask, 0, image.stored),
        f"{1:064x}",
    )
    folder = report_folder(state, root / "out")
    add_scan(folder, shown)
    first = (folder / f"{name_of(1)}.json").read_text()
    for number in range(2, SCANS + 1):
        name = name_of(number)
        content = first.replace(name_of(1), name).replace("sub-01/", f"{name[:6]}/")
        content = content.replace(f"{1:064x}", f"{number:064x}").replace(FAILED, PASSED)
        (folder / f"{name}.json").write_text(content)
        for here, there in zip(
            files_of(name, f"{number:064x}"), files_of(name_of(1), f"{1:064x}"), strict=True
        ):
            (folder / here).symlink_to(folder / there)
    decision = Decision(decision="accepted", fingerprint=f"{5:064x}", note="seen", time=SEEN)
    remember_decision(state, name_of(5), decision)
    return write_pages(Request(bids_dir=root / "bids", output_dir=root / "out"), state)


def save(page, path):
    with page.expect_download() as download:
        page.keyboard.press("s")
    download.value.save_as(path)
    assert download.value.suggested_filename == "review.tsv"
    with path.open(newline="", encoding="utf-8") as file:
        return {row["scan"]: row for row in csv.DictReader(file, delimiter="\t")}


def check_quiet(tab):
    """Nothing is asked for but files and what the page itself makes; nothing is said but by the driver."""
    assert {url.partition(":")[0] for url in tab.requests} <= {"file", "blob", "data"}
    assert [text for text in tab.said if "GL Driver Message" not in text] == []  # of software rendering


def counted(page):
    return page.locator("#review output").inner_text()


def wait_for_view(page):
    page.locator("#viewer[data-shows]").wait_for()


def test_a_hundred_scans_are_reviewed_by_keyboard(saved, opened, tmp_path):
    tab, decisions, before = opened(saved), {"a": "accepted", "r": "rejected"}, now()
    page, expected = tab.page, {}
    assert counted(page) == "99 of 100 scans undecided; 0 decisions to save"
    page.get_by_label("Your initials").fill("AB")
    page.keyboard.press("Enter")
    page.keyboard.press("n")  # from the index to the first
    wait_for_view(page)
    for number in range(1, SCANS + 1):
        page.locator(f"section[data-scan*='{name_of(number)}']").wait_for()
        page.locator("#review").wait_for()  # the page is ready
        scan, key = f"{name_of(number)[:6]}/anat/{name_of(number)}.nii.gz", "arx"[number % 3]
        page.keyboard.press(key)
        if number % 10 == 0:
            page.keyboard.press("e")
            page.keyboard.type(f"=note  {number}")  # no formula, and none of the keys acts
            page.keyboard.press("Enter")
        if key in decisions:
            expected[scan] = (decisions[key], f"note {number}" if number % 10 == 0 else "")
        page.keyboard.press("n")
    rows = save(page, tmp_path / "review.tsv")
    assert {scan: (row["decision"], row["note"]) for scan, row in rows.items()} == expected
    assert len(rows) == 67 and {row["initials"] for row in rows.values()} == {"AB"}
    assert all(row["fingerprint"] == f"{number_of(scan):064x}" for scan, row in rows.items())
    assert all(before <= row["time"] <= now() for row in rows.values())
    bids_dir = saved.parent / "bids"
    for scan in rows:
        (bids_dir / scan).parent.mkdir(parents=True, exist_ok=True)
        (bids_dir / scan).touch()
    assert len(read_review(tmp_path / "review.tsv", bids_dir)) == 67  # the program takes it as it is
    page.get_by_role("link", name="All participants").click()
    said = r"32 of 100 scans undecided; 67 decisions saved as review.tsv at \d\d:\d\d"
    assert re.fullmatch(said, counted(page))
    assert save(page, tmp_path / "again.tsv") == rows
    check_quiet(tab)


def test_a_decision_can_be_taken_back_and_what_a_run_has_followed_turned_round(saved, opened, tmp_path):
    page = opened(saved.with_name("sub-02.html")).page
    first, second = (f"sub-02/anat/{name_of(n)}.nii.gz" for n in (5, 6))
    chosen = page.locator("section:visible fieldset")
    assert (
        chosen.get_by_label("accepted").is_checked() and chosen.get_by_label("note").input_value() == "seen"
    )
    assert save(page, tmp_path / "review.tsv") == {}
    # With a space at its end it is the same note, and another note is no new decision.
    for note, times in (("seen ", []), ("seen twice", [SEEN]), ("seen", [])):
        chosen.get_by_label("note").fill(note)
        page.keyboard.press("Enter")
        assert [row["time"] for row in save(page, tmp_path / "review.tsv").values()] == times
    for key, expected in (("r", ["rejected"]), ("u", [])):
        page.keyboard.press(key)
        rows = save(page, tmp_path / "review.tsv")
        assert [row["decision"] for row in rows.values()] == expected and set(rows) <= {first}
        assert all(row["time"] > SEEN for row in rows.values())
    page.keyboard.press("n")
    page.get_by_label("rejected").locator("visible=true").click()
    assert list(save(page, tmp_path / "review.tsv")) == [second]
    page.reload()
    assert page.locator("section:visible").get_attribute("data-scan") == second
    assert page.locator("section:visible").get_by_label("rejected").is_checked()
    page.keyboard.press("u")
    assert save(page, tmp_path / "review.tsv") == {}


def test_whether_the_decisions_are_saved_is_said(saved, opened, tmp_path):
    page = opened(saved.with_name("sub-06.html")).page
    page.keyboard.press("a")
    assert counted(page).endswith("; 1 decision to save")
    save(page, tmp_path / "review.tsv")
    assert "; 1 decision saved as review.tsv at " in counted(page)
    page.keyboard.press("r")
    assert "; 1 decision; changed since review.tsv was saved at " in counted(page)
    save(page, tmp_path / "review.tsv")
    page.reload()
    assert "; 1 decision saved as review.tsv at " in counted(page)
    page.keyboard.press("u")
    assert "; 0 decisions; changed since review.tsv was saved at " in counted(page)
    page.keyboard.press("r")
    save(page, tmp_path / "review.tsv")
    shown = saved.with_name("sub-06.html")
    before = shown.read_text()
    undecided = f'"fingerprint": "{21:064x}", "decision": ""'
    assert undecided in before
    followed = undecided.replace('""', '"rejected"')
    shown.write_text(before.replace(undecided, followed))  # as a run does that follows it
    page.reload()
    assert counted(page).endswith("; all decisions followed; nothing to save")
    shown.write_text(before)


def test_the_index_counts_decisions_and_leads_to_the_first_undecided_scan(saved, opened):
    page = opened(saved.with_name("sub-01.html")).page
    for key in "anrnu":
        page.keyboard.press(key)
    page.get_by_role("link", name="All participants").click()
    numbers = page.get_by_role("row", name="sub-01").get_by_role("cell").all_inner_texts()
    assert numbers[:5] == ["4", "4", "1", "1", "2"]  # scans, not published, accepted, rejected, undecided
    page.get_by_role("button", name="first undecided").click()
    page.wait_for_url("**/sub-01.html#*")
    page.locator(f"section[data-name='{name_of(1)}']").wait_for(state="hidden")
    assert page.locator("section:visible").get_attribute("data-name") == name_of(3)


@pytest.mark.parametrize("place", ["sub-01.html", f"sub-01.html#{name_of(2)}"])
def test_a_page_opens_at_its_title(saved, opened, place):
    page = opened(saved).page
    page.goto(f"{saved.parent.as_uri()}/{place}")
    page.wait_for_timeout(500)
    assert page.evaluate("scrollY") == 0
    expected = place.partition("#")[2] or name_of(1)
    assert page.locator("section:visible").get_attribute("data-name") == expected


@pytest.mark.parametrize("text", ["", "const SCANS = [];"])
def test_a_page_that_is_newer_than_the_list_of_all_scans_works(saved, opened, tmp_path, text):
    """A task has written its pages, and another's list has not got them yet."""
    listed, shown = saved.with_name("scans.js"), saved.with_name("sub-07.html")
    before = listed.read_text()
    tab = opened(saved.with_name("sub-01.html"))
    tab.page.keyboard.press("r")
    listed.write_text(text)
    tab.page.goto(shown.as_uri())
    tab.page.keyboard.press("n")
    tab.page.keyboard.press("a")
    new = f"sub-07/anat/{name_of(26)}.nii.gz"
    assert list(save(tab.page, tmp_path / "review.tsv")) == [new]
    listed.write_text(before)
    tab.page.reload()
    assert list(save(tab.page, tmp_path / "review.tsv")) == [f"sub-01/anat/{name_of(1)}.nii.gz", new]
    check_quiet(tab)


def test_of_what_has_changed_since_an_acceptance_is_forgotten_and_a_rejection_is_kept(
    saved, opened, tmp_path
):
    page = opened(saved.with_name("sub-03.html")).page
    for key in "anr":
        page.keyboard.press(key)
    assert len(save(page, tmp_path / "review.tsv")) == 2
    shown, changed = saved.with_name("sub-03.html"), "f" * 64
    before = shown.read_text()
    shown.write_text(before.replace(f"{9:064x}", changed).replace(f"{10:064x}", changed))
    page.reload()
    (row,) = save(page, tmp_path / "review.tsv").values()
    assert (row["decision"], row["fingerprint"]) == ("rejected", f"{10:064x}")
    page.keyboard.press("a")  # is about what is shown now
    (row,) = save(page, tmp_path / "review.tsv").values()
    assert (row["decision"], row["fingerprint"]) == ("accepted", changed)
    page.keyboard.press("p")
    assert page.locator("section:visible").get_by_label("undecided").is_checked()
    shown.write_text(before)


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_volumes_are_shown_before_and_after_and_everything_can_be_read(saved, opened, width):
    tab = opened(saved.with_name("sub-01.html"), width)
    page = tab.page
    wait_for_view(page)
    views = {}
    for name, keys in (("after", ""), ("before", "f"), ("no outline", "o"), ("after again", "fo")):
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(500)
        shown = "after defacing" if "after" in name else "before defacing, as it came"
        assert page.locator("#viewer output").inner_text() == shown
        views[name] = page.locator("#viewer canvas").screenshot()
    assert len(set(views.values())) == 3 and views["after"] == views["after again"]
    assert page.locator("#viewer canvas").evaluate("(one) => one.width / one.height") > 0.9
    for path in (saved.with_name("sub-01.html"), saved):
        page.goto(path.as_uri())
        assert is_too_wide(page) == []
        violations = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in violations] == []
    check_quiet(tab)


def test_without_scripts_the_pictures_are_there_and_nothing_can_be_decided(saved, opened):
    page = opened(saved, scripts=False).page
    page.get_by_role("link", name="sub-01", exact=True).click()
    assert page.locator("section:visible img").count() == 4
    assert page.locator("fieldset:visible, button:visible, canvas:visible").count() == 0
