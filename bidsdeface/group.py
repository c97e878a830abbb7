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
from bidsdeface.settings import Settings

LOGGER = logging.getLogger(__name__)

# The columns of quality.tsv, and what quality.json says of them.
COLUMNS: dict[str, dict[str, Any]] = {
    "scan": {"Description": "Path of the defaced image, relative to the dataset"},
    "Verdict": {
        "Description": "What the checks concluded",
        "Levels": {
            "passed": "Published on evidence",
            "by hand": "Published with a mask that a person drew and answers for",
        },
    },
    "Template": {"Description": "Template whose face mask was used"},
    "Method": {"Description": "What took the place of the face"},
    "Regions": {"Description": "What was taken for the face, separated by commas"},
    "GuardMM": {"Description": "Margin around the brain that is never touched", "Units": "mm"},
    "MaskSource": {"Description": "Where the mask comes from: the template, or a person's hand"},
    "Reference": {"Description": "Scan of this head that was registered to the template"},
    "Similarity": {
        "Description": "Correlation ratio of intensities, scan and template (or reference), 0 to 1; "
        "T1w 0.7 to 0.8, other contrasts from 0.3"
    },
    "RivalSimilarity": {
        "Description": "Similarity of the best placement that is quite another, such as back to front; "
        "-1 if there is none; normally far below Similarity",
    },
    "StartDisagreementMM": {
        "Description": "Largest distance over the head between registrations from two starts; "
        "normally below 0.5",
        "Units": "mm",
    },
    "OutlineCorrelation": {
        "Description": "Correlation of tissue and air, scan and template, outside the face; "
        "normally above 0.9"
    },
    "Scale": {"Description": "Size of the template's head relative to the scan's; normally 0.85 to 1.1"},
    "Stretch": {"Description": "Largest over smallest stretch of the template; normally below 1.2"},
    "BrainDistanceMM": {
        "Description": "Smallest distance from the mask to the brain as registered",
        "Units": "mm",
    },
    "GuardDepthMM": {
        "Description": "How deep the brain guard reaches into the face region; normally below 7",
        "Units": "mm",
    },
    "MaskML": {"Description": "Volume of the mask, air included", "Units": "mL"},
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
    for path in sorted(
        output_dir.glob("sub-*/**/*_desc-defaced_*.json"), key=lambda path: natural_key(path.name)
    ):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))["Bidsdeface"]
            values = {**record, **record["Measures"], "Regions": ",".join(record.get("Regions", []))}
        except FileNotFoundError:
            continue  # a participant task is replacing it at this moment
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BidsdefaceError(
                f"{path}: is not a sidecar of this program ({error}); remove it and its image"
            ) from error
        row = {name: values[name] for name in COLUMNS if values.get(name) not in (None, "")}
        rows.append({**row, "scan": path.relative_to(output_dir).with_suffix(".nii.gz").as_posix()})
    return rows
