"""BIDS file names, and the scans and heads that they name: parsed and composed. No file is opened."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from bidsdeface.errors import BidsdefaceError

DESCRIPTION = PurePosixPath("dataset_description.json")
_ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")
RAW = "bids:raw:"  # beginning of BIDS URIs of files in the raw dataset


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
        """The name of the file's folder, if it is a folder of data of a participant."""
        parent = self.path.parent.name
        return parent if self.entities.get("sub") and "-" not in parent and parent else None

    @property
    def folder(self) -> PurePosixPath:
        """The folder in which BIDS has a file of this name and datatype."""
        levels = [f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities]
        return PurePosixPath(*levels, *([self.datatype] if self.datatype else []))


def parse_name(path: PurePath) -> FileName | None:
    """Parse a file name, or return None if it is not a BIDS name.

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
    entities = {match[1]: match[2] for pair in pairs if (match := _ENTITY.fullmatch(pair))}
    if len(entities) < len(pairs) or not (suffix.isascii() and suffix.isalnum()):
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
    """Return the last part of a file name before its extensions, whether or not it is a BIDS name.

    Examples
    --------
    >>> suffix_of(PurePosixPath("participants.tsv")), suffix_of(PurePosixPath("my notes_T1w.nii.gz"))
    ('participants', 'T1w')
    """
    return stem_of(path).rpartition("_")[2]


@dataclass(frozen=True)
class Scan:
    """One image of a raw BIDS dataset.

    Attributes
    ----------
    path : Path
        The image file.
    entities : tuple of (str, str)
        Short names and labels in the order of the file name: ``(("sub", "01"), ("run", "2"))``.
    suffix : str
        Such as ``"T1w"``.
    extension : str
        ``".nii"`` or ``".nii.gz"``.
    datatype : str
        The folder it lies in, such as ``"anat"``.

    Examples
    --------
    >>> scan = Scan(Path("sub-01_run-2_T1w.nii"), (("sub", "01"), ("run", "2")), "T1w", ".nii")
    >>> scan.stem, scan.uri
    ('sub-01_run-2_T1w', 'bids:raw:sub-01/anat/sub-01_run-2_T1w.nii')
    """

    path: Path
    entities: tuple[tuple[str, str], ...]
    suffix: str
    extension: str
    datatype: str = "anat"

    @property
    def subject(self) -> str:
        """Participant label, without ``sub-``."""
        return dict(self.entities)["sub"]

    @property
    def session(self) -> str | None:
        """Session label, without ``ses-``."""
        return dict(self.entities).get("ses")

    @property
    def stem(self) -> str:
        """File name without extension."""
        return join_name(self.entities, self.suffix)

    @property
    def folder(self) -> PurePosixPath:
        """Folder of the image, relative to the root of its dataset."""
        return PurePosixPath(
            *(f"{key}-{label}" for key, label in self.entities if key in ("sub", "ses")), self.datatype
        )

    @property
    def bids_dir(self) -> Path:
        """Root of the dataset."""
        return self.path.parents[len(self.folder.parts)]

    @property
    def name(self) -> FileName:
        """The parts of the file's name, relative to the dataset."""
        return FileName(self.folder / self.path.name, dict(self.entities), self.suffix, self.extension)

    @property
    def uri(self) -> str:
        """BIDS URI of the image in the raw dataset."""
        return f"{RAW}{self.folder / self.stem}{self.extension}"


@dataclass(frozen=True)
class Head:
    """The scans of one participant in one session, or in all of them.

    Attributes
    ----------
    subject : str
        Participant label, without ``sub-``.
    session : str or None
        Session label, without ``ses-``; None as well if all sessions are treated as one head.
    scans : tuple of Scan
        Scans to deface, at least one; each after the scans whose mask may serve it.
    reference : Scan
        The scan that is registered to the template; it need not be one of `scans`.
    reason : str
        Why the reference was chosen.
    """

    subject: str
    session: str | None
    scans: tuple[Scan, ...]
    reference: Scan
    reason: str = ""

    @property
    def name(self) -> str:
        """Name of the head, such as ``sub-01_ses-a``, or ``sub-01`` without sessions."""
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")


def scan_at(path: Path) -> Scan:
    """Return the scan of an image file, by the file's name.

    Raises
    ------
    BidsdefaceError
        The file does not have a BIDS name for files of participants.

    Examples
    --------
    >>> scan = scan_at(Path("sub-01_run-2_T1w.nii.gz"))
    >>> scan.entities, scan.suffix, scan.extension, scan.datatype
    ((('sub', '01'), ('run', '2')), 'T1w', '.nii.gz', 'anat')
    """
    name = parse_name(path)
    if name is None or "sub" not in name.entities:
        raise BidsdefaceError(f"{path}: does not have a BIDS name; rename it")
    return Scan(path, tuple(name.entities.items()), name.suffix, name.extension, path.parent.name or "anat")


def natural_key(text: str) -> list[tuple[int, str]]:
    """Return a sort key that puts ``sub-2`` before ``sub-10``.

    Examples
    --------
    >>> sorted(["sub-10", "sub-2", "sub-a"], key=natural_key)
    ['sub-2', 'sub-10', 'sub-a']
    """
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", text) if part]
