"""What of sidecar metadata may be shared: physics stays, whatever may tell who, where or when goes."""

import csv
import json
import re

import pytest
from bidsschematools.schema import load_schema
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.errors import UsageError
from bidsdeface.privacy.policy import DROP, KEEP, load_policy, passes, required_fields
from bidsdeface.privacy.sidecar import scrub_metadata

# The sidecar of S01, a real scan: see scripts/make_demo.py.
PHYSICS = {
    "Modality": "MR",
    "MagneticFieldStrength": 3,
    "ImagingFrequency": 123.254,
    "Manufacturer": "Siemens",
    "ManufacturersModelName": "Prisma_fit",
    "BodyPartExamined": "HEAD",
    "PatientPosition": "HFS",
    "SoftwareVersions": "syngo MR D13D",
    "MRAcquisitionType": "3D",
    "ScanningSequence": "GR\\IR",
    "SequenceVariant": "SK\\SP\\MP",
    "ScanOptions": "IR",
    "SequenceName": "*tfl3d1rs16ns",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS3D", "DIS2D"],
    "SliceThickness": 1,
    "SAR": 0.0754335,
    "EchoTime": 0.00252,
    "RepetitionTime": 1.9,
    "InversionTime": 0.9,
    "FlipAngle": 9,
    "PartialFourier": 1,
    "BaseResolution": 256,
    "ShimSetting": [-5020, -11544, -9996, 104, 27, -15, -3, -8],
    "TxRefAmp": 261.958,
    "PhaseResolution": 1,
    "ReceiveCoilName": "HeadNeck_64",
    "ReceiveCoilActiveElements": "HC1-7;NC1,2",
    "PulseSequenceDetails": "%SiemensSeq%\\tfl",
    "RefLinesPE": 24,
    "PercentPhaseFOV": 100,
    "PercentSampling": 100,
    "PhaseEncodingSteps": 255,
    "AcquisitionMatrixPE": 256,
    "ReconMatrixPE": 256,
    "ParallelReductionFactorInPlane": 2,
    "PixelBandwidth": 170,
    "DwellTime": 1.15e-05,
    "ImageOrientationPatientDICOM": [0.050593, 0.998719, 5.87093e-08, -0.0348548, 0.00176573, -0.999391],
    "InPlanePhaseEncodingDirectionDICOM": "ROW",
    "ConversionSoftware": "dcm2niix",
    "ConversionSoftwareVersion": "v1.0.20210317",
}
PERSONAL = {
    "InstitutionName": "Rigshospitalet",
    "InstitutionalDepartmentName": "Rontgen",
    "InstitutionAddress": "Blegdamsvej  9,Kobenhavn,District,DK,DK-2100",
    "DeviceSerialNumber": "67006",
    "StationName": "MN213418",
    "ProcedureStepDescription": "MR cerebrum",
    "SeriesDescription": "t1_mpr_3d_sag_p2_iso_Siemens",
    "ProtocolName": "t1_mpr_3d_sag_p2_iso_Siemens",
    "SeriesNumber": 3,
    "AcquisitionTime": "15:31:52.362500",
    "AcquisitionNumber": 1,
    "ConsistencyInfo": "N4_VD13D_LATEST_20130810",
}
POLICY = load_policy()
KEPT_FIELDS = sorted(field for field, rule in POLICY.items() if rule.action == KEEP and rule.kind != "object")
DROPPED_FIELDS = sorted(field for field, rule in POLICY.items() if rule.action == DROP)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
SIDECARS = st.dictionaries(st.sampled_from(sorted(POLICY)) | st.text(max_size=20), JSON_VALUES, max_size=8)
NAMES = st.from_regex(r"[A-Z][a-z]{2,8}[ ^_,][A-Z][a-z]{3,8}\Z").filter(
    lambda name: not passes("Manufacturer", name, "words")
)


def test_all_physics_of_a_real_sidecar_stays_and_all_else_is_gone():
    result = scrub_metadata({**PHYSICS, **PERSONAL})
    assert result.metadata == PHYSICS
    assert set(result.dropped) == set(PERSONAL)
    assert result.changed == result.lost == ()


@given(SIDECARS, st.none() | st.just("rest"))
def test_whatever_json_holds_nothing_is_raised_and_once_is_enough(metadata, task):
    once = scrub_metadata(metadata, task=task)
    again = scrub_metadata(once.metadata, task=task)
    assert again.metadata == once.metadata
    assert again.dropped == again.changed == ()


