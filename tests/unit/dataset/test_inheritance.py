"""Reading JSON files, and merging those that apply to a scan."""

import time
from pathlib import PurePosixPath

import pytest

from bidsdeface.dataset.inheritance import (
    JsonError,
    parse_json,
    read_gradients,
    read_json,
    read_metadata,
    read_sidecar,
)
from bidsdeface.dataset.names import scan_at
from bidsdeface.dataset.query import find_heads, read_filters
from bidsdeface.errors import BidsdefaceError
from tests.conftest import make_dataset
from tests.unit.dataset.test_query import TWO_SESSIONS

MARK = b"\xef\xbb\xbf"
SECRET = "Zwingli^Huldrych"
SIDECAR = "bids/sub-01/anat/sub-01_T1w.json"


def scan_of(bids_dir, name="sub-01/anat/sub-01_T1w.nii.gz"):
    return scan_at(bids_dir / name)


@pytest.mark.parametrize(
    "content",
    [
        b'{"EchoTime": 0.1}',
        MARK + b'{\r\n"EchoTime": 0.1}\r\n',
        '{"EchoTime": 0.1}'.encode("utf-16"),
        b'\n {"EchoTime": 9, "EchoTime": 0.1}',
    ],
)
def test_json_is_read_with_and_without_a_byte_order_mark(content):
    assert parse_json(content) == {"EchoTime": 0.1}


def test_nan_and_infinity_are_numbers():
    assert str(parse_json(b'{"a": NaN, "b": -Infinity, "c": 1e999}')) == "{'a': nan, 'b': -inf, 'c': inf}"


