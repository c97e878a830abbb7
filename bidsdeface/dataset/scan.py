"""What a scan and a head are: small records that travel between the rooms. No file is opened."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.names import FileName, join_name, parse_name
from bidsdeface.errors import BidsdefaceError

RAW = "bids:raw:"  # what names of files in the raw dataset begin with


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
        parts = [f"{key}-{label}" for key, label in self.entities if key in ("sub", "ses")]
        return PurePosixPath(*parts, self.datatype)

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
        Session label, without ``ses-``; None as well for a head that is shared by all sessions.
    scans : tuple of Scan
        Those to deface, at least one; each after the scans whose mask may serve it.
    reference : Scan
        The scan that is registered to the template; it need not be one of `scans`.
    reason : str
        Why that one was chosen.
    """

    subject: str
    session: str | None
    scans: tuple[Scan, ...]
    reference: Scan
    reason: str = ""

    @property
    def name(self) -> str:
        """Such as ``sub-01_ses-a``, or ``sub-01`` where there are no sessions."""
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")


def scan_at(path: Path) -> Scan:
    """Return the scan whose image file this is, from the file's name.

    Raises
    ------
    BidsdefaceError
        It is not a name that BIDS has for a participant's file.

    Examples
    --------
    >>> scan = scan_at(Path("sub-01_run-2_T1w.nii.gz"))
    >>> scan.entities, scan.suffix, scan.extension, scan.datatype
    ((('sub', '01'), ('run', '2')), 'T1w', '.nii.gz', 'anat')
    """
    name = parse_name(path)
    if name is None or "sub" not in name.entities:
        raise BidsdefaceError(f"{path}: is not named as BIDS asks; rename it")
    return Scan(path, tuple(name.entities.items()), name.suffix, name.extension, path.parent.name or "anat")
