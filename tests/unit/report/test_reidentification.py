"""The published part of a study: aggregates that say what was found, for people and for programs."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from bidsdeface.leakcheck.find import find_leaks
from bidsdeface.reidentify.findings import Audit, Probe, evaluate
from bidsdeface.report.reidentification import COLUMNS, content, description, table, verdict
from tests.unit.reidentify.test_findings import seen
from tests.unit.report.test_quality import body_of, report


def study_of(after, before=None, strangers=20):
    """Return the audit of 20 people whose place on a line is their number."""
    before = before or [k + 0.1 for k in range(20)]
    probes = [
        Probe(
            f"sub-{k}", f"sub-{k}", seen(k), seen(before[k]), {name: seen(a[k]) for name, a in after.items()}
        )
        for k in range(20)
    ]
    return Audit(evaluate(probes, [seen(100 + k) for k in range(strangers)]))


def section(audit):
    """Return the part of the report about an audit."""
    _, _, found = report([], audit=content(audit)).partition("<h2>Re-identification</h2>")
    return found.partition("<h2>")[0]


HIDDEN = {"plain": [None] * 20, "informed": [-1] * 20}
SHOWN = {"plain": [None] * 20, "informed": range(20)}


def test_the_table_has_a_row_for_the_originals_and_one_for_each_attacker():
    rows = list(csv.DictReader(table(study_of(HIDDEN)).splitlines(), delimiter="\t"))
    assert [(row["condition"], row["attacker"]) for row in rows] == [
        ("before", "plain"),
        ("after", "plain"),
        ("after", "informed"),
    ]
    assert list(rows[0]) == list(COLUMNS)
    assert rows[0]["rank1"] == "20" and rows[0]["heads"] == "20" and rows[0]["people"] == "40"
    assert (
        rows[2]["rank1"] == "1" and rows[2]["rank1_rate"] == "0.0500" and rows[2]["rank1_chance"] == "0.0250"
    )


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (study_of(HIDDEN), "No attacker recognised people more often than guessing"),
        (study_of(SHOWN), "still recognised more often than by guessing; attacker: informed"),
        (study_of(SHOWN, before=[(k + 7) % 20 for k in range(20)]), "Underpowered: of the originals 0 of 20"),
    ],
)
def test_the_verdict_says_what_the_figures_allow(result, words):
    assert words in verdict(result.findings)


def test_the_page_is_whole_and_takes_nothing_from_elsewhere():
    page = section(study_of(SHOWN))
    root = body_of(f"<main>{page}</main>")
    assert len(root.findall(".//table//tr")) == 4
    assert "20 of 20: 100 %" in page and "http" not in page
    lines = root.findall(".//polyline")
    assert len(lines) == 4
    for line in lines:
        points = np.array([p.split(",") for p in line.get("points").split()], float)
        assert (np.diff(points[:, 0]) > 0).all() and (np.diff(points[:, 1]) <= 0).all()


def test_nothing_that_is_published_names_a_person():
    result = study_of(SHOWN)
    published = table(result) + json.dumps(description(result)) + section(result)
    assert "sub-" not in published


def test_the_table_says_how_the_study_was_done_and_the_description_covers_all_columns():
    (row, *_) = csv.DictReader(table(study_of(HIDDEN)).splitlines(), delimiter="\t")
    told = {name: row[name] for name in ("synthetic", "faceless", "underpowered", "withdrawn")}
    assert told == {"synthetic": "20", "faceless": "0", "underpowered": "no", "withdrawn": "0"}
    entry = description(study_of(HIDDEN))
    assert list(entry) == list(COLUMNS) and all(column["Description"] for column in entry.values())


def test_the_leak_check_finds_nothing_in_what_is_published(tmp_path):
    audit = replace(study_of(SHOWN), withdrawn=3, left=study_of(HIDDEN).findings)
    for name, text in {
        "report.html": report([], audit=content(audit)),
        "reidentification.tsv": table(audit),
        "reidentification.json": json.dumps(description(audit)),
    }.items():
        (tmp_path / name).write_text(text)
    assert list(find_leaks(tmp_path)) == []


def test_what_was_withdrawn_is_counted_told_and_apart_from_what_is_left():
    whole = study_of(SHOWN).findings
    nobody = evaluate([])
    audit = Audit(whole, nobody, withdrawn=20)
    rows = list(csv.DictReader(table(audit).splitlines(), delimiter="\t"))
    assert [row["condition"] for row in rows] == ["before", "after", "after"]  # nobody is left
    some = Audit(whole, study_of(HIDDEN).findings, withdrawn=3)
    rows = list(csv.DictReader(table(some).splitlines(), delimiter="\t"))
    assert [row["condition"] for row in rows] == ["before", "after", "after", "left", "left"]
    assert {row["withdrawn"] for row in rows} == {"3"}
    assert "3 scans whose person came first for an attacker were withdrawn" in section(some)
    assert "withdrawn" not in section(Audit(whole))


def test_an_audit_of_some_participants_says_that_it_is_not_of_the_dataset():
    audit = study_of(HIDDEN)
    part = Audit(audit.findings, whole=False)
    assert "all defaced scans" in description(audit)["heads"]["Description"]
    assert "some participants or sessions" in description(part)["heads"]["Description"]
    assert "not the whole dataset" in section(part) and "not the whole dataset" not in section(audit)
