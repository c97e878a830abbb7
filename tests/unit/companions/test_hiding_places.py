"""Where nobody thinks of looking: secrets in odd places, encodings and spellings of a dataset to share."""

# ruff: noqa: E501, SIM905 — tables of data, one file a line

import json
import struct

import nibabel as nib
import numpy as np
import pytest

from bidsdeface.dataset.validator import find_problems
from bidsdeface.deidentify.contents import gzip_extras
from bidsdeface.leakcheck.find import find_leaks
from tests.conftest import fake_head
from tests.fullset import PHYSICS, edf, full_dataset, image, packed
from tests.unit.companions.test_secrets import BOLD, EVENTS, PHYSIO, T1W, A, all_bytes, share


def nifti_2(fields):
    """Return a NIfTI-2 file with texts and numbers in its header."""
    made = nib.Nifti2Image(np.ones((12, 14, 10), np.int16), fake_head((12, 14, 10), (6.0, 6.0, 6.0)).affine)
    for field, value in fields.items():
        made.header[field] = value
    return made.to_bytes()


def with_gap(text):
    """Return an image with bytes between its header and its voxels, under an extension whose size is wrong."""
    plain = image(seed=3)
    start = bytearray(plain[:348])
    gap = b"\x01\0\0\0" + struct.pack("<ii", 4000, 6) + text
    gap += b"\0" * (-len(gap) % 16 + 12)
    struct.pack_into("<f", start, 108, 348 + len(gap))
    return bytes(start) + gap + plain[352:]


def members(*parts):
    """Return a gzip file of several members, each with a name of its own."""
    return b"".join(packed(content, name) for content, name in parts)


def with_extra_field(content, text):
    """Return a gzip file with an extra field in its header."""
    done = bytearray(packed(content))
    done[3] |= 4
    done[10:10] = struct.pack("<H", len(text)) + text
    return bytes(done)


def edf_with(text, at):
    """Return an EDF file that has a text at one place of its header."""
    made = bytearray(edf())
    made[at : at + len(text)] = text
    return bytes(made)


