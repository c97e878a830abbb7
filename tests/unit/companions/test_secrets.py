"""Secrets planted wherever a dataset can hide one: none of them is in what is carried over."""

# ruff: noqa: E501 — tables of data, one file a line

import gzip
import importlib.util
import json
import zlib
from pathlib import PurePosixPath

import numpy as np
import pytest

from bidsdeface.companions.options import MetadataOptions
from bidsdeface.companions.select import FileKind, select_files
from bidsdeface.companions.source import RawDataset, SubjectScope, make_source
from bidsdeface.companions.write import write_files
from bidsdeface.companions.write_metadata import ABSENT
from bidsdeface.dataset.people import People
from bidsdeface.dataset.validator import find_problems
from bidsdeface.deidentify.excluded import Excluded
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.deidentify.policy import load_policy
from bidsdeface.errors import ImageError
from bidsdeface.imaging.image import clean_header, read_image, write_image
from bidsdeface.leakcheck.find import find_leaks
from bidsdeface.runtime.workdir import State
from tests.fullset import PHYSICS, edf, full_dataset, image, packed

KEY = bytes(range(32))
A, B = "sub-01/ses-a/", "sub-01/ses-b/"
T1W, BOLD = f"{A}anat/sub-01_ses-a_T1w", f"{A}func/sub-01_ses-a_task-rest_bold"
EVENTS, PHYSIO = (BOLD.replace("bold", kind) for kind in ("events", "physio"))
WITHHELD = PurePosixPath("sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz")
needs_edfio = pytest.mark.skipif(
    importlib.util.find_spec("edfio") is None, reason="edfio is not installed: pip install edfio"
)

