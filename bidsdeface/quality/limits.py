"""Every measure of a result: what it says, what is normal, and the limits for publication.

The limits are set by the calibration study (docs/calibration.md), between the values of good results, on real
heads and variants of them, and those of deliberate failures. Witnesses decide where the face is:

- The scan's own brain, where it is trusted, may move the face by 16 mm at most.
- Where it moves the face by more than 8 mm, the head's outline is asked: it must look like a head's, the two
  may place the face 25 mm apart at most, and the middle between them may be 10 mm away at most.
- Where it is not trusted, the outline alone may move the face by 12 mm at most, and no placement that is
  quite another may fit nearly as well.

Where both speak for the placement, the face need not be there: somebody may have removed it before. Neither
is asked about a scan that lies on its head's reference: tissue and air of the two must correlate (0.9), two
starts end there, and no third place more than 5 mm off comes as near as 0.08.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

BRAIN_AGREES_MM = 8.0
EMPTIED = 0.5  # so much of the face having one and the same value is the work of another defacing
OUTLINE = ("outline_correlation", "outline_shift_mm")
REFERENCE_LIKENESS = 0.9
LEAD = 0.08


def is_brain_trusted(measures: Mapping[str, float]) -> bool:
    """Return True if what was taken for the scan's own brain has the size, shape and place of a brain."""
    return all(check.is_met(measures.get(check.measure, math.nan)) for check in CHECKS if check.of_trust)


def lies_on_reference(measures: Mapping[str, float]) -> bool:
    """Return True if a scan and its reference show one head, in one place that has no rival."""
    is_alike = measures.get("reference_likeness", 0.0) >= REFERENCE_LIKENESS
    return is_alike and measures.get("lead", 0.0) >= LEAD


def _brain_objects(measures: Mapping[str, float]) -> bool:
    """Return True if neither the brain nor a reference speaks for the placement."""
    agrees = measures.get("brain_shift_mm", math.inf) <= BRAIN_AGREES_MM
    return not (agrees and is_brain_trusted(measures)) and not lies_on_reference(measures)


def _brain_is_untrusted(measures: Mapping[str, float]) -> bool:
    return not is_brain_trusted(measures) and not lies_on_reference(measures)


def _trusted_brain_objects(measures: Mapping[str, float]) -> bool:
    return _brain_objects(measures) and is_brain_trusted(measures)


