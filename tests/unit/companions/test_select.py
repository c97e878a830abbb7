"""Which files go along into a dataset to share: those on the list of BIDS, and what is not is named."""

from pathlib import PurePosixPath

import pytest

from bidsdeface.companions.prune import prune_metadata, prune_table
from bidsdeface.companions.select import FileKind, companions_alone, select_files
from bidsdeface.dataset.inheritance import applicable
from bidsdeface.dataset.names import parse_name
from bidsdeface.deidentify.edf import scrub_edf
from bidsdeface.deidentify.excluded import as_table, in_groups
from bidsdeface.deidentify.policy import Rule, load_policy
from bidsdeface.deidentify.tables import parse_table
from bidsdeface.errors import BidsdefaceError

P = PurePosixPath


def decided(path, **options):
    carried, left_out = select_files([P(path)], **options)
    return carried[0].file_kind if carried else left_out[0].reason


@pytest.mark.parametrize(
    ("path", "file_kind"),
    [
        ("sub-01/anat/sub-01_T1w.nii.gz", FileKind.DEFACE),
        ("sub-01/ses-a/pet/sub-01_ses-a_pet.nii.gz", FileKind.DEFACE),
        ("sub-01/perf/sub-01_asl.nii.gz", FileKind.DEFACE),
        ("sub-01/perf/sub-01_m0scan.nii", FileKind.DEFACE),
        ("sub-01/fmap/sub-01_magnitude1.nii.gz", FileKind.DEFACE),
        ("sub-01/fmap/sub-01_TB1TFL.nii.gz", FileKind.DEFACE),
        ("sub-01/fmap/sub-01_acq-anat_TB1TFL.nii.gz", FileKind.DEFACE),
        ("sub-01/fmap/sub-01_phasediff.nii.gz", FileKind.DEFACE),
        ("sub-01/fmap/sub-01_phase1.nii.gz", FileKind.DEFACE),
        ("sub-01/fmap/sub-01_fieldmap.nii.gz", FileKind.DEFACE),
        ("sub-01/func/sub-01_task-rest_part-phase_bold.nii.gz", FileKind.DEFACE),
        ("sub-01/func/sub-01_task-rest_part-imag_sbref.nii.gz", FileKind.DEFACE),
        ("sub-01/func/sub-01_task-rest_phase.nii.gz", FileKind.DEFACE),
        ("sub-01/dwi/sub-01_part-phase_dwi.nii.gz", FileKind.DEFACE),
        ("sub-01/dwi/sub-01_dwi.nii.gz", FileKind.DEFACE),
        ("sub-01/dwi/sub-01_ADC.nii.gz", FileKind.DEFACE),
        ("sub-01/fmap/sub-01_dir-AP_epi.nii.gz", FileKind.DEFACE),
        ("sub-01/func/sub-01_task-rest_part-mag_bold.nii.gz", FileKind.DEFACE),
        ("sub-01/perf/sub-01_noRF.nii.gz", FileKind.IMAGE),
        ("sub-01/func/sub-01_task-rest_bold.nii.gz", FileKind.DEFACE),
        ("sub-01/dwi/sub-01_dwi.bval", FileKind.RECORDING),
        ("sub-01/func/sub-01_task-rest_physio.tsv.gz", FileKind.RECORDING),
        ("sub-01/motion/sub-01_task-a_tracksys-b_motion.tsv", FileKind.RECORDING),
        ("sub-01/func/sub-01_task-rest_events.tsv", FileKind.TABLE),
        ("sub-01/eeg/sub-01_task-rest_eeg.bdf", FileKind.EDF),
        ("sub-01/eeg/sub-01_task-rest_channels.tsv", FileKind.TABLE),
        ("sub-01/sub-01_scans.tsv", FileKind.TABLE),
        ("sub-01/ses-a/sub-01_ses-a_scans.json", FileKind.SIDECAR),
        ("sub-01/sub-01_T1w.json", FileKind.SIDECAR),
        ("task-rest_bold.json", FileKind.SIDECAR),
        ("participants.tsv", FileKind.TABLE),
        ("scans.json", FileKind.SIDECAR),
        ("sessions.json", FileKind.SIDECAR),
        ("dataset_description.json", FileKind.SIDECAR),
        ("README.md", FileKind.TEXT),
    ],
)
def test_what_bids_knows_and_what_can_be_treated_goes_along(path, file_kind):
    assert decided(path) == file_kind


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (".git/config", "hidden"),
        (".bidsignore", "hidden"),
        ("sourcedata/sub-01/anat/sub-01_T1w.nii.gz", "sourcedata"),
        ("derivatives/a.json", "lies in derivatives"),
        ("code", "is a folder that stays behind"),
        ("phenotype/scores.tsv", "phenotype"),
        ("notes.txt", "unknown to BIDS"),
        ("key_to_names.tsv", "unknown to BIDS"),
        ("sub-01/anat/sub-01_T1w.png", "unknown to BIDS"),
        ("sub-01/anat/sub-01_name-Doe_T1w.nii.gz", "unknown to BIDS"),
        ("sub-01/anat/sub-02_T1w.nii.gz", "does not have a BIDS name"),
        ("sub-01/anat/Doe.nii.gz", "does not have a BIDS name"),
        ("other/sub-01_T1w.nii.gz", "does not have a BIDS name"),
        ("sub-01/anat/sub-01_mod-T1w_defacemask.nii.gz", "earlier defacing"),
        ("sub-01/eeg/sub-01_photo.jpg", "photograph"),
        ("sub-01/meg/sub-01_headshape.pos", "shape of the head"),
        ("sub-01/meg/sub-01_task-rest_meg.fif", "nothing here cleans it"),
        ("sub-01/mrs/sub-01_svs.nii.gz", "header extension"),
    ],
)
def test_all_else_stays_behind_with_a_reason(path, reason):
    assert reason in decided(path)


