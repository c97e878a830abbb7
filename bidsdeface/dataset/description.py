"""Write the files that make a folder of results a BIDS derivative dataset.

Every task of a cluster job writes them, at the same time and with the same content.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from bidsdeface import __version__
from bidsdeface.dataset.publish import Staging
from bidsdeface.dataset.sidecar import to_json
from bidsdeface.errors import BidsdefaceError, UsageError

BIDS_VERSION = "1.11.1"
CONTAINER_VARIABLE = "BIDSDEFACE_CONTAINER"  # image tag, set when the container image is built

_DESCRIPTIONS = """\
desc_id\tdescription
desc-defaced\tImage with the face removed; outside the face mask, stored values are unchanged
desc-noface\tImage that shows no face, by positive evidence; nothing was removed
desc-face\tFace mask: voxels whose values were replaced to hide the face
"""
_BIDSIGNORE = """\
*.html
figures
quality.*
reidentification.*
"""
# BIDS asks for a link wherever "bids:raw:" is used. A name, not a place: where the raw dataset
# lies on the machine of the person who defaced it is nobody's business.
_UNDISCLOSED_LINK = "urn:bids:raw"
# Names of licences; any other text might name somebody.
_LICENCE = re.compile(
    r"(?:PD|PDDL|CC0|MIT|Apache|BSD|ODbL|ODC|GPL|CC[ -]?BY)[A-Za-z0-9 .-]{0,20}", re.IGNORECASE
)
_DOI = re.compile(r"(?:doi:|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/[-._;()/:A-Za-z0-9]+)", re.IGNORECASE)


def write_dataset_files(output_dir: Path, bids_dir: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Write ``dataset_description.json``, ``descriptions.tsv`` and ``.bidsignore``.

    Files that are already as they should be are left alone.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset; must exist.
    bids_dir : Path
        Root of the raw dataset.
    environ : mapping of str to str, optional
        Environment that says which container this is.

    Raises
    ------
    BidsdefaceError
        If a file cannot be read or written.
    UsageError
        If `output_dir` holds the dataset of somebody else.
    """
    _check_ours(output_dir)
    source = _read_description(bids_dir / "dataset_description.json")
    texts = {
        PurePath(".bidsignore"): _BIDSIGNORE,
        PurePath("descriptions.tsv"): _DESCRIPTIONS,
        PurePath("dataset_description.json"): to_json(describe(source, environ)),
    }
    stale = {name: text for name, text in texts.items() if _text_of(output_dir / name) != text}
    if not stale:
        return
    with Staging(output_dir) as staging:
        for name, text in stale.items():
            (staging.folder / name).write_text(text, encoding="utf-8")
        for name in stale:
            staging.publish({name: staging.folder / name})


def describe(source: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Compose ``dataset_description.json``.

    Parameters
    ----------
    source : mapping
        The description of the raw dataset, of which DOI and licence are passed on.
    environ : mapping of str to str
        Environment that says which container this is.

    Returns
    -------
    dict
    """
    generator: dict[str, Any] = {"Name": "bidsdeface", "Version": __version__}
    if tag := environ.get(CONTAINER_VARIABLE):
        apptainer = environ.keys() & {"APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"}
        generator["Container"] = {"Type": "apptainer" if apptainer else "docker", "Tag": tag}
    description: dict[str, Any] = {
        "Name": "Defaced anatomical images",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [generator],
        "DatasetLinks": {"raw": _UNDISCLOSED_LINK},
    }
    if doi := _DOI.fullmatch(str(source.get("DatasetDOI", "")).strip()):
        description["SourceDatasets"] = [{"DOI": f"doi:{doi[1]}"}]
        description["DatasetLinks"] = {"raw": f"doi:{doi[1]}"}
    if _LICENCE.fullmatch(licence := str(source.get("License", "")).strip()):
        description["License"] = licence
    return description


def _check_ours(output_dir: Path) -> None:
    path = output_dir / "dataset_description.json"
    if not path.exists():
        if any(output_dir.glob("sub-*")):
            raise UsageError(
                f"{output_dir}: holds scans that bidsdeface did not write; choose an empty OUTPUT_DIR"
            )
        return
    generators = _read_description(path).get("GeneratedBy")
    names = [one.get("Name") for one in generators or [] if isinstance(one, dict)]
    if "bidsdeface" not in names:
        raise UsageError(
            f"{path}: describes a dataset that bidsdeface did not make; choose an empty OUTPUT_DIR"
        )


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BidsdefaceError(f"{path}: cannot be read ({error}); correct the file") from error
    if not isinstance(description, dict):
        raise BidsdefaceError(f"{path}: not a JSON object; correct the file")
    return description


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
