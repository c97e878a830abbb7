"""Finding scans and gathering them into heads."""

import json
import shutil

import pytest

from bidsdeface.dataset.filters import read_filters
from bidsdeface.dataset.metadata import read_metadata
from bidsdeface.dataset.query import find_heads, natural_key
from bidsdeface.errors import BidsdefaceError, UsageError
from tests.conftest import make_dataset

TWO_SESSIONS = (
    "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz",
    "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii",
    "sub-01/ses-b/anat/sub-01_ses-b_acq-x_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz",
)


def stems(plan):
    return [scan.stem for head in plan.heads for scan in head.scans]


def test_a_head_is_the_scans_of_one_session(tmp_path):
    plan = find_heads(make_dataset(tmp_path, TWO_SESSIONS))
    assert [head.name for head in plan.heads] == ["sub-01_ses-a", "sub-01_ses-b", "sub-02_ses-a"]
    assert [len(head.scans) for head in plan.heads] == [2, 1, 1]
    assert plan.problems == ()
    scan = plan.heads[1].scans[0]
    assert scan.entities == (("sub", "01"), ("ses", "b"), ("acq", "x"))
    assert (scan.suffix, scan.extension) == ("T1w", ".nii.gz") and scan.path.is_file()
    assert scan.uri == "bids:raw:sub-01/ses-b/anat/sub-01_ses-b_acq-x_T1w.nii.gz"


def test_only_the_participants_and_sessions_asked_for_are_found(tmp_path):
    bids_dir = make_dataset(tmp_path, TWO_SESSIONS)
    assert stems(find_heads(bids_dir, ["02"])) == ["sub-02_ses-a_T1w"]
    assert stems(find_heads(bids_dir, ["01"], ["b"])) == ["sub-01_ses-b_acq-x_T1w"]
    assert find_heads(bids_dir, [], ["b"]).problems == ()  # nobody asked for sub-02 by name
    assert "sub-02: no anatomical scan" in find_heads(bids_dir, ["01", "02"], ["b"]).problems[0]


def test_a_label_does_not_match_as_a_prefix(tmp_path):
    bids_dir = make_dataset(tmp_path, [f"sub-{n}/anat/sub-{n}_T1w.nii.gz" for n in (1, 10, 2)])
    assert stems(find_heads(bids_dir, ["1"])) == ["sub-1_T1w"]
    assert stems(find_heads(bids_dir)) == ["sub-1_T1w", "sub-2_T1w", "sub-10_T1w"]


def test_other_folders_are_not_searched(tmp_path):
    bids_dir = make_dataset(tmp_path)
    for elsewhere in ("derivatives/x", "sourcedata", "code", ".git", "sub-01/func"):
        shutil.copytree(bids_dir / "sub-01" / "anat", bids_dir / elsewhere / "sub-09" / "anat")
    (bids_dir / "sub-01/anat/._sub-01_T1w.nii.gz").touch()  # left by macOS
    (bids_dir / "sub-01/anat/sub-01_mod-T1w_defacemask.nii.gz").touch()
    assert stems(find_heads(bids_dir)) == ["sub-01_T1w"]


def test_a_dataset_below_folders_named_like_entities_is_read_as_it_is(tmp_path):
    bids_dir = make_dataset(tmp_path / "sub-99" / "ses-z" / "func" / "run-7", TWO_SESSIONS)
    plan = find_heads(bids_dir, ["02"], ["a"])
    assert [head.name for head in plan.heads] == ["sub-02_ses-a"]
    assert read_metadata(bids_dir, plan.heads[0].scans[0])["EchoTime"] == 0.003


def test_an_unfetched_link_is_still_a_scan(tmp_path):
    bids_dir = make_dataset(tmp_path, [*TWO_SESSIONS, "sub-03/anat/sub-03_T1w.nii.gz"])
    image = bids_dir / "sub-03/anat/sub-03_T1w.nii.gz"
    image.unlink()
    image.symlink_to("../../.git/annex/objects/aa/bb/MD5E-s1--0.nii.gz/MD5E-s1--0.nii.gz")
    assert stems(find_heads(bids_dir, ["03"])) == ["sub-03_T1w"]


