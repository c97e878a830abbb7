"""The report: worst first, limits marked, whole, escaped, and nothing from elsewhere."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import PurePosixPath

import pytest

from bidsdeface.leakcheck.find import find_leaks
from bidsdeface.output.record import Published
from bidsdeface.quality.limits import CHECKS, bids_name
from bidsdeface.quality.outcome import FAILED, IN_REVIEW
from bidsdeface.report.missing import Missing
from bidsdeface.report.missing import content as missing_content
from bidsdeface.report.page import page
from bidsdeface.report.quality import COLUMNS, content, is_out_of_date, table
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


def report(scans, picture=lambda scan: f"{scan.image.parts[0]}/figures/x.png", **other):
    parts = {
        "missing": [],
        "audit": None,
        "impact": None,
        "has_older_audit": False,
        "is_shared": True,
        "left_out": [],
        **other,
    }
    return page("report.html", title="Defacing report", **parts, **content(scans, picture))


@pytest.fixture
def whole():
    return report(SCANS)


def body_of(text):
    """Return the page's content as XML: it is written so that it is both, but for void elements."""
    main = text.partition("<main>")[2].partition("</main>")[0]
    return ET.fromstring("<main>" + re.sub(r"(<(?:input|img|wbr)\b[^>]*?)\s*/?>", r"\1/>", main) + "</main>")


def rows_of(text):
    (table,) = (one for one in body_of(text).iter("table") if one.get("id") == "scans")
    return [[*row] for row in table.find("tbody")]


def texts(row):
    return ["".join(cell.itertext()) for cell in row]


def test_the_worst_comes_first_and_what_could_not_be_measured_before_it(whole):
    rows = [texts(row) for row in rows_of(whole)]
    assert [row[1] for row in rows] == ["sub-4_T1w", "sub-2_T1w", "sub-3_T1w", "sub-1_T1w", "sub-5_T1w"]
    assert [row[4] for row in rows] == [
        "Similarity could not be measured",
        "OutlineShiftMM 18 (must be at most 12)",
        "OutlineShiftMM 10.8 (must be at most 12)",
        "Similarity 0.8 (must be at least 0.25)",
        "nothing to measure",
    ]
    assert rows[1][2:4] == ["accepted", "T1w"]


def test_what_is_beyond_a_limit_is_marked(whole):
    beyond = [any(cell.get("class") == "beyond" for cell in row) for row in rows_of(whole)]
    assert beyond == [True, True, False, False, False]


@pytest.mark.parametrize("more, words", [({}, ""), ({"Scale": 0.5}, ", and 1 more beyond its limit")])
def test_how_many_measures_are_beyond_their_limits_is_said(more, words):
    odd = scan("sub-2_desc-defaced_T1w", OutlineShiftMM=2 * LIMIT_MM, **more)
    assert f"OutlineShiftMM 24 (must be at most 12){words}</td>" in report([odd])


def test_every_measure_with_limits_can_be_shown_for_all_scans_in_the_order_of_the_rows(whole):
    measures = json.loads(re.search("const MEASURES = (.*);", whole)[1])
    assert list(measures) == [bids_name(check.measure) for check in CHECKS if check.limits]
    assert measures["OutlineShiftMM"] == {"values": ["–", "18", "10.8", "1.2", "–"], "beyond": [1]}
    assert measures["Similarity"]["values"][0] == "n/a" and measures["Similarity"]["beyond"] == [0]


def test_verdicts_are_counted_and_the_worst_is_named_first(whole):
    assert "<b>2 passed</b>" in whole and "<b>2 accepted</b>" in whole and "<b>1 no-face</b>" in whole
    assert "by hand" not in whole
    assert 'The worst is <a href="#scan-sub-4_T1w">sub-4_T1w</a>' in whole and 'id="scan-sub-4_T1w"' in whole


def test_every_measure_is_explained_with_its_limits_and_range(whole):
    for check in CHECKS:
        assert check.description.replace("'", "&#39;") in whole
    assert ">1.2 to 18</td>" in whole