BROKEN = {
    "latin-1": (f'{{"a": "9\xb0 {SECRET}"}}'.encode("latin-1"), "is not UTF-8; save it as UTF-8"),
    "cut": (f'{{"a": "{SECRET}",'.encode(), "is not JSON (it is cut short); correct it"),
    "cut text": (f'{{"a": "{SECRET}'.encode(), "is not JSON (it is cut short); correct it"),
    "comma": (f'{{"a": 1\n"{SECRET}": 2}}'.encode(), "is not JSON (line 2, column 1); correct it"),
    "empty": (b"", "is empty; write the JSON object again, or remove the file"),
    "blank": (b" \n", "is empty; write the JSON object again, or remove the file"),
    "list": (f'[{{"a": "{SECRET}"}}]'.encode(), "holds a list or a single value in place of a JSON object"),
    "null": (b"null", "holds a list or a single value in place of a JSON object"),
    "text": (f'"{SECRET}"'.encode(), "holds a list or a single value in place of a JSON object"),
    "deep": (b'{"a":' + b"[" * 100_000, "is not JSON (it is nested too deeply); correct it"),
    "half": (b'{"a": "\\ud83d"}', "contains half of a character (such as \\ud83d alone); correct it"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_json_is_one_line_with_file_cause_and_way_out_and_no_value(tmp_path, name):
    content, cause = BROKEN[name]
    bids_dir = make_dataset(tmp_path)
    sidecar = tmp_path / SIDECAR
    sidecar.write_bytes(content)
    with pytest.raises(BidsdefaceError) as raised:
        read_metadata(bids_dir, scan_of(bids_dir))
    image = bids_dir / "sub-01/anat/sub-01_T1w.nii.gz"
    assert str(raised.value).startswith(f"{image}: its metadata cannot be read: {sidecar}: {cause}")
    assert "\n" not in str(raised.value) and "Zwingli" not in str(raised.value)
    for read in (
        lambda: read_filters(sidecar),
        lambda: read_sidecar(sidecar.parent, PurePosixPath(sidecar.name)),
    ):
        with pytest.raises(BidsdefaceError) as raised:
            read()
        assert str(raised.value).startswith(f"{sidecar}: {cause}") and "Zwingli" not in str(raised.value)


def test_a_field_that_stands_twice_is_refused_where_it_matters(tmp_path):
    (tmp_path / "x.json").write_text('{"a": {"b": 1, "b": 2}}')
    assert read_json(tmp_path / "x.json") == {"a": {"b": 2}}
    with pytest.raises(JsonError, match="same field twice"):
        read_json(tmp_path / "x.json", may_repeat=False)


@pytest.mark.parametrize(
    "name",
    ["T2w.json", "sub-02_T1w.json", "sub-01/anat/sub-01_T2w.json", "sub-01/anat/sub-01_acq-x_T1w.json"]
    + ["task-rest_bold.json", "sub-01/func/sub-01_task-rest_bold.json", "participants.json", "sub-01/x.json"],
)
def test_broken_json_that_does_not_apply_to_a_scan_costs_it_nothing(tmp_path, name):
    bids_dir = make_dataset(tmp_path)
    (bids_dir / name).parent.mkdir(exist_ok=True)
    (bids_dir / name).write_bytes(b'{"RepetitionTime": 2, "TaskName": "r\xe9')
    for filters in ({}, {"t1w": {"acquisition": None}}):
        (head,) = find_heads(bids_dir, filters=filters).heads
    assert read_metadata(bids_dir, head.reference) == {"EchoTime": 0.003, "FlipAngle": 9}


def test_keys_that_are_called_like_entities_are_just_keys(tmp_path):
    keys = {
        "run": 3,
        "session": "pre",
        "subject": SECRET,
        "suffix": "x",
        "extension": ".dcm",
        "datatype": "MR",
    }
    bids_dir = make_dataset(tmp_path, metadata=keys)
    (bids_dir / "T1w.json").write_text('{"run": 4, "task": "rest"}')
    assert read_metadata(bids_dir, scan_of(bids_dir)) == {**keys, "task": "rest"}


def test_the_nearest_wins_and_of_one_folder_the_one_with_more_entities(tmp_path):
    bids_dir = make_dataset(tmp_path, ["sub-01/anat/sub-01_acq-x_run-1_T1w.nii.gz"], metadata={"a": 1})
    files = {
        "T1w.json": '{"a": 9, "b": 9, "c": 9, "d": 9}',
        "acq-x_T1w.json": '{"b": 2, "c": 3}',
        "sub-01/sub-01_T1w.json": '{"c": 4}',
        "acq-y_T1w.json": '{"d": 0}',
    }
    for name, text in files.items():
        (bids_dir / name).write_text(text)
    scan = scan_of(bids_dir, "sub-01/anat/sub-01_acq-x_run-1_T1w.nii.gz")
    assert read_metadata(bids_dir, scan) == {"a": 1, "b": 2, "c": 4, "d": 9}


def test_a_sidecar_is_read_in_no_time_beside_thousands_of_participants(tmp_path):
    bids_dir = make_dataset(tmp_path)
    for number in range(5000):
        (bids_dir / f"sub-x{number}").mkdir()
    scan = scan_of(bids_dir)
    start = time.process_time()
    for _ in range(20):
        read_metadata(bids_dir, scan)
    assert (time.process_time() - start) / 20 < 0.02


@pytest.mark.parametrize("content", [b"0 1\xff\n", b"Zwingli\n"])
def test_gradients_are_inherited_and_broken_ones_are_one_line(tmp_path, content):
    bids_dir = make_dataset(tmp_path, ["sub-01/dwi/sub-01_run-1_dwi.nii.gz"])
    (bids_dir / "dwi.bval").write_text("0 1000\n")
    (bids_dir / "sub-01/sub-01_dwi.bvec").write_text("0 1\n0 0\n0 0\n")
    scan = scan_of(bids_dir, "sub-01/dwi/sub-01_run-1_dwi.nii.gz")
    assert read_gradients(scan) == ("0 1000\n", "0 1\n0 0\n0 0\n")
    (bids_dir / "sub-01/sub-01_dwi.bval").write_bytes(content)
    with pytest.raises(BidsdefaceError, match="dwi.bval: is not a table of numbers") as raised:
        read_gradients(scan)
    assert "Zwingli" not in str(raised.value)


def test_metadata_is_inherited_and_the_nearest_file_wins(tmp_path):
    bids_dir = make_dataset(tmp_path, TWO_SESSIONS, metadata={"FlipAngle": 9})
    (bids_dir / "T1w.json").write_text('{"FlipAngle": 1, "EchoTime": 0.1, "RepetitionTime": 2}')
    (bids_dir / "T2w.json").write_text('{"InversionTime": 7}')
    (bids_dir / "sub-01/sub-01_T1w.json").write_text('{"EchoTime": 0.2, "DwellTime": 3}')
    (bids_dir / "sub-01/ses-a/sub-01_ses-a_T1w.json").write_text('{"DwellTime": 4}')
    (bids_dir / "sub-01/ses-b/sub-01_ses-b_T1w.json").write_text('{"DwellTime": 5}')
    (bids_dir / "sub-02/sub-02_T1w.json").write_text("broken, and none of our business")
    scan = scan_of(bids_dir, TWO_SESSIONS[0])
    assert read_metadata(bids_dir, scan) == {
        "FlipAngle": 9,
        "EchoTime": 0.2,
        "DwellTime": 4,
        "RepetitionTime": 2,
    }


def test_a_relative_dataset_path_finds_the_same_metadata(tmp_path, monkeypatch):
    bids_dir = make_dataset(tmp_path)
    monkeypatch.chdir(tmp_path)
    relative = bids_dir.relative_to(tmp_path)
    scan = scan_of(relative)
    assert read_metadata(relative, scan) == {"EchoTime": 0.003, "FlipAngle": 9}


def test_a_number_that_no_reader_can_hold_is_infinite():
    assert parse_json(b'{"a": ' + b"1" * 5000 + b"}") == {"a": float("inf")}
    assert parse_json(b'{"a": "\\ud83d\\ude00", "b": 12345678901234567890}') == {
        "a": "😀",
        "b": 12345678901234567890,
    }
