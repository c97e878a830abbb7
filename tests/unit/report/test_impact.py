"""The impact in table and report: differences only, beside what differs between two scans of one person."""

import csv
import json
from dataclasses import replace

import pytest

from bidsdeface import group
from bidsdeface.group import run_group_level
from bidsdeface.leakcheck.find import find_leaks
from bidsdeface.output.description import claim_shareable
from bidsdeface.report.impact import BRAIN_PERCENT, CHANGES, COLUMNS, content, table
from bidsdeface.runtime.workdir import open_state
from bidsdeface.settings import Settings
from tests.unit.report.test_quality import SCANS, body_of, report, rows_of
from tests.unit.test_group import RECORD, put


def changed(brain_percent):
    return {**dict.fromkeys((check.measure for check in CHANGES), 0.125), "brain_percent": brain_percent}


IMPACT = {
    SCANS[0].image: changed(-0.5),
    SCANS[1].image: changed(2.0),
    SCANS[2].image: {},  # could not be measured
}


def rows(text):
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


def test_each_scan_has_its_differences_or_n_a():
    first, second, third = rows(table(IMPACT))
    assert list(first) == list(COLUMNS) and first["BrainPercent"] == "-0.500"
    assert (second["BrainPercent"], second["PlacementMM"]) == ("2.000", "0.125")
    assert set(list(third.values())[1:]) == {"n/a"}


def test_the_report_shows_differences_beside_those_between_two_scans():
    page = report(SCANS, impact=content(IMPACT, SCANS))
    (plot,) = (one for one in body_of(page).iter("svg") if one.get("aria-label").startswith("BrainPercent"))
    dots = {
        one.get("aria-label"): one.find("circle").get("fill")
        for one in plot.findall("a")
        if one.get("aria-label")
    }
    assert dots["sub-1_T1w: -0.5"] == "#1b6ca8" and dots["sub-2_T1w: 2"] == "#c00000"
    (shown,) = (one for one in body_of(page).iter("table") if "Between two scans" in "".join(one.itertext()))
    cells = ["".join(cell.itertext()) for cell in shown.find("tbody").find("tr")]
    assert cells[:4] == ["BrainPercent", "0.75", "-0.5 to 2", f"± {BRAIN_PERCENT:g} %"]
    assert "doi:10.1016/j.pscychresns.2011.02.012" in page
    said = " ".join("".join(body_of(page).itertext()).split())
    assert "measured on 2 originals" in said and "could not be read or placed with certainty: 1." in said
    assert len(rows_of(page)) == len(SCANS)


def test_where_nothing_could_be_measured_the_report_says_so():
    page = report(SCANS, impact=content({SCANS[0].image: {}}, SCANS))
    assert "measured on 0 originals" in page and "n/a" in page


def test_the_leak_check_finds_nothing_in_table_and_page(tmp_path):
    (tmp_path / "impact.tsv").write_text(table(IMPACT))
    (tmp_path / "impact.json").write_text(json.dumps(COLUMNS))
    (tmp_path / "report.html").write_text(report(SCANS, impact=content(IMPACT, SCANS)))
    assert list(find_leaks(tmp_path)) == []


@pytest.mark.parametrize("layout", ["derivatives", "bids"])
def test_a_group_run_writes_the_table_and_one_without_it_removes_it(tmp_path, monkeypatch, layout):
    out, state = tmp_path / "out", open_state(tmp_path / "work")
    out.mkdir()
    if layout == "bids":
        claim_shareable(out)
    name = "sub-1_desc-defaced_T1w" if layout == "derivatives" else "sub-1_T1w"
    put(out, f"sub-1/anat/{name}", RECORD)
    settings = Settings(
        bids_dir=tmp_path, output_dir=out, level="group", output_layout=layout, validate_output=False
    )
    monkeypatch.setattr(group, "_asked_for", lambda *_: ({}, []))
    monkeypatch.setattr(group, "refresh_dataset", lambda *_: set())
    monkeypatch.setattr(group, "warn_of_waiting", lambda *_: set())
    monkeypatch.setattr(group, "check_whole_output", lambda *_: set())
    monkeypatch.setattr(
        group, "measure_impact", lambda *args: {scan.image: changed(1.0) for scan in args[-1]}
    )
    place = out if layout == "derivatives" else state.folder_for("complete", out)
    run_group_level(replace(settings, impact=True), state)
    assert rows((place / "impact.tsv").read_text())[0]["BrainPercent"] == "1.000"
    assert "Impact on measurements" in (place / "report.html").read_text()
    assert layout == "derivatives" or not list(out.glob("impact.*"))
    run_group_level(settings, state)
    assert not list(place.glob("impact.*"))
    assert "Impact on measurements" not in (place / "report.html").read_text()
