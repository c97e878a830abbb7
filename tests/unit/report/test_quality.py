"""The quality part of the report: worst first, limits marked, whole, and nothing from elsewhere."""

import re
import xml.etree.ElementTree as ET
from pathlib import PurePosixPath

import pytest

from bidsdeface.leakcheck.find import find_leaks
from bidsdeface.output.record import Published
from bidsdeface.quality.limits import CHECKS
from bidsdeface.report.page import page
from bidsdeface.report.quality import section
from tests.unit.test_group import NO_FACE, RECORD

(LIMIT_MM,) = (check.most for check in CHECKS if check.measure == "outline_shift_mm")


def scan(name, record=RECORD, **measures):
    image = PurePosixPath(name.partition("_")[0], "anat", f"{name}.nii.gz")
    return Published(image, {"Bidsdeface": {**record, "Measures": {**record["Measures"], **measures}}})


SCANS = (
    scan("sub-1_desc-defaced_T1w", OutlineShiftMM=0.1 * LIMIT_MM),
    scan("sub-2_desc-defaced_T1w", {**RECORD, "Verdict": "accepted"}, OutlineShiftMM=1.5 * LIMIT_MM),
    scan("sub-3_desc-defaced_T1w", OutlineShiftMM=0.9 * LIMIT_MM),
    scan("sub-4_desc-defaced_T1w", {**RECORD, "Verdict": "accepted"}, Similarity=None),
    scan("sub-5_desc-noface_T1w", NO_FACE),
)


@pytest.fixture
def whole():
    return page("Defacing report", section(SCANS, pictures=True))


def test_the_worst_comes_first_and_what_could_not_be_measured_before_it(whole):
    assert re.findall(r">(sub-\d)_", whole) == ["sub-4", "sub-2", "sub-3", "sub-1", "sub-5"]
    strains = [re.search(r'class="number">(.*?)<', row)[1] for row in whole.splitlines() if ">sub-" in row]
    assert strains == ["n/a", "150 %", "90 %", "27 %", "–"]


def test_what_is_beyond_a_limit_is_marked(whole):
    marked = [re.findall(r"beyond\">(.*?)<", row) for row in whole.splitlines() if ">sub-" in row]
    assert marked == [["n/a"], ["18"], [], [], []]


def test_verdicts_are_counted(whole):
    assert "<b>2 passed</b>" in whole and "<b>2 accepted</b>" in whole and "<b>1 no-face</b>" in whole
    assert "by hand" not in whole


def test_every_measure_is_explained_with_its_limits_and_range(whole):
    for check in CHECKS:
        assert check.description.replace("'", "&#x27;") in whole
    assert "<td>1.2 to 18</td>" in whole


def test_the_page_is_whole_and_takes_nothing_from_elsewhere(whole):
    ET.fromstring(whole.partition("<body>")[2].partition("</body>")[0].join(("<body>", "</body>")))
    assert not re.search(r"https?:|src=|<script|<link|@import|url\(", whole)
    links = re.findall(r'href="(.*?)"', whole)
    assert links[0] == "sub-4/figures/sub-4_desc-defaced_T1w.png" and len(links) == len(SCANS)


def test_without_pictures_names_lead_nowhere():
    assert "href" not in section(SCANS, pictures=False)


def test_names_and_verdicts_cannot_break_the_page():
    odd = section([scan("sub-1<script>_T1w", {**RECORD, "Verdict": "<b>"})], pictures=True)
    assert "<script>" not in odd and "<td><b></td>" not in odd


def test_the_leak_check_finds_nothing_on_the_page(whole, tmp_path):
    (tmp_path / "report.html").write_text(whole)
    assert list(find_leaks(tmp_path)) == []


def test_an_empty_dataset_has_a_page_too():
    assert "0 published scans" in section([], pictures=True)
