"""Lend the mask of a scan to others on its grid: phase images, and maps computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bidsdeface.dataset.kinds import is_of_series, is_phase, magnitudes_of, possible_donors, shows_flip_angles
from bidsdeface.dataset.names import Scan
from bidsdeface.errors import ImageError, RegistrationError
from bidsdeface.head.fit import TemplateSet, check_still
from bidsdeface.head.mask import FIELD_ENDS, NONE_SEEN, Loaded, Masked
from bidsdeface.imaging.image import is_on_grid


def mask_from_other(loaded: Loaded, done: Mapping[Scan, Masked], templates: TemplateSet) -> Masked | None:
    """Return the mask of another scan for one that cannot be judged, and what the other was judged by.

    A phase image shows no outline of a head, and a map may have anything in the air. On the grid of the scan
    that it belongs to, it shows the same places.

    Parameters
    ----------
    loaded : Loaded
    done : mapping of Scan to Masked
        Scans of this head that are published by now, with all measures.
    templates : TemplateSet

    Returns
    -------
    Masked or None
        None for a scan that finds a mask by itself.

    Raises
    ------
    ImageError
        A phase image, and no magnitude of it is published on its grid.
    RegistrationError
        The magnitude has no face to show, but this scan may.
    """
    scan = loaded.scan
    grids = {one: (masked.mask.shape, masked.affine) for one, masked in done.items()}
    possible = [one for one in possible_donors(scan, list(done)) if is_on_grid(loaded.image, *grids[one])]
    if is_phase(scan):
        if not possible:
            raise ImageError(
                f"{scan.path}: shows phase, not anatomy, and no {' or '.join(magnitudes_of(scan.suffix))} "
                "on its grid was defaced whose mask it could take; ask for both with --suffixes, or leave it "
                "out"
            )
        return _borrow(possible[0], done, loaded)
    for lender in possible:
        masked, of_series = done[lender], is_of_series(scan, lender)
        is_certain = of_series and shows_flip_angles(scan)  # made together; flip angles have no outline
        if masked.mask.any() and (is_certain or _may_share(masked, loaded, templates, of_series)):
            return _borrow(lender, done, loaded)
    return None


def _borrow(lender: Scan, done: Mapping[Scan, Masked], loaded: Loaded) -> Masked:
    masked = done[lender]
    if masked.no_face == NONE_SEEN:
        raise RegistrationError(
            f"{loaded.scan.path}: may show a face where {lender.stem} shows none, and could not take a "
            "mask from it, as none could be verified; leave it out, or give its mask with --mask"
        )
    if masked.no_face and masked.no_face != FIELD_ENDS:
        raise RegistrationError(
            f"{loaded.scan.path}: belongs to {lender.stem}, which was emptied before it came here; whether "
            "this image was, cannot be seen; leave it out, or give its mask with --mask"
        )
    return replace(masked, lent_by=lender.stem)


def _may_share(masked: Masked, loaded: Loaded, templates: TemplateSet, of_series: bool) -> bool:
    """Tell whether a map shows the head where its lender does; if that cannot be seen, labels decide."""
    if masked.registered is None:
        return of_series
    try:
        seen = check_still(
            str(loaded.scan.path), loaded.volume, masked.registered, templates, must_show=False
        )
    except RegistrationError:
        return False
    return seen or of_series
