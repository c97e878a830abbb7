"""A full synthetic dataset with whatever the caller wants to hide in it: two participants, two sessions."""

# ruff: noqa: E501 — tables of data, one file a line

import gzip
import io
import json
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.conftest import fake_head

PHYSICS = {"MagneticFieldStrength": 3, "Manufacturer": "Siemens", "EchoTime": 0.003, "FlipAngle": 9}


def packed(content: bytes, name: str = "", mtime: int = 0, comment: bytes = b"") -> bytes:
    """Pack bytes with what a gzip header can tell."""
    stream = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=stream, mtime=mtime) as file:
        file.write(content)
    done = bytearray(stream.getvalue())
    if comment:
        end = 10 + (len(name) + 1 if name else 0)
        done[3] |= 16
        done[end:end] = comment + b"\0"
    return bytes(done)


def image(shape=(12, 14, 10), fields=None, extension=b"", seed=0, mm=6.0) -> bytes:
    """Return a NIfTI file of noise with header fields and an extension; at 16 mm it might hold a head."""
    stored = np.random.default_rng(seed).integers(0, 900, shape, np.int16)
    made = nib.Nifti1Image(stored, fake_head((12, 14, 10), (mm,) * 3).affine)
    made.header.set_xyzt_units("mm", "sec")
    if len(shape) > 3:
        made.header.set_zooms((mm, mm, mm, 2.0))
    for field, value in (fields or {}).items():
        made.header[field] = value
    if extension:
        made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", extension))
    return made.to_bytes()


def edf(
    patient=b"X X X X", recording=b"Startdate X X X X", day=b"01.01.85", annotation=b"stim 1", kind=b"AgAgCl"
) -> bytes:
    """Return a small EDF+ file: one channel, one second, one annotation."""
    head = b"0".ljust(8) + patient.ljust(80) + recording.ljust(80) + day + b"00.00.00" + b"768".ljust(8)
    head += b"EDF+C".ljust(44) + b"1".ljust(8) + b"1".ljust(8) + b"2".ljust(4)
    pairs = (
        (16, b"EEG Cz", b"EDF Annotations"), (80, kind, b""), (8, b"uV", b""), (8, b"-100", b"-1"),
        (8, b"100", b"1"), (8, b"-32768", b"-32768"), (8, b"32767", b"32767"), (80, b"HP:0.1Hz", b""),
        (8, b"64", b"60"), (32, b"", b""),
    )  # fmt: skip
    head += b"".join(one.ljust(width) + other.ljust(width) for width, one, other in pairs)
    samples = np.arange(-32, 32, dtype="<i2").tobytes()
    return head + samples + (b"+0\x14\x14\0+0.5\x14" + annotation + b"\x14\0").ljust(120, b"\0")


