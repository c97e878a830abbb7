"""Tables: the study stays, who took part in it does not."""

from datetime import datetime
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.errors import UsageError
from bidsdeface.privacy.dates import day_offset, shift_back
from bidsdeface.privacy.dictionary import scrub_dictionary
from bidsdeface.privacy.tables import (
    TableError,
    bids_columns,
    format_table,
    keep_rows,
    parse_table,
    scrub_table,
)

KEY = bytes(range(32))
HERE = PurePath("participants.tsv")


def scrub(text, suffix="participants", **options):
    result = scrub_table(parse_table(text.encode(), HERE), suffix, HERE, **options)
    return format_table(result.table), result


def test_scores_groups_and_demographics_stay_as_they_are():
    text = (
        "participant_id\tage\tsex\thandedness\tgroup\tmmse\ttrail_b\treaction_time\tbirth_weight\tsite\tdiagnosis\n"
        "sub-01\t26\tf\tR\tpatient\t29\t73.25\t0.412\t3.41\t2\tMild Cognitive Impairment\n"
        "sub-02\t61\tm\tL\tcontrol\t30\tn/a\t0.387\tn/a\t1\tn/a\n"
    )
    kept, result = scrub(text)
    assert kept == text
    assert result.dropped == result.changed == ()


@pytest.mark.parametrize(
    "column",
    ["name", "FirstName", "last_name", "initials", "dob", "birth_date", "dateOfBirth", "year_of_birth", "MRN"]
    + [
        "patient_id",
        "hospital",
        "PatientID",
        "scan_date",
        "visit_date",
        "address",
        "zip",
        "postal_code",
        "city",
    ]
    + ["phone", "email", "comments", "notes", "operator", "referring_physician", "record_number", "scan_time"]
    + ["Nachname", "geb", "prénom", "apellidos", "birth_year", "examiner", "pt_initials"]
    + ["ssn", "country", "institution", "ZipCode", "case_no", "guid"],
)
def test_columns_that_name_number_date_or_place_a_person_go_by_their_name(column):
    kept, result = scrub(f"participant_id\t{column}\tscore\nsub-01\t1\t2\n")
    assert kept == "participant_id\tscore\nsub-01\t2\n"
    assert result.dropped == (column,)


@pytest.mark.parametrize(
    "value",
    ["2018-06-04", "04.06.2018", "6/4/2018", "20180604", "4 June 2018", "12:31:49", "jane@h.org"]
    + ["+49 201 123 4567", "(201) 555-0123", "4711081", "MN213418", "123-45-6789", "Doe^Jane", "Doe, Jane"]
    + ["Jane Doe", "1.2.840.113619.2.5.1762583", "C:\\Users\\jane", "came late, left early, was seen again"]
    + [
        "2018-06",
        "June 2018",
        "2018 06 04",
        "14:31",
        "20180604.0",
        "2.0180604e7",
        "1528140709.25",
        "2018\u201106\u201104",
    ]
    + ["Dr. Doe", "J. Doe", "Doe, J.", "4. Juni 2018", "le 3 février 1978", "4711081.5"]
    + ["a text of more than forty characters in it, n/a"],
)
def test_columns_whose_values_look_like_a_person_go_whatever_their_name(value):
    kept, result = scrub(f"participant_id\textra\tscore\nsub-01\t{value}\t2\nsub-02\tn/a\t3\n")
    assert kept == "participant_id\tscore\nsub-01\t2\nsub-02\t3\n"
    assert result.dropped == ("extra",)


def test_what_the_data_dictionary_describes_stays():
    described = {
        "volume": {"Description": "Intracranial volume", "Units": "mm3"},
        "dx": {"Levels": {"Mild Cognitive Impairment": "by criteria of 2011", "Healthy Control": "none"}},
    }
    text = (
        "participant_id\tvolume\tdx\n"
        "sub-01\t1523411\tMild Cognitive Impairment\nsub-02\t1423411\tHealthy Control\n"
    )
    assert scrub(text, dictionary=described)[0] == text
    assert scrub(text)[1].dropped == ("volume",)


def test_a_birth_date_as_a_number_goes_even_with_a_unit():
    text = "participant_id\tx\nsub-01\t19780304\n"
    assert scrub(text, dictionary={"x": {"Units": "mm3"}})[1].dropped == ("x",)


