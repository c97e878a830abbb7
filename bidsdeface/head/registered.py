"""The templates that scans are placed by, and a scan whose place is known."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.brain import Brain
from bidsdeface.imaging.brainnet import Weights
from bidsdeface.imaging.facemask import NO_VOXELS, FaceRegions
from bidsdeface.imaging.foldover import PlacedHead
from bidsdeface.imaging.guard_brain import UNSURE_ML, find_guard_brain
from bidsdeface.imaging.volume import Volume, apply_affine
from bidsdeface.templates.template import Template


@dataclass(frozen=True)
class TemplateSet:
    """The templates, and what is needed of them for any scan.

    Attributes
    ----------
    template : Template
        The template whose masks are used.
    head_template : Template
        The template that heads are found with and judged by: WholeHead.
    head_to_template : numpy.ndarray, shape (4, 4)
        World of `head_template` to world of `template`.
    weights : mapping of str to numpy.ndarray
        Of the network that finds brains.
    regions : tuple of str
        Names of the regions to remove.
    guard_mm : float
        Margin around the scan's own brain, in mm.
    """

    template: Template
    head_template: Template
    head_to_template: NDArray
    weights: Weights
    regions: tuple[str, ...]
    guard_mm: float

    def to_head(self, to_template: NDArray) -> NDArray[np.float64]:
        """Return the way from scan world to the world of `head_template`, (4, 4)."""
        return np.linalg.inv(self.head_to_template) @ to_template

    def on_template(self, brain: Brain) -> Brain:
        """Return a brain that is laid on the brain of `head_template`, laid on that of `template`."""
        return replace(brain, to_template=self.head_to_template @ brain.to_template)

    def face_regions(self, brain: Brain | None) -> FaceRegions:
        """Return the regions to remove and the guard, for a scan with this brain of its own."""
        regions_mm = tuple(self.template.regions_mm[name] for name in self.regions)
        return FaceRegions(regions_mm, self.template.brain_mm, self.guard_mm, brain)


@dataclass(frozen=True)
class RegisteredScan:
    """A scan whose place is known.

    Attributes
    ----------
    reference : str
        Name of the scan that was registered to the template: this one, or its head's reference.
    volume : Volume
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, affine, RAS+ mm.
    second_to_template : numpy.ndarray, shape (4, 4)
        The same from another start.
    measures : dict of str to float
    templates : TemplateSet
    brain : Brain or None
        The scan's own; None where it is not trusted.
    guard_brain : Brain or None
        The same as it is found without what is removed; None where the guard follows the template's brain.
    """

    reference: str
    volume: Volume
    to_template: NDArray[np.float64]
    second_to_template: NDArray[np.float64]
    measures: dict[str, float]
    templates: TemplateSet
    brain: Brain | None = None
    guard_brain: Brain | None = None

    @property
    def regions(self) -> FaceRegions:
        """The regions to remove and the guard, with the scan's own brain."""
        return self.templates.face_regions(self.guard_brain)

    @property
    def head(self) -> PlacedHead:
        """The head by which scans are judged, placed on the scan."""
        to_head = self.templates.to_head(self.to_template)
        return PlacedHead(self.templates.head_template.head_mm, to_head)

    def guard_to_skin_mm(self, affine: NDArray) -> float:
        """Return the distance in mm from the guard of a grid to the skin of the face; negative beyond it."""
        skin = apply_affine(np.linalg.inv(self.head.to_head), self.templates.head_template.skin)
        return float(self.regions.guard_distance(skin, self.to_template, affine).min())

    def points_on_head(self, stage: int = 1) -> NDArray[np.float64]:
        """Return places in brain, skull and scalp, none in the face, in scan world, mm, shape (N, 3)."""
        where = self.templates.template.target[stage].where
        return apply_affine(np.linalg.inv(self.to_template), where)


def find_guard(
    own: Brain, volume: Volume, to_template: NDArray, templates: TemplateSet, is_flat: bool = False
) -> Brain:
    """Return the brain that the guard follows: the scan's own, as it is found without what is removed.

    If more than `UNSURE_ML` of the brain that was found with the face in view would be removed then, it
    follows that one.

    Parameters
    ----------
    own : Brain
        Found with the face in view, and trusted.
    volume : Volume
        From `reduce_image`.
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, RAS+ mm.
    templates : TemplateSet
    is_flat : bool, optional
        Whether the brain is to be found in the flattened scan.
    """
    head, to_head = templates.head_template, templates.to_head(to_template)
    regions = templates.face_regions(None)

    def guarding(brain: Brain) -> FaceRegions:
        return templates.face_regions(templates.on_template(brain))

    found = find_guard_brain(
        volume,
        hidden=regions.reach(volume, to_template),
        guarded=lambda brain: guarding(brain).guarded(volume, to_template),
        average=head.head,
        to_average=to_head,
        surface=head.brain_surface,
        weights=templates.weights,
        is_flat=is_flat,
    )
    if found is None:
        return own
    in_face = own.places[regions.distance(own.places, to_template) < 0]
    is_removed = guarding(found).guard_distance(in_face, to_template, NO_VOXELS) > 0
    removed_ml = is_removed.sum() * own.inside.voxel_ml
    return own if removed_ml > UNSURE_ML else templates.on_template(found)
