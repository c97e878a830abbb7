"""Take BIDS file names apart. Names only, no content."""

import re
from collections.abc import Mapping
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
    """Take a file name apart.

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
    if not suffix.isalnum() or not all(matches):
        return None
    entities = {match[1]: match[2] for match in matches if match}
    if len(entities) < len(pairs):
        return None
    return FileName(PurePosixPath(path), entities, suffix, dot + extension)
