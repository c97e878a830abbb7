"""Find the position and orientation of a head by an exhaustive search that needs no starting point.

Each of a set of rotations of the template is laid over the scan in every position at once, by masked
normalised cross-correlation in Fourier space (Padfield, IEEE TIP 2012). Intensities are saturated to
"air" and "tissue", which every contrast shares.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from nibabel.affines import from_matvec
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.volume import Volume, in_blocks, saturated, world_aligned

SEARCH_SPACING_MM = 12.0
TISSUE_SPACING_MM = 6.0
KERNEL_MM = 230.0  # a head from crown to chin
ROTATION_STEP_DEG = 24.0
ROTATION_LIMIT_DEG = 50.0
RIVAL_PITCH_DEG = (-48.0, -24.0, 0.0, 24.0, 48.0)
MIN_HEAD_SHARE = 0.45  # of the template's head inside the field of view
AIR_MARGIN_MM = 24.0  # how much of the air around the template's head takes part


@dataclass(frozen=True)
class Pose:
    """A rough placement of the template on a scan.

    Attributes
    ----------
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world, rigid, both RAS+ mm.
    rotation : scipy.spatial.transform.Rotation
        Of the scan's axes.
    correlation : float
    """

    to_template: NDArray[np.float64]
    rotation: Rotation
    correlation: float


@dataclass(frozen=True)
class PoseTemplate:
    """A template for the search: saturated tissue, the weight of each voxel, and the middle of the head."""

    tissue: Volume
    weight: Volume
    centre: NDArray[np.float64]


def find_poses(
    scan: Volume, template: PoseTemplate, count: int, apart_deg: float = 15.0
) -> tuple[list[Pose], list[list[Pose]]]:
    """Return the most likely placements of the template on a scan, and the best of their opposites.

    From behind and upside down a head's outline is much the same, so the opposites of the best placement
    (half a turn about each axis) are rivals to be refuted, or to win where a header has its axes wrong.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`.
    template : PoseTemplate
    count : int
        How many at most.
    apart_deg : float
        By how much any two differ in rotation.

    Returns
    -------
    poses : list of Pose
        Upright, within 50 degrees; best first. Empty if no placement has enough of the template's head in
        the field of view.
    rivals : list of list of Pose
        For each half turn two at most, best first.
    """
    fine = saturated(world_aligned(scan, TISSUE_SPACING_MM))
    data, affine = in_blocks(fine.data, fine.affine, SEARCH_SPACING_MM)
    coarse = Volume(data, affine, in_blocks(fine.seen, fine.affine, SEARCH_SPACING_MM)[0])
    poses = _correlate(coarse, template, _rotation_ball())
    best = max(poses, key=lambda pose: pose.correlation)
    step = np.radians(ROTATION_STEP_DEG / 2)
    around = [Rotation.from_rotvec(turn) for turn in itertools.product((-step, 0.0, step), repeat=3)]
    poses += _correlate(coarse, template, [turn * best.rotation for turn in around if turn.magnitude() > 0])
    upright = _apart(poses, count, apart_deg)
    if not upright:
        return [], []
    rivals: list[list[Pose]] = []
    for half_turn in np.pi * np.eye(3):
        opposite = Rotation.from_rotvec(half_turn) * upright[0].rotation
        turned = [Rotation.from_rotvec([pitch, 0, 0], degrees=True) * opposite for pitch in RIVAL_PITCH_DEG]
        rivals.append(_apart(_correlate(coarse, template, turned), 2, apart_deg))
    return upright, rivals


def _apart(poses: list[Pose], count: int, apart_deg: float) -> list[Pose]:
    """Return the best poses of which no two are alike."""
    chosen: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.correlation):
        apart = [np.degrees((pose.rotation * other.rotation.inv()).magnitude()) for other in chosen]
        if pose.correlation > 0 and len(chosen) < count and min(apart, default=np.inf) > apart_deg:
            chosen.append(pose)
    return chosen


def _rotation_ball() -> list[Rotation]:
    reach = np.floor(ROTATION_LIMIT_DEG / ROTATION_STEP_DEG)
    steps = ROTATION_STEP_DEG * np.arange(-reach, reach + 1)
    turns = [np.array(turn) for turn in itertools.product(steps, repeat=3)]
    return [Rotation.from_rotvec(t, degrees=True) for t in turns if np.linalg.norm(t) <= ROTATION_LIMIT_DEG]


def _correlate(scan: Volume, template: PoseTemplate, rotations: list[Rotation]) -> list[Pose]:
    """Return the best position of the template for each rotation."""
    size = int(np.ceil(KERNEL_MM / SEARCH_SPACING_MM)) | 1
    offsets = (np.arange(size) - size // 2) * SEARCH_SPACING_MM
    lattice = np.stack(np.meshgrid(offsets, offsets, offsets, indexing="ij"), -1)
    shape = tuple(fft.next_fast_len(n + size, real=True) for n in scan.data.shape)
    seen = fft.rfftn(scan.seen, shape)
    first = fft.rfftn(scan.data * scan.seen, shape)
    second = fft.rfftn(scan.data**2 * scan.seen, shape)
    poses = []
    for rotation in rotations:
        points = rotation.apply(lattice.reshape(-1, 3)).reshape(lattice.shape) + template.centre
        value, weight = template.tissue.at(points, 0.0), template.weight.at(points, 0.0)
        kernel, kernel1, kernel2 = (
            np.conj(fft.rfftn(k.astype(np.float32), shape))
            for k in (weight, value * weight, value**2 * weight)
        )
        count, both, scan_sum, scan_squares, template_sum, template_squares = (
            fft.irfftn(a * b, shape)
            for a, b in (
                (seen, kernel),
                (first, kernel1),
                (first, kernel),
                (second, kernel),
                (seen, kernel1),
                (seen, kernel2),
            )
        )
        overlap = np.maximum(count, 1.0)
        cross = both - scan_sum * template_sum / overlap
        scan_power = np.maximum(scan_squares - scan_sum**2 / overlap, 1e-3)
        template_power = np.maximum(template_squares - template_sum**2 / overlap, 1e-3)
        correlation = np.where(
            count > MIN_HEAD_SHARE * weight.sum(), cross / np.sqrt(scan_power * template_power), -1.0
        )
        peak = np.unravel_index(correlation.argmax(), shape)
        shift = np.array(
            [p if p < n else p - s for p, n, s in zip(peak, scan.data.shape, shape, strict=True)]
        )
        centre = scan.affine[:3, 3] + (shift + size // 2) * SEARCH_SPACING_MM
        to_template = from_matvec(rotation.as_matrix(), template.centre - rotation.apply(centre))
        poses.append(Pose(to_template, rotation, float(correlation[peak])))
    return poses
