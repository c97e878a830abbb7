"""Finding scans and gathering them into heads."""

import json
import os
import shutil
from pathlib import Path

import pytest

from bidsdeface.dataset.inheritance import read_metadata
from bidsdeface.dataset.kinds import kinds_of
from bidsdeface.dataset.names import natural_key
from bidsdeface.dataset.query import find_heads, open_layout, read_filters
from bidsdeface.errors import BidsdefaceError, UsageError, printable
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


def test_sessions_of_a_dataset_that_has_none_are_refused(tmp_path):
    with pytest.raises(UsageError, match="the dataset has no sessions; leave --session-label out"):
        find_heads(make_dataset(tmp_path), (), ["1"])


def test_a_participant_without_scan_is_a_notice_unless_it_is_named(tmp_path, caplog):
    bids_dir = make_dataset(tmp_path)
    (bids_dir / "sub-02/func").mkdir(parents=True)
    plan = find_heads(bids_dir)
    assert len(plan.heads) == 1 and plan.problems == ()
    assert caplog.messages == ["no anatomical scan, so there is nothing to do: sub-02"]
    for named in (["01", "02"], ["02"]):
        (problem,) = find_heads(bids_dir, named).problems
        assert problem.startswith("sub-02: no anatomical scan that matches the request")


def test_a_dataset_without_anatomical_scan_is_an_error(tmp_path):
    bids_dir = make_dataset(tmp_path, ["sub-01/func/sub-01_task-rest_bold.nii.gz"])
    with pytest.raises(BidsdefaceError, match=r"no anatomical scan.*\.bidsignore; .*: --suffixes bold$"):
        find_heads(bids_dir)


def test_a_dataset_of_nothing_but_pet_is_told_how_to_deface_it(tmp_path):
    bids_dir = make_dataset(tmp_path, ["sub-01/pet/sub-01_pet.nii.gz"])
    with pytest.raises(BidsdefaceError, match="no anatomical scan.*: --suffixes pet$"):
        find_heads(bids_dir)
    assert stems(find_heads(bids_dir, suffixes=["pet"])) == ["sub-01_pet"]


def test_a_scan_stored_twice_is_a_problem_and_not_a_guess(tmp_path):
    twins = ("sub-01/anat/sub-01_T1w.nii", "sub-01/anat/sub-01_T1w.nii.gz")
    bids_dir = make_dataset(tmp_path, [*twins, *TWO_SESSIONS[3:]])
    plan = find_heads(bids_dir)
    assert stems(plan) == ["sub-02_ses-a_T1w"]
    assert "is there as" in plan.problems[0]


T1W = "sub-01/anat/sub-01_T1w.nii.gz"
NOT_TAKEN = {
    **dict.fromkeys(
        ("sub-01_T1W.nii.gz", "sub-01_t1w.nii.gz", "sub-01_T1.nii", "sub-01_T1w1.nii.gz"), "suffix"
    ),
    **dict.fromkeys(("sub-01_T1w.NII.GZ", "sub-01_T1w.nii.gz.bak", "sub-01_T1w.mgz"), "extension"),
    **dict.fromkeys(("sub-01_T1w (1).nii.gz", "sub-01_T1w_defaced.nii.gz", "my_T1w.nii"), "then one suffix"),
    **dict.fromkeys(("sub-01_T1w__dup-01.nii.gz", "sub-01-acq-e_T1w.nii.gz"), "then one suffix"),
    **dict.fromkeys(("T1w.nii.gz", "sub-02_T1w.nii.gz", "sub-01_ses-a_T1w.nii"), "do not agree"),
    "../func/sub-01_T1w.nii.gz": "no suffix T1w in func",
    "../T1w.nii.gz": "do not agree",
    "old/sub-01_T1w.nii.gz": "do not agree",
}


@pytest.mark.parametrize(("name", "reason"), NOT_TAKEN.items())
def test_an_image_that_looks_like_a_head_and_is_not_named_as_bids_asks_is_named(
    tmp_path, caplog, name, reason
):
    path = make_dataset(tmp_path) / "sub-01/anat" / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert stems(find_heads(tmp_path / "bids")) == ["sub-01_T1w"]
    (line,) = caplog.messages
    assert str(path.resolve()) in line and "skipped: does not have a BIDS name" in line and reason in line


@pytest.mark.parametrize(
    "name",
    ["anat/._sub-01_T1w.nii.gz", "anat/.DS_Store", "._anat", "anat/sub-01_T1w.json", "anat/notes.txt"]
    + ["anat/sub-01_mod-T1w_defacemask.nii.gz", "func/sub-01_task-a_bold.nii.gz", "func/copy of bold.nii.gz"],
)
def test_what_is_nobodys_data_or_not_asked_for_is_passed_over_without_a_word(tmp_path, caplog, name):
    path = make_dataset(tmp_path) / "sub-01" / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert stems(find_heads(tmp_path / "bids")) == ["sub-01_T1w"] and caplog.messages == []


