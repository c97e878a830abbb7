"""EDF and BDF files are copied byte for byte, but for what may tell who it is."""

import io
import os
import shutil
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import edfio
import numpy as np
import pytest

from bidsdeface.companions.select import FileKind
from bidsdeface.companions.write import WRITERS
from bidsdeface.dataset.people import People
from bidsdeface.deidentify.edf import (
    is_harmless_annotation,
    is_harmless_label,
    read_header,
    read_signals,
    scrub_edf,
    texts_in_edf,
)
from bidsdeface.deidentify.policy import load_policy
from bidsdeface.errors import BidsdefaceError
from bidsdeface.leakcheck.inspect import inspect_edf

NOTES, SAMPLES = b"EDF Annotations", np.arange(-20, 20, dtype="<i2").tobytes()
FREE = {"is_shared": lambda text: True}  # all pass that do not tell


def made(labels=(b"EEG Cz",), records=(), reserved=b"EDF+C", count=None, changed=(), version=b"0", width=2):
    """Return a file: of each record, the bytes of each signal; fields of the header may be others."""
    sizes = [len(one) // width for one in records[0]] if records else [20] * len(labels)
    fields = {
        "patient": b"4711 F 04-MAR-1978 Jane_Beck", "recording": b"Startdate 04-JUN-2018 X Anna X",
        "day": b"04.06.18", "time": b"14.31.07", "bytes": b"%d" % (256 * (1 + len(labels))),
        "reserved": reserved, "records": b"%d" % (len(records) if count is None else count), "duration": b"1",
        "transducer": b"AgAgCl electrode", "unit": b"uV", "low": b"-3.2e2", "high": b"320",
        "filter": b"HP:0.1Hz", "kept": b"", "digital": b"-32768", **dict(changed),
    }  # fmt: skip
    head = version.ljust(8) + fields["patient"].ljust(80) + fields["recording"].ljust(80) + fields["day"]
    head += fields["time"] + fields["bytes"].ljust(8) + fields["reserved"].ljust(44)
    head += fields["records"].ljust(8) + fields["duration"].ljust(8) + (b"%d" % len(labels)).ljust(4)
    for size, field in (
        (16, None), (80, "transducer"), (8, "unit"), (8, "low"), (8, "high"), (8, "digital"),
        (8, b"32767"), (80, "filter"), (8, sizes), (32, "kept"),
    ):  # fmt: skip
        for number, label in enumerate(labels):
            value = label if field is None else fields.get(field, field) if isinstance(field, str) else field
            head += (b"%d" % sizes[number] if field is sizes else value).ljust(size)
    return head + b"".join(b"".join(record) for record in records)


def notes(*tals, size=60):
    return b"".join(tals).ljust(size, b"\0")


def tal(when, *texts):
    return when + b"\x14" + b"".join(text + b"\x14" for text in texts) + b"\0"


@pytest.fixture
def scrubbed(tmp_path):
    """Scrub what is given; the result must be clean for the leak check, and be left alone by a second run."""

    def scrub(content, suffix="edf", **how):
        source, target = tmp_path / f"raw.{suffix}", tmp_path / f"clean.{suffix}"
        source.write_bytes(content)
        emptied = scrub_edf(source, target, **how)
        assert source.read_bytes() == content
        assert list(inspect_edf(target, how.get("is_shared", lambda text: False))) == []
        scrub_edf(target, tmp_path / "again", **how)
        assert (tmp_path / "again").read_bytes() == target.read_bytes()
        return target.read_bytes(), emptied

    return scrub


def test_the_header_is_the_one_that_edfio_makes_anonymous(scrubbed, tmp_path):
    content = made(
        (b"EEG Cz", NOTES),
        [(SAMPLES, notes(tal(b"+0", b"")))],
        changed={"reserved": b"EDF+C Jane", "kept": b"x"},
    )
    clean, emptied = scrubbed(content)
    judge = edfio.read_edf(tmp_path / "raw.edf")
    judge.anonymize()
    judge.write(tmp_path / "judge.edf")
    expected = bytearray((tmp_path / "judge.edf").read_bytes()[:192])
    assert clean[:192] == bytes(expected) and clean[192:236] == b"EDF+C".ljust(44)
    assert clean[704:768] == b" " * 64 and emptied == ()
    assert clean[236:704] == content[236:704] and clean[768:] == content[768:]


def test_the_onsets_of_a_discontinuous_recording_stay(scrubbed, tmp_path):
    starts = (b"+0", b"+17.5", b"+4000.25")
    records = [(SAMPLES, notes(tal(when, b""), tal(when + b"\x150.5", b"Jane moves"))) for when in starts]
    content = made((b"EEG Cz", NOTES), records, reserved=b"EDF+D")
    clean, emptied = scrubbed(content)
    wanted = [(SAMPLES, notes(tal(when, b""), tal(when + b"\x150.5", b"n/a"))) for when in starts]
    assert clean[768:] == made((b"EEG Cz", NOTES), wanted)[768:]
    assert clean[192:236] == b"EDF+D".ljust(44) and emptied == ("annotations",)
    read = edfio.read_edf(tmp_path / "clean.edf")
    assert [(one.onset, one.duration, one.text) for one in read.annotations] == [
        (0.0, 0.5, "n/a"), (17.5, 0.5, "n/a"), (4000.25, 0.5, "n/a")
    ]  # fmt: skip


@pytest.mark.parametrize("lost", [1, 25, 40, 59, 70, 139])
def test_a_truncated_record_stays_as_far_as_it_goes_and_names_nobody(lost, scrubbed):
    record = (SAMPLES, notes(tal(b"+0", b""), tal(b"+0.5", b"Jane Beck came in, and went again")))
    whole = made((b"EEG Cz", NOTES), [record, record], count=2)
    clean, emptied = scrubbed(whole[:-lost])
    assert len(clean) == len(whole) - lost and emptied == ("annotations",)
    assert clean[236:244] == b"2".ljust(8) and b"Jane" not in clean and b"went" not in clean
    assert clean[768:848] == SAMPLES and clean[908:988] == SAMPLES[: len(clean) - 908]


@pytest.mark.parametrize(("count", "ending"), [(-1, b"abc"), (2, b""), (3, b"abc")])
def test_the_count_of_records_stays_and_all_that_are_there_are_cleaned(count, ending, scrubbed):
    record = (SAMPLES, notes(tal(b"+0", b""), tal(b"+0.5", b"Jane Beck")))
    content = made((b"EEG Cz", NOTES), [record, record], count=count) + ending
    clean, _ = scrubbed(content)
    assert clean[236:244] == (b"%d" % count).ljust(8) and len(clean) == len(content)
    assert b"Jane" not in clean and clean.count(b"n/a") == 2


AFTER = ("bytes that belong to nothing", "after the last record")


@pytest.mark.parametrize(
    ("labels", "records"),
    [((), []), ((b"EEG Cz",), [(SAMPLES,)]), ((b"EEG Cz",), [(b"ab",), (b"cd",)])],
)
@pytest.mark.parametrize("ending", [b"J", b"Jane Doe born 1978-03-04", b"Jane" * 40])
def test_bytes_after_the_last_record_are_removed_and_found(labels, records, ending, scrubbed, tmp_path):
    content = made(labels, records, reserved=b"")
    clean, emptied = scrubbed(content + ending)
    assert clean[256:] == content[256:] and emptied == ("bytes after the last record",)
    (tmp_path / "x.edf").write_bytes(clean + ending)
    assert list(inspect_edf(tmp_path / "x.edf")) == [AFTER]
    (tmp_path / "x.edf").write_bytes(clean)
    assert list(inspect_edf(tmp_path / "x.edf")) == []


def test_the_account_names_removed_bytes_and_their_reason(tmp_path):
    (tmp_path / "x.edf").write_bytes(made((b"EEG Beck",), [(SAMPLES,)]) + b"Jane Beck")
    nobody = SimpleNamespace(is_shared=lambda text: False, are_in=lambda text: False)
    source = SimpleNamespace(root=tmp_path, raw=SimpleNamespace(census=nobody), identifiers=nobody)
    parts = WRITERS[FileKind.EDF](source, PurePosixPath("x.edf"), tmp_path / "y.edf", None)
    assert [(one.what, one.reason) for one in parts] == [
        ("bytes after the last record", "they belong to no record"),
        ("texts of labels", "some are neither usual nor shared by three participants"),
    ]


@pytest.mark.parametrize("count", [0, 1])
def test_records_beyond_the_count_are_removed(count, scrubbed):
    record = (SAMPLES, notes(tal(b"+0", b""), tal(b"+0.5", b"T1")))
    content = made((b"EEG Cz", NOTES), [record, record], count=count)
    clean, emptied = scrubbed(content)
    assert clean[256:] == content[256 : 768 + 140 * count] and emptied == ("bytes after the last record",)


def test_a_plain_file_stays_plain_and_signals_keep_their_order(scrubbed, tmp_path):
    content = made((b"EEG Cz", b"SaO2"), [(SAMPLES, SAMPLES[:20])], reserved=b"")
    clean, _ = scrubbed(content)
    assert clean[256:] == content[256:] and clean[192:256] == content[192:256]
    assert [one.label for one in edfio.read_edf(tmp_path / "clean.edf").signals] == ["EEG Cz", "SaO2"]


def test_two_signals_of_annotations_stay_two_where_they_are(scrubbed):
    labels = (NOTES, b"EEG Cz", NOTES)
    records = [
        (notes(tal(b"+0", b"")), SAMPLES, notes(tal(b"+0.5", b"Eyes Open", b"Anna"), tal(b"+1", b"S255")))
    ]
    clean, _ = scrubbed(made(labels, records))
    wanted = [(records[0][0], SAMPLES, notes(tal(b"+0.5", b"Eyes Open", b"n/a"), tal(b"+1", b"S255")))]
    assert clean[1024:] == made(labels, wanted)[1024:] and clean[256:304] == made(labels, records)[256:304]


def test_a_file_without_signals_is_copied(scrubbed):
    content = made((), [], reserved=b"")
    clean, emptied = scrubbed(content)
    assert len(clean) == 256 and emptied == () and clean[192:] == content[192:]


def test_the_annotations_of_a_bdf_file_have_three_bytes_a_sample(scrubbed, tmp_path):
    samples = bytes(range(120))
    record = (samples, notes(tal(b"+0", b""), tal(b"+0.5", b"Jane Beck"), tal(b"+0.7", b"T1")))
    content = made(
        (b"A1", b"BDF Annotations"), [record] * 3, reserved=b"BDF+C", version=b"\xffBIOSEMI", width=3
    )
    clean, emptied = scrubbed(content, "bdf")
    assert emptied == ("annotations",) and clean[:8] == b"\xffBIOSEMI" and clean.count(samples) == 3
    read = edfio.read_bdf(tmp_path / "clean.bdf")
    assert sorted(one.text for one in read.annotations) == ["T1"] * 3 + ["n/a"] * 3
    assert texts_in_edf(tmp_path / "raw.bdf") == {"A1", "BDF Annotations", "Jane Beck", "T1"}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (b"Jane", b"n/a"), (b"JB", b"n/"), (b"J", b"n"), ("J\u00f6rg".encode(), b"n/a"), (b"J\xf6rg", b"n/a"),
        (b"Eyes Open", b"Eyes Open"), (b"S  1", b"S  1"), (b"Jane\x15Beck", b"n/a"),
    ],
)  # fmt: skip
def test_a_text_is_replaced_within_its_bytes(text, left, scrubbed):
    record = (notes(tal(b"+0", b""), tal(b"+1", text), size=2 * (7 + len(text))),)
    clean, _ = scrubbed(made((NOTES,), [record]))
    assert clean[512:] == notes(tal(b"+0", b""), tal(b"+1", left), size=2 * (7 + len(text)))