def full_dataset(root: Path, extra: dict[str, bytes | str | dict] | None = None) -> Path:
    """Write a valid dataset of two participants in two sessions; `extra` adds files and overrides them."""
    files: dict[str, bytes | str | dict] = {
        "dataset_description.json": {"Name": "A full dataset", "BIDSVersion": "1.10.0", "License": "CC0", "Authors": ["A. Author"]},
        "README": "A synthetic dataset.\n",
        "CHANGES": "1.0.0 2020-01-01\n  - First version.\n",
        "participants.tsv": "participant_id\tage\tsex\tgroup\nsub-01\t34\tF\tpatient\nsub-02\t61\tM\tcontrol\n",
        "participants.json": {"group": {"Description": "by diagnosis", "Levels": {"patient": "a", "control": "b"}}},
        "task-rest_bold.json": {"TaskName": "rest", "RepetitionTime": 2.0},
        "task-rest_events.json": {"trial_type": {"Description": "what was shown", "Levels": {"go": "press"}}},
    }  # fmt: skip
    for subject in ("01", "02"):
        sub = f"sub-{subject}"
        sessions = [f"{sub}/ses-{session}/" for session in "ab"]
        files[f"{sub}/{sub}_sessions.tsv"] = (
            "session_id\tacq_time\tmood\nses-a\t2018-06-04T09:00:00\t3\nses-b\t2018-07-04T09:00:00\t4\n"
        )
        files[f"{sub}/{sub}_sessions.json"] = {"mood": {"Description": "1 to 5"}}
        for folder in sessions:
            stem = f"{sub}_{folder.split('/')[1]}"
            scans = [
                f"anat/{stem}_T1w.nii.gz",
                f"func/{stem}_task-rest_bold.nii.gz",
                f"dwi/{stem}_dwi.nii.gz",
                f"fmap/{stem}_magnitude1.nii.gz",
                f"fmap/{stem}_phasediff.nii.gz",
                f"fmap/{stem}_dir-AP_epi.nii.gz",
            ]
            rows = "".join(f"{scan}\t2018-06-04T09:0{n}:00\n" for n, scan in enumerate(scans))
            bold = f"{folder.split('/')[1]}/func/{stem}_task-rest_bold.nii.gz"
            t1w = f"{folder.split('/')[1]}/anat/{stem}_T1w.nii.gz"
            files |= {
                folder + f"{stem}_scans.tsv": "filename\tacq_time\n" + rows,
                folder + scans[0]: packed(image(seed=1)),
                folder + scans[0].replace(".nii.gz", ".json"): dict(PHYSICS),
                folder + scans[1]: packed(image((12, 14, 10, 4), seed=2, mm=16.0)),
                folder + scans[1].replace(".nii.gz", ".json"): {**PHYSICS, "B0FieldSource": "pepolar_fmap0"},
                folder + scans[1].replace("bold.nii.gz", "events.tsv"): "onset\tduration\ttrial_type\n1.0\t2.0\tgo\n",
                folder + scans[1].replace("bold.nii.gz", "physio.tsv.gz"): packed(b"0.1\t7\n0.2\tn/a\n"),
                folder + scans[1].replace("bold.nii.gz", "physio.json"): {
                    "SamplingFrequency": 50, "StartTime": -1.5, "Columns": ["cardiac", "trigger"],
                },
                folder + scans[2]: packed(image((12, 14, 10, 2), seed=3, mm=16.0)),
                folder + scans[2].replace(".nii.gz", ".json"): {**PHYSICS, "PhaseEncodingDirection": "j"},
                folder + scans[2].replace(".nii.gz", ".bval"): "0 1000\n",
                folder + scans[2].replace(".nii.gz", ".bvec"): "0 1\n0 0\n0 0\n",
                folder + scans[3]: packed(image(seed=4)),
                folder + scans[3].replace(".nii.gz", ".json"): {"EchoTime": 0.004},
                folder + scans[4]: packed(image(seed=5)),
                folder + scans[4].replace(".nii.gz", ".json"): {
                    "EchoTime1": 0.004, "EchoTime2": 0.006, "IntendedFor": [bold, t1w],
                },
                folder + scans[5]: packed(image(seed=6, mm=16.0)),
                folder + scans[5].replace(".nii.gz", ".json"): {
                    "PhaseEncodingDirection": "j-", "TotalReadoutTime": 0.05,
                    "IntendedFor": f"bids::{sub}/{bold}", "B0FieldIdentifier": "pepolar_fmap0",
                },
                folder + f"eeg/{stem}_task-rest_eeg.edf": edf(),
                folder + f"eeg/{stem}_task-rest_eeg.json": {
                    "TaskName": "rest", "EEGReference": "Cz", "SamplingFrequency": 64, "PowerLineFrequency": 50,
                    "SoftwareFilters": "n/a",
                },
            }  # fmt: skip
    for name, content in {**files, **(extra or {})}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            content = json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def publish_faceless(root: Path, output: Path) -> None:
    """Put the functional, diffusion and field-map EPI of a dataset in its output, as the engine does."""
    for kind in ("bold", "dwi", "epi"):
        for source in root.rglob(f"sub-*_{kind}.nii.gz"):
            target = output / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            record = {"Bidsdeface": {"Verdict": "no-face", "Measures": {}}}
            target.with_name(target.name.replace(".nii.gz", ".json")).write_text(json.dumps(record))
