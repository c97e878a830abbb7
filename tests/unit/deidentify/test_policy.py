"""What of sidecar metadata may be shared: physics stays, whatever may tell who, where or when goes."""

import csv
import json
import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.deidentify.policy import DROP, KEEP, load_policy, scrub_metadata
from bidsdeface.deidentify.values import is_known, objection, values_in
from bidsdeface.errors import UsageError
from bidsdeface.schema import _parts, _schema, metadata_fields, required_fields

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
    "ConsistencyInfo": "N4_VD13D_LATEST_20130810",
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
}
POLICY = load_policy()
KEPT_FIELDS = sorted(field for field, rule in POLICY.items() if rule.action == KEEP and rule.kind != "object")
DROPPED_FIELDS = sorted(field for field, rule in POLICY.items() if rule.action == DROP)
ABOUT_THE_STUDY = {field for field in KEPT_FIELDS if POLICY[field].kind in ("text", "task")}
NUMBERS = {field: POLICY[field].kind for field in KEPT_FIELDS if POLICY[field].kind.startswith("number")}
# Neither the words of the study, nor names of its files and columns, which are looked at elsewhere.
VOCABULARY = sorted(
    field for field in {*KEPT_FIELDS} - ABOUT_THE_STUDY if POLICY[field].kind not in ("files", "columns")
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["n/a", "Siemens"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
SIDECARS = st.dictionaries(st.sampled_from(sorted(POLICY)) | st.text(max_size=20), JSON_VALUES, max_size=8)
NAMES = st.from_regex(r"[A-Z][a-z]{2,8}[ ^_,][A-Z][a-z]{3,8}\Z")


def is_told(value):
    """Return True for a value of which nothing but that there is none is told."""
    return all(isinstance(one, str) and is_known(one, "unknown") for one in values_in(value))


def test_all_physics_of_a_real_sidecar_stays_and_all_else_is_gone():
    kept, reasons = scrub_metadata({**PHYSICS, **PERSONAL})
    assert kept == PHYSICS
    assert reasons.keys() == PERSONAL.keys()


@given(SIDECARS, st.none() | st.just("rest"))
def test_whatever_json_holds_nothing_is_raised_and_once_is_enough(metadata, task):
    once, _ = scrub_metadata(metadata, task=task)
    assert scrub_metadata(once, task=task) == (once, {})


@given(SIDECARS, st.dictionaries(st.sampled_from(DROPPED_FIELDS), JSON_VALUES, max_size=3), st.data())
def test_a_dropped_field_is_never_kept(metadata, personal, data):
    metadata = {**metadata, **personal}
    named = data.draw(st.sets(st.sampled_from(sorted(metadata)), max_size=3)) if metadata else set()
    kept = scrub_metadata(metadata, load_policy(keep=metadata, drop=named))[0]
    assert not named & kept.keys()
    finite = {
        field
        for field, value in metadata.items()
        if all(not isinstance(one, float) or math.isfinite(one) for one in values_in(value))
    }
    assert finite - named == {field for field in kept if field in finite}
    assert all(kept[field] == "n/a" for field in kept.keys() - finite)
    kept = scrub_metadata(metadata, load_policy(drop=named))[0]
    assert not (named | personal.keys() | (metadata.keys() - POLICY.keys())) & kept.keys()


@given(SIDECARS, st.none() | st.just("rest"))
def test_what_stays_is_byte_for_byte_what_it_was_and_what_goes_is_named_with_a_reason(metadata, task):
    kept, reasons = scrub_metadata(metadata, task=task)
    for field, value in kept.items():
        if field not in ("Age", "PatientAge", "TimeZero") and POLICY[field].kind not in ("object", "filters"):
            assert value == "n/a" or json.dumps(value) == json.dumps(metadata[field])
    assert metadata.keys() - kept.keys() <= reasons.keys()
    assert all(reasons.values())
    json.dumps(kept, allow_nan=False)


@given(st.sampled_from(VOCABULARY), NAMES)
def test_a_name_cannot_ride_along_in_a_kept_field(field, name):
    for value in (name, [name], {"a": name}, f"{PHYSICS.get(field, 'brain')} {name}"):
        assert name not in json.dumps(scrub_metadata({field: value})[0])


REAL_NAMES = re.findall(
    r"\w+",
    """
    Hansen Benson Fleming Seidel Recker Anna Jane Doe Smith Garcia Ng Li Wu Kim Cohen Singh Meyer Ivanov
    Silva Rossi Dubois Nguyen Sato Khan Ali Jones Brown Miller Davis Weber Frost Schedden Cox Hahn
    """,
)
PLACES = ("Rigshospitalet", "Charité", "St. Mary's Hospital", "Boston, MA", "CBU", "MRC35437", "Room 4.12")


@pytest.mark.parametrize("name", [*REAL_NAMES, *PLACES])
def test_no_single_name_or_place_passes_in_any_kept_field_in_any_case_or_company(name):
    fields = [field for field in VOCABULARY if POLICY[field].kind != "known unit"]
    shapes = (
        name,
        name.upper(),
        name.lower(),
        f"{name} {name[0]}",
        f"v1.0 {name}",
        f"3 {name}",
        f"{name}_32",
    )
    for value in (*shapes, [name], f"Siemens {name}", f"GR\\{name}", f"%CustomerSeq%\\{name}"):
        kept, reasons = scrub_metadata(dict.fromkeys(fields, value))
        assert all(map(is_told, kept.values())), kept
        assert reasons.keys() == set(fields)


@pytest.mark.parametrize(
    "date", [19780304, 19780304.0, "1978-03-04", "19780304", "12:30:00", "4711-0815", "04.03.1978"]
)
def test_a_date_or_a_record_number_cannot_ride_along_in_a_kept_field(date):
    for value in (date, [date], [[date]], {"a": date}):
        kept = scrub_metadata(dict.fromkeys(VOCABULARY, value))[0]
        assert all(map(is_told, kept.values())), kept


@pytest.mark.parametrize(
    ("field", "secret"),
    [
        ("ReceiveCoilName", "Hansen_32"),
        ("ReceiveCoilActiveElements", "HEA;DOE"),
        ("Manufacturer", "Rigshospitalet"),
        ("Manufacturer", ["Siemens", "Rigshospitalet"]),
        ("ManufacturersModelName", "Prisma of Dr. Doe"),
        ("StationName", "MRC35437"),
        ("SoftwareVersions", "syngo MR E11 Doe"),
        ("SoftwareVersions", "syngo MR 19780304"),
        ("SequenceName", "tfl3d1_19780304"),
        ("PulseSequenceDetails", "%CustomerSeq%_tse_exttracking_RFROST"),
        ("PulseSequenceDetails", "Sequence written by Doe"),
        ("ScanningSequence", "GR\\DOE"),
        ("ScanOptions", "FS_DOE_GEMS"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "DOE"]),
        ("EchoTime", 41207.25),
        ("EchoTime", [0.003, 41207]),
        ("RepetitionTime", 2718281),
        ("ImagingFrequency", 20190312),
        ("FlipAngle", 4711),
        ("InjectionStart", 45762),
        ("SliceTiming", [0.0, 45762.5]),
        ("ShimSetting", [10, 20190312]),
        ("MagneticFieldStrength", 67),
        ("EEGChannelCount", 64.5),
        ("TracerName", "Doe"),
        ("EEGReference", "Dr Doe's nose"),
        ("CapManufacturersModelName", "Doe's cap"),
        ("AnatomicalLandmarkCoordinates", {"Doe": [1, 2, 3]}),
        ("AnatomicalLandmarkCoordinates", {"NAS": [1, 2, 20190312]}),
        ("EditPulse", {"ON": {"Doe": 1}}),
        ("TaskDescription", "Ask jane@hospital.org"),
        ("TaskDescription", "As Prof. Doe explained"),
        ("TaskDescription", "Herr Müller explained"),
        ("Instructions", "Recorded on 2018-06-04"),
        ("Instructions", "Call +45 35 45 35 45"),
        ("Instructions", "See http://fileserver/study/plan"),
        ("Instructions", "See https://pacs.clinic.local/x"),
        ("Instructions", "In /home/jane/study"),
        ("EEGCoordinateSystemDescription", ["fine", "MRN 2718281"]),
        ("HED", {"go": "(Label/Dr. Doe)"}),
        ("B0FieldIdentifier", "fmap_2018-06-04"),
        ("EchoTime", float("nan")),
        ("TaskDescription", [float("inf")]),
        ("Density", {"a": float("nan")}),
    ],
)
def test_a_planted_secret_is_left_out_whole_and_named(field, secret):
    kept, reasons = scrub_metadata({"FlipAngle": 9, field: secret})
    assert kept.get(field, "n/a") == "n/a"
    assert "Doe" not in reasons[field] and "2019" not in reasons[field]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("EchoTime", 41207, "not within 0..999 s"),
        ("EchoTime", "0.003", "not a number"),
        ("EEGChannelCount", 2.5, "not a whole number"),
        ("EchoTime", float("nan"), "NaN or infinity, which JSON has not"),
        ("MTState", "on", "not true or false"),
        ("Manufacturer", "Doe", "not a known value (maker)"),
        ("PhaseEncodingDirection", "x", "not one of the values that BIDS lists"),
        ("TaskDescription", "by Mme Dubois", "holds a name with a title"),
        ("TaskDescription", "see http://nas/x", "holds an intranet link"),
        ("TaskDescription", "mail j@x.org", "holds an e-mail"),
        ("PatientID", 4711, "left out by the policy: record number"),
        ("Mood", "good", "left out by the policy: it does not know the field"),
        ("SoftwareFilters", "by Doe", "not an object"),
    ],
)
def test_every_reason_says_what_is_wrong(field, value, reason):
    assert scrub_metadata({field: value})[1] == {field: reason}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("TaskDescription", "at the Winawer lab"),
        ("Instructions", ["press", "at the Winawer lab"]),
        ("HED", {"go": "(Label/Winawer)"}),
        ("TaskName", "Winawer's films"),
        ("B0FieldSource", "pepolar_winawer"),
        ("CogAtlasID", "https://www.cognitiveatlas.org/id/winawer"),
        ("Columns", ["cardiac", "winawer"]),
        ("HeadCoilCoordinates", {"NAS": [1, 2, 3]}),
        ("HardwareFilters", {"Notch": {"type": "FIR"}}),
    ],
)
def test_every_text_that_would_stay_is_asked_for_identifiers_of_the_dataset(field, value):
    assert scrub_metadata({field: value})[0] == {field: value}
    for text in [one for one in values_in(value) if isinstance(one, str)][-1:]:
        kept, reasons = scrub_metadata({field: value}, identifies=lambda one, text=text: one == text)
        assert kept.get(field, "n/a") == "n/a" and field in reasons
    kept, _ = scrub_metadata({field: value}, load_policy(keep=[field]), identifies=lambda _: True)
    assert kept == {field: value}


