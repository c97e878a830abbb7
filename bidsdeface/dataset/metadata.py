"""Read the sidecar metadata of a scan, with BIDS inheritance."""

from pathlib import Path
from typing import Any

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.index import open_layout
from bidsdeface.dataset.scan import Scan
from bidsdeface.errors import BidsdefaceError


def read_metadata(bids_dir: Path, scan: Scan) -> dict[str, Any]:
    """Merge the JSON files that apply to a scan, the nearest winning.

    Parameters
    ----------
    bids_dir : Path
        Root of the dataset.
    scan : Scan
        One of its scans.

    Returns
    -------
    dict
        Empty where there is no sidecar.

    Raises
    ------
    BidsdefaceError
        If a JSON file of this participant cannot be read.
    """
    sessions = [scan.session] if scan.session else []
    try:
        layout = open_layout(bids_dir, [scan.subject], sessions, datatypes=[scan.datatype], metadata=True)
        indexed_as = Path(layout.root) / scan.folder / scan.path.name
        return dict(layout.get_metadata(str(indexed_as)))
    except Exception as error:  # pybids passes on whatever the file made the parser raise
        for folder in scan.path.parents[: len(scan.folder.parts) + 1]:
            for sidecar in folder.glob("*.json"):
                check_fetched(sidecar, bids_dir)
        cause = " ".join(str(error).split())
        raise BidsdefaceError(
            f"{scan.path}: its metadata cannot be read ({cause}); correct the JSON file"
        ) from error
