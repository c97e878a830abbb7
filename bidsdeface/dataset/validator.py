"""Run the BIDS validator on the requested participants, or on a whole dataset.

The validator gets a mirror of links. JSON that this program reads and the validator does not (a byte order
mark, NaN) is replaced by a corrected copy. Files that neither can read, broken JSON and names that are not
UTF-8, are not in the mirror, as they would stop the validator or count against all files; they are reported
where they are needed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.annex import annexed_content
from bidsdeface.dataset.files import files_in, is_utf8
from bidsdeface.dataset.inheritance import JsonError, applicable, parse_json
from bidsdeface.dataset.names import DESCRIPTION, parse_name, stem_of
from bidsdeface.deidentify.columns import AGE
from bidsdeface.deidentify.values import is_finite
from bidsdeface.errors import BidsdefaceError, shortened, storage_errors
from bidsdeface.runtime.scratch import environment_in, private_folder, temporary_dir

_EXECUTABLE = "bids-validator-deno"
_EXIT_VALID, _EXIT_INVALID = 0, 16
_SHOWN_AT_MOST = 5
_SKIP_INPUT, _SKIP_OUTPUT = "--skip-bids-validation", "--skip-output-validation"
_WAY_OUT = f"correct the dataset, or go on at your own risk with {_SKIP_INPUT}"

# Empty, broken and unfetched files are reported one by one where they are needed, so that the others can be
# defaced. The validator does not see an image that is not fetched, and reports a sidecar without an image.
_LEFT_TO_THE_READER = (
    "EMPTY_FILE",
    "NIFTI_HEADER_UNREADABLE",
    "SIDECAR_WITHOUT_DATAFILE",
    "SYMLINK_BROKEN",
    "SYMLINK_CYCLE",
)
_NOT_RAW = ("sourcedata", "derivatives", "code")  # the validator ignores them as well
_OF_DEFACING = re.compile(r"_desc-(?:defaced|noface)(?=_)")  # added to the name of the source

_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_NO_JSON = (b"NaN", b"Infinity")
NOTHING = b""
_WHOLE = "the dataset"  # in place of a file


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
    def line(self) -> str:
        """Code, part and file on one line."""
        return " ".join(filter(None, (self.code, self.part, "" if self.file == _WHOLE else f"/{self.file}")))

    @property
    def of_source(self) -> tuple[str, PurePosixPath] | None:
        """Code and raw file, without extensions, if the error is about a file of a participant."""
        path = PurePosixPath(_OF_DEFACING.sub("", self.file))
        return (self.code, path.with_name(stem_of(path))) if path.parts[0].startswith("sub-") else None


def check_valid(bids_dir: Path, participants: Sequence[str] = (), scratch: Path | None = None) -> None:
    """Refuse a dataset with validation errors; parameters as of `find_problems`.

    Raises
    ------
    BidsdefaceError
        The message has the first problems.
    """
    if problems := find_problems(bids_dir, participants, scratch):
        shown = shortened(problems, _SHOWN_AT_MOST, "; ")
        raise BidsdefaceError(f"{bids_dir}: not valid BIDS: {shown}; {_WAY_OUT}")


def find_problems(bids_dir: Path, participants: Sequence[str] = (), scratch: Path | None = None) -> list[str]:
    """List the validator's errors, one line each.

    Parameters
    ----------
    bids_dir : Path
        Root of the dataset.
    participants : sequence of str, optional
        Labels without ``sub-``; all where empty.
    scratch : Path, optional
        A private folder for the files of the validator; by default, a temporary one.

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
    problems = _validate(
        bids_dir,
        lambda name: name in folders or (not participants and name.startswith("sub-")),
        _LEFT_TO_THE_READER,
        scratch,
        _SKIP_INPUT,
    )
    # Ages above 89 are capped, or left out.
    return sorted(one.line for one in problems if (one.code, one.part) != ("TSV_VALUE_INCORRECT_TYPE", AGE))


def find_new_errors(
    output_dir: Path, bids_dir: Path, *, is_derivative: bool, scratch: Path | None = None
) -> list[Problem]:
    """List the validator's errors about an output dataset that the input does not have.

    The input is validated only if the output has errors.

    Parameters
    ----------
    output_dir, bids_dir : Path
        Roots of the datasets, which are read as a whole.
    is_derivative : bool
        Whether the output is a derivative. An error is not new if the input has the same code and part in the
        file of the same name or, for a derivative, the same code in the file that it was made from.
    scratch : Path, optional
        A private folder for the files of the validator; by default, a temporary one.

    Returns
    -------
    list of Problem
        One for each file and code; empty for a valid dataset.

    Raises
    ------
    BidsdefaceError
        If the validator is missing or breaks down.
    """
    if not (of_output := _validate(output_dir, _is_raw, (), scratch, _SKIP_OUTPUT)):
        return []
    of_input = _validate(bids_dir, _is_raw, (), scratch, _SKIP_OUTPUT)
    known = {one.of_source if is_derivative else one for one in of_input} - {None}
    new = [one for one in of_output if (one.of_source if is_derivative else one) not in known]
    return sorted({(one.file, one.code): one for one in sorted(new, reverse=True)}.values())