@pytest.mark.parametrize("name", [b"sub-01/anat/sub-01_acq-\xff_T1w.nii.gz", b"sub-01/\xff.txt"])
def test_a_file_whose_name_is_not_utf8_is_passed_over_and_named(tmp_path, caplog, name):
    bids_dir = make_dataset(tmp_path)
    Path(os.fsdecode(os.fsencode(bids_dir) + b"/" + name)).touch()
    (bids_dir / os.fsdecode(b"sub-\xff")).mkdir()
    for filters in ({}, {"t1w": {"acquisition": None}}):
        assert stems(find_heads(bids_dir, filters=filters)) == ["sub-01_T1w"]
    lines = {line.removeprefix(f"{bids_dir.resolve()}/") for line in caplog.messages}
    for path in (os.fsdecode(name), os.fsdecode(b"sub-\xff")):
        assert f"{printable(path)}: skipped: its name is not UTF-8" in lines


@pytest.mark.parametrize("line", ["sub-02/", "/sub-02", "**/sub-02_*", "# sub-01\n\nsub-02/anat/*"])
def test_what_is_in_bidsignore_is_not_taken_and_named_in_one_line(tmp_path, caplog, line):
    bids_dir = make_dataset(tmp_path, [T1W, "sub-02/anat/sub-02_T1w.nii.gz", "sub-02/anat/sub-02_T2w.nii"])
    (bids_dir / ".bidsignore").write_bytes(b"\xef\xbb\xbf# parked\r\n" + line.encode() + b"\n*_caf\xe9*\n")
    plan = find_heads(bids_dir)
    assert stems(plan) == ["sub-01_T1w"] and plan.problems == ()
    names = "sub-02/anat/sub-02_T1w.nii.gz, sub-02/anat/sub-02_T2w.nii"
    assert f"listed in .bidsignore and therefore skipped: {names}" in caplog.messages


@pytest.mark.parametrize("link", ["sub-03", "sub-01/ses-a", "sub-01/perf"])
@pytest.mark.parametrize(
    ("target", "way_out"),
    [
        ("/archive/x", "is a link to /archive/x, which does not exist"),
        ("../.git/annex/objects/x", "datalad get"),
    ],
)
def test_a_folder_that_is_a_link_to_nowhere_is_a_problem(tmp_path, link, target, way_out):
    bids_dir = make_dataset(tmp_path)
    (bids_dir / link).symlink_to(target)
    plan = find_heads(bids_dir)
    assert stems(plan) == ["sub-01_T1w"]
    (problem,) = plan.problems
    assert problem.startswith(f"{bids_dir / link}: ") and way_out in problem
    if link == "sub-03":
        assert find_heads(bids_dir, ["03"]).problems == (problem,)
        assert find_heads(bids_dir, ["01"]).problems == ()


@pytest.mark.parametrize("dataset", ["ds001", "ds003", "ds114", "7t_trt", "qmri_mp2rage", "asl003", "pet001"])
def test_the_plan_is_the_same_as_by_pybids(dataset):
    bids_dir = Path(os.environ.get("BIDS_EXAMPLES", "bids-examples"), dataset)
    if not bids_dir.is_dir():
        pytest.skip("needs bids-examples: give their folder in BIDS_EXAMPLES")
    kinds = kinds_of()
    found = open_layout(bids_dir, datatypes={datatype for datatype, _ in kinds}).get(
        suffix=[suffix for _, suffix in kinds], extension=[".nii", ".nii.gz"]
    )
    of_kind = (one for one in found if tuple(map(one.get_entities().get, ("datatype", "suffix"))) in kinds)
    by_pybids = {Path(one.path).name for one in of_kind}
    plan = find_heads(bids_dir)
    assert {scan.path.name for head in plan.heads for scan in head.scans} == by_pybids


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
    with pytest.raises(UsageError, match=r"--suffixes t1w: no BIDS suffix of images.*anat.*T1w.*bold"):
        find_heads(make_dataset(tmp_path), suffixes=["t1w", "T2w"])


def test_a_participant_without_any_image_of_a_suffix_is_a_notice(tmp_path, caplog):
    plan = find_heads(make_dataset(tmp_path, [*MANY, "sub-02/anat/sub-02_T1w.nii.gz"]), suffixes=["bold"])
    assert stems(plan) == ["sub-01_task-rest_bold"] and plan.problems == ()
    assert "no scan, so there is nothing to do: sub-02" in caplog.text


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


def test_numbers_in_names_sort_as_numbers():
    names = ["sub-10", "sub-9", "sub-a", "sub-1b", "sub-1"]
    assert sorted(names, key=natural_key) == ["sub-1", "sub-1b", "sub-9", "sub-10", "sub-a"]
