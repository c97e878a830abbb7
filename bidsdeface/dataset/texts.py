"""Read the texts of a dataset for names of its people: they go byte for byte, or wait for a person."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from bidsdeface.dataset.description import describe_shareable
from bidsdeface.privacy.identifiers import Identifiers
from bidsdeface.privacy.leftout import LeftOut
from bidsdeface.privacy.looks import WAITING, looks_like
from bidsdeface.privacy.values import texts_in

IDENTIFIER = "a name or number that stands in a field about a person"


def findings_in(text: str, identifiers: Identifiers) -> Iterator[tuple[int, str]]:
    r"""Yield the lines of a text that tell a person, and how.

    Parameters
    ----------
    text : str
    identifiers : Identifiers

    Yields
    ------
    line : int
    kind : str
        Never the value. E-mails, addresses of the web, days of releases and numbers of grants are no finding.

    Examples
    --------
    >>> list(findings_in("Thanks.\nJane was born on 1978-03-04.", Identifiers(frozenset({("jane",)}))))
    [(2, 'a name or number that stands in a field about a person'), (2, 'date of birth')]
    """
    found = {(text.count("\n", 0, at) + 1, IDENTIFIER) for at in identifiers.find(text)}
    for number, line in enumerate(text.splitlines(), start=1):
        found |= {(number, kind) for kind in looks_like(line) if kind in WAITING}
    return iter(sorted(found))


def why_text_waits(content: bytes, path: PurePosixPath, identifiers: Identifiers) -> LeftOut | None:
    """Return why a text waits for a person, or None if it may go along.

    Parameters
    ----------
    content : bytes
    path : PurePosixPath
        Relative to the dataset.
    identifiers : Identifiers
    """
    remedy = f"edit it, or --accept-text {path.name}"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return LeftOut(path, "is not UTF-8, so that it cannot be read", remedy=remedy, waits=True)
    if found := list(findings_in(text, identifiers)):
        lines = "; ".join(f"line {line}: {kind}" for line, kind in found[:5])
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        return LeftOut(path, f"waits for you to read {lines}{more}", remedy=remedy, waits=True)
    return None


def fields_that_wait(
    source: Mapping[str, Any], path: PurePosixPath, identifiers: Identifiers
) -> dict[str, LeftOut]:
    """Return the fields of a dataset's description that wait for a person, of those that go along."""
    waiting = {}
    described, _ = describe_shareable(source)
    for field in [one for one in source if one in described]:
        kinds = {kind for text in texts_in(source[field]) for _, kind in findings_in(text, identifiers)}
        if kinds:
            waiting[field] = LeftOut(
                path,
                f"waits for you to read {', '.join(sorted(kinds))}",
                f"field {field}",
                f"edit it, or --accept-text {path.name}",
                waits=True,
            )
    return waiting
