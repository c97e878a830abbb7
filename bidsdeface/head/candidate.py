"""What a scan would be published with: its mask and new values, and what speaks against them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from bidsdeface.deidentify.identifiers import Identifiers
from bidsdeface.errors import BidsdefaceError, RegistrationError
from bidsdeface.head.choose_mask import Progress, choose_mask
from bidsdeface.head.fit import TemplateSet
from bidsdeface.head.mask import Loaded, Masked
from bidsdeface.head.options import MaskOptions
from bidsdeface.head.refaced import Replacement, replacement_of
from bidsdeface.head.resume import record_before_judging
from bidsdeface.head.review import Review, decisions_of, fingerprint_of
from bidsdeface.imaging.average import AverageFace
from bidsdeface.runtime.workdir import State


@dataclass(frozen=True)
class Tools:
    """Everything that a worker process needs for any head, loaded once.

    Attributes
    ----------
    settings : MaskOptions
    templates : TemplateSet
    state : State or None
        Private state, which stays.
    identifiers : callable
        Takes the label of a participant, and returns the identifiers that no kept text of theirs may hold.
    average : AverageFace or None
        What replaces faces; None if they are removed.
    """

    settings: MaskOptions
    templates: TemplateSet
    state: State | None
    identifiers: Callable[[str], Identifiers] = lambda subject: Identifiers()
    average: AverageFace | None = None

    @cached_property
    def review(self) -> Review:
        """What people have decided."""
        return decisions_of(self.settings, self.state)


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
    """

    loaded: Loaded
    masked: Masked
    new: Replacement
    objection: RegistrationError | None
    fingerprint: str


def find_candidate(loaded: Loaded, progress: Progress, tools: Tools) -> Candidate:
    """Find what a scan is to be published with: if something objects, what a person may accept or reject.

    Raises
    ------
    BidsdefaceError
        There is no mask, or none that could be trusted, and nobody has looked or wants to look at it.
    """
    settings, state, objection = tools.settings, tools.state, None
    is_looked_at = settings.private_report or tools.review.is_about(loaded.scan)
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
    return Candidate(loaded, masked, new, objection, fingerprint)
