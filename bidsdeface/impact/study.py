"""Measure every defaced scan and its original, each alone, and return the differences.

What was measured on an image is kept in the work dir while the image is the same, so that an interrupted
study continues where it stopped.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bidsdeface import __version__
from bidsdeface.errors import BidsdefaceError, describe, may_pass
from bidsdeface.head.fit import make_template_set
from bidsdeface.head.options import DEFAULT_TEMPLATE, REGIONS
from bidsdeface.head.registered import TemplateSet
from bidsdeface.imaging.image import read_image
from bidsdeface.impact.measure import Measured, change, measure_alone
from bidsdeface.output.record import Published
from bidsdeface.output.request import Request
from bidsdeface.runtime.scratch import make_private, private_folder
from bidsdeface.runtime.workdir import State
from bidsdeface.runtime.workers import Lost, run_in_workers

LOGGER = logging.getLogger("bidsdeface")
PURPOSE = "impact"  # name of the private folder


@dataclass(frozen=True)
class Pair:
    """A published scan and its original.

    Attributes
    ----------
    image : PurePosixPath
        Relative to the output dataset.
    original, defaced : pathlib.Path
    """

    image: PurePosixPath
    original: Path
    defaced: Path


def measure_impact(
    request: Request, state: State, scans: Sequence[Published]
) -> dict[PurePosixPath, Mapping[str, float]]:
    """Measure the requested defaced scans of the anatomy and their originals; return the differences.

    Parameters
    ----------
    request : Request
        Its participants and sessions select the scans.
    state : State
        Private state in the work dir.
    scans : sequence of Published

    Returns
    -------
    dict of PurePosixPath to mapping of str to float
        By image: differences, by the names in `CHANGES`. Empty where an image alone could not be measured; a
        later run tries again.

    Raises
    ------
    BidsdefaceError
        No worker could be prepared.
    """
    folder = make_private(state.folder_for(PURPOSE, request.output_dir))
    pairs = list(map(_pair, _asked_for(request, scans), [request] * len(scans)))
    changes: dict[PurePosixPath, Mapping[str, float]] = {pair.image: {} for pair in pairs}
    with (
        logging_redirect_tqdm([LOGGER]),
        tqdm(total=len(pairs), unit="scan", desc="impact", disable=request.verbosity < 0 or None) as bar,
    ):
        for pair, result in run_in_workers(prepare, (folder,), pairs, request.n_procs):
            if isinstance(result, BidsdefaceError):
                raise result
            if isinstance(result, Lost):  # the report and the leak check do not depend on it
                LOGGER.warning("%s: its impact is not measured: %s", pair.image, result.reason)
            else:
                changes[pair.image] = result
            bar.update()
    return changes


def _asked_for(request: Request, scans: Sequence[Published]) -> list[Published]:
    # By folders: a published file that somebody renamed ends no group level.
    subjects = {f"sub-{label}" for label in request.participants}
    sessions = {f"ses-{label}" for label in request.sessions}
    return [
        scan
        for scan in scans
        if scan.is_defaced and scan.shows_anatomy
        if not subjects or subjects & set(scan.image.parts)
        if not sessions or sessions & set(scan.image.parts)
    ]


def _pair(scan: Published, request: Request) -> Pair:
    original = scan.image if request.is_complete else scan.original or scan.image
    return Pair(scan.image, request.bids_dir / original, request.output_dir / scan.image)


def prepare(folder: Path) -> Callable[[Pair], list[Mapping[str, float]]]:
    """Return the function that compares a pair, with everything it needs."""
    templates = make_template_set(DEFAULT_TEMPLATE, REGIONS[0])
    return lambda pair: [_compare(pair, folder, templates)]


def _compare(pair: Pair, folder: Path, templates: TemplateSet) -> Mapping[str, float]:
    before, after = (_measured(path, folder, templates) for path in (pair.original, pair.defaced))
    return change(before, after, templates.head_template) if before and after else {}


def _measured(path: Path, folder: Path, templates: TemplateSet) -> Measured | None:
    """Measure an image, unless that was done; return None if it cannot be measured."""
    try:
        status = path.stat()
        key = f"{__version__} {path} {status.st_size} {status.st_mtime_ns}"
        stored = folder / f"{hashlib.sha256(os.fsencode(key)).hexdigest()[:32]}.json"
        if stored.exists():
            content = json.loads(stored.read_text())
            return Measured(**{**content, "to_head": np.array(content["to_head"])})
        measured = measure_alone(read_image(path), templates)
    except (BidsdefaceError, FileNotFoundError) as error:
        if may_pass(error):
            raise
        LOGGER.warning("%s: its impact is not measured: %s", path, describe(error))
        return None
    with private_folder(folder) as unfinished:
        content = {**asdict(measured), "to_head": measured.to_head.tolist()}
        (unfinished / stored.name).write_text(json.dumps(content))
        os.replace(unfinished / stored.name, stored)
    return measured
