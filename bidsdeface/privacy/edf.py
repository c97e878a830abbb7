"""Clean the header and the annotations of EDF and BDF files, with edfio; the samples stay as they are."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.values import NOT_SAID, is_known

# Electrodes and the like: Fp1, C3-A2, EEG Cz-Ref, SaO2, EOG left: a known kind, and names of electrodes.
_ELECTRODE = r"[A-Za-z]{1,4}\d{0,3}['z]?"
_LABEL = re.compile(
    r"(?:(?:EEG|EOG|ECG|EKG|EMG|ECoG|SEEG|MEG|DC|RESP|SaO2|SpO2|Temp|TRIG|BIO)[ -]?)?"
    rf"{_ELECTRODE}(?:[-:+/]{_ELECTRODE}){{0,4}}|(?:EOG|EMG|ECG|RESP) (?:left|right|chest|abdomen|chin|leg)",
    re.IGNORECASE,
)
# What the reserved field says of the format.
_FORMAT = re.compile(r"(EDF\+[CD]|BDF\+[CD]|24BIT)?")
# The fields of the header, by the definition of EDF, with their sizes in bytes; then those of each signal.
_FIELDS = {
    "version": 8, "patient": 80, "recording": 80, "start date": 8, "start time": 8, "header bytes": 8,
    "reserved": 44, "records": 8, "duration": 8, "signals": 4,
}  # fmt: skip
_SIGNAL_FIELDS = {
    "label": 16, "transducer": 80, "unit": 8, "physical minimum": 8, "physical maximum": 8,
    "digital minimum": 8, "digital maximum": 8, "prefiltering": 80, "samples": 8, "reserved": 32,
}  # fmt: skip
_RESERVED_AT, _HEADER_BYTES, _SIGNAL_BYTES = 192, 256, 256
_ANNOTATION_LABELS = ("EDF Annotations", "BDF Annotations")
# Codes of events: S 12, R1, stim/3.
_CODE = re.compile(
    r"(?!.*[a-z].*(?:19|20)\d\d)(?:[a-z]{1,2}|din|ttl|stim|resp|trig|event|code|cue|block|trial)?"
    r"[ _/-]{0,3}\d{1,4}",
    re.IGNORECASE,
)


def scrub_edf(
    source: Path, target: Path, is_shared: Callable[[str], bool] = lambda text: False
) -> tuple[str, ...]:
    """Write a copy that names nobody.

    Patient, recording, start date and time go; annotations keep their times, and their text where it is
    a code, a usual one, or one that several participants share; so do labels. Units and transducers must be
    usual ones as well.

    Parameters
    ----------
    source, target : pathlib.Path
        ``.edf`` or ``.bdf``.
    is_shared : callable, optional
        Returns True if several participants share a text, and nobody can be told by it.

    Returns
    -------
    tuple of str
        What has lost some of its texts: ``annotations``, ``labels``, or ``transducers, filters and units``.

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
        emptied = set()
        for signal in recording.signals:
            if not (is_harmless_label(signal.label) or is_shared(signal.label)):
                signal.label = ""
                emptied.add("labels")
            for field in ("transducer_type", "prefiltering", "physical_dimension"):
                lists = "unit" if field == "physical_dimension" else "transducer,electrode"
                if not is_known(getattr(signal, field), lists):
                    setattr(signal, field, "")
                    emptied.add("transducers, filters and units")
        texts = {one.text for one in recording.annotations}
        kept = {text for text in texts if is_harmless_annotation(text) or is_shared(text)}
        emptied |= {"annotations"} if kept < texts else set()
        recording.set_annotations(
            [
                edfio.EdfAnnotation(one.onset, one.duration, one.text if one.text in kept else NOT_SAID)
                for one in recording.annotations
            ]
        )
        recording.write(target)
        _empty_reserved(target)
        return tuple(sorted(emptied))
    except (ValueError, OSError, KeyError, IndexError) as error:
        raise BidsdefaceError(
            f"{source}: is not an EDF file that can be cleaned ({type(error).__name__})"
        ) from error


def texts_in_edf(path: Path) -> set[str]:
    """Return the labels of signals and the texts of annotations; samples are not read.

    Raises
    ------
    OSError, ValueError
        The file cannot be read, or is no EDF or BDF file.
    """
    with path.open("rb") as file:
        header, signals = read_header(file)
        labels, counts = signals["label"], [int(count) for count in signals["samples"]]
        width = 3 if path.suffix.lower() == ".bdf" else 2
        texts = set(labels)
        for record in range(int(header["records"])):
            for number, label in enumerate(labels):
                if label in _ANNOTATION_LABELS:
                    before = record * sum(counts) + sum(counts[:number])
                    file.seek(int(header["header bytes"]) + width * before)
                    texts |= set(_annotations(file.read(width * counts[number])))
    return texts


def read_header(stream: IO[bytes]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the fields of the header of an EDF or BDF file, and those of its signals, by their names.

    Raises
    ------
    ValueError
        It has no number of signals.
    """
    header = {name: _text(stream.read(size)) for name, size in _FIELDS.items()}
    each = range(int(header["signals"]))
    return header, {name: [_text(stream.read(size)) for _ in each] for name, size in _SIGNAL_FIELDS.items()}


def names_format(reserved: str) -> bool:
    """Return True if the reserved field of a header says of the format what it may say, and no more."""
    return _FORMAT.fullmatch(reserved) is not None


def _text(field: bytes) -> str:
    return field.decode("latin-1").strip()


def _annotations(content: bytes) -> Iterator[str]:
    """Yield the texts of annotations: after each time, texts between bytes 20."""
    for one in content.split(b"\0"):
        for text in one.split(b"\x14")[1:]:
            if text:
                yield text.decode("utf-8", "replace")


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
        header, signals = read_header(file)
        file.seek(_RESERVED_AT)
        said = _FORMAT.match(header["reserved"])
        file.write((said[0] if said else "").encode().ljust(_FIELDS["reserved"]))
        size = len(signals["label"]) * _SIGNAL_FIELDS["reserved"]
        file.seek(_HEADER_BYTES + len(signals["label"]) * _SIGNAL_BYTES - size)
        file.write(b" " * size)
