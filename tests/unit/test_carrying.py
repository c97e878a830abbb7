"""A complete dataset holds what its input has today: what is taken out there is taken out here."""

import errno
import json
import logging
import os
import shutil
from pathlib import PurePosixPath

import pytest

from bidsdeface import sharing
from bidsdeface.carrying import Scope, Shared, preview, preview_root, read_above, share, share_root
from bidsdeface.dataset import identifying
from bidsdeface.dataset.carryover import LeftOut, Treatment
from bidsdeface.dataset.description import claim_shareable
from bidsdeface.dataset.publish import Staging
from bidsdeface.dataset.treatments import WRITERS
from bidsdeface.errors import BidsdefaceError
from bidsdeface.exits import Exit
from bidsdeface.group import run_group_level
from bidsdeface.privacy.state import open_state
from bidsdeface.settings import Settings
from bidsdeface.sharing import settle_dataset, share_dataset
from bidsdeface.workers import Lost
from tests.fullset import full_dataset

A, B = "sub-01/ses-a/", "sub-01/ses-b/"
BOLD = f"{A}func/sub-01_ses-a_task-rest_bold"
EVENTS = BOLD.replace("bold", "events")
T1W = f"{A}anat/sub-01_ses-a_T1w"
MASK = f"{A}anat/sub-01_ses-a_mod-T1w_defacemask"


@pytest.fixture
def settings(tmp_path):
    """Return settings of a dataset that was shared whole, with two scans that were defaced."""
    root = full_dataset(tmp_path / "bids", {"stimuli/a.txt": "a\n", "LICENSE": "CC0\n"})
    settings = Settings(bids_dir=root, output_dir=tmp_path / "out", level="group", output_layout="bids")
    settings.output_dir.mkdir()
    claim_shareable(settings.output_dir)
    for label in ("01", "02"):
        scan = T1W.replace("01", label)
        (settings.output_dir / scan).parent.mkdir(parents=True)
        shutil.copyfile(root / f"{scan}.nii.gz", settings.output_dir / f"{scan}.nii.gz")
        for name in (scan, MASK.replace("01", label)):
            sidecar = {"Bidsdeface": {"Measures": {}, "Verdict": "passed"}}
            (settings.output_dir / f"{name}.json").write_text(json.dumps(sidecar))
        (settings.output_dir / f"{MASK.replace('01', label)}.nii.gz").touch()
        share(Scope(label), settings, None)
    share_root(settings, None)
    return settings


def there(settings):
    """Return the names of all files of the output."""
    return {
        str(path.relative_to(settings.output_dir))
        for path in settings.output_dir.rglob("*")
        if path.is_file()
    }


def remove(settings, *names):
    """Remove files from the input."""
    for name in names:
        (settings.bids_dir / name).unlink()


def share_again(settings, *sessions):
    share(Scope("01", sessions), settings, None)


def end_again(settings, *_):
    settle_dataset(settings, None, settings.output_dir.parent)


@pytest.mark.parametrize("again", [share_again, end_again])
def test_files_that_the_input_has_no_more_are_gone_and_all_others_stay(settings, again):
    before = there(settings)
    gone = {f"{EVENTS}.tsv", f"{BOLD}.nii.gz", f"{BOLD}.json"}
    assert gone <= before
    remove(settings, *gone)
    again(settings)
    assert there(settings) == before - gone


@pytest.mark.parametrize("again", [share_again, end_again])
def test_a_scan_that_the_input_has_no_more_goes_with_its_mask(settings, again):
    before = there(settings)
    remove(settings, f"{T1W}.nii.gz", f"{T1W}.json")
    again(settings)
    assert before - there(settings) == {
        f"{name}{end}" for name in (T1W, MASK) for end in (".nii.gz", ".json")
    }
    assert not (settings.output_dir / T1W).parent.exists()


def test_a_task_of_a_session_leaves_all_others_alone(settings):
    others = {BOLD.replace("ses-a", "ses-b") + ".nii.gz", BOLD.replace("01", "02") + ".nii.gz"}
    remove(settings, *others, f"{BOLD}.nii.gz", f"{BOLD}.json")
    unfinished = settings.output_dir / "sub-02/ses-a/anat/sub-02_ses-a_new_T1w.nii.gz"
    unfinished.touch()  # of a task that goes on at this moment
    share_again(settings, "a")
    assert others <= there(settings) and unfinished.exists()
    assert f"{BOLD}.nii.gz" not in there(settings)


