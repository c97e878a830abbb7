"""Tell whether an earlier run has finished a scan in the way that is asked for now."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bidsdeface import __version__
from bidsdeface.dataset.layout import Outputs, outputs_of
from bidsdeface.dataset.scan import Head
from bidsdeface.settings import Settings

METHOD = "remove"
BY_HAND = {"Version": __version__, "Method": METHOD, "MaskSource": "by hand"}


def promise(settings: Settings) -> dict[str, Any]:
    """Return what the ``Bidsdeface`` object of every result of these settings says."""
    if settings.mask:
        return BY_HAND
    return {
        "Version": __version__,
        "Method": METHOD,
        "MaskSource": "template",
        "Template": settings.template,
        "Regions": list(settings.regions),
        "GuardMM": settings.guard_mm,
    }


def finished_scans(head: Head, settings: Settings) -> set[str]:
    """Return the stems of a head's scans that need not be done again.

    What a person did by hand stays, until it is given anew or everything is redone by force.
    """
    if settings.force or settings.mask:
        return set()
    return {
        scan.stem
        for scan in head.scans
        for wanted in (promise(settings), BY_HAND)
        if is_complete(settings.output_dir, outputs_of(scan), wanted)
    }


def is_complete(output_dir: Path, outputs: Outputs, provenance: Mapping[str, Any]) -> bool:
    """Look for a finished result that was made with the same settings.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset.
    outputs : Outputs
        The files of the scan.
    provenance : mapping
        What the ``Bidsdeface`` object of the image's sidecar must hold, at least.

    Returns
    -------
    bool
    """
    if not all((output_dir / name).is_file() for name in vars(outputs).values()):
        return False
    try:
        sidecar = json.loads((output_dir / outputs.image_sidecar).read_text(encoding="utf-8"))
        found = sidecar["Bidsdeface"]
        return all(found[name] == value for name, value in as_stored(provenance).items())
    except (OSError, ValueError, KeyError, TypeError):  # not a sidecar of ours
        return False


def as_stored(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Turn values into what JSON gives back for them: tuples into lists."""
    return json.loads(json.dumps(provenance))