@given(SIDECARS, st.dictionaries(st.sampled_from(DROPPED_FIELDS), JSON_VALUES, max_size=3), st.data())
def test_a_dropped_field_is_never_kept(metadata, personal, data):
    metadata = {**metadata, **personal}
    named = data.draw(st.sets(st.sampled_from(sorted(metadata)), max_size=3)) if metadata else set()
    kept = scrub_metadata(metadata, load_policy(keep=metadata, drop=named)).metadata
    assert not named & kept.keys()
    assert {field for field, value in metadata.items() if value is not None} - named == kept.keys()
    kept = scrub_metadata(metadata, load_policy(drop=named)).metadata
    assert not (named | personal.keys() | (metadata.keys() - POLICY.keys())) & kept.keys()


@given(st.sampled_from(KEPT_FIELDS), NAMES)
def test_a_name_cannot_ride_along_in_a_kept_field(field, name):
    for value in (name, [name], {"a": name}, f"{PHYSICS.get(field, 'brain')} {name}"):
        assert name not in json.dumps(scrub_metadata({field: value}).metadata)


REAL_NAMES = re.findall(
    r"\w+",
    """
    Hansen Benson Fleming Seidel Recker Anna Jane Doe Smith Garcia Ng Li Wu Kim Cohen Singh Meyer Ivanov
    Silva Rossi Dubois Nguyen Sato Khan Ali Jones Brown Miller Davis Weber
    """,
)


def test_no_single_name_passes_in_any_kept_field_in_any_case_or_company():
    named = [
        field for field in KEPT_FIELDS if POLICY[field].kind != "columns" and not field.endswith("Units")
    ]
    for name in REAL_NAMES:
        for value in (name, name.upper(), name.lower(), f"{name} {name[0]}", f"v1.0 {name}", f"3 {name}"):
            kept = scrub_metadata(dict.fromkeys(named, value)).metadata
            assert set(kept.values()) <= {"n/a"}, kept


@pytest.mark.parametrize("date", [19780304, 19780304.0, "1978-03-04", "19780304", "12:30:00", "4711-0815"])
def test_a_date_or_a_record_number_cannot_ride_along_in_a_kept_field(date):
    for value in (date, [date], [[date]], {"a": date}):
        kept = scrub_metadata(dict.fromkeys(KEPT_FIELDS, value)).metadata
        assert set(kept.values()) <= {"n/a"}, kept


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Manufacturer", "GE MEDICAL SYSTEMS"),
        ("Manufacturer", "Philips Medical Systems"),
        ("ManufacturersModelName", "MAGNETOM Skyra fit"),
        ("ManufacturersModelName", "DISCOVERY MR750"),
        ("ManufacturersModelName", "Achieva dStream"),
        ("ManufacturersModelName", "TrioTim"),
        ("PulseSequenceType", "Gradient Echo EPI"),
        ("EchoTime", [0.001, 0.002]),
        ("MTState", False),
        ("SequenceName", "epfid2d1_94"),
        ("SequenceName", "_tfl3d1_16ns"),
        ("SequenceName", "ep_b1000#12"),
        ("SequenceName", "*spcir_278ns"),
        ("ReceiveCoilActiveElements", "HEA;HEP"),
        ("ConversionSoftwareVersion", "v1.0.20170411 GCC4.2.1"),
        ("ConversionSoftwareVersion", "v1.0.20220720  (JP2:OpenJPEG) GCC11.2.0"),
        ("SoftwareVersions", "5.1.7\\5.1.7"),
        ("SliceTiming", [0.1 * n for n in range(60)]),
        (
            "IntendedFor",
            ["bids::sub-01/func/sub-01_task-a_bold.nii.gz", "ses-a/dwi/sub-01_ses-a_dwi.nii.gz"],
        ),
        ("B0FieldIdentifier", "pepolar_fmap0"),
        ("Units", "Bq/mL"),
        ("Units", "rad"),
        ("InfusionSpeedUnits", "mL/s"),
        ("MolarActivityUnits", "GBq/umol"),
        ("SpecificRadioactivityUnits", "Bq g^-1"),
        ("TracerName", "FDG"),
        ("ReconMethodName", "Ordered Subset Expectation Maximization"),
        ("Columns", ["cardiac", "respiratory", "trigger"]),
        ("EEGReference", "Cz"),
        ("InjectedRadioactivity", 370500000),
        ("StimulusPresentation", {"SoftwareName": "PsychoPy", "SoftwareVersion": "3.1.5"}),
        ("SoftwareFilters", {"Anti-aliasing filter": {"half-amplitude cutoff (Hz)": 500}}),
    ],
)
def test_what_vendors_and_bids_write_passes(field, value):
    assert scrub_metadata({field: value}).metadata == {field: value}


