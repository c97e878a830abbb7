"""Every measure of a result: what it says, what is normal, and from where on the result is not published.

The limits are set by the calibration study (docs/calibration.md): between what good results reach, on real
heads and variants of them, and what deliberate failures show.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bidsdeface.errors import RegistrationError


@dataclass(frozen=True)
class Check:
    """One measure of a result, and its limits.

    Attributes
    ----------
    measure : str
        Its name; lengths end in ``_mm``, volumes in ``_ml``.
    description : str
        What it says, and what is normal.
    fault : str
        What to say if it is beyond a limit, with ``{value}`` and ``{limit}`` in it.
    best : float
        What it is for a result that could not be better.
    least, most : float
        The limits, both still good. A value that is not a number is beyond them.
    """

    measure: str
    description: str
    fault: str = ""
    best: float = 0.0
    least: float = -math.inf
    most: float = math.inf

    @property
    def limits(self) -> str:
        """The limits in words; empty where there are none."""
        low = f"{self.least:g} or more" if math.isfinite(self.least) else ""
        high = f"{self.most:g} or less" if math.isfinite(self.most) else ""
        return " and ".join(filter(None, (low, high)))

    def limit(self, value: float) -> float | None:
        """Return the limit that a value is beyond, if it is beyond one."""
        if self.least <= value <= self.most:
            return None
        return self.least if value < self.least else self.most

    def strain(self, value: float) -> float:
        """Return how far a value is on the way from the best to the limit: 0 to 1, above 1 beyond it."""
        limit = self.least if value < self.best else self.most
        return (value - self.best) / (limit - self.best) if math.isfinite(value) else math.inf


CHECKS = (
    # What the placement of the template says of itself.
    Check(
        "similarity",
        "Correlation ratio of intensities, scan and template (or reference), 0 to 1; "
        "T1w 0.7 to 0.8, other contrasts from 0.3",
        "the scan does not look like the template (similarity {value:.2f}, {limit} or more expected)",
        best=1.0,
        least=0.25,
    ),
    Check(
        "lead",
        "By how much Similarity is above that of the best placement that is quite another, such as back to "
        "front; normally above 0.13",
        "a head placed quite otherwise fits nearly as well (lead {value:.2f}, {limit} or more expected)",
        best=1.0,
        least=0.08,
    ),
    Check(
        "scale",
        "Size of the template's head relative to the scan's; normally 0.85 to 1.1",
        "the template's size had to be changed too much (scale {value:.2f}, limit {limit})",
        best=1.0,
        least=0.65,
        most=1.35,
    ),
    Check(
        "stretch",
        "Largest over smallest stretch of the template; normally below 1.2",
        "the template had to be deformed too much (stretch {value:.2f}, at most {limit} expected)",
        best=1.0,
        most=1.4,
    ),
    # A second registration, from another start.
    Check(
        "start_disagreement_mm",
        "Largest distance over the head between registrations from two starts; normally below 0.5",
        "registrations from different starts disagree by {value:.0f} mm (at most {limit:.0f} expected)",
        most=5.0,
    ),
    Check(
        "mask_disagreement_mm",
        "Largest depth to which the published mask and that of the second registration lie outside of each "
        "other; normally below 3",
        "the masks of two registrations lie {value:.0f} mm apart (at most {limit:.0f} expected)",
        most=6.0,
    ),
    # The head's own surface, and its own brain.
    Check(
        "outline_correlation",
        "Correlation of tissue and air, scan and template, outside the face; normally above 0.9",
        "the scan's outline does not fit a head (correlation {value:.2f}, {limit} or more expected)",
        best=1.0,
        least=0.75,
    ),
    Check(
        "outline_shift_mm",
        "How far the face would move if the head's own outline, without the face, placed the template; "
        "normally below 8",
        "the head's own outline places the face {value:.0f} mm from where the template does "
        "(at most {limit:.0f} expected)",
        most=12.0,
    ),
    Check(
        "brain_estimate_ml",
        "Volume that is brain for sure, by the scan's own intensities; normally 800 and more",
        "no brain is found where the template has its own ({value:.0f} mL, {limit:.0f} or more expected)",
        best=1500.0,
        least=150.0,
    ),
    Check(
        "brain_in_mask_ml",
        "Volume of it that lies in the mask; normally 0, at most 1.5 where intensities are uneven",
        "the mask takes in {value:.1f} mL of the brain (at most {limit} expected)",
        most=2.0,
    ),
    Check("brain_distance_mm", "Smallest distance from the mask to the brain as registered"),
    Check(
        "guard_depth_mm",
        "How deep the brain guard reaches into the face region; normally below 7",
        "the brain guard covers the face {value:.0f} mm deep (at most {limit:.0f} expected)",
        most=10.0,
    ),
    # Is there a face where the mask is?
    Check(
        "face_found",
        "Tissue in the mask, and what was emptied there before, relative to the part of the template's head "
        "that the mask holds; normally 0.7 to 1.1, down to 0.25 where little of the face is in view",
        "where the face should be there is nearly nothing ({value:.0%} of it, {limit:.0%} or more expected)",
        best=1.0,
        least=0.2,
    ),
    Check(
        "emptied_share",
        "Share of the template's head in the mask that has one and the same value in the image as it came; "
        "from 0.5 on, somebody has defaced it before",
    ),
    # What is left in the defaced image.
    Check(
        "tissue_left_ml",
        "Tissue left where the second registration has the face; normally 0",
        "{value:.1f} mL of the face are left (at most {limit} expected)",
        most=0.5,
    ),
    Check(
        "stray_tissue_ml",
        "Largest piece of tissue in the air around the head, such as a nose folded to the back; normally 0",
        "there is something in the air around the head ({value:.1f} mL, at most {limit} expected): a nose "
        "that folded over, another head, a marker",
        most=1.0,
    ),
    Check(
        "removed_share",
        "Share of the tissue in view that was removed; normally 0.05 to 0.25",
        "the mask takes {value:.0%} of the head (at most {limit:.0%} expected)",
        best=0.15,
        most=0.45,
    ),
    Check("mask_ml", "Volume of the mask, air included"),
    Check("foldover_ml", "Volume of the part of it that holds what folded over, and the air around that"),
)


def bids_name(measure: str) -> str:
    """Return a measure's name as BIDS spells names.

    Examples
    --------
    >>> bids_name("brain_distance_mm")
    'BrainDistanceMM'
    """
    return "".join(word.upper() if word in ("mm", "ml") else word.title() for word in measure.split("_"))


def faults(
    measures: Mapping[str, float], whole: bool = False, not_judged: Collection[str] = ()
) -> dict[str, str]:
    """Return what speaks against a result: measure to words; empty if nothing does.

    Parameters
    ----------
    measures : mapping of str to float
        Any of those of `CHECKS`.
    whole : bool
        Whether every measure that has a limit must be there.
    not_judged : collection of str
        Those that need not be there all the same.
    """
    found = {}
    for check in CHECKS:
        needed = whole and check.limits and check.measure not in not_judged
        value = measures.get(check.measure, math.nan if needed else None)
        if value is not None and (limit := check.limit(value)) is not None:
            told = "{name} could not be measured" if math.isnan(value) else check.fault
            found[check.measure] = told.format(name=check.measure, value=value, limit=limit)
    return found


class Rejected(RegistrationError):
    """A result that its measures speak against.

    Parameters
    ----------
    found : mapping of str to str
        From `faults`.
    measures : mapping of str to float
    """

    def __init__(self, found: Mapping[str, str], measures: Mapping[str, float]) -> None:
        super().__init__(found, measures)
        self.faults = dict(found)
        self.measures = dict(measures)

    def __str__(self) -> str:
        """Return all that speaks against it."""
        return "; ".join(self.faults.values())


def strain(measures: Mapping[str, float]) -> float:
    """Return how near a result is to being rejected, by the worst of its measures: above 1, it is."""
    return max((c.strain(measures[c.measure]) for c in CHECKS if c.measure in measures), default=math.inf)
