"""The leak check: what is planted is named by place and kind, what is harmless is not."""

import gzip
import io
import json
import subprocess
import sys
from pathlib import PurePosixPath

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bidsdeface.errors import BidsdefaceError
from bidsdeface.imaging.image import clean_header, write_image
from bidsdeface.leakcheck.cli import main
from bidsdeface.leakcheck.find import Finding, Survey, find_leaks
from bidsdeface.output.record import image_sidecar, to_json
from bidsdeface.report.figure import draw
from tests.conftest import fake_head, make_dataset, save

ALONE = "not described, and fewer than three people share a value"
TELLING = "holds a date, an address, or a name or number of this dataset's people"
FALSIFIED = "value that version 0.1.0 replaced: run again"
SECRETS = ("Jane", "Doe", "1978", "19780304", "hospital", "4711")


def found_in(folder, name, content, **options):
    """Write one file and return its findings as (kind, place)."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = [one for one in find_leaks(folder, **options) if one.path == name]
    assert not any(secret in f"{one.kind} {one.place}" for one in found for secret in SECRETS)
    return {(one.kind, one.place) for one in found}


def image_bytes(**header_fields):
    image = fake_head((4, 4, 4))
    image.header["descrip"] = b""
    for field, value in header_fields.items():
        image.header[field] = value
    return image


def packed(content, name="", mtime=0):
    stream = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=stream, mtime=mtime) as file:
        file.write(content)
    return stream.getvalue()


def clean_image(path):
    head = fake_head((4, 4, 4))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, clean_header(head.header), np.asanyarray(head.dataobj))


def test_a_clean_dataset_has_no_finding(tmp_path):
    bids_dir = make_dataset(tmp_path, metadata={"EchoTime": 0.003, "Manufacturer": "Siemens"})
    clean_image(bids_dir / "sub-01/anat/sub-01_T1w.nii.gz")
    texts = {
        "README": "See doi:10.18112/openneuro.ds000123.v1.0.0, and https://x.org/20190304 for 12 people.\n",
        "CHANGES": "1.0.1 2019-03-04\n  - All scans defaced.\n",
        "participants.tsv": "participant_id\tage\tgroup\nsub-01\t34\tpatient\n",
        "participants.json": json.dumps({"group": {"Levels": {"patient": "by diagnosis"}}}),
        "sub-01/sub-01_scans.tsv": "filename\tacq_time\nanat/sub-01_T1w.nii.gz\t1889-03-04T10:11:12\n",
        "sub-01/func/sub-01_task-rest_bold.json": json.dumps({"TaskName": "rest", "RepetitionTime": 2.0}),
        "sub-01/func/sub-01_task-rest_events.tsv": "onset\tduration\ttrial_type\n1.5\t2\tgo\n",
        "sub-01/dwi/sub-01_dwi.bval": "0 1000 3000\n",
        "descriptions.tsv": "desc_id\tdescription\ndesc-a\tImage with the face removed, and all else kept\n",
        "quality.tsv": f"scan\tVerdict\nsub-01/anat/sub-01_acq-{'a' * 40}_desc-defaced_T1w.nii.gz\tpassed\n",
        "sub-01/anat/sub-01_desc-defaced_T1w.json": to_json(
            image_sidecar({}, {"Template": "x"}, "bids:raw:a.nii")
        ),
    }
    for name, text in texts.items():
        (bids_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (bids_dir / name).write_text(text)
    recording = bids_dir / "sub-01/func/sub-01_task-rest_physio.tsv.gz"
    recording.write_bytes(packed(b"0.5\t-1e-3\n1234567\tn/a\n"))
    assert list(find_leaks(bids_dir)) == []


@pytest.mark.parametrize("field", ["descrip", "aux_file", "db_name", "intent_name", "data_type"])
def test_text_in_a_header_is_found(tmp_path, field):
    content = image_bytes(**{field: b"Jane Doe"}).to_bytes()
    assert ("header text", f"header field {field}") in found_in(tmp_path, "x.nii", content)
    assert ("header text", f"header field {field}") in found_in(tmp_path, "y.dat", packed(content))


@pytest.mark.parametrize(
    ("field", "value"), [("cal_max", 19780304), ("intent_p1", 19780304), ("toffset", 55912.3)]
)
def test_a_date_or_a_clock_in_a_number_of_a_header_is_found(tmp_path, field, value):
    content = image_bytes(**{field: value}).to_bytes()
    assert found_in(tmp_path, "x.nii", content) == {("number in the header", f"header field {field}")}


def test_what_viewers_and_converters_write_in_numbers_is_no_finding(tmp_path):
    image = image_bytes(cal_max=4095)
    image.header["pixdim"][4:] = (2.3, 0, 0, 0)
    assert found_in(tmp_path, "x.nii", image.to_bytes()) == set()


def test_extensions_and_bytes_after_the_voxels_are_found(tmp_path):
    image = image_bytes()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe, born 1978-03-04"))
    assert ("header extension", "before the voxels") in found_in(tmp_path, "x.nii", image.to_bytes())
    after = image_bytes().to_bytes() + b"Jane Doe"
    assert found_in(tmp_path, "y.nii", after) == {("bytes that belong to nothing", "after the voxels")}


def test_what_a_gzip_header_tells_is_found(tmp_path):
    content = packed(image_bytes().to_bytes(), "Jane_Doe.nii", 1528140709)
    assert found_in(tmp_path, "x.nii.gz", content) == {("gzip header", "name"), ("gzip header", "time")}


@pytest.mark.parametrize(
    ("field", "value"),
    [("PatientName", "Doe^Jane"), ("InstitutionName", "hospital"), ("AcquisitionTime", "12:00:00")]
    + [
        ("Unknown", 19780304),
        ("EchoTime", 19780304),
        ("Manufacturer", "Jane Doe"),
        ("TaskName", "of Dr. Jane Doe"),
    ],
)
def test_sidecar_fields_are_found_by_the_policy(tmp_path, field, value):
    found = found_in(tmp_path, "sub-01_task-rest_bold.json", json.dumps({field: value, "FlipAngle": 9}))
    assert {place for _, place in found} == {f"field {field}"}


def test_fields_of_this_program_are_no_findings_unless_they_tell(tmp_path):
    ours = {
        "Bidsdeface": {"Version": "0.1.0", "Measures": {"MaskML": 1234.5}},
        "Sources": ["bids:raw:sub-01/a.nii"],
    }
    assert found_in(tmp_path, "a_T1w.json", json.dumps(ours)) == set()
    ours["Bidsdeface"]["Path"] = "/home/jane/data"
    assert found_in(tmp_path, "a_T1w.json", json.dumps(ours)) == {("home folder", "field Bidsdeface")}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("participants.tsv", "participant_id\tdob\nsub-01\t1\n", ("may tell who somebody is", "column dob")),
        ("participants.tsv", "participant_id\tx\nsub-01\tDoe^Jane\n", (TELLING, "column x")),
        ("participants.tsv", "participant_id\tx\nsub-01\tJane\n", (ALONE, "column x")),
        ("participants.tsv", "participant_id\tx\nsub-01\t10.removed\n", (FALSIFIED, "column x")),
        ("participants.tsv", "participant_id\tage\nsub-01\t93\n", ("age above 89", "column age")),
        ("participants.tsv", "participant_id\tx\nsub-01\n", ("does not have one value per column", "line 2")),
        ("a_events.tsv", "onset\tduration\n1\n", ("malformed table", "whole file")),
        ("a_events.tsv", "onset\tduration\ttrial_type\n1\t2\t10.removed\n", (FALSIFIED, "column trial_type")),
        ("sub-01_scans.tsv", "filename\tacq_time\na\t2018-06-04T10:00:00\n", ("date", "line 2 of acq_time")),
        ("a_events.tsv", "onset\tduration\tnote\n1\t2\tJane\n", (ALONE, "column note")),
        ("a_physio.tsv", "1\t2\nJane\t2\n", ("text in a recording", "line 2")),
        ("README", "A study.\nBorn on 1978-06-04.\n", ("date of birth", "line 2")),
        ("README.md", "Thanks to [removed].\n", ("text that version 0.1.0 redacted: run again", "line 1")),
        ("notes.md", "Scanned on 2018-06-04.\n", ("date", "line 1")),
        ("notes.md", "Ask jane.doe@hospital.org\n", ("e-mail", "line 1")),
        ("notes.md", "Call +49 201 123 4567\n", ("telephone", "line 1")),
        ("notes.txt", "MRN: A471142\n", ("record number", "line 1")),
        ("code/run.sh", "cd /home/jane/data\n", ("home folder", "line 1")),
        ("CHANGES", "1.0.0 2018-06-04\n - MRN 471142 removed\n", ("record number", "line 2")),
        ("report.html", '<img src="data:image/png;base64,AAAA">', ("picture in a report", "line 1")),
        ("x.json", "{", ("not JSON", "whole file")),
        ("x.json", "[" * 100_000, ("not JSON", "whole file")),
        ("a.PAR", "# === DATA DESCRIPTION FILE ===\n", ("scanner's own file", "Philips PAR")),
        ("a.REC", "plain", ("not looked into", "Philips image")),
        ("acqp", "##TITLE=Parameter List\n", ("scanner's own file", "Bruker")),
        ("IM0001", b"\0" * 128 + b"DICM" + b"\0" * 9, ("scanner's own file", "DICOM")),
        ("IM0002", b"\x08\0\x05\0CS\x0a\0ISO_IR 100", ("scanner's own file", "DICOM")),
        ("a.heic", b"\0\0\0\x18ftypheic" + b"\0" * 20, ("picture", "HEIC")),
        ("a.zip", b"PK\x03\x04" + b"\0" * 20, ("not looked into", "zip archive")),
        ("a.bin", bytes(range(256)), ("not looked into", "unknown kind of file")),
        ("a_meg.fif", b"\0\0\0d\0\0\0\x1f" * 9, ("not looked into", "FIF file")),
        ("ses-20180604/README", "x\n", ("date", "path")),
        ("sub-01/anat/Doe^Jane.txt", "x\n", ("name of a person", "path")),
        ("M1833784_gre_20180302190817.txt", "x\n", ("date", "path")),
    ],
)  # fmt: skip
def test_what_is_planted_in_a_file_is_named_by_kind_and_place(tmp_path, name, text, expected):
    assert expected in found_in(tmp_path, name, text)


PNG = "iVBORw0KGgoAAAANSUhEUgAAABQAAAAUCAIAAAAC64paAAAA"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        *((f"a{end}", "v 0.1 0.2\n", "not looked into") for end in (".obj", ".stl", ".hsp", ".pos", ".raw")),
        ("a.surf.gii", "<GIFTI/>", "not looked into"),
        ("2dseq", "plain", "not looked into"),
        ("a.txt", "ply\nformat ascii 1.0\n", "not looked into"),
        ("b.txt", "# vtk DataFile Version 3.0\n", "not looked into"),
        ("c.txt", "NRRD0004\ntype: short\n", "not looked into"),
        ("d.txt", "ObjectType = Image\n", "not looked into"),
        ("e.txt", "Brain Vision Data Exchange Header File Version 1.0\n", "not looked into"),
        *((f"a{end}", f"x = '{PNG}'", "picture in a report") for end in (".ipynb", ".html", ".js", ".xml")),
        ("f.css", f"url(data:image/webp;base64,{PNG})", "picture in a report"),
        ("a.eml", f"From: x\n\n{PNG}", "not looked into"),
        ("2018.06.04/x.txt", "x", "date"),
        ("X_04.03.1978.txt", "x", "date"),
        ("a.b.2018-06-04.txt", "x", "date"),
        ("mail@x.org/a.txt", "x", "e-mail"),
        ("a_T1w.json", '{"EchoTime": "Haagse", "EchoTime": 0.003}', "not JSON"),
    ],
)  # fmt: skip
def test_what_shows_a_head_or_hides_a_date_in_plain_text_is_found(tmp_path, name, content, kind):
    assert kind in {one for one, _ in found_in(tmp_path, name, content)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README", "CDF files and SQLite databases; ID3 tags; ply wood; solid state\n"),
        ("a.txt", "ID3 is a decision tree.\n"),
        ("b.txt", "CDF of the scores: see figure 3.\n"),
        ("c.txt", "SQLite was used.\n"),
        ("CHANGES", "1.0.0-rc1 2018-06-04\nv2020.1.0 (2020-01-01)\n## [1.2.3] - 2021-01-01\n"),
        ("code/run_v1.2.3.sh", "echo 1\n"),
    ],
)
def test_plain_text_that_begins_like_another_format_is_looked_into(tmp_path, name, content):
    assert found_in(tmp_path, name, content) == set()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"intent_code": 5, "intent_p1": 27182818}, {"intent_p1"}),
        ({"intent_code": 1007, "intent_p2": 4711081}, {"intent_p2"}),
        ({"intent_code": 3, "intent_p1": 12.5}, set()),
        ({"scl_slope": 0, "scl_inter": 27182818}, {"scl_inter"}),
        ({"scl_slope": np.nan, "scl_inter": 27182818}, {"scl_inter"}),
        ({"scl_slope": 2, "scl_inter": 27182818}, set()),
        ({"qform_code": 0, "quatern_b": 27182818}, {"quatern_b"}),
        ({"sform_code": 0, "srow_x": (27182818, 0, 0, 0)}, {"srow_x"}),
        ({"sform_code": 0, "srow_x": (2.0, 0, 0, -90)}, set()),
    ],
)
def test_large_numbers_where_no_reader_looks_are_found_and_cleaned(tmp_path, fields, expected):
    content = image_bytes().to_bytes()
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(content), check=False)
    for field, value in fields.items():
        header[field] = value
    found = found_in(tmp_path, "x.nii", header.binaryblock + content[348:])
    assert found == {("number in the header", f"header field {field}") for field in expected}
    clean = clean_header(header)
    for field in fields:
        wanted = np.zeros_like(header[field]) if field in expected else header[field]
        assert np.array_equal(clean[field], wanted, equal_nan=True)


def test_bytes_long_before_the_voxels_are_found(tmp_path):
    content = bytearray(image_bytes().to_bytes())
    gap = bytes(2 << 20) + b"Jane Doe".ljust(16, b"\0")
    content[108:112] = np.float32(352 + len(gap)).tobytes()
    content[352:352] = gap
    assert found_in(tmp_path, "x.nii", content) == {("header extension", "before the voxels")}


def edf(patient, recording, day, annotation=b""):
    header = b"0".ljust(8) + patient.ljust(80) + recording.ljust(80) + day + b"00.00.00" + b"512".ljust(8)
    header += b"".ljust(44) + b"-1".ljust(8) + b"1".ljust(8) + b"1".ljust(4)
    signal = b"EEG Cz".ljust(104) + b"".join(b"1".ljust(8) for _ in range(4)) + b"".ljust(80) + b"1".ljust(40)
    return header + signal + b"+0\x14\x14\0+1\x14" + annotation + b"\x14\0"


def test_the_header_and_annotations_of_an_edf_file_are_looked_into(tmp_path):
    clean = edf(b"X X X X", b"Startdate X X X X", b"01.01.85", b"eyes closed")
    assert found_in(tmp_path, "a_eeg.edf", clean) == set()
    told = edf(
        b"4711 F 04-MAR-1978 Doe", b"Startdate 04-JUN-2018 X Jane X", b"04.06.18", b"jane@hospital.org"
    )
    expected = {("EDF header", place) for place in ("patient", "recording", "start date")}
    assert found_in(tmp_path, "b_eeg.edf", told) == expected | {("e-mail", "annotation")}
    second = clean.replace(b"+1\x14eyes", b"+1\x14\x14jane@hospital.org\x14eyes")
    assert found_in(tmp_path, "d_eeg.edf", second) == {("e-mail", "annotation")}
    assert found_in(tmp_path, "c_eeg.edf", clean.replace(b"512 ", b"Jane")) == {("EDF header", "numbers")}


def test_photographs_and_their_exif_are_found_and_our_own_pictures_are_not(tmp_path):
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x9003] = "2018:06:04 10:11:12"
    Image.new("L", (8, 8)).save(stream, "JPEG", exif=exif)
    assert found_in(tmp_path, "sub-01/eeg/sub-01_photo.jpg", stream.getvalue()) == {
        ("picture", "JPEG"),
        ("picture", "EXIF"),
    }
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "PNG")
    ours = tmp_path / "ours.png"
    draw(ours, np.zeros((8, 8), np.uint8))
    name = "sub-01/figures/sub-01_desc-defaced_T1w.png"
    assert found_in(tmp_path, name, ours.read_bytes()) == set()
    assert found_in(tmp_path, "sub-01/figures/sub-01_T1w.png", ours.read_bytes()) == {("picture", "PNG")}
    assert found_in(tmp_path, name, stream.getvalue()) == {("picture", "PNG")}
    assert ("picture", "JPEG") in found_in(tmp_path, "figures/doe_desc-defaced_photo.jpg", b"\xff\xd8\xff")


def test_a_link_that_stays_in_the_dataset_is_what_it_leads_to(tmp_path):
    """As those of git-annex are; an absolute one tells where the dataset lies."""
    behind = tmp_path / "data/.git/annex/objects/7"
    behind.parent.mkdir(parents=True)
    behind.write_text("born 1978-03-04\n")
    (tmp_path / "data/README").symlink_to(".git/annex/objects/7")
    (tmp_path / "data/CHANGES").symlink_to(behind)
    found = {(one.path, one.kind) for one in find_leaks(tmp_path / "data")}
    assert found == {("README", "date of birth"), ("CHANGES", "date of birth"), ("CHANGES", "link")}


def test_a_file_that_another_run_takes_away_meanwhile_tells_nothing(tmp_path):
    (tmp_path / "README").write_text("born 1978-03-04\n")
    files = [PurePosixPath(name) for name in ("README", "gone_2018-06-04.txt")]
    assert {one.path for one in find_leaks(tmp_path, survey=Survey(files))} == {"README"}


def test_what_version_0_1_0_may_have_falsified_is_named(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\tage_months\nsub-01\t89\n")
    made_by = {"Name": "x", "GeneratedBy": [{"Name": "bidsdeface", "Version": "0.1.0"}]}
    for version in ("0.1.0", "0.2.0"):
        made_by["GeneratedBy"][0]["Version"] = version
        (tmp_path / "dataset_description.json").write_text(json.dumps(made_by))
        found = {one.kind for one in find_leaks(tmp_path)}
        assert any("may have written 89" in kind for kind in found) == (version == "0.1.0")


def test_histories_and_links_are_found(tmp_path):
    (tmp_path / "data/.hg/store").mkdir(parents=True)
    (tmp_path / "data/.hg/hgrc").write_text("email = jane@hospital.org")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret.txt").write_text("jane@hospital.org")
    (tmp_path / "data/link").symlink_to(tmp_path / "elsewhere/secret.txt")
    (tmp_path / "data/folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/broken").symlink_to(tmp_path / "nowhere")
    link = "leads nowhere, or out of the dataset"
    assert set(find_leaks(tmp_path / "data")) == {
        Finding(".hg", "history of the dataset", "folder"),
        *(Finding(name, "link", link) for name in ("link", "folder", "broken")),
    }


@pytest.mark.parametrize("repository", ["data", "."], ids=["its own", "enclosing"])
def test_a_dataset_that_datalad_saved_is_no_leak_and_what_is_behind_its_links_is_looked_at(
    tmp_path, repository, capsys
):
    data = tmp_path / "data"
    for name, text in {"a.txt": "nothing\n", "b.txt": "born 1978-03-04\n", "c.txt": "of c\n"}.items():
        (data / "sub-01").mkdir(parents=True, exist_ok=True)
        (data / "sub-01" / name).write_text(text)
    (data / "d.txt").write_text("/annex/objects/MD5E-s9--0.txt\n")  # unlocked, and not fetched
    save(data, tmp_path / repository)
    for path in (tmp_path / repository / ".git").rglob("MD5E-*"):
        if path.is_file() and "of c" in path.read_text():
            path.unlink()
    assert main([str(data), "--no-faces"]) == 5
    said = capsys.readouterr()
    names = ".git, .datalad" if repository == "data" else "the enclosing repository"
    assert (
        [line for line in said.err.splitlines() if "not searched" in line]
        == [line for line in said.err.splitlines() if line.startswith(f"{names}: not searched; ")]
        != []
    )
    assert said.out.splitlines() == [
        "d.txt, whole file: not looked into: its content is not here; run: datalad get",
        "sub-01/b.txt, line 1: date",
        "sub-01/b.txt, line 1: date of birth",
        "sub-01/c.txt, whole file: not looked into: its content is not here; run: datalad get",
    ]


@pytest.mark.parametrize(
    "target",
    [
        "../raw/README",  # beside the dataset, in the enclosing repository
        "../raw/link",  # and into its annex from there
        "../other/.git/annex/objects/k/k",  # of a repository that does not enclose it
        "../.git/annex/objects/link",  # of which the content is a link again
        "../.git/HEAD",
    ],
)
def test_links_to_what_is_not_of_the_dataset_are_leaks_in_a_repository_too(tmp_path, target):
    for name in (".git/annex/objects/k/k", "other/.git/annex/objects/k/k", "raw/README", ".git/HEAD"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    (tmp_path / "raw/link").symlink_to("../.git/annex/objects/k/k")
    (tmp_path / ".git/annex/objects/link").symlink_to("../../../raw/README")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/README").symlink_to(target)
    leak = Finding("README", "link", "leads nowhere, or out of the dataset")
    assert list(find_leaks(tmp_path / "data")) == [leak]


def test_any_image_is_asked_for_a_face_whatever_its_name(tmp_path):
    clean_image(tmp_path / "code/backup.dat")
    asked = []

    def shows_face(path):
        asked.append(path.name)
        return "nose"

    assert list(find_leaks(tmp_path, shows_face=shows_face)) == [Finding("code/backup.dat", "face", "nose")]
    assert asked == ["backup.dat"]


NAMES = st.sampled_from(
    [
        "x.nii",
        "x.nii.gz",
        "x.json",
        "participants.tsv",
        "a_physio.tsv.gz",
        "x.jpg",
        "x.edf",
        "x",
        "x.html",
        "x.dcm",
    ]
)
STARTS = st.sampled_from(
    [b"", b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"\x5c\x01\x00\x00", b"{", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]
    + [b"0       ", (348).to_bytes(4, "little") + bytes(340) + b"n+1\0"]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("garbage")


@given(NAMES, STARTS, st.binary(max_size=600))
def test_garbage_breaks_nothing(folder, name, start, rest):
    for content in (start + rest, gzip.compress(start + rest), gzip.compress(start + rest)[:-5]):
        (folder / name).write_bytes(content)
        list(find_leaks(folder))
    (folder / name).unlink()


def test_large_files_are_streamed(tmp_path):
    import tracemalloc

    with gzip.open(tmp_path / "a_physio.tsv.gz", "wb", 1) as file:
        file.write((b"\t-1.25" * 30 + b"\n") * 10_000)
    (tmp_path / "long.txt").write_bytes(b"x" * 100_000 + b" jane@hospital.org")
    list(find_leaks(tmp_path.parent / "nothing"))
    tracemalloc.start()
    found = list(find_leaks(tmp_path))
    assert tracemalloc.get_traced_memory()[1] < 1.5e6
    tracemalloc.stop()
    assert ("long.txt", "e-mail") in {(one.path, one.kind) for one in found}


def test_the_command_says_what_it_found_and_exits_accordingly(tmp_path, capsys):
    (tmp_path / "README").write_text("A study.\n")
    assert main([str(tmp_path), "--no-faces"]) == 0
    (tmp_path / "notes").write_text("Ask jane@hospital.org\n")
    assert main([str(tmp_path), "--no-faces"]) == 5
    told = capsys.readouterr()
    assert "notes, line 1: e-mail" in told.out and "jane" not in told.out
    assert main([str(tmp_path), "--no-faces", "--json"]) == 5
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert findings == [{"path": "notes", "kind": "e-mail", "place": "line 1"}]
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_the_command_ends_with_1_for_an_error_that_is_no_wrong_usage(tmp_path, monkeypatch, capsys):
    def broken(*_, **__):
        raise BidsdefaceError("x: broken")

    monkeypatch.setattr("bidsdeface.leakcheck.find.find_leaks", broken)
    assert main([str(tmp_path), "--no-faces"]) == 1
    assert capsys.readouterr().err == "bidsdeface-check: x: broken\n"


def test_fields_and_columns_that_a_person_has_looked_at_are_no_findings(tmp_path):
    (tmp_path / "a_T1w.json").write_text('{"SeriesDescription": "t1"}')
    (tmp_path / "participants.tsv").write_text("participant_id\tcity\nsub-01\tEssen\n")
    arguments = [str(tmp_path), "--no-faces", "--keep-field", "SeriesDescription", "--keep-column", "city"]
    assert main(arguments) == 0
    (tmp_path / "b_T1w.json").write_text('{"ProtocolName": "t1"}')
    assert main(arguments) == 5
    assert main([*arguments, "--keep-field", "ProtocolName"]) == 0  # beside the one given before


def test_labels_are_looked_at_in_names_and_not_line_by_line_in_our_own_tables_and_report(tmp_path):
    label = "sub-20200304_ses-20190312"
    table = f"scan\tVerdict\n{label}_T1w.nii.gz\tpassed\n"
    page = f'<meta name="generator" content="bidsdeface 0.2.0"/>\n<p>{label}_T1w'
    for name, text in {"quality.tsv": table, "reidentification.tsv": table, "report.html": page}.items():
        assert found_in(tmp_path, name, text) == set()
        assert {kind for kind, _ in found_in(tmp_path, name, f"{text} jane@hospital.org\n")} == {"e-mail"}
    assert found_in(tmp_path, "notes.txt", page) == set()
    assert found_in(tmp_path, "other.html", f"<p>{label}") == {("date", "line 1")}
    assert ("date", "path") in found_in(tmp_path, f"{label}_T1w.nii", b"")


def test_what_a_person_has_accepted_in_a_run_is_accepted_here_too(tmp_path, capsys):
    (tmp_path / "README.md").write_bytes(b"J\xfcrg was born 1978-03-04.\n")
    (tmp_path / "dataset_description.json").write_text('{"Name": "MRN: A471142"}')
    (tmp_path / "sub-20200304").mkdir()
    (tmp_path / "sub-20200304/sub-20200304_T1w.json").write_text("{}")
    arguments = [str(tmp_path), "--no-faces"]
    assert main(arguments) == 5
    accepted = ["--accept-text", "README.md", "dataset_description.json"]
    assert main([*arguments, *accepted]) == 5 and main([*arguments, "--accept-labels"]) == 5
    assert main([*arguments, *accepted, "--accept-labels"]) == 0
    assert main([*arguments, "--accept-text", "READMEE"]) == 2
    assert "--accept-text READMEE: no such file" in capsys.readouterr().err


def test_the_last_line_says_what_was_read(tmp_path, capsys):
    (tmp_path / "a_T1w.json").write_text("{}")
    (tmp_path / "a_T1w.nii").write_bytes(fake_head().to_bytes())
    assert main([str(tmp_path), "--no-faces"]) == 0
    assert capsys.readouterr().err == "0 findings in 2 files, 1 images, not tested for faces\n"


def test_help_needs_no_heavy_import():
    code = (
        "import sys; from bidsdeface.leakcheck.cli import _parser; _parser(); "
        "print({'numpy'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
