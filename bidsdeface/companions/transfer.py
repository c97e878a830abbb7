"""Write the files of a dataset that are carried over into one to share, each with its treatment.

Every file is written anew into a private folder, which the caller publishes: nothing written shares its bytes
with the input, through no link of any kind. Nothing here defaces: defaced images and their sidecars'
provenance come from the caller.
"""

import os
import zlib
from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.companions.prune import b0_identifiers
from bidsdeface.companions.select import WITHOUT_DATA, FileKind, Selected, companions_alone
from bidsdeface.companions.write import GRADIENTS, WRITERS, NotShareable, Source, Wishes, check_metadata
from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.inheritance import NameIndex, applicable, merged_metadata, read_json
from bidsdeface.dataset.names import FileName, parse_name
from bidsdeface.dataset.people import Census
from bidsdeface.deidentify.excluded import Excluded
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.errors import BidsdefaceError, describe, may_pass
from bidsdeface.output.names import sidecar_of
from bidsdeface.output.record import to_json

# They say what else there is: written when that is known, tables before what describes them.
_LATER = {FileKind.TABLE: 1, FileKind.SIDECAR: 2}
# What nobody can use without its metadata.
_DESCRIBED = (FileKind.IMAGE, FileKind.RECORDING, FileKind.EDF)


def read_source(
    root: Path,
    carried: Collection[Selected],
    wishes: Wishes,
    identifiers: Identifiers,
    census: Census | None = None,
) -> Source:
    """Read what the treatment of one file needs to know of all others.

    Parameters
    ----------
    root : Path
        Of the raw dataset.
    carried : collection of Selected
        From `select_files`.
    wishes : Wishes
    identifiers : Identifiers
        What no kept text may hold.
    census : Census, optional
        Where it is at hand: it reads each kind of table once.

    Returns
    -------
    Source
    """
    sidecars = NameIndex(
        name for one in carried if one.path.suffix == ".json" and (name := parse_name(one.path))
    )
    fieldmaps = {
        one.path: frozenset(b0_identifiers(merged_metadata(root, name, sidecars.near(name))))
        for one in carried
        if one.file_kind in (FileKind.IMAGE, FileKind.DEFACE) and (name := parse_name(one.path))
    }
    present = frozenset(one.path for one in carried)
    return Source(root, wishes, present, sidecars, fieldmaps, identifiers, census or Census(root))


def carry_over(
    source: Source,
    files: Iterable[Selected],
    folder: Path | None,
    provenance: Mapping[PurePosixPath, Mapping[str, Any]] | None = None,
) -> "WriteReport":
    """Write files into a folder, under their own names, each as its treatment says.

    Parameters
    ----------
    source : Source
    files : iterable of Selected
        Of one participant, or those above participants; `FileKind.DEFACE` is passed over.
    folder : Path or None
        Private, empty; None to write nothing, and learn what could not be made safe.
    provenance : mapping of PurePosixPath to mapping, optional
        Fields to add to sidecars, by the sidecar's path: those of defaced images.

    Returns
    -------
    Account
        What could not be made safe is left out there, with the reason; nothing of it is in the folder.
    """
    account = WriteReport(source, folder, provenance or {})
    to_write = [one for one in files if one.file_kind is not FileKind.DEFACE]
    for turn in range(3):
        account.write([one for one in to_write if _LATER.get(one.file_kind, 0) == turn])
    if folder:
        account.write_own_sidecars(folder)
    return account