@pytest.mark.parametrize(
    ("field", "value"),
    [("IntendedFor", "bids::sub-01/anat/sub-01_T1w.nii.gz"), ("EchoTime", 0.003), ("TaskName", "Rest")]
    # What is known as a whole names nobody, though a station may be called Prisma, and a patient Philips.
    + [("Manufacturer", "Philips"), ("ImageType", ["ORIGINAL", "M"]), ("PhaseEncodingDirection", "j")]
    + [("StimulusPresentation", {"SoftwareName": "PsychoPy"})],
)
def test_names_of_files_numbers_known_values_and_the_label_of_the_task_are_not_asked(field, value):
    assert scrub_metadata({field: value}, task="rest", identifies=lambda _: True)[0] == {field: value}


def test_the_words_of_the_study_stay_unless_they_hold_an_identifier_of_the_dataset():
    told = {
        "TaskDescription": "Films of the Winawer lab",
        "Instructions": ["Press", "Ask Winawer"],
        "EchoTime": 0.1,
    }
    assert scrub_metadata(told)[0] == told
    kept, reasons = scrub_metadata(told, identifies=lambda text: "Winawer" in text)
    assert kept == {"EchoTime": 0.1}
    assert set(reasons.values()) == {"holds an identifier of this dataset"}


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
        (
            "SoftwareFilters",
            {"Anti-aliasing filter": {"half-amplitude cutoff (Hz)": 500, "Roll-off": "6dB/Octave"}},
        ),
        ("SoftwareFilters", "n/a"),
        ("SoftwareFilters", {"SpatialCompensation": {"GradientOrder": "3rd"}}),
        ("SoftwareFilters", {"LowPassFilter": {"cutoff": "350 (Hz)"}}),
        (
            "HardwareFilters",
            {"Highpass RC filter": {"Half amplitude cutoff (Hz)": 0.0159, "Roll-off": "6dB/Octave"}},
        ),
        ("Manufacturer", "SIEMENS "),
        ("Manufacturer", "Siemens Healthineers"),
        ("Manufacturer", "BIOSEMI"),
        ("Manufacturer", "UIH"),
        ("Manufacturer", "Canon Medical Systems"),
        ("Manufacturer", "Hyperfine"),
        ("ManufacturersModelName", "BrainAmp MR"),
        ("ManufacturersModelName", "ActiveTwo"),
        ("ManufacturersModelName", "Ingenia Elition X"),
        ("ManufacturersModelName", "SIGNA Premier"),
        ("ManufacturersModelName", "Investigational_Device_7T"),
        ("ManufacturersModelName", "uMR 790"),
        ("ManufacturersModelName", "Neuromag Vectorview 306"),
        ("ManufacturersModelName", "High-Resolution Research Tomograph (HRRT, CTI/Siemens)"),
        ("ManufacturersModelName", "EYELINK II CL v5.12 May 12 2017"),
        ("CapManufacturer", "EasyCap"),
        ("CapManufacturersModelName", "M1-ext"),
        ("CapManufacturersModelName", "actiCAP 64 Ch Standard-2"),
        ("CapManufacturersModelName", "HydroCel Geodesic Sensor Net 128"),
        ("ElectrodeMaterial", "Ag/AgCl"),
        ("EEGReference", "CMS/DRL"),
        ("EEGReference", "linked mastoids"),
        ("EEGReference", "placed on FCz"),
        ("EEGReference", "average"),
        ("EEGGround", "placed on right mastoid (M2)"),
        ("iEEGReference", "intracranial electrode on top of a grid, not included with data"),
        ("EEGPlacementScheme", "extended 10-20 system"),
        ("EEGPlacementScheme", ["Cz", "Pz"]),
        ("ReceiveCoilName", "HeadMatrix"),
        ("ReceiveCoilName", "RM:Nova32ch"),
        ("ReceiveCoilName", "SENSE-Head-8"),
        ("ReceiveCoilName", "8HRBRAIN"),
        ("ReceiveCoilName", "32Ch_Head"),
        ("CoilString", "C:HEA;HEP;NE1,2"),
        ("CoilString", "HC1-7;NC1_2"),
        ("PulseSequenceDetails", "%CustomerSeq%_cmrr_mbep2d_bold"),
        ("PulseSequenceDetails", "Standard Siemens Sequence distributed with the VB17 software"),
        ("SequenceName", "tg818I3d1_6720"),
        ("ScanningSequence", "GR_IR"),
        ("ScanningSequence", ["GR", "IR"]),
        ("ScanOptions", "FAST_GEMS_EDR_GEMS_FILTERED_GEMS_ACC_GEMS"),
        ("SequenceVariant", "SK\\SP\\MP\\OSP"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "M", "MB", "ND", "NORM", "MOSAIC"]),
        ("ImageType", ["ORIGINAL", "PRIMARY", "FM3_2", "FIL"]),
        ("ImageType", ["ORIGINAL", "PRIMARY", "T1_MAP", "TE4"]),
        ("SoftwareVersions", "syngo MR XA30"),
        ("SoftwareVersions", "syngo_MR_E11"),
        ("SoftwareVersions", "syngo_MR_A30_4VA30A"),
        ("SoftwareVersions", "27\\LX\\MR Software release:DV25.0_R02_1549.b"),
        ("SoftwareVersions", "5.1.7_5.1.7.2"),
        ("SoftwareVersions", "R3.2.2"),
        ("SoftwareVersions", "N4_VB17A_LATEST_20090307"),
        ("SoftwareVersions", "Acq 5.4.2-linux-20070507"),
        ("ConversionSoftwareVersion", "v1.0.20170923 (OpenJPEG build) GCC4.8.4"),
        ("MetaboliteMethod", "HPLC"),
        ("TracerRadionuclide", "C11"),
        ("TracerRadionuclide", "^18^Fluorine"),
        ("TracerName", "[18F]FDG"),
        ("ModeOfAdministration", "bolus-infusion"),
        ("ReconMethodName", "3D-OSEM-PSF"),
        ("ReconMethodName", "PSF+TOF 3i21s"),
        ("ReconMethodParameterLabels", ["subsets", "iterations"]),
        ("ConvolutionKernel", "XYZ Gauss2.00"),
        ("AttenuationCorrection", "10-min transmission scan"),
        ("ReceiveCoilName", "n/a"),
        ("InjectedMass", "n/a"),
        ("DewarPosition", "upright"),
        ("ShimSetting", [267, -12631, -8571, 1100, -213, -162, -367, 5]),
        ("HeadCoilCoordinates", {"coil1": [14.38, -86.02, 77.84], "NAS": [0, 103.36, 0]}),
        ("EditPulse", {"ON": {"FrequencyOffset": 1.9, "PulseDuration": 15}}),
        ("TaskDescription", "Press 1 for faces, 2 for houses; MR scanner noise, 500 ms, see doi:10.18112/x"),
        ("HED", {"cross_only_def": "(Definition/Cross-only, (Visual-presentation))"}),
        ("EEGCoordinateSystemDescription", "Origin halfway between LPA and RPA"),
    ],
)
def test_what_vendors_and_bids_write_passes(field, value):
    assert scrub_metadata({field: value})[0] == {field: value}