def test_a_linked_participant_folder_is_searched(tmp_path):
    bids_dir = make_dataset(tmp_path)
    (bids_dir / "sub-01").rename(tmp_path / "elsewhere")
    (bids_dir / "sub-01").symlink_to(tmp_path / "elsewhere")
    assert stems(find_heads(bids_dir)) == ["sub-01_T1w"]


def test_an_unknown_participant_is_refused_and_ten_known_ones_are_named(tmp_path):
    bids_dir = make_dataset(tmp_path)
    for number in range(2, 15):
        (bids_dir / f"sub-{number:02}").mkdir()
    with pytest.raises(UsageError, match=r"no participant sub-77.*sub-10 and 4 more"):
        find_heads(bids_dir, ["77"])


def test_an_unknown_session_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no session ses-c; choose from ses-a, ses-b"):
        find_heads(make_dataset(tmp_path, TWO_SESSIONS), (), ["a", "c"])


def test_a_participant_without_scan_does_not_stop_the_others(tmp_path):
    bids_dir = make_dataset(tmp_path)
    (bids_dir / "sub-02/func").mkdir(parents=True)
    plan = find_heads(bids_dir)
    assert len(plan.heads) == 1
    assert len(plan.problems) == 1 and plan.problems[0].startswith("sub-02: no anatomical scan")


def test_a_dataset_without_anatomical_scan_is_an_error(tmp_path):
    bids_dir = make_dataset(tmp_path, ["sub-01/func/sub-01_task-rest_bold.nii.gz"])
    with pytest.raises(BidsdefaceError, match="no anatomical scan"):
        find_heads(bids_dir)


def test_a_scan_stored_twice_is_a_problem_and_not_a_guess(tmp_path):
    twins = ("sub-01/anat/sub-01_T1w.nii", "sub-01/anat/sub-01_T1w.nii.gz")
    bids_dir = make_dataset(tmp_path, [*twins, *TWO_SESSIONS[3:]])
    plan = find_heads(bids_dir)
    assert stems(plan) == ["sub-02_ses-a_T1w"]
    assert "is there as" in plan.problems[0]


def test_a_file_in_the_wrong_folder_is_left_out(tmp_path, caplog):
    bids_dir = make_dataset(tmp_path)
    shutil.copy(bids_dir / "sub-01/anat/sub-01_T1w.nii.gz", bids_dir / "sub-01/anat/sub-02_T1w.nii")
    shutil.copy(bids_dir / "sub-01/anat/sub-01_T1w.nii.gz", bids_dir / "sub-01/anat/my_T1w.nii")
    assert stems(find_heads(bids_dir)) == ["sub-01_T1w"]
    assert caplog.text.count("not named as BIDS asks") == 2


MANY = (
    *("sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz"),
    *("sub-01/func/sub-01_task-rest_bold.nii.gz", "sub-01/func/sub-01_task-rest_sbref.nii.gz"),
    *("sub-01/fmap/sub-01_magnitude1.nii.gz", "sub-01/fmap/sub-01_phasediff.nii.gz"),
)


@pytest.mark.parametrize(
    ("suffixes", "expected"),
    [
        ((), ["T1w", "T2w"]),
        (("T2w",), ["T2w"]),
        (("anat", "bold"), ["T1w", "T2w", "bold"]),
        (("sbref", "phasediff", "magnitude1"), ["magnitude1", "sbref", "phasediff"]),
    ],
)
def test_suffixes_narrow_and_widen_and_the_reference_is_the_t1w_all_the_same(tmp_path, suffixes, expected):
    (head,) = find_heads(make_dataset(tmp_path, MANY), suffixes=suffixes).heads
    assert [scan.suffix for scan in head.scans] == expected
    assert head.reference.suffix == "T1w"
    assert all(scan.path.is_file() and scan.bids_dir == tmp_path / "bids" for scan in head.scans)


def test_a_suffix_that_bids_does_not_have_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--suffixes t1w: BIDS has no such image.*anat.*T1w.*bold"):
        find_heads(make_dataset(tmp_path), suffixes=["t1w", "T2w"])


