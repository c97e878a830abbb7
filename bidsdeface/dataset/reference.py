"""Choose the scan of a head that is registered to the template, by its name and its header alone."""

import math
from collections.abc import Sequence
from typing import cast

from bidsdeface.dataset.kinds import ANATOMICAL, weighted
from bidsdeface.dataset.lenders import is_map, is_phase
from bidsdeface.dataset.scan import Scan

# A field of view that holds a whole head in every direction; beyond it, contrast and voxels count more.
WHOLE_HEAD_MM = 150.0
FIELD_STEP_MM = 10.0  # a difference below it is none


def choose_reference(scans: Sequence[Scan]) -> tuple[Scan, str]:
    """Choose by what can be registered, head coverage, contrast, voxel size, field of view, then name.

    Parameters
    ----------
    scans : sequence of Scan
        Of one head, in natural order.

    Returns
    -------
    reference : Scan
    reason : str
        What spoke for it, in words.
    """
    if len(scans) == 1:
        return scans[0], "the only one"
    # Headers are read only of the scans that can win: cost counts in datasets of thousands.
    best = min(_kind(scan) for scan in scans)
    measured = {scan: _measure(scan) for scan in scans if _kind(scan) == best}
    reference = min(measured, key=lambda scan: _rank(measured[scan], scan))
    return reference, _in_words(measured[reference], reference)


def _kind(scan: Scan) -> int:
    """Rank by what a scan shows: head and anatomy, anatomy computed, another kind of image, none at all."""
    if is_phase(scan):
        return 3
    if scan.datatype != ANATOMICAL:
        return 2
    return int(is_map(scan))


def _rank(measured: tuple[tuple[float, ...], tuple[float, ...]] | None, scan: Scan) -> tuple[float, ...]:
    if measured is None:
        return (math.inf, _contrast(scan))
    extents, zooms = measured
    whole = min(*extents, WHOLE_HEAD_MM) // FIELD_STEP_MM
    return (-whole, _contrast(scan), round(math.prod(zooms), 3), -math.prod(extents))


def _contrast(scan: Scan) -> int:
    """Rank by likeness to the template, which is T1-weighted."""
    if scan.suffix in ("T1w", "T2w"):
        return ("T1w", "T2w").index(scan.suffix)
    return 2 if (scan.datatype, scan.suffix) in weighted() else 3


def _measure(scan: Scan) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return field of view and voxel size in mm, or None if the header cannot be read."""
    import nibabel as nib

    try:
        header = cast("nib.spatialimages.SpatialImage", nib.load(scan.path)).header
        shape, zooms = header.get_data_shape()[:3], header.get_zooms()[:3]
        return tuple(n * mm for n, mm in zip(shape, zooms, strict=True)), tuple(zooms)
    except Exception:  # whatever is wrong with the file, reading it says so later
        return None


def _in_words(measured: tuple[tuple[float, ...], tuple[float, ...]] | None, scan: Scan) -> str:
    if measured is None:
        return f"{scan.suffix}, header not readable"
    extents, zooms = measured
    view = "whole head" if min(extents) >= WHOLE_HEAD_MM else "part of a head"
    sizes = "x".join(f"{mm:.0f}" for mm in extents), "x".join(f"{mm:.3g}" for mm in zooms)
    return f"{scan.suffix}; {view}, {sizes[0]} mm; voxels {sizes[1]} mm"
