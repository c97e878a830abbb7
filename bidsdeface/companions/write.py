"""Write the selected files of a dataset into a private folder, each as its kind asks.

Every file is written anew: nothing shares its bytes with the input, through no link of any kind. Nothing here
defaces: defaced images, and the fields that say how they were defaced, come from the caller.
"""

import gzip
import os
import shutil
import zlib
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.companions.review import why_text_waits
from bidsdeface.companions.select import WITHOUT_DATA, FileKind, Selected, companions_alone
from bidsdeface.companions.source import Source
from bidsdeface.companions.write_metadata import (
    NotShareable,
    Parts,
    check_metadata,
    write_sidecar,
    write_table,
)
from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.inheritance import applicable, read_json
from bidsdeface.dataset.names import FileName, parse_name
from bidsdeface.deidentify.contents import LINE_BYTES, open_unpacked, read_lines
from bidsdeface.deidentify.edf import AFTER_RECORDS, scrub_edf
from bidsdeface.deidentify.excluded import Excluded
from bidsdeface.deidentify.tables import GRADIENTS, find_identifying_number
from bidsdeface.errors import BidsdefaceError, describe, may_pass
from bidsdeface.imaging.image import clean_header, read_image, write_image
from bidsdeface.output.names import sidecar_of
from bidsdeface.output.record import to_json

# Tables and sidecars refer to other files, so they are written last: tables before their dictionaries.
_TURN = {FileKind.TABLE: 1, FileKind.SIDECAR: 2}
_NEEDING_METADATA = (FileKind.IMAGE, FileKind.RECORDING, FileKind.EDF)


def write_files(
    source: Source,
    files: Collection[Selected],
    folder: Path | None,
    provenance: Mapping[PurePosixPath, Mapping[str, Any]] | None = None,
) -> "WriteReport":
    """Write files into a folder, under their own names.

    Parameters
    ----------
    source : Source
    files : collection of Selected
        Of one participant, or those above participants; `FileKind.DEFACE` is passed over.
    folder : Path or None
        Private, empty; None to write nothing, and learn what could not be made safe.
    provenance : mapping of PurePosixPath to mapping, optional
        Fields to add to sidecars, by the sidecar's path: those of defaced images.

    Returns
    -------
    WriteReport
        Names the files that could not be made safe, with the reason; nothing of them is in the folder.
    """
    report = WriteReport(source, folder, provenance or {})
    for turn in range(3):
        report.write(
            one
            for one in files
            if one.file_kind is not FileKind.DEFACE and _TURN.get(one.file_kind, 0) == turn
        )
    if folder:
        report.write_own_sidecars(folder)
    return report


@dataclass
class WriteReport:
    """The files that are written, and those that are left out, so far.

    Attributes
    ----------
    source : Source
        Without files that cannot be made safe.
    folder : Path or None
    provenance : mapping of PurePosixPath to mapping
    written : list of PurePosixPath
    left_out : list of Excluded
        Files, and parts of files that were written.
    """

    source: Source
    folder: Path | None
    provenance: Mapping[PurePosixPath, Mapping[str, Any]]
    written: list[PurePosixPath] = field(default_factory=list)
    left_out: list[Excluded] = field(default_factory=list)

    def write(self, files: Iterable[Selected]) -> None:
        """Write files, and take back those that describe files which cannot be made safe."""
        before, named = self.source.present, {one.path for one in self.left_out}
        for one in files:
            if one.path in self.source.present:
                self._write(one)
            elif one.path not in named:
                is_companion = one.file_kind in _TURN or one.path.suffix in GRADIENTS
                why = WITHOUT_DATA if is_companion else "a file that belongs to it is not here"
                self.left_out.append(Excluded(one.path, why))
        if self.source.present != before:
            self._drop_companions(before)

    def _write(self, one: Selected) -> None:
        target = self.folder / one.path if self.folder else Path(os.devnull)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            check_fetched(self.source.root / one.path, self.source.root)
            if one.file_kind in _NEEDING_METADATA:
                check_metadata(self.source, one.path)
            added = self.provenance.get(one.path, {})
            self.left_out += WRITERS[one.file_kind](self.source, one.path, target, added) or ()
            self.written.append(one.path)
        except (BidsdefaceError, OSError, EOFError, ValueError, zlib.error) as error:
            self._remove(one.path)
            self.left_out.append(_why_left_out(one.path, error))
            if one.file_kind is not FileKind.SIDECAR:
                self.source = self.source.without([one.path])

    def _remove(self, path: PurePosixPath) -> None:
        """Take back a file, if it was written."""
        if self.folder:
            (self.folder / path).unlink(missing_ok=True)
        if path in self.written:
            self.written.remove(path)

    def _drop_companions(self, before: Collection[PurePosixPath]) -> None:
        """Take back, or do not write, the files that describe data which could not be made safe."""
        undone = set(self.written) - self.source.present  # gradients that were written before their image
        alone = companions_alone(before, self.source.present) | undone
        for path in alone & set(self.written):
            self._remove(path)
        self.left_out = [one for one in self.left_out if one.path not in alone]
        self.left_out += [Excluded(path, WITHOUT_DATA) for path in sorted(alone)]
        self.source = replace(self.source, present=self.source.present - alone)

    def write_own_sidecars(self, folder: Path) -> None:
        """Merge the sidecars in an image's folder into one of its own: BIDS reads one in a folder.

        A sidecar that applies to no other image is removed.
        """
        written = [name for path in self.written if path.suffix == ".json" and (name := parse_name(path))]
        merged: dict[PurePosixPath, FileName] = {}
        for path, own in self.provenance.items():
            beside = [one for one in written if one.path.parent == path.parent]
            applying = applicable(name, beside) if (name := parse_name(path)) else []
            contents = [  # but for how another image was defaced
                {
                    key: value
                    for key, value in read_json(folder / one.path).items()
                    if key not in self.provenance.get(one.path, ())
                }
                for one in applying
            ]
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(to_json({**ChainMap(*contents[::-1]), **own}), encoding="utf-8")
            merged |= {one.path: one for one in applying if one.path not in self.provenance}
        self.written += self.provenance.keys() - set(self.written)
        images = {sidecar_of(path) for path in self.source.present if path.suffix != ".json"}
        others = [name for path in images - self.provenance.keys() if (name := parse_name(path))]
        for shared in merged.values():
            if not any(
                applicable(other, [shared]) for other in others if other.path.parent == shared.path.parent
            ):
                self._remove(shared.path)
                self.left_out.append(
                    Excluded(shared.path, "what it says stands in the sidecar of each image")
                )


