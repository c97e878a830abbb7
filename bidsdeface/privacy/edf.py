"""Clean the header and the annotations of EDF and BDF files, with edfio; the samples stay as they are."""

import re
from collections.abc import Callable, Iterator
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
_HEADER_SIZE_AT, _RECORDS_AT, _LABEL_BYTES, _COUNTS_AT = 184, 236, 16, 216  # the last one: per signal
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
        head = file.read(_HEADER_BYTES)
        begin, signals = int(head[_HEADER_SIZE_AT:_RESERVED_AT]), int(head[_SIGNALS_AT:])
        fields = file.read(signals * _SIGNAL_BYTES)
        starts = range(0, signals * _LABEL_BYTES, _LABEL_BYTES)
        labels = [fields[at : at + _LABEL_BYTES].decode("latin-1").strip() for at in starts]
        at = signals * _COUNTS_AT
        counts = [int(fields[at + 8 * number : at + 8 * number + 8]) for number in range(signals)]
        width = 3 if path.suffix.lower() == ".bdf" else 2
        texts = set(labels)
        for record in range(int(head[_RECORDS_AT : _RECORDS_AT + 8])):
            for number, label in enumerate(labels):
                if label in _ANNOTATION_LABELS:
                    file.seek(begin + width * (record * sum(counts) + sum(counts[:number])))
                    texts |= set(_annotations(file.read(width * counts[number])))
    return texts


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
        file.seek(_RESERVED_AT)
        said = _FORMAT.match(file.read(_RESERVED_BYTES))
        file.seek(_RESERVED_AT)
        file.write((said[0] if said else b"").ljust(_RESERVED_BYTES))
        file.seek(_SIGNALS_AT)
        signals = int(file.read(_HEADER_BYTES - _SIGNALS_AT))
        file.seek(_HEADER_BYTES + signals * (_SIGNAL_BYTES - _SIGNAL_RESERVED_BYTES))
        file.write(b" " * (signals * _SIGNAL_RESERVED_BYTES))
