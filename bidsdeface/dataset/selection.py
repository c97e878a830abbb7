"""Mirror by links the part of a dataset that the validator is to look at.

What this program reads and the validator does not, a byte order mark or NaN, is taken out of a copy. What
neither can read would end the validator, or be held against all other files: JSON files that are broken and
names that are not UTF-8 are left out here, and named where they are needed.
"""

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.annex import leads_to_annex
from bidsdeface.dataset.inheritance import JsonError, parse_json
from bidsdeface.dataset.listing import files_in, is_utf8
from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.values import is_finite

_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_NO_JSON = (b"NaN", b"Infinity")


def link_selection(dataset: Path, names: Iterable[str], selection: Path) -> list[PurePosixPath]:
    """Mirror files and folders at the root of a dataset.

    Parameters
    ----------
    dataset : Path
        Its root.
    names : iterable of str
        Of the files and folders.
    selection : Path
        Is made.

    Returns
    -------
    list of PurePosixPath
        JSON files that are broken, and that are not in the mirror.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    selection.mkdir()
    there = sorted(name for name in names if is_utf8(name))
    return [path for name in there for path in _mirror(dataset, PurePosixPath(name), selection)]


def _mirror(bids_dir: Path, name: PurePosixPath, selection: Path) -> list[PurePosixPath]:
    """Mirror a file or folder as a whole, or, if something in it is not for the validator, file by file.

    The validator reads no content through a link into an annex, but it does through a link to that link.
    """
    files = [name]
    if (bids_dir / name).is_dir():
        try:
            files = list(files_in(bids_dir, str(name)))
        except BidsdefaceError:  # named where its scans are looked for
            files = []
    instead: dict[PurePosixPath, bytes | None] = {path: None for path in files if not is_utf8(str(path))}
    broken = []
    for path in files:
        if path.suffix == ".json" and path not in instead:
            try:
                content = (bids_dir / path).read_bytes()
                if (strict := _as_strict_json(content)) != content:
                    instead[path] = strict
            except JsonError:
                if path.name != "dataset_description.json":  # needed by all
                    instead[path] = None
                    broken.append(path)
            except OSError:
                continue  # not here: the validator says so
    if not instead and not any(leads_to_annex(bids_dir / path) for path in files):
        (selection / name).symlink_to(bids_dir / name)
        return []
    for path in files:
        (selection / path).parent.mkdir(parents=True, exist_ok=True)
        if path not in instead:
            (selection / path).symlink_to(bids_dir / path)
        elif (copy := instead[path]) is not None:
            (selection / path).write_bytes(copy)
    return broken


def _as_strict_json(content: bytes) -> bytes:
    """Return JSON that every reader takes: without byte order mark, and without fields of NaN."""
    parsed = parse_json(content)
    if not (content.startswith(_MARKS) or any(word in content for word in _NO_JSON)):
        return content
    finite = {name: value for name, value in parsed.items() if is_finite(value)}
    return json.dumps(finite).encode()
