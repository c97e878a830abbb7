"""The average face in a scan: where it goes, and whether it is what a published image shows."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsdeface import __version__
from bidsdeface.dataset.kinds import ANATOMICAL, is_map, is_phase
from bidsdeface.errors import BidsdefaceError
from bidsdeface.head.mask import Loaded, Masked
from bidsdeface.head.options import REFACE, MaskOptions, NotRefaced
from bidsdeface.head.registered import RegisteredScan
from bidsdeface.imaging.average import AverageFace
from bidsdeface.imaging.image import Image, is_on_grid, read_image
from bidsdeface.imaging.methods import background, remove, stored_as
from bidsdeface.imaging.reface import reface
from bidsdeface.output.names import raw_and_mask_of
from bidsdeface.output.record import read_record
from bidsdeface.templates.source import average_face

DECIMALS = 6  # of a placement, as it is used and recorded
LEAST_SIZE = 0.1  # of the volume of a head, relative to the average's: another placement is none
OTHER_CPU = 1e-3  # of the range of the average face: what another type of CPU may compute differently
OTHER_ROUNDING = 0.01  # of the voxels, which may be rounded to the next integer then


@dataclass(frozen=True)
class Replacement:
    """What takes the place of the face in an image.

    Attributes
    ----------
    values : numpy.ndarray, shape () or that of the image
        In its type; those in the mask count.
    placement : list of list of float or None
        Where the average face lies, as `placement_of` gives it; None if the face is removed.
    not_refaced : NotRefaced or None
        Why it is removed, though the average was to replace it.
    """

    values: NDArray
    placement: list[list[float]] | None = None
    not_refaced: NotRefaced | None = None


def replacement_of(
    loaded: Loaded, masked: Masked, settings: MaskOptions, average: AverageFace | None
) -> Replacement:
    """Return the values that replace the face, by the requested method."""
    image = loaded.image
    # Phase has no dark and bright.
    fill = stored_as(0.0, image) if is_phase(loaded.scan) else background(image)
    not_refaced = _why_not_refaced(loaded, masked, settings)
    if average is None or masked.registered is None or not_refaced or masked.no_face:
        return Replacement(fill, not_refaced=not_refaced)
    placement = placement_of(masked.registered)
    values = refaced(loaded.scan.stem, image, masked.mask, placement, average)
    if masked.folded is not None:
        values[masked.folded] = fill
    return Replacement(values, placement)


def _why_not_refaced(loaded: Loaded, masked: Masked, settings: MaskOptions) -> NotRefaced | None:
    if settings.method != REFACE or masked.no_face:
        return None
    scan, image = loaded.scan, loaded.image
    reasons = (
        (NotRefaced.PHASE, is_phase(scan) or image.stored.dtype.kind == "c"),
        (NotRefaced.MAP, is_map(scan)),
        (NotRefaced.SERIES_OR_OTHER, scan.datatype != ANATOMICAL),
        (NotRefaced.BY_HAND, masked.registered is None),
        (NotRefaced.BELOW_ZERO, image.scaled(background(image)) < 0),
    )
    return next((reason for reason, applies in reasons if applies), None)


def placement_of(registered: RegisteredScan) -> list[list[float]]:
    """Return the way from scan world to WholeHead's, (4, 4), as it is recorded."""
    return [[round(float(value), DECIMALS) for value in row] for row in registered.head.to_head]


def refaced(
    stem: str, image: Image, mask: NDArray[np.bool_], placement: list[list[float]], average: AverageFace
) -> NDArray:
    """Return the stored values of a scan with the average face inside the mask.

    The seed of the noise comes from the scan's name and the version. It hides nothing: the values owe nothing
    to the face.
    """
    seed = tuple(hashlib.sha256(f"{__version__} {stem}".encode()).digest())
    return reface(image, mask, np.array(placement), average, seed)


def without_average(path: Path, image: Image) -> Image:
    """Return a published image with its mask emptied, if nothing but the average face is in it.

    The average face depends on nothing inside the mask. So it is computed again from the published image
    itself, and compared: a person's face in the mask differs, whatever the record says.

    Parameters
    ----------
    path : pathlib.Path
        Of the image.
    image : Image
    """
    record = read_record(path)
    if record.get("Method") != REFACE or image.stored.dtype.kind == "c":
        return image
    try:
        placement = np.array(record["PlacementOnWholeHead"], float)
        raw, mask_path = raw_and_mask_of(path)
        drawn = read_image(mask_path)
        mask = drawn.stored > 0
        is_placement = placement.shape == (4, 4) and np.isfinite(placement).all()
        is_placement = is_placement and LEAST_SIZE < np.linalg.det(placement) < 1 / LEAST_SIZE
        if not is_placement or not mask.any() or not is_on_grid(image, mask.shape, drawn.affine):
            return image
        expected = refaced(raw.stem, image, mask, placement.tolist(), average_face())[mask].astype(float)
    except (BidsdefaceError, KeyError, TypeError, ValueError):
        return image
    emptied = remove(image, mask)
    off = np.abs(image.stored[mask].astype(float) - expected)
    off[image.stored[mask] == emptied[mask]] = 0  # what folded over is emptied
    near = OTHER_CPU * float(np.ptp(expected[np.isfinite(expected)]))
    is_rounded = image.stored.dtype.kind in "iu" and np.mean(off > near) < OTHER_ROUNDING
    return replace(image, stored=emptied) if (off <= max(near, float(is_rounded))).all() else image