def test_nested_objects_are_checked_field_by_field():
    presentation = {"SoftwareName": "PsychoPy", "Operator": "Jane Doe", "SoftwareVersion": "Doe 1978"}
    kept, reasons = scrub_metadata(
        {"StimulusPresentation": presentation, "global": {"const": {"PatientName": "Doe"}}}
    )
    assert kept == {"StimulusPresentation": {"SoftwareName": "PsychoPy"}}
    assert list(reasons) == [
        "StimulusPresentation.Operator",
        "StimulusPresentation.SoftwareVersion",
        "global",
    ]


@pytest.mark.parametrize(
    ("age", "told"), [("034Y", "034Y"), ("095Y", "089Y"), ("018M", "018M"), (34.5, 34.5), (89, 89), (112, 89)]
)
def test_ages_are_capped_at_89(age, told):
    assert scrub_metadata({"PatientAge": age})[0] == {"PatientAge": told}


@pytest.mark.parametrize("task", ["resting", None])
def test_the_name_of_a_task_goes_as_it_is_or_is_not_told(task):
    for name in ("Rest ing", "Eyes open, then closed"):
        assert scrub_metadata({"TaskName": name}, task=task)[0] == {"TaskName": name}
    kept, reasons = scrub_metadata({"TaskName": "Dr. Doe's film"}, task=task)
    assert (kept, reasons) == ({"TaskName": "n/a"}, {"TaskName": "holds a name with a title"})