@pytest.mark.parametrize(
    "block", [b"Jane Beck", b"Jane Beck\x14\x14\0", b"+0\x14\x14\0+1\x15Jane\x14S 1\x14\0"]
)
def test_a_name_in_the_place_of_a_time_goes_as_well(block, scrubbed):
    assert b"Jane" not in scrubbed(made((NOTES,), [(notes(block),)]))[0]


@pytest.mark.parametrize("onset", [b"+10,5", b"+0 ", b" +1", b"+ 7", b"+1.5e1", b"-2", b"+.5", b"+3."])
@pytest.mark.parametrize("duration", [b"", b"\x15", b"\x150,5", b"\x15 2 ", b"\x151.5e1", b"\x15+1"])
def test_times_in_other_spellings_stay(onset, duration, scrubbed):
    block = notes(tal(b"+0", b""), tal(onset + duration, b"Jane moves", b"T1"))
    left = notes(tal(b"+0", b""), tal(onset + duration, b"n/a", b"T1"))
    assert scrubbed(made((NOTES,), [(block,)]))[0][512:] == left


@pytest.mark.parametrize("number", [b"4711082", b" 4711082 ", b"+4711082", b"0.4711082"])
def test_a_number_that_is_no_onset_is_a_text(number, scrubbed):
    block = notes(tal(b"+0", b""), b"\0" + number + b"\0", tal(b"+1", b"T1"))
    clean, emptied = scrubbed(made((NOTES,), [(block,)]))
    assert b"4711082" not in clean and b"+1\x14T1\x14" in clean and emptied == ("annotations",)


