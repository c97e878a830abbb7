"""Which scans take the mask of another: they show no anatomy, or are computed from it. Names only."""

from collections.abc import Mapping, Sequence

from bidsdeface.dataset.kinds import maps, weighted
from bidsdeface.dataset.scan import Scan

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


def is_phase(scan: Scan) -> bool:
    """Tell whether a scan shows phase, or one part of complex numbers, and so no anatomy of its own."""
    return shows_phase(scan.suffix, dict(scan.entities))


def shows_phase(suffix: str, entities: Mapping[str, str]) -> bool:
    """Return True if an image of that name shows phase, or one part of complex numbers.

    Examples
    --------
    >>> shows_phase("phasediff", {}), shows_phase("bold", {"part": "phase"}), shows_phase("bold", {})
    (True, True, False)
    """
    return suffix in _MAGNITUDES or entities.get("part") in PHASE_PARTS


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


def lenders(scan: Scan, scans: Sequence[Scan]) -> list[Scan]:
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
    return {
        (key, label)
        for key, label in scan.entities
        if key not in OF_A_SET and not (key == "acq" and _is_of_b1_pair(scan.suffix, label))
    }


def _is_of_b1_pair(suffix: str, acquisition: str) -> bool:
    return suffix in _WITH_FLIP_ANGLES and acquisition.startswith((_ANATOMY, _FLIP_ANGLES))


def _unlike(one: Scan, other: Scan) -> int:
    return len(set(one.entities) ^ set(other.entities))
