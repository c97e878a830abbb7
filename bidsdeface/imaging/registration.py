"""How scan space and template space fit together.

A whole head is found by exhaustive search (`pose`), placed by an affine fit over brain, skull and scalp
but not the face (`affine`), and only the brain is then warped (ANTs SyN), because only the brain guard
needs it. Two placements from different starts are always made: where they disagree, something is wrong.
ITK's world is LPS; everything else here is RAS+ mm.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsdeface.errors import RegistrationError, is_out_of_memory, storage_error
from bidsdeface.imaging.affine import Points, fit_affine
from bidsdeface.imaging.pose import PoseTemplate, find_poses
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate, smoothed, voxel_places, world_aligned

if TYPE_CHECKING:
    from ants import ANTsImage

SPACING_MM = 4.0
# From coarse to fine: smoothing of the scan in mm, and degrees of freedom.
STAGES = ((6.0, 7), (3.0, 12), (1.5, 12))
STARTS = 2
MORE_STARTS = 6
AGREEMENT_MM = 5.0  # starts that end closer than this are one answer
ANOTHER_MM = 30.0  # starts that end farther apart than this are rivals
SYN_ITERATIONS = "30x10x0"
SYN_MARGIN_MM = 12.0  # around the brain
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Landscape:
    """What registration looks at in a template: points for each of `STAGES`, and the volume for SyN.

    Attributes
    ----------
    stages : tuple of Points
        In brain, skull and scalp; none in the face.
    volume : Volume
    probes : numpy.ndarray, shape (N, 3)
        Places on the head (template world, mm) at which two placements are compared.
    """

    stages: tuple[Points, ...]
    volume: Volume
    probes: NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """An affine placement of a template on a scan, and how well it is supported.

    Attributes
    ----------
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, RAS+ mm.
    similarity : float
        Correlation ratio, 0 to 1.
    second : numpy.ndarray, shape (4, 4)
        The nearest placement from another start, as `to_template`; the same where there is no other.
    disagreement_mm : float
        The largest distance between the two over the head; infinite where there is no other.
    rival : float
        Similarity of the best placement that is quite another (back to front, upside down); -1 if none is.
    """

    to_template: NDArray[np.float64]
    similarity: float
    second: NDArray[np.float64]
    disagreement_mm: float
    rival: float


@dataclass(frozen=True)
class Registration:
    """The way from a scan to the template.

    Attributes
    ----------
    placement : Placement
        Of the template on the reference scan.
    warp_mm : numpy.ndarray, shape (X, Y, Z, 3)
        What to add to reference world coordinates before the affine, where the brain is concerned.
    warp_affine : numpy.ndarray, shape (4, 4)
        Of the warp's grid.
    to_reference : numpy.ndarray, shape (4, 4)
        Scan world to reference world, rigid; the identity for the reference itself.
    """

    placement: Placement
    warp_mm: NDArray[np.float32]
    warp_affine: NDArray[np.float64]
    to_reference: NDArray[np.float64]

    @property
    def to_template(self) -> NDArray[np.float64]:
        """Scan world to template world, affine, RAS+ mm, shape (4, 4)."""
        return self.placement.to_template @ self.to_reference

    def warped_to_template(self, points: NDArray) -> NDArray:
        """Return template world coordinates of scan world points, shape (..., 3), with the warp."""
        points = apply_affine(self.to_reference, points)
        shift = [interpolate(self.warp_mm[..., k], self.warp_affine, points, 0.0) for k in range(3)]
        return apply_affine(self.placement.to_template, points + np.stack(shift, axis=-1))


def place(
    scan: Volume, pose_template: PoseTemplate, landscape: Landscape, link: NDArray | None = None
) -> Placement:
    """Place a template on a scan, from several starts.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    pose_template : PoseTemplate
        Of the template that is robust to start from (WholeHead).
    landscape : Landscape
        Of the template to place.
    link : numpy.ndarray, shape (4, 4), optional
        From the world of `pose_template` to that of `landscape`; the identity if left out.

    Returns
    -------
    Placement
        The best of all starts.

    Raises
    ------
    RegistrationError
        No start puts the template's head inside the field of view.
    """
    upright, rivals = find_poses(scan, pose_template, MORE_STARTS)
    # Two upright starts, the best of each half turn, and all others if these give no answer.
    first = [*upright[:STARTS], *(pose for turned in rivals for pose in turned[:1])]
    poses = [*first, *upright[STARTS:], *(pose for turned in rivals for pose in turned[1:])]
    link = np.eye(4) if link is None else link
    coarse = world_aligned(scan, SPACING_MM)
    levels = [smoothed(coarse, sigma) for sigma, _ in STAGES]
    ends: list[tuple[NDArray, float]] = []
    for pose in poses:
        from_template = np.linalg.inv(link @ pose.to_template)
        for level, points, (_, freedom) in zip(levels, landscape.stages, STAGES, strict=True):
            from_template, similarity = fit_affine(level, points, from_template, freedom)
        ends.append((from_template, similarity))
        best = _best(ends, landscape.probes)
        if len(ends) >= len(first) and best.disagreement_mm <= AGREEMENT_MM:
            break
    if not ends or best.similarity < 0:
        raise RegistrationError(
            "no head found in the field of view; if there is one, give its mask with --mask"
        )
    return best


def place_rigidly(scan: Volume, reference: Volume, starts: Sequence[NDArray], region: NDArray) -> Placement:
    """Place a reference scan on another scan of the same head.

    Parameters
    ----------
    scan, reference : Volume
        From `reduce_image`.
    starts : sequence of numpy.ndarray, shape (4, 4)
        Scan world to reference world. The identity always is one, as both were taken in one session.
    region : numpy.ndarray, shape (N, 3)
        Points on the head in reference world, mm, at which to compare the scans.

    Returns
    -------
    Placement
        Its ``to_template`` leads to the reference.
    """
    coarse, fixed = world_aligned(scan, SPACING_MM), world_aligned(reference, SPACING_MM)
    levels = []
    for sigma, _ in STAGES:
        value = interpolate(smoothed(fixed, sigma).data, fixed.affine, region)
        known = np.isfinite(value)
        levels.append((smoothed(coarse, sigma), Points(region[known], value[known])))
    ends = []
    for start in (np.eye(4), *starts):
        end, similarity = _nearest_rotation(np.linalg.inv(start), region.mean(axis=0)), -1.0
        for level, points in levels:
            end, similarity = fit_affine(level, points, end, 6)
        ends.append((end, similarity))
    return _best(ends, region[:: max(len(region) // 50, 1)])


def warp_brain(
    scan: Volume, placement: Placement, landscape: Landscape, brain_mm: Volume, work_dir: Path
) -> Registration:
    """Refine a placement inside and around the brain, by ANTs SyN at 4 mm.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    placement : Placement
    landscape : Landscape
    brain_mm : Volume
        Signed distance to the template's brain, negative inside.
    work_dir : pathlib.Path
        Private; what ANTs writes there is removed again.

    Raises
    ------
    RegistrationError
        The brain lies outside the field of view, or ANTs failed.
    """
    coarse = world_aligned(scan, SPACING_MM)
    lattice = voxel_places(coarse.data.shape, coarse.affine)
    distance = interpolate(
        brain_mm.data, brain_mm.affine, apply_affine(placement.to_template, lattice), np.inf
    )
    region = (distance < SYN_MARGIN_MM) & (coarse.seen > 0)
    if region.sum() < 1000:
        raise RegistrationError("the brain lies outside the field of view; give the scan's mask with --mask")
    box = tuple(slice(max(i.min() - 3, 0), i.max() + 4) for i in np.nonzero(region))
    corner = np.eye(4)
    corner[:3, 3] = [s.start for s in box]
    fixed = Volume(np.sqrt(coarse.data[box]), coarse.affine @ corner, region[box].astype(np.float32))
    warp = _syn(fixed, landscape.volume, placement.to_template, work_dir)
    return Registration(placement, warp, fixed.affine, np.eye(4))


def through(reference: Registration, rigid: Placement) -> Registration:
    """Return a scan's registration by way of its head's reference.

    Parameters
    ----------
    reference : Registration
    rigid : Placement
        Of the reference on the scan, from `place_rigidly`.
    """
    placement = replace(rigid, to_template=reference.placement.to_template)
    return replace(reference, placement=placement, to_reference=rigid.to_template)


def disagreement_mm(first: NDArray, second: NDArray, probes: NDArray) -> float:
    """Return how far apart two placements lie at most.

    Parameters
    ----------
    first, second : numpy.ndarray, shape (4, 4)
        Template world to scan world, RAS+ mm.
    probes : numpy.ndarray, shape (N, 3)
        Places in template world, mm.
    """
    return float(np.linalg.norm(apply_affine(first, probes) - apply_affine(second, probes), axis=1).max())


def _best(ends: list[tuple[NDArray, float]], probes: NDArray) -> Placement:
    order = sorted(range(len(ends)), key=lambda k: -ends[k][1])
    best, similarity = ends[order[0]]
    apart = {k: disagreement_mm(best, ends[k][0], probes) for k in order[1:]}
    nearest = min(apart, key=lambda k: apart[k], default=order[0])
    return Placement(
        to_template=np.linalg.inv(best),
        similarity=similarity,
        second=np.linalg.inv(ends[nearest][0]),
        disagreement_mm=apart.get(nearest, np.inf),
        rival=max((ends[k][1] for k, mm in apart.items() if mm > ANOTHER_MM), default=-1.0),
    )


def _nearest_rotation(affine: NDArray, centre: NDArray) -> NDArray:
    """Return the rigid transform nearest to an affine one, the same at one point."""
    u, _, v = np.linalg.svd(affine[:3, :3])
    rigid = np.eye(4)
    rigid[:3, :3] = u @ v
    rigid[:3, 3] = apply_affine(affine, centre) - rigid[:3, :3] @ centre
    return rigid


def _syn(fixed: Volume, moving: Volume, to_template: NDArray, work_dir: Path) -> NDArray[np.float32]:
    """Return the displacement, RAS mm, on the fixed grid, shape (X, Y, Z, 3)."""
    import ants
    import nibabel as nib
    from ants.internal import get_pointer_string

    images = [
        _to_ants(fixed.data, fixed.affine),
        _to_ants(moving.data, moving.affine),
        _to_ants(fixed.seen, fixed.affine),
    ]
    scan, template, region = (get_pointer_string(image) for image in images)
    matrix = LPS @ to_template @ LPS
    affine = ants.create_ants_transform(
        transform_type="AffineTransform", matrix=matrix[:3, :3], translation=matrix[:3, 3]
    )
    # One folder a call: other processes work in `work_dir` too.
    with tempfile.TemporaryDirectory(prefix="syn-", dir=work_dir) as folder:
        start = f"{folder}/start.mat"
        ants.write_transform(affine, start)
        arguments = [
            *("--dimensionality", "3", "--float", "1", "--random-seed", "1"),
            *("--initial-moving-transform", start, "--collapse-output-transforms", "1"),
            *("--transform", "SyN[0.2,3,0]", "--metric", f"MI[{scan},{template},1,32]"),
            *("--convergence", f"[{SYN_ITERATIONS},1e-6,5]"),
            *("--shrink-factors", "3x2x1", "--smoothing-sigmas", "2x1x0"),
            *("--masks", f"[{region},NA]", "--output", f"{folder}/"),
        ]
        try:
            ants.registration(fixed=arguments, moving=None)
            field = nib.Nifti1Image.from_filename(f"{folder}/1Warp.nii.gz").get_fdata(dtype=np.float32)
            warp = field.reshape(*fixed.data.shape, 3)
        except Exception as error:  # ANTs and the reading of its files raise all kinds
            if shutil.disk_usage(folder).free < 2 * 3 * fixed.data.nbytes:
                raise storage_error(work_dir, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from error
            if is_out_of_memory(error):
                raise MemoryError from error
            raise RegistrationError(
                f"ANTs could not warp the brain ({error}); give the scan's mask with --mask"
            ) from error
    if not np.isfinite(warp).all():
        raise RegistrationError("ANTs gave a warp that is not finite; give the scan's mask with --mask")
    return warp * np.array([-1, -1, 1], np.float32)


def _to_ants(data: NDArray, affine: NDArray) -> ANTsImage:
    import ants

    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    return ants.from_numpy(
        np.ascontiguousarray(data, np.float32), tuple(lps[:3, 3]), tuple(spacing), direction
    )