DATES = b"19780304", b"+19780304", b"019780304", b"19780304.0", b"19780304,0", b"1.9780304e7"


@pytest.mark.parametrize("number", DATES)
def test_a_duration_that_reads_as_a_date_goes_and_is_found(number, scrubbed, tmp_path):
    content = made((NOTES,), [(notes(tal(b"+0", b""), tal(b"+1\x15" + number, b"T1")),)])
    clean, emptied = scrubbed(content)
    assert clean[512:] == notes(tal(b"+0", b""), tal(b"+1", b"T1")) and emptied == ("annotations",)
    clean = clean[:512] + content[512:]
    (tmp_path / "x.edf").write_bytes(clean)
    assert list(inspect_edf(tmp_path / "x.edf")) == [("date", "annotation")]


@pytest.mark.parametrize("number", [b"+19780304", b"-19780304", b"+19780304.0", b"+1.9780304e7"])
def test_an_onset_that_reads_as_a_date_goes_and_is_found(number, scrubbed, tmp_path):
    content = made((NOTES,), [(notes(tal(b"+0", b""), tal(number, b"T1")),)])
    clean, emptied = scrubbed(content)
    assert clean[512:] == notes(tal(b"+0", b""), tal(b"n/a", b"T1")) and emptied == ("annotations",)
    (tmp_path / "x.edf").write_bytes(clean[:512] + content[512:])
    assert list(inspect_edf(tmp_path / "x.edf")) == [("date", "annotation")]