def test_coordinates_of_landmarks_stay_with_a_recording_and_go_with_an_anatomical_image():
    told = {"AnatomicalLandmarkCoordinates": {"NAS": [127, 213, 139], "LPA": [52, 113, 96]}}
    for datatype in ("meg", "eeg", None):
        assert scrub_metadata(told, datatype=datatype)[0] == told
    kept, reasons = scrub_metadata(told, datatype="anat")
    assert (kept, list(reasons)) == ({}, ["AnatomicalLandmarkCoordinates"])
    assert scrub_metadata(told, load_policy(keep=told), datatype="anat")[0] == told


def test_filters_are_checked_entry_by_entry():
    told = {
        "Notch": {"Hz": 50},
        "Doe's filter": {"cutoff": 1},
        "SSS": {"frame": "head", "ctc": "data/ct_sparse.fif", "corder": "Doe", "st": 20190312},
    }
    kept, reasons = scrub_metadata({"SoftwareFilters": told})
    assert kept == {"SoftwareFilters": {"Notch": {"Hz": 50}, "SSS": {"frame": "head"}}}
    assert reasons.keys() == {
        f"SoftwareFilters.{name}" for name in ("Doe's filter", "SSS.ctc", "SSS.corder", "SSS.st")
    }
    for field in ("SoftwareFilters", "HardwareFilters"):
        kept, reasons = scrub_metadata({field: {"Doe's filter": {"cutoff": 1}}})
        assert kept == {field: "n/a"} and field in reasons


