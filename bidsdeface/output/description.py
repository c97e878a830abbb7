"""Write the files that make an output folder a BIDS dataset: its description and what belongs to it.

Every task of a cluster job writes them, possibly at the same time, with the same content.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from bidsdeface import __version__
from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.inheritance import read_sidecar
from bidsdeface.dataset.names import DESCRIPTION
from bidsdeface.deidentify.patterns import LOCAL, find_pii
from bidsdeface.deidentify.values import is_finite, texts_in
from bidsdeface.errors import UsageError, first_of, raise_first
from bidsdeface.output.names import BIDS, DERIVATIVES, IGNORED_MASKS
from bidsdeface.output.publish import publish_texts
from bidsdeface.output.record import to_json
from bidsdeface.schema import description_fields

BIDS_VERSION = "1.11.1"

CONTAINER_VARIABLE = "BIDSDEFACE_CONTAINER"  # image tag, set when the container image is built

_DESCRIPTIONS = """\
desc_id\tdescription
desc-defaced\tImage with the face removed or replaced by an average; outside the mask, values are unchanged
desc-noface\tImage that shows no face, by positive evidence; nothing was removed
desc-face\tFace mask: voxels whose values were replaced to hide the face
"""
_README = Path(__file__).with_name("readme.md")
_BIDSIGNORE = """\
*.html
figures
impact.*
missing.*
quality.*
reidentification.*
"""
IGNORE_FILE = {PurePath(".bidsignore"): _BIDSIGNORE + IGNORED_MASKS}  # of a derivative
# BIDS requires a link wherever "bids:raw:" is used. It is a name: the path of the raw dataset is private.
_UNDISCLOSED_LINK = "urn:bids:raw"
# Names of licences; any other text might name a person.
_LICENCE = re.compile(
    r"(?:PD|PDDL|CC0|MIT|Apache|BSD|ODbL|ODC|GPL|CC[ -]?BY)[A-Za-z0-9 .-]{0,20}", re.IGNORECASE
)
# The DOI is that of the source, and the type is our own.
_OF_THE_SOURCE = ("DatasetDOI", "DatasetType")
_LISTS = ("GeneratedBy", "SourceDatasets")
_STATEMENT = (
    "De-identified: faces removed from images of heads; headers, sidecars and tables cleaned by rules. "
    "Functional and diffusion images are defaced only where their sidecar says so."
)
_DOI = re.compile(r"(?:doi:|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/[-._;()/:A-Za-z0-9]+)", re.IGNORECASE)


def write_dataset_files(output_dir: Path, bids_dir: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Write ``dataset_description.json``, ``descriptions.tsv``, ``.bidsignore`` and a README.

    Files that are up to date are left alone, and so is a README that somebody has written.

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
        If `output_dir` holds a dataset that this program did not make.
    """
    check_ours(output_dir, DERIVATIVES)
    texts: dict[PurePath, str] = {
        **IGNORE_FILE,
        PurePath("descriptions.tsv"): _DESCRIPTIONS,
        DESCRIPTION: to_json(describe(read_sidecar(bids_dir, DESCRIPTION), environ)),
    }
    if not any(output_dir.glob("README*")):
        texts[PurePath("README.md")] = _README.read_text(encoding="utf-8")
    publish_texts(output_dir, texts)


def check_ours(output_dir: Path, layout: str) -> None:
    """Refuse an output folder that holds anything but results of this program in this layout.

    Parameters
    ----------
    output_dir : Path
        Need not exist.
    layout : str
        One of `bidsdeface.output.names.LAYOUTS`.

    Raises
    ------
    BidsdefaceError
        Its ``dataset_description.json`` cannot be read.
    UsageError
        It holds a dataset that this program did not make, or that has the other layout.
    """
    path = output_dir / DESCRIPTION
    check_fetched(path, output_dir)
    exists, kind = path.exists(), "raw" if layout == BIDS else "derivative"
    description = read_sidecar(output_dir, DESCRIPTION) if exists else {}
    names = [one.get("Name") for one in description.get("GeneratedBy") or [] if isinstance(one, dict)]
    raise_first(
        {
            f"{output_dir}: holds scans that bidsdeface did not write; choose an empty OUTPUT_DIR": (
                not exists and any(output_dir.glob("sub-*"))
            ),
            f"{path}: describes a dataset that bidsdeface did not make; choose an empty OUTPUT_DIR": (
                exists and "bidsdeface" not in names
            ),
            f"{path}: describes a dataset of the other layout; choose an empty OUTPUT_DIR, or another "
            "--output-layout": exists and description.get("DatasetType") != kind,
        },
        UsageError,
    )