@pytest.mark.parametrize("time", [b"+10,5", b"+0 ", b"+1.5e1", b"+1\x150,5"])
def test_texts_after_times_in_other_spellings_are_found(time, tmp_path):
    content = made((NOTES,), [(notes(tal(b"+0", b""), tal(time, b"jane@hospital.org")),)])
    (tmp_path / "x.edf").write_bytes(content)
    assert ("e-mail", "annotation") in set(inspect_edf(tmp_path / "x.edf"))


@pytest.mark.parametrize(
    "label",
    [
        b"EDF annotations", b"EDF Annotations", b"EDF Annotations 2", b"EDF Annotation", b"Annotations",
        b"annotation", b"Annotations 2",
    ],
)  # fmt: skip
def test_annotations_are_known_by_labels_like_theirs(label, scrubbed):
    assert b"Jane" not in scrubbed(made((label,), [(notes(tal(b"+0", b""), tal(b"+1", b"Jane")),)]))[0]


def test_what_tells_never_stays_and_annotations_keep_their_label(scrubbed):
    record = (SAMPLES, SAMPLES, notes(tal(b"+0", b""), tal(b"+1", b"Eyes Open"), tal(b"+1", b"T1")))
    content = made((b"Beck1", b"T1", NOTES), [record])
    clean, emptied = scrubbed(
        content, identifies=lambda text: text in ("Beck1", "Eyes Open", "EDF Annotations"), **FREE
    )
    assert clean[256:304] == b"".ljust(16) + b"T1".ljust(16) + NOTES.ljust(16)
    assert b"Eyes" not in clean and clean.count(b"T1") == 2 and emptied == ("annotations", "labels")


