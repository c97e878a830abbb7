"""Clean the header and the annotations of EDF and BDF files; everything else stays, byte for byte."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO

from bidsdeface.deidentify.contents import decoded
from bidsdeface.deidentify.patterns import find_pii, is_date_number
from bidsdeface.deidentify.values import NOT_AVAILABLE, is_known
from bidsdeface.errors import BidsdefaceError, raise_first, read_errors

# Electrodes of the 10-20, 10-10 and 10-5 systems, contacts (LA12, A'3), references and other sensors.
_ELECTRODE = (
    r"(?:(?:AFp|AF|Fp|F|FC|C|CP|P|PO|O|I|N)z|[A-Z]{1,4}'?\d{1,3}[h']?|[AM]|A1A2|M1M2|[LR]E|[LR]OC|CMS|DRL|V?REF"
    r"|AVG?|CAR|COM|GND|GROUND|(?:[HV]?EOG|EMG)[LR]?|EEG|ECG|EKG)"
)
_LABEL = re.compile(
    r"(?:(?:EEG|EOG|ECG|EKG|EMG|ECoG|iEEG|SEEG|MEG|POL|DC|RESP|SaO2|SpO2|Temp|TRIG|BIO)[ -]?)?"
    rf"(?:\d{{1,3}}|{_ELECTRODE}(?:[-:+/]{_ELECTRODE}){{0,4}})"
    r"|(?:EOG|EMG|ECG|RESP) (?:left|right|chest|abdomen|chin|leg)",
    re.IGNORECASE,
)
# The fields of the header in the order of EDF, with their sizes in bytes; then those of each signal.
_FIELDS = {
    "version": 8, "patient": 80, "recording": 80, "start date": 8, "start time": 8, "header bytes": 8,
    "format": 44, "records": 8, "duration": 8, "signals": 4,
}  # fmt: skip
_SIGNAL_FIELDS = {
    "label": 16, "transducer": 80, "unit": 8, "physical minimum": 8, "physical maximum": 8,
    "digital minimum": 8, "digital maximum": 8, "prefiltering": 80, "samples": 8, "reserved": 32,
}  # fmt: skip
_VERSIONS = {"0": 2, "\xffBIOSEMI": 3}  # with the bytes of a sample
# The reserved field of a header, if it is not empty.
FORMAT = re.compile(r"(EDF\+[CD]|BDF\+[CD]|24BIT)?")
_UNSIGNED = r"(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?"
_DECIMAL = rf"[+-]?{_UNSIGNED}"
_WHOLE = r"\d+(?:[.,]0*)?"
_COUNT = rf"\+?{_WHOLE}"
_NUMBERS = {
    "header bytes": _COUNT, "records": rf"[+-]?{_WHOLE}", "signals": _COUNT, "samples": _COUNT,
    "duration": _DECIMAL, "physical minimum": _DECIMAL, "physical maximum": _DECIMAL,
    "digital minimum": _DECIMAL, "digital maximum": _DECIMAL,
}  # fmt: skip
ANONYMOUS = {
    "patient": "X X X X", "recording": "Startdate X X X X", "start date": "01.01.85",
    "start time": "00.00.00",
}  # fmt: skip
# The lists in values.tsv with the usual values of a field.
_LISTS = {"transducer": "transducer,electrode", "prefiltering": "transducer,electrode", "unit": "unit"}
_ANNOTATION_LABELS = ("EDF Annotations", "BDF Annotations")
_LIKE_ANNOTATIONS = re.compile(r"([EB]DF[\W_]*)?Annotation", re.IGNORECASE)
# The onset of an annotation, which has a sign, and its duration. Against EDF+, some programs write blanks, a
# comma, or an exponent.
ANNOTATION_TIME = rf"(?P<onset>[+-] *{_UNSIGNED}) *(?:\x15 *(?P<duration>[+-]? *{_UNSIGNED})? *)?".encode()
# A time where an annotation begins (the end of the file may cut it off), or a text.
_PART = re.compile(rb"(?<![^\0]) *" + ANNOTATION_TIME + rb"(?=\x14|\Z)|(?P<text>[^\x14\0]+)")
# Codes of events: 7, S 12, R128, DIN1, trial 1024; but no years, and no initials with a number.
_CODE = re.compile(
    r"[bcdekmnorst]?[ _/-]{0,3}\d{1,3}"
    r"|(?:din?|ttl|stim|resp|trig(?:ger)?|event|code|cue|block|run|trial|marker|key|button|seizure)"
    r"[ _/:#-]{0,3}(?!(?:19|20)\d\d)\d{1,4}",
    re.IGNORECASE,
)
AFTER_RECORDS = "bytes after the last record"
Header = Mapping[str, str]
Signals = Mapping[str, list[str]]


def scrub_edf(
    source: Path,
    target: Path,
    is_shared: Callable[[str], bool] = lambda text: False,
    identifies: Callable[[str], bool] = lambda text: False,
) -> tuple[str, ...]:
    """Write a copy of a file in which texts that may identify a person are overwritten.

    Patient, recording, start date and time are replaced. Annotations keep their times; a text stays if it is
    a code, a usual text or shared by several participants, else it becomes ``n/a``, cut to its length. Labels
    stay likewise, or are emptied; units, filters and transducers stay if they are usual ones. Samples,
    signals and the number of records stay as they are; so does a last record that is cut off.

    Parameters
    ----------
    source, target : pathlib.Path
        ``.edf`` or ``.bdf``; with the null device as its target, this is a preview that copies nothing.
    is_shared : callable, optional
        Returns True if several participants share a text.
    identifies : callable, optional
        Returns True if a text holds an identifier of this dataset, and never stays.

    Returns
    -------
    tuple of str
        Where texts were removed: ``annotations``, ``labels``, ``transducers, filters and units``; and ``bytes
        after the last record`` if there were any, which are not copied.

    Raises
    ------
    BidsdefaceError
        The file cannot be read, or its header is not as in EDF.
    OSError
        The copy cannot be written.
    """

    @lru_cache(maxsize=10_000)
    def stays(text: str, is_usual: Callable[[str], bool]) -> bool:
        return (is_usual(text) or is_shared(text)) and not (identifies(text) or find_pii(text))

    remedy = "correct it, or leave it out"
    try:
        with read_errors(source, remedy), source.open("rb") as file:
            header, signals = _read_checked(file)
    except ValueError as error:
        raise BidsdefaceError(f"{source}: {error}; {remedy}") from error
    emptied = set()
    is_preview = target.exists() and not target.is_file()  # it writes to the null device
    if not is_preview:
        shutil.copyfile(source, target)
    with source.open("rb") as file, target.open("r+b") as copy:
        records = find_records(file, header, signals)
        for at, content, what in _changes(file, header, signals, stays):
            copy.seek(at)
            copy.write(content)
            emptied.add(what)
        if records.stop < file.seek(0, os.SEEK_END):
            emptied.add(AFTER_RECORDS)
            if not is_preview:
                copy.truncate(records.stop)
    return tuple(sorted(emptied - {""}))


def texts_in_edf(path: Path) -> set[str]:
    """Return the labels of signals and the texts of annotations; samples are not read.

    Raises
    ------
    OSError, ValueError
        The file cannot be read, or is not an EDF or BDF file.
    """
    with path.open("rb") as file:
        header, signals = _read_checked(file)
        return {*signals["label"], *(text for text, _ in read_annotations(file, header, signals) if text)}


def read_header(stream: IO[bytes]) -> Header:
    """Return the fields in the first 256 bytes of an EDF or BDF file, by name, without any check."""
    return {name: _text(stream.read(size)) for name, size in _FIELDS.items()}


def read_signals(stream: IO[bytes], header: Header) -> Signals:
    """Return the header fields of the signals, which follow the first 256 bytes, by name.

    Raises
    ------
    ValueError
        The header has no number of signals.
    """
    if not re.fullmatch(_COUNT, header["signals"]):
        raise ValueError("has no number of signals")
    return {
        name: [_text(stream.read(size)) for _ in range(_count(header["signals"]))]
        for name, size in _SIGNAL_FIELDS.items()
    }


def find_records(file: IO[bytes], header: Header, signals: Signals) -> range:
    """Return the offsets of the records; bytes after the end of the range belong to no record.

    The header says how many records there are. If it does not (-1), or says more than there are, the whole
    file counts: it was cut off, or its writer never finished it.
    """
    begin, size, step = _header_bytes(signals), file.seek(0, os.SEEK_END), sum(_signal_bytes(header, signals))
    count = _count(header["records"])
    has_all_records = not step or 0 <= count <= (size - begin) // step
    return range(begin, begin + count * step if has_all_records else size, step or 1)


def read_annotations(file: IO[bytes], header: Header, signals: Signals) -> Iterator[tuple[str, list[float]]]:
    """Yield the texts of annotations with no times, and their onsets and durations with an empty text."""
    yield from (
        (_text(match["text"] or b""), _times(match))
        for _, block in _annotations(file, header, signals)
        for match in _PART.finditer(block)
    )


def has_numbers(header: Header, signals: Signals) -> bool:
    """Return True if all numeric fields of a header are numbers, and none reads as a date."""
    return all(
        re.fullmatch(pattern, value) and not is_date_number(_number(value))
        for name, pattern in _NUMBERS.items()
        for value in signals.get(name, [header.get(name, "")])
    )


def is_harmless_label(text: str) -> bool:
    """Return True if the label of a signal is one of electrodes and other sensors.

    Examples
    --------
    >>> [is_harmless_label(text) for text in ("EEG Fp1-Ref", "LA12", "Jane", "Anna-Koch")]
    [True, True, False, False]
    """
    return any(form.fullmatch(text) for form in (_LABEL, _CODE)) or is_known(text, "channel")


def is_harmless_annotation(text: str) -> bool:
    """Return True if an annotation is a code, or one of the usual texts.

    Examples
    --------
    >>> [is_harmless_annotation(text) for text in ("Sleep stage N2", "S 12", "Jane moves", "1978")]
    [True, True, False, False]
    """
    return _CODE.fullmatch(text) is not None or is_known(text, "annotation")


def _text(field: bytes) -> str:
    return decoded(field.replace(b"\0", b" ")).strip()


def _number(text: str) -> float:
    return float(text.replace(" ", "").replace(",", "."))


def _count(text: str) -> int:
    return int(_number(text))


def _times(match: re.Match[bytes]) -> list[float]:
    return [_number(match[name].decode()) for name in ("onset", "duration") if match[name]]


def _read_checked(file: IO[bytes]) -> tuple[Header, Signals]:
    header = read_header(file)
    signals = read_signals(file, header)
    size, is_numeric = _header_bytes(signals), has_numbers(header, signals)
    raise_first(
        {
            "is not an EDF or BDF file": header["version"] not in _VERSIONS,
            "has text or a date where a number belongs": not is_numeric,
            "has a header that is not as long as it states": (
                is_numeric and _count(header["header bytes"]) != size
            ),
            "ends within its header": file.tell() < size,
        },
        ValueError,
    )
    return header, signals


def _header_bytes(signals: Signals) -> int:
    return sum(_FIELDS.values()) + len(signals["label"]) * sum(_SIGNAL_FIELDS.values())


def _signal_bytes(header: Header, signals: Signals) -> list[int]:
    """Return the number of bytes of each signal in one record."""
    return [_VERSIONS[header["version"]] * _count(samples) for samples in signals["samples"]]


def _annotations(file: IO[bytes], header: Header, signals: Signals) -> Iterator[tuple[int, bytes]]:
    """Yield the offset of the annotations of each record, and their bytes."""
    sizes = _signal_bytes(header, signals)
    places = [
        (sum(sizes[:number]), sizes[number])
        for number, label in enumerate(signals["label"])
        if _LIKE_ANNOTATIONS.match(label)
    ]
    for record in find_records(file, header, signals):
        for place, size in places:
            yield file.seek(record + place), file.read(size)


def _changes(
    file: IO[bytes], header: Header, signals: Signals, stays: Callable[..., bool]
) -> Iterator[tuple[int, bytes, str]]:
    """Yield the offset, the new bytes, and the kind of text that was removed."""

    def cleaned(match: re.Match[bytes]) -> bytes:
        onset, *duration = _times(match) or [0]
        text = match["text"]
        if is_date_number(onset) or (text and not stays(_text(text), is_harmless_annotation)):
            return NOT_AVAILABLE.encode()[: len(match[0])]
        return match[0].partition(b"\x15")[0] if any(map(is_date_number, duration)) else match[0]

    at, clean = 0, {**ANONYMOUS, "format": FORMAT.findall(header["format"])[0], "reserved": ""}
    fields = [
        *((name, size, header[name]) for name, size in _FIELDS.items()),
        *((name, size, value) for name, size in _SIGNAL_FIELDS.items() for value in signals[name]),
    ]
    for name, size, value in fields:
        if name in clean:
            yield at, clean[name].encode().ljust(size), ""
        elif name in _LISTS and not is_known(value, _LISTS[name]):
            yield at, b" " * size, "transducers, filters and units"
        elif name == "label" and value not in _ANNOTATION_LABELS and not stays(value, is_harmless_label):
            yield at, b" " * size, "labels"
        at += size
    for at, block in _annotations(file, header, signals):
        if (new := _PART.sub(cleaned, block)) != block:
            yield at, new.ljust(len(block), b"\0"), "annotations"
