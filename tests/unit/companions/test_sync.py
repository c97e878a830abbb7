"""A complete dataset holds what its input has today: what is taken out there is taken out here."""

import errno
import json
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from bidsdeface.companions import run
from bidsdeface.companions import sync as sync_module
from bidsdeface.companions.run import preview_dataset, refresh_dataset, sync_dataset, warn_of_waiting
from bidsdeface.companions.select import Excluded, FileKind
from bidsdeface.companions.source import RawDataset, SubjectScope
from bidsdeface.companions.sync import SyncReport, preview, preview_root, sync, sync_root
from bidsdeface.companions.write import WRITERS
from bidsdeface.dataset import people
from bidsdeface.dataset.validator import find_problems
from bidsdeface.errors import BidsdefaceError, Exit, may_pass
from bidsdeface.group import run_group_level
from bidsdeface.leakcheck.run import check_whole_output
from bidsdeface.output.description import claim_shareable
from bidsdeface.runtime.workdir import open_state
from bidsdeface.runtime.workers import Lost
from bidsdeface.settings import Settings
from tests.conftest import save
from tests.fullset import full_dataset, image, packed, publish_faceless
from tests.integration.conftest import snapshot

A, B = "sub-01/ses-a/", "sub-01/ses-b/"
BOLD = f"{A}func/sub-01_ses-a_task-rest_bold"
NOISE = f"{A}perf/sub-01_ses-a_noRF"  # shows no head, so that nothing is to be defaced
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
    publish_faceless(root, settings.output_dir)
    for label in ("01", "02"):
        scan = T1W.replace("01", label)
        (settings.output_dir / scan).parent.mkdir(parents=True)
        shutil.copyfile(root / f"{scan}.nii.gz", settings.output_dir / f"{scan}.nii.gz")
        for name in (scan, MASK.replace("01", label)):
            sidecar = {"Bidsdeface": {"Measures": {}, "Verdict": "passed"}}
            (settings.output_dir / f"{name}.json").write_text(json.dumps(sidecar))
        (settings.output_dir / f"{MASK.replace('01', label)}.nii.gz").touch()
        sync(SubjectScope(label), RawDataset(settings))
    sync_root(RawDataset(settings))
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
    sync(SubjectScope("01", sessions), RawDataset(settings))


def end_again(settings, *_):
    refresh_dataset(settings, None, settings.output_dir.parent)


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
        sync_root(RawDataset(settings))
    assert before - there(settings) == gone - {"README"}  # it may be yours, and is named
    assert any("participants.json, task-rest_events.json" in line for line in caplog.messages)
    assert any(line.endswith("shared as well: LICENSE, README") for line in caplog.messages)


def test_what_was_included_once_goes_when_it_is_not_included_any_more(settings):
    before = there(settings)
    sync_root(RawDataset(replace(settings, include=("stimuli/*",))))
    assert there(settings) - before == {"stimuli/a.txt"}
    sync_root(RawDataset(settings))
    assert there(settings) == before and not (settings.output_dir / "stimuli").exists()


def test_what_only_sounds_like_a_text_is_shared_byte_for_byte(settings):
    content = bytes(range(256)) + b"\r\n"
    (settings.bids_dir / "stimuli/README.pdf").write_bytes(content)
    sync_root(RawDataset(replace(settings, include=("stimuli/*",))))
    assert (settings.output_dir / "stimuli/README.pdf").read_bytes() == content


def test_what_no_run_can_have_written_is_named_and_stays(settings, caplog):
    mine = settings.output_dir / "derivatives/fmriprep/sub-01.html"
    mine.parent.mkdir(parents=True)
    mine.touch()
    (settings.output_dir / ".git").mkdir()
    (settings.output_dir / ".git/config").touch()
    sync_root(RawDataset(settings))
    (line,) = [line for line in caplog.messages if "do not come from this input" in line]
    assert line.endswith(": derivatives") and mine.exists() and (settings.output_dir / ".git/config").exists()