@pytest.mark.parametrize("line", ["func/", "*_bold.nii.gz", "sub-01/func/*", "/sub-01", "**/func"])
def test_ignored_files_stay_behind(line):
    assert decided("sub-01/func/sub-01_task-a_bold.nii.gz", ignored=["# mine", line]) == "is in .bidsignore"
    assert decided(
        "sub-01/anat/sub-01_T1w.nii.gz", ignored=["bold", "/func", line if line != "/sub-01" else "x"]
    )


def test_a_name_that_is_not_utf8_stays_behind_whatever_is_included_and_can_be_printed():
    path = P("sub-01/anat/sub-01_\udcff_T1w.nii.gz")
    carried, left_out = select_files([path], include=["*"])
    assert carried == [] and left_out[0].reason == "has a name that is not UTF-8"
    for text in (as_table(left_out), *in_groups(left_out)):
        assert "sub-01_\\xff_T1w.nii.gz" in text and "rename it" in text and text.encode()


def test_a_person_may_include_what_stays_behind():
    assert decided("phenotype/a.tsv", include=["phenotype/*"]) == FileKind.TABLE
    assert decided("code/a.py", include=["code/*"]) == FileKind.COPY
    assert decided("derivatives/x/a.nii.gz", include=["derivatives/*"]) == FileKind.IMAGE


def test_metadata_of_upper_levels_applies_by_entities_and_suffix():
    names = [
        parse_name(P(path))
        for path in (
            "sub-01/func/sub-01_task-rest_bold.json",
            "task-rest_bold.json",
            "task-other_bold.json",
            "bold.json",
            "sub-02/sub-02_bold.json",
            "T1w.json",
        )
    ]
    data = parse_name(P("sub-01/func/sub-01_task-rest_run-1_bold.nii.gz"))
    found = [str(one.path) for one in applicable(data, names)]
    assert found == ["bold.json", "task-rest_bold.json", "sub-01/func/sub-01_task-rest_bold.json"]


