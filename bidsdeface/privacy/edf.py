"""Clean the header and the annotations of EDF and BDF files, with edfio; the samples stay as they are."""

import re
from pathlib import Path

from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.policy import load_policy, passes

# Electrodes and the like: Fp1, C3-A2, EEG Cz-Ref, SaO2, EOG left: a known kind, and names of electrodes.
_ELECTRODE = r"[A-Za-z]{1,4}\d{0,3}['z]?"
_LABEL = re.compile(
    r"(?:(?:EEG|EOG|ECG|EKG|EMG|ECoG|SEEG|MEG|DC|RESP|SaO2|SpO2|Temp|TRIG|BIO)[ -]?)?"
    rf"{_ELECTRODE}(?:[-:+/]{_ELECTRODE}){{0,4}}|(?:EOG|EMG|ECG|RESP) (?:left|right|chest|abdomen|chin|leg)",
    re.IGNORECASE,
)
_FORMAT_LABELS = ("EDF Annotations", "BDF Annotations")
# What the reserved fields say of the format; where they are, by the definition of EDF.
_FORMAT = re.compile(rb"(EDF\+[CD]|BDF\+[CD]|24BIT)?")
_RESERVED_AT, _RESERVED_BYTES, _SIGNALS_AT, _HEADER_BYTES = 192, 44, 252, 256
_SIGNAL_BYTES, _SIGNAL_RESERVED_BYTES = 256, 32
# Codes of events: S 12, R1, stim/3.
_CODE = re.compile(r"(?!.*[A-Za-z].*(?:19|20)\d\d)[A-Za-z]{0,5}[ _/-]?\d{1,4}")
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
            signal.label = signal.label if is_harmless_label(signal.label) else ""
            for field in ("transducer_type", "prefiltering"):
                if not _is_harmless(getattr(signal, field)):
                    setattr(signal, field, "")
            if not passes("Units", signal.physical_dimension, load_policy()["Units"].kind):
                signal.physical_dimension = ""
        recording.set_annotations(
            [
                edfio.EdfAnnotation(one.onset, one.duration, one.text if _is_harmless(one.text) else NOT_TOLD)
                for one in recording.annotations
            ]
        )
        recording.write(target)
        _empty_reserved(target)
    except (ValueError, OSError, KeyError, IndexError) as error:
        raise BidsdefaceError(
            f"{source}: is not an EDF file that can be cleaned ({type(error).__name__})"
        ) from error


def is_harmless_label(text: str) -> bool:
    """Tell whether the label of a signal is such as electrodes have."""
    is_label = _LABEL.fullmatch(text) is not None
    return _is_harmless(text) or is_label or text in _FORMAT_LABELS


def _is_harmless(text: str) -> bool:
    return not text or _CODE.fullmatch(text) is not None or passes("", text, "words")


def _empty_reserved(path: Path) -> None:
    """Empty the fields that are to be empty, and that edfio passes on as they are."""
    with path.open("r+b") as file:
        file.seek(_RESERVED_AT)
        said = _FORMAT.match(file.read(_RESERVED_BYTES))
        file.seek(_RESERVED_AT)
        file.write((said[0] if said else b"").ljust(_RESERVED_BYTES))
        file.seek(_SIGNALS_AT)
        signals = int(file.read(_HEADER_BYTES - _SIGNALS_AT))
        file.seek(_HEADER_BYTES + signals * (_SIGNAL_BYTES - _SIGNAL_RESERVED_BYTES))
        file.write(b" " * (signals * _SIGNAL_RESERVED_BYTES))
