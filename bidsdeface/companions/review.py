"""Find texts and labels that may identify people: they are not shared until a person has reviewed them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.deidentify.excluded import Excluded
from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.deidentify.patterns import FIRST_YEAR, LONGEST_NUMBER, SHORT_DATE, WAITING, dates_in, find_pii
from bidsdeface.deidentify.values import texts_in
from bidsdeface.errors import first_of, shortened
from bidsdeface.output.description import describe_shareable

IDENTIFIER = "a name or number that stands in a field about a person"
_SHORT_DATE = re.compile(rf"(?<!\d){SHORT_DATE}(?!\d)")


def findings_in(text: str, identifiers: Identifiers) -> Iterator[tuple[int, str]]:
    r"""Yield the lines of a text that may identify a person.

    Parameters
    ----------
    text : str
    identifiers : Identifiers

    Yields
    ------
    line : int
    kind : str
        Kind of identifier, never its value. E-mail and web addresses, dates of releases and grant numbers are
        not reported.

    Examples
    --------
    >>> list(findings_in("Thanks.\nJane was born on 1978-03-04.", Identifiers(frozenset({("jane",)}))))
    [(2, 'a name or number that stands in a field about a person'), (2, 'date of birth')]
    """
    findings = {(text.count("\n", 0, at) + 1, IDENTIFIER) for at in identifiers.find(text)}
    findings |= {
        (number, kind)
        for number, line in enumerate(text.splitlines(), start=1)
        for kind in find_pii(line)
        if kind in WAITING
    }
    return iter(sorted(findings))


def why_text_waits(content: bytes, path: PurePosixPath, identifiers: Identifiers) -> Excluded | None:
    """Return why a text waits for a person's review, or None if it may be shared.

    Parameters
    ----------
    content : bytes
    path : PurePosixPath
        Relative to the dataset.
    identifiers : Identifiers
    """
    try:
        findings = findings_in(content.decode("utf-8-sig"), identifiers)
        lines = shortened([f"line {line}: {kind}" for line, kind in findings], 5, "; ")
        reason = lines and f"waits for you to read {lines}"
    except UnicodeDecodeError:
        reason = "is not UTF-8, so that it cannot be read"
    remedy = f"edit it, or --accept-text {path.name}"
    return Excluded(path, reason, remedy=remedy, waits=True) if reason else None


def fields_that_wait(
    source: Mapping[str, Any], path: PurePosixPath, identifiers: Identifiers
) -> dict[str, Excluded]:
    """Return the shareable fields of a dataset's description that wait for a person's review."""
    described, _ = describe_shareable(source)
    kinds = {
        field: {kind for text in texts_in(value) for _, kind in findings_in(text, identifiers)}
        for field, value in source.items()
        if field in described
    }
    return {
        field: Excluded(
            path,
            f"waits for you to read {', '.join(sorted(found))}",
            f"field {field}",
            f"edit it, or --accept-text {path.name}",
            waits=True,
        )
        for field, found in kinds.items()
        if found
    }


def telling_labels(folders: Iterable[PurePosixPath], identifiers: Identifiers) -> Iterator[Excluded]:
    """Yield the labels of participants, sessions and files that may identify a person or a date.

    Parameters
    ----------
    folders : iterable of PurePosixPath
        ``sub-…`` and ``sub-…/ses-…``.
    identifiers : Identifiers
        With labels in the names of files.

    Examples
    --------
    >>> [one.reason for one in telling_labels([PurePosixPath("sub-01/ses-20190312")], Identifiers())]
    ['its label reads as a date: beside shifted dates, it tells by how many days they are shifted']
    """
    of_files = (f"{key}-{label}" for key, label in identifiers.labels if key not in ("sub", "ses"))
    for folder in (*folders, *map(PurePosixPath, sorted(of_files))):
        key, _, label = folder.name.partition("-")
        days = [day for _, day in dates_in(label)]
        reasons = {
            "its label reads as a date: beside shifted dates, it tells by how many days they are shifted": (
                any(day.year >= FIRST_YEAR for day in days) or (key == "ses" and _SHORT_DATE.search(label))
            ),
            "its label reads as a record number": (
                label.isdecimal() and len(label) > LONGEST_NUMBER and not days
            ),
            "its label stands in a field about a person": (key, label) in identifiers.labels,
        }
        if reason := first_of(reasons):
            yield Excluded(folder, reason, "label", "rename it, or --accept-labels", waits=True)


def label_folders(
    bids_dir: Path, participants: Iterable[str], sessions: Iterable[str]
) -> Iterator[PurePosixPath]:
    """Yield the folders of participants, and of their sessions, relative to the dataset."""
    wanted = {f"ses-{label}" for label in sessions}
    for label in participants:
        folder = PurePosixPath(f"sub-{label}")
        visits = sorted(path.name for path in (bids_dir / folder).glob("ses-*") if path.is_dir())
        yield from (folder, *(folder / name for name in visits if not wanted or name in wanted))
