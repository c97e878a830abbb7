"""List the files of the raw dataset, and sort them into what is shared and what stays behind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePosixPath

from bidsdeface.dataset.carryover import Carried, LeftOut, Treatment, dictionaries_in, plan_carryover
from bidsdeface.dataset.listing import files_in, is_folder, is_of_macos, read_ignored
from bidsdeface.settings import Settings

STIMULI = "stimuli"


def sort_of_participant(
    settings: Settings, subject: str, above: Sequence[PurePosixPath] | None = None
) -> tuple[list[Carried], list[LeftOut]]:
    """Sort a participant's files, and the sidecars and tables above that apply to them.

    Parameters
    ----------
    settings : Settings
    subject : str
        Label without ``sub-``.
    above : sequence of PurePosixPath, optional
        The files beside participants, where they are at hand: from `files_above`.
    """
    above = files_above(settings, folders=False) if above is None else above
    paths = [*files_of(settings, f"sub-{subject}"), *above]
    paths += files_of(settings, STIMULI) if settings.include else []  # events name them
    carried, left_out = sort_files(settings, paths)
    apply = (Treatment.SIDECAR, Treatment.TABLE)
    return [one for one in carried if len(one.path.parts) > 1 or one.treatment in apply], left_out


def sort_files(settings: Settings, paths: list[PurePosixPath]) -> tuple[list[Carried], list[LeftOut]]:
    """Sort files of the raw dataset by what a person asked for."""
    return plan_carryover(
        paths,
        include=settings.include,
        ignored=read_ignored(settings.bids_dir),
        defaced_suffixes=settings.to_deface,
    )


def files_of(settings: Settings, folder: str) -> list[PurePosixPath]:
    """List the files below a folder of the raw dataset."""
    return list(files_in(settings.bids_dir, folder))


def files_above(settings: Settings, folders: bool) -> list[PurePosixPath]:
    """List what lies beside the participants; folders as a whole, unless patterns ask for some of it."""
    added = dictionaries_in(settings.data_dictionary) if settings.data_dictionary else ()
    found = [PurePosixPath(one.name) for one in added if not (settings.bids_dir / one.name).exists()]
    with os.scandir(settings.bids_dir) as entries:
        for entry in entries:
            if not is_folder(entry):
                found += [PurePosixPath(entry.name)] if not is_of_macos(entry.name) else []
            elif folders and not entry.name.startswith("sub-"):
                looked_into = settings.include and not entry.name.startswith(".")
                found += files_of(settings, entry.name) if looked_into else [PurePosixPath(entry.name)]
    return found
