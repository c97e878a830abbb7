"""Select the files of a dataset that are shared, by an allow-list of names. No file is opened.

Only files that the BIDS schema knows and that can be made safe are on the list; others are reported with the
reason.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.files import EXTENSIONS, is_ignored, is_utf8
from bidsdeface.dataset.kinds import NO_HEAD
from bidsdeface.dataset.names import DESCRIPTION, FileName, parse_name, stem_of
from bidsdeface.deidentify.excluded import NAME, Excluded
from bidsdeface.deidentify.tables import GRADIENTS
from bidsdeface.errors import first_of
from bidsdeface.schema import is_data_file, is_inherited_file


class FileKind(Enum):
    """How a file is written to the output."""

    DEFACE = "defaced"
    IMAGE = "header cleaned, voxels as they are"
    SIDECAR = "fields by the policy"
    TABLE = "columns that are described"
    RECORDING = "checked to have numbers only"
    EDF = "header cleaned"
    TEXT = "byte for byte"
    COPY = "as it is, at your word"


@dataclass(frozen=True)
class Selected:
    """A file that is selected.

    Attributes
    ----------
    path : PurePosixPath
        Relative to the dataset; the same in the output.
    file_kind : FileKind
    """

    path: PurePosixPath
    file_kind: FileKind


ROOT_TEXTS = ("README", "CHANGES", "LICENSE", "CITATION")
ROOT_TABLES = ("participants", "samples")
OF_VISITS = ("scans", "sessions")
OPAQUE = ("sourcedata", "derivatives", "code", "phenotype", "stimuli", "docs", "logs", "rawbids")
WITHOUT_DATA = "describes data that stay behind"
HIDDEN, IGNORED = "is hidden", "is in .bidsignore"
_HEAD_NEEDED = "has a header that may name a person, and nothing here cleans it"
NOT_UTF8 = "has a name that is not UTF-8"
UNKNOWN = "is unknown to BIDS"
_REMEDIES = {HIDDEN: "", IGNORED: "take it out of .bidsignore", NOT_UTF8: "rename it"}
_NOT_SHARED = {
    "photo": "is a photograph",
    "asllabeling": "is a picture",
    "headshape": "is the shape of the head",
    "markers": _HEAD_NEEDED,
    "defacemask": "belongs to an earlier defacing",
}
_KIND_BY_EXTENSION = {
    ".json": FileKind.SIDECAR,
    ".tsv": FileKind.TABLE,
    ".tsv.gz": FileKind.RECORDING,
    ".bval": FileKind.RECORDING,
    ".bvec": FileKind.RECORDING,
    ".edf": FileKind.EDF,
    ".bdf": FileKind.EDF,
}
_AT_YOUR_WORD = {
    **_KIND_BY_EXTENSION,
    **dict.fromkeys(EXTENSIONS, FileKind.IMAGE),
    **dict.fromkeys((".md", ".txt", ".rst"), FileKind.TEXT),
}
WITHOUT_HEADER = ("motion",)
_TABLES_OF_DATA = ("channels", "events", "electrodes", "optodes", "aslcontext")
_OF_RECORDINGS = (*_TABLES_OF_DATA, "coordsystem")
# Data without channels, electrodes or a coordinate system
_WITHOUT_SENSORS = ("func", "perf", "beh")
_RECORDINGS = None  # stands for all their suffixes
_SERIES = (("func", "bold"), ("func", "cbv"), ("perf", "asl"))


def select_files(
    paths: Iterable[PurePosixPath],
    *,
    include: Sequence[str] = (),
    ignored: Sequence[str] = (),
) -> tuple[list[Selected], list[Excluded]]:
    """Divide the files of a dataset into those that are selected and those that stay behind.

    Parameters
    ----------
    paths : iterable of PurePosixPath
        Relative to the root of the dataset.
    include : sequence of str, optional
        Patterns of paths that the user includes, such as ``stimuli/*``.
    ignored : sequence of str, optional
        Lines of ``.bidsignore``.

    Returns
    -------
    selected : list of Selected
    excluded : list of Excluded
    """
    selected, excluded = [], []
    for path in sorted(paths):
        decided = _decide(path)
        # Without its description, this is no dataset.
        if isinstance(decided, FileKind) and path != DESCRIPTION and is_ignored(path, ignored):
            decided = IGNORED
        is_wanted = decided != NOT_UTF8 and any(fnmatchcase(str(path), pattern) for pattern in include)
        if isinstance(decided, str) and is_wanted:
            decided = _AT_YOUR_WORD.get("".join(path.name.partition(".")[1:]), FileKind.COPY)
        if isinstance(decided, FileKind):
            selected.append(Selected(path, decided))
        else:
            excluded.append(Excluded(path, decided, remedy=_remedy(path, decided)))
    shared = {one.path for one in selected}
    alone = companions_alone([*shared, *(one.path for one in excluded)], shared)
    excluded += [Excluded(path, WITHOUT_DATA) for path in sorted(alone)]
    return [one for one in selected if one.path not in alone], excluded


def dictionaries_in(folder: Path) -> list[Path]:
    """Return the JSON files in a folder that would describe columns or data at the root of a dataset."""
    return [
        path
        for path in sorted(folder.glob("*.json"))
        if path.name != DESCRIPTION.name and isinstance(_decide(PurePosixPath(path.name)), FileKind)
    ]


def _remedy(path: PurePosixPath, reason: str) -> str:
    """Return the option or action that includes a file."""
    pattern = f"{path.parts[0]}/*" if path.parts[0] in OPAQUE else NAME
    return _REMEDIES.get(reason, f"--include '{pattern}'")


def _decide(path: PurePosixPath) -> FileKind | str:
    """Return the kind of a file that is shared, or the reason why it is not."""
    is_at_root, is_opaque = len(path.parts) == 1, path.parts[0] in OPAQUE
    reasons = {
        NOT_UTF8: not is_utf8(str(path)),
        HIDDEN: any(part.startswith(".") for part in path.parts),
        "is a folder that stays behind": is_opaque and is_at_root,
        f"lies in {path.parts[0]}": is_opaque,
    }
    if reason := first_of(reasons):
        return reason
    if is_at_root:
        return _decide_at_root(path)
    name = parse_name(path)
    if name is None or name.folder != path.parent or not path.parts[0].startswith("sub-"):
        return "does not have a BIDS name"
    return _decide_data(name) if name.datatype else _decide_above_data(name)


def is_root_text(path: PurePosixPath) -> bool:
    """Return True if a path, relative to the dataset, is README, CHANGES or another text at its root."""
    is_text = stem_of(path) in ROOT_TEXTS and path.suffix in ("", ".md", ".rst", ".txt", ".cff")
    return is_text and len(path.parts) == 1


def _decide_at_root(path: PurePosixPath) -> FileKind | str:
    match stem_of(path), path.suffix:
        case stem, ".tsv" if stem in ROOT_TABLES:
            return FileKind.TABLE
        case stem, ".json" if stem in (*ROOT_TABLES, *OF_VISITS) or path == DESCRIPTION:
            return FileKind.SIDECAR
        case _ if is_root_text(path):
            return FileKind.TEXT
    name = parse_name(path)
    return _decide_inherited(name) if name else UNKNOWN


def _decide_inherited(name: FileName) -> FileKind | str:
    """Decide about a file with metadata for several files in folders below."""
    is_known = name.extension in (".json", ".tsv", *GRADIENTS) and is_inherited_file(
        name.suffix, name.extension, frozenset(name.entities)
    )
    return _KIND_BY_EXTENSION[name.extension] if is_known else UNKNOWN


def _decide_above_data(name: FileName) -> FileKind | str:
    """Decide about a file in the folder of a participant or session, beside the folders of data."""
    levels = {"sub", "ses"} if name.suffix == "scans" else {"sub"}
    is_of_visits = name.suffix in OF_VISITS and name.extension in (".tsv", ".json")
    if is_of_visits and name.entities.keys() <= levels:
        return _KIND_BY_EXTENSION[name.extension]
    return _decide_inherited(name)


def _decide_data(name: FileName) -> FileKind | str:
    match name.suffix, name.extension:
        case suffix, extension if not is_data_file(name.datatype or "", suffix, extension, name.entities):
            return UNKNOWN
        case suffix, _ if suffix in _NOT_SHARED:
            return _NOT_SHARED[suffix]
        case _, extension if extension in EXTENSIONS and name.datatype == "mrs":
            return "keeps in a header extension what a reader needs, and perhaps a name"
        case suffix, extension if extension in EXTENSIONS:
            return FileKind.IMAGE if suffix in NO_HEAD else FileKind.DEFACE
        case suffix, ".tsv" if suffix in WITHOUT_HEADER:
            return FileKind.RECORDING
        case _, extension:
            return _KIND_BY_EXTENSION.get(extension, _HEAD_NEEDED)


def companions_alone(paths: Iterable[PurePosixPath], shared: Collection[PurePosixPath]) -> set[PurePosixPath]:
    """Return the shared files that describe only data that are not shared.

    Parameters
    ----------
    paths : iterable of PurePosixPath
        All files that matter, relative to the dataset.
    shared : collection of PurePosixPath
        Files among them that are shared.

    Returns
    -------
    set of PurePosixPath
        Sidecars (inherited ones too), gradients, and tables about recordings and series.
    """
    data: dict[tuple[PurePosixPath, str | None], list[FileName]] = defaultdict(list)
    shared = {*shared, *map(_recording_of, shared)}
    names = [name for path in sorted({*map(_recording_of, paths)}) if (name := parse_name(path))]
    companions = [
        name
        for name in names
        if name.path in shared and (name.extension in (".json", *GRADIENTS) or name.suffix in _OF_RECORDINGS)
    ]
    for name in (name for name in names if name.extension != ".json"):
        is_series = name.suffix == name.datatype or (name.datatype, name.suffix) in _SERIES
        kinds = (name.suffix, _RECORDINGS) if is_series else (name.suffix,)
        for folder, kind in product(name.path.parents, kinds):
            data[folder, kind].append(name)
    alone: set[PurePosixPath] = set()
    for companion in sorted(companions, key=lambda one: one.extension == ".json"):  # dictionaries last
        about = _RECORDINGS if _is_about_recordings(companion) else companion.suffix
        described = [one.path for one in data[companion.path.parent, about] if _describes(companion, one)]
        if described and not any(path in shared and path not in alone for path in described):
            alone.add(companion.path)
    return alone


def _recording_of(path: PurePosixPath) -> PurePosixPath:
    """Return the folder of a file that is part of a recording (CTF, BTi, MEF); else the file itself."""
    return next(
        (folder for folder in reversed(path.parents) if "_" in folder.name and parse_name(folder)), path
    )


def _describes(companion: FileName, data: FileName) -> bool:
    """Return True if a sidecar, a table or gradients describe a data file, by their names."""
    entities = {key: label for key, label in companion.entities.items() if key != "space"}
    if companion.path == data.path or not entities.items() <= data.entities.items():
        return False
    if _is_about_recordings(companion):
        has_sensors = companion.suffix in ("events", "aslcontext") or data.datatype not in _WITHOUT_SENSORS
        return has_sensors and companion.datatype in (data.datatype, None)
    return data.extension not in GRADIENTS


def _is_about_recordings(companion: FileName) -> bool:
    """Return True for a table and for a coordinate system of a recording, but not for a data dictionary."""
    return companion.suffix in _OF_RECORDINGS and not (
        companion.extension == ".json" and companion.suffix in _TABLES_OF_DATA
    )