def test_what_looks_like_a_date_never_stays(scrubbed):
    record = (notes(tal(b"+0", b""), tal(b"+1", b"2018-06-04")),)
    assert b"2018-06" not in scrubbed(made((NOTES,), [record]), **FREE)[0]


def test_unknown_fields_of_signals_are_emptied_and_told(scrubbed):
    changed = {"transducer": b"by Jane", "unit": b"Jane", "filter": b"Jane's"}
    clean, emptied = scrubbed(made((b"EEG Beck",), [(SAMPLES,)], changed=changed))
    assert b"Jane" not in clean and b"Beck" not in clean
    assert emptied == ("labels", "transducers, filters and units")
    assert clean[256:360] == b" " * 104


UNITS = """
uV, mV, nV, V, \u00b5V, Boolean, bool, DegC, degC, deg C, \u00b0C, DegF, bpm, BPM, mmHg, cmH2O, %, deg, L/min, l/s, dB, rpm,
mbar, hPa, kPa, kOhm, uS, g, m/s^2, uV^2, a.u., bits, mL, ml/s, brpm, degrees, lx, ADU, /min
"""  # noqa: E501


@pytest.mark.parametrize("unit", [one.strip() for one in UNITS.split(",")])
def test_usual_units_stay(unit, scrubbed):
    content = made((b"EEG Cz",), [(SAMPLES,)], changed={"unit": unit.encode("latin-1")})
    assert scrubbed(content)[0][352:360] == content[352:360]


@pytest.mark.parametrize("unit", [b"Jane", b"Doe/min", b"1978", b"J.D.", b"4711082", b"Beck"])
def test_unusual_units_go(unit, scrubbed):
    assert scrubbed(made((b"EEG Cz",), [(SAMPLES,)], changed={"unit": unit}))[0][352:360] == b" " * 8


@pytest.mark.parametrize(
    "changed",
    [{name: b"Jane"} for name in ("bytes", "records", "duration", "low", "high", "digital")]
    + [{name: b"19780304"} for name in ("records", "duration", "low", "high", "digital")]
    + [{"bytes": b"600"}, {"records": b"1.5"}, {"records": b"-+1"}, {"low": b"nan"}],
    ids=str,
)  # fmt: skip
def test_a_header_with_text_or_a_date_in_place_of_numbers_is_refused(changed, tmp_path):
    (tmp_path / "x.edf").write_bytes(made((b"EEG Cz",), [(SAMPLES,)], changed=changed))
    if "bytes" not in changed or changed["bytes"] == b"Jane":
        assert ("EDF header", "numbers") in set(inspect_edf(tmp_path / "x.edf"))
    with pytest.raises(BidsdefaceError, match=r"x\.edf: .*; ") as raised:
        scrub_edf(tmp_path / "x.edf", tmp_path / "y.edf")
    assert "Jane" not in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "y.edf").exists()


@pytest.mark.parametrize(
    "changed", [{"bytes": b"00000512"}, {"records": b"2.0"}, {"bytes": b"+512"}, {"records": b"+2."}]
)
def test_numbers_in_other_spellings_are_numbers(changed, scrubbed):
    content = made((b"EEG Cz",), [(SAMPLES,), (SAMPLES,)], reserved=b"", changed=changed)
    clean, emptied = scrubbed(content + b"Jane")
    assert clean[184:] == content[184:] and emptied == ("bytes after the last record",)


@pytest.mark.parametrize("signals", [b"1.0", b"0001", b"+1"])
def test_the_number_of_signals_may_be_spelled_otherwise(signals, scrubbed):
    content = bytearray(made((b"EEG Cz",), [(SAMPLES,)], reserved=b""))
    content[252:256] = signals.ljust(4)
    assert scrubbed(bytes(content))[0][184:] == content[184:]


@pytest.mark.parametrize(
    "content", [b"", b"0       nothing more", made()[:300], made()[:500], made(version=b"Jane")]
)
def test_what_is_no_edf_file_is_refused(content, tmp_path):
    (tmp_path / "x.edf").write_bytes(content)
    with pytest.raises(BidsdefaceError, match=r"x\.edf: ") as raised:
        scrub_edf(tmp_path / "x.edf", tmp_path / "y.edf")
    assert "Jane" not in str(raised.value) and not (tmp_path / "y.edf").exists()
    with pytest.raises(BidsdefaceError, match=r"z\.edf: "):
        scrub_edf(tmp_path / "z.edf", tmp_path / "y.edf")


