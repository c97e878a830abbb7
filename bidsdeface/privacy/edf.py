"""Clean the header and the annotations of EDF and BDF files, with edfio; the samples stay as they are."""

import re
from pathlib import Path

from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.looks import looks_like
from bidsdeface.privacy.policy import passes

# Codes of events: S 12, R1, stim/3.
_CODE = re.compile(r"[A-Za-z]{0,5}[ _/-]?\d{1,4}")
NOT_TOLD = "n/a"


def scrub_edf(source: Path, target: Path) -> None:
    """Write a copy that names nobody.

    Patient, recording, start date and time go; annotations keep their times, and their text where it is
    a code or technical words; labels and transducers must be such as well.

    Parameters
    ----------
    source, target : pathlib.Path
        ``.edf`` or ``.bdf``.

    Raises
    ------
    BidsdefaceError
        edfio is missing, or cannot read the file.
    """
    try:
        import edfio
    except ImportError as error:
        raise BidsdefaceError(f"{source}: cleaning its header needs edfio; pip install edfio") from error
    read = edfio.read_bdf if source.suffix.lower() == ".bdf" else edfio.read_edf
    try:
        recording = read(source)
        recording.anonymize()
        for signal in recording.signals:
            for field in ("label", "transducer_type", "prefiltering"):
                if not _is_harmless(getattr(signal, field), is_label=field == "label"):
                    setattr(signal, field, "")
        recording.set_annotations(
            [
                edfio.EdfAnnotation(
                    one.onset, one.duration, one.text if _is_harmless(one.text, is_label=False) else NOT_TOLD
                )
                for one in recording.annotations
            ]
        )
        recording.write(target)
    except (ValueError, OSError, KeyError, IndexError) as error:
        raise BidsdefaceError(
            f"{source}: is not an EDF file that can be cleaned ({type(error).__name__})"
        ) from error


def _is_harmless(text: str, *, is_label: bool) -> bool:
    if not text or _CODE.fullmatch(text) or passes("", text, "words"):
        return True
    # Electrodes: EEG Fp1-Ref, C3:A2; short words, nothing that stands out.
    return (
        is_label and len(text) <= 16 and not looks_like(text) and " " not in text.removeprefix("EEG ").strip()
    )
