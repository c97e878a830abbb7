"""Run the BIDS validator on the participants that were asked for, and on no others."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.dataset.inheritance import applicable
from bidsdeface.dataset.names import FileName, parse_name
from bidsdeface.dataset.selection import link_selection
from bidsdeface.errors import BidsdefaceError, storage_errors
from bidsdeface.privacy.scratch import environment_in, private_folder, temporary_dir

_EXECUTABLE = "bids-validator-deno"
_EXIT_VALID, _EXIT_INVALID = 0, 16
_SHOWN_AT_MOST = 5
_WAY_OUT = "correct the dataset, or go on at your own risk with --skip-bids-validation"

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
    problems = find_problems(bids_dir, participants, scratch)
    if problems:
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
    with private_folder(scratch or temporary_dir()) as folder:
        selection, config = folder / "dataset", folder / "config.json"
        with storage_errors(folder):
            broken = link_selection(bids_dir.resolve(), participants, selection)
            config.write_text(json.dumps({"ignore": [{"code": one} for one in _LEFT_TO_THE_READER]}))
        report = _run_validator(selection, config, {**os.environ, **environment_in(folder)})
    sidecars = [name for path in broken if (name := parse_name(path))]
    return sorted(_as_line(issue) for issue in report["issues"]["issues"] if not _is_of(sidecars, issue))


def _is_of(sidecars: Sequence[FileName], issue: Mapping[str, Any]) -> bool:
    """Return True for an issue of a file that a broken JSON file describes: fields may be in there."""
    name = parse_name(PurePosixPath(issue.get("location", "").lstrip("/")))
    return name is not None and bool(applicable(name, sidecars))


def _run_validator(dataset: Path, config: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    command = [_find_executable(), "--format", "json", "--ignoreWarnings", "--config", str(config)]
    result = subprocess.run(
        [*command, str(dataset)], capture_output=True, text=True, check=False, env=environ
    )
    if result.returncode not in (_EXIT_VALID, _EXIT_INVALID):
        said = result.stderr.strip().splitlines() or ["nothing said"]
        raise BidsdefaceError(
            f"{_EXECUTABLE}: broke down with exit code {result.returncode} ({said[-1]}); "
            "repair the installation, or use --skip-bids-validation",
            retry=result.returncode < 0,  # it was killed
        )
    return json.loads(result.stdout)


def _find_executable() -> str:
    beside_python = os.path.dirname(sys.executable)
    found = shutil.which(_EXECUTABLE, path=beside_python) or shutil.which(_EXECUTABLE)
    if found is None:
        raise BidsdefaceError(
            f"{_EXECUTABLE}: not found beside {sys.executable} or on PATH; "
            f"pip install {_EXECUTABLE}, or use --skip-bids-validation"
        )
    return found


def _as_line(issue: Mapping[str, Any]) -> str:
    parts = (issue.get("code"), issue.get("subCode"), issue.get("location"))
    return " ".join(str(part) for part in parts if part)
