"""Bind the decisions of a person to what was looked at: the input, its mask and the settings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsdeface.dataset.names import Scan
from bidsdeface.errors import BidsdefaceError
from bidsdeface.head.options import MaskOptions
from bidsdeface.imaging.image import read_bytes, read_image
from bidsdeface.output.record import read_record
from bidsdeface.output.review import (
    ACCEPT,
    REJECT,
    Decision,
    read_review,
    remember_decision,
    remembered_decisions,
)
from bidsdeface.quality.outcome import IN_REVIEW, KEPT, Outcome
from bidsdeface.report.private import report_folder, shown_fingerprint
from bidsdeface.runtime.workdir import State

# What a person has seen the result of. The rules for metadata show in no picture.
_SETTINGS = ("Version", "Method", "MaskSource", "Template", "Regions", "GuardMM", "Longitudinal")


@dataclass(frozen=True)
class Review:
    """The decisions that a run has to follow.

    Attributes
    ----------
    settings : MaskOptions
    state : State or None
    given : mapping of str to Decision
        Those of this run, by the stems of the scans.
    """

    settings: MaskOptions
    state: State | None
    given: Mapping[str, Decision]

    def is_about(self, scan: Scan) -> bool:
        """Return True if somebody has decided about a scan, in whatever form it was."""
        return scan.stem in self.given or bool(self._remembered(scan))

    def of(self, scan: Scan, fingerprint: str) -> str:
        """Return the decision about what has this fingerprint, or an empty text. One of this run is kept."""
        given = self.given.get(scan.stem)
        if given and given.fits(fingerprint):
            if self.state and fingerprint:
                remember_decision(self.state, scan.stem, fingerprint, given)
            return given.decision
        known = self._remembered(scan).get(fingerprint)
        return known.decision if known else ""

    def lapsed(self, scan: Scan, fingerprint: str) -> str:
        """Return why a decision of this run does not count, or an empty text."""
        given = self.given.get(scan.stem)
        if not given or given.fits(fingerprint):
            return ""
        return (
            f"{given.place}: {scan.stem} was looked at with another input, mask, version or settings, so "
            f"{given.decision!r} does not count; look at it again (--private-report) and decide anew"
        )

    def of_published(self, scan: Scan) -> Outcome:
        """Keep a finished result, or withdraw it if a person has rejected it."""
        kept = Outcome(scan.stem, KEPT)
        try:
            is_rejected = any(one.decision == REJECT for one in self._remembered(scan).values())
            if not self.state or not (is_rejected or scan.stem in self.given):
                return kept
            fingerprint = self._fingerprint_of_published(scan, self.state)
            if self.of(scan, fingerprint) == REJECT:
                return self.withdraw(scan)
        except BidsdefaceError as error:  # such as an input that is not here
            return replace(kept, lapsed=f"{scan.path}: its review cannot be followed: {error}")
        return replace(kept, lapsed=self.lapsed(scan, fingerprint))

    def withdraw(self, scan: Scan) -> Outcome:
        """Withdraw a scan that a person has rejected."""
        reason = f"{scan.path}: {IN_REVIEW}; to take that back, give --review a file that accepts it"
        outcome = self.settings.output.withdraw_failed(scan, reason)
        return replace(outcome, kind=IN_REVIEW)

    def _remembered(self, scan: Scan) -> Mapping[str, Decision]:
        return remembered_decisions(self.state, scan.stem) if self.state else {}

    def _fingerprint_of_published(self, scan: Scan, state: State) -> str:
        defaced, no_face = (self.settings.output.outputs_of(scan, no_face=is_so) for is_so in (False, True))
        record = read_record(self.settings.output_dir / defaced.image)
        if not record.get("Method") or not defaced.mask:
            record = read_record(self.settings.output_dir / no_face.image)
            return fingerprint_of(state, scan, read_bytes(scan.path), None, record)
        mask = read_image(self.settings.output_dir / defaced.mask).stored > 0
        return fingerprint_of(state, scan, read_bytes(scan.path), mask, record)


def decisions_of(settings: MaskOptions, state: State | None) -> Review:
    """Return the decisions of a run: those of ``--review``, and of ``--accept``.

    ``--accept`` is about what the private report has shown last, if it has shown the scan.

    Raises
    ------
    UsageError
        The file of ``--review`` is not as it should be.
    """
    given = read_review(settings.review, settings.bids_dir) if settings.review else {}
    folder = report_folder(state, settings.output_dir) if state else None
    for stem in settings.accept:
        shown = shown_fingerprint(folder, stem) if folder else ""
        given[stem] = Decision(decision=ACCEPT, fingerprint=shown, place=f"--accept {stem}")
    return Review(settings, state, given)


def fingerprint_of(
    state: State, scan: Scan, content: bytes, mask: NDArray[np.bool_] | None, record: Mapping[str, Any]
) -> str:
    """Return the keyed fingerprint of what a person looks at.

    Parameters
    ----------
    state : State
    scan : Scan
    content : bytes
        The image file.
    mask : numpy.ndarray of bool or None
        None for a scan that shows no face.
    record : mapping
        The ``Bidsdeface`` object of the result.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    made_with = json.dumps([record.get(name) for name in _SETTINGS])
    shape, bits = (str(mask.shape), np.packbits(mask.T).tobytes()) if mask is not None else ("", b"")
    parts = (str(scan.name.path).encode(), content, made_with.encode(), shape.encode(), bits)
    return state.derive("what was looked at", *parts).hex()
