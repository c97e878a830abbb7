"""What is searched for in text that goes along: every spelling of who it is, not the words of the study."""

# ruff: noqa: E501 — tables of data

import json
import unicodedata

import pytest

from bidsdeface.dataset.redaction import redacted_dictionary, renamed
from bidsdeface.privacy.identifiers import About, identifiers_in
from bidsdeface.privacy.redact import MARK, redact
from tests.fullset import PHYSICS, edf, full_dataset, image, packed
from tests.unit.test_secrets import BOLD, EVENTS, T1W, A, share

SAME_WORDS = {
    "participants.tsv": (
        "participant_id\tgroup\tmotion\tnotes\tname\n"
        "sub-01\tdepressed\t0.3\tdepressed\tHaagse Harry\nsub-02\thealthy\t0.2\tmotion\tn/a\n"
    ),
    f"{EVENTS}.tsv": (
        "onset\tduration\ttrial_type\tnback\tstim_id\n"
        "1\t2\tfaces\t2\tfaces\n3\t2\tmemory\t1\tblue house\n5\t2\tblue house\t1\tHarry\n"
    ),
    "task-rest_events.json": {
        "trial_type": {"Levels": {"faces": "a picture of faces", "Harry": "x", "Haagse": "y"}},
    },
    f"{T1W}.json": {
        **PHYSICS, "InstitutionalDepartmentName": "Memory", "StationName": "NBACK",
        "SeriesDescription": "Blue",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def same_words(tmp_path_factory):
    root = full_dataset(tmp_path_factory.mktemp("raw"), SAME_WORDS)
    output = tmp_path_factory.mktemp("out")
    account, _ = share(root, output, withheld=())
    return output, {str(path): names for path, names in account.dropped.items()}


def test_the_study_keeps_words_that_stand_in_dropped_columns_and_fields_too(same_words):
    output, _ = same_words
    assert (output / "participants.tsv").read_text() == (
        "participant_id\tgroup\tmotion\nsub-01\tdepressed\t0.3\nsub-02\thealthy\t0.2\n"
    )
    table = (output / f"{EVENTS}.tsv").read_text()
    assert table == (
        "onset\tduration\ttrial_type\tnback\n1\t2\tfaces\t2\n3\t2\tmemory\t1\n5\t2\tblue house\t1\n"
    )


def test_levels_that_are_called_like_a_person_are_redacted_and_stay_distinct():
    identifiers = identifiers_in(["Haagse^Harry"])
    dictionary = {"trial_type": {"Levels": {"faces": "seen by Harry", "Harry": "x", "Haagse": "y"}}}
    assert redacted_dictionary(dictionary, identifiers) == {
        "trial_type": {"Levels": {"faces": "seen by [removed]", "removed2": "x", "removed": "y"}}
    }
    assert renamed(["removed", "Harry"], identifiers) == {"removed": "removed", "Harry": "removed2"}


def test_what_was_redacted_in_a_table_is_told_by_column_and_number(tmp_path):
    files = {
        f"{T1W}.json": {**PHYSICS, "PatientName": "Haagse^Harry"},
        f"{EVENTS}.tsv": "onset\tduration\ttrial_type\n1\t2\tHarry\n3\t2\tgo\n5\t2\tby Haagse\n",
        "task-rest_events.json": {"trial_type": {"Levels": {"Harry": "x", "go": "press"}}},
    }
    account, _ = share(full_dataset(tmp_path / "raw", files), tmp_path / "out", withheld=())
    told = {str(path): names for path, names in account.dropped.items()}
    assert told[f"{EVENTS}.tsv"] == ("trial_type (2 values redacted)",)
    assert "trial_type (redacted)" in told["task-rest_events.json"]
    rows = (tmp_path / f"out/{EVENTS}.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[2] for row in rows] == ["removed", "go", "by removed"]
    levels = json.loads((tmp_path / "out/task-rest_events.json").read_text())["trial_type"]["Levels"]
    assert levels == {"removed": "x", "go": "press"}


def test_columns_and_levels_in_lower_case_stay_though_somebody_is_called_so(tmp_path):
    files = {
        f"{T1W}.json": {**PHYSICS, "PatientName": "Young^Nback"},
        f"{EVENTS}.tsv": "onset\tduration\tnback\ttrial_type\tcue\n1\t2\t2\tyoung\tmr young\n3\t2\t1\tYoung\tn/a\n",
        "task-rest_events.json": {
            "nback": {"Description": "Level"},
            "trial_type": {"Levels": {"young": "x"}},
        },
    }
    share(full_dataset(tmp_path / "raw", files), tmp_path / "out", withheld=())
    rows = [row.split("\t") for row in (tmp_path / f"out/{EVENTS}.tsv").read_text().splitlines()]
    assert [row[2:] for row in rows] == [
        ["nback", "trial_type", "cue"], ["2", "young", "mr removed"], ["1", "removed", "n/a"]
    ]  # fmt: skip
    told = json.loads((tmp_path / "out/task-rest_events.json").read_text())
    assert told["nback"] and told["trial_type"]["Levels"] == {"young": "x"}


@pytest.mark.parametrize(
    ("person", "word"),
    [
        ({"PatientName": "Roe^Jane"}, "jane_roe"),
        ({"PatientID": "27182818"}, "p27182818"),
        ({"PatientBirthDate": "19780304"}, "v780304"),
    ],
)
def test_no_whole_name_number_or_day_is_a_word_of_the_study(tmp_path, person, word):
    files = {
        f"{T1W}.json": {**PHYSICS, **person},
        f"{EVENTS}.tsv": f"onset\tduration\t{word}\tcue\n1\t2\t2\t{word}\n",
        "task-rest_events.json": {word: {"Description": "x"}, "cue": {"Levels": {word: "x"}}},
    }
    share(full_dataset(tmp_path / "raw", files), tmp_path / "out", withheld=())
    for name in (f"{EVENTS}.tsv", "task-rest_events.json"):
        assert word not in (tmp_path / "out" / name).read_text()


def test_files_that_stay_behind_have_no_say_in_what_is_a_word_of_the_study(tmp_path):
    files = {
        ".bidsignore": "participants.json\n",
        "participants.json": {"pal": {"Levels": {"Haagse Harry": "a", "Piet Paulus": "b"}}},
        "participants.tsv": "participant_id\tpal\nsub-01\tHaagse Harry\nsub-02\tPiet Paulus\n",
        "README": "Thanks to Haagse Harry, Piet Paulus.\n",
    }
    share(full_dataset(tmp_path / "raw", files), tmp_path / "out", withheld=())
    told = (tmp_path / "out/README").read_text()
    assert "Harry" not in told and "Paulus" not in told


def test_what_is_redacted_in_a_table_is_warned_of_and_a_column_may_be_kept(tmp_path, caplog):
    files = {
        f"{T1W}.json": {**PHYSICS, "PatientName": "NBACK^Faces"},
        f"{EVENTS}.tsv": "onset\tduration\ttrial_type\n1\t2\tFaces\n3\t2\tgo\n",
        "task-rest_events.json": {"trial_type": {"Levels": {"Faces": "x", "go": "y"}}},
    }
    root = full_dataset(tmp_path / "raw", files)
    share(root, tmp_path / "out", withheld=())
    (line,) = [line for line in caplog.messages if "trial_type" in line]
    assert f"{EVENTS}.tsv: trial_type (1 values redacted)" in line and "--keep-column" in line
    assert "Faces" not in line
    share(root, tmp_path / "kept", withheld=(), keep_columns=("trial_type",))
    assert (tmp_path / f"kept/{EVENTS}.tsv").read_text() == files[f"{EVENTS}.tsv"]
    levels = json.loads((tmp_path / "kept/task-rest_events.json").read_text())["trial_type"]["Levels"]
    assert levels == {"Faces": "x", "go": "y"}


@pytest.mark.parametrize(
    ("value", "about", "expected"),
    [
        ("Memory", About.PLACE, "memory"),
        ("Blegdamsvej Klinik", About.PLACE, "removed"),
        ("4711081", About.TEXT, "removed"),
        ("Anxiety", About.TEXT, "Anxiety"),
        ("Zwingli", About.PERSON, "removed"),
    ],
)
def test_in_tables_single_words_go_only_if_they_are_a_persons(value, about, expected):
    cell = expected if expected != "removed" else value
    assert redact(cell, identifiers_in([value], about).in_tables, "removed")[0] == expected


SPELLINGS = {
    "Müller^Zoë": [
        unicodedata.normalize("NFD", "Müller"), "Müller", "Mueller", "Muller", "M&uuml;ller", "MÜLLER", "Mül\u00adler",
        "Mül-\nler", "Mül\u200bler\u200b", "Zoe", "Zoë Müller",
    ],
    unicodedata.normalize("NFD", "Müller^Zoë"): ["Müller", "Zoë"],
    "Mueller^Anna": ["Müller", "Mueller"],
    "Li^Na": ["Li Na", "Na Li", "Li, Na", "LiNa", "li_na"],
    "Wu^Bo": ["Wu Bo", "Wu"],
    "王小明": ["王小明"],
    "王伟": ["王伟"],
    "White^Logan": ["Logan White", "White", "LOGAN WHITE"],
    "Zwingli^Huldrych^Maria": ["Huldrych Zwingli", "ZWINGLI", "HuldrychZwingli", "huldrych_zwingli", "Zwingli"],
    "1978-03-04": [
        "04MAR1978", "04-MAR-78", "4 Mar 78", "1978 March 4", "4th of March 1978", "March 4th, 1978", "78-03-04",
        "04 03 1978", "4. März 1978", "4 mars 1978", "4 de marzo de 1978", "4.3.1978", "19780304", "040378", "1978-063",
    ],
    19780304: ["4 March 1978"],
    "04-MAR-1978": ["1978-03-04"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "spelled"), [(one, text) for one, some in SPELLINGS.items() for text in some]
)
def test_what_is_known_is_found_in_every_spelling(value, spelled):
    identifiers = identifiers_in([value])
    for text in (
        f"by {spelled}.",
        f"{spelled}\nand others",
        f"感谢{spelled}参加" if "王" in spelled else spelled,
    ):
        redacted, count = redact(text, identifiers)
        assert count == 1 and redacted == text.replace(spelled, MARK)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Müller^Zoë", "a müllerian duct; zoetrope"),
        ("White^Logan", "white matter, Shepp-logan phantoms"),
        ("Li^Na", "a list of nations; li and na ions, Lina"),
        ("1978-03-04", "4 March 1979, version 4.3.19, 1978, 78 people, 0.040378"),
        ("MR tech", "MR and TECH"),
        ("王伟", "王小明"),
    ],
)
def test_what_only_resembles_it_stays(value, text):
    assert redact(text, identifiers_in([value])) == (text, 0)


@pytest.mark.parametrize("key", [bytes(range(32)), None])
def test_days_that_are_shifted_and_ages_that_are_capped_are_searched_for_in_text(key, tmp_path):
    files = {
        "participants.tsv": "participant_id\tage\nsub-01\t93\nsub-02\t61\n",
        "README": "On June 4, 2018 (04JUN2018), a 93-year-old and 61-year-olds came; 93 scans.\n",
    }
    share(full_dataset(tmp_path / "raw", files), tmp_path / "out", key=key, withheld=())
    readme = (tmp_path / "out/README").read_text()
    expected = "On [removed] ([removed]), a [removed]-old and 61-year-olds came; 93 scans.\n"
    assert readme.startswith(expected)


BEHIND = {
    f"{A}eeg/sub-01_ses-a_task-rest_eeg.edf": edf(patient=b"X F 06-FEB-1911 Haagse_Edfname"),
    f"{BOLD}.nii.gz": packed(
        image((12, 14, 10, 4), {"descrip": "Übername".encode(), "aux_file": "Zoë".encode("latin-1")}, extension=b"Patient: Harry Comment"),
        "Gzipname_T1.nii", 0, b"of Gzipcomment",
    ),
    "phenotype/scores.tsv": "participant_id\tname\nsub-01\tHaagse^Phenotype\n",
    "phenotype/scores.json": {"PatientName": "Scores"},
    f"{A}meg/sub-01_ses-a_task-rest_meg.fif": b"\0\0\0d",
    f"{A}meg/sub-01_ses-a_task-rest_meg.json": {"TaskName": "rest", "SubjectName": "Haagse Megname"},
    "sub-02/sub-02_sessions.tsv": "session_id\tname\nses-a\tL\xe9onie Latin\n".encode("latin-1"),
}  # fmt: skip
NAMES = [
    "Edfname",
    "Übername",
    "Zoë",
    "Harry",
    "Comment",
    "Gzipname",
    "Gzipcomment",
    "Phenotype",
    "Megname",
    "Léonie",
    "Latin",
    "06.02.1911",
    "Scores",
]


@pytest.fixture(scope="module")
def readme(tmp_path_factory):
    text = "".join(f"{name} came.\n" for name in (*NAMES, "Patient"))
    root = full_dataset(tmp_path_factory.mktemp("raw"), {**BEHIND, "README": text})
    output = tmp_path_factory.mktemp("out")
    share(root, output, withheld=())
    return (output / "README").read_text().splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_searched_for_wherever_they_stand_in_what_is_read_or_stays_behind(name, readme):
    assert readme[NAMES.index(name)] == "[removed] came."
    assert readme[len(NAMES)] == "Patient came."