def claim_shareable(output_dir: Path) -> None:
    """Mark a folder as an output of this program, with a description that is completed at the end of the run.

    Raises
    ------
    BidsdefaceError
        A file cannot be read or written.
    UsageError
        `output_dir` holds a dataset that this program did not make, or that has the other layout.
    """
    check_ours(output_dir, BIDS)
    texts = {
        PurePath(".bidsignore"): IGNORED_MASKS,
        DESCRIPTION: to_json(describe_shareable({})[0]),
    }
    publish_texts(
        output_dir, {name: text for name, text in texts.items() if not (output_dir / name).exists()}
    )


def describe(source: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Compose ``dataset_description.json`` of a derivative dataset.

    Parameters
    ----------
    source : mapping
        The description of the raw dataset; only its DOI and licence are passed on.
    environ : mapping of str to str
        Environment that says which container this is.

    Returns
    -------
    dict
    """
    doi, licence = _doi_of(source), str(source.get("License", "")).strip()
    return {
        "Name": "Defaced anatomical images",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [_generator(environ)],
        "DatasetLinks": {"raw": doi or _UNDISCLOSED_LINK},
        **({"SourceDatasets": [{"DOI": doi}]} if doi else {}),
        **({"License": licence} if _LICENCE.fullmatch(licence) else {}),
    }


def _generator(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the entry for this program in ``GeneratedBy``."""
    tag = environ.get(CONTAINER_VARIABLE)
    apptainer = environ.keys() & {"APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"}
    container = {"Type": "apptainer" if apptainer else "docker", "Tag": tag}
    return {"Name": "bidsdeface", "Version": __version__, **({"Container": container} if tag else {})}


def _doi_of(source: Mapping[str, Any]) -> str:
    """Return the DOI of a dataset as a URI; empty if it has none."""
    match = _DOI.fullmatch(str(source.get("DatasetDOI", "")).strip())
    return f"doi:{match[1]}" if match else ""


def describe_shareable(
    source: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> tuple[dict[str, Any], dict[str, str]]:
    """Compose ``dataset_description.json`` of a complete dataset.

    Parameters
    ----------
    source : mapping
        The description of the raw dataset. Fields of BIDS are passed on unchanged, with names and addresses
        of people, but not those with paths of a machine; the DOI becomes a source.
    environ : mapping of str to str
        Environment that says which container this is.

    Returns
    -------
    description : dict
    reasons : dict of str to str
        The reason for each field that is left out.
    """
    doi = _doi_of(source)
    passed_on = {field: value for field, value in source.items() if field not in _OF_THE_SOURCE}
    reasons = {
        field: reason for field, value in passed_on.items() if (reason := _why_not_shared(field, value))
    }
    kept = {field: value for field, value in passed_on.items() if field not in reasons}
    sources = [*kept.get("SourceDatasets", []), *([{"DOI": doi}] if doi else [])]
    return {
        "Name": "n/a",
        "BIDSVersion": BIDS_VERSION,
        **kept,
        "DatasetType": "raw",
        "GeneratedBy": [
            *kept.get("GeneratedBy", []),
            {**_generator(environ), "Description": _STATEMENT},
        ],
        **({"SourceDatasets": sources} if sources else {}),
    }, reasons


def _why_not_shared(field: str, value: Any) -> str | None:
    """Return why a field of a description is not passed on, or None if it is."""
    kinds = {kind for text in texts_in(value) for kind in find_pii(text)}
    reasons = {
        "BIDS has no such field": field not in description_fields(),
        "NaN or infinity, which JSON has not": not is_finite(value),
        "is not a list": field in _LISTS and not isinstance(value, list),
        "holds a path or an address of your machine or network": not kinds.isdisjoint(LOCAL),
    }
    return first_of(reasons)
