"""The record of what is left out of the output, and why: files, columns, rows and fields."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from bidsdeface.errors import printable, shortened

FILE = "file"
NAME = "NAME"  # in a remedy, stands for the column or field
_SHOWN_AT_MOST = 3
_COLUMNS = ("file", "what", "why", "to_keep_it")


@dataclass(frozen=True, order=True)
class Excluded:
    """Something that is left out.

    Attributes
    ----------
    path : PurePosixPath
        Of the file, relative to the dataset.
    reason : str
        Never a value.
    what : str
        ``file``, or which part of it: ``column group``, ``line 3``, ``fields PatientName, StationName``.
    remedy : str
        How to have it in the output, with `NAME` for the part; empty if it should stay out.
    waits : bool
        Whether it waits for a person, so that the run ends with exit code 4.
    retry : bool
        Whether the cause may pass by itself.
    detail : str
        More of the reason, such as the line, for the table only.
    """

    path: PurePosixPath
    reason: str
    what: str = FILE
    remedy: str = ""
    waits: bool = False
    retry: bool = False
    detail: str = ""

    @property
    def whole_reason(self) -> str:
        """The reason with its detail."""
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def as_table(left_out: Iterable[Excluded]) -> str:
    r"""Return a tab-separated table of what is left out, in the order of files.

    Examples
    --------
    >>> as_table([Excluded(PurePosixPath("a.txt"), "is unknown to BIDS")]).splitlines()[1].split("\t")
    ['a.txt', 'file', 'is unknown to BIDS', 'n/a']
    """
    rows = [
        (
            printable(part.path),
            printable(part.what),
            part.whole_reason,
            printable(part.remedy.replace(NAME, part.what.partition(" ")[2] or str(part.path))) or "n/a",
        )
        for part in sorted(set(left_out))
    ]
    return "".join("\t".join(row) + "\n" for row in (_COLUMNS, *rows))


def in_groups(left_out: Iterable[Excluded]) -> Iterator[str]:
    """Yield a line for each reason, with the first files that it is about, and how to keep them.

    Examples
    --------
    >>> files = (PurePosixPath(f"code/{name}") for name in "abcde")
    >>> list(in_groups(Excluded(path, "lies in code", remedy="--include 'code/*'") for path in files))
    ["code/a, code/b, code/c and 2 more: lies in code (to keep it: --include 'code/*')"]
    """
    groups: dict[tuple[str, str, str, bool], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for part in sorted(set(left_out)):
        kind, _, name = part.what.partition(" ")
        groups[kind, part.reason, part.remedy, part.waits][printable(part.path)].append(printable(name))
    for (kind, reason, remedy, waits), files in groups.items():
        names = list(dict.fromkeys(name for parts in files.values() for name in parts if name))
        what = f"{kind} {shortened(names, 2 * _SHOWN_AT_MOST)}: " if names else ""
        way_out = f" ({'what to do' if waits else 'to keep it'}: {remedy})" if remedy else ""
        yield f"{shortened(list(files), _SHOWN_AT_MOST)}: {what}{reason}{way_out}"