def test_texts_that_were_added_to_the_output_stay_and_are_named(settings, caplog):
    remove(settings, "README")
    (settings.output_dir / "README").unlink()
    mine = {"LICENSE": "CC0", "CITATION.cff": "title: mine", "README.md": "mine"}
    remove(settings, "LICENSE")
    for name, text in mine.items():
        (settings.output_dir / name).write_text(text)
    sync_root(RawDataset(settings))
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
    accepted = replace(settings, accept_texts=("README",))
    for asked, known, is_there in (
        (settings, None, False), (accepted, None, True), (settings, None, False),
        (settings, state, False), (accepted, state, True), (settings, state, True),
    ):  # fmt: skip
        shared = sync_root(RawDataset(asked, known))
        assert [str(one.path) for one in shared.left_out if one.waits] == ([] if is_there else ["README"])
        assert out.exists() == is_there and (not is_there or out.read_bytes() == text)
    readme.write_bytes(text + b"And Roe again.\n")
    assert [one.waits for one in sync_root(RawDataset(settings, state)).left_out] == [
        True
    ] and not out.exists()


def test_a_dry_run_remembers_no_acceptance_and_a_run_says_when_it_uses_one(settings, tmp_path, caplog):
    (settings.bids_dir / "README").write_text("MRN: A471142\n")
    state = open_state(tmp_path / "work")

    def said(**options):
        caplog.clear()
        with caplog.at_level("INFO", "bidsdeface"):
            codes = warn_of_waiting(replace(settings, **options), state)
        return codes, caplog.messages

    assert said(accept_texts=("README",), dry_run=True) == (set(), [])
    assert said()[0] == {Exit.WAITS}
    assert said(accept_texts=("README",)) == (set(), [])
    assert said() == (set(), ["README: accepted in an earlier run"])


def test_texts_go_byte_for_byte_and_the_description_keeps_its_people(settings):
    text = b"\xef\xbb\xbfContact ann@x.org\r\n\r\n\t \n"
    (settings.bids_dir / "README").write_bytes(text)
    description = {
        "Name": "A study", "BIDSVersion": "1.10.0", "Authors": ["Ann Author <ann@x.org>"], "License": "CC0",
        "Funding": ["DFG 390685689"], "DatasetDOI": "doi:10.18112/ds1.v1", "EthicsApprovals": ["IRB 2019-2"],
        "GeneratedBy": [{"Name": "dcm2bids"}], "DatasetLinks": {"raw": "file:///home/jane/raw"}, "Mine": 1,
    }  # fmt: skip
    (settings.bids_dir / "dataset_description.json").write_text(json.dumps(description))
    shared = sync_root(RawDataset(settings))
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
    own = preview(SubjectScope("01"), RawDataset(settings))
    root = preview_root(RawDataset(settings), {"01": own.identifiers})
    assert {"file", "column x"} <= {one.what for one in root.left_out}
    assert any(one.waits for one in root.left_out)
    assert {one.what for one in own.left_out} == {"column acq_time"}
    assert {path: path.stat().st_mtime_ns for path in settings.output_dir.rglob("*")} == before


def test_a_participants_report_holds_no_identifiers_of_others(settings):
    (settings.bids_dir / "participants.tsv").write_text(
        "participant_id\tname\nsub-01\tAda Quill\nsub-02\tBo Finch\n"
    )
    (settings.bids_dir / "sub-01/sub-01_scans.json").write_text('{"PatientName": "Ada Quill"}')
    report = preview(SubjectScope("01"), RawDataset(settings))
    assert report.identifiers.phrases and not report.identifiers.are_in("Bo Finch")


def test_a_draft_is_made_for_columns_without_description_and_filled_in_entries_stay(
    settings, tmp_path, caplog
):
    (settings.bids_dir / "participants.tsv").write_text(
        "participant_id\tage\tgroup\tmood\nsub-01\t93\tA\tgood\nsub-02\t34\tB\tbad\n"
    )
    said = {"age": {"Description": "at the scan"}, "group": {"Description": "arm", "Levels": {"A": "drug"}}}
    (settings.bids_dir / "participants.json").write_text(json.dumps(said))
    state = open_state(tmp_path / "work")
    folder = state.folder_for("complete", settings.output_dir) / "draft"
    with caplog.at_level("INFO"):
        preview_dataset(settings, state, tmp_path)
    assert f"a draft to fill in, for --data-dictionary: {folder}" in caplog.messages
    draft = json.loads((folder / "participants.json").read_text())
    assert draft == {
        "age": {"Description": "at the scan", "Units": "…"},
        "group": {"Description": "arm", "Levels": {"A": "drug", "B": "…"}},
        "mood": {"Description": "…", "Levels": {"bad": "…", "good": "…"}},
    }
    draft["mood"] = {"Description": "of the day", "Levels": {"bad": "1", "good": "2"}}
    (folder / "participants.json").write_text(json.dumps(draft))
    preview_dataset(settings, state, tmp_path)
    assert json.loads((folder / "participants.json").read_text()) == draft
    (folder / "participants.json").write_text("{")
    preview_dataset(settings, state, tmp_path)
    assert (folder / "participants.json").read_text() == "{"
    assert any("correct it" in line and str(folder) in line for line in caplog.messages)