@pytest.mark.parametrize(
    ("columns", "values", "dropped"),
    [
        ("rater", "R1", ()),
        ("rater", "Hansen", ("rater",)),
        ("consultant", "x", ("consultant",)),
        ("rater1_score", "3.5", ()),
    ],
)
def test_who_looked_stays_as_a_code_only(columns, values, dropped):
    assert scrub(f"participant_id\t{columns}\nsub-01\t{values}\n")[1].dropped == dropped


def test_sites_stay_as_codes_only():
    assert scrub("participant_id\tsite\nsub-01\tA\nsub-02\t2\n")[1].dropped == ()
    assert scrub("participant_id\tsite\nsub-01\tRigshospitalet\nsub-02\t2\n")[1].dropped == ("site",)


@pytest.mark.parametrize(
    ("age", "told"),
    [
        ("88", "88"),
        ("88.5", "88.5"),
        ("89", "89"),
        ("92.5", "89"),
        ("89+", "89"),
        (">90", "89"),
        ("n/a", "n/a"),
    ]
    + [("85-95", "n/a"), ("30-40", "30-40"), ("ninety", "ninety")],
)
def test_ages_are_capped_at_89(age, told):
    kept, result = scrub(f"participant_id\tage\tage_at_onset\nsub-01\t{age}\t{age}\n")
    assert kept.splitlines()[1] == f"sub-01\t{told}\t{told}"
    assert result.changed == (() if age == told else ("age", "age_at_onset"))


def test_ages_in_months_are_capped_in_months():
    text = "participant_id\tage\tage_months\nsub-01\t1100\t1100\nsub-02\t120\t120\n"
    kept, _ = scrub(text, dictionary={"age": {"Units": "months"}})
    assert kept.splitlines()[1:] == ["sub-01\t1068\t1068", "sub-02\t120\t120"]


SCANS = "filename\tacq_time\tquality\nanat/sub-01_T1w.nii.gz\t2018-06-04T19:31:49.235000\t1\n"


def test_times_of_acquisition_are_shifted_with_a_key_and_dropped_without():
    kept, _ = scrub(SCANS, "scans", days=day_offset(KEY, "01"))
    shifted = kept.splitlines()[1].split("\t")[1]
    assert shifted.endswith("T19:31:49.235000") and int(shifted[:4]) < 1925
    kept, result = scrub(SCANS, "scans")
    assert kept == "filename\tquality\nanat/sub-01_T1w.nii.gz\t1\n"
    assert result.dropped == ("acq_time",)


@given(st.datetimes(datetime(1975, 1, 1), datetime(2099, 12, 31)), st.timedeltas(), st.text(max_size=9))
def test_intervals_stay_and_every_date_comes_before_1925(moment, step, subject):
    days = day_offset(KEY, subject)
    assert days == day_offset(KEY, subject)
    first = datetime.fromisoformat(shift_back(moment.isoformat(), days))
    assert first.year < 1925 and first.year > 1677
    try:
        later = moment + step
    except OverflowError:
        return
    shifted = shift_back(later.isoformat(), days)
    if shifted and later.year < 2100:
        assert datetime.fromisoformat(shifted) - first == step


def test_offsets_differ_between_participants_and_keys_and_need_a_key_of_32_bytes():
    assert len({day_offset(KEY, str(n)) for n in range(100)}) > 90
    assert day_offset(KEY, "01") != day_offset(KEY[::-1], "01")
    with pytest.raises(UsageError, match="31 bytes, not 32"):
        day_offset(KEY[1:], "01")


@pytest.mark.parametrize(
    "text", ["yesterday", "2018-13-45T00:00:00", "2018-06-04T19:31:49+02:00", "", "0001-01-01"]
)
def test_what_is_no_date_of_bids_is_not_told(text):
    assert shift_back(text, 64_100) is None
    row = f"filename\tacq_time\nanat/a.nii\t{text}\n"
    assert scrub(row, "scans", days=64_100)[0].splitlines()[1] == "anat/a.nii\tn/a"


def test_columns_that_bids_defines_are_not_dropped_for_their_name():
    assert {"name", "type", "units"} <= bids_columns("channels")
    text = "name\ttype\tunits\tmax_time\nCz\tEEG\tuV\t3\n"
    assert scrub(text, "channels")[0] == text
    text = "onset\tduration\ttrial_type\tresponse_time\tstim_file\n1.5\t2\tgo\t0.3\timages/face1.png\n"
    assert scrub(text, "events")[0] == text


