"""Tell whether an earlier run has finished a scan in the way that is asked for now."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bidsdeface.dataset.layout import Outputs


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
