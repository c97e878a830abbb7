"""Deface MRI in BIDS datasets, and measure scan by scan what was done."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("bidsdeface")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+source"

__all__ = ["__version__"]
