"""The page of a participant: all published scans and nothing that is not published any more."""

import pytest

from bidsdeface.leakcheck.find import find_leaks
from bidsdeface.report.subject import subject_page, write_pages
from tests.unit.report.test_quality import SCANS, body_of, texts

BAD, NO_FACE = SCANS[1], SCANS[4]


def test_each_scan_has_its_verdict_in_words_its_picture_and_what_is_nearest_to_a_limit():
    page = body_of(subject_page("sub-2", [BAD, NO_FACE]))
    first, second = page.iter("section")
    said = ["".join(one.itertext()) for one in first.iter("p")]
    assert "".join(first.find("h2").itertext()) == "sub-2_T1w: accepted"
    assert "a person has looked" in said[0] and "OutlineShiftMM is nearest to its limit: 150 %" in said[0]
    (picture,) = first.iter("img")
    assert picture.get("src") == "sub-2/figures/sub-2_desc-defaced_T1w.png"
    assert "no face" in "".join(second.itertext()) and not list(second.iter("table"))


def test_measures_have_their_limits_and_what_is_beyond_is_marked():
    rows = {texts(row)[0]: [*row] for row in body_of(subject_page("sub-2", [BAD])).iter("tr")}
    name, value, limits, meaning = texts(rows["OutlineShiftMM"])
    assert value == "18" and limits == "published if 12 or less" and "normally below 8" in meaning
    assert "beyond" in rows["OutlineShiftMM"][1].get("class") and "beyond" not in rows["Scale"][1].get(
        "class"
    )


def test_the_record_is_on_the_page_without_empty_values():
    entries = ["".join(one.itertext()) for one in body_of(subject_page("sub-2", [BAD])).iter("dd")]
    assert "WholeHead" in entries and "face, ears" in entries and "None" not in entries


def test_pages_follow_what_is_published(tmp_path):
    write_pages(tmp_path, SCANS)
    names = [f"sub-{k}.html" for k in range(1, 6)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert list(find_leaks(tmp_path)) == []
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_pages(tmp_path, [BAD], ["2"])
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_pages(tmp_path, [], ["2"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [names[0], *names[2:]]
    write_pages(tmp_path, SCANS[:1])
    assert [path.name for path in tmp_path.iterdir()] == names[:1]


@pytest.mark.parametrize("name", ["report.html", "mine.html"])
def test_other_pages_are_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    write_pages(tmp_path, [])
    assert (tmp_path / name).read_text() == "mine"
