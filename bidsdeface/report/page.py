"""Self-contained HTML pages, without scripts or external content, and tables as TSV."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from bidsdeface import __version__

STYLE = """
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 1640px; padding: 0 1em; color: #222 }
img { width: 100%; height: auto; background: #000 } section { margin: 2.5em 0 }
h2, h3 { margin: 1.5em 0 0.3em }
p, li { max-width: 55em } .failed, .beyond { color: #a00 } .wide { overflow-x: auto }
table { border-collapse: collapse; margin: 1em 0 } tbody > tr > * { border-top: 1px solid #ddd }
td, th { padding: 0.1em 1em 0.1em 0; text-align: left; vertical-align: top; font-weight: 400 }
thead th { font-weight: 600; vertical-align: bottom }
.dense { font-size: 13px } .dense tbody > tr > * { white-space: nowrap } .number { text-align: right }
"""


def page(title: str, content: str) -> str:
    """Return a complete HTML page.

    Parameters
    ----------
    title : str
        Plain text.
    content : str
        HTML.
    """
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta name="generator" content="bidsdeface {__version__}">'
        f"<title>bidsdeface: {title.lower()}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{title}</h1>\n{content}\n</body></html>\n"
    )


def tsv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a table as BIDS has it, with ``n/a`` for absent values."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="n/a", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
