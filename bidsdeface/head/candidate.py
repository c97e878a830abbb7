"""What a scan would be published with: its mask and new values, and what speaks against them."""

from collections.abc import Callable
from dataclasses import dataclass

from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.errors import BidsdefaceError, RegistrationError
from bidsdeface.head.choose_mask import Progress, choose_mask
from bidsdeface.head.mask import Loaded, Masked
from bidsdeface.head.options import MaskOptions
from bidsdeface.head.refaced import Replacement, replacement_of
from bidsdeface.head.registered import TemplateSet
from bidsdeface.head.resume import record_before_judging
from bidsdeface.head.review import Review, Ruling, fingerprint_of
from bidsdeface.imaging.average import AverageFace
from bidsdeface.runtime.workdir import State


@dataclass(frozen=True)
class Tools:
    """Everything that a worker process needs for any head, loaded once.

    Attributes
    ----------
    settings : MaskOptions
    templates : TemplateSet
    review : Review
        What people have decided.
    identifiers : callable
        Takes the label of a participant, and returns the identifiers that no kept text of theirs may hold.
    average : AverageFace or None
        What replaces faces; None if they are removed.
    """

    settings: MaskOptions
    templates: TemplateSet
    review: Review
    identifiers: Callable[[str], Identifiers] = lambda subject: Identifiers()
    average: AverageFace | None = None

    @property
    def state(self) -> State | None:
        """Private state, which stays."""
        return self.review.state


@dataclass(frozen=True)
class Candidate:
    """A scan, and what it would be published with.

    Attributes
    ----------
    loaded : Loaded
    masked : Masked
    new : Replacement
    objection : RegistrationError or None
        Why it is held back unless a person accepts it.
    fingerprint : str
        Of what a person would look at; empty if nobody does.
    ruling : Ruling
        What people have decided about it.
    """

    loaded: Loaded
    masked: Masked
    new: Replacement
    objection: RegistrationError | None
    fingerprint: str
    ruling: Ruling


def find_candidate(loaded: Loaded, progress: Progress, tools: Tools) -> Candidate:
    """Find what a scan is to be published with: if something objects, what a person may accept or reject.

    Raises
    ------
    BidsdefaceError
        There is no mask, or none that could be trusted, and nobody has looked or wants to look at it.
    """
    settings, state, objection = tools.settings, tools.state, None
    # Together with its head: scans of one set are shown with one mask.
    is_looked_at = settings.private_report or any(map(tools.review.is_about, loaded.head.scans))
    try:
        masked = choose_mask(loaded, progress, settings, tools.templates)
    except RegistrationError as error:
        if not is_looked_at:
            raise
        objection = error
        try:
            masked = choose_mask(loaded, progress, settings, tools.templates, accepted=True)
        except BidsdefaceError:
            raise objection from None
    new = replacement_of(loaded, masked, settings, tools.average)
    fingerprint = ""
    if state and is_looked_at:
        mask = None if masked.no_face else masked.mask
        record = record_before_judging(masked, settings, new)
        fingerprint = fingerprint_of(state, loaded.scan, loaded.content, mask, record)
    ruling = tools.review.of(loaded.scan, fingerprint)
    return Candidate(loaded, masked, new, objection, fingerprint, ruling)