@dataclass
class WriteReport:
    """What became of the files, so far.

    Attributes
    ----------
    source : Source
        Without what cannot be made safe.
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
        """Write files, and take back what describes those that cannot be made safe."""
        before, named = self.source.present, {one.path for one in self.left_out}
        for one in files:
            if one.path in self.source.present:
                self._write(one)
            elif one.path not in named:
                is_companion = one.file_kind in _LATER or one.path.suffix in GRADIENTS
                reason = WITHOUT_DATA if is_companion else "a file that belongs to it is not here"
                self.left_out.append(Excluded(one.path, reason))
        if self.source.present != before:
            self._drop_companions(before)

    def _write(self, one: Selected) -> None:
        target = self.folder / one.path if self.folder else Path(os.devnull)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            check_fetched(self.source.root / one.path, self.source.root)
            if one.file_kind in _DESCRIBED:
                check_metadata(self.source, one.path)
            write = WRITERS[one.file_kind]
            self.left_out += write(self.source, one.path, target, self.provenance.get(one.path, {})) or ()
            self.written.append(one.path)
        except (BidsdefaceError, OSError, EOFError, ValueError, zlib.error) as error:
            self._remove(one.path)
            self.left_out.append(_left_out(one.path, error))
            if one.file_kind is not FileKind.SIDECAR:
                self.source = self.source.without([one.path])

    def _remove(self, path: PurePosixPath) -> None:
        if self.folder:
            (self.folder / path).unlink(missing_ok=True)

    def _drop_companions(self, before: Collection[PurePosixPath]) -> None:
        """Take back, or do not write, the files that describe data which could not be made safe."""
        undone = set(self.written) - self.source.present  # gradients that were written before their image
        alone = companions_alone(before, self.source.present) | undone
        for path in alone & set(self.written):
            self._remove(path)
            self.written.remove(path)
        self.left_out = [one for one in self.left_out if one.path not in alone]
        self.left_out += [Excluded(path, WITHOUT_DATA) for path in sorted(alone)]
        self.source = replace(self.source, present=self.source.present - alone)

    def write_own_sidecars(self, folder: Path) -> None:
        """Give images sidecars of their own, with all that those beside them say: BIDS reads one in a folder.

        A sidecar that no image is left to read goes.
        """
        written = [name for path in self.written if path.suffix == ".json" and (name := parse_name(path))]
        read: dict[PurePosixPath, FileName] = {}
        for path, own in self.provenance.items():
            beside = [one for one in written if one.path.parent == path.parent]
            applying = applicable(name, beside) if (name := parse_name(path)) else []
            said = [  # but for how another image was defaced
                {
                    key: value
                    for key, value in read_json(folder / one.path).items()
                    if key not in self.provenance.get(one.path, ())
                }
                for one in applying
            ]
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(to_json({**ChainMap(*said[::-1]), **own}), encoding="utf-8")
            read |= {one.path: one for one in applying if one.path not in self.provenance}
        self.written += self.provenance.keys() - set(self.written)
        images = (path for path in self.source.present if path.suffix != ".json")
        others = set(map(sidecar_of, images)) - self.provenance.keys()
        for shared in read.values():
            near = (parse_name(path) for path in others if path.parent == shared.path.parent)
            if not any(other and applicable(other, [shared]) for other in near):
                self._remove(shared.path)
                self.written.remove(shared.path)
                self.left_out.append(
                    Excluded(shared.path, "what it says stands in the sidecar of each image")
                )


def undescribed_files(source: Source, files: Iterable[Selected]) -> Iterator[Excluded]:
    """Yield those of the files that nobody can use, as a JSON file that describes them cannot be read."""
    for one in files:
        if one.file_kind in _DESCRIBED:
            try:
                check_metadata(source, one.path)
            except (BidsdefaceError, OSError) as error:
                yield _left_out(one.path, error)


def _left_out(path: PurePosixPath, error: Exception) -> Excluded:
    """Return why a file cannot be made safe."""
    if isinstance(error, NotShareable):
        return Excluded(path, str(error), remedy=error.remedy, waits=error.waits)
    if may_pass(error):
        return Excluded(path, describe(error), retry=True)
    if isinstance(error, BidsdefaceError):
        return Excluded(path, str(error).removeprefix(f"{path}: "))
    return Excluded(path, f"cannot be read ({type(error).__name__})")
