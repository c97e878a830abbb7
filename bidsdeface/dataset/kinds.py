"""Kinds of image by their names: which show a head, and which take the mask of another. No file is opened."""

from collections.abc import Sequence
from functools import cache

from bidsdeface.dataset.names import FileName, Scan
from bidsdeface.errors import UsageError
from bidsdeface.schema import file_rules

ANATOMICAL = "anat"
DATATYPES = (ANATOMICAL, "func", "dwi", "fmap", "perf", "pet")  # folders of images of heads
NO_HEAD = ("defacemask", "noRF")  # a mask, and noise that is measured without excitation
DEFAULT = "default"  # value of --suffixes: the images that are defaced without the option
# Entities that differ within one set of images, which are on one grid and share one mask.
OF_A_SET = ("echo", "flip", "inv", "mt", "part")
# The phase, and parts of complex numbers, show no outline of a head; their magnitude does.
PHASE_PARTS = ("phase", "real", "imag")
_MAGNITUDES = {
    "phasediff": ("magnitude1", "magnitude2"),
    "phase1": ("magnitude1",),
    "phase2": ("magnitude2", "magnitude1"),
    "fieldmap": ("magnitude",),
    "phase": ("bold", "cbv", "sbref"),
}
# Some B1 maps (turbo FLASH) have an image of the head and an image of flip angles with the same suffix.
_WITH_FLIP_ANGLES = ("TB1TFL", "TB1RFM")
_ANATOMY, _FLIP_ANGLES = "anat", "famp"  # how the label of their acq entity begins


def kinds_of(suffixes: Sequence[str] = ()) -> frozenset[tuple[str, str]]:
    """Return the kinds of image that were asked for, each as datatype and suffix.

    Parameters
    ----------
    suffixes : sequence of str, optional
        Suffixes as in file names; ``"anat"``, the default, stands for all anatomical ones.

    Raises
    ------
    UsageError
        BIDS has no image with such a suffix.

    Examples
    --------
    >>> sorted(kinds_of(["T1w", "sbref"]))
    [('anat', 'T1w'), ('dwi', 'sbref'), ('func', 'sbref')]
    >>> ("anat", "MEGRE") in kinds_of(), ("func", "bold") in kinds_of()
    (True, False)
    """
    known = _of_rules()
    requested = suffixes or (ANATOMICAL,)
    suffixes_known = {suffix for _, suffix in known}
    if unknown := [name for name in requested if name != ANATOMICAL and name not in suffixes_known]:
        raise UsageError(
            f"--suffixes {' '.join(unknown)}: no BIDS suffix of images of the head; choose from anat (all "
            f"anatomical scans), {', '.join(sorted(suffixes_known))}"
        )
    return frozenset(
        (datatype, suffix)
        for datatype, suffix in known
        if suffix in requested or (datatype == ANATOMICAL and ANATOMICAL in requested)
    )


def may_show_none(datatype: str, suffix: str) -> bool:
    """Return True for kinds of image that are inspected, and defaced only if they show a face.

    Most are echo-planar, which seldom show a face (Schwarz and others, 2019 to 2022).

    Examples
    --------
    >>> [may_show_none(*kind) for kind in (("func", "bold"), ("fmap", "epi"), ("fmap", "magnitude1"))]
    [True, True, False]
    """
    return datatype in ("func", "dwi", "perf") or (datatype, suffix) == ("fmap", "epi")


@cache
def suffixes_looked_at() -> tuple[str, ...]:
    """Return the suffixes of images that may show no face."""
    return tuple(sorted({suffix for datatype, suffix in _of_rules() if may_show_none(datatype, suffix)}))


@cache
def suffixes_of_heads() -> tuple[str, ...]:
    """Return ``anat`` and the suffixes of all other images of heads.

    Examples
    --------
    >>> [name in suffixes_of_heads() for name in ("anat", "magnitude1", "asl", "pet", "bold", "noRF")]
    [True, True, True, True, True, False]
    """
    return ANATOMICAL, *sorted({suffix for datatype, suffix in _of_rules() if datatype != ANATOMICAL})


