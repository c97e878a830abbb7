"""Find the scans that an earlier run has finished with the settings of this run.

Version and settings are in the sidecar. Only private state shows whether the input is still the same: it
holds, for each scan, one fingerprint of the input and the result together.
"""

import json
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from bidsdeface import __version__
from bidsdeface.dataset.annex import is_fetched
from bidsdeface.dataset.inheritance import read_metadata
from bidsdeface.dataset.kinds import possible_donors
from bidsdeface.dataset.names import Head, Scan
from bidsdeface.deidentify.policy import policy_mark
from bidsdeface.errors import BidsdefaceError
from bidsdeface.head.options import REFACE, REMOVE, MaskOptions, NotRefaced
from bidsdeface.imaging.image import read_bytes
from bidsdeface.output.names import Outputs, mask_of
from bidsdeface.output.record import read_record
from bidsdeface.quality.limits import bids_name
from bidsdeface.quality.outcome import Outcome
from bidsdeface.runtime.workdir import State

if TYPE_CHECKING:  # heavy: for the workers alone
    from bidsdeface.head.mask import Masked
    from bidsdeface.head.refaced import Replacement

DIGITS = 2  # of a measure as it is published: more would say much about a face to who tries some


def expected_record(
    settings: MaskOptions,
    *,
    no_face: bool = False,
    by_hand: bool = False,
    not_refaced: NotRefaced | None = None,
) -> dict[str, Any]:
    """Return what the ``Bidsdeface`` object of a result with these settings holds.

    Parameters
    ----------
    settings : MaskOptions
    no_face : bool, optional
        Whether the image shows no face: then no method is claimed.
    by_hand : bool, optional
        Whether a person drew the mask.
    not_refaced : NotRefaced, optional
        Why the face is removed though another was to replace it.
    """
    record = {
        "Version": __version__,
        "MetadataPolicy": policy_mark(settings.policy),
        "Method": None if no_face else REMOVE if not_refaced else settings.method,
        "NotRefaced": not_refaced.value if not_refaced else None,
        **({} if no_face else {"MaskSource": "by hand" if by_hand else "template"}),
    }
    of_template = {
        "Template": settings.template_name,
        "Regions": list(settings.regions),
        "GuardMM": settings.guard_mm,
        "Longitudinal": settings.longitudinal,
    }
    return record if by_hand else {**record, **of_template}


def record_before_judging(masked: "Masked", settings: MaskOptions, new: "Replacement") -> dict[str, Any]:
    """Return the part of a result's record that does not depend on its verdict: how it is made."""
    return expected_record(
        settings, no_face=bool(masked.no_face), by_hand=bool(settings.mask), not_refaced=new.not_refaced
    )


def record_of(
    outcome: Outcome, masked: "Masked", settings: MaskOptions, new: "Replacement"
) -> dict[str, object]:
    """Return the ``Bidsdeface`` object of a sidecar."""
    record = {
        **record_before_judging(masked, settings, new),
        "PlacementOnWholeHead": new.placement,
        "Reference": masked.registered.reference if masked.registered else None,
        "MaskOf": masked.lent_by or None,
        "Verdict": outcome.verdict,
        "Evidence": masked.no_face,
        "Accepted": list(outcome.failed_checks) or None,
        "Measures": {
            bids_name(name): float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
            for name, value in outcome.measures.items()
        },
    }
    return {name: value for name, value in record.items() if value is not None or name == "Reference"}


def finished_scans(
    head: Head,
    settings: MaskOptions,
    state: State | None = None,
    withdrawn: Collection[str] = (),
) -> set[str]:
    """Return the stems of a head's scans that need not be done again.

    A mask that a person drew and a result that a person accepted stay until they are given anew, or until
    everything is redone by force. With private state, the inputs are read: a result from another input is not
    finished.

    Parameters
    ----------
    head : Head
    settings : MaskOptions
    state : State or None
    withdrawn : collection of str
        Stems of scans that `Review.withdraw` has withdrawn, and that get no mask in this run.
    """
    if settings.force or settings.mask:
        return set()
    results = {scan.stem: result for scan in head.scans if (result := _result(scan, settings))}
    records = {stem: read_record(settings.output_dir / result.image) for stem, result in results.items()}
    lenders = {stem: record.get("MaskOf") for stem, record in records.items()}
    finished = {
        scan.stem
        for scan in head.scans
        if scan.stem in results.keys() - {*withdrawn}
        and not (state and _was_made_of_another(scan, results[scan.stem].image, settings, state))
    }
    by_hand = {scan.stem for scan in head.scans if is_by_hand(settings, scan)}

    def sharing_mask(undone: Sequence[Scan]) -> Iterator[Scan]:
        masks = {mask_of(scan) for scan in undone}
        return (scan for scan in head.scans if mask_of(scan) in masks)

    def takers(undone: Sequence[Scan]) -> Iterator[Scan]:
        names = {scan.stem for scan in undone}
        return (scan for scan in head.scans if lenders.get(scan.stem) in names)

    def donors(undone: Sequence[Scan]) -> Iterator[Scan]:
        to_do = (scan for scan in undone if scan.stem not in withdrawn)
        return (donor for scan in to_do for donor in possible_donors(scan, head.scans))

    # Scans that share one mask are done together or not at all: those of a set, and a scan with its donors.
    for concerned in (sharing_mask, takers, donors, sharing_mask):
        undone = [scan for scan in head.scans if scan.stem not in finished | {*withdrawn}]
        finished -= {scan.stem for scan in concerned(undone)} - by_hand
    return finished


