"""The page of a participant: all published scans and nothing that is not published any more."""

import pytest

from bidsdeface.leakcheck.find import find_leaks
from bidsdeface.report.subject import subject_page, write_pages
from tests.unit.report.test_quality import SCANS, body_of, scan, texts

BAD, NO_FACE = SCANS[1], SCANS[4]


def figure(one):
    return f"{one.image.parts[0]}/figures/{one.image.name.partition('.')[0]}.png"


def test_each_scan_has_its_verdict_in_words_its_picture_and_what_is_nearest_to_a_limit():
    page = body_of(subject_page("sub-2", [BAD, NO_FACE], figure))
    first, second = page.iter("section")
    said = ["".join(one.itertext()) for one in first.iter("p")]
    assert "".join(first.find("h2").itertext()) == "sub-2_T1w: accepted"
    assert "a person has looked" in said[0] and "OutlineShiftMM 18 (must be at most 12)" in said[0]
    pictures = {one.get("src") for one in first.iter("img")}
    assert pictures == {"sub-2/figures/sub-2_desc-defaced_T1w.png"}
    assert "no face" in "".join(second.itertext()) and not list(second.iter("table"))


def test_measures_have_their_limits_and_what_is_beyond_is_marked():
    odd = scan("sub-2_desc-defaced_T1w", OutlineShiftMM=18.0, BrainML=500.0, BrainWhole=1.0, FaceShiftMM=1.0)
    rows = {texts(row)[0]: row for row in body_of(subject_page("sub-2", [odd], figure)).iter("tr")}
    _, value, required, _ = texts(rows["OutlineShiftMM"])
    assert (value, required) == ("18", "at most 12: not met")
    assert rows["OutlineShiftMM"].get("class") == "beyond" and rows["Scale"].get("class") is None
    meant = {name: texts(row)[2] for name, row in rows.items()}
    assert meant["BrainML"] == "from 700 to 2200: not trusted"
    assert meant["BrainWhole"] == "at least 0.9: trusted" and meant["Similarity"] == "at least 0.25"
    assert meant["FaceShiftMM"] == "not judged" and meant["MaskML"] == ""


def test_what_somebody_had_defaced_before_is_said():
    page = subject_page("sub-2", [scan("sub-2_desc-defaced_T1w", EmptiedShare=0.9)], figure)
    assert "; came defaced already</li>" in page and "It came defaced already." in page


def test_what_could_not_be_measured_is_said():
    assert "sub-4_T1w</a>: <b>accepted</b>; Similarity could not be measured" in subject_page(
        "sub-4", SCANS[3:4], figure
    )


def test_the_worst_scan_is_first_whatever_its_name():
    scans = [scan("sub-1_desc-defaced_FLAIR", Similarity=0.9), scan("sub-1_desc-defaced_T1w", Similarity=0.3)]
    page = body_of(subject_page("sub-1", scans, figure))
    assert [one.get("id") for one in page.iter("section")] == ["scan-sub-1_T1w", "scan-sub-1_FLAIR"]


def test_the_record_is_on_the_page_without_empty_values():
    entries = ["".join(one.itertext()) for one in body_of(subject_page("sub-2", [BAD], figure)).iter("dd")]
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


@pytest.mark.parametrize("name", ["report.html", "mine.html", "sub-01_notes.html", "sub-summary.html"])
def test_other_pages_are_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    write_pages(tmp_path, [])
    assert (tmp_path / name).read_text() == "mine"


def test_outlines_are_explained_where_there_are_some():
    by_hand = scan("sub-2_desc-defaced_T1w", {"Verdict": "by hand", "Method": "remove", "Measures": {}})
    defaced, drawn, bare = body_of(subject_page("sub-2", [BAD, by_hand, NO_FACE], figure)).iter("section")
    said = [" ".join("".join(one.itertext()).split()) for one in (defaced, drawn, bare)]
    assert "orange, the face mask; blue and dashed, the brain" in said[0]
    assert "orange, the face mask." in said[1] and "blue" not in said[1] and "orange" not in said[2]


def test_without_a_picture_there_is_none_to_look_at(tmp_path):
    write_pages(tmp_path, [BAD])
    text = (tmp_path / "sub-2.html").read_text()
    assert "<img" not in text and "orange" not in text


def test_pages_of_a_complete_dataset_show_the_figures_of_the_work_dir(tmp_path):
    shared = scan("sub-2_T1w")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/sub-2_desc-defaced_T1w.png").touch()
    write_pages(tmp_path, [shared], is_complete=True)
    assert 'src="figures/sub-2_desc-defaced_T1w.png"' in (tmp_path / "sub-2.html").read_text()
