"""Write the files of a dataset that are carried over into one to share, each with its treatment.

Every file is written anew into a private folder, which the caller publishes: nothing written shares its bytes
with the input, through no link of any kind. Nothing here defaces: defaced images and their sidecars'
provenance come from the caller.
"""

import re
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.carryover import Carried, LeftOut, Treatment
from bidsdeface.dataset.filename import FileName, applicable, parse_name
from bidsdeface.dataset.references import b0_identifiers
from bidsdeface.dataset.sidecar import to_json
from bidsdeface.dataset.treatments import (
    WRITERS,
    Source,
    Wishes,
    check_metadata,
    merged_metadata,
    read_json,
    scrubbed_table,
)
from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.columns import names_a_person
from bidsdeface.privacy.contents import open_unpacked
from bidsdeface.privacy.dictionary import scrub_dictionary
from bidsdeface.privacy.looks import looks_like
from bidsdeface.privacy.policy import Policy
from bidsdeface.privacy.redact import Identifiers, identifiers_in
from bidsdeface.privacy.tables import parse_table

# They say what else there is: written when that is known.
_LAST = (Treatment.TABLE, Treatment.SIDECAR)
# What nobody can use without its metadata.
_DESCRIBED = (Treatment.IMAGE, Treatment.RECORDING, Treatment.EDF)
_HEADER_BYTES = 1 << 20


@dataclass
class Account:
    """What became of the files; for the private log: fields and columns are named, values are not.

    Attributes
    ----------
    written : list of PurePosixPath
    left_out : list of LeftOut
    dropped : dict of PurePosixPath to tuple of str
        Names of fields and columns that are gone.
    """

    written: list[PurePosixPath] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    dropped: dict[PurePosixPath, tuple[str, ...]] = field(default_factory=dict)


def read_source(
    root: Path, carried: Iterable[Carried], wishes: Wishes, withheld: Collection[PurePosixPath] = ()
) -> Source:
    """Read what the treatment of one file needs to know of all others.

    Parameters
    ----------
    root : Path
        Of the raw dataset.
    carried : iterable of Carried
        From `plan_carryover`.
    wishes : Wishes
    withheld : collection of PurePosixPath, optional
        Images that were to be defaced and did not pass.

    Returns
    -------
    Source
    """
    files = [one for one in carried if one.path not in withheld]
    sidecars = tuple(
        name for one in files if one.path.suffix == ".json" and (name := parse_name(one.path)) is not None
    )
    fieldmaps: dict[PurePosixPath, frozenset[str]] = {}
    personal: list[Any] = []
    free_text: list[Any] = []
    for one in files:
        if one.treatment in (Treatment.IMAGE, Treatment.DEFACE) and (name := parse_name(one.path)):
            metadata = merged_metadata(root, applicable(name, sidecars))
            fieldmaps[one.path] = frozenset(b0_identifiers(metadata))
            free_text += _header_texts(root / one.path)
        elif one.treatment is Treatment.SIDECAR and one.path.name != "dataset_description.json":
            for value, is_free in _dropped_values(root / one.path, wishes.policy):
                (free_text if is_free else personal).append(value)
        elif one.treatment is Treatment.TABLE:
            for column, values in _dropped_columns(root, one.path, sidecars, wishes):
                (personal if names_a_person(column) else free_text).extend(values)
    present = frozenset(one.path for one in files)
    identifiers = identifiers_in(personal) | identifiers_in(free_text, free_text=True)
    return Source(root, present, sidecars, fieldmaps, identifiers.without(_labels(present))).without(withheld)


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
            dropped = write(source, one.path, target, wishes, provenance.get(one.path, {}))
        except (BidsdefaceError, OSError, EOFError, ValueError, zlib.error) as error:
            target.unlink(missing_ok=True)
            told = isinstance(error, BidsdefaceError)
            reason = str(error) if told else f"cannot be read ({type(error).__name__})"
            account.left_out.append(LeftOut(one.path, reason))
            source = source.without([one.path]) if one.treatment is not Treatment.SIDECAR else source
            continue
        account.written.append(one.path)
        if dropped:
            account.dropped[one.path] = dropped
    for path in provenance.keys() - set(account.written):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(to_json(provenance[path]), encoding="utf-8")
        account.written.append(path)
    return account


def _labels(paths: Iterable[PurePosixPath]) -> set[str]:
    """Return the labels in paths, with and without what they are labels of."""
    entities = [name.entities for path in paths if (name := parse_name(path))]
    return {form for one in entities for key, label in one.items() for form in (label, f"{key}-{label}")}


def _dropped_values(path: Path, policy: Policy) -> Iterator[tuple[Any, bool]]:
    """Yield values of a sidecar that are not shared, and whether their field may hold any text."""
    try:
        content = read_json(path)
    except (BidsdefaceError, OSError):
        return
    kept, _ = scrub_dictionary(content, policy=policy)
    yield from _with_kind({name: value for name, value in content.items() if name not in kept}, policy)


def _with_kind(metadata: Mapping[str, Any], policy: Policy) -> Iterator[tuple[Any, bool]]:
    """Yield values, those of nested objects too, and whether their field may hold any text."""
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            yield from _with_kind(value, policy)
        elif name in policy:
            yield value, policy[name].kind != ""
        else:
            yield value, not names_a_person(name)


def _dropped_columns(
    root: Path, path: PurePosixPath, sidecars: Iterable[FileName], wishes: Wishes
) -> Iterator[tuple[str, tuple[str, ...]]]:
    try:
        table = parse_table((root / path).read_bytes(), path)
        result = scrubbed_table(root, path, sidecars, wishes, Identifiers())
    except (BidsdefaceError, OSError):
        return
    for column in result.dropped:
        yield column, table.values(column)


def _header_texts(path: Path) -> Iterator[str]:
    """Yield the free text of an image's header, and what looks like a person in its extensions."""
    try:
        with open_unpacked(path) as stream:
            start = stream.read(_HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return
    if len(start) < 540:
        return
    version_2 = start[4:7] == b"n+2"
    for begin, end in ((240, 320), (320, 344)) if version_2 else ((14, 32), (148, 228), (228, 252)):
        yield start[begin:end].split(b"\0")[0].decode("latin-1")
    size = 540 if version_2 else 348
    order = ">" if start[:2] == b"\0\0" else "<"
    (offset,) = (
        struct.unpack_from(f"{order}q", start, 168)
        if version_2
        else struct.unpack_from(f"{order}f", start, 108)
    )
    for run in re.findall(rb"[ -~]{4,}", start[size : int(min(max(offset, 0), _HEADER_BYTES))]):
        if looks_like(text := run.decode("ascii")):
            yield text
