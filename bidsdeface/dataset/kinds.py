"""Which kinds of image there are to deface: suffixes and the folders they lie in, by the BIDS schema."""

from collections.abc import Sequence
from functools import cache

from bidsdeface.errors import UsageError
from bidsdeface.schema import file_rules

ANATOMICAL = "anat"
DATATYPES = (ANATOMICAL, "func", "dwi", "fmap", "perf", "pet")  # where BIDS keeps images of heads
NO_HEAD = ("defacemask", "noRF")  # a mask, and noise that is measured without excitation
DEFAULT = "default"  # of --suffixes: all that is taken without it
# Echo-planar images seldom show a face (Schwarz and others, 2019 to 2022).
SELDOM_SHOW_FACE = ("func", "dwi")
ECHO_PLANAR_FIELD_MAP = ("fmap", "epi")


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


def shows_face_seldom(datatype: str, suffix: str) -> bool:
    """Return True for kinds of image of which published re-identification rates are next to nothing.

    Examples
    --------
    >>> [shows_face_seldom(*kind) for kind in (("func", "bold"), ("fmap", "epi"), ("fmap", "magnitude1"))]
    [True, True, False]
    """
    is_of_epi = datatype in SELDOM_SHOW_FACE or (datatype, suffix) == ECHO_PLANAR_FIELD_MAP
    return is_of_epi or suffix in NO_HEAD


@cache
def suffixes_of_heads() -> tuple[str, ...]:
    """Return ``anat`` and the suffixes of all other images that can show a face, for `kinds_of`.

    Examples
    --------
    >>> [name in suffixes_of_heads() for name in ("anat", "magnitude1", "phasediff", "asl", "pet", "bold")]
    [True, True, True, True, True, False]
    """
    known = _of_rules()
    others = {
        suffix
        for datatype, suffix in known
        if datatype != ANATOMICAL and not shows_face_seldom(datatype, suffix)
    }
    return ANATOMICAL, *sorted(others)


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
        if suffix not in NO_HEAD
    )