def _is_raw(folder: str) -> bool:
    """Return True if the validator reads a folder at the root of a dataset."""
    return not folder.startswith(".") and folder not in _NOT_RAW


def _validate(
    dataset: Path,
    is_included: Callable[[str], bool],
    ignored: Collection[str],
    scratch: Path | None,
    skip: str,
) -> list[Problem]:
    """Return the errors of the files at the root of a dataset, and of folders whose name is included.

    Files that a broken JSON file describes are left out, as missing fields may be in it.
    """
    root = dataset.resolve()
    names = [entry.name for entry in root.iterdir() if not entry.is_dir() or is_included(entry.name)]
    with private_folder(scratch or temporary_dir()) as folder:
        selection, config = folder / "dataset", folder / "config.json"
        with storage_errors(folder):
            broken = link_selection(root, names, selection)
            config.write_text(json.dumps({"ignore": [{"code": one} for one in ignored]}))
        report = _run_validator(selection, config, {**os.environ, **environment_in(folder)}, skip)
    sidecars = [name for path in broken if (name := parse_name(path))]
    problems = [
        Problem(
            str(issue.get("location") or _WHOLE).lstrip("/"),
            str(issue.get("code")),
            str(issue.get("subCode") or ""),
        )
        for issue in report["issues"]["issues"]
    ]
    return [
        one
        for one in problems
        if not ((name := parse_name(PurePosixPath(one.file))) and applicable(name, sidecars))
    ]


def _run_validator(dataset: Path, config: Path, environ: Mapping[str, str], skip: str) -> dict[str, Any]:
    command = [_find_executable(skip), "--format", "json", "--ignoreWarnings", "--config", str(config)]
    result = subprocess.run(
        [*command, str(dataset)], capture_output=True, text=True, check=False, env=environ
    )
    if result.returncode not in (_EXIT_VALID, _EXIT_INVALID):
        said = result.stderr.strip().splitlines() or ["nothing said"]
        raise BidsdefaceError(
            f"{_EXECUTABLE}: crashed with exit code {result.returncode} ({said[-1]}); "
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


def link_selection(dataset: Path, names: Iterable[str], selection: Path) -> list[PurePosixPath]:
    """Mirror files and folders at the root of a dataset by links.

    Parameters
    ----------
    dataset : Path
        Its root.
    names : iterable of str
        Names of the files and folders.
    selection : Path
        The folder to make.

    Returns
    -------
    list of PurePosixPath
        Broken JSON files, which are not in the mirror.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    selection.mkdir()
    return [
        path
        for name in sorted(filter(is_utf8, names))
        for path in _mirror(dataset, PurePosixPath(name), selection)
    ]


def _mirror(bids_dir: Path, name: PurePosixPath, selection: Path) -> list[PurePosixPath]:
    """Mirror a file or folder as a whole, or file by file if some of its files are replaced.

    The validator does not follow a link into an annex, but it does follow a link to that link.
    """
    try:
        files = list(files_in(bids_dir, str(name))) if (bids_dir / name).is_dir() else [name]
    except BidsdefaceError:  # reported where the scans are listed
        files = []
    instead = {path: copy for path in files if (copy := _in_place_of(bids_dir, path)) is not None}
    if not instead and not any(annexed_content(bids_dir / path) for path in files):
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
    """Return the content that replaces a file in the mirror; None for a file that is linked.

    It is `NOTHING` for broken JSON and names that are not UTF-8, and JSON without byte order mark and without
    fields of NaN for files that need it.
    """
    if not is_utf8(str(path)):
        return NOTHING
    if path.suffix != ".json":
        return None
    try:
        content = (bids_dir / path).read_bytes()
        fields = parse_json(content)
    except JsonError:
        return None if path.name == DESCRIPTION.name else NOTHING  # all files need the description
    except OSError:  # not present: the validator reports it
        return None
    if not (content.startswith(_MARKS) or any(word in content for word in _NO_JSON)):
        return None
    return json.dumps({name: value for name, value in fields.items() if is_finite(value)}).encode()
