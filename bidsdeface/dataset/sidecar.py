"""Compose the JSON sidecars of a defaced image and of its face mask. No file is opened."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bidsdeface import __version__
from bidsdeface.privacy.sidecar import keep_physics

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
    source_metadata: Mapping[str, Any], provenance: Mapping[str, Any], source_uri: str
) -> dict[str, Any]:
    """Compose the sidecar of a defaced image.

    Parameters
    ----------
    source_metadata : mapping
        Metadata of the raw scan; only harmless fields of it are kept.
    provenance : mapping
        What was done and measured; becomes the ``Bidsdeface`` object as it is.
    source_uri : str
        BIDS URI of the raw scan.

    Returns
    -------
    dict
    """
    return {
        **keep_physics(source_metadata),
        "Description": "Image with the face removed; outside the face mask, as acquired",
        "SkullStripped": False,
        "Sources": [source_uri],
        "DeidentificationMethod": [f"Face removed by bidsdeface {__version__}"],
        "DeidentificationMethodCodeSequence": [dict(code) for code in _CODES],
        "Bidsdeface": dict(provenance),
    }


def no_face_sidecar(
    source_metadata: Mapping[str, Any],
    provenance: Mapping[str, Any],
    source_uri: str,
    skull_stripped: bool,
) -> dict[str, Any]:
    """Compose the sidecar of an image that shows no face: nothing was removed, and nothing is claimed.

    Parameters
    ----------
    source_metadata, provenance, source_uri
        As of `image_sidecar`.
    skull_stripped : bool
        Whether the image shows a bare brain.

    Returns
    -------
    dict
    """
    return {
        **keep_physics(source_metadata),
        "Description": "Image that shows no face; nothing was removed",
        "SkullStripped": skull_stripped,
        "Sources": [source_uri],
        "Bidsdeface": dict(provenance),
    }


def mask_sidecar(provenance: Mapping[str, Any], source_uris: Sequence[str]) -> dict[str, Any]:
    """Compose the sidecar of a face mask.

    Parameters
    ----------
    provenance : mapping
        What was done and measured; becomes the ``Bidsdeface`` object as it is.
    source_uris : sequence of str
        BIDS URIs of the raw scans that the mask is for: one, or a set of one grid.

    Returns
    -------
    dict
    """
    return {
        "Description": "Voxels whose values were replaced to hide the face are 1, all others 0",
        "Type": "Face",
        "SkullStripped": False,
        "Sources": list(source_uris),
        "Bidsdeface": dict(provenance),
    }


def to_json(content: Mapping[str, Any]) -> str:
    """Write metadata as JSON text the way every file of the dataset has it."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
