"""Write the files that make a folder of results a BIDS derivative dataset.

Every task of a cluster job writes them, at the same time and with the same content.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from bidsdeface import __version__
from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.inheritance import read_sidecar
from bidsdeface.dataset.layout import IGNORED_MASKS
from bidsdeface.dataset.publish import Staging
from bidsdeface.dataset.record import to_json
from bidsdeface.errors import UsageError
from bidsdeface.privacy.looks import LOCAL, looks_like
from bidsdeface.privacy.values import is_finite, texts_in
from bidsdeface.schema import description_fields
from bidsdeface.settings import BIDS, DERIVATIVES

BIDS_VERSION = "1.11.1"
DESCRIPTION = PurePosixPath("dataset_description.json")
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
# Written anew: the DOI is that of the source, which is no copy of this.
_OF_THE_SOURCE = ("DatasetDOI", "DatasetType")
_LISTS = ("GeneratedBy", "SourceDatasets")
_STATEMENT = (
    "De-identified: faces removed from images of heads; headers, sidecars and tables cleaned by rules. "
    "Functional and diffusion images are defaced only where their sidecar says so."
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
    check_ours(output_dir, DERIVATIVES)
    source = read_sidecar(bids_dir, DESCRIPTION)
    texts = {
        PurePath(".bidsignore"): _BIDSIGNORE + IGNORED_MASKS,
        PurePath("descriptions.tsv"): _DESCRIPTIONS,
        DESCRIPTION: to_json(describe(source, environ)),
    }
    stale = {name: text for name, text in texts.items() if _text_of(output_dir / name) != text}
    if not stale:
        return
    with Staging(output_dir) as staging:
        for name, text in stale.items():
            (staging.folder / name).write_text(text, encoding="utf-8")
        for name in stale:
            staging.publish({name: staging.folder / name})


def check_ours(output_dir: Path, layout: str) -> None:
    """Refuse an output folder that holds something else than results of this program in this layout.

    Parameters
    ----------
    output_dir : Path
        Need not exist.
    layout : str
        One of `bidsdeface.settings.LAYOUTS`.

    Raises
    ------
    BidsdefaceError
        Its ``dataset_description.json`` cannot be read.
    UsageError
        It holds the dataset of somebody else, or of the other layout.
    """
    kind = "raw" if layout == BIDS else "derivative"
    path = output_dir / DESCRIPTION
    check_fetched(path, output_dir)
    if not path.exists():
        if any(output_dir.glob("sub-*")):
            raise UsageError(
                f"{output_dir}: holds scans that bidsdeface did not write; choose an empty OUTPUT_DIR"
            )
        return
    description = read_sidecar(output_dir, DESCRIPTION)
    generators = description.get("GeneratedBy")
    names = [one.get("Name") for one in generators or [] if isinstance(one, dict)]
    if "bidsdeface" not in names:
        raise UsageError(
            f"{path}: describes a dataset that bidsdeface did not make; choose an empty OUTPUT_DIR"
        )
    if description.get("DatasetType") != kind:
        raise UsageError(
            f"{path}: describes a dataset of the other layout; choose an empty OUTPUT_DIR, or another "
            "--output-layout"
        )


def claim_shareable(output_dir: Path) -> None:
    """Mark a folder as ours, to become a complete dataset, with a description that is filled in at the end.

    Raises
    ------
    BidsdefaceError
        A file cannot be read or written.
    UsageError
        `output_dir` holds the dataset of somebody else, or of the other layout.
    """
    check_ours(output_dir, BIDS)
    texts = {
        PurePath(".bidsignore"): IGNORED_MASKS,
        DESCRIPTION: to_json(describe_shareable({})[0]),
    }
    for name, text in texts.items():
        if not (output_dir / name).exists():
            with Staging(output_dir) as staging:
                (staging.folder / name).write_text(text, encoding="utf-8")
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


def describe_shareable(
    source: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> tuple[dict[str, Any], dict[str, str]]:
    """Compose ``dataset_description.json`` of a complete dataset to share, from that of its source.

    Parameters
    ----------
    source : mapping
        What BIDS has for datasets is passed on as it is, people's names and addresses included, but for its
        DOI, which becomes a source, and for paths of a machine.
    environ : mapping of str to str
        Environment that says which container this is.

    Returns
    -------
    description : dict
    reasons : dict of str to str
        Why fields are left out, by their names.
    """
    kept: dict[str, Any] = {"Name": "n/a", "BIDSVersion": BIDS_VERSION}
    reasons = {}
    for field, value in source.items():
        if field in _OF_THE_SOURCE:
            continue
        if field not in description_fields():
            reasons[field] = "BIDS has no such field"
        elif not is_finite(value):
            reasons[field] = "NaN or infinity, which JSON has not"
        elif field in _LISTS and not isinstance(value, list):
            reasons[field] = "is not a list"
        elif any(kind in LOCAL for text in texts_in(value) for kind in looks_like(text)):
            reasons[field] = "holds a path or an address of your machine or network"
        else:
            kept[field] = value
    generated, sources = (kept.get(name, []) for name in _LISTS)
    ours = {**describe({}, environ)["GeneratedBy"][0], "Description": _STATEMENT}
    if doi := _DOI.fullmatch(str(source.get("DatasetDOI", "")).strip()):
        sources = [*sources, {"DOI": f"doi:{doi[1]}"}]
    return {
        **kept,
        "DatasetType": "raw",
        "GeneratedBy": [*generated, ours],
        **({"SourceDatasets": sources} if sources else {}),
    }, reasons


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
