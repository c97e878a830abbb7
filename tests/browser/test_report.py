"""The report of 8, 500 and 5,000 scans on a desktop, a phone and paper, and without scripts."""

import math
import os
import random
import time
from dataclasses import replace
from functools import cache

import pytest
from axe_playwright_python.sync_playwright import Axe

from bidsdeface.quality.limits import CHECKS, bids_name
from bidsdeface.report import impact, missing, reidentification
from bidsdeface.report.subject import subject_page
from tests.unit.report.test_quality import NO_FACE, RECORD, SCANS, report, scan
from tests.unit.report.test_reidentification import HIDDEN, study_of

DESKTOP, PHONE, PAPER = 1300, 390, 718  # the last is A4 less margins of 1 cm, at 96 dpi
FAILED = {"verdict": "failed", "failed_checks": ["StrayTissueML"], "kind": "", "retry": False}
MOST_S = 3.0


def _simulated_impact(scans, dice):
    """Return changes about as those of removed faces; the last scan could not be measured."""
    sizes = {check.measure: 1.0 if check.measure.endswith("percent") else 0.1 for check in impact.CHANGES}
    changes = [{name: abs(dice.gauss(0, size)) for name, size in sizes.items()} for _ in scans[1:]]
    return {one.image: change for one, change in zip(scans, [*changes, {}], strict=True)}


@cache
def simulated(count):
    """Return the report of scans whose measures are anywhere between best and limit; some are beyond."""
    dice = random.Random(0)
    scans = []
    for number in range(count):
        share = 1.3 if number % 40 == 3 else dice.uniform(0, 0.95)
        limits = {
            check: check.most if math.isfinite(check.most) else check.least
            for check in CHECKS
            if check.limits
        }
        values = {
            bids_name(check.measure): check.best + share * dice.random() * (limit - check.best)
            for check, limit in limits.items()
        }
        verdict = "accepted" if share > 1 else "passed"
        name = f"sub-{number:04}_desc-defaced_{dice.choice(['T1w', 'T2w', 'FLAIR'])}"
        scans.append(scan(name, {**RECORD, "Verdict": verdict}, **values))
    scans.append(scan("sub-bare_desc-noface_T1w", NO_FACE))
    return report(
        scans,
        lambda _: "figures/head.png",
        missing=missing.content(
            [missing.Missing("sub-gone_T1w", FAILED), missing.Missing("sub-x_T1w", None)], is_private=False
        ),
        audit=reidentification.content(replace(study_of(HIDDEN), withdrawn=1)),
        impact=impact.content(_simulated_impact(scans, dice), scans),
        left_out=[("is a photograph", 2)],
    )


@pytest.fixture
def saved(tmp_path, picture):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/head.png").write_bytes(picture)

    def save(count):
        (tmp_path / "report.html").write_text(simulated(count), encoding="utf-8")
        return tmp_path / "report.html"

    return save


def is_too_wide(page):
    """Return what ends beyond the window's right edge, or has to be scrolled sideways."""
    return page.evaluate(
        """() => [...document.querySelectorAll("main, main *")].filter((one) => one.checkVisibility())
            .filter((one) => one.getBoundingClientRect().right > innerWidth + 1
                || one.matches("div, table, td, th") && one.scrollWidth > one.clientWidth + 1)
            .map((one) => one.outerHTML.slice(0, 80))"""
    )


def visible_rows(page):
    rows = "[...document.querySelectorAll('#scans tbody tr')].filter((one) => one.checkVisibility())"
    return page.evaluate(f"{rows}.map((one) => one.cells[1].textContent)")


def check_readable(tab):
    """Nothing is cut off, said or asked for elsewhere, and axe finds no fault."""
    assert is_too_wide(tab.page) == []
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    broken = "[...document.images].filter((one) => one.complete && !one.naturalWidth).length"
    assert tab.page.evaluate(broken) == 0
    assert {url.partition(":")[0] for url in tab.requests} == {"file"} and tab.said == []
    violations = Axe().run(tab.page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in violations] == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("count", [8, 500])
def test_the_report_is_readable(saved, opened, count, width):
    tab = opened(saved(count), width)
    if count == 8 and (folder := os.environ.get("BIDSDEFACE_PICTURES")):  # those of the documents
        tab.page.screenshot(path=f"{folder}/report-{width}.png")
    check_readable(tab)


@pytest.mark.parametrize("width", [DESKTOP, PHONE, PAPER])
def test_the_page_of_a_participant_is_readable(tmp_path, picture, opened, width):
    (tmp_path / "head.png").write_bytes(picture)
    page_of = subject_page("sub-1", SCANS, lambda _: "head.png")
    (tmp_path / "sub-1.html").write_text(page_of, encoding="utf-8")
    tab = opened(tmp_path / "sub-1.html", width)
    if width == PAPER:
        tab.page.emulate_media(media="print")
        assert tab.page.pdf(format="A4").startswith(b"%PDF")
    check_readable(tab)
    planes, surfaces = (one.bounding_box() for one in tab.page.locator(".views").first.locator("img").all())
    assert abs(planes["width"] / planes["height"] - 3) < 0.02
    assert abs(surfaces["width"] / surfaces["height"] - 2) < 0.02
    assert (planes["y"] == surfaces["y"]) == (width > PHONE)


