"""Our own sidecars: composed for a scan that is about to be published, and read of published scans."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface import __version__
from bidsdeface.dataset.inheritance import JsonError, parse_json, read_json
from bidsdeface.dataset.kinds import ANATOMICAL
from bidsdeface.dataset.names import RAW, natural_key, stem_of
from bidsdeface.deidentify.policy import (
    DROP,
    FILES,
    Policy,
    Rule,
    TextTest,
    load_policy,
    scrub_metadata,
)
from bidsdeface.errors import BidsdefaceError, read_errors
from bidsdeface.output.names import BIDS, sidecar_of

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

DESCRIPTIONS = ("defaced", "noface")
OWN_FIELDS = ("DeidentificationMethod", "DeidentificationMethodCodeSequence", "Bidsdeface")


def image_sidecar(
    source_metadata: Mapping[str, Any],
    provenance: Mapping[str, Any],
    source_uri: str | None,
    policy: Policy | None = None,
    task: str | None = None,
    identifies: TextTest = lambda text: False,
    *,
    no_face: bool = False,
    skull_stripped: bool = False,
    is_refaced: bool = False,
) -> dict[str, Any]:
    """Compose the sidecar of a defaced image, or of one that shows no face.

    Parameters
    ----------
    source_metadata : mapping
        Metadata of the raw scan. Only harmless fields are kept, and none that names files, as it is not known
        yet which files will be in the output.
    provenance : mapping
        The ``Bidsdeface`` object: method, measures and verdict.
    source_uri : str or None
        BIDS URI of the raw scan; None for an image of a complete dataset, which is no derivative.
    policy : mapping of str to Rule, optional
        From `load_policy`; the built-in policy by default.
    task : str, optional
        Label of the task in the scan's name.
    identifies : callable, optional
        Return True for a text that holds an identifier of the dataset.
    no_face : bool, optional
        Whether the image shows no face, so that nothing was removed, and no removal is claimed.
    skull_stripped : bool, optional
        Whether the image shows a bare brain.
    is_refaced : bool, optional
        Whether an average face took the place of the person's.

    Returns
    -------
    dict
    """
    policy = load_policy() if policy is None else policy
    without_files = {name: Rule(DROP) if rule.kind == FILES else rule for name, rule in policy.items()}
    kept, _ = scrub_metadata(source_metadata, without_files, task, datatype="anat", identifies=identifies)
    done = "replaced by an average face" if is_refaced else "removed"
    derived = {
        "Description": "Image that shows no face; nothing was removed"
        if no_face
        else f"Image with the face {done}; outside the face mask, as acquired",
        "SkullStripped": skull_stripped,
        "Sources": [source_uri],
    }
    defaced = {
        "DeidentificationMethod": [f"Face {done} by bidsdeface {__version__}"],
        "DeidentificationMethodCodeSequence": [dict(code) for code in _CODES],
    }
    return {
        **kept,
        **(derived if source_uri else {}),
        **({} if no_face else defaced),
        "Bidsdeface": dict(provenance),
    }


def mask_sidecar(provenance: Mapping[str, Any], source_uris: Sequence[str]) -> dict[str, Any]:
    """Compose the sidecar of a face mask.

    Parameters
    ----------
    provenance : mapping
        The ``Bidsdeface`` object: method, measures and verdict.
    source_uris : sequence of str
        BIDS URIs of the raw scans that share the mask; none in a complete dataset, where the mask is no
        derivative.

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