def outline_shift_in(text):
    """Return the links of the plot of one measure, dots and names, and its limit in pixels."""
    (plot,) = (one for one in body_of(text).iter("svg") if one.get("aria-label").startswith("OutlineShiftMM"))
    dots = {one.get("aria-label"): one.find("circle") for one in plot.findall("a") if one.get("aria-label")}
    names = [one.find("text").text for one in plot.findall("a") if not one.get("aria-label")]
    (limit,) = (float(one.get("x1")) for one in plot.findall("line") if one.get("stroke") == "#c00000")
    return dots, names, limit


def test_each_measure_has_a_plot_with_a_dot_for_each_scan_and_names_near_the_limit(whole):
    dots, names, limit = outline_shift_in(whole)
    assert set(dots) == {"sub-1_T1w: 1.2", "sub-2_T1w: 18", "sub-3_T1w: 10.8"}
    assert [title for title, dot in dots.items() if dot.get("fill") == "#c00000"] == ["sub-2_T1w: 18"]
    assert names == ["sub-2_T1w", "sub-3_T1w"]
    assert float(dots["sub-3_T1w: 10.8"].get("cx")) < limit < float(dots["sub-2_T1w: 18"].get("cx"))


def test_dots_that_are_not_judged_are_hollow_and_explained():
    trusted = {"BrainML": 1400.0, "BrainWhole": 1.0, "BrainFitMM": 2.0, "BrainLead": 3.0, "BrainShiftMM": 1.0}
    scans = [scan("sub-1_desc-defaced_T1w", OutlineShiftMM=1.0), scan("sub-2_desc-defaced_T1w", **trusted)]
    text = report([*scans, scan("sub-3_desc-defaced_T1w", **trusted, OutlineShiftMM=20.0)])
    dots, _, _ = outline_shift_in(text)
    fills = {title: dot.get("fill") for title, dot in dots.items()}
    assert fills == {"sub-1_T1w: 1": "#1b6ca8", "sub-3_T1w: 20": "#fff"}
    legend = "A hollow dot is a scan that this measure does not judge."
    assert legend in text and legend not in report(scans[1:])


def test_a_limit_of_trust_is_said_once(whole):
    text = report([scan("sub-1_desc-defaced_T1w", BrainML=1400.0)])
    (caption,) = (one for one in re.findall("<figcaption>(.*?)</figcaption>", text) if "own brain, as" in one)
    assert caption.count("trusted") == 1 and caption.endswith("the brain is trusted if from 700 to 2200")
    assert COLUMNS["BrainML"]["Description"].endswith("the brain is trusted if from 700 to 2200")


def test_what_somebody_had_defaced_before_is_said():
    text = report([scan("sub-1_desc-defaced_T1w", EmptiedShare=0.5)])
    assert "; came defaced already</td>" in text
    assert "came defaced" not in report([scan("sub-1_desc-defaced_T1w", EmptiedShare=0.49)])


def test_a_table_is_out_of_date_if_it_says_something_else_of_these_participants(tmp_path):
    before, now = SCANS, [*SCANS[1:], scan("sub-6_desc-defaced_T1w")]
    assert not is_out_of_date(tmp_path, now, ["1"])  # there is none
    (tmp_path / "quality.tsv").write_text(table(before))
    of = {str(k): [one for one in now if one.image.parts[0] == f"sub-{k}"] for k in range(1, 7)}
    assert [k for k, scans in of.items() if is_out_of_date(tmp_path, scans, [k])] == ["1", "6"]
    assert is_out_of_date(tmp_path, [scan("sub-3_desc-defaced_T1w", OutlineShiftMM=0.1)], ["3"])


def test_many_equal_values_share_a_few_dots():
    scans = [scan(f"sub-{k}_desc-defaced_T1w", OutlineShiftMM=1.0) for k in range(100)]
    dots, _, _ = outline_shift_in(report(scans))
    assert len(dots) < 12 and [*dots][-1].endswith(f"and {100 - len(dots)} more")


def test_the_page_takes_nothing_from_elsewhere(whole):
    assert not re.search(r"https?:|<link|@import|url\(|<script src|<iframe", whole)
    pictures = [one.get("src") for one in body_of(whole).iter("img")]
    assert pictures[0] == "sub-4/figures/x.png" and len(pictures) == len(SCANS)


