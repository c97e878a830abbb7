"""What sidecars of the output say, and what they must not say."""

import json
from functools import partial

import pytest

from bidsdeface.deidentify.policy import load_policy
from bidsdeface.output.record import image_sidecar, mask_sidecar, to_json

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
    sidecar = image_sidecar(REAL, {"Verdict": "no-face"}, URI, no_face=True, skull_stripped=skull_stripped)
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


def test_a_policy_of_the_users_own_acts(tmp_path):
    policy = load_policy(keep=["StationName"], drop=["EchoTime"])
    sidecar = image_sidecar(REAL, {}, URI, policy)
    assert sidecar["StationName"] == "MN213418" and "EchoTime" not in sidecar


def test_under_its_own_name_an_image_is_no_derivative():
    sidecar = image_sidecar(REAL, {}, None)
    assert sidecar.keys().isdisjoint({"Sources", "SkullStripped"}) and "DeidentificationMethod" in sidecar
    assert mask_sidecar({}, []).keys().isdisjoint({"Sources", "SkullStripped", "Type"})


@pytest.mark.parametrize("compose", [image_sidecar, partial(image_sidecar, no_face=True)])
@pytest.mark.parametrize("uri", [URI, None])
def test_no_file_is_named_but_the_source(compose, uri):
    """Which files are in the output, and under which names, is not known here."""
    named = ("IntendedFor", "AnatomicalImage", "SpatialReference", "ReferenceSignal")
    metadata = {"EchoTime": 0.003, **dict.fromkeys(named, "sub-JaneDoe/anat/sub-JaneDoe_T1w.nii.gz")}
    sidecar = compose(metadata, {}, uri)
    assert sidecar["EchoTime"] == 0.003 and "JaneDoe" not in to_json(sidecar)


def test_a_field_that_names_files_stays_at_a_persons_word():
    policy = load_policy(keep=["IntendedFor"])
    assert image_sidecar({"IntendedFor": "x"}, {}, URI, policy)["IntendedFor"] == "x"
