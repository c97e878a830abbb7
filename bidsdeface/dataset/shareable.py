"""Write the files of a dataset that are carried over into one to share, each with its treatment.

Every file is written anew into a private folder, which the caller publishes: nothing written shares its bytes
with the input, through no link of any kind. Nothing here defaces: defaced images and their sidecars'
provenance come from the caller.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.carryover import Carried, Treatment
from bidsdeface.dataset.census import Census
from bidsdeface.dataset.filename import parse_name
from bidsdeface.dataset.inheritance import merged_metadata
from bidsdeface.dataset.references import b0_identifiers
from bidsdeface.dataset.sidecar import to_json
from bidsdeface.dataset.treatments import WRITERS, NotCarried, Source, Wishes, check_metadata
from bidsdeface.errors import BidsdefaceError, describe, may_pass
from bidsdeface.privacy.identifiers import Identifiers
from bidsdeface.privacy.leftout import LeftOut

# They say what else there is: written when that is known.
_LAST = (Treatment.TABLE, Treatment.SIDECAR)
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
    carried: Iterable[Carried],
    wishes: Wishes,
    identifiers: Identifiers,
    census: Census | None = None,
    withheld: Collection[PurePosixPath] = (),
) -> Source:
    """Read what the treatment of one file needs to know of all others.

    Parameters
    ----------
    root : Path
        Of the raw dataset.
    carried : iterable of Carried
        From `plan_carryover`.
    wishes : Wishes
    identifiers : Identifiers
        What no kept text may hold.
    census : Census, optional
        Where it is at hand: it reads each kind of table once.
    withheld : collection of PurePosixPath, optional
        Images that were to be defaced and did not pass.

    Returns
    -------
    Source
    """
    carried = list(carried)
    files = [one for one in carried if one.path not in withheld]
    sidecars = tuple(
        name for one in files if one.path.suffix == ".json" and (name := parse_name(one.path)) is not None
    )
    fieldmaps: dict[PurePosixPath, frozenset[str]] = {}
    for one in files:
        if one.treatment in (Treatment.IMAGE, Treatment.DEFACE) and (name := parse_name(one.path)):
            fieldmaps[one.path] = frozenset(b0_identifiers(merged_metadata(root, name, sidecars)))
    present = frozenset(one.path for one in files)
    census = census or Census(root)
    return Source(root, present, sidecars, fieldmaps, identifiers, census).without(withheld)


def carry_over(
    source: Source,
    files: Iterable[Carried],
    folder: Path,
    wishes: Wishes,
    provenance: Mapping[PurePosixPath, Mapping[str, Any]] | None = None,
) -> Account:
    """Write files into a folder, under their own names, each as its treatment says.

    Parameters
    ----------
    source : Source
    files : iterable of Carried
        Of one participant, or those above participants; `Treatment.DEFACE` is passed over.
    folder : Path
        Private, empty.
    wishes : Wishes
    provenance : mapping of PurePosixPath to mapping, optional
        Fields to add to sidecars, by the sidecar's path: those of defaced images.

    Returns
    -------
    Account
        What could not be made safe is left out there, with the reason; nothing of it is in the folder.
    """
    account = Account()
    provenance = provenance or {}
    order = {treatment: place for place, treatment in enumerate(_LAST, start=1)}
    for one in sorted(files, key=lambda one: order.get(one.treatment, 0)):
        if one.treatment is Treatment.DEFACE:
            continue
        if one.path not in source.present:
            account.left_out.append(LeftOut(one.path, "a file that belongs to it is not here"))
            continue
        target = folder / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            check_fetched(source.root / one.path, source.root)
            if one.treatment in _DESCRIBED:
                check_metadata(source, one.path)
            write = WRITERS[one.treatment]
            parts = write(source, one.path, target, wishes, provenance.get(one.path, {}))
        except (BidsdefaceError, OSError, EOFError, ValueError, zlib.error) as error:
            target.unlink(missing_ok=True)
            account.left_out.append(_left_out(one.path, error))
            source = source.without([one.path]) if one.treatment is not Treatment.SIDECAR else source
            continue
        account.written.append(one.path)
        account.left_out += parts
    for path in provenance.keys() - set(account.written):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(to_json(provenance[path]), encoding="utf-8")
        account.written.append(path)
    return account


def undescribed_files(source: Source, files: Iterable[Carried]) -> list[LeftOut]:
    """Return those of the files that nobody can use, as a JSON file that describes them cannot be read."""
    found = []
    for one in files:
        if one.treatment in _DESCRIBED:
            try:
                check_metadata(source, one.path)
            except (BidsdefaceError, OSError) as error:
                found.append(_left_out(one.path, error))
    return found


def _left_out(path: PurePosixPath, error: Exception) -> LeftOut:
    """Return why a file cannot be made safe."""
    if isinstance(error, NotCarried):
        return LeftOut(path, str(error), remedy=error.remedy, waits=error.waits)
    if may_pass(error):
        return LeftOut(path, describe(error), retry=True)
    if isinstance(error, BidsdefaceError):
        return LeftOut(path, str(error).removeprefix(f"{path}: "))
    return LeftOut(path, f"cannot be read ({type(error).__name__})")