# Every secret is a word or a number of its own, and stands nowhere else.
PLANTED = {
    f"{T1W}.nii.gz": packed(
        image(
            fields={
                "descrip": b"Qdescrip 14:31:07", "aux_file": b"Qauxfile", "db_name": b"Qdbname",
                "intent_name": b"Qintentname", "data_type": b"Qdatatyp", "cal_max": 19110203,
            },
            extension=b"Qextension, born 1941-02-04",
        ) + b"Qtrailing bytes",
        "Qgzipname.nii", 1234567890, b"Qgzipcomment",
    ),
    f"{BOLD}.nii.gz": packed(image((12, 14, 10, 4), {"descrip": b"Qbolddescrip", "aux_file": b"Qboldaux"}, seed=2), "Qboldname.nii"),
    "sub-01/ses-a/fmap/sub-01_ses-a_phasediff.nii.gz": packed(image(seed=5, extension=b"Qfmapextension"), "Qfmapname.nii"),
    "T1w.json": {"InstitutionName": "Qinstitution", "InstitutionAddress": "Qstreet 7, Qtown"},
    "sub-01/sub-01_T1w.json": {"StationName": "QSTATION", "DeviceSerialNumber": "Q67006", "Unknown": {"Deep": ["Qnested"]}},
    f"{T1W}.json": {
        **PHYSICS, "PatientName": "Qsurname^Qforename", "PatientID": 27182818, "PatientBirthDate": "1911-02-05",
        "AcquisitionTime": "16:17:18.190000", "SeriesDescription": "Qseries", "ProtocolName": "Qprotocol",
        "ImageComments": "Qcomment", "OperatorsName": "Qoperator", "StudyInstanceUID": "1.2.840.31415.92653.58979.3",
        "PulseSequenceDetails": "Qsequence", "Manufacturer": "Qmanufacturer", "EchoTime2": 19110206,
        "ReferringPhysicianName": "Qphysician", "PrivateTag_0029_1010": "Qprivate",
    },
    "task-rest_bold.json": {
        "TaskName": "Qtask of Dr. Qphysician", "RepetitionTime": 2.0, "TaskDescription": "Qtaskdescription by QSURNAME",
        "Instructions": ["Press a key", "Qinstructions: q@Qmail.org"], "CogAtlasID": "https://www.cognitiveatlas.org/id/trm_4c8a834779883",
    },
    "participants.tsv": (
        "participant_id\tage\tsex\tgroup\tname\tdob\trecruited\tcity\n"
        "sub-01\t34\tF\tpatient\tQcolname\t1911-02-07\t1981-02-08\tQcity\n"
        "sub-02\t93\tM\tcontrol\tQcolname\t1911-02-07\tn/a\tQcity\n"
    ),
    "participants.json": {"name": {"Description": "Qnamedescription"}, "group": {"Description": "as Qsurname said", "Who": "Qwho"}},
    "sub-01/sub-01_sessions.tsv": "session_id\tacq_time\tcomment\nses-a\t1981-03-04T09:00:00\tQsessioncomment\nses-b\t1981-04-04T09:00:00\tn/a\n",
    f"{A}sub-01_ses-a_scans.tsv": (
        "filename\tacq_time\toperator\nanat/sub-01_ses-a_T1w.nii.gz\t1981-03-05T09:10:00\tQscanoperator\n"
        "func/sub-01_ses-a_task-rest_bold.nii.gz\t1981-03-05T09:20:00\tn/a\n"
    ),
    f"{EVENTS}.tsv": "onset\tduration\ttrial_type\tnotes\n1.0\t2.0\tgo\tQeventnote\n",
    f"{PHYSIO}.tsv.gz": packed(b"0.1\t7\n0.2\tn/a\n", "Qphysioname.tsv"),
    f"{B}func/sub-01_ses-b_task-rest_physio.tsv.gz": packed(b"0.1\tQphysiotext\n"),
    f"{A}eeg/sub-01_ses-a_task-rest_eeg.edf": edf(b"Qedfpatient F 06-FEB-1911 Qedfname", b"Startdate 04-JUN-1981 X Qtechnician X", b"04.06.81", b"Qannotation", b"Qtransducer"),
    f"{A}eeg/sub-01_ses-a_photo.jpg": b"\xff\xd8\xff\xe1 Qphotograph",
    ".git/config": "email = Qgit@hospital.org",
    ".bidsignore": "extra/\n",
    "extra/sub-01_notes.txt": "Qbidsignored",
    "sourcedata/IM0001": b"\0" * 128 + b"DICM" + b"Qdicom",
    "derivatives/other/report.html": "Qreport",
    "code/run.sh": "cd /home/Qhome",
    "stimuli/readme.txt": "Qstimulus",
    "phenotype/scores.tsv": "participant_id\tname\nsub-01\tQphenotype\n",
    f"{A}anat/Qfilename.txt": "x",
    f"{A}meg/sub-01_ses-a_task-rest_meg.fif": b"\0\0\0d Qfif",
    f"{A}eeg/sub-01_ses-a_task-rest_eeg.vhdr": "Brain Vision Qvhdr",
    "LICENSE": "CC0, by Qsurname\n",
    "CHANGES": "1.0.0 2020-01-01\n  - scan of Qforename (27182818) added\n",
    "README": "We thank QSURNAME, Qforename; Dr. Qphysician of Qinstitution; born 5 February 1911 (05.02.1911), record 27182818; see 4.2.1941.\n",
    "dataset_description.json": {
        "Name": "The Qinstitution data", "BIDSVersion": "1.10.0", "License": "CC0", "Authors": ["A. Author", "q@Qmail.org"],
        "SourceDatasets": [{"URL": "file:///home/Qsource"}], "Qfield": "Qvalue",
    },
}  # fmt: skip
SECRETS = [
    "Qdescrip", "14:31:07", "Qauxfile", "Qdbname", "Qintentname", "Qdatatyp", "Qextension", "1941-02-04", "Qtrailing",
    "Qgzipname", "Qgzipcomment", "Qbolddescrip", "Qboldaux", "Qboldname", "Qfmapextension", "Qfmapname", "Qinstitution",
    "Qstreet", "Qtown", "QSTATION", "Q67006", "Qnested", "Qsurname", "QSURNAME", "Qforename", "27182818", "1911-02-05",
    "5 February 1911", "05.02.1911", "4.2.1941", "16:17:18", "Qseries", "Qprotocol", "Qcomment", "Qoperator", "31415.92653",
    "Qsequence", "Qmanufacturer", "19110206", "Qphysician", "Qprivate", "Qtask", "Qtaskdescription", "Qinstructions",
    "Qcolname", "1911-02-07", "1981-02-08", "Qcity", "Qnamedescription", "Qwho", "1981-03-04", "Qsessioncomment",
    "1981-03-05", "Qscanoperator", "Qeventnote", "Qphysioname", "Qphysiotext", "Qedfpatient", "06-FEB-1911", "Qedfname",
    "04-JUN-1981", "04.06.81", "Qtechnician", "Qannotation", "Qtransducer", "Qphotograph", "Qgit", "Qbidsignored",
    "Qdicom", "Qreport", "Qhome", "Qstimulus", "Qphenotype", "Qfilename", "Qfif", "Qvhdr", "Qsource", "Qfield",
    "Qvalue", "\t93\t",
]  # fmt: skip
BINARY_SECRETS = [np.float32(19110203).tobytes()]


