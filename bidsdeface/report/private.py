"""The private report: every scan before and after, worst first. It shows faces: for the work dir only."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from bidsdeface.errors import storage_errors
from bidsdeface.imaging.image import Image
from bidsdeface.imaging.volume import Volume, reduce_image
from bidsdeface.quality.limits import CHECKS, limit_used
from bidsdeface.quality.outcome import FAILED, Outcome
from bidsdeface.report.figure import draw, views
from bidsdeface.report.page import page
from bidsdeface.runtime.scratch import make_private, private_folder
from bidsdeface.runtime.workdir import State

PAGE = "index.html"


def report_folder(state: State, output_dir: Path) -> Path:
    """Return the folder of an output dataset's private report."""
    return state.folder_for("report", output_dir)


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
        For a scan that failed, the mask that it would get; None if none was found.
    after : numpy.ndarray or None
        The stored values of the defaced image, if there is a mask.
    fingerprint : str
        By which a decision is bound to it; empty if nothing can be decided.
    """

    outcome: Outcome
    path: PurePosixPath
    image: Image
    volume: Volume
    centre: NDArray
    mask: NDArray | None = None
    after: NDArray | None = None
    fingerprint: str = ""


def shown_fingerprint(folder: Path, stem: str) -> str:
    """Return the fingerprint of what the report has shown of a scan; empty if it has shown nothing."""
    with suppress(OSError, ValueError):
        return str(json.loads((folder / f"{stem}.json").read_text(encoding="utf-8")).get("fingerprint", ""))
    return ""


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
    rows = [views(shown.image, shown.volume, shown.centre, shown.mask)]
    if shown.after is not None:
        defaced = replace(shown.image, stored=shown.after)
        rows.append(views(defaced, reduce_image(defaced, "the defaced image"), shown.centre))
    name = shown.outcome.scan
    content = asdict(shown.outcome) | {"path": str(shown.path), "fingerprint": shown.fingerprint}
    with _writing(folder) as unfinished:
        draw(unfinished / f"{name}.png", *rows)
        (unfinished / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def write_page(folder: Path) -> Path | None:
    """Write a page about all scans added by this or earlier runs, worst first.

    Returns
    -------
    pathlib.Path or None
        The page; None if no scan was added.

    Raises
    ------
    BidsdefaceError
        The report cannot be written.
    """
    outcomes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    if not outcomes:
        return None
    outcomes.sort(key=lambda outcome: (outcome["verdict"] != FAILED, -limit_used(outcome["measures"])))
    with _writing(folder) as unfinished:
        (unfinished / PAGE).write_text(
            page("private.html", title="Private report", scans=list(map(_shown, outcomes))), encoding="utf-8"
        )
    return folder / PAGE


@contextmanager
def _writing(folder: Path) -> Iterator[Path]:
    """Give a private folder whose files are moved into the report at the end, each complete."""
    with private_folder(make_private(folder)) as unfinished, storage_errors(folder):
        yield unfinished
        for path in unfinished.glob("*.*"):
            path.chmod(0o600)
            os.replace(path, folder / path.name)


def _shown(outcome: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of a scan."""
    measures = outcome["measures"]
    return {
        "name": outcome["scan"],
        "verdict": outcome["verdict"],
        "reasons": outcome["reasons"],
        "measures": [
            {
                "name": check.measure,
                "value": f"{measures[check.measure]:.2f}",
                "description": check.description,
                "is_fault": check.is_fault(measures),
            }
            for check in CHECKS
            if check.measure in measures
        ],
    }
