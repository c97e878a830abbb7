"""Describe or drop: which columns stay, and that what stays is what came in."""

import json
import math
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.deidentify.altered import cap_ages, day_offset
from bidsdeface.deidentify.columns import (
    TableOptions,
    _personal_kinds,
    scrub_columns,
    spread_of,
)
from bidsdeface.deidentify.identifiers import KINDS, PERSON, WHOLE, identifiers_in
from bidsdeface.deidentify.tables import INDEX_COLUMNS, TableError, check_rows, format_table, parse_table

KEY = bytes(range(32))
PEOPLE = PurePosixPath("participants.tsv")
SCANS = PurePosixPath("sub-01/sub-01_scans.tsv")
EVENTS = PurePosixPath("sub-01/func/sub-01_task-rest_events.tsv")
CHANNELS = PurePosixPath("sub-01/eeg/sub-01_task-rest_channels.tsv")
PATHOLOGY = PurePosixPath("samples.tsv")
KNOWN = identifiers_in("Zwingli^Ulrich", PERSON) | identifiers_in(48213, WHOLE)


def scrub(text, path=PEOPLE, dictionary=None, spread=(), days=None, keep=(), drop=()):
    """Return the table that may be shared as text, and what was left out."""
    table, bad = check_rows(parse_table(text.encode(), path), path)
    options = TableOptions(dictionary or {}, lambda column: spread_of(spread), KNOWN.are_in, days, keep, drop)
    shared, left_out = scrub_columns(table, path, options)
    return format_table(shared), (*bad, *left_out)


def column_stays(values, path=PEOPLE, name="extra", entry=None, spread=()):
    """Return True if a column of these values stays, one value a row."""
    index = {PEOPLE: "participant_id", SCANS: "filename"}.get(path)
    first = [
        f"sub-{n:02}" if path == PEOPLE else f"anat/sub-01_run-{n}_T1w.nii.gz" for n in range(len(values))
    ]
    if path == EVENTS:
        index, first = "onset\tduration", [f"{n}.5\t1" for n in range(len(values))]
    text = f"{index}\t{name}\n" + "".join(
        f"{one}\t{value}\n" for one, value in zip(first, values, strict=True)
    )
    kept, left_out = scrub(text, path, {name: entry} if entry else {}, spread)
    stays = name in kept.splitlines()[0].split("\t")
    assert stays == (not left_out)
    assert not any(
        str(value) in f"{one.reason} {one.remedy}"
        for one in left_out
        for value in values
        if len(str(value)) > 4
    )
    if stays:
        assert kept == text
    return stays


LEVELS = {"Levels": {"Young Children": "below 9", "Older Children": "9 and more"}}
GROUPS = ["Young Children", "Older Children", "Young Children"]


@pytest.mark.parametrize(
    ("values", "entry", "stays"),
    [
        (GROUPS, LEVELS, True),
        (GROUPS, {"Description": "by age"}, False),
        (GROUPS, None, False),
        (["Young Children", "Middle"], LEVELS, False),
        (["Young Children", "n/a"], LEVELS, True),
        (["a", "a", "a", "b", "b", "b"], None, True),
        (["a", "a", "a", "b", "b"], None, False),
        (["a"] * 3 + ["n/a"], None, True),
        ([f"{n % 11:02}x" for n in range(44)], None, False),
        ([29, 30, 28.5], None, True),
        ([29, -999.9, "n/a"], None, True),
        ([1523411, 1423411, 1323411], {"Description": "mm3"}, False),
        ([1523411, 1423411, 1323411], {"Description": "volume", "Units": "mm3"}, True),
        ([1523411, 1423411, 1323411], {"Minimum": 1e6, "Maximum": 2e6}, True),
        ([1523411, 1423411, 9], {"Minimum": 1e6, "Maximum": 2e6}, False),
        ([48214, 48215, 48216], None, False),
        ([2001, 2001, 2001, 2002, 2002, 2002], None, True),
        ([3, 7, 22], {"Description": "HADS", "Minimum": 0, "Maximum": 21}, True),
        ([20180604, 20180605], {"Units": "days"}, False),
        ([1559638309.2, 1559638310.5], {"Units": "s"}, False),
        (["n/a", "n/a"], None, True),
        (["0.5", ".5", "1e3"], {"Units": "s"}, True),
        # A draft that nobody has filled in describes nothing.
        (["Meier, Ida", "Kern"], {"Description": "…", "Levels": {"Meier, Ida": "…", "Kern": "…"}}, False),
        ([41201, 41202], {"Description": "…", "Units": "…", "Minimum": 41201, "Maximum": 41202}, False),
        # A number of somebody is one in a column of numbers as well.
        ([48213, 7, 9], {"Units": "points"}, False),
        ([0.48213, 7, 9], {"Units": "points"}, True),
    ],
)
def test_a_column_about_people_stays_if_described_or_if_nobody_stands_alone(values, entry, stays):
    assert column_stays(values, entry=entry) == stays