def _witness_objects(measures: Mapping[str, float]) -> bool:
    """Return True unless both brain and outline, or a reference, speak for the placement."""
    outline_agrees = all(
        check.is_met(measures.get(check.measure, math.nan)) for check in CHECKS if check.measure in OUTLINE
    )
    return (_brain_objects(measures) or not outline_agrees) and not lies_on_reference(measures)


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
        The message for a value beyond a limit, with ``{value}`` and ``{limit}`` in it.
    best : float
        Its value for a result that could not be better.
    least, most : float
        The limits, both still good. A value that is not a number is beyond them.
    asked : callable or None
        Takes all measures, and returns whether this one is asked; None if it always is.
    of_trust : bool
        A value beyond the limits is no fault, but the scan's own brain is not trusted.
    """

    measure: str
    description: str
    fault: str = ""
    best: float = 0.0
    least: float = -math.inf
    most: float = math.inf
    asked: Callable[[Mapping[str, float]], bool] | None = None
    of_trust: bool = False

    @property
    def limits(self) -> str:
        """The limits in words, such as "at least 0.25"; empty where there are none."""
        if math.isfinite(self.least) and math.isfinite(self.most):
            return f"from {self.least:g} to {self.most:g}"
        bounds = (("at least", self.least), ("at most", self.most))
        return "".join(f"{words} {limit:g}" for words, limit in bounds if math.isfinite(limit))

    def is_met(self, value: float) -> bool:
        """Return True if a value is within the limits."""
        return self.least <= value <= self.most

    def decides(self, measures: Mapping[str, float]) -> bool:
        """Return True if a result with these measures is judged by this one."""
        return not self.of_trust and (self.asked is None or self.asked(measures))

    def is_fault(self, measures: Mapping[str, float]) -> bool:
        """Return True if a result was judged by this measure, and its value is beyond a limit."""
        value = measures.get(self.measure)
        return value is not None and self.decides(measures) and not self.is_met(value)

    def message(self, value: float) -> str:
        """Return what a value beyond a limit means."""
        text = "{name} could not be measured" if math.isnan(value) else self.fault
        return text.format(
            name=self.measure, value=value, limit=self.least if value < self.least else self.most
        )

    def limit_used(self, value: float) -> float:
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
        "reference_likeness",
        "Correlation of tissue and air between a scan and its head's reference, where both show the head; "
        "from 0.9 on, with a Lead of 0.08, the two vouch for each other, and no other witness is asked",
        best=1.0,
    ),
    # The scan's own brain, as a neural network sees it; where it would place the face; if it is trusted.
    Check(
        "brain_ml",
        "Volume of the scan's own brain, as a neural network sees it",
        best=1400.0,
        least=700.0,
        most=2200.0,
        of_trust=True,
    ),
    Check(
        "brain_whole",
        "Share of what looks like brain that is in one piece; normally above 0.99",
        best=1.0,
        least=0.9,
        of_trust=True,
    ),
    Check(
        "brain_fit_mm",
        "Distance, root mean square, of the brain's surface from the template's where it fits best; normally "
        "1 to 2.5",
        most=3.0,
        of_trust=True,
    ),
    Check(
        "brain_lead",
        "How many times as far the surfaces lie apart if the template is turned by half a turn; normally "
        "2 to 4",
        best=4.0,
        least=1.5,
        of_trust=True,
    ),
    Check(
        "brain_shift_mm",
        "How far the face would move if the brain's surface alone placed the template; normally below 8",
        "the scan's own brain places the face {value:.0f} mm from where the template does "
        "(at most {limit:.0f} expected)",
        most=16.0,
        asked=is_brain_trusted,
    ),
    Check(
        "face_shift_mm",
        "How far the face would move to the middle between where the brain and the head's outline place it; "
        "judged where the brain is trusted and moves it by more than 8 mm",
        "the scan's own brain and the head's outline together place the face {value:.0f} mm from where the "
        "template does (at most {limit:.0f} expected)",
        most=10.0,
        asked=_trusted_brain_objects,
    ),
    Check(
        "witness_gap_mm",
        "How far apart the brain and the head's outline place the face; normally below 15; judged where the "
        "brain is trusted and moves it by more than 8 mm",
        "the scan's own brain and the head's outline place the face {value:.0f} mm apart (at most "
        "{limit:.0f} expected)",
        most=25.0,
        asked=_trusted_brain_objects,
    ),
    Check(
        "brain_in_mask_ml",
        "Volume of the brain in the mask; at most 0.25 by construction unless the mask was made on another "
        "scan, and no evidence that the brain was spared",
        "the mask takes in {value:.1f} mL of the brain (at most {limit} expected)",
        most=2.0,
        asked=is_brain_trusted,
    ),
    # The head's outline.
    Check(
        "outline_correlation",
        "Correlation of tissue and air, scan and template, outside the face; normally above 0.9; judged "
        "where the brain moves the face by more than 8 mm, or is not trusted",
        "the scan's outline does not fit a head (correlation {value:.2f}, {limit} or more expected)",
        best=1.0,
        least=0.75,
        asked=_brain_objects,
    ),
    Check(
        "outline_shift_mm",
        "How far the face would move if the head's own outline, without the face, placed the template; "
        "normally below 8; judged where the brain is not trusted",
        "the head's own outline places the face {value:.0f} mm from where the template does "
        "(at most {limit:.0f} expected)",
        most=12.0,
        asked=_brain_is_untrusted,
    ),
    Check(
        "lead",
        "By how much Similarity is above that of the best placement that is quite another, such as back to "
        "front; normally above 0.13; judged where the brain is not trusted",
        "the orientation is ambiguous: a reversed or upside-down placement fits almost as well (lead "
        "{value:.2f}, at least {limit} needed)",
        best=1.0,
        least=LEAD,
        asked=_brain_is_untrusted,
    ),
    Check(
        "guard_to_skin_mm",
        "Distance from the brain guard to the skin of the template's face; normally 4 or more",
        "the brain guard comes within {value:.0f} mm of the skin of the face (at least {limit:.0f} expected)",
        best=4.0,
        least=2.0,
    ),
    # Is there a face at all? Asked of images that may show none, where they were not defaced.
    Check(
        "face_seen",
        "How much of a face is seen in an image that was not defaced, relative to what counts as one; "
        "0.1 to 0.8 in EPI, DWI and ASL without a face",
        "it shows a face ({value:.2f} of what counts as one, below {limit:g} expected)",
        most=1.0,
        asked=lambda measures: "face_seen" in measures,
    ),
    # Is there a face where the mask is?
    Check(
        "face_found",
        "Tissue in the mask, and what was emptied there before, relative to the part of the template's head "
        "that the mask holds; normally 0.7 to 1.1, down to 0.25 where little of the face is in view; judged "
        "unless brain and outline both agree",
        "where the face should be there is {value:.0%} of the tissue of a face (limit {limit:.0%})",
        best=1.0,
        least=0.2,
        most=1.6,
        asked=_witness_objects,
    ),
    Check(
        "emptied_share",
        "Share of the template's head in the mask that has one and the same value in the image as it came; "
        f"from {EMPTIED:g} on, somebody has defaced it before",
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
        "that folded over, another head, a marker, a head rest",
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
    >>> bids_name("brain_shift_mm")
    'BrainShiftMM'
    """
    return "".join(word.upper() if word in ("mm", "ml") else word.title() for word in measure.split("_"))


def nearest_to_limit(measures: Mapping[str, float]) -> Check | None:
    """Return the worst of the measures that a result is judged by; None if there is none."""
    judged = (one for one in CHECKS if one.limits and one.measure in measures and one.decides(measures))
    return max(judged, key=lambda check: check.limit_used(measures[check.measure]), default=None)


def limit_used(measures: Mapping[str, float]) -> float:
    """Return how near a result is to its rejection, by the worst of its measures; above 1, it is rejected."""
    worst = nearest_to_limit(measures)
    return worst.limit_used(measures[worst.measure]) if worst else math.inf