def test_pictures_after_the_first_hundred_are_links_until_a_script_shows_them():
    text = report([scan(f"sub-{k}_desc-defaced_T1w") for k in range(120)])
    assert text.count("<img") == 100 and text.count(", picture</a>") == 20


def test_without_pictures_there_is_nothing_to_follow():
    text = report(SCANS, lambda scan: "")
    assert "<img" not in text and "Look at each picture" not in text


def test_names_and_verdicts_cannot_break_the_page():
    odd = report([scan("sub-1<script>_T1w", {**RECORD, "Verdict": "<b>"})])
    assert "1<script>" not in odd and "<td><b></td>" not in odd


def methods_of(text):
    """Return the text for a methods section, and the references below it."""
    whole = body_of(text)
    said = " ".join("".join(next(whole.iter("blockquote")).itertext()).split())
    return said, ["".join(one.itertext()) for one in next(whole.iter("ol"))]


def test_the_methods_text_says_what_was_done_with_which_settings(whole):
    text, _ = methods_of(whole)
    assert f"bidsdeface {RECORD['Version']} [1]" in text and "2 images passed all checks" in text
    assert "2 images with a measure beyond its limit were published after visual inspection." in text
    assert "1 image showed no face, on positive evidence, and was left as it is." in text
    assert "by hand" not in text and text.endswith("No image that was selected is missing.")


@pytest.mark.parametrize("scans, count", [(SCANS, 4), (SCANS[4:], 2)])
def test_references_are_numbered_in_the_order_of_the_text_and_complete(scans, count):
    text, references = methods_of(report(scans))
    cited = list(dict.fromkeys(re.findall(r"\[(\d+)\]", text)))
    assert cited == [str(number) for number in range(1, count + 1)] and len(references) == count
    assert f"version {RECORD['Version']}." in references[0]
    for reference in references:
        assert re.match(r"[A-Z]\w+ [A-Za-z]", reference) and re.search(r"\b20\d\d\b", reference)
    assert all("doi:10." in reference for reference in references[1:])


def test_the_methods_text_counts_what_is_missing():
    outcome = {"verdict": FAILED, "kind": "x", "retry": False, "reasons": [], "remedy": ""}
    absent = [
        Missing("sub-6_T1w", {**outcome, "failed_checks": ["Lead"]}),
        Missing("sub-7_T1w", {**outcome, "failed_checks": []}),
        Missing("sub-8_T1w", None),
        Missing("sub-9_T1w", {**outcome, "failed_checks": [], "kind": IN_REVIEW}),
    ]
    for some, who, why in (
        (absent[:3], "3 images of those selected are", ": 1 did not pass the checks, 2 for other reasons"),
        (
            absent,
            "4 images of those selected are",
            ": 1 did not pass the checks, 1 was withheld after visual inspection, 2 for other reasons",
        ),
        (absent[3:], "1 image of those selected is", ": 1 was withheld after visual inspection"),
        (absent[:1], "1 image of those selected is", ": 1 did not pass the checks"),
        (absent[2:3], "1 image of those selected is", ""),
    ):
        text, _ = methods_of(report(SCANS, missing=missing_content(some, is_private=False)))
        assert f"{who} not part of the dataset{why}." in text and "No image that was selected" not in text


@pytest.mark.parametrize("verdict", ["by hand", "no-face", "accepted"])
def test_a_page_needs_nothing_of_a_record_but_its_verdict(verdict):
    """A mask by hand has no template, no region and no margin."""
    assert verdict in report([scan("sub-1_desc-defaced_T1w", {"Verdict": verdict, "Measures": {}})])


def test_what_was_left_out_is_counted():
    text = report(SCANS, left_out=[("is a photograph", 3)])
    assert '<th scope="row">is a photograph</th><td class="number">3</td>' in text


def test_the_leak_check_finds_nothing_on_the_page(whole, tmp_path):
    (tmp_path / "report.html").write_text(whole)
    assert list(find_leaks(tmp_path)) == []


def test_an_empty_dataset_has_a_page_too():
    assert "Published scans: <b>0</b>" in report([]) and "No image has been published yet" in report([])
