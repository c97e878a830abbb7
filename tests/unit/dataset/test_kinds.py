"""Which scans take the mask of another."""

from pathlib import Path

import pytest

from bidsdeface.dataset.kinds import is_map, is_of_series, is_phase, possible_donors
from bidsdeface.dataset.names import Scan


def scan(name):
    folder, _, stem = name.partition("/")
    *pairs, suffix = stem.split("_")
    entities = (("sub", "1"), *(tuple(pair.split("-")) for pair in pairs))
    return Scan(Path(f"sub-1_{stem}.nii.gz"), entities, suffix, ".nii.gz", folder)


SCANS = [
    scan(name)
    for name in (
        *("anat/T1w", "anat/inv-1_MP2RAGE", "anat/inv-2_MP2RAGE", "anat/UNIT1", "anat/T1map"),
        *("anat/echo-1_part-mag_MEGRE", "anat/echo-2_part-mag_MEGRE"),
        *("anat/echo-1_part-phase_MEGRE", "anat/echo-2_part-phase_MEGRE"),
        *("fmap/run-1_magnitude1", "fmap/run-1_magnitude2", "fmap/run-1_phasediff", "fmap/run-2_magnitude1"),
        *("fmap/acq-anat_TB1TFL", "fmap/acq-famp_TB1TFL"),
        *("func/task-a_bold", "func/task-b_bold", "func/task-b_part-phase_bold", "dwi/dwi", "dwi/FA"),
    )
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anat/T1w", []),
        ("anat/inv-1_MP2RAGE", []),
        ("anat/echo-2_part-phase_MEGRE", ["echo-2_part-mag_MEGRE", "echo-1_part-mag_MEGRE"]),
        ("fmap/run-1_phasediff", ["run-1_magnitude1", "run-1_magnitude2"]),
        ("fmap/run-2_phase2", ["run-2_magnitude1"]),
        ("func/task-b_part-phase_bold", ["task-b_bold"]),
        ("func/task-a_phase", ["task-a_bold"]),
        ("dwi/FA", ["dwi"]),
        ("fmap/acq-anat_TB1TFL", []),
        ("anat/UNIT1", ["inv-1_MP2RAGE", "inv-2_MP2RAGE", "echo-1_part-mag_MEGRE", "echo-2_part-mag_MEGRE"]),
    ],
)
def test_lenders_are_of_the_same_series_or_what_a_map_may_be_computed_from(name, expected):
    assert [one.stem.removeprefix("sub-1_") for one in possible_donors(scan(name), SCANS)] == expected


def test_phase_and_maps_are_told_from_what_shows_anatomy():
    assert [is_phase(scan(name)) for name in ("fmap/phase1", "func/part-imag_bold", "fmap/magnitude")] == [
        True,
        True,
        False,
    ]
    assert [is_map(scan(name)) for name in ("anat/S0map", "fmap/TB1map", "anat/FLAIR")] == [True, True, False]


def test_a_map_of_flip_angles_takes_the_mask_of_the_image_that_was_made_with_it():
    angles, anatomy = scan("fmap/acq-famp_TB1TFL"), scan("fmap/acq-anat_TB1TFL")
    assert possible_donors(angles, SCANS)[0] == anatomy and is_of_series(anatomy, angles)
    assert is_map(angles) and not is_map(anatomy)


def test_a_scan_of_another_session_lends_nothing():
    assert possible_donors(scan("fmap/ses-x_run-1_phasediff"), SCANS) == []