def is_by_hand(settings: MaskOptions, scan: Scan) -> bool:
    """Return True if a scan is published with a mask that a person drew."""
    return has_result(settings.output_dir, settings.output.outputs_of(scan), {"MaskSource": "by hand"})


def _result(scan: Scan, settings: MaskOptions) -> Outputs | None:
    """Return the files of a finished result that was made with the same settings, if there is one."""
    outputs = settings.output.outputs_of(scan)
    by_hand = expected_record(settings, by_hand=True)
    del by_hand["Method"], by_hand["NotRefaced"]  # a face in a mask by hand is removed by any method
    records = [expected_record(settings), by_hand]
    if settings.method == REFACE:
        records += [expected_record(settings, not_refaced=reason) for reason in NotRefaced]
    possible = [(outputs, record) for record in records]
    possible += [(settings.output.outputs_of(scan, no_face=True), expected_record(settings, no_face=True))]
    return next((files for files, record in possible if has_result(settings.output_dir, files, record)), None)


def remember_input(
    state: State | None,
    output_dir: Path,
    scan: Scan,
    content: bytes,
    metadata: Mapping[str, Any],
    image: Path,
) -> None:
    """Keep the fingerprint of a scan, right before its result is published; do nothing without private state.

    Before, not after, so that every result has one. If the run ends in between, the fingerprint
    fits no result, and the scan is done again.

    Parameters
    ----------
    state : State or None
    output_dir : Path
        Root of the output dataset.
    scan : Scan
    content : bytes
        The image file, as it was read.
    metadata : mapping
        Of the scan, as it was read.
    image : Path
        The defaced image that is about to be published.

    Raises
    ------
    BidsdefaceError
        It cannot be written.
    """
    if state:
        state.remember(_name(state, output_dir, scan), _fingerprint(state, content, metadata, image))


def _was_made_of_another(scan: Scan, image: PurePosixPath, settings: MaskOptions, state: State) -> bool:
    """Return True if the result in the output is known to be made from another input than today's."""
    if not (scan.path.exists() and is_fetched(scan.path)):  # dropped by git-annex: that is no change
        return False
    try:
        if (remembered := state.remembered(_name(state, settings.output_dir, scan))) is None:
            return False
        metadata, content = read_metadata(settings.bids_dir, scan), read_bytes(scan.path)
        return remembered != _fingerprint(state, content, metadata, settings.output_dir / image)
    except (BidsdefaceError, OSError):  # doing it again will tell
        return True


def _name(state: State, output_dir: Path, scan: Scan) -> str:
    """Name a scan of this output dataset; the work dir may serve several datasets."""
    place = (os.fsencode(output_dir.resolve()), str(scan.folder / scan.stem).encode())
    return state.derive("name of a fingerprint", *place).hex()


def _fingerprint(state: State, content: bytes, metadata: Mapping[str, Any], image: Path) -> bytes:
    """Bind input and result together, so that a fingerprint never fits another result."""
    fields = json.dumps(metadata, sort_keys=True, default=str).encode()
    return state.derive("fingerprint", content, fields, image.read_bytes())


def has_result(output_dir: Path, outputs: Outputs, provenance: Mapping[str, Any]) -> bool:
    """Return True if all files of a result are there, and its record holds certain values.

    Parameters
    ----------
    output_dir : Path
        Root of the output dataset.
    outputs : Outputs
        The files of the scan.
    provenance : mapping
        The values that the ``Bidsdeface`` object of the image's sidecar must hold.

    Returns
    -------
    bool
    """
    if not all((output_dir / name).is_file() for name in outputs.files):
        return False
    record = read_record(output_dir / outputs.image)
    return all(record.get(name) == value for name, value in provenance.items())