def test_references_stay_where_their_file_does_in_every_spelling():
    present = {P("sub-01/ses-a/func/sub-01_ses-a_task-rest_bold.nii.gz")}
    for reference in (
        "ses-a/func/sub-01_ses-a_task-rest_bold.nii.gz",
        "bids::sub-01/ses-a/func/sub-01_ses-a_task-rest_bold.nii.gz",
        "/sub-01/ses-a/func/sub-01_ses-a_task-rest_bold.nii.gz",
    ):
        metadata = {"IntendedFor": reference, "EchoTime": 1}
        assert prune_metadata(metadata, "01", present, set(), {}) == metadata
        assert prune_metadata(metadata, "01", set(), set(), {}) == {"EchoTime": 1}
        both = {"IntendedFor": [reference, "bids:other:sub-01/x.nii.gz", 3]}
        assert prune_metadata(both, "01", present, set(), {}) == {"IntendedFor": [reference]}


def test_every_field_that_names_files_is_looked_through():
    own = {**load_policy(), "Mine": Rule("keep", "files")}
    named = dict.fromkeys(("SpatialReference", "AnatomicalImage", "BasedOn", "Mine"), "bids::sub-01/x.nii.gz")
    assert prune_metadata(named, "01", {P("sub-01/x.nii.gz")}, set(), own) == named
    assert prune_metadata(named, "01", set(), set(), own) == {}


def test_field_maps_that_are_gone_are_no_sources():
    metadata = {"B0FieldSource": ["a", "b"], "B0FieldIdentifier": "c"}
    kept = {"B0FieldSource": ["b"], "B0FieldIdentifier": "c"}
    assert prune_metadata(metadata, "01", set(), {"b"}, {}) == kept
    assert prune_metadata({"B0FieldSource": "a"}, "01", set(), {"b"}, {}) == {}


def pruned(text, path, present):
    return tuple(prune_table(parse_table(text.encode(), P(path)), P(path), present).rows.values())


def test_rows_about_what_is_absent_are_gone():
    present = {P("sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz")}
    scans = "filename\nanat/sub-01_ses-a_T1w.nii.gz\nanat/sub-01_ses-a_T2w.nii.gz\n"
    assert len(pruned(scans, "sub-01/ses-a/sub-01_ses-a_scans.tsv", present)) == 1
    assert pruned("session_id\nses-a\nses-b\n", "sub-01/sub-01_sessions.tsv", present) == (("ses-a",),)
    people = "participant_id\tx\nsub-01\t1\nsub-02\t2\n"
    assert pruned(people, "participants.tsv", present) == (("sub-01", "1"),)
    assert len(pruned(people, "phenotype.tsv", present)) == 2
    samples = "sample_id\tparticipant_id\nsample-1\tsub-01\nsample-1\tsub-02\n"
    assert pruned(samples, "samples.tsv", present) == (("sample-1", "sub-01"),)


@pytest.mark.parametrize(
    "name",
    ["anat/sub-01_T1w.nii.gz", "./anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T1w.nii.gz"]
    + ["anat/sub-01_T1w.nii", "./sub-01/anat/sub-01_T1w.nii"],
)
def test_files_of_a_scans_table_are_spelled_as_bids_asks(name):
    present = {P("sub-01/anat/sub-01_T1w.nii.gz")}
    rows = pruned(f"filename\n{name}\n", "sub-01/sub-01_scans.tsv", present)
    assert rows == (("anat/sub-01_T1w.nii.gz",),)