FMAP, DWI, EEG = (
    f"{A}fmap/sub-01_ses-a_phasediff",
    f"{A}dwi/sub-01_ses-a_dwi",
    f"{A}eeg/sub-01_ses-a_task-rest_eeg",
)
B_BOLD = BOLD.replace("ses-a", "ses-b")
B_EEG = EEG.replace("ses-a", "ses-b")
FILES = {
    # Images
    f"{FMAP}.nii.gz": members((nifti_2({"descrip": b"Xdescrip2", "aux_file": b"Xaux2", "intent_name": b"Xintent2", "unused_str": b"Xunused2"}), "Xmember1.nii"), (b"Xaftermember", "Xmember2.nii")),
    f"{BOLD}.nii.gz": packed(image((12, 14, 10, 4), {"session_error": 1904, "extents": 19040506, "glmax": 19040507, "glmin": 19040508, "cal_min": 19040509}, seed=2)),
    f"{B_BOLD}.nii.gz": packed(with_gap(b"Xgapbytes")),
    f"{DWI}.nii.gz": with_extra_field(image((12, 14, 10, 2), seed=3), b"Xextrafield"),
    f"{DWI.replace('ses-a', 'ses-b')}.bval": "# Xbvalcomment\n0 1000\n",
    # Sidecars
    f"{T1W}.json": {
        **PHYSICS, "_comment": "Xcomment", "global": {"const": {"PatientName": "Xdcmstack"}}, "dcmmeta_shape": [1, "Xdcmmeta"],
        "Xkeyname": {"Description": "Xkeydescription"}, "Xkey surname": {"Levels": {"Xlevelname": "Xleveltext"}},
        "ImageType": ["ORIGINAL", "Ximagetype"], "ShimSetting": [1, 19040510], "EchoTime": [0.003, 19040511.0],
        "NonlinearGradientCorrection": "Xnoflag", "Sources": ["file:///home/Xsources/a.nii"], "Columns": ["Xcolumns"],
        "TermURL": "https://Xtermurl.org/people/1904", "TaskName": {"Xtaskkey": "Xtaskname"}, "SeriesDescription": "Xseries",
        "HardwareFilters": {"Xfilter": {"Xfilterkey": "Xfiltervalue"}}, "ReconFilterType": "Xfiltertype",
        "IntendedFor": "/data/Xintended/sub-01/anat/sub-01_T1w.nii.gz", "StimulusPresentation": {"SoftwareName": "Xsoftware", "Xstimkey": 1},
        "SequenceName": "Xsequencename", "CoilString": "Xcoil", "DeidentificationMethod": ["Xmethod"], "Bidsdeface": {"Verdict": "Xverdict"},
        "Units": "Xunits", "PatientName": "Xperson^Xforename", "PatientID": "01",
    },
    f"{FMAP}.json": b"\xff\xfe" + '{"EchoTime1": 0.004, "EchoTime2": 0.006, "InstitutionName": "Xutf16"}'.encode("utf-16-le"),
    f"{BOLD}.json": b"\xef\xbb\xbf" + b'{\r\n"RepetitionTime": 2.0, "TaskName": "rest",\r\n"InstitutionName": "Xbomcrlf",\r\n"InstitutionName": "Xtwice"}',
    "task-rest_bold.json": {"TaskName": "rest", "RepetitionTime": 2.0, "EchoTime": "Xinheritedtext"},
    "sub-01/sub-01_task-rest_bold.json": {"RepetitionTime": 2.0, "InstitutionAddress": "Xinherited", "EffectiveEchoSpacing": 19040512},
    # Tables
    "participants.tsv": (
        "participant_id\tage\tage_months\tageatscan\tAlter\tgeboren\tNachname\tprénom\tjoined\tmri_start\tXheading^Xname\tmonth\tstamp\tepoch\tunicode\tlong\twhole\tgroup\n"
        "sub-01\t90+\t1104\t93.25\t97\t4. März 1978\tXnachname\tXprenom\t1978-03\t14:31\t1\tMarch 1978\t19780304.0\t1559638309.235\t1978\u201103\u201104\t1.9780304e7\t27182818.5\tXperson went\n"
        "sub-02\t61\t500\t41.5\t44\tn/a\tXnachname\tXprenom\t1981-12\t15:02\t1\tMay 1981\t19810203.0\t1559638310.5\tn/a\tn/a\tn/a\tcontrol\n"
    ),
    "participants.json": {
        "age_months": {"Description": "age", "Units": "months"}, "Xghost": {"Description": "Xghostdescription"}, "group": {"Description": "as Xperson says", "Levels": {"control": "c"}},
    },
    f"{A}sub-01_ses-a_scans.tsv": "filename\tacq_time\nanat/sub-01_ses-a_T1w.nii.gz\t2018-06-04T09:00:00\nfunc/sub-01_ses-a_task-rest_bold.nii.gz\t04.06.1975 Xacqtime\n",
    f"{EVENTS}.tsv": "onset\tduration\ttrial_type\trater\n1.0\t2.0\tXperson\tXperson\n2.0\t2.0\tgo\tXforename\n",
    f"{EVENTS.replace('ses-a', 'ses-b')}.tsv": "onset\tduration\ttrial_type\n1.0\t2.0\tXlatin\u00e9\n".encode("latin-1"),
    f"{PHYSIO}.tsv.gz": members((b"0.1\t7\n0.2\tn/a\n", "Xphysio1.tsv"), (b"0.3\tn/a\n", "Xphysio2.tsv")) + b"\0" * 7,
    f"{PHYSIO}.json": {"SamplingFrequency": 50, "StartTime": -1.5, "Columns": ["cardiac", "Xperson_ecg"], "cardiac": {"Description": "pulse", "Who": "Xwho"}, "Xperson_ecg": {"Description": "x"}},
    f"{PHYSIO.replace('ses-a', 'ses-b')}.tsv.gz": packed(b"cardiac\tXheadered\n0.1\t2\n"),
    # Recordings
    f"{EEG}.edf": edf(patient=b"X F 06-FEB-1911 Xedfpatient", annotation=b"Xannotation said hello"),
    f"{B_EEG}.edf": edf_with(b"EDF+C Xreserved", 192),
    "sub-02/ses-a/eeg/sub-02_ses-a_task-rest_eeg.edf": edf_with(b"Xedflabelname", 256),
    "sub-02/ses-b/eeg/sub-02_ses-b_task-rest_eeg.edf": edf_with(b"Xsignalreserve", 256 + 2 * (16 + 80 + 8 * 5 + 80 + 8)) + b"Xafterrecords",
    # Places
    f"{A}anat/.hidden_Xhidden": "x", f"{A}.Xdsstore": "Xdsstorecontent", ".heudiconv/01/info/dicominfo.tsv": "Xheudiconv", ".git/annex/objects/Xannex": "Xannexcontent",
    "phenotype/scores.tsv": "participant_id\tscore\trater\nsub-01\t3\tXphenotype\n", "derivatives/fs/sub-01/Xrecon.log": "x", "code/Xnotebook.ipynb": "{}",
    "sub-01/notes_Xnotes.txt": "x", "Xrootfile.xlsx": "PK\x03\x04", f"{A}anat/sub-01_ses-a_desc-Xdesc_T1w.nii.gz": packed(image(seed=8)), f"{A}anat/sub-01_ses-a_T1w.nii.gz~": "Xbackup",
    f"{A}eeg/sub-01_ses-a_photo.json": {"Xphotojson": "x"},
    # Texts
    "CHANGES": "1.0.0 2020-01-01\n  - XPERSON's scan, Xperson2.nii, (xperson) and Xpersons brain\n",
    "CITATION.cff": "cff-version: 1.2.0\ntitle: Data of Xforename\n",
    "README": b"\xff\xfe" + "Xutf16readme".encode("utf-16-le"),
    "LICENSE": "CC0, \u00a9 Xlatinlicense".encode("latin-1"),
}  # fmt: skip
SECRETS = """
    Xdescrip2 Xaux2 Xintent2 Xunused2 Xmember1 Xmember2 Xaftermember Xgapbytes Xextrafield Xbvalcomment
    Xcomment Xdcmstack Xdcmmeta Xkeyname Xkeydescription Xlevelname Xleveltext Ximagetype 19040510 19040511 Xnoflag Xsources Xcolumns
    Xtermurl Xtaskkey Xtaskname Xseries Xfilter Xfilterkey Xfiltervalue Xfiltertype Xintended Xsoftware Xstimkey Xsequencename Xcoil Xmethod
    Xverdict Xunits Xutf16 Xbomcrlf Xtwice Xinheritedtext Xinherited 19040512
    90+ 1978 Xnachname Xprenom 14:31 Xheading 19780304 1559638309 1.9780304e7 27182818 Xghost Xghostdescription
    Xacqtime Xperson Xlatin Xphysio1 Xphysio2 Xwho Xheadered Xedfpatient Xannotation Xreserved Xedflabelname Xsignalreserve Xafterrecords
    Xhidden Xdsstore Xdsstorecontent Xheudiconv Xannex Xphenotype Xrecon Xnotebook Xnotes Xrootfile Xdesc_ Xbackup Xphotojson
    Xforename Xutf16readme Xlatinlicense
""".split()
# By design: no column but `age` is capped, and numbers below 1,000, or with a unit, tell nobody.
SURVIVORS = "1104 93.25 97".split()
NUMBERS = {name: struct.pack("<i" if name != "cal_min" else "<f", value) for name, value in (("extents", 19040506), ("glmax", 19040507), ("glmin", 19040508), ("cal_min", 19040509))}  # fmt: skip


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return full_dataset(tmp_path_factory.mktemp("raw"), FILES)