def test_a_participant_without_any_image_of_a_suffix_is_a_problem(tmp_path):
    plan = find_heads(make_dataset(tmp_path, [*MANY, "sub-02/anat/sub-02_T1w.nii.gz"]), suffixes=["bold"])
    assert stems(plan) == ["sub-01_task-rest_bold"]
    assert "sub-02: no scan that fits the request" in plan.problems[0]


def test_all_sessions_are_one_head_if_asked_for(tmp_path):
    plan = find_heads(make_dataset(tmp_path, TWO_SESSIONS), longitudinal=True)
    assert [(head.name, len(head.scans)) for head in plan.heads] == [("sub-01", 3), ("sub-02", 1)]
    assert plan.heads[0].reference.suffix == "T1w"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"acquisition": "x"}, ["sub-01_ses-a_T2w", "sub-01_ses-b_acq-x_T1w"]),
        ({"acquisition": None}, ["sub-01_ses-a_T1w", "sub-01_ses-a_T2w", "sub-02_ses-a_T1w"]),
        ({"acquisition": "*"}, ["sub-01_ses-a_T2w", "sub-01_ses-b_acq-x_T1w"]),
        ({"session": ["b"]}, ["sub-01_ses-a_T2w", "sub-01_ses-b_acq-x_T1w"]),
    ],
)
def test_a_filter_narrows_its_own_suffix_only(tmp_path, query, expected):
    path = tmp_path / "filter.json"
    path.write_text(json.dumps({"t1w": query, "bold": {"task": "rest"}}))
    plan = find_heads(make_dataset(tmp_path, TWO_SESSIONS), filters=read_filters(path))
    assert stems(plan) == expected
    assert plan.problems == ()


def test_a_filter_by_an_unknown_entity_is_refused(tmp_path):
    with pytest.raises(UsageError, match="aquisition"):
        find_heads(make_dataset(tmp_path), filters={"t1w": {"aquisition": "x"}})


@pytest.mark.parametrize("text", ["{", "[]", '{"t1w": "mprage"}', None])
def test_a_file_that_is_no_filter_is_refused(tmp_path, text):
    path = tmp_path / "filter.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match="filter.json"):
        read_filters(path)


def test_metadata_is_inherited_and_the_nearest_file_wins(tmp_path):
    bids_dir = make_dataset(tmp_path, TWO_SESSIONS, metadata={"FlipAngle": 9})
    (bids_dir / "T1w.json").write_text('{"FlipAngle": 1, "EchoTime": 0.1, "RepetitionTime": 2}')
    (bids_dir / "T2w.json").write_text('{"InversionTime": 7}')
    (bids_dir / "sub-01/sub-01_T1w.json").write_text('{"EchoTime": 0.2, "DwellTime": 3}')
    (bids_dir / "sub-01/ses-a/sub-01_ses-a_T1w.json").write_text('{"DwellTime": 4}')
    (bids_dir / "sub-01/ses-b/sub-01_ses-b_T1w.json").write_text('{"DwellTime": 5}')
    (bids_dir / "sub-02/sub-02_T1w.json").write_text("broken, and none of our business")
    scan = find_heads(bids_dir, ["01"], ["a"]).heads[0].reference
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
    scan = find_heads(relative).heads[0].reference
    assert read_metadata(relative, scan) == {"EchoTime": 0.003, "FlipAngle": 9}


def test_broken_metadata_is_one_clear_line(tmp_path):
    bids_dir = make_dataset(tmp_path)
    (bids_dir / "sub-01/anat/sub-01_T1w.json").write_text('{"EchoTime": ')
    with pytest.raises(BidsdefaceError, match=r"sub-01_T1w\.json") as raised:
        read_metadata(bids_dir, find_heads(bids_dir).heads[0].reference)
    assert "\n" not in str(raised.value)


def test_numbers_in_names_sort_as_numbers():
    names = ["sub-10", "sub-9", "sub-a", "sub-1b", "sub-1"]
    assert sorted(names, key=natural_key) == ["sub-1", "sub-1b", "sub-9", "sub-10", "sub-a"]