def test_the_patient_of_a_damaged_file_is_still_known(tmp_path):
    content = bytearray(made((b"EEG Cz",)))
    content[252:256] = b"none"
    path = tmp_path / "sub-01/eeg/sub-01_task-rest_eeg.edf"
    path.parent.mkdir(parents=True)
    path.write_bytes(content[:256])
    assert People(tmp_path, load_policy()).identifiers_of("01").are_in("thanks to Jane Beck")
    stream = io.BytesIO(content)
    header = read_header(stream)
    assert header["patient"].endswith("Jane_Beck") and stream.tell() == 256
    with pytest.raises(ValueError, match="number of signals"):
        read_signals(stream, header)
    found = []
    with pytest.raises(ValueError, match="number of signals"):
        for one in inspect_edf(path):
            found.append(one)
    assert ("EDF header", "patient") in found


def test_through_a_link_a_plain_file_is_written_and_a_preview_says_the_same(tmp_path, monkeypatch):
    content = made((NOTES,), [(notes(tal(b"+0", b""), tal(b"+1", b"Jane")),)])
    (tmp_path / "there").write_bytes(content + b"Jane")
    (tmp_path / "x.edf").symlink_to("there")
    emptied = scrub_edf(tmp_path / "x.edf", tmp_path / "y.edf")
    monkeypatch.setattr(shutil, "copyfile", None)  # a preview copies nothing
    assert not (tmp_path / "y.edf").is_symlink() and (tmp_path / "there").read_bytes() == content + b"Jane"
    assert emptied == scrub_edf(tmp_path / "x.edf", Path(os.devnull))
    assert emptied == ("annotations", "bytes after the last record")


NAMES = "Jane, Anna-Koch, EEG Beck, Jane Doe, Doe^J, Doe 1978-03-04, JB, JB 0304, Jane1978, EEG Cz-Jane, 1978"
ELECTRODES = """
EEG Cz, EEG Fp1-Ref, EEG Fpz-Cz, C3-A2, C4-M1, C3-A1A2, C3-A1+A2, EEG F7-LE, Cz-Ref, EEG FP1-REF, EEG Cz-Avg, AFp1, AFF5h,
TTP7h, POO1, OI2h, CPP5h, Nz, Iz, AFz, E128, EEG 001, EXG1, A32, C'3, LA12, RHH3, LTG64, EEG LA1-Ref, POL DC01,
SEEG LA1-LA2, A'1-A'2, LOC-A2, E1-M2, EOG, EOG left, EOG-L, HEOG, VEOG, EMG1-EMG2, ECG1-ECG2, ECG, EKG, SaO2, Status,
EDF Annotations, 12,
"""  # noqa: E501
NO_CODES = "JB 0304, 1978, Jane, JB 12, S 1978, trial 2018, 20180604, J 0304, Stimulus/Jane, Jane 12"
CODES = """
S 12, R  1, S255, S  1, Stimulus/S  1, Response/R128, T0, T1, DIN1, DI10, 128, 7, stim/3, trial 1024, Trigger 4096, D255,
TTL: 1, Trigger#1, event_12, Block 3, Sleep stage N2, N2, Eyes Open, O  1, New Segment/
"""  # noqa: E501


@pytest.mark.parametrize("label", NAMES.split(", "))
def test_a_name_is_no_label_of_a_signal(label):
    assert not is_harmless_label(label)


@pytest.mark.parametrize("label", [one.strip() for one in ELECTRODES.split(",")])
def test_electrodes_are(label):
    assert is_harmless_label(label)


@pytest.mark.parametrize("text", NO_CODES.split(", "))
def test_names_and_years_are_no_codes(text):
    assert not is_harmless_annotation(text)


@pytest.mark.parametrize("text", [one.strip() for one in CODES.split(",")])
def test_codes_of_events_are(text):
    assert is_harmless_annotation(text)