def withdraw(settings, label):
    """Take a participant out of the input, as BIDS has it."""
    shutil.rmtree(settings.bids_dir / f"sub-{label}")
    table = settings.bids_dir / "participants.tsv"
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(row for row in rows if not row.startswith(f"sub-{label}")))


def test_what_is_above_participants_goes_too(settings, caplog):
    before = there(settings)
    gone = {"README", "task-rest_events.json", "participants.json"}
    remove(settings, "LICENSE", *gone)
    with caplog.at_level(logging.INFO, "bidsdeface"):
        share_root(settings, None)
    assert before - there(settings) == gone - {"README"}  # it may be yours, and is named
    assert any("participants.json, task-rest_events.json" in line for line in caplog.messages)
    assert any(line.endswith("shared as well: LICENSE, README") for line in caplog.messages)


def test_what_was_included_once_goes_when_it_is_not_included_any_more(settings):
    before = there(settings)
    share_root(Settings(**{**vars(settings), "include": ("stimuli/*",)}), None)
    assert there(settings) - before == {"stimuli/a.txt"}
    share_root(settings, None)
    assert there(settings) == before and not (settings.output_dir / "stimuli").exists()


def test_what_only_sounds_like_a_text_is_shared_byte_for_byte(settings):
    content = bytes(range(256)) + b"\r\n"
    (settings.bids_dir / "stimuli/README.pdf").write_bytes(content)
    share_root(Settings(**{**vars(settings), "include": ("stimuli/*",)}), None)
    assert (settings.output_dir / "stimuli/README.pdf").read_bytes() == content


def test_what_no_run_can_have_written_is_named_and_stays(settings, caplog):
    mine = settings.output_dir / "derivatives/fmriprep/sub-01.html"
    mine.parent.mkdir(parents=True)
    mine.touch()
    (settings.output_dir / ".git").mkdir()
    (settings.output_dir / ".git/config").touch()
    share_root(settings, None)
    (line,) = [line for line in caplog.messages if "not of this input" in line]
    assert line.endswith(": derivatives") and mine.exists() and (settings.output_dir / ".git/config").exists()


def test_texts_that_were_added_to_the_output_stay_and_are_named(settings, caplog):
    remove(settings, "README")
    (settings.output_dir / "README").unlink()
    mine = {"LICENSE": "CC0", "CITATION.cff": "title: mine", "README.md": "mine"}
    remove(settings, "LICENSE")
    for name, text in mine.items():
        (settings.output_dir / name).write_text(text)
    share_root(settings, None)
    assert {name: (settings.output_dir / name).read_text() for name in mine} == mine
    assert "README" not in there(settings)
    assert any(line.endswith("shared as well: CITATION.cff, LICENSE, README.md") for line in caplog.messages)


def test_a_text_waits_until_a_person_accepts_it_and_again_when_it_changes(settings, tmp_path):
    text = b"Thanks to Jane Roe \xe2\x80\x93 and all.\r\n"
    readme, out = settings.bids_dir / "README", settings.output_dir / "README"
    sidecar = settings.bids_dir / f"{T1W.replace('01', '02')}.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "PatientName": "Roe^Jane"}))
    readme.write_bytes(text)
    state = open_state(tmp_path / "work")
    accepted = Settings(**{**vars(settings), "accept_texts": ("README",)})
    for asked, known, is_there in (
        (settings, None, False), (accepted, None, True), (settings, None, False),
        (settings, state, False), (accepted, state, True), (settings, state, True),
    ):  # fmt: skip
        shared = share_root(asked, known)
        assert [str(one.path) for one in shared.left_out if one.waits] == ([] if is_there else ["README"])
        assert out.exists() == is_there and (not is_there or out.read_bytes() == text)
    readme.write_bytes(text + b"And Roe again.\n")
    assert [one.waits for one in share_root(settings, state).left_out] == [True] and not out.exists()


def test_texts_go_byte_for_byte_and_the_description_keeps_its_people(settings):
    text = b"\xef\xbb\xbfContact ann@x.org\r\n\r\n\t \n"
    (settings.bids_dir / "README").write_bytes(text)
    description = {
        "Name": "A study", "BIDSVersion": "1.10.0", "Authors": ["Ann Author <ann@x.org>"], "License": "CC0",
        "Funding": ["DFG 390685689"], "DatasetDOI": "doi:10.18112/ds1.v1", "EthicsApprovals": ["IRB 2019-2"],
        "GeneratedBy": [{"Name": "dcm2bids"}], "DatasetLinks": {"raw": "file:///home/jane/raw"}, "Mine": 1,
    }  # fmt: skip
    (settings.bids_dir / "dataset_description.json").write_text(json.dumps(description))
    shared = share_root(settings, None)
    assert (settings.output_dir / "README").read_bytes() == text
    made = json.loads((settings.output_dir / "dataset_description.json").read_text())
    same = ("Name", "Authors", "License", "Funding", "EthicsApprovals")
    assert {key: made[key] for key in same} == {key: description[key] for key in same}
    assert made["SourceDatasets"] == [{"DOI": "doi:10.18112/ds1.v1"}] and "DatasetDOI" not in made
    assert [one["Name"] for one in made["GeneratedBy"]] == ["dcm2bids", "bidsdeface"]
    assert {one.what for one in shared.left_out} == {"field DatasetLinks", "field Mine"}


