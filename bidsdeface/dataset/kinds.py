"""Which kinds of image there are to deface: suffixes and the folders they lie in, by the BIDS schema."""

from collections.abc import Sequence
from functools import cache

from bidsdeface.errors import UsageError
from bidsdeface.schema import file_rules

ANATOMICAL = "anat"
DATATYPES = (ANATOMICAL, "func", "dwi", "fmap", "perf", "pet")  # where BIDS keeps images of heads
_NO_HEAD = ("defacemask", "noRF")  # a mask, and noise that is measured without excitation


def kinds_of(suffixes: Sequence[str] = ()) -> frozenset[tuple[str, str]]:
    """Return the kinds of image that were asked for, each as datatype and suffix.

    Parameters
    ----------
    suffixes : sequence of str, optional
        Suffixes as in file names; ``"anat"`` stands for all anatomical ones, and is what is taken if
        nothing is given.

    Raises
    ------
    UsageError
        BIDS has no image with such a suffix.

    Examples
    --------
    >>> sorted(kinds_of(["T1w", "sbref"]))
    [('anat', 'T1w'), ('dwi', 'sbref'), ('func', 'sbref')]
    >>> ("anat", "MEGRE") in kinds_of(), ("func", "bold") in kinds_of()
    (True, False)
    """
    known = _of_rules()
    asked = suffixes or (ANATOMICAL,)
    there = {suffix for _, suffix in known}
    if unknown := [name for name in asked if name != ANATOMICAL and name not in there]:
        raise UsageError(
            f"--suffixes {' '.join(unknown)}: BIDS has no such image of a head; choose from anat (all "
            f"anatomical ones), {', '.join(sorted(there))}"
        )
    return frozenset(
        (datatype, suffix)
        for datatype, suffix in known
        if suffix in asked or (datatype == ANATOMICAL and ANATOMICAL in asked)
    )


@cache
def maps() -> frozenset[tuple[str, str]]:
    """Return the kinds of image that are computed from others: T1map, UNIT1, FA and the like."""
    return _of_rules("anat.parametric", "dwi.ScannerDerivatives", "fmap.parametric")


@cache
def weighted() -> frozenset[tuple[str, str]]:
    """Return the kinds of image that show anatomy by one contrast: T1w, FLAIR and the like."""
    return _of_rules("anat.nonparametric")


@cache
def _of_rules(*names: str) -> frozenset[tuple[str, str]]:
    """Return the kinds of image of some rules of the schema; of all for heads if none is named."""
    return frozenset(
        (datatype, suffix)
        for rule in file_rules()
        if (rule.name in names if names else rule.name.partition(".")[0] in DATATYPES)
        and ".nii.gz" in rule.extensions
        for datatype in rule.datatypes
        for suffix in rule.suffixes
        if suffix not in _NO_HEAD
    )
