"""The options that decide how a head is masked."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bidsdeface.output.request import Request

METHODS = (REMOVE, REFACE) = ("remove", "reface")
REGIONS = (("face",), ("face", "ears"))
DEFAULT_TEMPLATE = "WholeHead"
DEFAULT_GUARD_MM = 3.0


class NotRefaced(str, Enum):
    """Why a face is removed from an image though an average one was to replace it."""

    PHASE = "phase, or a part of complex numbers"
    MAP = "values computed from other images"
    SERIES_OR_OTHER = "no anatomical image"
    BELOW_ZERO = "values below zero, such as Hounsfield units"
    BY_HAND = "a mask without a placement of the head"


@dataclass(frozen=True, kw_only=True)
class MaskOptions(Request):
    """How a head is masked.

    Attributes
    ----------
    longitudinal : bool
        Whether the sessions of a participant share one reference scan.
    template : str
        Name of a template of TemplateFlow, or a folder that holds one.
    guard_mm : float
        Margin around the brain that is never touched, in mm.
    method : str
        One of `METHODS`.
    regions : tuple of str
        One of `REGIONS`.
    mask : Path, optional
        A face mask made by hand, used instead of the template's.
    accept : tuple of str
        Names of scans, without extension, that a person has inspected: published even if checks fail.
    review : Path, optional
        A table of decisions about scans, from the private report.
    private_report : bool
        Whether to keep pictures of every scan, before and after, in the work dir.
    omp_nthreads : int
        Threads to compress with.
    """

    longitudinal: bool = False
    template: str = DEFAULT_TEMPLATE
    guard_mm: float = DEFAULT_GUARD_MM
    method: str = REMOVE
    regions: tuple[str, ...] = REGIONS[0]
    mask: Path | None = None
    accept: tuple[str, ...] = ()
    review: Path | None = None
    private_report: bool = False
    omp_nthreads: int = 1

    @property
    def template_name(self) -> str:
        """The template's name for publication: for a folder its own name, not its location."""
        path = Path(self.template)
        return f"own:{path.resolve().name}" if path.is_dir() else self.template