@pytest.mark.parametrize(
    ("name", "values", "stays"),
    [
        ("handedness", ["left", "R"], True),
        ("handedness", ["Right Handed", "Left Handed"], False),
        ("handedness", ["Right Handed"] * 3 + ["Left Handed"] * 3, True),
        ("sex", ["F", "m", "other"], True),
        ("sex", ["F", "Doe"], False),
        ("species", ["homo sapiens", "homo sapiens"], True),
        ("species", ["Ulrich", "homo sapiens"], False),
        ("strain", ["C57BL/6J", "x"], False),
        ("HED", ["(Age/30)", "x"], False),
    ],
)
def test_what_bids_defines_stays_if_it_fits(name, values, stays):
    assert column_stays(values, name=name) == stays


@pytest.mark.parametrize(
    ("name", "values", "spread", "stays"),
    [
        ("trial_type", ["Eyes Open", "Eyes Closed"], (), True),
        ("stim_file", ["images/2018-06-04.png"], (), True),
        ("response_time", [0.3], (), True),
        ("stim_id", [48214, 48215], (), True),
        ("accuracy", [1, 0], (), True),
        ("response", ["left"], [("sub-01", "left"), ("sub-02", "left"), ("sub-03", "left")], True),
        ("response", ["left"], [("sub-01", "left"), ("sub-02", "left")], False),
        ("response", ["left"], [(f"sub-{p}", f"{n}x") for p in range(5) for n in range(11)], False),
        ("clock", ["12:31:49"], (), False),
        ("stamp", [1559638309.2], (), False),
        ("mrn", [4120733], (), False),
        ("birthdate", [28553], (), False),
        ("latitude", [51.45661], (), False),
        ("points", [48213], (), True),
        ("device", ["mouse"], [(f"sub-{p}", "mouse") for p in range(5)], True),
        ("operator", ["plus"], [(f"sub-{p}", "plus") for p in range(5)], True),
    ],
)
def test_tables_that_are_not_about_people_keep_numbers_and_what_people_share(name, values, spread, stays):
    unknown = [("sub-01", "alone")]
    assert column_stays(values, EVENTS, name, spread=spread or unknown) == stays


def test_onsets_and_decimals_stay_byte_for_byte():
    text = (
        "onset\tduration\ttrial_type\tamplitude\n10.000000\t2.000000\tgo\t1.000000\n12.5\t2.5e0\tstop\t.2\n"
    )
    assert scrub(text, EVENTS) == (text, ())
    text = "name\ttype\tunits\tdescription\treference\nEEG Cz\tEEG\tuV\tVertex electrode\tCMS/DRL\n"
    assert scrub(text, CHANNELS) == (text, ())


@pytest.mark.parametrize(
    "value",
    [
        "Zwingli",
        "seen by ULRICH",
        "Zwingli,U",
        "record 48213",
        "Dr. Doe",
        "jane@hospital.org",
        "+49 201 123 4567",
    ]
    + [
        "see http://pacs/1",
        "010170-1234",
        "123-45-6789",
        "bad since 2018-06-04",
        "born 4 March 1978",
        "/home/jane/x",
    ],
)
def test_a_kept_text_that_holds_an_identifier_costs_its_column(value):
    for path, name in ((EVENTS, "trial_type"), (CHANNELS, "description")):
        text = (
            "onset\tduration\ttrial_type\n1\t2\t{}\n"
            if path == EVENTS
            else "name\ttype\tunits\tdescription\nCz\tEEG\tuV\t{}\n"
        )
        kept, left_out = scrub(text.format(value), path)
        assert name not in kept and [one.what for one in left_out] == [f"column {name}"]
        assert "line 2" in left_out[0].detail and value not in str(left_out)
    levels = {"group": {"Levels": {value: "x"}}}
    assert "group" not in scrub(f"participant_id\tgroup\nsub-01\t{value}\n", dictionary=levels)[0]


PERSONS = (
    ["name", "FirstName", "last_name", "initials", "dob", "birth_date", "dateOfBirth", "year_of_birth", "MRN"]
    + ["patient_id", "hospital", "scan_date", "visit_date", "address", "zip", "postal_code", "city", "phone"]
    + [
        "email",
        "comments",
        "notes",
        "operator",
        "referring_physician",
        "record_number",
        "scan_time",
        "Nachname",
    ]
    + ["geb", "prénom", "apellidos", "birth_year", "examiner", "ssn", "institution", "case_no", "guid"]
)