@cache
def maps() -> frozenset[tuple[str, str]]:
    """Return the kinds of image that are computed from others, such as T1map, UNIT1 and FA."""
    return _of_rules("anat.parametric", "dwi.ScannerDerivatives", "fmap.parametric")


@cache
def weighted() -> frozenset[tuple[str, str]]:
    """Return the kinds of image that show anatomy in one contrast, such as T1w and FLAIR."""
    return _of_rules("anat.nonparametric")


@cache
def _of_rules(*names: str) -> frozenset[tuple[str, str]]:
    """Return the kinds of image of some rules of the schema; by default, of all rules about heads."""
    return frozenset(
        (datatype, suffix)
        for rule in file_rules()
        if (rule.name in names if names else rule.name.partition(".")[0] in DATATYPES)
        and ".nii.gz" in rule.extensions
        for datatype in rule.datatypes
        for suffix in rule.suffixes
        if suffix not in NO_HEAD
    )


def is_phase(image: Scan | FileName) -> bool:
    """Return True if an image shows phase, or one part of complex numbers, and so no outline of a head.

    Examples
    --------
    >>> from bidsdeface.dataset.names import scan_at
    >>> from pathlib import Path
    >>> [is_phase(scan_at(Path(f"sub-01_{name}.nii"))) for name in ("phasediff", "part-phase_bold", "bold")]
    [True, True, False]
    """
    return image.suffix in _MAGNITUDES or dict(image.entities).get("part") in PHASE_PARTS


def magnitudes_of(suffix: str) -> tuple[str, ...]:
    """Return the suffixes of images whose mask may serve a phase image, the most likely first."""
    return _MAGNITUDES.get(suffix, (suffix,))


def is_map(scan: Scan) -> bool:
    """Return True if a scan is computed from others."""
    return (scan.datatype, scan.suffix) in maps() or shows_flip_angles(scan)


def shows_flip_angles(scan: Scan) -> bool:
    """Return True for the flip angles of a B1 map, which belong to an image of the head (``acq-anat``)."""
    return scan.suffix in _WITH_FLIP_ANGLES and dict(scan.entities).get("acq", "").startswith(_FLIP_ANGLES)


def possible_donors(scan: Scan, scans: Sequence[Scan]) -> list[Scan]:
    """Return the scans whose mask may serve another scan on the same grid, the most likely first.

    Parameters
    ----------
    scan : Scan
    scans : sequence of Scan
        Of the same head.

    Returns
    -------
    list of Scan
        For phase, its magnitudes; for a map, the scans that it may be computed from; else empty.
    """
    others = [
        other
        for other in scans
        if (other.datatype, other.session) == (scan.datatype, scan.session) and not is_phase(other)
    ]
    if is_phase(scan):
        suffixes = magnitudes_of(scan.suffix)
        magnitudes = [other for other in others if other.suffix in suffixes and is_of_series(other, scan)]
        return sorted(magnitudes, key=lambda other: (_unlike(other, scan), suffixes.index(other.suffix)))
    if is_map(scan):
        measured = [one for one in others if not is_map(one) and (one.datatype, one.suffix) not in weighted()]
        return sorted(measured, key=lambda other: (other.suffix != scan.suffix, _unlike(other, scan)))
    return []


def is_of_series(scan: Scan, other: Scan) -> bool:
    """Return True if two scans have the same labels, but for entities that differ within a set."""
    return _series(scan) == _series(other)


def _series(scan: Scan) -> set[tuple[str, str]]:
    is_b1 = scan.suffix in _WITH_FLIP_ANGLES
    return {
        (key, label)
        for key, label in scan.entities
        if key not in OF_A_SET and not (key == "acq" and is_b1 and label.startswith((_ANATOMY, _FLIP_ANGLES)))
    }


def _unlike(one: Scan, other: Scan) -> int:
    return len(set(one.entities) ^ set(other.entities))
