"""What an output dataset holds: every published scan, and what its sidecar says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.inheritance import JsonError, parse_json
from bidsdeface.dataset.kinds import ANATOMICAL
from bidsdeface.dataset.query import natural_key
from bidsdeface.dataset.scan import RAW
from bidsdeface.errors import BidsdefaceError
from bidsdeface.settings import BIDS

DESCRIPTIONS = ("defaced", "noface")


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
    def record(self) -> Mapping[str, Any]:
        """How it was defaced and judged: the ``Bidsdeface`` object."""
        return self.sidecar["Bidsdeface"]

    @property
    def shows_anatomy(self) -> bool:
        """Whether this is an anatomical image that was judged itself: no series, no phase, no map."""
        return self.image.parent.name == ANATOMICAL and "MaskOf" not in self.record

    @property
    def original(self) -> PurePosixPath | None:
        """The raw scan of a derivative, relative to the raw dataset, if the sidecar names it."""
        sources = self.sidecar.get("Sources")
        source = sources[0] if isinstance(sources, list) and sources else None
        if not isinstance(source, str) or not source.startswith(RAW):
            return None
        return PurePosixPath(source.removeprefix(RAW))

    @property
    def is_defaced(self) -> bool:
        """Whether something was removed; otherwise the scan shows no face."""
        return bool(self.record.get("Method"))


def published_scans(output_dir: Path, layout: str) -> list[Published]:
    """Return every published scan, in natural order of the names.

    Raises
    ------
    BidsdefaceError
        A sidecar cannot be read, or is somebody else's.
    """
    found = []
    for path in _candidates(output_dir, layout):
        try:
            content = path.read_bytes()
            if layout == BIDS and b"Bidsdeface" not in content:
                continue  # of a file that was carried over
            sidecar = parse_json(content)
            dict(sidecar["Bidsdeface"]["Measures"])
        except FileNotFoundError:
            continue  # a participant task is replacing it at this moment
        except (JsonError, OSError, ValueError, KeyError, TypeError) as error:
            raise BidsdefaceError(
                f"{path}: is not a sidecar of this program; remove it and its image"
            ) from error
        image = path.with_suffix(".nii")
        image = image if image.is_file() else path.with_suffix(".nii.gz")
        found.append(Published(PurePosixPath(image.relative_to(output_dir)), sidecar))
    return found


def _candidates(output_dir: Path, layout: str) -> list[Path]:
    """Return the files that may be sidecars of published scans, by their names."""
    if layout == BIDS:
        found = [path for path in output_dir.glob("sub-*/**/*.json") if "_defacemask" not in path.name]
    else:
        found = [path for desc in DESCRIPTIONS for path in output_dir.glob(f"sub-*/**/*_desc-{desc}_*.json")]
    found = [path for path in found if not any(part[0] == "." for part in path.relative_to(output_dir).parts)]
    return sorted(found, key=lambda path: natural_key(path.name))
