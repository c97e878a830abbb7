"""Compose the JSON sidecars of a defaced image and of its face mask. No file is opened."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bidsdeface import __version__
from bidsdeface.privacy.policy import DROP, Policy, Rule, file_fields, load_policy
from bidsdeface.privacy.sidecar import Telling, scrub_metadata

# DICOM PS3.16 CID 7050, and a private code of our own ("99" marks private coding schemes).
_CODES = (
    {
        "CodeValue": "113102",
        "CodeMeaning": "Clean Recognizable Visual Features Option",
        "CodingSchemeDesignator": "DCM",
        "CodingSchemeVersion": "01",
    },
    {
        "CodeValue": "face-removed",
        "CodeMeaning": "Face removed by bidsdeface",
        "CodingSchemeDesignator": "99BIDSDEFACE",
        "CodingSchemeVersion": __version__,
    },
)


def image_sidecar(
    source_metadata: Mapping[str, Any],
    provenance: Mapping[str, Any],
    source_uri: str | None,
    policy: Policy | None = None,
    task: str | None = None,
    telling: Telling = lambda text: False,
) -> dict[str, Any]:
    """Compose the sidecar of a defaced image.

    Parameters
    ----------
    source_metadata : mapping
        Metadata of the raw scan; only harmless fields of it are kept, and none that names files: which of
        them are in the output, nobody knows yet.
    provenance : mapping
        What was done and measured; becomes the ``Bidsdeface`` object as it is.
    source_uri : str or None
        BIDS URI of the raw scan; None for an image under its own name in a complete dataset, which has no
        sources.
    policy : mapping of str to Rule, optional
        From `load_policy`; ours by default.
    task : str, optional
        Label of the task in the scan's name.
    telling : callable, optional
        Return True for a text that holds an identifier of the dataset.

    Returns
    -------
    dict
    """
    derived = {
        "Description": "Image with the face removed; outside the face mask, as acquired",
        "SkullStripped": False,
        "Sources": [source_uri],
    }
    return {
        **_acquisition(source_metadata, policy, task, telling),
        **(derived if source_uri else {}),
        "DeidentificationMethod": [f"Face removed by bidsdeface {__version__}"],
        "DeidentificationMethodCodeSequence": [dict(code) for code in _CODES],
        "Bidsdeface": dict(provenance),
    }


def no_face_sidecar(
    source_metadata: Mapping[str, Any],
    provenance: Mapping[str, Any],
    source_uri: str | None,
    skull_stripped: bool,
    policy: Policy | None = None,
    task: str | None = None,
    telling: Telling = lambda text: False,
) -> dict[str, Any]:
    """Compose the sidecar of an image that shows no face: nothing was removed, and nothing is claimed.

    Parameters
    ----------
    source_metadata, provenance, source_uri, policy, task, telling
        As of `image_sidecar`.
    skull_stripped : bool
        Whether the image shows a bare brain.

    Returns
    -------
    dict
    """
    derived = {
        "Description": "Image that shows no face; nothing was removed",
        "SkullStripped": skull_stripped,
        "Sources": [source_uri],
    }
    return {
        **_acquisition(source_metadata, policy, task, telling),
        **(derived if source_uri else {}),
        "Bidsdeface": dict(provenance),
    }


def mask_sidecar(provenance: Mapping[str, Any], source_uris: Sequence[str]) -> dict[str, Any]:
    """Compose the sidecar of a face mask.

    Parameters
    ----------
    provenance : mapping
        What was done and measured; becomes the ``Bidsdeface`` object as it is.
    source_uris : sequence of str
        BIDS URIs of the raw scans that the mask is for: one, or a set of one grid; none in a complete
        dataset, in which the mask is no derivative.

    Returns
    -------
    dict
    """
    derived = {"Type": "Face", "SkullStripped": False, "Sources": list(source_uris)}
    return {
        "Description": "Voxels whose values were replaced to hide the face are 1, all others 0",
        **(derived if source_uris else {}),
        "Bidsdeface": dict(provenance),
    }


def _acquisition(
    metadata: Mapping[str, Any], policy: Policy | None, task: str | None, telling: Telling
) -> dict[str, Any]:
    """Return what may be said of how a scan was acquired."""
    policy = load_policy() if policy is None else policy
    without_files = {**policy, **dict.fromkeys(file_fields(policy), Rule(DROP))}
    return scrub_metadata(metadata, without_files, task, datatype="anat", telling=telling)[0]


def to_json(content: Mapping[str, Any]) -> str:
    """Write metadata as JSON text the way every file of the dataset has it."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