def to_json(content: Mapping[str, Any]) -> str:
    """Return metadata as JSON text, in the form of all JSON files of the output."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True)
class Published:
    """A published scan.

    Attributes
    ----------
    image : PurePosixPath
        Relative to the output dataset.
    sidecar : mapping
    """

    image: PurePosixPath
    sidecar: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """Stem of the scan whose result it is, such as ``sub-01_T1w``."""
        return re.sub("_desc-(defaced|noface)", "", stem_of(self.image))

    @property
    def record(self) -> Mapping[str, Any]:
        """The ``Bidsdeface`` object: method, measures and verdict."""
        return self.sidecar["Bidsdeface"]

    @property
    def shows_anatomy(self) -> bool:
        """Whether this is an anatomical image that was judged by itself: no series, phase image or map."""
        return self.image.parent.name == ANATOMICAL and "MaskOf" not in self.record

    @property
    def original(self) -> PurePosixPath | None:
        """The raw scan of a derivative, relative to the raw dataset, if the sidecar names it."""
        sources = self.sidecar.get("Sources")
        source = str(sources[0]) if isinstance(sources, list) and sources else ""
        return PurePosixPath(source.removeprefix(RAW)) if source.startswith(RAW) else None

    @property
    def is_defaced(self) -> bool:
        """Whether a face was removed; otherwise the scan shows none."""
        return bool(self.record.get("Method"))


def published_scans(output_dir: Path, layout: str, subjects: Sequence[str] = ("*",)) -> list[Published]:
    """Return every published scan, in natural order of the names.

    Parameters
    ----------
    output_dir : Path
    layout : str
        One of `bidsdeface.output.names.LAYOUTS`.
    subjects : sequence of str, optional
        Labels of participants without ``sub-``; all by default.

    Raises
    ------
    BidsdefaceError
        A sidecar cannot be read, or this program did not write it.
    """
    published = []
    found = (path for label in subjects for path in output_dir.glob(f"sub-{label}/**/*.json"))
    sidecars = (path for path in found if _may_be_ours(path, output_dir, layout))
    for path in sorted(sidecars, key=lambda path: natural_key(path.name)):
        try:
            content = path.read_bytes()
            if layout == BIDS and b"Bidsdeface" not in content:
                continue  # it belongs to a companion
            sidecar = parse_json(content)
            dict(sidecar["Bidsdeface"]["Measures"])
        except FileNotFoundError:
            continue  # a participant task is replacing it at this moment
        except (JsonError, OSError, ValueError, KeyError, TypeError) as error:
            raise BidsdefaceError(
                f"{path}: is not a sidecar of this program; remove it and its image"
            ) from error
        image = path.with_suffix(".nii" if path.with_suffix(".nii").is_file() else ".nii.gz")
        published.append(Published(PurePosixPath(image.relative_to(output_dir)), sidecar))
    return published


def _may_be_ours(path: Path, output_dir: Path, layout: str) -> bool:
    """Return True if a file has the name of a scan's sidecar, and lies in no hidden folder."""
    is_derivative = any(f"_desc-{desc}_" in path.name for desc in DESCRIPTIONS)
    is_of_scan = "_defacemask" not in path.name if layout == BIDS else is_derivative
    return is_of_scan and not any(part[0] == "." for part in path.relative_to(output_dir).parts)


def read_record(image: Path) -> Mapping[str, Any]:
    """Return the ``Bidsdeface`` object in the sidecar of an image; empty if there is none."""
    try:
        record = read_json(sidecar_of(image))["Bidsdeface"]
    except (JsonError, OSError, KeyError):
        return {}
    return record if isinstance(record, Mapping) else {}


def is_published(image: Path) -> bool:
    """Return True if the sidecar of an image of a complete dataset says that this program published it."""
    return image.is_file() and "Bidsdeface" in own_fields(image)


def own_fields(image: Path) -> dict[str, Any]:
    """Return the fields that this program has written to the sidecar of an image of a complete dataset.

    Raises
    ------
    BidsdefaceError
        The sidecar cannot be read. It may be ours: what it vouches for is not to be removed.
    """
    path = sidecar_of(image)
    with read_errors(path), suppress(FileNotFoundError, NotADirectoryError, JsonError):  # else none of ours
        sidecar = read_json(path)
        return {name: sidecar[name] for name in OWN_FIELDS if name in sidecar}
    return {}
