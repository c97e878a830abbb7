"""Take BIDS file names apart and join them. Names only, no content."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath

_ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")


@dataclass(frozen=True)
class FileName:
    """The parts of a BIDS file name.

    Attributes
    ----------
    path : PurePosixPath
        Relative to the root of the dataset.
    entities : dict of str to str
        Labels by short name, in the order of the name.
    suffix : str
    extension : str
        With all its dots: ``".nii.gz"``.
    """

    path: PurePosixPath
    entities: Mapping[str, str]
    suffix: str
    extension: str

    @property
    def datatype(self) -> str | None:
        """The folder right above the file, where it is below a participant's."""
        parent = self.path.parent.name
        return parent if self.entities.get("sub") and "-" not in parent and parent else None

    @property
    def folder(self) -> PurePosixPath:
        """Where BIDS has a file of this name and datatype."""
        levels = [f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities]
        return PurePosixPath(*levels, *([self.datatype] if self.datatype else []))


def parse_name(path: PurePath) -> FileName | None:
    """Take a file name apart, or return None if it is not a BIDS name.

    Examples
    --------
    >>> name = parse_name(PurePosixPath("sub-01/func/sub-01_task-rest_bold.nii.gz"))
    >>> name.entities, name.suffix, name.extension, name.datatype
    ({'sub': '01', 'task': 'rest'}, 'bold', '.nii.gz', 'func')
    >>> parse_name(PurePosixPath("sub-01/func/_notes.txt")) is None
    True
    """
    stem, dot, extension = path.name.partition(".")
    *pairs, suffix = stem.split("_")
    matches = [_ENTITY.fullmatch(pair) for pair in pairs]
    if not (suffix.isascii() and suffix.isalnum() and all(matches)):
        return None
    entities = {match[1]: match[2] for match in matches if match}
    if len(entities) < len(pairs):
        return None
    return FileName(PurePosixPath(path), entities, suffix, dot + extension)


def join_name(entities: Iterable[tuple[str, str]], suffix: str) -> str:
    """Join entities and suffix to a BIDS file name without extension.

    Examples
    --------
    >>> join_name((("sub", "01"), ("run", "2")), "T1w")
    'sub-01_run-2_T1w'
    """
    return "_".join([*(f"{key}-{label}" for key, label in entities), suffix])


def stem_of(path: PurePath) -> str:
    """Return the name of a file without any of its extensions.

    Examples
    --------
    >>> stem_of(PurePosixPath("sub-01/anat/sub-01_T1w.nii.gz"))
    'sub-01_T1w'
    """
    return path.name.partition(".")[0]


def suffix_of(path: PurePath) -> str:
    """Return what a file name ends with, before its extensions, whether or not it is a BIDS name.

    Examples
    --------
    >>> suffix_of(PurePosixPath("participants.tsv")), suffix_of(PurePosixPath("my notes_T1w.nii.gz"))
    ('participants', 'T1w')
    """
    return stem_of(path).rpartition("_")[2]
