"""The private report, in which scans are reviewed, worst first. It shows faces: for the work dir only."""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from shutil import copyfile
from typing import Any

from numpy.typing import NDArray

from bidsdeface.errors import storage_errors
from bidsdeface.imaging.image import Image
from bidsdeface.imaging.volume import Volume, reduce_image
from bidsdeface.output.review import decision_on, remembered_decisions
from bidsdeface.quality.limits import CHECKS, limit_used
from bidsdeface.quality.outcome import FAILED, Outcome
from bidsdeface.report.figure import draw, views
from bidsdeface.report.page import page
from bidsdeface.report.volumes import script_of
from bidsdeface.runtime.scratch import make_private, private_folder
from bidsdeface.runtime.workdir import State

PAGE = "index.html"
UNDECIDABLE = "none"  # fits no fingerprint
NIIVUE = Path(__file__).parent / "data" / "niivue.umd.js"  # from `scripts/fetch_niivue.py`


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


def shown_fingerprint(folder: Path, stem: str) -> str:
    """Return the fingerprint of what the report has shown of a scan; empty if it has not shown it.

    `UNDECIDABLE` if what it showed had no fingerprint, or cannot be read.
    """
    try:
        content = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        return content["fingerprint"] or UNDECIDABLE
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        return UNDECIDABLE


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
    with _writing(folder) as unfinished:
        draw(unfinished / f"{name}.png", *rows)
        (unfinished / f"{name}.js").write_text(script_of(shown.image, shown.after, shown.mask))
        (unfinished / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def write_pages(state: State, output_dir: Path, subjects: Collection[str]) -> Path | None:
    """Write the pages of some participants, and the index of all scans added by this or earlier runs.

    Parameters
    ----------
    state : State
    output_dir : pathlib.Path
    subjects : collection of str
        Their labels without ``sub-``.

    Returns
    -------
    pathlib.Path or None
        The index; None if no scan was added.

    Raises
    ------
    BidsdefaceError
        The report cannot be written.
    """
    folder = report_folder(state, output_dir)
    outcomes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    if not outcomes:
        return None
    outcomes.sort(key=lambda outcome: (outcome["verdict"] != FAILED, -limit_used(outcome["measures"])))
    people: dict[str, list[dict[str, Any]]] = defaultdict(list)  # in order of their worst scans
    for outcome in outcomes:
        people[outcome["scan"].partition("_")[0]].append(_listed(outcome, state))
    index = {
        "title": "Private report",
        "report": folder.name,
        "scans": list(chain.from_iterable(people.values())),
        "participants": [_summed_up(name, scans) for name, scans in people.items()],
    }
    shown = {outcome["scan"]: outcome for outcome in outcomes}
    pages = {
        f"{name}.html": page(
            "private_subject.html",
            title=name,
            report=folder.name,
            scans=[_shown(shown[scan["name"]], folder) for scan in scans],
        )
        for name, scans in people.items()
        if name.removeprefix("sub-") in subjects
    }
    with _writing(folder) as unfinished:
        copyfile(NIIVUE, unfinished / NIIVUE.name)
        listed = json.dumps(index["scans"]).replace("<", "\\u003c")
        texts = {**pages, PAGE: page("private.html", **index), "scans.js": f"const SCANS = {listed};\n"}
        for name, text in texts.items():
            (unfinished / name).write_text(text, encoding="utf-8")
    return folder / PAGE


def _listed(outcome: Mapping[str, Any], state: State) -> dict[str, Any]:
    """Return what all pages know of a scan."""
    name, fingerprint = outcome["scan"], outcome.get("fingerprint", "")
    decision = decision_on(remembered_decisions(state, name), fingerprint or None)
    return {
        "scan": outcome.get("path", name),
        "name": name,
        "page": f"{name.partition('_')[0]}.html",
        "verdict": outcome["verdict"],
        "fingerprint": fingerprint,
        "decision": decision.decision if decision else "",
        "note": decision.note if decision else "",
        "time": decision.time if decision else "",
    }


def _summed_up(name: str, scans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the line of a participant in the index."""
    return {
        "name": name,
        "page": scans[0]["page"],
        "scans": len(scans),
        "failed": sum(scan["verdict"] == FAILED for scan in scans),
        "undecided": sum(bool(scan["fingerprint"]) and not scan["decision"] for scan in scans),
    }


@contextmanager
def _writing(folder: Path) -> Iterator[Path]:
    """Give a private folder whose files are moved into the report at the end, each complete."""
    with private_folder(make_private(folder)) as unfinished, storage_errors(folder):
        yield unfinished
        for path in unfinished.glob("*.*"):
            path.chmod(0o600)
            os.replace(path, folder / path.name)


def _shown(outcome: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return what the page of a participant shows of a scan."""
    measures, volumes = outcome["measures"], f"{outcome['scan']}.js"
    return {
        "name": outcome["scan"],
        "path": outcome.get("path", outcome["scan"]),
        "fingerprint": outcome.get("fingerprint", ""),
        "picture": f"{outcome['scan']}.png",
        "volumes": volumes if (folder / volumes).exists() else "",
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
