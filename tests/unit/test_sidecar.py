"""What sidecars of the output say, and what they must not say."""

import json
import re

import pytest
from bidsschematools.schema import load_schema
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.dataset.sidecar import image_sidecar, mask_sidecar, no_face_sidecar, to_json
from bidsdeface.privacy.sidecar import keep_physics

URI = "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"
# Of the sidecar of a real scan: see scripts/make_demo.py.
REAL = {
    "Modality": "MR",
    "MagneticFieldStrength": 3,
    "Manufacturer": "Siemens",
    "ManufacturersModelName": "Prisma_fit",
    "InstitutionName": "Rigshospitalet",
    "InstitutionalDepartmentName": "Rontgen",
    "InstitutionAddress": "Blegdamsvej  9,Kobenhavn,District,DK,DK-2100",
    "DeviceSerialNumber": "67006",
    "StationName": "MN213418",
    "ProcedureStepDescription": "MR cerebrum",
    "MRAcquisitionType": "3D",
    "SeriesDescription": "t1_mpr_3d_sag_p2_iso_Siemens",
    "ProtocolName": "t1_mpr_3d_sag_p2_iso_Siemens",
    "ScanningSequence": "GR\\IR",
    "SequenceVariant": "SK\\SP\\MP",
    "ScanOptions": "IR",
    "AcquisitionTime": "15:31:52.362500",
    "SAR": 0.0754335,
    "EchoTime": 0.00252,
    "RepetitionTime": 1.9,
    "FlipAngle": 9,
    "ShimSetting": [-5020, -11544],
    "SliceThickness": 1,
}
KEPT = {
    "Modality",
    "MagneticFieldStrength",
    "Manufacturer",
    "ManufacturersModelName",
    "MRAcquisitionType",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "EchoTime",
    "RepetitionTime",
    "FlipAngle",
    "SliceThickness",
}


def test_the_physics_of_a_real_sidecar_is_kept_and_nothing_else():
    kept = keep_physics(REAL)
    assert set(kept) == KEPT
    assert all(kept[name] == REAL[name] for name in kept)


@pytest.mark.parametrize(
    "value",
    ["Doe^Jane", "19640312", "12:30:00", 19640312, float("nan"), float("inf"), 10**400, True, None]
    + [["Jane"], [0.1, "Jane"], {"name": "Jane"}],
)
def test_only_plausible_numbers_pass_for_numbers(value):
    assert keep_physics({"EchoTime": value}) == {}


@given(st.sampled_from(sorted(KEPT)), st.from_regex(r"[A-Z][a-z]{2,8}[ ^_,][A-Z][a-z]{2,8}\Z"))
def test_a_name_cannot_ride_along_in_a_kept_field(field, name):
    assert keep_physics({field: name}) == {}
    assert keep_physics({field: f"{REAL[field]} {name}"}) == {}
    assert keep_physics({field: [name]}) == {}


PERSONAL = re.compile(
    "Institution|Station|Serial|Date|AcquisitionTime|UID|Patient|Subject|Name$|Comment|Description"
    "|Address|ID$|Protocol|Operator|Physician|Series|Accession|Age|Sex|Weight|Software|Coil|Shim"
)


@pytest.mark.parametrize("value", ["3D", "MR", 3, [1.5], True])
def test_no_field_of_bids_that_may_tell_who_where_or_when_is_kept(value):
    fields = {*REAL, *load_schema()["objects"]["metadata"].keys()} - {"ManufacturersModelName"}
    personal = {field: value for field in fields if PERSONAL.search(field)}
    assert len(personal) > 40
    assert keep_physics(personal) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Manufacturer", "GE MEDICAL SYSTEMS"),
        ("Manufacturer", "Philips Medical Systems"),
        ("ManufacturersModelName", "MAGNETOM Skyra fit"),
        ("ManufacturersModelName", "DISCOVERY MR750"),
        ("ManufacturersModelName", "Achieva dStream"),
        ("ManufacturersModelName", "TrioTim"),
        ("PulseSequenceType", "Gradient Echo"),
        ("EchoTime", [0.001, 0.002]),
        ("MTState", False),
    ],
)
def test_what_vendors_write_passes(field, value):
    assert keep_physics({field: value}) == {field: value}


def test_the_image_sidecar_says_what_bids_and_dicom_ask_for():
    sidecar = image_sidecar(REAL, {"Template": "WholeHead"}, URI)
    assert sidecar["SkullStripped"] is False
    assert sidecar["Sources"] == [URI]
    assert sidecar["Bidsdeface"] == {"Template": "WholeHead"}
    assert isinstance(sidecar["DeidentificationMethod"], list)
    codes = sidecar["DeidentificationMethodCodeSequence"]
    assert [code["CodeValue"] for code in codes] == ["113102", "face-removed"]
    for code in codes:  # limits of DICOM's SH and LO
        assert len(code["CodeValue"]) <= 16 and len(code["CodingSchemeDesignator"]) <= 16
        assert len(code["CodeMeaning"]) <= 64
    assert "Rigshospitalet" not in to_json(sidecar)


@pytest.mark.parametrize("skull_stripped", [True, False])
def test_the_sidecar_of_an_image_without_face_claims_no_method(skull_stripped):
    sidecar = no_face_sidecar(REAL, {"Verdict": "no-face"}, URI, skull_stripped)
    assert sidecar["SkullStripped"] is skull_stripped
    assert not [field for field in sidecar if field.startswith("Deidentification")]
    assert "defaced" not in to_json(sidecar) and "removed by" not in to_json(sidecar)
    assert sidecar["Sources"] == [URI] and sidecar["Bidsdeface"] == {"Verdict": "no-face"}
    assert sidecar["EchoTime"] == REAL["EchoTime"] and "Rigshospitalet" not in to_json(sidecar)


def test_the_mask_sidecar_calls_it_a_face_mask():
    sidecar = mask_sidecar({"Template": "WholeHead"}, [URI])
    assert (sidecar["Type"], sidecar["SkullStripped"], sidecar["Sources"]) == ("Face", False, [URI])
    assert "DeidentificationMethod" not in sidecar


def test_json_is_standard_and_readable():
    assert json.loads(to_json({"a": "é"})) == {"a": "é"}
    assert "é" in to_json({"a": "é"})
    with pytest.raises(ValueError):
        to_json({"a": float("nan")})