def test_a_persons_word_wins_and_dropping_wins_over_keeping():
    text = "participant_id\tcity\tscore\tcomments\nsub-01\tEssen\t2\tgood\n"
    kept, result = scrub(text, keep=["city", "score"], drop=["score"])
    assert kept == "participant_id\tcity\nsub-01\tEssen\n"
    assert result.dropped == ("score", "comments")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"participant_id\tage\nsub-01\n", "line 2 has 1 values for 2"),
        (b"participant_id\tage\nsub-01\t1\t2\n", "line 2 has 3"),
        (b'participant_id\tage\nsub-01\t"a\nb"\n', "line 3 has 1"),
        ("participant_id\tname\nsub-01\tJürgen\n".encode("latin-1"), "not UTF-8"),
        (b"participant_id\tx\nsub-01\tab\x00c\n", "line 2 has control"),
        (b"participant_id\tx\nsub-01\ta\rb\n", "line 2 has control"),
        (b"a\ta\n1\t2\n", "one name"),
        (b"a\t\n1\t2\n", "has none"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        ("participant_id\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_malformed_table_is_refused_by_name_and_without_a_value(content, said):
    with pytest.raises(TableError, match=said) as told:
        parse_table(content, HERE)
    assert "participants.tsv" in str(told.value)
    assert "rgen" not in str(told.value) and "sub-01" not in str(told.value)


def test_byte_order_marks_windows_line_ends_and_quotes_do_no_harm():
    content = b'\xef\xbb\xbfparticipant_id\tgroup\r\nsub-01\t"a"\r\n\r\n'
    assert format_table(parse_table(content, HERE)) == 'participant_id\tgroup\nsub-01\t"a"\n'


def test_a_row_about_nobody_in_particular_is_refused():
    with pytest.raises(TableError, match="participant_id"):
        scrub("participant_id\tage\nJane Doe\t3\n")


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(content):
    try:
        table = parse_table(content, HERE)
    except TableError:
        return
    scrub_table(table, "beh", HERE)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), max_size=12)


@given(st.lists(CELLS, min_size=1, max_size=4, unique=True), st.data())
def test_a_dropped_column_is_never_kept_and_once_is_enough(columns, data):
    rows = data.draw(st.lists(st.tuples(*[CELLS] * len(columns)), max_size=3))
    try:
        table = parse_table("\n".join("\t".join(row) for row in (columns, *rows)).encode(), HERE)
    except TableError:
        return
    drop = data.draw(st.sets(st.sampled_from(columns)))
    once = scrub_table(table, "beh", HERE, drop=drop).table
    assert not drop & set(once.columns)
    again = scrub_table(once, "beh", HERE)
    assert again.table == once


def test_data_dictionaries_lose_dropped_columns_and_what_looks_like_a_person():
    dictionary = {
        "age": {"Description": "Age at scan", "Units": "years"},
        "mrn": {"Description": "Record number"},
        "mmse": {
            "Description": "Asked by jane@hospital.org",
            "LongName": "Mini mental state",
            "Levels": {"0": "worst", "30": "best"},
            "Interviewer": "Jane Doe",
        },
        "MeasurementToolMetadata": {"Description": "since 2018-03-01"},
        "PatientName": "Doe",
        "TaskName": "rest",
    }
    kept, dropped = scrub_dictionary(dictionary, ["age", "mmse"])
    assert kept["age"] == dictionary["age"]
    assert kept["mmse"] == {"LongName": "Mini mental state", "Levels": {"0": "worst", "30": "best"}}
    assert not {"mrn", "PatientName"} & kept.keys()
    assert {"mrn", "mmse.Description", "mmse.Interviewer", "PatientName"} <= set(dropped)
    assert "hospital" not in str(kept) and "2018" not in str(kept)


def test_rows_are_kept_by_what_they_are_about():
    table = parse_table(b"filename\tq\nanat/a.nii\t1\nanat/b.nii\t2\n", HERE)
    assert (
        format_table(keep_rows(table, "filename", {"anat/b.nii"}.__contains__))
        == "filename\tq\nanat/b.nii\t2\n"
    )
