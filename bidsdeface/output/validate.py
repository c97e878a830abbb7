"""Validate the whole output at the end of a run, and log the errors that the input does not have."""

import logging
from collections.abc import Set
from pathlib import Path

from bidsdeface.dataset.validator import find_new_errors
from bidsdeface.errors import BidsdefaceError, Exit, code_of_run
from bidsdeface.output.request import Request

LOGGER = logging.getLogger("bidsdeface")
_UNFINISHED = {Exit.ERROR, Exit.USAGE, Exit.RETRY}
_WAY_OUT = (
    "the input has no such error; correct what it comes from in BIDS_DIR and run again, or report it; "
    "to share it all the same: --skip-output-validation"
)


def check_output_valid(request: Request, scratch: Path, codes: Set[Exit]) -> set[Exit]:
    """Validate the output, unless the request skips that, and log each error that the input does not have.

    Parameters
    ----------
    request : Request
    scratch : Path
        Private.
    codes : set of Exit
        Exit codes of the run so far. An output that is not complete, or has no participant, is not validated.

    Returns
    -------
    set of Exit
        `Exit.LEAK` if there are errors that the input does not have; another if the validator broke down.
    """
    if not request.validate_output:
        return set()
    if codes & _UNFINISHED or not any(request.output_dir.glob("sub-*")):
        LOGGER.warning("the output is not validated, as it is not complete")
        return set()
    is_derivative = not request.is_complete
    try:
        errors = find_new_errors(
            request.output_dir, request.bids_dir, is_derivative=is_derivative, scratch=scratch
        )
    except BidsdefaceError as error:  # the other findings of the run still count
        LOGGER.error("the output could not be validated: %s", error)
        return {code_of_run(error)}
    for one in errors:
        LOGGER.error("INVALID %s: %s: %s", one.file, f"{one.code} {one.part}".rstrip(), _WAY_OUT)
    return {Exit.LEAK} if errors else set()
