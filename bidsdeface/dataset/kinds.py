"""Kinds of image by their names: which are defaced, and which take the mask of another. No file is opened."""

from collections.abc import Sequence
from functools import cache

from bidsdeface.dataset.names import FileName, Scan
from bidsdeface.errors import UsageError
from bidsdeface.schema import file_rules

ANATOMICAL = "anat"
DATATYPES = (ANATOMICAL, "func", "dwi", "fmap", "perf", "pet")  # where BIDS keeps images of heads
NO_HEAD = ("defacemask", "noRF")  # a mask, and noise that is measured without excitation
DEFAULT = "default"  # of --suffixes: all that is taken without it
# What tells the images of one set apart. They are taken together, on one grid, and share one mask.
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
# B1 maps by turbo FLASH and the like have an image of the head and one of flip angles under one suffix.
_WITH_FLIP_ANGLES = ("TB1TFL", "TB1RFM")
_ANATOMY, _FLIP_ANGLES = "anat", "famp"  # how their acq- begins


def kinds_of(suffixes: Sequence[str] = ()) -> frozenset[tuple[str, str]]:
    """Return the kinds of image that were asked for, each as datatype and suffix.

    Parameters
    ----------
    suffixes : sequence of str, optional
        Suffixes as in file names; ``"anat"`` stands for all anatomical ones, and is what is taken if
        nothing is given.

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
    asked = suffixes or (ANATOMICAL,)
    there = {suffix for _, suffix in known}
    if unknown := [name for name in asked if name != ANATOMICAL and name not in there]:
        raise UsageError(
            f"--suffixes {' '.join(unknown)}: BIDS has no such image of a head; choose from anat (all "
            f"anatomical ones), {', '.join(sorted(there))}"
        )
    return frozenset(
        (datatype, suffix)
        for datatype, suffix in known
        if suffix in asked or (datatype == ANATOMICAL and ANATOMICAL in asked)
    )


def may_show_none(datatype: str, suffix: str) -> bool:
    """Return True for kinds of image that are looked at, and not defaced where no face is seen.

    Most are echo-planar, which seldom show a face (Schwarz and others, 2019 to 2022).

    Examples
    --------
    >>> [may_show_none(*kind) for kind in (("func", "bold"), ("fmap", "epi"), ("fmap", "magnitude1"))]
    [True, True, False]
    """
    return datatype in ("func", "dwi", "perf") or (datatype, suffix) == ("fmap", "epi")


@cache
def suffixes_looked_at() -> tuple[str, ...]:
    """Return the suffixes of images that may show no face, for `kinds_of`."""
    return tuple(sorted({suffix for datatype, suffix in _of_rules() if may_show_none(datatype, suffix)}))


@cache
def suffixes_of_heads() -> tuple[str, ...]:
    """Return ``anat`` and the suffixes of all other images of heads, for `kinds_of`.

    Examples
    --------
    >>> [name in suffixes_of_heads() for name in ("anat", "magnitude1", "asl", "pet", "bold", "noRF")]
    [True, True, True, True, True, False]
    """
    return ANATOMICAL, *sorted({suffix for datatype, suffix in _of_rules() if datatype != ANATOMICAL})


@cache
def maps() -> frozenset[tuple[str, str]]:
    """Return the kinds of image that are computed from others: T1map, UNIT1, FA and the like."""
    return _of_rules("anat.parametric", "dwi.ScannerDerivatives", "fmap.parametric")


@cache
def weighted() -> frozenset[tuple[str, str]]:
    """Return the kinds of image that show anatomy by one contrast: T1w, FLAIR and the like."""
    return _of_rules("anat.nonparametric")


@cache
def _of_rules(*names: str) -> frozenset[tuple[str, str]]:
    """Return the kinds of image of some rules of the schema; of all for heads if none is named."""
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
    """Return True if an image shows phase, or one part of complex numbers, and so no anatomy of its own.

    Examples
    --------
    >>> from bidsdeface.dataset.names import scan_at
    >>> from pathlib import Path
    >>> [is_phase(scan_at(Path(f"sub-01_{name}.nii"))) for name in ("phasediff", "part-phase_bold", "bold")]
    [True, True, False]
    """
    return image.suffix in _MAGNITUDES or dict(image.entities).get("part") in PHASE_PARTS


def magnitudes_of(suffix: str) -> tuple[str, ...]:
    """Return the suffixes of images whose mask may serve a phase image of this suffix, most likely first."""
    return _MAGNITUDES.get(suffix, (suffix,))


def is_map(scan: Scan) -> bool:
    """Tell whether a scan is computed from others."""
    return (scan.datatype, scan.suffix) in maps() or shows_flip_angles(scan)


def shows_flip_angles(scan: Scan) -> bool:
    """Return True for the flip angles of a B1 map, which come with an image of the head (``acq-anat``)."""
    acquisition = dict(scan.entities).get("acq", "")
    return scan.suffix in _WITH_FLIP_ANGLES and acquisition.startswith(_FLIP_ANGLES)


def possible_donors(scan: Scan, scans: Sequence[Scan]) -> list[Scan]:
    """Return the scans whose mask may serve another, if they are on one grid; most likely first.

    Parameters
    ----------
    scan : Scan
    scans : sequence of Scan
        Of the same head.

    Returns
    -------
    list of Scan
        For phase, its magnitudes; for a map, the sets that it may be computed from; else empty.
    """
    others = [
        other
        for other in scans
        if (other.datatype, other.session) == (scan.datatype, scan.session) and not is_phase(other)
    ]
    if is_phase(scan):
        suffixes = magnitudes_of(scan.suffix)
        same = [other for other in others if other.suffix in suffixes and is_of_series(other, scan)]
        return sorted(same, key=lambda other: (_unlike(other, scan), suffixes.index(other.suffix)))
    if is_map(scan):
        measured = [one for one in others if not is_map(one) and (one.datatype, one.suffix) not in weighted()]
        return sorted(measured, key=lambda other: (other.suffix != scan.suffix, _unlike(other, scan)))
    return []


def is_of_series(scan: Scan, other: Scan) -> bool:
    """Tell whether two scans have the same labels, but for what tells the images of one set apart."""
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