@pytest.fixture(scope="module")
def shared(raw, tmp_path_factory):
    output = tmp_path_factory.mktemp("shared")
    account, left_out = share(raw, output, withheld=())
    return output, account, left_out


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_in_an_odd_place_does_not_go_along(secret, raw, shared):
    forms = [secret.lower().encode(encoding) for encoding in ("utf-8", "utf-16-le")]
    planted = b"".join(content for _, content in all_bytes(raw)).lower()
    assert any(form in planted for form in forms), "it was not planted"
    output, _, _ = shared
    for path, content in all_bytes(output):
        assert not any(form in content.lower() for form in forms), path


def test_what_survives_by_design_is_what_the_docs_say(shared):
    table = (shared[0] / "participants.tsv").read_text()
    assert all(f"\t{one}" in table for one in SURVIVORS)
    assert table.splitlines()[0] == "participant_id\tage\tage_months\tageatscan\tAlter"


@pytest.mark.parametrize("field", NUMBERS)
def test_a_date_in_a_number_of_the_header_does_not_go_along(field, raw, shared):
    assert any(NUMBERS[field] in content for _, content in all_bytes(raw))
    assert not any(NUMBERS[field] in content for _, content in all_bytes(shared[0]))


def test_what_is_made_safe_is_clean_for_the_leak_check(shared):
    assert list(find_leaks(shared[0])) == []


def test_the_leak_check_sees_what_is_in_odd_places(raw):
    found = {(one.path, one.place) for one in find_leaks(raw)}
    assert {
        (f"{FMAP}.nii.gz", "name"),
        (f"{DWI}.nii.gz", "extra field"),
        (f"{BOLD}.nii.gz", "header field cal_min"),
        (f"{DWI.replace('ses-a', 'ses-b')}.bval", "line 1"),
        (f"{T1W}.json", "field Xkeyname"),
        (f"{B_EEG}.edf", "reserved fields"),
        ("sub-02/ses-a/eeg/sub-02_ses-a_task-rest_eeg.edf", "labels of signals"),
        ("participants.tsv", "column epoch"),
    } <= found


def test_names_in_later_members_of_a_gzip_file_are_found_and_its_padding_is_not(tmp_path):
    for name, content, told in (
        ("a", packed(b"1") + packed(b"2", "doe.tsv"), {"name"}),
        ("b", packed(b"1") + b"\0" * 20, set()),
        ("c", packed(b"1") + b"Doe", {"bytes after the data"}),
    ):
        (tmp_path / name).write_bytes(content)
        assert gzip_extras(tmp_path / name) == told


