"""Choose the way to a scan's mask: a file, another scan, its set, or the template."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.kinds import (
    ANATOMICAL,
    is_of_series,
    is_phase,
    magnitudes_of,
    may_show_none,
    possible_donors,
    shows_flip_angles,
)
from bidsdeface.dataset.names import Scan
from bidsdeface.errors import ImageError, RegistrationError, raise_first
from bidsdeface.head.mask import Loaded, Masked, NoFace, mask_from_template, measure_on_scan, no_face_seen
from bidsdeface.head.options import MaskOptions
from bidsdeface.head.registered import RegisteredScan, TemplateSet
from bidsdeface.head.series import check_series, check_still
from bidsdeface.imaging.facemask import read_mask_by_hand
from bidsdeface.imaging.image import Image, is_on_grid
from bidsdeface.imaging.volume import voxel_ml
from bidsdeface.output.names import mask_of
from bidsdeface.quality.checks import Rejected, failed_checks


@dataclass
class Progress:
    """The state of one head while its scans are defaced.

    Attributes
    ----------
    to_come : set of str
        Stems of the scans that are still to be published.
    reference : RegisteredScan or None
        A scan that other scans are placed by, once there is one that can be trusted.
    published : dict of Scan to Masked
        The scans that are published by now, with all measures.
    sets : dict of PurePosixPath to Masked
        The masks of sets (echoes, inversions), by the name of the mask.
    held_back : dict of PurePosixPath to Masked
        Those that a set would have if a person accepted them, so that all of it is looked at with one mask.
    rejected : set of str
        Stems of the scans that a person has rejected.
    """

    to_come: set[str]
    reference: RegisteredScan | None = None
    published: dict[Scan, Masked] = field(default_factory=dict)
    sets: dict[PurePosixPath, Masked] = field(default_factory=dict)
    held_back: dict[PurePosixPath, Masked] = field(default_factory=dict)
    rejected: set[str] = field(default_factory=set)

    def learn(self, scan: Scan, masked: Masked) -> None:
        """Let a scan whose mask was found lend it to its set, and place others if it can be trusted."""
        if not masked.no_face:
            self.sets.setdefault(mask_of(scan), masked)
            if self.reference is None and not (masked.accepted_for or failed_checks(masked.measures)):
                self.reference = masked.registered


def choose_mask(
    loaded: Loaded,
    progress: Progress,
    settings: MaskOptions,
    templates: TemplateSet,
    accepted: bool = False,
) -> Masked:
    """Find the mask of a scan in the way that fits its kind.

    Parameters
    ----------
    loaded : Loaded
    progress : Progress
    settings : MaskOptions
    templates : TemplateSet
    accepted : bool, optional
        A person has looked: go on whatever speaks against it.

    Raises
    ------
    BidsdefaceError
        There is none that could be trusted.
    """
    if settings.mask:
        return mask_from_file(settings.mask, loaded.image)
    scan, reference = loaded.scan, progress.reference
    masks_of_sets = {**progress.held_back, **progress.sets} if accepted else progress.sets
    lent = mask_from_other(loaded, progress.published)
    if lent is None and (of_set := masks_of_sets.get(mask_of(scan))):
        lent = mask_from_set(of_set, loaded)
    if lent and lent.accepted_for and not accepted:
        raise RegistrationError(
            f"{scan.path}: gets the mask of {lent.accepted_for}, which a person has accepted for that scan "
            "alone; look at this one in the private report, too, and accept it"
        )
    if lent:
        return lent
    by_template = partial(mask_from_template, loaded, reference, templates)
    if scan.suffix in settings.suffixes or not may_show_none(scan.datatype, scan.suffix):
        return by_template(accepted)
    if any(is_phase(other) and possible_donors(other, [scan]) for other in loaded.head.scans):
        with suppress(RegistrationError):  # phase shows a face where magnitude shows none, and needs a mask
            return by_template(False)
    try:
        return no_face_seen(loaded, reference, templates, accepted)
    except Rejected as seen:
        try:
            return by_template(accepted and not math.isnan(seen.measures["face_seen"]))
        except RegistrationError as error:
            reasons = error.failed_checks if isinstance(error, Rejected) else {"placement": str(error)}
            raise Rejected({**seen.failed_checks, **reasons}, seen.measures) from error


def mask_from_file(path: Path, image: Image) -> Masked:
    """Return the mask that a person drew.

    Raises
    ------
    ImageError, UsageError
        It cannot be the mask of this scan.
    """
    mask = read_mask_by_hand(path, image)
    return Masked(mask, image.affine, {"mask_ml": float(mask.sum()) * voxel_ml(image.affine)})


def mask_from_set(masked: Masked, loaded: Loaded) -> Masked:
    """Return the mask of a set (echoes, inversions) for another scan of it, measured on that scan.

    Raises
    ------
    ImageError
        The scan is on another grid than the first of its set.
    RegistrationError
        The head has moved since, or moves within the scan.
    """
    if not is_on_grid(loaded.image, masked.mask.shape, masked.affine):
        raise ImageError(
            f"{loaded.scan.path}: is not on the grid of its set, and BIDS allows one mask per set; "
            "give it a name that sets it apart"
        )
    if masked.registered is None:
        return masked
    check_still(str(loaded.scan.path), loaded.volume, masked.registered)
    check_series(loaded.image, masked.registered, each=loaded.scan.datatype == ANATOMICAL)
    face = masked.mask if masked.folded is None else masked.mask & ~masked.folded
    own = measure_on_scan(loaded, face, masked.registered)
    return replace(masked, measures={**masked.measures, **own})


def mask_from_other(loaded: Loaded, published: Mapping[Scan, Masked]) -> Masked | None:
    """Return the mask of another scan for one that cannot be judged, and what the other was judged by.

    A phase image shows no outline of a head, and a map may have anything in the air. On the grid of the scan
    that it belongs to, it shows the same places.

    Parameters
    ----------
    loaded : Loaded
    published : mapping of Scan to Masked
        Scans of this head that are published by now, with all measures.

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
    donors = {
        other: published[other]
        for other in possible_donors(scan, list(published))
        if is_on_grid(loaded.image, published[other].mask.shape, published[other].affine)
    }
    if is_phase(scan) and not donors:
        raise ImageError(
            f"{scan.path}: shows phase, not anatomy, and no {' or '.join(magnitudes_of(scan.suffix))} "
            "on its grid was defaced and could lend it a mask; ask for both with --suffixes, or leave it "
            "out"
        )
    # Last those that a person has accepted: they do so for themselves alone.
    for donor, masked in sorted(donors.items(), key=lambda item: bool(item[1].accepted_for)):
        if is_phase(scan) or (masked.mask.any() and _may_share(masked, donor, loaded)):
            return _lent(masked, donor, scan)
    return None


def _may_share(masked: Masked, donor: Scan, loaded: Loaded) -> bool:
    """Return True if a map shows the head where its donor does; if that cannot be seen, labels decide."""
    of_series = is_of_series(loaded.scan, donor)
    if of_series and shows_flip_angles(loaded.scan):
        return True  # made together; flip angles have no outline
    if masked.registered is None:
        return of_series
    with suppress(RegistrationError):
        seen = check_still(str(loaded.scan.path), loaded.volume, masked.registered, must_show=False)
        return seen or of_series
    return False


def _lent(masked: Masked, donor: Scan, scan: Scan) -> Masked:
    raise_first(
        {
            f"{scan.path}: may show a face although {donor.stem} shows none, and no mask for "
            "it could be verified; leave it out, or give its mask with --mask": (
                masked.no_face == NoFace.NONE_SEEN
            ),
            f"{scan.path}: belongs to {donor.stem}, whose face had been removed before; it cannot "
            "be seen whether this holds for this image too; leave it out, or give its mask with --mask": (
                masked.no_face in (NoFace.BARE_BRAIN, NoFace.DEFACED)
            ),
        },
        RegistrationError,
    )
    return replace(masked, lent_by=donor.stem)
