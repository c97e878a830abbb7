"""Self-contained HTML pages, from the templates in `pages/`, and tables as TSV."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from bidsdeface import __version__
from bidsdeface.report import colours

if TYPE_CHECKING:
    from jinja2 import Environment


def page(template: str, **content: Any) -> str:
    """Return a complete HTML page: nothing in it is fetched from elsewhere.

    Parameters
    ----------
    template : str
        Name of a file in `pages/`.
    **content
        What it shows. All text is escaped.
    """
    return _environment().get_template(template).render(version=__version__, **content)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # pages are made at the end of a run only

    environment = Environment(
        loader=PackageLoader("bidsdeface.report", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {}  # in the given order
    environment.filters["breakable"] = _breakable
    environment.globals["colours"] = {
        "mask": colours.MASK,
        "guard": colours.GUARD,
        "crosshair": colours.CROSSHAIR,
    }
    return environment


def _breakable(name: str) -> Any:
    """Let a browser break a name of several words."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(map(escape, re.split("(?<=[a-z])(?=[A-Z])", name)))


def tsv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a table as BIDS has it, with ``n/a`` for absent values."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="n/a", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
