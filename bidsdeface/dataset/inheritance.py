"""Read JSON files and gradients, and find those that apply to a data file by BIDS inheritance."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.annex import check_fetched
from bidsdeface.dataset.names import FileName, Scan, parse_name
from bidsdeface.errors import BidsdefaceError

_LONGEST_INT = 300  # digits


class JsonError(BidsdefaceError):
    """A file that holds no JSON object; the message says why, and names neither the file nor a value."""


class TwiceError(JsonError):
    """A JSON file in which a field stands twice."""


def read_json(path: Path, *, may_repeat: bool = True) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : pathlib.Path
    may_repeat : bool, optional
        Whether a field may stand twice; then the last one counts.

    Returns
    -------
    dict

    Raises
    ------
    JsonError
        It holds none.
    OSError
        The file cannot be read.
    """
    return parse_json(path.read_bytes(), may_repeat=may_repeat)


def parse_json(content: bytes, *, may_repeat: bool = True) -> dict[str, Any]:
    r"""Return the JSON object that a file consists of.

    Parameters
    ----------
    content : bytes
        UTF-8 or UTF-16, with a byte order mark or without. NaN and Infinity, which many tools write, are
        numbers.
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
    except UnicodeEncodeError:
        raise JsonError("has half a character in it (such as \\ud83d alone); correct it") from None
    except UnicodeDecodeError:
        raise JsonError("is not UTF-8; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"is not JSON ({_place(error)}); correct it") from None
    except RecursionError:
        raise JsonError("is not JSON (it is nested too deep); correct it") from None
    if not isinstance(parsed, dict):
        raise JsonError("holds a list or a single value in place of a JSON object; correct it")
    return parsed


def _number(text: str) -> int | float:
    """Return a whole number; one that no floating point number reaches is infinite, as for other readers."""
    return int(text) if len(text) < _LONGEST_INT else float(text)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise TwiceError("has a field that stands twice; remove one")
    return fields


def _place(error: json.JSONDecodeError) -> str:
    """Say where JSON is broken, without a word of what stands there."""
    is_cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
    return "it is cut short" if is_cut else f"line {error.lineno}, column {error.colno}"


def read_sidecar(root: Path, path: PurePosixPath) -> dict[str, Any]:
    """Read a JSON file of a dataset.

    Raises
    ------
    BidsdefaceError
        It is not here, or holds no JSON object; the message names it, the cause and the way out.
    """
    check_fetched(root / path, root)
    try:
        return read_json(root / path)
    except JsonError as error:
        raise BidsdefaceError(f"{root / path}: {error}") from None
    except OSError as error:
        raise BidsdefaceError(f"{root / path}: cannot be read ({error.strerror}); correct it") from error


def read_metadata(bids_dir: Path, scan: Scan) -> dict[str, Any]:
    """Merge the JSON files that apply to a scan, the nearest winning.

    Parameters
    ----------
    bids_dir : pathlib.Path
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
        One of them cannot be read; those that do not apply to the scan do not matter.
    """
    merged: dict[str, Any] = {}
    for sidecar in applicable(scan.name, files_above(bids_dir, scan.name)):
        try:
            merged |= read_sidecar(bids_dir, sidecar.path)
        except BidsdefaceError as error:
            raise BidsdefaceError(f"{scan.path}: its metadata cannot be read: {error}") from error
    return merged


def read_with_additions(root: Path, name: FileName, additions: Path | None) -> dict[str, Any]:
    """Read a JSON file of a dataset, with what a person has described beside it.

    Parameters
    ----------
    root : pathlib.Path
        Of the dataset.
    name : FileName
    additions : pathlib.Path or None
        Folder of ``--data-dictionary``: a file of the same name in it adds keys, and keys to descriptions of
        columns.

    Raises
    ------
    JsonError, OSError
        As of `read_json`.
    """
    added = additions / name.path if additions else None
    more = read_json(added) if added and added.is_file() else {}
    content = read_json(root / name.path) if not more or (root / name.path).is_file() else {}
    for key, entry in more.items():
        was = content.get(key)
        content[key] = {**was, **entry} if isinstance(was, Mapping) and isinstance(entry, Mapping) else entry
    return content


def merged_metadata(
    root: Path, data: FileName, sidecars: Iterable[FileName], additions: Path | None = None
) -> dict[str, Any]:
    """Merge the JSON files that apply to a data file, the nearest winning; those that cannot be read do not.

    Parameters
    ----------
    root : pathlib.Path
        Of the dataset.
    data : FileName
    sidecars : iterable of FileName
        JSON files of the dataset, any of them.
    additions : pathlib.Path, optional
        As of `read_with_additions`.
    """
    merged: dict[str, Any] = {}
    for sidecar in applicable(data, sidecars):
        with suppress(JsonError, OSError):  # left out by itself, with the reason
            merged |= read_with_additions(root, sidecar, additions)
    return merged


def applicable(data: FileName, sidecars: Iterable[FileName]) -> list[FileName]:
    """Return the files that apply to a data file by BIDS inheritance, the farthest first.

    Parameters
    ----------
    data : FileName
    sidecars : iterable of FileName
        Files of the dataset with one extension, any of them.
    """
    above = set(data.path.parents)
    found = [
        one
        for one in sidecars
        if one.suffix == data.suffix
        and one.path.parent in above
        and one.entities.items() <= data.entities.items()
    ]
    return sorted(found, key=lambda one: (len(one.path.parts), len(one.entities)))


class NameIndex:
    """File names by folder and suffix: of many thousands, those that may apply to one are found at once.

    Parameters
    ----------
    names : iterable of FileName
    """

    def __init__(self, names: Iterable[FileName]) -> None:
        self._by_place: dict[tuple[PurePosixPath, str], list[FileName]] = defaultdict(list)
        for name in names:
            self._by_place[name.path.parent, name.suffix].append(name)

    def near(self, data: FileName) -> list[FileName]:
        """Return the names of its suffix beside a data file and in the folders above it."""
        return [
            name for folder in data.path.parents for name in self._by_place.get((folder, data.suffix), ())
        ]


def files_above(root: Path, data: FileName, extension: str = ".json") -> Iterator[FileName]:
    """Yield the files that may apply to a data file: of its suffix, beside it and in the folders above it."""
    for folder in data.path.parents:
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(root / folder):
                if name.endswith(f"{data.suffix}{extension}") and (found := parse_name(folder / name)):
                    yield found


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
