"""What a scan and a head are: small records that travel between the rooms. No file is opened."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Scan:
    """One anatomical image of a raw BIDS dataset.

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
        return PurePosixPath(*parts, "anat")

    @property
    def uri(self) -> str:
        """BIDS URI of the image in the raw dataset."""
        return f"bids:raw:{self.folder / self.stem}{self.extension}"


@dataclass(frozen=True)
class Head:
    """The anatomical scans of one participant in one session.

    Attributes
    ----------
    subject : str
        Participant label, without ``sub-``.
    session : str or None
        Session label, without ``ses-``.
    scans : tuple of Scan
        At least one, in natural order of their names.
    reference : Scan
        The one of them that is registered to the template.
    """

    subject: str
    session: str | None
    scans: tuple[Scan, ...]
    reference: Scan

    @property
    def name(self) -> str:
        """Such as ``sub-01_ses-a``, or ``sub-01`` where there are no sessions."""
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")


def join_name(entities: tuple[tuple[str, str], ...], suffix: str) -> str:
    """Join entities and suffix to a BIDS file name without extension.

    Examples
    --------
    >>> join_name((("sub", "01"), ("run", "2")), "T1w")
    'sub-01_run-2_T1w'
    """
    return "_".join([*(f"{key}-{label}" for key, label in entities), suffix])