def test_a_data_dictionary_beside_a_dataset_describes_its_columns(settings, tmp_path):
    (settings.bids_dir / "participants.tsv").write_text(
        "participant_id\tgroup\tx\nsub-01\tA\t1\nsub-02\tB\t2000\n"
    )
    beside = tmp_path / "described"
    beside.mkdir()
    levels = {"group": {"Levels": {"A": "a", "B": "b"}}, "x": {"Units": "mm3"}}
    (beside / "participants.json").write_text(json.dumps(levels))
    (beside / "sessions.json").write_text(json.dumps({"mood": {"Units": "points"}}))
    sync_root(RawDataset(replace(settings, data_dictionary=beside)))
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
    assert refresh_dataset(settings, None, settings.output_dir.parent) == {Exit.FAILED}
    assert any("FAILED sub-02" in line and "has no file" in line for line in caplog.messages)
    assert {one for one in before if one.startswith("sub-02")} <= there(settings)


def test_a_participant_whose_process_is_lost_may_be_shared_later(settings, monkeypatch, tmp_path):
    ends = [
        Lost("killed"),
        SyncReport(left_out=(Excluded(PurePosixPath("sub-02/func/x_bold.nii.gz"), "is empty"),)),
    ]
    monkeypatch.setattr(run, "run_in_workers", lambda *arguments: zip(arguments[2], ends, strict=True))
    assert sync_dataset(settings, None, tmp_path) == {Exit.RETRY, Exit.FAILED}


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, {Exit.RETRY}), (errno.EINVAL, set())])
def test_a_table_that_no_disk_space_was_left_for_may_be_shared_later(
    settings, monkeypatch, tmp_path, caplog, number, code
):
    def full(*_):
        raise OSError(number, os.strerror(number))

    def in_this_process(prepare, arguments, items, n_procs):
        work = prepare(*arguments)
        yield from ((item, result) for item in items for result in work(item))

    monkeypatch.setattr(run, "run_in_workers", in_this_process)
    monkeypatch.setitem(WRITERS, FileKind.TABLE, full)
    assert sync_dataset(settings, None, tmp_path) == code
    lines = [line for line in caplog.messages if line.startswith("left out: ")]
    assert any("participants.tsv" in line and ".tsv and " in line for line in lines), "with how many more"


def test_the_participant_level_takes_nobody_away(settings, caplog, tmp_path):
    before = there(settings)
    withdraw(settings, "02")
    sync_dataset(settings, None, tmp_path)
    assert there(settings) == before and "sub-02" in (settings.output_dir / "participants.tsv").read_text()
    assert any("left to the group level" in line and "sub-02" in line for line in caplog.messages)


def test_what_is_above_participants_is_read_once_for_all_of_a_process(settings, monkeypatch):
    reads = []
    parse = people.parse_table
    monkeypatch.setattr(people, "parse_table", lambda *read: reads.append(read[1]) or parse(*read))
    raw = RawDataset(settings)
    for label in ("01", "02"):
        sync(SubjectScope(label), raw)
    assert reads.count(PurePosixPath("participants.tsv")) == 1


def test_a_scan_that_another_task_publishes_meanwhile_stays(settings, monkeypatch):
    before = there(settings)
    sidecar = settings.output_dir / f"{T1W}.json"
    text = sidecar.read_text()
    sidecar.unlink()  # as a task has it for a moment that publishes the scan
    opened = sync_module.open_staging

    def publish(output_dir):
        sidecar.write_text(text)
        return opened(output_dir)

    monkeypatch.setattr(sync_module, "open_staging", publish)
    share_again(settings)
    assert there(settings) == before