@pytest.mark.parametrize("label", ["20190304", "190304", "040319"])
def test_days_as_session_labels_are_found(label, tmp_path):
    folder = tmp_path / f"sub-01/ses-{label}/anat"
    folder.mkdir(parents=True)
    (folder / f"sub-01_ses-{label}_T1w.json").write_text('{"EchoTime": 0.003}')
    assert {one.place for one in find_leaks(tmp_path)} == {"path"}


def test_words_of_the_study_stay_though_free_text_has_them(tmp_path):
    levels = {"face": "a face", "go": "press"}
    root = full_dataset(
        tmp_path / "raw",
        {
            "task-rest_bold.json": {
                "TaskName": "rest", "RepetitionTime": 2.0, "InstitutionName": "Center for Face Perception",
                "TaskDescription": "Participants pressed a button when they saw a face", "PatientID": "sub-01", "OperatorsName": "func",
            },
            f"{EVENTS}.tsv": "onset\tduration\ttrial_type\n1.0\t2.0\tface\n",
            "task-rest_events.json": {"trial_type": {"Levels": levels}},
            "README": "They pressed a button when they saw a face (sub-01), at the Center for Face Perception.\n",
        },
    )  # fmt: skip
    share(root, tmp_path / "out", withheld=())
    assert (tmp_path / f"out/{EVENTS}.tsv").read_text().endswith("\tface\n")
    assert (
        json.loads((tmp_path / "out/task-rest_events.json").read_text())["trial_type"]["Levels"].keys()
        == levels.keys()
    )
    assert not (tmp_path / "out/README").exists(), "the name of the place is in it"
    assert json.loads((tmp_path / f"out/{FMAP}.json").read_text())["IntendedFor"]
    assert find_problems(tmp_path / "out") == []


RECORDINGS = {
    f"{A}eeg/sub-01_ses-a_task-bv_eeg.vhdr": "Brain Vision Data Exchange Header File Version 1.0",
    f"{A}eeg/sub-01_ses-a_task-bv_eeg.vmrk": "Brain Vision", f"{A}eeg/sub-01_ses-a_task-bv_eeg.eeg": b"\1\2",
    f"{A}eeg/sub-01_ses-a_task-bv_eeg.json": {
        "TaskName": "bv", "EEGReference": "Cz", "SamplingFrequency": 64, "PowerLineFrequency": 50, "SoftwareFilters": "n/a",
    },
    f"{A}eeg/sub-01_ses-a_task-bv_channels.tsv": "name\ttype\tunits\nCz\tEEG\tuV\n",
    f"{A}eeg/sub-01_ses-a_task-set_eeg.set": b"MATLAB 5.0 MAT-file",
    "sub-02/ses-a/meg/sub-02_ses-a_task-rest_meg.fif": b"\0\0\0d Doe",
    "sub-02/ses-a/meg/sub-02_ses-a_task-rest_meg.json": {
        "TaskName": "rest", "SamplingFrequency": 1000, "PowerLineFrequency": 50, "DewarPosition": "upright",
        "SoftwareFilters": "n/a", "DigitizedLandmarks": True, "DigitizedHeadPoints": False,
    },
    "sub-02/ses-a/mrs/sub-02_ses-a_svs.nii.gz": packed(image((2, 2, 2, 8))),
    "sub-02/ses-a/mrs/sub-02_ses-a_svs.json": {"ResonantNucleus": "1H", "SpectrometerFrequency": 123.2, "SpectralWidth": 2000, "EchoTime": 0.03},
    "phenotype/scores.tsv": "participant_id\tscore\trater\tdob\nsub-01\t3\tDoe^Jane\t1978-03-04\nsub-09\t3\tn/a\tn/a\n",
    "phenotype/scores.json": {"score": {"Description": "higher is better"}},
}  # fmt: skip


def test_recordings_that_nothing_cleans_stay_behind_by_name_and_the_dataset_stays_valid(tmp_path):
    root = full_dataset(tmp_path / "raw", RECORDINGS)
    _, left_out = share(root, tmp_path / "out", withheld=())
    assert sorted(str(one.path) for one in left_out) == sorted(RECORDINGS)
    assert find_problems(tmp_path / "out") == []


def test_tables_of_scores_are_cleaned_if_a_person_includes_them(tmp_path):
    root = full_dataset(tmp_path / "raw", RECORDINGS)
    share(root, tmp_path / "out", withheld=(), include=["phenotype/*"])
    assert (tmp_path / "out/phenotype/scores.tsv").read_text() == "participant_id\tscore\nsub-01\t3\n"
    assert find_problems(tmp_path / "out") == []