def undescribed_files(source: Source, files: Iterable[Selected]) -> Iterator[Excluded]:
    """Yield the files that nobody can use, as a JSON file that describes them cannot be read."""
    for one in files:
        if one.file_kind in _NEEDING_METADATA:
            try:
                check_metadata(source, one.path)
            except (BidsdefaceError, OSError) as error:
                yield _why_left_out(one.path, error)


def _why_left_out(path: PurePosixPath, error: Exception) -> Excluded:
    if isinstance(error, NotShareable):
        return error.args[0]
    if may_pass(error):
        return Excluded(path, describe(error), retry=True)
    if isinstance(error, BidsdefaceError):
        return Excluded(path, str(error).removeprefix(f"{path}: "))
    return Excluded(path, f"cannot be read ({type(error).__name__})")


def _write_image(source: Source, path: PurePosixPath, target: Path, *_: Any) -> None:
    image = read_image(source.root / path)
    write_image(target, clean_header(image.header), image.stored)
    if read_image(target).stored.tobytes(order="F") != image.stored.tobytes(order="F"):
        raise NotShareable(Excluded(path, "its voxels were not read back as written; check the disk"))


def _write_recording(source: Source, path: PurePosixPath, target: Path, *_: Any) -> None:
    """Copy a table of numbers, packed without name and time."""
    if telling := find_identifying_number(read_lines(source.root / path), gradients=path.suffix in GRADIENTS):
        kind, place = telling
        raise NotShareable(Excluded(path, f"{place}: {kind}; only measurements go along"))
    with open_unpacked(source.root / path) as stream, target.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                shutil.copyfileobj(stream, packed, LINE_BYTES)
        else:
            shutil.copyfileobj(stream, raw, LINE_BYTES)


def _write_text(source: Source, path: PurePosixPath, target: Path, *_: Any) -> None:
    """Copy a text, such as README, byte for byte."""
    content = (source.root / path).read_bytes()
    waits = why_text_waits(content, path, source.identifiers)
    if waits and not source.raw.is_accepted(path.name, content):
        raise NotShareable(waits)
    target.write_bytes(content)


def _write_edf(source: Source, path: PurePosixPath, target: Path, *_: Any) -> Parts:
    emptied = scrub_edf(source.root / path, target, source.raw.census.is_shared, source.identifiers.are_in)
    return [
        Excluded(path, "they belong to no record", what)
        if what == AFTER_RECORDS
        else Excluded(path, "some are neither usual nor shared by three participants", f"texts of {what}")
        for what in emptied
    ]


def _write_copy(source: Source, path: PurePosixPath, target: Path, *_: Any) -> None:
    shutil.copyfile(source.root / path, target)  # bytes, through links: the copy is a plain file


WRITERS: dict[FileKind, Callable[..., Parts | None]] = {
    FileKind.IMAGE: _write_image,
    FileKind.SIDECAR: write_sidecar,
    FileKind.TABLE: write_table,
    FileKind.RECORDING: _write_recording,
    FileKind.TEXT: _write_text,
    FileKind.EDF: _write_edf,
    FileKind.COPY: _write_copy,
}
