"""What the private report shows of a scan, before and after. It shows faces: for the work dir only."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from numpy.typing import NDArray

from bidsdeface.errors import storage_errors
from bidsdeface.imaging.image import Image
from bidsdeface.imaging.volume import Volume, reduce_image
from bidsdeface.quality.outcome import Outcome
from bidsdeface.report.figure import draw, views
from bidsdeface.report.private_pages import files_of, writing
from bidsdeface.report.volumes import script_of


@dataclass(frozen=True)
class Shown:
    """What the report shows of a scan.

    Attributes
    ----------
    outcome : Outcome
    path : pathlib.PurePosixPath
        Of the image in the dataset.
    image, volume : Image, Volume
        The scan as it was read, and at coarse resolution.
    centre : numpy.ndarray, shape (3,)
        World coordinates (RAS+ mm) through which the slices go.
    mask : numpy.ndarray of bool or None
        For a scan that failed, the mask that it would get; if there is none, the head where the template was
        placed; None if it was not.
    after : numpy.ndarray or None
        The stored values of the defaced image, if there is a mask.
    fingerprint : str
        By which a decision is bound to it; empty if nothing can be decided.
    guard : callable or None
        The brain guard, as `views` takes it.
    """

    outcome: Outcome
    path: PurePosixPath
    image: Image
    volume: Volume
    centre: NDArray
    mask: NDArray | None = None
    after: NDArray | None = None
    fingerprint: str = ""
    guard: Callable[[NDArray], NDArray] | None = None


def add_scan(folder: Path, shown: Shown) -> None:
    """Add a scan to the report: its outcome, and pictures before and after.

    Parameters
    ----------
    folder : pathlib.Path
        From `report_folder`.
    shown : Shown

    Raises
    ------
    BidsdefaceError
        The report cannot be written.
    """
    rows = [views(shown.image, shown.volume, shown.centre, shown.mask, shown.guard)]
    if shown.after is not None:
        defaced = replace(shown.image, stored=shown.after)
        rows.append(views(defaced, reduce_image(defaced, "the defaced image"), shown.centre))
    name = shown.outcome.scan
    content = asdict(shown.outcome) | {"path": str(shown.path), "fingerprint": shown.fingerprint}
    # What a decision is bound to is in their names: a page that is older or newer shows nothing instead of
    # another mask. The record is last: until it is there, decisions are about what was shown before.
    picture, volumes, record = *files_of(name, shown.fingerprint), f"{name}.json"
    with writing(folder, picture, volumes, record) as unfinished:
        draw(unfinished / picture, *rows)
        (unfinished / volumes).write_text(script_of(shown.image, shown.after, shown.mask))
        (unfinished / record).write_text(json.dumps(content), encoding="utf-8")
    with storage_errors(folder):
        for path in folder.glob(f"{name}.*"):
            if path.name not in (picture, volumes, record):
                path.unlink(missing_ok=True)