@pytest.mark.parametrize("scripts", [True, False])
def test_a_name_leads_to_the_page_of_its_participant_and_back(saved, opened, scripts):
    path = saved(8)
    name = simulated(8).partition("sub-0003.html#scan-")[2].partition('"')[0]
    page_of = subject_page("sub-0003", [scan(name.replace("_", "_desc-defaced_"))], lambda _: "")
    (path.parent / "sub-0003.html").write_text(page_of, encoding="utf-8")
    page = opened(path, scripts=scripts).page
    page.locator("#scans").get_by_role("link", name=name, exact=True).click()
    assert page.url.endswith(f"/sub-0003.html#scan-{name}")
    assert page.get_by_role("heading", name=name).is_visible()
    page.get_by_role("link", name="the report").click()
    assert page.url.endswith("/report.html")


def test_headings_sort_and_fields_filter(saved, opened):
    page = opened(saved(500)).page
    used = "[...document.querySelectorAll('#scans tbody tr')].map((one) => Number(one.dataset.used))"
    worst_first = page.evaluate(used)
    assert len(worst_first) == 501 and worst_first == sorted(worst_first, reverse=True)
    page.get_by_role("button", name="Scan", exact=True).click()
    assert page.evaluate(used) != worst_first
    for way, expected in (("descending", worst_first), ("ascending", worst_first[::-1])):
        page.get_by_role("button", name="Nearest to its limit", exact=True).click()
        assert page.locator(f"#scans th[aria-sort={way}]").inner_text() == "Nearest to its limit"
        assert page.evaluate(used) == expected
    page.get_by_label("Verdict").select_option("accepted")
    accepted = visible_rows(page)
    assert len(accepted) == 13 and page.locator("output").inner_text() == "13 of 501 scans"
    page.get_by_label("Find").fill("0043")
    (only,) = visible_rows(page)
    assert only in accepted and "0043" in only
    page.get_by_label("Verdict").select_option("")
    page.get_by_label("Find").fill("")
    page.get_by_label("Suffix").select_option("FLAIR")
    assert all(name.endswith("_FLAIR") for name in visible_rows(page))
    page.get_by_label("Suffix").select_option("")
    name = page.get_by_label("Nearest to its limit").locator("option").nth(1).inner_text()
    page.get_by_label("Nearest to its limit").select_option(name)
    nearest = page.locator("#scans tbody tr:visible td:nth-child(5)").all_text_contents()
    assert nearest and all(text.startswith(f"{name} ") for text in nearest)


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_any_other_measure_can_be_shown_and_sorted_by(saved, opened, width):
    page = opened(saved(500), width).page
    page.get_by_role("button", name="Scan", exact=True).click()  # rows are no longer in the first order
    page.get_by_label("Show also").select_option("BrainShiftMM")
    page.get_by_role("button", name="BrainShiftMM", exact=True).click()
    shown = "[...document.querySelectorAll('#scans tbody tr')].map((one) => one.cells[5].textContent)"
    values = [float(text) for text in page.evaluate(shown) if text != "–"]
    assert len(values) == 500 and values == sorted(values, reverse=True)
    assert is_too_wide(page) == []
    first = page.locator("#scans tbody tr").first.locator("th, td")
    name, value = first.nth(1).inner_text(), first.nth(5).inner_text()
    dot = page.get_by_role("group", name="BrainShiftMM of all scans").get_by_label(f"{name}: {value}")
    assert dot.count() == 1
    page.get_by_label("Show also").select_option("")
    assert page.locator("#scans tr").first.locator("th").count() == 5


def test_a_dot_leads_to_its_scan_and_a_later_picture_comes_into_view(saved, opened):
    page = opened(saved(500)).page
    dot = page.get_by_label("sub-0300_").first
    name = dot.get_attribute("aria-label").partition(":")[0]
    dot.click()
    row = page.locator(f"#scan-{name}")
    assert page.url.endswith(f"#scan-{name}") and row.is_visible()
    row.scroll_into_view_if_needed()
    row.locator("img").wait_for()
    assert row.locator("img").evaluate("(one) => one.decode().then(() => one.naturalWidth)") == 1600


def test_without_scripts_the_whole_table_is_there_and_nothing_that_needs_them(saved, opened):
    page = opened(saved(500), scripts=False).page
    assert len(visible_rows(page)) == 501
    assert page.locator("#controls").is_hidden() and page.get_by_role("button").count() == 0


def test_paper_shows_every_scan_and_cuts_nothing_off(saved, opened, tmp_path):
    page = opened(saved(8), PAPER).page
    page.emulate_media(media="print")
    assert is_too_wide(page) == [] and page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert len(visible_rows(page)) == 9 and page.locator("#controls").is_hidden()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_five_thousand_scans_open_and_sort_at_once(saved, opened):
    start = time.process_time()
    path = saved(5000)
    assert time.process_time() - start < 5000 * 0.002
    page = opened(path).page
    load_s = page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart") / 1000
    timed = "(button) => { const start = performance.now(); button.click(); document.body.offsetHeight; "
    timed += "return (performance.now() - start) / 1000 }"
    sort_s = page.get_by_role("button", name="Suffix").evaluate(timed)
    megabytes = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
    size = path.stat().st_size / 2**20
    print(f"5,000 scans: {size:.1f} MB, load {load_s:.1f} s, sort {sort_s:.1f} s, heap {megabytes:.0f} MB")
    assert load_s < MOST_S and sort_s < MOST_S and size < 10 and megabytes < 200
