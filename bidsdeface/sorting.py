"""List the files of the raw dataset, and sort them into what is shared and what stays behind."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.carryover import Carried, LeftOut, Treatment, plan_carryover
from bidsdeface.dataset.listing import files_in
from bidsdeface.errors import BidsdefaceError
from bidsdeface.settings import Settings

STIMULI = "stimuli"


def participants(bids_dir: Path) -> list[str]:
    """Return the labels of all participants, without ``sub-``."""
    folders = (path.name for path in bids_dir.glob("sub-*") if path.is_dir())
    return sorted(name.removeprefix("sub-") for name in folders)


def sort_of_participant(settings: Settings, subject: str) -> tuple[list[Carried], list[LeftOut]]:
    """Sort a participant's files, and the sidecars and tables above that apply to them."""
    paths = [*files_of(settings, f"sub-{subject}"), *files_above(settings, folders=False)]
    paths += files_of(settings, STIMULI) if settings.include else []  # events name them
    carried, left_out = sort_files(settings, paths)
    apply = (Treatment.SIDECAR, Treatment.TABLE)
    return [one for one in carried if len(one.path.parts) > 1 or one.treatment in apply], left_out


def sort_files(settings: Settings, paths: list[PurePosixPath]) -> tuple[list[Carried], list[LeftOut]]:
    """Sort files of the raw dataset by what a person asked for."""
    return plan_carryover(
        paths, include=settings.include, ignored=_ignored(settings), defaced_suffixes=settings.to_deface
    )


def files_of(settings: Settings, folder: str) -> list[PurePosixPath]:
    """List the files below a folder of the raw dataset."""
    return list(files_in(settings.bids_dir, folder))


def files_above(settings: Settings, folders: bool) -> list[PurePosixPath]:
    """List what lies beside the participants; folders as a whole, unless patterns ask for some of it."""
    added = settings.data_dictionary.glob("*.json") if settings.data_dictionary else ()
    found = [PurePosixPath(one.name) for one in added if not (settings.bids_dir / one.name).exists()]
    with os.scandir(settings.bids_dir) as entries:
        for entry in entries:
            if not os.path.isdir(entry.path):  # False for a link to itself, which has no other kind
                found.append(PurePosixPath(entry.name))
            elif folders and not entry.name.startswith("sub-"):
                looked_into = settings.include and not entry.name.startswith(".")
                found += files_of(settings, entry.name) if looked_into else [PurePosixPath(entry.name)]
    return found


def _ignored(settings: Settings) -> list[str]:
    try:
        return (settings.bids_dir / ".bidsignore").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise BidsdefaceError(
            f"{settings.bids_dir / '.bidsignore'}: cannot be read ({error}); correct the file"
        ) from error
