"""Run the BIDS validator: on the participants that were asked for and on no others, or on a whole dataset.

It is given a mirror of links. What this program reads and the validator does not, a byte order mark or NaN,
is taken out of a copy. What neither can read would end the validator, or be held against all other files:
JSON files that are broken and names that are not UTF-8 are left out, and named where they are needed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.annex import leads_to_annex
from bidsdeface.dataset.files import files_in, is_utf8
from bidsdeface.dataset.inheritance import JsonError, applicable, parse_json
from bidsdeface.dataset.names import DESCRIPTION, FileName, parse_name, stem_of
from bidsdeface.deidentify.columns import AGE
from bidsdeface.deidentify.values import is_finite
from bidsdeface.errors import BidsdefaceError, storage_errors
from bidsdeface.runtime.scratch import environment_in, private_folder, temporary_dir

_EXECUTABLE = "bids-validator-deno"
_EXIT_VALID, _EXIT_INVALID = 0, 16
_SHOWN_AT_MOST = 5
_SKIP_INPUT, _SKIP_OUTPUT = "--skip-bids-validation", "--skip-output-validation"
_WAY_OUT = f"correct the dataset, or go on at your own risk with {_SKIP_INPUT}"

# Files that are empty, broken or not fetched are reported one by one where they are needed, so
# that they do not keep the others from being defaced; so is broken JSON, see `link_selection`. The
# validator does not see an image that is not fetched, and takes its sidecar for one without an image.
_LEFT_TO_THE_READER = (
    "EMPTY_FILE",
    "NIFTI_HEADER_UNREADABLE",
    "SIDECAR_WITHOUT_DATAFILE",
    "SYMLINK_BROKEN",
    "SYMLINK_CYCLE",
)
_NOT_RAW = ("sourcedata", "derivatives", "code")  # the validator does not look into them either
_OF_DEFACING = re.compile(
    r"_desc-(?:defaced|noface)(?=_)"
)  # what a derivative adds to the name of its source

_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_NO_JSON = (b"NaN", b"Infinity")
NOTHING = b""


@dataclass(frozen=True, order=True)
class Problem:
    """An error of the validator.

    Attributes
    ----------
    file : str
        Relative to the dataset, or ``the dataset``.
    code : str
        Such as ``SIDECAR_KEY_REQUIRED``.
    part : str
        Which field or column, where the validator says so.
    """

    file: str
    code: str
    part: str = ""

    @property
    def of_source(self) -> tuple[str, PurePosixPath] | None:
        """Code and raw file, without extensions, of an error about a file of a participant."""
        path = PurePosixPath(_OF_DEFACING.sub("", self.file))
        if not path.parts[0].startswith("sub-"):
            return None
        return self.code, path.with_name(stem_of(path))


def check_valid(bids_dir: Path, participants: Sequence[str] = (), scratch: Path | None = None) -> None:
    """Refuse a dataset with validation errors.

    Parameters
    ----------
    bids_dir : Path
        Root of the dataset.
    participants : sequence of str, optional
        Labels without ``sub-``; all where empty.
    scratch : Path, optional
        A private folder for what the validator is given and writes; else one is made for it.

    Raises
    ------
    BidsdefaceError
        Names the first problems and the way out.
    """
    if problems := find_problems(bids_dir, participants, scratch):
        shown = "; ".join(problems[:_SHOWN_AT_MOST])
        more = len(problems) - _SHOWN_AT_MOST
        raise BidsdefaceError(
            f"{bids_dir}: not valid BIDS: {shown}{f'; and {more} more' if more > 0 else ''}; {_WAY_OUT}"
        )


def find_problems(bids_dir: Path, participants: Sequence[str] = (), scratch: Path | None = None) -> list[str]:
    """List the validator's errors, one line each.

    Parameters
    ----------
    bids_dir : Path
        Root of the dataset.
    participants : sequence of str, optional
        Labels without ``sub-``; all where empty.
    scratch : Path, optional
        A private folder for what the validator is given and writes; else one is made for it.

    Returns
    -------
    list of str
        Empty for a valid dataset.

    Raises
    ------
    BidsdefaceError
        If the validator is missing or breaks down.
    """
    folders = {"stimuli", *(f"sub-{label}" for label in participants)}  # and what events point to
    names = [
        entry.name
        for entry in bids_dir.resolve().iterdir()
        if not entry.is_dir() or entry.name in folders or (not participants and entry.name.startswith("sub-"))
    ]
    found = _validate(bids_dir, names, _LEFT_TO_THE_READER, scratch, _SKIP_INPUT)
    too_old = ("TSV_VALUE_INCORRECT_TYPE", AGE)  # above 89, which is capped, or left out
    return sorted(_as_line(issue) for issue in found if (issue.get("code"), issue.get("subCode")) != too_old)


def find_new_errors(
    output_dir: Path, bids_dir: Path, *, is_derivative: bool, scratch: Path | None = None
) -> list[Problem]:
    """List the validator's errors about an output dataset that it does not find in the input.

    The input is validated only if the output has errors.

    Parameters
    ----------
    output_dir, bids_dir : Path
        Roots of the datasets, of which everything is read.
    is_derivative : bool
        Whether the output is one. An error is not new if the input has the same, by its code and part, in the
        file of the same name, or, for a derivative, in the file that it was made from.
    scratch : Path, optional
        A private folder for what the validator is given and writes; else one is made for it.

    Returns
    -------
    list of Problem
        One for each file and code; empty for a valid dataset.

    Raises
    ------
    BidsdefaceError
        If the validator is missing or breaks down.
    """
    if not (found := _errors_of(output_dir, scratch)):
        return []
    of_input = _errors_of(bids_dir, scratch)
    if is_derivative:
        of_sources = {one.of_source for one in of_input} - {None}
        new = [one for one in found if one.of_source not in of_sources]
    else:
        new = sorted(set(found) - set(of_input))
    first = {(one.file, one.code): one for one in sorted(new, reverse=True)}
    return sorted(first.values())


def _errors_of(dataset: Path, scratch: Path | None) -> list[Problem]:
    names = [
        entry.name
        for entry in dataset.resolve().iterdir()
        if not entry.is_dir() or not (entry.name.startswith(".") or entry.name in _NOT_RAW)
    ]
    return [
        Problem(
            str(issue.get("location") or "the dataset").lstrip("/"),
            str(issue.get("code")),
            str(issue.get("subCode") or ""),
        )
        for issue in _validate(dataset, names, (), scratch, _SKIP_OUTPUT)
    ]


def _validate(
    dataset: Path, names: Iterable[str], ignored: Collection[str], scratch: Path | None, skip: str
) -> list[dict[str, Any]]:
    """Return the errors of a part of a dataset: some files and folders at its root, mirrored by links."""
    with private_folder(scratch or temporary_dir()) as folder:
        selection, config = folder / "dataset", folder / "config.json"
        with storage_errors(folder):
            broken = link_selection(dataset.resolve(), names, selection)
            config.write_text(json.dumps({"ignore": [{"code": one} for one in ignored]}))
        report = _run_validator(selection, config, {**os.environ, **environment_in(folder)}, skip)
    sidecars = [name for path in broken if (name := parse_name(path))]
    return [issue for issue in report["issues"]["issues"] if not _is_of(sidecars, issue)]


def _is_of(sidecars: Sequence[FileName], issue: Mapping[str, Any]) -> bool:
    """Return True for an issue of a file that a broken JSON file describes: fields may be in there."""
    name = parse_name(PurePosixPath(issue.get("location", "").lstrip("/")))
    return name is not None and bool(applicable(name, sidecars))


def _run_validator(dataset: Path, config: Path, environ: Mapping[str, str], skip: str) -> dict[str, Any]:
    command = [_find_executable(skip), "--format", "json", "--ignoreWarnings", "--config", str(config)]
    result = subprocess.run(
        [*command, str(dataset)], capture_output=True, text=True, check=False, env=environ
    )
    if result.returncode not in (_EXIT_VALID, _EXIT_INVALID):
        said = result.stderr.strip().splitlines() or ["nothing said"]
        raise BidsdefaceError(
            f"{_EXECUTABLE}: broke down with exit code {result.returncode} ({said[-1]}); "
            f"repair the installation, or use {skip}",
            retry=result.returncode < 0,  # it was killed
        )
    return json.loads(result.stdout)


def _find_executable(skip: str) -> str:
    found = shutil.which(_EXECUTABLE, path=os.path.dirname(sys.executable)) or shutil.which(_EXECUTABLE)
    if found is None:
        raise BidsdefaceError(
            f"{_EXECUTABLE}: not found beside {sys.executable} or on PATH; "
            f"pip install {_EXECUTABLE}, or use {skip}"
        )
    return found


def _as_line(issue: Mapping[str, Any]) -> str:
    parts = (issue.get("code"), issue.get("subCode"), issue.get("location"))
    return " ".join(str(part) for part in parts if part)


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
    there = map(PurePosixPath, sorted(filter(is_utf8, names)))
    return [path for name in there for path in _mirror(dataset, name, selection)]


def _mirror(bids_dir: Path, name: PurePosixPath, selection: Path) -> list[PurePosixPath]:
    """Mirror a file or folder as a whole, or, if something in it is not for the validator, file by file.

    The validator reads no content through a link into an annex, but it does through a link to that link.
    """
    try:
        files = list(files_in(bids_dir, str(name))) if (bids_dir / name).is_dir() else [name]
    except BidsdefaceError:  # named where its scans are looked for
        files = []
    instead = {path: copy for path in files if (copy := _in_place_of(bids_dir, path)) is not None}
    if not instead and not any(leads_to_annex(bids_dir / path) for path in files):
        (selection / name).symlink_to(bids_dir / name)
        return []
    for path in files:
        (selection / path).parent.mkdir(parents=True, exist_ok=True)
        if path not in instead:
            (selection / path).symlink_to(bids_dir / path)
        elif instead[path] != NOTHING:
            (selection / path).write_bytes(instead[path])
    return [path for path, copy in instead.items() if copy == NOTHING and is_utf8(str(path))]


def _in_place_of(bids_dir: Path, path: PurePosixPath) -> bytes | None:
    """Return what the validator is given in the place of a file; None if the file itself.

    Of a file whose name is not UTF-8, and of broken JSON, that is `NOTHING`; of other JSON, what every reader
    takes: without byte order mark, and without fields of NaN.
    """
    if not is_utf8(str(path)):
        return NOTHING
    if path.suffix != ".json":
        return None
    try:
        content = (bids_dir / path).read_bytes()
        fields = parse_json(content)
    except JsonError:
        return None if path.name == DESCRIPTION.name else NOTHING  # which is needed by all
    except OSError:  # not here: the validator says so
        return None
    if not (content.startswith(_MARKS) or any(word in content for word in _NO_JSON)):
        return None
    return json.dumps({name: value for name, value in fields.items() if is_finite(value)}).encode()
