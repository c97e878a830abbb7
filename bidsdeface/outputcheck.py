"""Validate the whole output at the end of a run, and name the errors that the input does not have."""

import logging
from collections.abc import Set
from pathlib import Path

from bidsdeface.dataset.validator import find_new_errors
from bidsdeface.errors import BidsdefaceError
from bidsdeface.exits import Exit, code_of_run
from bidsdeface.settings import BIDS, Settings

LOGGER = logging.getLogger("bidsdeface")
_UNFINISHED = {Exit.ERROR, Exit.USAGE, Exit.RETRY}
_WAY_OUT = (
    "the input has no such error; correct what it comes from in BIDS_DIR and run again, or report it; "
    "to share it all the same: --skip-output-validation"
)


def check_output_valid(settings: Settings, scratch: Path, codes: Set[Exit]) -> set[Exit]:
    """Validate the output, unless a person does not want it, and name each new error in one line.

    Parameters
    ----------
    settings : Settings
    scratch : Path
        Private.
    codes : set of Exit
        What came up in the run until now: an output that is not complete, or has no participant, is not
        validated.

    Returns
    -------
    set of Exit
        `Exit.LEAK` if there are errors that the input does not have; another if the validator broke down.
    """
    if not settings.validate_output:
        return set()
    if codes & _UNFINISHED or not any(settings.output_dir.glob("sub-*")):
        LOGGER.warning("the output is not validated, as it is not complete")
        return set()
    is_derivative = settings.output_layout != BIDS
    try:
        found = find_new_errors(
            settings.output_dir, settings.bids_dir, is_derivative=is_derivative, scratch=scratch
        )
    except BidsdefaceError as error:  # what else the run has found still counts
        LOGGER.error("the output could not be validated: %s", error)
        return {code_of_run(error)}
    for one in found:
        LOGGER.error("INVALID %s: %s: %s", one.file, f"{one.code} {one.part}".rstrip(), _WAY_OUT)
    return {Exit.LEAK} if found else set()