def test_a_participant_who_is_withdrawn_goes_with_the_end_of_the_dataset(settings, caplog):
    withdraw(settings, "02")
    with caplog.at_level(logging.INFO, "bidsdeface"):
        run_group_level(settings)
    assert not (settings.output_dir / "sub-02").exists()
    assert [line for line in caplog.messages if line.endswith("no longer has them: sub-02")]
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


def put(settings, files):
    """Write files into the input."""
    for name, content in files.items():
        path = settings.bids_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def behind(shared):
    return {str(one.path): one for one in (*shared.planned, *shared.left_out)}


PHASES = {
    "fmap/sub-01_ses-a_phase1": ("was not defaced; see its FAILED line", ""),
    "fmap/sub-01_ses-a_fieldmap": ("was not defaced; see its FAILED line", ""),
    "func/sub-01_ses-a_task-rest_part-phase_bold": ("was not defaced; see its FAILED line", ""),
    "func/sub-01_ses-a_task-rest_phase": ("was not defaced; see its FAILED line", ""),
    "dwi/sub-01_ses-a_part-real_dwi": ("was not defaced; see its FAILED line", ""),
}


@pytest.mark.parametrize("name", PHASES)
def test_phase_stays_behind_with_its_sidecar_unless_it_was_defaced(settings, name):
    put(settings, {f"{A}{name}.nii.gz": packed(image(seed=9)), f"{A}{name}.json": "{}"})
    reason, remedy = PHASES[name]
    share_again(settings)
    for shared in (
        sync(SubjectScope("01"), RawDataset(settings)),
        preview(SubjectScope("01"), RawDataset(settings)),
    ):
        told = behind(shared)
        if "asked" in reason or f"{A}{name}.nii.gz" in told:  # a preview takes for granted what is asked for
            one = told[f"{A}{name}.nii.gz"]
            assert ("asked" not in reason or "shows phase" in one.reason) and one.reason.endswith(reason)
            assert one.remedy == remedy
            assert "stay behind" in told[f"{A}{name}.json"].reason
    end_again(settings)
    assert not [one for one in there(settings) if one.startswith(f"{A}{name}")]


def test_suffixes_that_do_not_name_a_head_leave_it_behind_and_say_how_to_have_it(settings):
    only = replace(settings, suffixes=("T2w",))
    told = behind(sync(SubjectScope("01"), RawDataset(only)))
    assert told[f"{A}fmap/sub-01_ses-a_magnitude1.nii.gz"].remedy == "--suffixes T2w magnitude1"
    assert told[f"{A}fmap/sub-01_ses-a_phasediff.nii.gz"].remedy == "--suffixes T2w phasediff magnitude1"
    assert f"{T1W}.nii.gz" in there(settings), "it was defaced before"


def test_an_image_that_was_defaced_is_not_replaced_by_the_original(settings):
    defaced = packed(image((12, 14, 10, 4), seed=17))
    (settings.output_dir / f"{BOLD}.nii.gz").write_bytes(defaced)
    (settings.output_dir / f"{BOLD}.json").write_text(json.dumps({"Bidsdeface": {"Measures": {}}}))
    for again in (share_again, end_again):
        again(settings)
        assert (settings.output_dir / f"{BOLD}.nii.gz").read_bytes() == defaced
        assert "Bidsdeface" in json.loads((settings.output_dir / f"{BOLD}.json").read_text())


EEG = f"{A}eeg/sub-01_ses-a_task-rest_"
RECORDING = {
    f"{EEG}channels.tsv": "name\ttype\tunits\nEEG Cz\tEEG\tuV\n",
    f"{EEG}events.tsv": "onset\tduration\n1\t1\n",
    f"{A}eeg/sub-01_ses-a_electrodes.tsv": "name\tx\ty\tz\nCz\t0\t0\t9\n",
    f"{A}eeg/sub-01_ses-a_coordsystem.json": '{"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"}',
    "sub-01/ses-a/sub-01_ses-a_task-rest_channels.json": '{"name": {"Description": "name"}}',
}


def test_what_describes_a_recording_that_cannot_be_made_safe_goes_with_it(settings):
    put(settings, RECORDING)
    share_again(settings)
    written = {*RECORDING, f"{EEG}eeg.edf", f"{EEG}eeg.json"}
    assert written <= there(settings)
    put(settings, {f"{EEG}eeg.edf": b"no EDF"})
    told = behind(sync(SubjectScope("01"), RawDataset(settings)))
    assert not written & there(settings)
    assert {told[name].reason for name in written - {f"{EEG}eeg.edf"}} == {"describes data that stay behind"}
    end_again(settings)
    assert not written & there(settings)
    assert find_problems(settings.output_dir) == []


