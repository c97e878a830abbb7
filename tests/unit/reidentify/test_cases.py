"""Which scans a study takes, and with which other scan of the same person they are compared."""

import json

import pytest

from bidsdeface.errors import BidsdefaceError, UsageError
from bidsdeface.reidentify import audit
from bidsdeface.reidentify.options import AuditOptions

RECORD = {"Method": "remove", "Measures": {}}


def make(tmp_path, *stems):
    """Write empty files where a raw and a derivative dataset have theirs."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    for stem in stems:
        folder = "/".join(part for part in stem.split("_") if part[:4] in ("sub-", "ses-")) + "/anat"
        entities, _, suffix = stem.rpartition("_")
        names = {
            raw / folder / f"{stem}.nii.gz": "",
            out / folder / f"{entities}_desc-defaced_{suffix}.nii.gz": "",
            out / folder / f"{entities}_mod-{suffix}_desc-face_defacemask.nii.gz": "",
            out / folder / f"{entities}_desc-defaced_{suffix}.json": json.dumps(
                {"Sources": [f"bids:raw:{folder}/{stem}.nii.gz"], "Bidsdeface": RECORD}
            ),
        }
        for path, text in names.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return raw, out


def published_cases(bids_dir, output_dir, **request):
    return audit.published_cases(AuditOptions(bids_dir=bids_dir, output_dir=output_dir, **request))


def others(tmp_path, *stems):
    cases = published_cases(*make(tmp_path, *stems))
    return {case.original.name[:-7]: case.other and case.other.name[:-7] for case in cases}


def test_every_published_scan_is_a_case_with_its_original_and_its_mask(tmp_path):
    raw, out = make(tmp_path, "sub-01_T1w", "sub-02_ses-a_T1w")
    first, second = published_cases(raw, out)
    assert (first.person, second.person) == ("01", "02")
    assert second.original == raw / "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz"
    assert second.defaced == out / "sub-02/ses-a/anat/sub-02_ses-a_desc-defaced_T1w.nii.gz"
    assert second.mask == out / "sub-02/ses-a/anat/sub-02_ses-a_mod-T1w_desc-face_defacemask.nii.gz"
    assert first.other is None


def test_another_session_goes_before_another_run_and_the_same_contrast_before_another(tmp_path):
    found = others(
        tmp_path,
        "sub-01_ses-a_T1w",
        "sub-01_ses-a_T2w",
        "sub-01_ses-b_T1w",
        "sub-01_ses-b_T2w",
        "sub-02_run-1_T1w",
        "sub-02_run-2_T1w",
        "sub-02_T2w",
        "sub-03_FLAIR",
        "sub-03_T1w",
    )
    assert found["sub-01_ses-a_T1w"] == "sub-01_ses-b_T1w"
    assert found["sub-01_ses-b_T2w"] == "sub-01_ses-a_T2w"
    assert found["sub-02_run-1_T1w"] == "sub-02_run-2_T1w"
    assert found["sub-02_T2w"] in ("sub-02_run-1_T1w", "sub-02_run-2_T1w")
    assert found["sub-03_T1w"] == "sub-03_FLAIR"


def test_a_file_that_changes_changes_the_key(tmp_path):
    raw, out = make(tmp_path, "sub-01_T1w")
    before = published_cases(raw, out)[0]
    before.defaced.write_text("defaced again")
    assert published_cases(raw, out)[0].key != before.key


def test_an_original_that_is_gone_is_named(tmp_path):
    raw, out = make(tmp_path, "sub-01_T1w")
    (raw / "sub-01/anat/sub-01_T1w.nii.gz").unlink()
    with pytest.raises(BidsdefaceError, match="sub-01_T1w.nii.gz: cannot be read .*needs all originals"):
        published_cases(raw, out)


def test_a_sidecar_that_names_no_original_is_named(tmp_path):
    raw, out = make(tmp_path, "sub-01_T1w")
    path = next(out.rglob("*.json"))
    path.write_text(json.dumps({"Sources": [], "Bidsdeface": RECORD}))
    with pytest.raises(BidsdefaceError, match="does not name its original"):
        published_cases(raw, out)


def test_a_dataset_without_defaced_scans_is_refused(tmp_path):
    with pytest.raises(BidsdefaceError, match="run the participant level first"):
        published_cases(tmp_path, tmp_path)


def test_a_scan_that_shows_no_face_is_not_under_attack(tmp_path):
    raw, out = make(tmp_path, "sub-01_T1w", "sub-02_T1w")
    path = out / "sub-02/anat/sub-02_desc-defaced_T1w.json"
    path.rename(path.with_name("sub-02_desc-noface_T1w.json")).write_text(
        json.dumps({"Sources": ["bids:raw:sub-02/anat/sub-02_T1w.nii.gz"], "Bidsdeface": {"Measures": {}}})
    )
    assert [case.person for case in published_cases(raw, out)] == ["01"]


def test_in_a_complete_dataset_a_scan_has_its_own_name_and_says_that_it_was_defaced(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for name, text in {
        "sub-01_T1w.nii": "",
        "sub-01_T1w.json": json.dumps({"Bidsdeface": RECORD}),
        "sub-01_mod-T1w_defacemask.nii.gz": "",
        "sub-01_mod-T1w_defacemask.json": json.dumps({"Bidsdeface": RECORD}),
        "sub-01_inplaneT2.nii": "",
        "sub-01_inplaneT2.json": json.dumps({"Bidsdeface": {"Measures": {}}}),
        "sub-01_T2w.json": json.dumps({"EchoTime": 0.1}),
    }.items():
        for root in (raw, out):
            (root / "sub-01/anat").mkdir(parents=True, exist_ok=True)
            (root / "sub-01/anat" / name).write_text(text)
    (case,) = published_cases(raw, out, output_layout="bids")
    assert case.original == raw / "sub-01/anat/sub-01_T1w.nii"
    assert case.defaced == out / "sub-01/anat/sub-01_T1w.nii"
    assert case.mask == out / "sub-01/anat/sub-01_mod-T1w_defacemask.nii.gz"


def test_those_who_were_asked_for_are_under_attack_and_may_be_known_from_any_other_scan(tmp_path):
    raw, out = make(tmp_path, "sub-01_ses-a_T1w", "sub-01_ses-b_T1w", "sub-02_ses-a_T1w")
    (case,) = published_cases(raw, out, participants=("01",), sessions=("a",))
    assert case.original.name == "sub-01_ses-a_T1w.nii.gz"
    assert case.other == raw / "sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz"
    with pytest.raises(UsageError, match="no defaced scan of sub-03, sub-04 here"):
        published_cases(raw, out, participants=["01", "03", "04"])
    with pytest.raises(UsageError, match="no defaced scan of ses-c here"):
        published_cases(raw, out, sessions=["c"])
