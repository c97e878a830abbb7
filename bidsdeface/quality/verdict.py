"""From measures to a verdict: published, or not and why."""

from __future__ import annotations

from collections.abc import Iterable

from bidsdeface.imaging.facemask import FaceMask
from bidsdeface.quality.measures import PlacementMeasures

# Seen on 9 real heads (T1w, T2w, FLAIR; 0.5 to 2 mm; whole and partial), and on a phantom, a fruit, an
# animal, a neck, a CT skull phantom, DWI and EPI (docs/method.md):
MIN_OUTLINE_CORRELATION = 0.75  # heads 0.90 to 0.97; the others at most 0.53
MAX_START_DISAGREEMENT_MM = 5.0  # heads at most 0.2; fruit 86, animal 25
MIN_SIMILARITY = 0.25  # heads 0.34 (T2w) to 0.81
SCALE_LIMITS = (0.65, 1.35)  # heads 0.88 to 1.00; a small child's is near 1.2
MIN_LEAD = 0.08  # over a head placed quite otherwise; heads 0.13 (T2w) to 0.51
MAX_STRETCH = 1.4  # heads 1.05 to 1.19; cylinder 1.54, fruit 1.65
MAX_GUARD_DEPTH_MM = 10.0  # heads 1 to 6 with the default guard; corneas lie 13 mm deep and more


def placement_faults(measures: PlacementMeasures) -> list[str]:
    """Return what speaks against a placement of the template, in words; empty if nothing does."""
    low, high = SCALE_LIMITS
    checks = (
        (
            measures.outline_correlation >= MIN_OUTLINE_CORRELATION,
            f"the scan's outline does not fit a head (correlation {measures.outline_correlation:.2f}, "
            f"{MIN_OUTLINE_CORRELATION} or more expected)",
        ),
        (
            measures.start_disagreement_mm <= MAX_START_DISAGREEMENT_MM,
            f"registrations from different starts disagree by {measures.start_disagreement_mm:.0f} mm "
            f"(at most {MAX_START_DISAGREEMENT_MM:.0f} expected)",
        ),
        (
            measures.similarity >= MIN_SIMILARITY,
            f"the scan does not look like the template (similarity {measures.similarity:.2f}, "
            f"{MIN_SIMILARITY} or more expected)",
        ),
        (
            measures.similarity - measures.rival_similarity >= MIN_LEAD,
            f"a head placed quite otherwise fits as well (similarity {measures.rival_similarity:.2f}, "
            f"this one {measures.similarity:.2f})",
        ),
        (
            low <= measures.scale <= high and measures.stretch <= MAX_STRETCH,
            f"the template had to be deformed too much (scale {measures.scale:.2f}, "
            f"stretch {measures.stretch:.2f})",
        ),
    )
    return [fault for fine, fault in checks if not fine]


def mask_faults(mask: FaceMask) -> list[str]:
    """Return what speaks against a face mask, in words; empty if nothing does."""
    checks: Iterable[tuple[bool, str]] = (
        (bool(mask.mask.any()), "the face lies outside the field of view"),
        (
            mask.guard_depth_mm <= MAX_GUARD_DEPTH_MM,
            f"the brain guard covers the face {mask.guard_depth_mm:.0f} mm deep "
            f"(at most {MAX_GUARD_DEPTH_MM:.0f})",
        ),
    )
    return [fault for fine, fault in checks if not fine]