def test_gradients_go_with_an_image_that_cannot_be_read(settings):
    name = f"{A}dwi/sub-01_ses-a_dwi"
    put(settings, {f"{name}.nii.gz": b"broken"})
    for end in ("nii.gz", "json"):  # the engine withdraws what it cannot read
        (settings.output_dir / f"{name}.{end}").unlink()
    share_again(settings)
    assert not [one for one in there(settings) if one.startswith(name)]
    assert find_problems(settings.output_dir) == []


def test_a_series_that_was_not_defaced_takes_its_context_along(settings):
    asl, m0scan = f"{A}perf/sub-01_ses-a_asl", f"{A}perf/sub-01_ses-a_m0scan"
    physics = {
        "MagneticFieldStrength": 3, "MRAcquisitionType": "3D", "EchoTime": 0.01, "FlipAngle": 90,
        "M0Type": "Separate",
        "ArterialSpinLabelingType": "PASL", "PostLabelingDelay": 1.8, "BackgroundSuppression": False,
        "TotalAcquiredPairs": 1, "RepetitionTimePreparation": 4.0, "BolusCutOffFlag": False,
        "AcquisitionVoxelSize": [3, 3, 3],
    }  # fmt: skip
    m0 = {
        "RepetitionTimePreparation": 4.0,
        "EchoTime": 0.01,
        "FlipAngle": 90,
        "IntendedFor": f"bids::{asl}.nii.gz",
    }
    put(
        settings,
        {
            f"{asl}.nii.gz": packed(image((12, 14, 10, 2))), f"{asl}.json": json.dumps(physics),
            f"{A}perf/sub-01_ses-a_aslcontext.tsv": "volume_type\ncontrol\nlabel\n",
            f"{m0scan}.nii.gz": packed(image()), f"{m0scan}.json": json.dumps(m0),
        },
    )  # fmt: skip
    assert find_problems(settings.bids_dir) == []
    (settings.output_dir / m0scan).parent.mkdir()
    shutil.copyfile(settings.bids_dir / f"{m0scan}.nii.gz", settings.output_dir / f"{m0scan}.nii.gz")
    (settings.output_dir / f"{m0scan}.json").write_text(json.dumps({"Bidsdeface": {"Measures": {}}}))
    told = sync(SubjectScope("01"), RawDataset(settings)).left_out
    assert ("field IntendedFor", "names what is not in the output") in {
        (one.what, one.reason) for one in told
    }
    assert {one for one in there(settings) if "/perf/" in one} == {f"{m0scan}.nii.gz", f"{m0scan}.json"}
    assert find_problems(settings.output_dir) == []


def test_stimuli_are_named_where_they_go_along_and_nowhere_else(settings):
    events = "onset\tduration\tstim_file\n1\t1\ta.txt\n2\t1\tn/a\n"
    put(settings, {f"{EVENTS}.tsv": events})
    assert find_problems(settings.bids_dir) == []
    told = behind(sync(SubjectScope("01"), RawDataset(settings)))[f"{EVENTS}.tsv"]
    assert told.what == "column stim_file" and "stimuli" in told.remedy
    assert (settings.output_dir / f"{EVENTS}.tsv").read_text() == events.replace("a.txt", "n/a")
    included = replace(settings, include=("stimuli/*",))
    end_again(included)
    assert (settings.output_dir / f"{EVENTS}.tsv").read_text() == events
    assert find_problems(settings.output_dir) == []


def test_an_output_that_datalad_saved_stays_as_it_is_and_is_no_leak(settings, tmp_path, caplog):
    for path in settings.output_dir.glob("sub-*/ses-a/anat/*_T1w.json"):
        path.write_text(path.read_text().replace('"passed"', '"accepted"'))  # these are no heads to look at
    save(settings.output_dir, tmp_path)  # in the enclosing dataset; tests/container has one of its own
    before = snapshot(tmp_path)
    share_again(settings)
    end_again(settings)
    assert check_whole_output(settings, None, tmp_path) == set(), caplog.text
    assert {name: one for name, one in snapshot(tmp_path).items() if one[3]} == {
        name: one for name, one in before.items() if one[3]
    }


