"""Columns that tell who somebody is, and columns of studies that only look a little like it."""

# ruff: noqa: E501 — tables of data

import pytest

from bidsdeface.privacy.columns import names_a_person, values_identify
from bidsdeface.privacy.dictionary import scrub_dictionary
from bidsdeface.privacy.looks import looks_like

DATED = [
    "04MAR1978", "04-MAR-78", "040378", "1978W10", "1978-W10-6", "1978-063", "4 Mar 78", "Mar 4 78", "4. März 78",
    "1978 March 4", "4/Mar/1978", "78-03-04", "Mar-78", "March_1978", "1978/3", "2018_06", "1978.0304",
    "1978\u200b-03-04", "093005.1234", "14h31", "2:31 pm", "20180604_1431", "1978年3月4日", "1978年3月", "04 03 1978", "March 4th, 1978",
]  # fmt: skip


@pytest.mark.parametrize("value", DATED)
def test_a_date_or_a_time_in_any_spelling_drops_its_column(value):
    assert values_identify("x", [value, "n/a"])


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("moca", ["29", "30", "n/a"]),
        ("score", ["1978.0304", "2011.25", "13.5"]),
        ("rt", ["0.412", "1978.5", "2018.06"]),
        ("bits", ["001011", "010100"]),
        ("version", ["1.2", "2.0.1", "v1.10"]),
        ("duration", ["1h30", "45 min", "PT1H"]),
        ("coordinates", ["-12.5 8 31", "[1, 2, 3]"]),
        ("ratio", ["3/10", "12/30"]),
        ("range", ["10-12", "78-84"]),
        ("visit", ["V1", "M06", "baseline"]),
        ("iq_band", ["80-89", "90-109"]),
        ("dose", ["5 mg", "10 mg b.i.d."]),
        ("electrode", ["Cz", "C3-A2", "EEG Fp1"]),
        ("stimulus", ["images/face_01.png", "faces/neutral.jpg"]),
        ("sequence", ["1-2-3-4", "4-3-2-1"]),
        ("education", ["High school", "University", "n/a"]),
        ("phase", ["may", "mar"]),
        ("refraction", ["+7.25/-1.75x85", "plano", "-0.50/-0.50x160", "+3.50/-175x20"]),
        ("type", ["R SOT", "L XOT", "R Micro", "L SOT"]),
        ("blood_pressure", ["120/80", "95/60"]),
        ("acuity", ["20/20", "20/200"]),
    ],
)
def test_ordinary_columns_of_studies_pass(column, values):
    assert not values_identify(column, values, of_people=True)


NAMES = [
    ["DOE JANE", "ROE RICHARD", "POE ANN"],
    ["DOE, JANE"],
    ["Doe,Jane"],
    ["Anna Maria Schmidt", "Jean-Luc Picard", "van der Berg Jan", "O'Brien Pat"],
    ["Doe J", "Roe R", "Poe A"],
    ["jane_doe", "richard_roe", "ann_poe"],
    ["JaneDoe", "RichardRoe", "AnnPoe"],
    ["王小明", "李伟", "张敏"],
    ["Ms Doe"],
    ["Dr. med. Doe"],
    ["Jane\u00a0Doe"],
    ["Dr. Haagse", "go"],
]  # fmt: skip


@pytest.mark.parametrize("values", NAMES)
def test_a_column_of_names_is_dropped(values):
    assert values_identify("x", values, of_people=True)


@pytest.mark.parametrize(
    "values",
    [
        ["HEALTHY CONTROL", "MAJOR DEPRESSION"] * 9,
        ["Mild Cognitive Impairment", "Alzheimer Disease", "n/a"],
        ["Group A", "Group B", "Group C"],
        ["right_handed", "left_handed", "right_handed", "right_handed"],
        ["PrePost", "PostPre", "PrePost", "PostPre", "PrePost"],
        ["女", "男", "女"],
        ["健康", "患者", "健康", "患者", "健康"],
        ["WAIS IV", "WAIS III", "WISC V", "WAIS IV", "WISC V"],
    ],
)
def test_groups_and_diagnoses_pass(values):
    assert not values_identify("x", values, of_people=True)