def test_a_preview_says_what_would_stay_behind_and_writes_nothing(settings):
    (settings.bids_dir / "participants.tsv").write_text("participant_id\tx\nsub-01\tlong ago\nsub-02\ty\n")
    (settings.bids_dir / "README").write_text("MRN: A471142\n")
    before = {path: path.stat().st_mtime_ns for path in settings.output_dir.rglob("*")}
    own = preview(Scope("01"), settings, None)
    root = preview_root(settings, None, [own])
    assert {"file", "column x"} <= {one.what for one in root.left_out}
    assert any(one.waits for one in root.left_out)
    assert {one.what for one in own.left_out} == {"column acq_time"}
    assert {path: path.stat().st_mtime_ns for path in settings.output_dir.rglob("*")} == before


def test_a_data_dictionary_beside_a_dataset_describes_its_columns(settings, tmp_path):
    (settings.bids_dir / "participants.tsv").write_text(
        "participant_id\tgroup\tx\nsub-01\tA\t1\nsub-02\tB\t2000\n"
    )
    beside = tmp_path / "described"
    beside.mkdir()
    levels = {"group": {"Levels": {"A": "a", "B": "b"}}, "x": {"Units": "mm3"}}
    (beside / "participants.json").write_text(json.dumps(levels))
    (beside / "sessions.json").write_text(json.dumps({"mood": {"Units": "points"}}))
    share_root(Settings(**{**vars(settings), "data_dictionary": beside}), None)
    assert (settings.output_dir / "participants.tsv").read_text().startswith("participant_id\tgroup\tx\n")
    assert json.loads((settings.output_dir / "participants.json").read_text())["x"] == {"Units": "mm3"}
    assert json.loads((settings.output_dir / "sessions.json").read_text()) == {"mood": {"Units": "points"}}


@pytest.mark.parametrize(
    "table",
    [
        "participant_id\n01\n02\n",
        "participant_id \nsub-01\nsub-02 \n",
        "Participant_ID\nsub-02\n",
        "name\nx\n",
    ],
)
def test_a_table_that_lists_participants_in_its_own_way_takes_nobody_away(settings, table):
    before = there(settings)
    shutil.rmtree(settings.bids_dir / "sub-02")
    (settings.bids_dir / "participants.tsv").write_text(table)
    with pytest.raises(BidsdefaceError, match=r"lists sub-02|no column participant_id"):
        end_again(settings)
    assert there(settings) == before


def test_a_link_to_nowhere_takes_nobody_away(settings):
    before = there(settings)
    withdraw(settings, "02")
    (settings.bids_dir / "sub-02").symlink_to("not/mounted")
    with pytest.raises(BidsdefaceError, match="its sub-02 is no folder"):
        end_again(settings)
    assert there(settings) == before


@pytest.mark.parametrize("spoil", ["hidden", "session"])
def test_what_is_not_mounted_takes_nothing_away(settings, spoil):
    before = there(settings)
    folder = settings.bids_dir / ("sub-01" if spoil == "hidden" else "sub-01/ses-b")
    shutil.rmtree(folder)
    folder.mkdir()
    if spoil == "hidden":
        (folder / ".DS_Store").touch()
    with pytest.raises(BidsdefaceError, match="has no file, and"):
        share_again(settings)
    assert there(settings) == before


def test_a_part_of_the_input_takes_nobody_away(settings):
    before = there(settings)
    shutil.rmtree(settings.bids_dir / "sub-02")  # participants.tsv lists it
    with pytest.raises(
        BidsdefaceError, match="no files of sub-02, and its participants.tsv lists sub-02; .* rm -r"
    ):
        run_group_level(settings)
    assert there(settings) == before