def test_nested_objects_are_checked_field_by_field():
    presentation = {"SoftwareName": "PsychoPy", "Operator": "Jane Doe", "SoftwareVersion": "Doe 1978"}
    result = scrub_metadata(
        {"StimulusPresentation": presentation, "global": {"const": {"PatientName": "Doe"}}}
    )
    assert result.metadata == {"StimulusPresentation": {"SoftwareName": "PsychoPy"}}
    assert result.dropped == (
        "StimulusPresentation.Operator",
        "StimulusPresentation.SoftwareVersion",
        "global",
    )


@pytest.mark.parametrize(
    ("age", "told"), [("034Y", 34), ("095Y", 89), ("018M", 1), (34.5, 34.5), (89, 89), (112, 89)]
)
def test_ages_are_capped_at_89(age, told):
    assert scrub_metadata({"PatientAge": age}).metadata == {"PatientAge": told}


def test_the_name_of_a_task_is_the_label_of_the_file():
    assert scrub_metadata({"TaskName": "Rest ing"}, task="resting").metadata == {"TaskName": "Rest ing"}
    assert scrub_metadata({"TaskName": "Jane's film"}, task="film").metadata == {"TaskName": "film"}
    assert scrub_metadata({"TaskName": "Jane's film"}).metadata == {"TaskName": "n/a"}


def test_no_field_that_bids_requires_is_dropped_by_the_policy():
    assert {"TaskName", "RepetitionTime", "EEGReference", "TimeZero"} <= required_fields()
    assert {field for field in required_fields() if POLICY.get(field) is None} == set()
    assert {field for field in required_fields() if POLICY[field].action == DROP} == set()


def test_a_required_text_that_may_not_be_shared_says_so_and_a_required_number_is_named():
    result = scrub_metadata({"EEGReference": "Dr Doe's nose", "RepetitionTime": 19780304})
    assert result.metadata == {"EEGReference": "n/a"}
    assert result.changed == ("EEGReference",)
    assert result.lost == ("RepetitionTime",)


def test_every_field_of_bids_is_in_the_table_with_reason_and_source():
    from bidsdeface.privacy import policy

    rows = list(csv.DictReader(policy._TABLE.open(), delimiter="\t"))
    named = {row["field"] for row in rows}
    assert len(named) == len(rows)
    assert {one["name"] for one in load_schema()["objects"]["metadata"].values()} - named == set()
    assert all(row["reason"] and row["source"] for row in rows)
    assert sum("PS3.15" in row["source"] for row in rows) > 80
    assert sum("dcm2niix -ba y" in row["source"] for row in rows) >= 12


def test_a_persons_table_and_wishes_go_on_top_of_ours(tmp_path):
    table = tmp_path / "mine.tsv"
    table.write_text("field\taction\tkind\nSeriesDescription\tkeep\tword mprage|flair\nEchoTime\tdrop\t\n")
    policy = load_policy(table, keep=["Mood", "FlipAngle"], drop=["FlipAngle"])
    metadata = {"SeriesDescription": "mprage", "EchoTime": 0.1, "Mood": {"any": [1]}, "FlipAngle": 9}
    assert scrub_metadata(metadata, policy).metadata == {"SeriesDescription": "mprage", "Mood": {"any": [1]}}
    assert scrub_metadata({"SeriesDescription": "Doe"}, policy).metadata == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"field\taction\nA\tkeeep\n", "line 2"),
        (b"A,keep\n", "line 2|no field"),
        (b"field\taction\tkind\nA\tkeep\tword (\n", "line 2"),
        (b"field\taction\tkind\nA\tkeep\tanything\n", "no kind"),
        (b"field\taction\tkind\nA\tgeneralise\t\n", "generalises"),
        (b"\xff\xfe\x00", "UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_one_line_with_its_cause(tmp_path, content, said):
    table = tmp_path / "mine.tsv"
    if content is not None:
        table.write_bytes(content if content != b"A,keep\n" else b"field,action\nA,keep\n")
    with pytest.raises(UsageError, match=said) as told:
        load_policy(table)
    assert str(table) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("field", "value", "passed"),
    [
        ("SequenceName", "h180604_45", False),
        ("SequenceName", "*h2d1_163", True),
        ("SequenceName", "*ep_b1000#3", True),
        ("SoftwareVersions", "192.168.1.10", False),
        ("SoftwareVersions", "5.4.0.1", True),
        ("SoftwareVersions", "10.1.2", True),
    ],
)
def test_a_date_or_an_address_of_a_computer_is_no_sequence_and_no_version(field, value, passed):
    assert (field in scrub_metadata({field: value}).metadata) is passed
