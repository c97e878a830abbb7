"""The published part of a study: aggregates that say what was found, for people and for programs."""

import csv
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from bidsdeface.reidentify.findings import Probe, evaluate
from bidsdeface.report.reidentification import COLUMNS, description, section, table, verdict
from tests.unit.reidentify.test_findings import seen


def findings(after, before=None, strangers=20):
    """Return the findings of 20 people whose place on a line is their number."""
    before = before or [k + 0.1 for k in range(20)]
    probes = [
        Probe(
            f"sub-{k}", f"sub-{k}", seen(k), seen(before[k]), {name: seen(a[k]) for name, a in after.items()}
        )
        for k in range(20)
    ]
    return evaluate(probes, [seen(100 + k) for k in range(strangers)])


HIDDEN = {"plain": [None] * 20, "informed": [-1] * 20}
SHOWN = {"plain": [None] * 20, "informed": range(20)}


def test_the_table_has_a_row_for_the_originals_and_one_for_each_attacker():
    rows = list(csv.DictReader(table(findings(HIDDEN)).splitlines(), delimiter="\t"))
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
        (findings(HIDDEN), "No attacker recognised people more often than guessing"),
        (findings(SHOWN), "still recognised more often than by guessing; attacker: informed"),
        (findings(SHOWN, before=[(k + 7) % 20 for k in range(20)]), "Underpowered: of the originals 0 of 20"),
    ],
)
def test_the_verdict_says_what_the_figures_allow(result, words):
    assert words in verdict(result)


def test_the_page_is_whole_and_takes_nothing_from_elsewhere():
    page = section(findings(SHOWN))
    root = ET.fromstring(f"<div>{page}</div>")
    assert len(root.findall(".//table/tr")) == 4
    assert "20 of 20: 100 %" in page
    assert page.count("http") == 1  # the name of SVG, which nobody fetches
    lines = root.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 4
    for line in lines:
        points = np.array([p.split(",") for p in line.get("points").split()], float)
        assert (np.diff(points[:, 0]) > 0).all() and (np.diff(points[:, 1]) <= 0).all()


def test_nothing_that_is_published_names_a_person():
    result = findings(SHOWN)
    published = table(result) + json.dumps(description(result)) + section(result)
    assert "sub-" not in published


def test_the_description_says_how_the_study_was_done_and_covers_all_columns():
    entry = description(findings(HIDDEN))
    assert entry["Study"]["GallerySynthetic"] == 20 and entry["Study"]["Underpowered"] is False
    assert set(COLUMNS) <= set(entry)
