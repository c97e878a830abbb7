"""Which kinds of image there are to deface: suffixes and the folders they lie in, by the BIDS schema."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from bidsdeface.errors import UsageError

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
    known = {(datatype, suffix) for rule in _rules() for datatype, suffix in _pairs(rule)}
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
    known = {pair for rule in _rules() for pair in _pairs(rule)}
    others = {
        suffix
        for datatype, suffix in known
        if datatype != ANATOMICAL and not shows_face_seldom(datatype, suffix)
    }
    return ANATOMICAL, *sorted(others)


@cache
def maps() -> frozenset[tuple[str, str]]:
    """Return the kinds of image that are computed from others: T1map, UNIT1, FA and the like."""
    raw = _schema()
    computed = (raw["anat"]["parametric"], raw["dwi"]["ScannerDerivatives"], raw["fmap"]["parametric"])
    return frozenset(pair for rule in computed for pair in _pairs(rule))


@cache
def weighted() -> frozenset[tuple[str, str]]:
    """Return the kinds of image that show anatomy by one contrast: T1w, FLAIR and the like."""
    return frozenset(_pairs(_schema()["anat"]["nonparametric"]))


def _rules() -> list[Mapping[str, Any]]:
    raw = _schema()
    return [rule for datatype in DATATYPES for rule in raw[datatype].values() if "suffixes" in rule]


def _pairs(rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    if ".nii.gz" not in rule["extensions"]:
        return []
    images = [suffix for suffix in rule["suffixes"] if suffix not in NO_HEAD]
    return [(datatype, suffix) for datatype in rule["datatypes"] for suffix in images]


@cache
def _schema() -> Mapping[str, Any]:
    from bidsschematools.schema import load_schema

    return load_schema()["rules"]["files"]["raw"]
