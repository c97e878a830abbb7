"""The group level: one table about every published scan, put together from the sidecars."""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path
from typing import Any

from bidsdeface.dataset.publish import Staging
from bidsdeface.dataset.query import natural_key
from bidsdeface.dataset.sidecar import to_json
from bidsdeface.errors import BidsdefaceError
from bidsdeface.quality.checks import CHECKS, Check, bids_name
from bidsdeface.settings import Settings

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


def run_group_level(settings: Settings) -> int:
    """Write ``quality.tsv`` and ``quality.json`` from the sidecars in the output dataset.

    Returns
    -------
    int
        Exit code 0.

    Raises
    ------
    BidsdefaceError
        No published scan was found, or a sidecar cannot be read.
    """
    rows = _rows(settings.output_dir)
    if not rows:
        raise BidsdefaceError(f"{settings.output_dir}: no defaced scan here; run the participant level first")
    table = io.StringIO()
    writer = csv.DictWriter(table, list(COLUMNS), restval="n/a", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    texts = {Path("quality.json"): to_json(COLUMNS), Path("quality.tsv"): table.getvalue()}
    with Staging(settings.output_dir) as staging:
        for name, text in texts.items():
            (staging.folder / name).write_text(text, encoding="utf-8")
        staging.publish({name: staging.folder / name for name in texts})
    LOGGER.info("%d scans in %s", len(rows), settings.output_dir / "quality.tsv")
    return 0


def _rows(output_dir: Path) -> list[dict[str, Any]]:
    rows = []
    sidecars = (path for desc in PUBLISHED for path in output_dir.glob(f"sub-*/**/*_desc-{desc}_*.json"))
    for path in sorted(sidecars, key=lambda path: natural_key(path.name)):
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
        rows.append({**row, "scan": path.relative_to(output_dir).with_suffix(".nii.gz").as_posix()})
    return rows