@pytest.mark.parametrize(
    ("behind", "alone"),
    [
        ("func/sub-01_task-a_bold.nii.gz", "task-a_bold.json func/sub-01_task-a_events.tsv events.json"),
        ("dwi/sub-01_dwi.nii.gz", "sub-01_dwi.bval dwi/sub-01_dwi.bvec dwi/sub-01_dwi.json"),
        ("perf/sub-01_asl.nii.gz", "perf/sub-01_asl.json perf/sub-01_aslcontext.tsv"),
        (
            "eeg/sub-01_task-a_eeg.edf",
            "eeg/sub-01_task-a_eeg.json eeg/sub-01_task-a_channels.tsv channels.json "
            "eeg/sub-01_space-CapTrak_electrodes.tsv eeg/sub-01_space-CapTrak_coordsystem.json",
        ),
        ("eeg/sub-01_task-a_channels.tsv", "channels.json"),
        ("func/sub-01_task-a_events.tsv", "events.json"),
        ("anat/sub-01_T1w.nii.gz", ""),  # another session has one
    ],
)
def test_what_describes_data_that_stay_behind_stays_behind_too(behind, alone):
    below, above = (
        (
            "anat/sub-01_T1w.nii.gz ses-b/anat/sub-01_ses-b_T1w.nii.gz func/sub-01_task-a_bold.nii.gz "
            "func/sub-01_task-a_events.tsv dwi/sub-01_dwi.nii.gz sub-01_dwi.bval dwi/sub-01_dwi.bvec "
            "dwi/sub-01_dwi.json perf/sub-01_asl.nii.gz perf/sub-01_asl.json perf/sub-01_aslcontext.tsv "
            "eeg/sub-01_task-a_eeg.edf eeg/sub-01_task-a_eeg.json eeg/sub-01_task-a_channels.tsv "
            "eeg/sub-01_space-CapTrak_electrodes.tsv eeg/sub-01_space-CapTrak_coordsystem.json "
            "func/sub-01_task-a_physio.tsv.gz func/sub-01_task-a_physio.json"
        ),
        "T1w.json task-a_bold.json events.json channels.json",
    )
    paths = {P("sub-01", name) for name in below.split()} | {P(name) for name in above.split()}
    goes = paths - {P("sub-01", behind)}
    found = {str(path).removeprefix("sub-01/") for path in companions_alone(paths, goes)}
    assert found == set(alone.split())


@pytest.mark.parametrize("folder", ["meg.ds", "meg", "ieeg.mefd"])
def test_a_folder_may_be_a_recording_that_stays_behind(folder):
    datatype = folder.partition(".")[0]
    recording = f"sub-01/{datatype}/sub-01_task-a_{folder}/a_{datatype}.segd/sub-01_task-a_{datatype}.meg4"
    names = (f"task-a_{datatype}.json", "task-a_channels.tsv", "coordsystem.json")
    companions = {P(f"sub-01/{datatype}/sub-01_{name}") for name in names}
    assert companions_alone({P(recording), *companions}, companions) == companions
    assert companions_alone({P(recording), *companions}, {P(recording), *companions}) == set()


def test_behaviour_has_no_electrodes():
    recording, beh = P("sub-01/eeg/sub-01_task-a_eeg.set"), P("sub-01/beh/sub-01_task-a_beh.tsv")
    above = {P("sub-01/sub-01_coordsystem.json"), P("sub-01/sub-01_task-a_channels.tsv")}
    assert companions_alone({recording, beh, *above}, {beh, *above}) == above


def test_a_stimulus_that_stays_behind_is_not_named():
    text = "onset\tduration\tstim_file\n1\t1\ta/x.png\n2\t1\tn/a\n3\t1\ty.png\n"
    path, there = "sub-01/func/sub-01_task-a_events.tsv", {P("stimuli/a/x.png")}
    assert [row[2] for row in pruned(text, path, there)] == ["a/x.png", "n/a", "n/a"]
    assert [row[2] for row in pruned(text, path, set())] == ["n/a"] * 3


def test_a_file_that_is_no_edf_is_refused_by_name(tmp_path):
    (tmp_path / "x.edf").write_bytes(b"0       nothing more")
    with pytest.raises(BidsdefaceError, match=r"x\.edf"):
        scrub_edf(tmp_path / "x.edf", tmp_path / "y.edf")