@pytest.mark.parametrize("column", PERSONS)
def test_columns_in_which_the_policy_sees_a_person_need_a_persons_word_even_if_described(column):
    text = f"participant_id\t{column}\tscore\nsub-01\t1\t2\n"
    kept, left_out = scrub(text, dictionary={column: {"Levels": {"1": "x"}}})
    assert kept == "participant_id\tscore\nsub-01\t2\n"
    assert left_out[0].remedy == "--keep-column participants:NAME" and left_out[0].what == f"column {column}"
    assert scrub(text, keep=[f"participants:{column}"])[0] == text


def test_a_persons_word_is_for_one_table_and_dropping_wins():
    text = "participant_id\tcity\tscore\nsub-01\tEssen\t2\n"
    assert scrub(text, keep=["scans:city"])[0] == "participant_id\tscore\nsub-01\t2\n"
    assert scrub(text, keep=["city", "score"], drop=["participants:score", "participant_id"])[0] == (
        "participant_id\tcity\nsub-01\tEssen\n"
    )


# What a hospital or a lab writes into a table that nobody described: 1 row is 1 person.
SECRETS = {
    "national identity numbers": [
        "010170-1234",
        "850101-1234",
        "123-45-6789",
        "RSSMRA70A41F205Z",
        "AB123456C",
    ]
    + ["2 85 05 75 116 123 45", "12345678901", "X1234567L", "756.1234.5678.97", "44051401458"],
    "hospital numbers": [48214, 917342, "H48214", "0048214", "K-2019-117", "12/3456", "MR00123", "4711/18"],
    "dates": [
        "4. März 1978",
        "le 3 février 1978",
        "3 de mayo de 1980",
        "1978年3月4日",
        "昭和53年3月4日",
        "1398/12/21",
    ]
    + [
        "۱۳۹۸/۱۲/۲۱",
        "5738 אדר",
        "2561-03-04",
        "4/III/1978",
        "1978-W09-6",
        "Heisei 10",
        "43528",
        "2019.178",
        "March 1978",
    ]
    + ["04-MAR-78", "0403781978"],
    "people": [
        "Jane Doe",
        "doe jane",
        "DOE^JANE",
        "jdoe",
        "王小明",
        "Иванов",
        "J.D.",
        "Dr Doe",
        "mother of two",
    ],
    "places": ["Springfield", "St. Mary's", "12 Elm Street", "EC1A 1BB", "51.5,-0.12", "Ward 7", "ICU-3"],
    "free text": [
        "came late",
        "said she felt dizzy",
        "pacemaker since 2011",
        "twin of 02",
        "left-handed violinist",
    ],
}


@pytest.mark.parametrize("kind", SECRETS)
def test_an_undescribed_secret_of_one_person_never_passes(kind):
    passed = [one for one in SECRETS[kind] if column_stays([one, f"{one}1"[::-1]])]
    assert passed == []
    assert [
        one for one in SECRETS[kind] if column_stays([one, one], SCANS, spread=[("sub-01", str(one))])
    ] == []


def test_what_passes_by_design_stands_in_the_docs():
    """Small numbers, and what three people share, tell nobody by themselves."""
    assert column_stays([417, 418]) and column_stays(["Springfield"] * 3)


@pytest.mark.parametrize(
    ("entry", "ages", "told"),
    [
        (None, ["88", "88.5", "89", "92.5", "89+", "n/a"], ["88", "88.5", "89", "89", "89", "n/a"]),
        (None, ["89.0", "7", "120"], ["89.0", "7", "89"]),
        (None, ["34", "121"], None),
        ({"Units": "years"}, ["93", "34.50"], ["89", "34.50"]),
        ({"Units": "Year"}, ["121"], ["89"]),
        ({"Units": "months"}, ["1100", "120", "1068"], ["1068", "120", "1068"]),
        ({"Units": "weeks"}, ["5000", "40"], ["4644", "40"]),
        ({"Units": "days"}, ["40000", "40"], ["32507", "40"]),
        ({"Units": "decades"}, ["94"], None),
        ({"Description": "Age in years"}, ["93"], ["89"]),
        ({"Description": "age at the scan in months"}, ["120", "98", "134"], None),
        ({"Description": "age"}, ["34", "89"], ["34", "89"]),
        ({"Description": "age"}, ["34", "90"], None),
        ({"Description": "Age in mos. (school year 2019)"}, ["95"], None),
        ({"LongName": "Age at study year one", "Description": "mo"}, ["95"], None),
        (None, ["30-40"], None),
        (None, ["ninety"], None),
        (None, [">90"], None),
    ],
)
def test_ages_are_capped_where_their_unit_is_known_and_left_out_where_it_is_not(entry, ages, told):
    values, reason = cap_ages(ages, entry)
    assert list(values) == (told or ages)
    assert (reason is None) == (told is not None)
    text = "participant_id\tage\n" + "".join(f"sub-{n}\t{age}\n" for n, age in enumerate(ages))
    kept, left_out = scrub(text, dictionary={"age": entry} if entry else {})
    assert ("age" in kept.splitlines()[0]) == (told is not None)
    assert told is not None or "Units" in left_out[0].remedy


