"""Clean the header and the annotations of EDF and BDF files, with edfio; the samples stay as they are."""

import re
from pathlib import Path

from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.values import NOT_SAID, is_known

# Electrodes and the like: Fp1, C3-A2, EEG Cz-Ref, SaO2, EOG left: a known kind, and names of electrodes.
_ELECTRODE = r"[A-Za-z]{1,4}\d{0,3}['z]?"
_LABEL = re.compile(
    r"(?:(?:EEG|EOG|ECG|EKG|EMG|ECoG|SEEG|MEG|DC|RESP|SaO2|SpO2|Temp|TRIG|BIO)[ -]?)?"
    rf"{_ELECTRODE}(?:[-:+/]{_ELECTRODE}){{0,4}}|(?:EOG|EMG|ECG|RESP) (?:left|right|chest|abdomen|chin|leg)",
    re.IGNORECASE,
)
# What the reserved fields say of the format; where they are, by the definition of EDF.
_FORMAT = re.compile(rb"(EDF\+[CD]|BDF\+[CD]|24BIT)?")
_RESERVED_AT, _RESERVED_BYTES, _SIGNALS_AT, _HEADER_BYTES = 192, 44, 252, 256
_SIGNAL_BYTES, _SIGNAL_RESERVED_BYTES = 256, 32
# Codes of events: S 12, R1, stim/3.
_CODE = re.compile(
    r"(?!.*[a-z].*(?:19|20)\d\d)(?:[a-z]{1,2}|din|ttl|stim|resp|trig|event|code|cue|block|trial)?"
    r"[ _/-]{0,3}\d{1,4}",
    re.IGNORECASE,
)


def scrub_edf(source: Path, target: Path) -> None:
    """Write a copy that names nobody.

    Patient, recording, start date and time go; annotations keep their times, and their text where it is
    a code or a usual one; labels, units and transducers must be usual ones as well.

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
                if not is_known(getattr(signal, field), "transducer,electrode"):
                    setattr(signal, field, "")
            if not is_known(signal.physical_dimension, "unit"):
                signal.physical_dimension = ""
        recording.set_annotations(
            [
                edfio.EdfAnnotation(
                    one.onset, one.duration, one.text if is_harmless_annotation(one.text) else NOT_SAID
                )
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
    """Return True if the label of a signal is such as electrodes and other sensors have."""
    is_label = _LABEL.fullmatch(text) is not None
    return is_label or _CODE.fullmatch(text) is not None or is_known(text, "channel")


def is_harmless_annotation(text: str) -> bool:
    """Return True if an annotation is a code, or one of the usual texts.

    Examples
    --------
    >>> [is_harmless_annotation(text) for text in ("Sleep stage N2", "S 12", "Jane moves")]
    [True, True, False]
    """
    return _CODE.fullmatch(text) is not None or is_known(text, "annotation")


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