def test_a_table_of_participants_that_cannot_be_read_takes_nobody_away(settings):
    before = there(settings)
    shutil.rmtree(settings.bids_dir / "sub-02")
    (settings.bids_dir / "participants.tsv").write_bytes("participant_id\nsub-02\n".encode("utf-16"))
    with pytest.raises(BidsdefaceError, match=r"participants.tsv: is not UTF-8"):
        end_again(settings)
    assert there(settings) == before


def test_a_folder_without_files_takes_nothing_away(settings, caplog):
    before = there(settings)
    shutil.rmtree(settings.bids_dir / "sub-02")
    (settings.bids_dir / "sub-02/ses-a").mkdir(parents=True)
    assert settle_dataset(settings, None, settings.output_dir.parent) == {Exit.FAILED}
    assert any("FAILED sub-02" in line and "has no file" in line for line in caplog.messages)
    assert {one for one in before if one.startswith("sub-02")} <= there(settings)


def test_a_participant_whose_process_is_lost_may_be_shared_later(settings, monkeypatch, tmp_path):
    ends = [
        Lost("killed"),
        Shared(left_out=(LeftOut(PurePosixPath("sub-02/func/x_bold.nii.gz"), "is empty"),)),
    ]
    monkeypatch.setattr(sharing, "run_in_workers", lambda *arguments: zip(arguments[2], ends, strict=True))
    assert share_dataset(settings, None, tmp_path) == {Exit.RETRY, Exit.FAILED}


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, {Exit.RETRY}), (errno.EINVAL, set())])
def test_a_table_that_no_disk_space_was_left_for_may_be_shared_later(
    settings, monkeypatch, tmp_path, caplog, number, code
):
    def full(*_):
        raise OSError(number, os.strerror(number))

    def in_this_process(prepare, arguments, items, n_procs):
        work = prepare(*arguments)
        yield from ((item, result) for item in items for result in work(item))

    monkeypatch.setattr(sharing, "run_in_workers", in_this_process)
    monkeypatch.setitem(WRITERS, Treatment.TABLE, full)
    assert share_dataset(settings, None, tmp_path) == code
    lines = [line for line in caplog.messages if line.startswith("left out: ")]
    assert any("participants.tsv" in line and ".tsv and " in line for line in lines), "with how many more"


def test_the_participant_level_takes_nobody_away(settings, caplog, tmp_path):
    before = there(settings)
    withdraw(settings, "02")
    share_dataset(settings, None, tmp_path)
    assert there(settings) == before and "sub-02" in (settings.output_dir / "participants.tsv").read_text()
    assert any("left to the group level" in line and "sub-02" in line for line in caplog.messages)


def test_what_is_above_participants_is_read_once_for_all_of_a_process(settings, monkeypatch):
    reads = []
    parse = identifying.parse_table
    monkeypatch.setattr(identifying, "parse_table", lambda *read: reads.append(read[1]) or parse(*read))
    above = read_above(settings)
    for label in ("01", "02"):
        share(Scope(label), settings, None, above)
    assert reads.count(PurePosixPath("participants.tsv")) == 1


def test_a_scan_that_another_task_publishes_meanwhile_stays(settings, monkeypatch):
    before = there(settings)
    sidecar = settings.output_dir / f"{T1W}.json"
    text = sidecar.read_text()
    sidecar.unlink()  # as a task has it for a moment that publishes the scan
    opened = Staging.__enter__

    def publish(staging):
        sidecar.write_text(text)
        return opened(staging)

    monkeypatch.setattr(Staging, "__enter__", publish)
    share_again(settings)
    assert there(settings) == before


def test_a_participant_who_is_withdrawn_goes_with_the_end_of_the_dataset(settings, caplog):
    withdraw(settings, "02")
    with caplog.at_level(logging.INFO, "bidsdeface"):
        run_group_level(settings)
    assert not (settings.output_dir / "sub-02").exists()
    assert [line for line in caplog.messages if line.endswith("has them no more: sub-02")]
    assert "sub-02" not in (settings.output_dir / "participants.tsv").read_text()


def test_an_input_without_any_participant_takes_none_away(settings):
    before = there(settings)
    for label in ("01", "02"):
        shutil.rmtree(settings.bids_dir / f"sub-{label}")
    with pytest.raises(BidsdefaceError, match="has no files of sub-01, sub-02"):
        end_again(settings)
    assert there(settings) == before


def test_nothing_behind_a_link_out_of_the_output_is_removed(settings, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(settings.output_dir / "sub-01", elsewhere)
    (settings.output_dir / "sub-01").symlink_to(elsewhere)
    with pytest.raises(BidsdefaceError, match="link out of OUTPUT_DIR"):
        share_again(settings)
    assert (elsewhere / "ses-a").exists()
