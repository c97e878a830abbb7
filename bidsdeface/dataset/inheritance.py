"""Read JSON files and gradients, and find the files that apply to a data file by BIDS inheritance."""

import json
import os
from collections import ChainMap, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.names import FileName, Scan, parse_name
from bidsdeface.errors import BidsdefaceError

_LONGEST_INT = 300  # digits
_BROKEN: Mapping[type[Exception], str] = {
    UnicodeEncodeError: "contains half of a character (such as \\ud83d alone); correct it",
    UnicodeDecodeError: "is not UTF-8; save it as UTF-8",
    RecursionError: "is not JSON (it is nested too deeply); correct it",
}


class JsonError(BidsdefaceError):
    """A file holds no JSON object. The message gives the reason, but neither the file nor a value."""


class TwiceError(JsonError):
    """A JSON file has a field twice."""


def read_json(path: Path, *, may_repeat: bool = True) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : pathlib.Path
    may_repeat : bool, optional
        Whether a field may occur twice; then the last one counts.

    Returns
    -------
    dict

    Raises
    ------
    JsonError
        The file holds no JSON object.
    OSError
        The file cannot be read.
    """
    return parse_json(path.read_bytes(), may_repeat=may_repeat)


def parse_json(content: bytes, *, may_repeat: bool = True) -> dict[str, Any]:
    r"""Return the JSON object that a file consists of.

    Parameters
    ----------
    content : bytes
        UTF-8 or UTF-16, with or without byte order mark. NaN and Infinity, which many tools write, are
        accepted as numbers.
    may_repeat : bool, optional
        As of `read_json`.

    Raises
    ------
    JsonError

    Examples
    --------
    >>> parse_json(b'\xef\xbb\xbf{"EchoTime": 0.003}')
    {'EchoTime': 0.003}
    """
    if not content.strip():
        raise JsonError("is empty; write the JSON object again, or remove the file")
    try:
        parsed = json.loads(
            content, object_pairs_hook=None if may_repeat else _without_repeats, parse_int=_number
        )
        if b"\\ud" in content.lower():
            json.dumps(parsed, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise JsonError(f"is not JSON ({_place(error)}); correct it") from None
    except tuple(_BROKEN) as error:
        raise JsonError(_BROKEN[type(error)]) from None
    if not isinstance(parsed, dict):
        raise JsonError("holds a list or a single value in place of a JSON object; correct it")
    return parsed


def _number(text: str) -> int | float:
    """Return an integer; one beyond the range of floating point numbers is infinite, as for other readers."""
    return int(text) if len(text) < _LONGEST_INT else float(text)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise TwiceError("has the same field twice; remove one")
    return fields


def _place(error: json.JSONDecodeError) -> str:
    """Return where JSON is broken, without its content."""
    is_cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
    return "it is cut short" if is_cut else f"line {error.lineno}, column {error.colno}"


def read_sidecar(root: Path, path: PurePosixPath) -> dict[str, Any]:
    """Read a JSON file of a dataset.

    Raises
    ------
    BidsdefaceError
        It is not present, or holds no JSON object.
    """
    check_fetched(root / path, root)
    try:
        return read_json(root / path)
    except JsonError as error:
        raise BidsdefaceError(f"{root / path}: {error}") from None
    except OSError as error:
        raise BidsdefaceError(f"{root / path}: cannot be read ({error.strerror}); correct it") from error


def read_metadata(bids_dir: Path, scan: Scan) -> dict[str, Any]:
    """Merge the JSON files that apply to a scan; the nearest takes precedence.

    Parameters
    ----------
    bids_dir : pathlib.Path
        Root of the dataset.
    scan : Scan
        One of its scans.

    Returns
    -------
    dict
        Empty if there is no sidecar.

    Raises
    ------
    BidsdefaceError
        A file that applies to the scan cannot be read.
    """
    sidecars = applicable(scan.name, files_above(bids_dir, scan.name))
    try:
        return dict(ChainMap(*[read_sidecar(bids_dir, one.path) for one in sidecars][::-1]))
    except BidsdefaceError as error:
        raise BidsdefaceError(f"{scan.path}: its metadata cannot be read: {error}") from error


def read_with_additions(root: Path, name: FileName, additions: Path | None) -> dict[str, Any]:
    """Read a JSON file of a dataset, with the additions of a person.

    Parameters
    ----------
    root : pathlib.Path
        Of the dataset.
    name : FileName
    additions : pathlib.Path or None
        Folder of ``--data-dictionary``: a file of the same name in it adds fields, and entries to the
        descriptions of columns.

    Raises
    ------
    JsonError, OSError
        As of `read_json`.
    """
    added = additions / name.path if additions else None
    more = read_json(added) if added and added.is_file() else {}
    content = read_json(root / name.path) if not more or (root / name.path).is_file() else {}
    described = {key: entry for key, entry in content.items() if isinstance(entry, Mapping)}
    return content | {
        key: {**described.get(key, {}), **entry} if isinstance(entry, Mapping) else entry
        for key, entry in more.items()
    }


def merged_metadata(
    root: Path,
    data: FileName,
    sidecars: Iterable[FileName] | None = None,
    additions: Path | None = None,
) -> dict[str, Any]:
    """Merge the JSON files that apply to a data file and can be read; the nearest takes precedence.

    Parameters
    ----------
    root : pathlib.Path
        Of the dataset.
    data : FileName
    sidecars : iterable of FileName, optional
        Any JSON files of the dataset; by default, those in the dataset and in the folder of additions.
    additions : pathlib.Path, optional
        As of `read_with_additions`.
    """
    if sidecars is None:
        places = [root, additions] if additions else [root]
        sidecars = {name.path: name for place in places for name in files_above(place, data)}.values()
    merged: dict[str, Any] = {}
    for sidecar in applicable(data, sidecars):
        with suppress(JsonError, OSError):  # the file is reported by itself
            merged |= read_with_additions(root, sidecar, additions)
    return merged


def applicable(data: FileName, sidecars: Iterable[FileName]) -> list[FileName]:
    """Return the files that apply to a data file by BIDS inheritance, the nearest last.

    Parameters
    ----------
    data : FileName
    sidecars : iterable of FileName
        Any files of the dataset with one extension.
    """
    return sorted(
        (
            one
            for one in sidecars
            if one.suffix == data.suffix
            and one.path.parent in data.path.parents
            and one.entities.items() <= data.entities.items()
        ),
        key=lambda one: (len(one.path.parts), len(one.entities)),
    )


class NameIndex:
    """File names by folder and suffix, to find those that may apply to a file among many thousands.

    Parameters
    ----------
    names : iterable of FileName
    """

    def __init__(self, names: Iterable[FileName]) -> None:
        self._by_place: dict[tuple[PurePosixPath, str], list[FileName]] = defaultdict(list)
        for name in names:
            self._by_place[name.path.parent, name.suffix].append(name)

    def near(self, data: FileName) -> list[FileName]:
        """Return the names with the suffix of a data file, in its folder and the folders above it."""
        return [
            name for folder in data.path.parents for name in self._by_place.get((folder, data.suffix), ())
        ]


def files_above(root: Path, data: FileName, extension: str = ".json") -> Iterator[FileName]:
    """Yield the files with the suffix of a data file, in its folder and the folders above it."""
    for folder in data.path.parents:
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(root / folder):
                if name.endswith(f"{data.suffix}{extension}") and (parsed := parse_name(folder / name)):
                    yield parsed


def read_gradients(scan: Scan) -> tuple[str, str]:
    """Return the b values and the directions of a scan, as text of numbers only.

    Raises
    ------
    BidsdefaceError
        A file is missing, cannot be read, or holds anything else.
    """
    return _read_numbers(scan, ".bval"), _read_numbers(scan, ".bvec")


def _read_numbers(scan: Scan, extension: str) -> str:
    root = scan.bids_dir
    applying = applicable(scan.name, files_above(root, scan.name, extension))
    if not applying:
        raise BidsdefaceError(f"{scan.path}: has no {extension} file; add it, or leave the scan out")
    path = root / applying[-1].path
    check_fetched(path, root)
    try:
        rows = [[float(value) for value in line.split()] for line in path.read_text().splitlines()]
    except (OSError, ValueError):
        raise BidsdefaceError(f"{path}: is not a table of numbers; correct it") from None
    return "".join(" ".join(f"{value:.10g}" for value in row) + "\n" for row in rows if row)
