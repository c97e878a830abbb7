"""The options that decide which files, columns and texts accompany the defaced scans."""

from dataclasses import dataclass
from pathlib import Path

from bidsdeface.output.request import Request


@dataclass(frozen=True, kw_only=True)
class MetadataOptions(Request):
    """Which files, columns and texts go into a complete dataset.

    Attributes
    ----------
    include : tuple of str
        Patterns of paths to include that are excluded by default.
    drop_columns : tuple of str
        Columns of tables to drop, as ``NAME`` or ``TABLE:NAME``.
    data_dictionary : Path, optional
        A folder of JSON files that describe columns, in addition to those of the dataset.
    accept_texts : tuple of str
        Names of texts, such as ``README``, that a person has read.
    accept_labels : bool
        Whether a person has inspected labels that read as dates or record numbers.
    """

    include: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    data_dictionary: Path | None = None
    accept_texts: tuple[str, ...] = ()
    accept_labels: bool = False