def bids_files(root):
    return [PurePosixPath(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]


def identifiers_in_all(root):
    labels = [path.name.removeprefix("sub-") for path in root.glob("sub-*")]
    return People(root, load_policy()).all_identifiers(labels)


def is_readable(image):
    """Return True if an image can be read; the engine fails one that cannot."""
    try:
        return bool(read_image(image))
    except ImageError:
        return False


class Everything(SubjectScope):
    """A scope that holds all files."""

    def holds(self, path):
        return True


def source_of(root, selected, identifiers=Identifiers(), key=None, **options):  # noqa: B008 — frozen
    state = State(root / "no state", key) if key else None
    raw = RawDataset(MetadataOptions(bids_dir=root, output_dir=root, **options), state)
    return make_source(raw, Everything(), selected, (), identifiers)


def share(root, output, key=KEY, withheld=(WITHHELD,), include=(), keep_columns=()):
    """Do what a run does with a dataset, but for the defacing itself."""
    ignored = (root / ".bidsignore").read_text().splitlines() if (root / ".bidsignore").exists() else ()
    carried, left_out = select_files(bids_files(root), ignored=ignored, include=include)
    to_deface = [one.path for one in carried if one.file_kind is FileKind.DEFACE]
    absent = {*withheld, *(path for path in to_deface if not is_readable(root / path))}
    source = source_of(root, carried, identifiers_in_all(root), key, keep_columns=keep_columns)
    source = source.exclude(Excluded(path, "is withheld") for path in absent)
    provenance = {}
    for path in to_deface:
        if path not in source.absent:
            scan = read_image(root / path)
            (output / path).parent.mkdir(parents=True, exist_ok=True)
            write_image(output / path, clean_header(scan.header), scan.stored)
            sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
            provenance[sidecar] = {"DeidentificationMethod": ["Face removed by bidsdeface 0.0.0"]}
    account = write_files(source, carried, output, provenance)
    return account, left_out


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    root = full_dataset(tmp_path_factory.mktemp("raw"), PLANTED)
    output = tmp_path_factory.mktemp("shared")
    account, left_out = share(root, output)
    return root, output, account, left_out


def all_bytes(output):
    """Yield every file's path and its bytes, packed and unpacked."""
    for path in sorted(output.rglob("*")):
        yield path, str(path.relative_to(output)).encode()
        if path.is_file():
            content = path.read_bytes()
            yield path, content
            if content.startswith(b"\x1f\x8b"):
                yield path, gzip.decompress(content)


def test_no_planted_secret_is_in_the_output(shared):
    root, output, _, _ = shared
    planted = b"".join(content for _, content in all_bytes(root)).lower()
    assert len(set(SECRETS)) >= 40
    missing = [one for one in SECRETS if one.lower().encode() not in planted]
    assert missing == []
    for path, content in all_bytes(output):
        found = [one for one in SECRETS if one.lower().encode() in content.lower()]
        found += [one for one in BINARY_SECRETS if one in content]
        assert found == [], f"{path}: {found}"


def test_the_study_is_still_there(shared):
    _, output, _, _ = shared
    sidecar = json.loads((output / f"{T1W}.json").read_text())
    assert {name: sidecar[name] for name in ("MagneticFieldStrength", "EchoTime", "FlipAngle")} == {
        "MagneticFieldStrength": 3, "EchoTime": 0.003, "FlipAngle": 9,
    }  # fmt: skip
    assert sidecar["DeidentificationMethod"] == ["Face removed by bidsdeface 0.0.0"]
    assert json.loads((output / "task-rest_bold.json").read_text()) == {
        "TaskName": "n/a", "RepetitionTime": 2.0, "CogAtlasID": "https://www.cognitiveatlas.org/id/trm_4c8a834779883",
    }  # fmt: skip
    table = (output / "participants.tsv").read_text()
    assert table == "participant_id\tage\tsex\nsub-01\t34\tF\nsub-02\t89\tM\n"
    assert (output / f"{EVENTS}.tsv").read_text() == "onset\tduration\ttrial_type\n1.0\t2.0\tgo\n"
    assert gzip.decompress((output / f"{PHYSIO}.tsv.gz").read_bytes()) == b"0.1\t7\n0.2\tn/a\n"
    description = json.loads((output / "dataset_description.json").read_text())
    assert description["Authors"] == ["A. Author", "q@Qmail.org"], "authors are nobody's secret"
    assert "faces removed" in description["GeneratedBy"][-1]["Description"]


def test_texts_that_name_somebody_wait_and_say_where(shared):
    _, output, account, _ = shared
    waiting = {str(one.path): one for one in account.left_out if one.waits}
    assert waiting.keys() == {"README", "CHANGES", "LICENSE", "dataset_description.json"}
    assert "line 2: a name or number" in waiting["CHANGES"].reason
    assert "date of birth" in waiting["README"].reason and "--accept-text README" in waiting["README"].remedy
    assert json.loads((output / "dataset_description.json").read_text())["Name"] == "n/a"
    assert not any((output / name).exists() for name in ("README", "CHANGES", "LICENSE"))


def test_what_stays_behind_is_named_with_a_reason_and_without_a_value(shared):
    _, _, account, left_out = shared
    reasons = {str(one.path): one.reason for one in (*left_out, *account.left_out)}
    assert {"sourcedata/IM0001", ".git/config", "code/run.sh", "extra/sub-01_notes.txt"} <= reasons.keys()
    assert reasons[f"{A}eeg/sub-01_ses-a_photo.jpg"] == "is a photograph"
    assert "line 1: text in a recording" in reasons[f"{B}func/sub-01_ses-b_task-rest_physio.tsv.gz"]
    assert not any("Qphysiotext" in reason for reason in reasons.values())
    parts = {(str(one.path), part) for one in account.left_out for part in one.what.replace(",", " ").split()}
    assert {(f"{T1W}.json", "PatientName"), ("participants.tsv", "dob")} <= parts
    said = f"{account.left_out}".lower()
    assert [one for one in SECRETS if one.lower() in said and not one.isdigit()] == ["Qfield"]


def test_references_to_a_withheld_scan_are_gone(shared):
    _, output, _, _ = shared
    assert not (output / WITHHELD).exists()
    assert not (output / str(WITHHELD).replace(".nii.gz", ".json")).exists()
    folder = output / "sub-02/ses-a"
    assert "T1w" not in (folder / "sub-02_ses-a_scans.tsv").read_text()
    assert "bold" in (folder / "sub-02_ses-a_scans.tsv").read_text()
    phasediff = json.loads((folder / "fmap/sub-02_ses-a_phasediff.json").read_text())
    assert phasediff["IntendedFor"] == ["ses-a/func/sub-02_ses-a_task-rest_bold.nii.gz"]
    other = json.loads((output / "sub-02/ses-b/fmap/sub-02_ses-b_phasediff.json").read_text())
    assert len(other["IntendedFor"]) == 2
    bold = json.loads((folder / "func/sub-02_ses-a_task-rest_bold.json").read_text())
    assert bold["B0FieldSource"] == "pepolar_fmap0"


def test_images_that_are_not_defaced_keep_their_stored_voxels_bit_for_bit(shared):
    root, output, _, _ = shared
    images = [path for path in output.rglob("*.nii.gz") if path.parent.name in ("func", "dwi", "fmap")]
    assert len(images) == 20
    for path in images:
        original, carried = read_image(root / path.relative_to(output)), read_image(path)
        assert carried.stored.tobytes() == original.stored.tobytes()
        assert carried.stored.dtype == original.stored.dtype
        assert np.array_equal(carried.affine, original.affine)


def test_copies_share_no_bytes_with_the_input_and_annexed_content_becomes_plain(tmp_path):
    root = full_dataset(tmp_path / "raw")
    image_path = root / f"{A}func/sub-01_ses-a_task-rest_bold.nii.gz"
    annexed = tmp_path / "annex" / "object"
    annexed.parent.mkdir()
    image_path.rename(annexed)
    image_path.symlink_to(annexed)
    before = {path: zlib.crc32(path.read_bytes()) for path in root.rglob("*") if path.is_file()}
    share(root, tmp_path / "shared")
    inodes = {path.stat().st_ino for path in (*root.rglob("*"), annexed)}
    written = [path for path in (tmp_path / "shared").rglob("*") if path.is_file()]
    assert len(written) > 50
    for path in written:
        assert not path.is_symlink() and path.stat().st_nlink == 1 and path.stat().st_ino not in inodes
    assert {path: zlib.crc32(path.read_bytes()) for path in before} == before


def test_dates_are_dropped_without_a_key_and_agree_between_runs_with_one(tmp_path):
    root = full_dataset(tmp_path / "raw")
    tables = []
    for number, key in enumerate((KEY, KEY, None)):
        share(root, tmp_path / str(number), key=key)
        tables.append((tmp_path / str(number) / "sub-01/sub-01_sessions.tsv").read_text())
    assert tables[0] == tables[1] and "acq_time" in tables[0]
    years = {int(line.split("\t")[1][:4]) for line in tables[0].splitlines()[1:]}
    assert max(years) < 1925
    assert tables[2] == "session_id\tmood\nses-a\t3\nses-b\t4\n"


def test_the_leak_check_finds_nothing_in_the_output_and_much_in_the_input(shared):
    root, output, _, _ = shared
    assert [one for one in find_leaks(output) if not one.path.endswith(".edf")] == []
    assert len({one.path for one in find_leaks(root)}) > 25


NOTES = {
    "01": b"Krokodil",
    "02": b"Krokodil",
    "03": b"Krokodil",
    "04": b"Dr. Doe comes",
    "05": b"Dr. Doe comes",
}


@needs_edfio
def test_notes_and_labels_that_three_participants_share_stay_and_others_are_told(tmp_path):
    import edfio

    alone = edf(annotation=b"Hund").replace(b"EEG Cz   ", b"Schlange9")
    files = {f"sub-{one}/eeg/sub-{one}_task-x_eeg.edf": edf(annotation=note) for one, note in NOTES.items()}
    files |= {
        f"sub-{one}/eeg/sub-{one}_task-y_eeg.edf": edf(annotation=b"Dr. Doe comes") for one in ("01", "02")
    }
    named = edf(patient=b"X F X Anna_Left", annotation=b"Left")  # a usual note, but her name
    files |= {"sub-06/eeg/sub-06_task-x_eeg.edf": alone, "sub-07/eeg/sub-07_task-x_eeg.edf": named}
    root = full_dataset(tmp_path / "raw", files)
    account, _ = share(root, tmp_path / "shared", withheld=())
    texts = {
        one: edfio.read_edf(tmp_path / f"shared/sub-{one}/eeg/sub-{one}_task-x_eeg.edf").annotations[0].text
        for one in (*NOTES, "06", "07")
    }
    expected = {one: "Krokodil" if note == b"Krokodil" else "n/a" for one, note in NOTES.items()}
    assert texts == expected | {"06": "n/a", "07": "n/a"}
    told = {(one.path.name[:6], one.what) for one in account.left_out if one.what.startswith("texts of")}
    assert ("sub-06", "texts of annotations") in told and ("sub-06", "texts of labels") in told
    assert not any(
        name == "sub-03" and what != "texts of transducers, filters and units" for name, what in told
    )


@needs_edfio
def test_the_samples_of_an_edf_file_stay_and_its_header_is_clean(shared):
    import edfio

    root, output, _, _ = shared
    name = f"{A}eeg/sub-01_ses-a_task-rest_eeg.edf"
    before, after = edfio.read_edf(root / name), edfio.read_edf(output / name)
    assert np.array_equal(before.signals[0].digital, after.signals[0].digital)
    assert [one.onset for one in after.annotations] == [0.5]
    assert list(find_leaks(output / f"{A}eeg")) == []


def test_a_full_dataset_stays_valid_with_one_scan_withheld(shared, tmp_path):
    root = full_dataset(tmp_path / "raw")
    share(root, tmp_path / "shared")
    assert find_problems(root) == []
    for output in (tmp_path / "shared", shared[1]):
        assert (output / "dataset_description.json").exists()
        assert find_problems(output) == []


def test_an_image_that_cannot_be_read_takes_its_references_with_it(tmp_path):
    name = "sub-02/ses-a/func/sub-02_ses-a_task-rest_bold"
    root = full_dataset(tmp_path / "raw", {f"{name}.nii.gz": b"\x1f\x8bbroken"})
    account, _ = share(root, tmp_path / "shared", withheld=())
    assert not list((tmp_path / "shared").glob(f"{name}*"))
    assert "bold" not in (tmp_path / "shared/sub-02/ses-a/sub-02_ses-a_scans.tsv").read_text()
    epi = json.loads((tmp_path / "shared/sub-02/ses-a/fmap/sub-02_ses-a_dir-AP_epi.json").read_text())
    assert "IntendedFor" not in epi
    told = {one.path.name for one in account.left_out if one.reason == ABSENT and "IntendedFor" in one.what}
    assert told == {"sub-02_ses-a_dir-AP_epi.json", "sub-02_ses-a_phasediff.json"}
    assert find_problems(tmp_path / "shared") == []


def test_a_table_without_a_column_that_bids_requires_is_left_out_with_its_dictionary(tmp_path):
    """A clock in `onset` can be taken for no time since the start: where the recording began, nobody knows."""
    root = full_dataset(
        tmp_path / "raw",
        {
            f"{EVENTS}.tsv": "onset\tduration\n1528103449.2\t2\n",
            f"{EVENTS}.json": {"duration": {"Units": "s"}},
        },
    )
    account, _ = share(root, tmp_path / "shared", withheld=())
    reasons = {str(one.path): one.reason for one in account.left_out}
    assert "BIDS requires its column onset" in reasons[f"{EVENTS}.tsv"] and f"{EVENTS}.json" in reasons
    assert not list((tmp_path / "shared").glob(f"{EVENTS}*"))
    assert find_problems(tmp_path / "shared") == []


@pytest.mark.parametrize("sidecar", [f"{A}perf/sub-01_ses-a_noRF.json", "noRF.json"])
def test_an_image_whose_metadata_cannot_be_read_is_left_out(tmp_path, sidecar):
    name = f"{A}perf/sub-01_ses-a_noRF"
    broken = '{"RepetitionTime": 2.0, "InstitutionName": "Universität"}'.encode("latin-1")
    root = full_dataset(tmp_path / "raw", {f"{name}.nii.gz": packed(image()), sidecar: broken})
    account, _ = share(root, tmp_path / "shared", withheld=())
    reasons = {str(one.path): one.reason for one in account.left_out}
    assert f"{sidecar}: is not UTF-8; save it as UTF-8" in reasons[f"{name}.nii.gz"] and sidecar in reasons
    assert not list((tmp_path / "shared").glob(f"{name}*"))
    assert find_problems(tmp_path / "shared") == []


@pytest.mark.parametrize(("name", "is_told"), [("pepolar_visit", True), ("pepolar_Zwingli", False)])
def test_field_maps_and_what_they_correct_keep_their_common_name_or_lose_it_together(tmp_path, name, is_told):
    epi = f"{A}fmap/sub-01_ses-a_dir-AP_epi.json"
    fields = {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.05, "B0FieldIdentifier": name}
    bold = {"RepetitionTime": 2.0, "B0FieldSource": [name, "absent_map"], "PatientName": "Zwingli^Huldrych"}
    root = full_dataset(tmp_path / "raw", {epi: fields, f"{BOLD}.json": bold})
    share(root, tmp_path / "shared", withheld=())
    epi, bold = (json.loads((tmp_path / "shared" / path).read_text()) for path in (epi, f"{BOLD}.json"))
    assert epi.get("B0FieldIdentifier") == (name if is_told else None)
    assert bold.get("B0FieldSource") == ([name] if is_told else None)
    assert list(find_leaks(tmp_path / "shared" / A)) == [] == find_problems(tmp_path / "shared")


def test_a_participant_of_whom_nothing_is_left_is_in_no_table(tmp_path):
    root = full_dataset(tmp_path / "raw")
    carried, _ = select_files(bids_files(root))
    carried = [one for one in carried if not str(one.path).startswith("sub-02")]
    source = source_of(root, carried)
    write_files(source, carried, tmp_path / "shared")
    assert "sub-02" not in (tmp_path / "shared/participants.tsv").read_text()


def test_files_are_included_at_a_persons_word(tmp_path):
    root = full_dataset(tmp_path / "raw", {"stimuli/a.png": b"\x89PNG\r\n\x1a\n", "code/run.sh": "x"})
    _, left_out = share(root, tmp_path / "shared", include=["stimuli/*"])
    assert (tmp_path / "shared/stimuli/a.png").read_bytes() == b"\x89PNG\r\n\x1a\n"
    assert {str(one.path) for one in left_out} == {"code/run.sh"}


@pytest.mark.parametrize("defaced", [("1", "2"), ("1",)])
def test_a_sidecar_beside_several_images_is_read_into_that_of_each_defaced_one(tmp_path, defaced):
    beside = PurePosixPath("sub-01/anat/sub-01_inv-2_MP2RAGE.json")
    images = [beside.with_name(f"sub-01_inv-2_run-{run}_MP2RAGE.nii.gz") for run in "12"]
    (tmp_path / beside).parent.mkdir(parents=True)
    (tmp_path / beside).write_text('{"EchoTime": 0.003, "PatientName": "Doe"}')
    for one in images:
        (tmp_path / one).write_bytes(packed(image()))
    carried, _ = select_files([beside, *images])
    source = source_of(tmp_path, carried)
    own = {one.with_name(one.name.replace(".nii.gz", ".json")) for one in images if one.name[17] in defaced}
    account = write_files(source, carried, tmp_path / "out", dict.fromkeys(own, {"Bidsdeface": {}}))
    for one in own:
        assert json.loads((tmp_path / "out" / one).read_text()) == {"EchoTime": 0.003, "Bidsdeface": {}}
    # It stays for an image that has no sidecar of its own.
    assert (tmp_path / "out" / beside).exists() is (beside in account.written) is (len(defaced) == 1)
    assert (beside in {one.path for one in account.left_out if one.what == "file"}) is (len(defaced) == 2)


def test_what_lies_farther_away_in_a_folder_is_read_into_a_sidecar_of_its_own_as_well(tmp_path):
    shared = PurePosixPath("sub-01/anat/sub-01_T1w.json")
    images = [shared.with_name(f"sub-01_run-{run}_T1w.nii.gz") for run in "12"]
    own = [one.with_name(f"sub-01_run-{run}_T1w.json") for one, run in zip(images, "12", strict=True)]
    (tmp_path / shared).parent.mkdir(parents=True)
    (tmp_path / shared).write_text('{"EchoTime": 0.003, "FlipAngle": 8}')
    (tmp_path / own[0]).write_text('{"FlipAngle": 9}')
    for one in images:
        (tmp_path / one).write_bytes(packed(image()))
    carried, _ = select_files([shared, own[0], *images])
    source = source_of(tmp_path, carried)
    write_files(source, carried, tmp_path / "out", dict.fromkeys(own, {"Bidsdeface": {}}))
    said = [json.loads((tmp_path / "out" / one).read_text()) for one in own]
    assert [one["FlipAngle"] for one in said] == [9, 8] and {one["EchoTime"] for one in said} == {0.003}
    assert not (tmp_path / "out" / shared).exists()


def test_how_one_image_was_defaced_is_not_said_of_another(tmp_path):
    sidecars = [PurePosixPath(f"sub-01/anat/sub-01{run}_T1w.json") for run in ("", "_run-2")]
    images = [one.with_suffix(".nii.gz") for one in sidecars]
    (tmp_path / sidecars[0]).parent.mkdir(parents=True)
    (tmp_path / sidecars[0]).write_text('{"EchoTime": 0.003}')
    for one in images:
        (tmp_path / one).write_bytes(packed(image()))
    carried, _ = select_files([sidecars[0], *images])
    source = source_of(tmp_path, carried)
    defaced = {"DeidentificationMethod": ["Face removed"], "Bidsdeface": {"Verdict": "passed"}}
    provenance = {sidecars[0]: defaced, sidecars[1]: {"Bidsdeface": {"Verdict": "no-face"}}}
    write_files(source, carried, tmp_path / "out", provenance)
    said = json.loads((tmp_path / "out" / sidecars[1]).read_text())
    assert said == {"EchoTime": 0.003, "Bidsdeface": {"Verdict": "no-face"}}
