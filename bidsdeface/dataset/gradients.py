"""The diffusion gradients that go with a DWI: numbers, without which BIDS does not take the image."""

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.inheritance import applicable, files_above
from bidsdeface.dataset.scan import Scan
from bidsdeface.errors import BidsdefaceError


def read_gradients(scan: Scan) -> tuple[str, str]:
    """Return the b values and the directions of a scan as text, with nothing but numbers in it.

    Raises
    ------
    BidsdefaceError
        One is missing, cannot be read, or has something else in it.
    """
    return _read(scan, ".bval"), _read(scan, ".bvec")


def _read(scan: Scan, extension: str) -> str:
    root = scan.bids_dir
    found = applicable(scan.name, files_above(root, scan.name, extension))
    if not found:
        raise BidsdefaceError(f"{scan.path}: has no {extension} file; add it, or leave the scan out")
    path = root / found[-1].path
    check_fetched(path, root)
    try:
        rows = [[float(value) for value in line.split()] for line in path.read_text().splitlines()]
    except (OSError, ValueError):
        raise BidsdefaceError(f"{path}: is no table of numbers; correct it") from None
    return "".join(" ".join(f"{value:.10g}" for value in row) + "\n" for row in rows if row)
