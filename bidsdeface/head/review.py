"""Say what the decisions of a person mean for a scan: an acceptance binds to input, mask and settings."""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsdeface.dataset.names import Head, Scan, scan_at
from bidsdeface.errors import BidsdefaceError, Exit, UsageError, counted_as, describe
from bidsdeface.head.options import MaskOptions
from bidsdeface.imaging.image import read_bytes, read_image
from bidsdeface.output.names import image_of, mask_of, raw_and_mask_of
from bidsdeface.output.publish import OutputDataset
from bidsdeface.output.record import read_record
from bidsdeface.output.request import Request
from bidsdeface.output.review import (
    ACCEPT,
    DECISIONS,
    REJECT,
    Decision,
    decision_on,
    now,
    read_review,
    remember_decision,
    remembered_decisions,
)
from bidsdeface.quality.outcome import FAILED, IN_REVIEW, Outcome, read_outcomes
from bidsdeface.report.private_pages import report_folder, shown_fingerprint
from bidsdeface.runtime.workdir import OUTCOMES, State

LOGGER = logging.getLogger(__name__)

# What a person has seen the result of. The rules for metadata show in no picture.
_SETTINGS = ("Version", "Method", "MaskSource", "Template", "Regions", "GuardMM", "Longitudinal")


@dataclass(frozen=True)
class Ruling:
    """What people have decided about a scan as it is now.

    Attributes
    ----------
    decision : str
        One of `DECISIONS`, or empty.
    why_lapsed : str
        Why a decision of this run does not count, if it does not.
    """

    decision: str = ""
    why_lapsed: str = ""