def test_no_field_that_bids_requires_is_dropped_by_the_policy():
    assert {"TaskName", "RepetitionTime", "EEGReference", "TimeZero"} <= required_fields()
    assert {field for field in required_fields() if POLICY.get(field) is None} == set()
    assert {field for field in required_fields() if POLICY[field].action == DROP} == set()


def test_a_required_text_that_may_not_be_shared_says_so_and_a_required_number_is_named():
    told = {
        "EEGReference": "Dr Doe's nose",
        "RepetitionTime": 19780304,
        "PowerLineFrequency": 4711,
        "M0Type": "Doe",
    }
    kept, reasons = scrub_metadata(told)
    assert kept == {"EEGReference": "n/a", "PowerLineFrequency": "n/a"}
    assert reasons.keys() == told.keys()


@pytest.mark.parametrize("name", ["policy", "values"])
def test_tables_are_sorted_without_twins_and_every_row_has_a_source(name):
    from bidsdeface.deidentify import policy

    with policy._TABLE.with_name(f"{name}.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    first = "field" if name == "policy" else "kind"
    keys = [(row[first].casefold(), row.get("value", "")) for row in rows]
    assert [key for key, _ in keys] == sorted(key for key, _ in keys)
    named = {(row[first], re.sub(r"[\s_-]", "", row.get("value", "").casefold())) for row in rows}
    assert len(named) == len(rows)
    assert all(row["source"] and row.get("reason", "-") for row in rows)


def limits_of_bids(field):
    """Return the least and the largest number that BIDS allows in a field, and its units."""
    definitions = [one for one in _schema()["objects"]["metadata"].values() if one["name"] == field]
    parts = [part for one in definitions for part in _parts(one)]
    numeric = [part for part in parts if part.get("type") in ("number", "integer")]
    minimum = min(part.get("minimum", part.get("exclusiveMinimum", -math.inf)) for part in numeric)
    maximum = max(part.get("maximum", math.inf) for part in numeric)
    return minimum, maximum, {part["unit"] for part in parts if "unit" in part}


def test_every_field_of_bids_is_in_the_table_and_every_kind_fits_the_schema():
    assert metadata_fields().keys() - POLICY.keys() == set()
    texts = ("known", "codes", "word", "text", "task", "files", "columns", "listed")
    fits = {
        "number": {"number", "integer"},
        "flag": {"boolean"},
        "mapping": {"object", "number"},
        **dict.fromkeys(texts, {"string"}),
        **dict.fromkeys(("filters", "object"), {"object"}),
    }
    for field, schema in metadata_fields().items():
        if POLICY[field].action != KEEP:
            continue
        name, _, detail = POLICY[field].kind.partition(" ")
        assert fits[name] & schema.types, field
        assert name != "listed" or schema.values, field
        if name == "number":
            span, _, unit = detail.partition(" ")
            low, high = map(float, span.split(".."))
            minimum, maximum, units = limits_of_bids(field)
            assert minimum <= low < high <= maximum, field
            assert not unit or not units or unit in units, field


def test_every_number_has_a_range_of_its_own_that_holds_no_second_of_the_day_but_by_its_nature():
    with_reasons = {}
    from bidsdeface.deidentify import policy

    for row in csv.DictReader(policy._TABLE.open(encoding="utf-8"), delimiter="\t"):
        with_reasons[row["field"]] = row["reason"]
    assert len(NUMBERS) > 200
    for field, kind in NUMBERS.items():
        assert re.fullmatch(r"number [-\d.e]+\.\.[\d.e]+( \S+)?", kind), field
        holds = [second for second in (20_000, 41_207, 86_399) if objection(field, second, kind) is None]
        assert bool(holds) == ("by its nature" in with_reasons[field]), field
        assert objection(field, 19780304, kind) and objection(field, 2.5e10, kind), field
    large = {field for field, kind in NUMBERS.items() if objection(field, 1_234_567, kind) is None}
    assert large == {
        "Dosage", "DoseCalibrationFactor", "InfusionRadioactivity", "InjectedRadioactivity", "MolarActivity",
        "PromptRate", "RadionuclideTotalDose", "RandomRate", "SinglesRate", "SpecificRadioactivity",
    }  # fmt: skip


def test_our_table_stands_the_checks_of_a_persons_table():
    from bidsdeface.deidentify import policy

    assert policy._read_policy(policy._TABLE, {}) == load_policy()


def test_the_sources_of_the_table_are_the_profiles_of_dicom_and_dcm2niix():
    from bidsdeface.deidentify import policy

    rows = list(csv.DictReader(policy._TABLE.open(encoding="utf-8"), delimiter="\t"))
    assert sum("PS3.15" in row["source"] for row in rows) > 80
    assert sum("dcm2niix -ba y" in row["source"] for row in rows) >= 12


def test_a_persons_table_and_wishes_go_on_top_of_ours(tmp_path):
    table = tmp_path / "mine.tsv"
    table.write_text("field\taction\tkind\nSeriesDescription\tkeep\tword mprage|flair\nEchoTime\tdrop\t\n")
    policy = load_policy(table, keep=["Mood", "FlipAngle"], drop=["FlipAngle"])
    metadata = {"SeriesDescription": "mprage", "EchoTime": 0.1, "Mood": {"any": [1]}, "FlipAngle": 9}
    assert scrub_metadata(metadata, policy)[0] == {"SeriesDescription": "mprage", "Mood": {"any": [1]}}
    assert scrub_metadata({"SeriesDescription": "Doe"}, policy)[0] == {}


def test_the_kind_of_a_field_is_ours_where_no_other_is_given_and_the_action_is_the_same(tmp_path):
    table = tmp_path / "mine.tsv"
    table.write_text("field\taction\nOperatorsName\tkeep\nEchoTime\tkeep\nPatientName\tdrop\n")
    policy = load_policy(table, drop=["PatientID"])
    metadata = {"OperatorsName": "AB", "EchoTime": "soon"}
    assert scrub_metadata(metadata, policy)[0] == {"OperatorsName": "AB"}
    assert policy["PatientName"].kind == "person"
    assert policy["PatientID"].kind == load_policy()["PatientID"].kind == "whole"  # still looked for in texts


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"field\taction\nA\tkeeep\n", "line 2"),
        (b"A,keep\n", "line 2|no field"),
        (b"field\taction\tkind\nA\tkeep\tword (\n", "line 2"),
        (b"field\taction\tkind\nA\tkeep\tanything\n", "no kind"),
        (b"field\taction\tkind\nA\tkeep\tknown things\n", "no list of known values"),
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
        ("SequenceName", "h2d180604", False),
        ("SoftwareVersions", "12.03.2019", False),
        ("SequenceName", "*h2d1_163", True),
        ("SequenceName", "*ep_b1000#3", True),
        ("SoftwareVersions", "192.168.1.10", False),
        ("SoftwareVersions", "5.4.0.1", True),
        ("SoftwareVersions", "10.1.2", True),
    ],
)
def test_a_date_or_an_address_of_a_computer_is_no_sequence_and_no_version(field, value, passed):
    assert (field in scrub_metadata({field: value})[0]) is passed


@pytest.mark.parametrize("part", ["a", "1", "1.", "m/", "hp ", "10-20 ", "HEA;", "gauss ", "e1/", ",", "/1"])
def test_a_text_made_to_take_long_takes_no_time(part):
    from bidsdeface.deidentify import values

    start = time.perf_counter()
    for lists in values._known_values():
        assert not is_known((part * values.LONGEST_NAME)[: values.LONGEST_NAME - 1] + "!", lists)
    assert time.perf_counter() - start < 1
