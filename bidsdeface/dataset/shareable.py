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

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.carryover import WITHOUT_DATA, Carried, Treatment, companions_alone
from bidsdeface.dataset.inheritance import NameIndex, applicable, merged_metadata, read_json
from bidsdeface.dataset.names import FileName, parse_name, stem_of
from bidsdeface.dataset.people import Census
from bidsdeface.dataset.record import to_json
from bidsdeface.dataset.references import b0_identifiers
from bidsdeface.dataset.treatments import GRADIENTS, WRITERS, NotCarried, Source, Wishes, check_metadata
from bidsdeface.errors import BidsdefaceError, describe, may_pass
from bidsdeface.privacy.identifiers import Identifiers
from bidsdeface.privacy.leftout import LeftOut

# They say what else there is: written when that is known, tables before what describes them.
_LATER = {Treatment.TABLE: 1, Treatment.SIDECAR: 2}
# What nobody can use without its metadata.
_DESCRIBED = (Treatment.IMAGE, Treatment.RECORDING, Treatment.EDF)


@dataclass
class Account:
    """What became of the files.

    Attributes
    ----------
    written : list of PurePosixPath
    left_out : list of LeftOut
        Files, and parts of files that were written.
    """

    written: list[PurePosixPath] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def read_source(
    root: Path,
    carried: Collection[Carried],
    wishes: Wishes,
    identifiers: Identifiers,
    census: Census | None = None,
) -> Source:
    """Read what the treatment of one file needs to know of all others.

    Parameters
    ----------
    root : Path
        Of the raw dataset.
    carried : collection of Carried
        From `plan_carryover`.
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
        if one.treatment in (Treatment.IMAGE, Treatment.DEFACE) and (name := parse_name(one.path))
    }
    present = frozenset(one.path for one in carried)
    return Source(root, wishes, present, sidecars, fieldmaps, identifiers, census or Census(root))


def carry_over(
    source: Source,
    files: Iterable[Carried],
    folder: Path | None,
    provenance: Mapping[PurePosixPath, Mapping[str, Any]] | None = None,
) -> Account:
    """Write files into a folder, under their own names, each as its treatment says.

    Parameters
    ----------
    source : Source
    files : iterable of Carried
        Of one participant, or those above participants; `Treatment.DEFACE` is passed over.
    folder : Path or None
        Private, empty; None to write nothing, and learn what could not be made safe.
    provenance : mapping of PurePosixPath to mapping, optional
        Fields to add to sidecars, by the sidecar's path: those of defaced images.

    Returns
    -------
    Account
        What could not be made safe is left out there, with the reason; nothing of it is in the folder.
    """
    account = Account()
    provenance = provenance or {}
    to_write = [one for one in files if one.treatment is not Treatment.DEFACE]
    for turn in range(3):
        some = [one for one in to_write if _LATER.get(one.treatment, 0) == turn]
        before = source.present
        source = _write(source, some, folder, provenance, account)
        if source.present != before:
            source = _without_companions(source, before, folder, account)
    if folder:
        _write_own_sidecars(source, folder, provenance, account)
    return account


def _write_own_sidecars(
    source: Source,
    folder: Path,
    provenance: Mapping[PurePosixPath, Mapping[str, Any]],
    account: Account,
) -> None:
    """Give images sidecars of their own, with all that the ones beside them say: BIDS reads one in a folder.

    A sidecar that no image is left to read goes.
    """
    written = [name for path in account.written if path.suffix == ".json" and (name := parse_name(path))]
    read: dict[PurePosixPath, FileName] = {}
    for path in provenance:
        beside = [one for one in written if one.path.parent == path.parent]
        applying = applicable(name, beside) if (name := parse_name(path)) else []
        said = [  # but for how another image was defaced
            {
                key: value
                for key, value in read_json(folder / one.path).items()
                if key not in provenance.get(one.path, ())
            }
            for one in applying
        ]
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(to_json({**ChainMap(*said[::-1]), **provenance[path]}), encoding="utf-8")
        read |= {one.path: one for one in applying if one.path not in provenance}
    account.written += provenance.keys() - set(account.written)
    images = {path.with_name(f"{stem_of(path)}.json") for path in source.present if path.suffix != ".json"}
    for shared in read.values():
        others = (
            parse_name(path) for path in images - provenance.keys() if path.parent == shared.path.parent
        )
        if not any(other and applicable(other, [shared]) for other in others):
            (folder / shared.path).unlink()
            account.written.remove(shared.path)
            account.left_out.append(LeftOut(shared.path, "what it says stands in the sidecar of each image"))


def _write(
    source: Source,
    files: Iterable[Carried],
    folder: Path | None,
    provenance: Mapping[PurePosixPath, Mapping[str, Any]],
    account: Account,
) -> Source:
    """Write files of one turn; return the source without those that cannot be made safe."""
    named = {one.path for one in account.left_out}
    for one in files:
        if one.path in named:
            continue
        if one.path not in source.present:
            is_companion = one.treatment in _LATER or one.path.suffix in GRADIENTS
            reason = WITHOUT_DATA if is_companion else "a file that belongs to it is not here"
            account.left_out.append(LeftOut(one.path, reason))
            continue
        target = folder / one.path if folder else Path(os.devnull)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            check_fetched(source.root / one.path, source.root)
            if one.treatment in _DESCRIBED:
                check_metadata(source, one.path)
            write = WRITERS[one.treatment]
            account.left_out += write(source, one.path, target, provenance.get(one.path, {})) or ()
            account.written.append(one.path)
        except (BidsdefaceError, OSError, EOFError, ValueError, zlib.error) as error:
            if folder:
                target.unlink(missing_ok=True)
            account.left_out.append(_left_out(one.path, error))
            source = source.without([one.path]) if one.treatment is not Treatment.SIDECAR else source
    return source


def _without_companions(
    source: Source, before: Collection[PurePosixPath], folder: Path | None, account: Account
) -> Source:
    """Take back, or do not write, the files that describe data which could not be made safe."""
    undone = set(account.written) - source.present  # gradients that were written before their image
    alone = companions_alone(before, source.present) | undone
    for path in alone & set(account.written):
        if folder:
            (folder / path).unlink()
        account.written.remove(path)
    account.left_out = [one for one in account.left_out if one.path not in alone]
    account.left_out += [LeftOut(path, WITHOUT_DATA) for path in sorted(alone)]
    return replace(source, present=source.present - alone)


def undescribed_files(source: Source, files: Iterable[Carried]) -> Iterator[LeftOut]:
    """Yield those of the files that nobody can use, as a JSON file that describes them cannot be read."""
    for one in files:
        if one.treatment in _DESCRIBED:
            try:
                check_metadata(source, one.path)
            except (BidsdefaceError, OSError) as error:
                yield _left_out(one.path, error)


def _left_out(path: PurePosixPath, error: Exception) -> LeftOut:
    """Return why a file cannot be made safe."""
    if isinstance(error, NotCarried):
        return LeftOut(path, str(error), remedy=error.remedy, waits=error.waits)
    if may_pass(error):
        return LeftOut(path, describe(error), retry=True)
    if isinstance(error, BidsdefaceError):
        return LeftOut(path, str(error).removeprefix(f"{path}: "))
    return LeftOut(path, f"cannot be read ({type(error).__name__})")
