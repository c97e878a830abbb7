"""The group level: one table about every published scan; the end of a complete dataset; the leak check."""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path
from typing import Any

from bidsdeface.dataset.description import claim_shareable
from bidsdeface.dataset.publish import Staging
from bidsdeface.dataset.query import natural_key
from bidsdeface.dataset.sidecar import to_json
from bidsdeface.errors import BidsdefaceError
from bidsdeface.leakcheck import all_files, check_leaks
from bidsdeface.privacy.scratch import private_folder, temporary_dir
from bidsdeface.privacy.state import State
from bidsdeface.quality.checks import CHECKS, Check, bids_name
from bidsdeface.settings import BIDS, Settings
from bidsdeface.sharing import settle_dataset

LOGGER = logging.getLogger(__name__)

PUBLISHED = ("defaced", "noface")
UNITS = {"mm": "mm", "ml": "mL"}


def _column(check: Check) -> dict[str, str]:
    unit = UNITS.get(check.measure.rpartition("_")[2])
    limits = f"; published if {check.limits}" if check.limits else ""
    return {"Description": check.description + limits, **({"Units": unit} if unit else {})}


# The columns of quality.tsv, and what quality.json says of them.
COLUMNS: dict[str, dict[str, Any]] = {
    "scan": {"Description": "Path of the published image, relative to the dataset"},
    "Verdict": {
        "Description": "What the checks concluded",
        "Levels": {
            "passed": "Published on evidence",
            "no-face": "Published as it is, on evidence that it shows no face",
            "accepted": "Published because a person has looked, though measures are beyond their limits",
            "by hand": "Published with a mask that a person drew and answers for",
        },
    },
    "Template": {"Description": "Template whose face mask was used"},
    "Method": {"Description": "What took the place of the face"},
    "Regions": {"Description": "What was taken for the face, separated by commas"},
    "GuardMM": {"Description": "Margin around the brain that is never touched", "Units": "mm"},
    "MaskSource": {"Description": "Where the mask comes from: the template, or a person's hand"},
    "Reference": {"Description": "Scan of this head that was registered to the template"},
    "Accepted": {"Description": "Measures beyond their limits, which a person has accepted"},
    "Evidence": {"Description": "How it is certain that the image shows no face"},
    **{bids_name(check.measure): _column(check) for check in CHECKS},
}


def run_group_level(settings: Settings, state: State | None = None) -> int:
    """Write ``quality.tsv`` and ``quality.json`` from the sidecars in the output dataset.

    A complete dataset gets what is above its participants; its table goes to the work dir.

    Parameters
    ----------
    settings : Settings
    state : State, optional
        Private state in the work dir.

    Returns
    -------
    int
        Exit code: 0, or 1 if the leak check found something.

    Raises
    ------
    BidsdefaceError
        No published scan was found, a sidecar cannot be read, or a file cannot be written.
    """
    rows = _rows(settings.output_dir, settings.output_layout)
    complete = settings.output_layout == BIDS
    if not rows and not complete:
        raise BidsdefaceError(f"{settings.output_dir}: no defaced scan here; run the participant level first")
    with private_folder(state.folder if state else temporary_dir()) as scratch:
        if complete:
            claim_shareable(settings.output_dir)
            done = settle_dataset(settings, state, scratch)
            if state:
                _write_table(rows, state.folder)
            else:
                LOGGER.info(
                    "quality.tsv has no place in a complete dataset; give --work-dir to have it there"
                )
        else:
            done = True
            _write_table(rows, settings.output_dir)
        found = check_leaks(settings, scratch, all_files(settings.output_dir))
    return int(found > 0 or not done)


def _write_table(rows: list[dict[str, Any]], folder: Path) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, list(COLUMNS), restval="n/a", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    texts = {Path("quality.json"): to_json(COLUMNS), Path("quality.tsv"): table.getvalue()}
    with Staging(folder) as staging:
        for name, text in texts.items():
            (staging.folder / name).write_text(text, encoding="utf-8")
        staging.publish({name: staging.folder / name for name in texts})
    LOGGER.info("%d scans in %s", len(rows), folder / "quality.tsv")


def _sidecars(output_dir: Path, layout: str) -> list[Path]:
    if layout == BIDS:
        beside = (path for path in output_dir.glob("sub-*/**/anat/*.json") if "_defacemask" not in path.name)
        found = [
            path for path in beside if "Bidsdeface" in path.read_text(encoding="utf-8", errors="replace")
        ]
    else:
        found = [path for desc in PUBLISHED for path in output_dir.glob(f"sub-*/**/*_desc-{desc}_*.json")]
    return sorted(found, key=lambda path: natural_key(path.name))


def _rows(output_dir: Path, layout: str) -> list[dict[str, Any]]:
    rows = []
    for path in _sidecars(output_dir, layout):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))["Bidsdeface"]
            lists = {name: ",".join(record.get(name, [])) for name in ("Regions", "Accepted")}
            values = {**record, **record["Measures"], **lists}
        except FileNotFoundError:
            continue  # a participant task is replacing it at this moment
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BidsdefaceError(
                f"{path}: is not a sidecar of this program ({error}); remove it and its image"
            ) from error
        row = {name: values[name] for name in COLUMNS if values.get(name) not in (None, "")}
        image = (
            path.with_suffix(".nii") if path.with_suffix(".nii").is_file() else path.with_suffix(".nii.gz")
        )
        rows.append({**row, "scan": image.relative_to(output_dir).as_posix()})
    return rows