def test_stimuli_that_are_all_different_pass_where_rows_are_no_people():
    assert not values_identify("x", ["blue_house", "red_car", "old_man", "BigDog", "FAST CAR"])


def test_a_title_names_a_person_though_the_dictionary_lists_it():
    levels = {"Dr. Haagse": "x", "Harry Haagse": "y"}
    assert values_identify("who", ["Dr. Haagse"], {"Levels": levels})
    assert scrub_dictionary({"who": {"Description": "d", "Levels": levels}})[0] == {
        "who": {"Description": "d"}
    }


@pytest.mark.parametrize(
    "column",
    [
        "patientname",
        "subjectname",
        "patientid",
        "studyid",
        "hospitalnumber",
        "birthyear",
        "yearofbirth",
        "dateofbirth",
        "Geburtsjahr",
        "familyname",
        "homeaddress",
        "pt_name",
        "subj_name",
        "hosp_no",
        "fallnummer",
        "patnr",
        "aktenzeichen",
        "scannedby",
        "suburb",
        "patient_nr",
        "phoneno",
        "DOBYear",
    ],
)
def test_names_of_columns_that_are_glued_or_cut_short_are_known(column):
    assert names_a_person(column)


@pytest.mark.parametrize(
    "column",
    [
        "patients_group",
        "subject_group",
        "case_control",
        "study_arm",
        "birth_weight",
        "birth_order",
        "first_language",
        "full_scale_iq",
        "homework",
        "number_of_children",
        "scan_quality",
        "path_length",
        "record_length",
        "fallrisk",
        "namegame",
        "idle",
        "video_width",
        "phonemic",
    ],
)
def test_names_of_columns_of_studies_are_none_of_persons(column):
    assert not names_a_person(column)


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        ({"Minimum": 19780304}, {}),
        ({"Maximum": 27182818}, {}),
        ({"Maximum": 2_000_000, "Units": "mm3"}, {"Maximum": 2_000_000, "Units": "mm3"}),
        ({"Levels": {"a": 19780306}}, {}),
        ({"Units": [31415926]}, {}),
        ({"Maximum": float("nan"), "Minimum": 0}, {"Minimum": 0}),
        ({"Maximum": 30, "Minimum": -1.5}, {"Maximum": 30, "Minimum": -1.5}),
        ({"Description": "4 Mar 78"}, {}),
    ],
)
def test_numbers_in_data_dictionaries_are_looked_at(entry, kept):
    assert scrub_dictionary({"x": {"LongName": "a", **entry}})[0] == {"x": {"LongName": "a", **kept}}


TELLING = {
    "path": ["/mnt/klinik/doe_jane/stim.png", "D:\\doe\\x.png", "\\\\srv\\doe\\x", "/data/doe/x.png", "file:///srv/doe.png"],
    "home folder": ["~doe/x.png", "/home/doe", "C:\\Users\\doe"],
    "date": ["on the 4th of March 1978", "1978 March 4", "04MAR1978", "04-MAR-78", "scanned 04.03.1978."],
    "time of day": ["at 2:31 pm", "at 14:31:07"],
    "telephone": ["030/1234567", "06 12 34 56 78", "+49 201 123 4567"],
    "record number": ["Pat.-Nr. 12345", "since 1528103449.235", "MRN: 12345", "id 4711081."],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in TELLING.items() for text in texts]
)
def test_what_tells_in_free_text_is_seen(kind, text):
    assert kind in looks_like(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sampled at 1000 Hz for 12.5 min; see /sub-01/anat, code/run.sh and /stimuli/a.png.",
        "Runs 1/2 and 3/4; p = 0.04, t(78) = 3.04; 10.3.1 and v1.10.2.",
        "Recording 12 channels, record 250 samples, 2 cases, 64 patients.",
        "It may be 20 of 30; Mar and Dec are words; and/or; http://x.org/a: b",
        "Age 30-40, 1h30 of scanning, TR 2:1, mask \\alpha\\beta.",
        "shifted to 1901-06-04, 12 March 1899",
        "Figure 3 4 12 56 78, matrix 64 64 36",
    ],
)
def test_ordinary_text_passes(text):
    assert looks_like(text) == ()