@dataclass(frozen=True)
class Review:
    """The decisions that a run has to follow, read once.

    Attributes
    ----------
    output : OutputDataset
    state : State or None
    given : mapping of str to Decision
        Those of this run, by the stems of the scans.
    codes : frozenset of Exit
        What the run has to end with because of a decision that it does not follow.
    """

    output: OutputDataset
    state: State | None
    given: Mapping[str, Decision]
    codes: frozenset[Exit] = frozenset()

    def within(self, request: Request, heads: Iterable[Head]) -> "Review":
        """Leave out decisions about scans that are not in a request, so that none is kept unfollowed.

        Those about its participants and sessions are named.
        """
        asked = {scan.stem for head in heads for scan in head.scans}
        left = {stem: given for stem, given in self.given.items() if stem not in asked}
        missed = [stem for stem in left if request.asks_for(scan_at(Path(f"{stem}.nii.gz")))]
        for stem in missed:
            LOGGER.error(
                "%s: %s is not among the scans of this request; so %r does not count: ask for it, too "
                "(--suffixes, --bids-filter-file)",
                *(left[stem].place, stem, left[stem].decision),
            )
        if others := len(left) - len(missed):
            LOGGER.info(
                "%s about participants or sessions that were not asked for: not followed in this run",
                counted_as(others, "decision"),
            )
        given = {stem: one for stem, one in self.given.items() if stem in asked}
        return replace(self, given=given, codes=frozenset({Exit.FAILED} if missed else ()))

    def is_about(self, scan: Scan) -> bool:
        """Return True if somebody has, or may have, decided about a scan, in whatever form it was."""
        try:
            return scan.stem in self.given or bool(self._remembered(scan))
        except BidsdefaceError:  # it costs that scan alone
            return True

    def of(self, scan: Scan, fingerprint: str | None) -> Ruling:
        """Say what is decided about what has this fingerprint; keep what was decided in this run.

        Raises
        ------
        BidsdefaceError
            There may be decisions, but they cannot be read.
        """
        known, given = self._remembered(scan), self.given.get(scan.stem)
        if given and (given.decision == REJECT or (fingerprint is not None and given.fits(fingerprint))):
            known = self._remember(scan, replace(given, fingerprint=given.fingerprint or fingerprint or ""))
            why = "was decided otherwise later"
        elif fingerprint is None:
            why = "cannot be compared with what was looked at: there is no mask of it, or no input"
        else:
            why = "was looked at with another input, mask, version or settings"
        counts = decision_on(known, fingerprint)
        decision = counts.decision if counts else ""
        if not given or given.decision == decision:
            return Ruling(decision)
        return Ruling(
            decision,
            f"{given.place}: {scan.stem} {why}; so {given.decision!r} does not count: look at it again "
            "(--private-report) and decide anew",
        )

    def of_nothing(self, scan: Scan) -> Ruling:
        """Say what is decided about a scan of which there is nothing that could be accepted."""
        try:
            return self.of(scan, None)
        except Exception as error:  # whatever one scan does, the others go on
            given = self.given.get(scan.stem)
            decision = REJECT if given and given.decision == REJECT else ""
            return Ruling(decision, f"{scan.path}: its review cannot be followed: {describe(error)}")

    def of_published(self, head: Head) -> dict[str, Ruling]:
        """Say what is decided about the results of a head in the output, by the stems of its scans."""
        return {scan.stem: self._of_published(scan) for scan in {head.reference, *head.scans}}

    def rejected(self, head: Head) -> set[str]:
        """Return the stems of the scans of a head that a person has rejected."""
        return {stem for stem, ruling in self.of_published(head).items() if ruling.decision == REJECT}

    def _of_published(self, scan: Scan) -> Ruling:
        try:
            decisions = {one.decision for one in self._remembered(scan).values()}
            if scan.stem not in self.given and REJECT not in decisions:
                return Ruling()  # what was accepted changes nothing of a result that is there
            return self.of(scan, self._fingerprint_of_published(scan))
        except Exception:  # such as an input that is not here
            return self.of_nothing(scan)

    def withdraw_all(self, head: Head, rejected: Collection[str]) -> list[Outcome]:
        """Withdraw the rejected scans of a head, its reference included; return those of its own scans."""
        scans = dict.fromkeys((head.reference, *head.scans))
        outcomes = {scan: self.withdraw(scan) for scan in scans if scan.stem in rejected}
        return [outcomes[scan] for scan in head.scans if scan in outcomes]

    def withdraw(self, scan: Scan) -> Outcome:
        """Withdraw a scan that a person has rejected, after all results that were made with it.

        One that had failed before keeps its reason.
        """
        failed = None if self._is_published(scan) else self._last_failure(scan)
        faults = self._withdraw_made_with(scan)
        outcome = self.output.withdraw_failed(scan, f"{scan.path}: {IN_REVIEW}")
        outcome = replace(
            outcome,
            reasons=(*outcome.reasons, *faults),
            kind=IN_REVIEW,
            is_rejected=True,
            remedy="to publish it all the same, look at it as it is now (--private-report), accept it there, "
            "and give --review the file",
        )
        if failed is None:
            return outcome
        causes = (reason.removeprefix(f"{scan.path}: ") for reason in failed["reasons"])
        reasons = (*outcome.reasons, *(cause for cause in causes if cause != IN_REVIEW))
        checks = tuple(failed["failed_checks"])
        return replace(outcome, reasons=reasons, kind=failed["kind"], failed_checks=checks)

    def _is_published(self, scan: Scan) -> bool:
        results = (self.output.outputs_of(scan, no_face=is_so) for is_so in (False, True))
        return any(read_record(self.output.root / result.image) for result in results)

    def _last_failure(self, scan: Scan) -> Mapping[str, Any] | None:
        """Return the last recorded outcome of a scan if it failed by itself, not by a person's rejection."""
        last = None
        if self.state:
            kept = self.state.folder_for(OUTCOMES, self.output.root) / f"{scan.stem}.json"
            with suppress(BidsdefaceError):  # there is none
                last = read_outcomes([kept]).get(scan.stem)
        has_failed = last and last["verdict"] == FAILED and last["kind"] != IN_REVIEW and not last["retry"]
        return last if has_failed else None

    def _withdraw_made_with(self, scan: Scan) -> list[str]:
        """Withdraw what was made with a scan, asked for or not; return what stood in the way."""
        try:
            for other in self._made_with(scan):
                LOGGER.warning("%s: withdrawn: it was made with %s, %s", other.stem, scan.stem, IN_REVIEW)
                self.output.withdraw(other)
        except BidsdefaceError as error:
            return [f"what was made with it could not be withdrawn: {error}"]
        return []

    def _made_with(self, scan: Scan) -> list[Scan]:
        """Return the other published scans that share the mask of a scan, took it, or were placed by it."""
        sidecars = (self.output.root / f"sub-{scan.subject}").glob("**/*.json")
        images = filter(None, map(image_of, sidecars))
        # A sidecar that cannot be read vouches for nothing: its scan is done again.
        records = {raw_and_mask_of(image)[0]: record for image in images if (record := read_record(image))}
        published = {raw: record for raw, record in records.items() if raw.suffix != "defacemask"}
        names = {scan.stem}
        sharing = {
            raw.stem: record
            for raw, record in published.items()
            if record.get("Method") and mask_of(raw) == mask_of(scan)
        }
        if "MaskOf" not in sharing.get(scan.stem, {"MaskOf": ""}):
            names |= sharing.keys()
        return [
            raw
            for raw, record in published.items()
            if raw.stem != scan.stem
            and (names & {raw.stem, record.get("MaskOf")} or record.get("Reference") == scan.stem)
        ]

    def _remember(self, scan: Scan, given: Decision) -> Mapping[str, Decision]:
        if not self.state:
            return {given.fingerprint: given}
        dataset, content = str(scan.bids_dir.resolve()), _content_of(self.state, scan)
        remember_decision(self.state, scan.stem, replace(given, dataset=dataset, content=content))
        return self._remembered(scan)

    def _remembered(self, scan: Scan) -> Mapping[str, Decision]:
        """Return the decisions about a scan, and not about one of this name in another dataset.

        What was accepted at this place with another content takes no rejection back.
        """
        if not self.state:
            return {}
        known, dataset = remembered_decisions(self.state, scan.stem), str(scan.bids_dir.resolve())
        is_mixed = {one.decision for one in known.values()} == set(DECISIONS)
        if all(one.dataset == dataset for one in known.values()) and not is_mixed:
            return known
        content = _content_of(self.state, scan)

        def is_about_scan(one: Decision) -> bool:
            may_be = one.decision == REJECT or not (content and one.content)
            return (one.dataset == dataset and may_be) or bool(content and one.content == content)

        return {mark: one for mark, one in known.items() if is_about_scan(one)}

    def _fingerprint_of_published(self, scan: Scan) -> str | None:
        """Return the fingerprint of a result in the output; None if there is none."""
        defaced, no_face = (self.output.outputs_of(scan, no_face=is_so) for is_so in (False, True))
        record, mask = read_record(self.output.root / defaced.image), None
        if record.get("Method") and defaced.mask:
            mask = read_image(self.output.root / defaced.mask).stored > 0
        else:
            record = read_record(self.output.root / no_face.image)
        if not record:
            return None
        return fingerprint_of(self.state, scan, read_bytes(scan.path), mask, record) if self.state else ""


def read_decisions(settings: MaskOptions, state: State | None) -> Review:
    """Return the decisions of a run: those of ``--review``, and of ``--accept``.

    ``--accept`` is about what the private report has shown last, if it has shown the scan.

    Raises
    ------
    UsageError
        The file of ``--review`` is not as it should be, or both decide about one scan.
    """
    given = read_review(settings.review, settings.bids_dir) if settings.review else {}
    if both := sorted(set(settings.accept) & set(given)):
        raise UsageError(f"--accept {both[0]}: --review decides about it as well; leave one of them out")
    folder = report_folder(state, settings.output_dir) if state else None
    for stem in settings.accept:
        shown = shown_fingerprint(folder, stem) if folder else ""
        given[stem] = Decision(decision=ACCEPT, fingerprint=shown, time=now(), place=f"--accept {stem}")
    return Review(settings.output, state, given)


def _content_of(state: State, scan: Scan) -> str:
    """Return the keyed fingerprint of an image file; empty if it is not here."""
    with suppress(BidsdefaceError):
        return state.derive("reviewed image", read_bytes(scan.path)).hex()
    return ""


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