@pytest.mark.parametrize("again", [share_again, end_again])
def test_what_changed_replaces_the_link_and_is_never_written_through(settings, again):
    save(settings.output_dir)
    stored = snapshot(settings.output_dir / ".git")
    sidecar = settings.bids_dir / f"{BOLD}.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "EchoTime": 0.0321}))
    again(settings)
    shared = settings.output_dir / f"{BOLD}.json"
    assert not shared.is_symlink() and json.loads(shared.read_text())["EchoTime"] == 0.0321
    assert snapshot(settings.output_dir / ".git") == stored


def test_an_image_behind_a_link_to_the_input_becomes_a_plain_file(settings):
    name = f"{NOISE}.nii.gz"
    put(settings, {name: packed(image())})
    share_again(settings)
    shared, original = settings.output_dir / name, settings.bids_dir / name
    shutil.copyfile(shared, original)  # with a header that is clean already
    shared.unlink()
    shared.symlink_to(original)
    share_again(settings)
    assert shared.is_file() and not shared.is_symlink()


def test_content_that_was_dropped_from_a_saved_output_ends_the_group_level_before_anything_is_changed(
    settings,
):
    save(settings.output_dir)
    (settings.output_dir / f"{T1W}.json").resolve().unlink()
    before = snapshot(settings.output_dir)
    with pytest.raises(BidsdefaceError, match=rf"{T1W}.json: its content is not here, .*datalad get \."):
        run_group_level(settings)
    assert snapshot(settings.output_dir) == before


def test_a_description_that_becomes_unreadable_meanwhile_costs_no_description(settings):
    path = settings.output_dir / "dataset_description.json"
    before = path.read_bytes()
    (settings.bids_dir / path.name).write_bytes(b"{")
    with pytest.raises(BidsdefaceError, match=f"{path.name}: is not JSON"):
        sync_root(RawDataset(settings))
    assert path.read_bytes() == before


def test_a_description_that_bidsignore_names_goes_along(settings):
    (settings.bids_dir / ".bidsignore").write_text("*.json\n")
    sync_root(RawDataset(settings))
    assert "dataset_description.json" in there(settings)


def test_a_result_whose_sidecar_cannot_be_read_at_the_moment_is_not_removed(settings, monkeypatch):
    read_bytes = Path.read_bytes

    def lost(path):
        if path == settings.output_dir / f"{T1W}.json":
            raise OSError(errno.EIO, "Input/output error")
        return read_bytes(path)

    before = there(settings)
    monkeypatch.setattr(Path, "read_bytes", lost)
    with pytest.raises(BidsdefaceError, match=f"{T1W}.json: cannot be read .Input/output error.") as error:
        share_again(settings)
    assert may_pass(error.value) and there(settings) == before


@pytest.mark.parametrize("name", [f"{NOISE}.json", "noRF.json"])
def test_images_whose_metadata_become_unreadable_go_with_them_and_are_named(settings, name, tmp_path, caplog):
    """As at the participant level: without its metadata, nobody can use the image."""
    put(settings, {f"{NOISE}.nii.gz": packed(image()), f"{NOISE}.json": "{}", "noRF.json": "{}"})
    share_again(settings)
    assert f"{NOISE}.nii.gz" in there(settings)
    (settings.bids_dir / name).write_bytes('{"InstitutionName": "Universität"}'.encode("latin-1"))
    assert refresh_dataset(settings, None, tmp_path) == {Exit.FAILED}
    assert not list(settings.output_dir.glob(f"{NOISE}*"))
    assert f"FAILED {NOISE}.nii.gz: left out: its metadata cannot be read: " in caplog.text
    assert f"/{name}: is not UTF-8" in caplog.text


def test_an_included_text_that_waits_is_named(settings, caplog):
    put(settings, {"stimuli/notes.txt": "Patient ID: 123456\n"})
    asked = replace(settings, include=("stimuli/*",))
    assert Exit.WAITS in sync_dataset(asked, None, settings.output_dir.parent)
    (line,) = [one for one in caplog.messages if one.startswith("WAITS ")]
    assert "stimuli/notes.txt" in line and "123456" not in line