@pytest.mark.parametrize("name", ["Age", "AGE", "\u200bage"])
def test_an_age_is_one_however_its_name_is_written(name):
    assert scrub(f"participant_id\t{name}\nsub-01\t97\n")[0].endswith("sub-01\t89\n")


@pytest.mark.parametrize(("name", "value"), [("filename", "Kern.Ida"), ("session_id", "ses-19780304")])
def test_an_index_column_stays_where_it_says_what_a_row_is_about_and_nowhere_else(name, value):
    assert name not in scrub(f"participant_id\t{name}\nsub-01\t{value}\n")[0]


def test_visits_tell_the_rows_of_a_phenotype_table_apart():
    path = PurePosixPath("phenotype/scale.tsv")
    text = "participant_id\tsession_id\tscore\nsub-01\tses-V1\t3\nsub-01\tses-V2\t4\n"
    assert scrub(text, path) == (text, ())


def test_a_table_without_its_header_is_refused_and_no_cell_is_named():
    with pytest.raises(TableError, match="no header") as raised:
        scrub("1.5\tKern hits\n2.5\tgo\n", EVENTS)
    assert "Kern" not in str(raised.value)


def test_no_other_column_is_capped():
    text = "participant_id\tage_months\tgestational_age\tage_std_score\nsub-01\t998\t280\t121\n"
    assert scrub(text) == (text, ())


def test_times_of_acquisition_are_shifted_with_a_key_and_dropped_without():
    text = (
        "filename\tacq_time\tquality\n"
        "anat/a.nii.gz\t2018-06-04T19:31:49.235000\t1\nanat/b.nii.gz\tyesterday\t1\nanat/c.nii.gz\tn/a\t1\n"
    )
    kept, left_out = scrub(text, SCANS, days=lambda subject: day_offset(KEY, subject))
    times = [line.split("\t")[1] for line in kept.splitlines()[1:]]
    assert times[0].endswith("T19:31:49.235000") and int(times[0][:4]) < 1925 and times[1:] == ["n/a", "n/a"]
    assert [(one.what, one.reason) for one in left_out] == [
        ("line 3 of acq_time", "no date that can be shifted")
    ]
    kept, left_out = scrub(text, SCANS)
    assert "acq_time" not in kept and "--work-dir" in left_out[0].remedy


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), max_size=12) | st.from_regex(
    r"-?[0-9]{1,8}(\.[0-9]{1,3})?|[ab]|n/a|F", fullmatch=True
)
NAMES = st.sampled_from(["group", "score", "x", "sex", "handedness", "notes", "trial_type", "value"])
ENTRIES = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "Description": CELLS,
        "Levels": st.dictionaries(CELLS, CELLS, max_size=3),
        "Units": st.just("mm"),
    },
)


@given(st.sampled_from([PEOPLE, SCANS, EVENTS, PATHOLOGY]), st.data())
def test_what_stays_of_a_table_is_byte_for_byte_what_came_in(path, data):
    columns = data.draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    rows = data.draw(st.lists(st.tuples(*[CELLS] * len(columns)), max_size=5))
    dictionary = {column: entry for column in columns if (entry := data.draw(ENTRIES)) is not None}
    index = {PEOPLE: "participant_id", SCANS: "filename", PATHOLOGY: "sample_id"}.get(path)
    label = {"participant_id": "sub-{}", "filename": "anat/{}.nii", "sample_id": "sample-{}"}
    if index:
        columns, rows = [index, *columns], [(label[index].format(n), *row) for n, row in enumerate(rows)]
    text = "\n".join("\t".join(row) for row in (columns, *rows))
    try:
        table, _ = check_rows(parse_table(text.encode(), path), path)
    except TableError:
        return
    options = TableOptions(dictionary, lambda column: spread_of(()), KNOWN.are_in)
    shared, left_out = scrub_columns(table, path, options)
    named = {one.what for one in left_out}
    for column in table.columns:
        assert (f"column {column}" in named) == (column not in shared.columns)
        if column in shared.columns:
            assert shared.values(column) == table.values(column)
    assert set(INDEX_COLUMNS) & set(columns) <= set(shared.columns)
    json.dumps([one.reason for one in left_out])


def test_what_the_name_of_a_column_tells_is_a_kind_of_identifier_or_free_text():
    assert set(_personal_kinds().values()) == {*KINDS, "text"}


def test_spread_counts_people_not_rows():
    spread = spread_of([("sub-01", "a"), ("sub-01", "a"), ("sub-02", "a"), ("sub-03", "n/a")])
    assert spread.people == {"a": 2} and math.isinf(spread.largest)
