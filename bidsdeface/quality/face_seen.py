"""Whether a face can be seen in an image that may show none, such as EPI: by its skin."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.volume import Volume, apply_affine, interpolate, world_aligned

STEP_MM = 3.0
CM2 = STEP_MM**2 / 100  # of skin, as met by one line
REACH_MM = 18.0  # before the template's skin, where the search for this person's skin starts
DEPTH_MM = 9.0  # two faces differ by less than that
# A face counts as seen if two thirds of its skin in view are as bright as a quarter of the brain, or half of
# all its skin as an eighth. Real EPI, DWI and ASL do not reach that, simulated faces do (docs/method.md).
BRIGHT, BRIGHT_SHARE, LEAST_CM2 = 1 / 4, 2 / 3, 10.0
DIM, DIM_SHARE = 1 / 8, 1 / 2
IN_BRAIN_MM = 5.0
AIR_PERCENTILE = 10
NODS_DEG, SHIFTS_MM = (-8.0, 0.0, 8.0), (-10.0, 0.0, 10.0)  # how far off a placement by the brain may be


def skin_of(head_mm: Volume, face_mm: Volume) -> NDArray[np.float64]:
    """Return where the skin of a template's face is met from the front, template world, mm, shape (N, 3).

    Parameters
    ----------
    head_mm : Volume
        Distance to the template's head, 0 inside.
    face_mm : Volume
        Signed distance to its face region, negative inside.
    """
    corners = apply_affine(face_mm.affine, np.array([(0, 0, 0), np.array(face_mm.data.shape) - 1]))
    low, high = corners.min(axis=0), corners.max(axis=0)
    x, y, z = (np.arange(a, b, STEP_MM) for a, b in zip(low, high, strict=True))
    points = np.stack(np.meshgrid(x, y[::-1], z, indexing="ij"), -1)
    inside = interpolate(head_mm.data, head_mm.affine, points, np.inf) <= 0
    across, up = np.nonzero(inside.any(axis=1))
    first = points[across, inside.argmax(axis=1)[across, up], up]
    return first[interpolate(face_mm.data, face_mm.affine, first, np.inf) < 0]


def face_seen(
    volumes: Iterable[Volume], placements: Iterable[NDArray], skin: NDArray, brain_mm: Volume
) -> float:
    """Return how much of a face is seen, relative to what counts as one: from 1 on, a face is seen.

    The skin of the face is looked for along lines from the front, near where the template has it, at two
    brightnesses between air and brain: a renderer may choose any. What counts is the part of it that is
    found; eyes and muscles behind skin that cannot be seen do not.

    Parameters
    ----------
    volumes : iterable of Volume
        What to look at, such as the median of a series and its brightest volume.
    placements : iterable of numpy.ndarray, shape (4, 4)
        Scan world to template world: all ways in which the head may lie. The one that shows most counts.
    skin : numpy.ndarray, shape (N, 3)
        From `skin_of`.
    brain_mm : Volume
        Signed distance to the template's brain.

    Returns
    -------
    float
        Not a number if there is no placement.
    """
    placed = list(placements)
    coarse = [world_aligned(volume, STEP_MM) for volume in volumes]
    return max((_seen(one, place, skin, brain_mm) for one in coarse for place in placed), default=np.nan)


def _seen(volume: Volume, to_template: NDArray, skin: NDArray, brain_mm: Volume) -> float:
    values = volume.data[volume.seen > 0.5]
    points = apply_affine(to_template @ volume.affine, np.argwhere(volume.seen > 0.5))
    in_brain = interpolate(brain_mm.data, brain_mm.affine, points, np.inf) < -IN_BRAIN_MM
    if not in_brain.any():
        return 0.0
    air = np.percentile(values, AIR_PERCENTILE)
    contrast = max(float(np.median(values[in_brain]) - air), 0.0)
    levels = air + contrast * np.array([BRIGHT, DIM])
    return max(_skin_found(volume, moved @ to_template, skin, levels) for moved in _near())


def _near() -> Iterator[NDArray[np.float64]]:
    """Yield small nods and shifts of a head."""
    for nod, shift in itertools.product(NODS_DEG, SHIFTS_MM):
        moved = np.eye(4)
        moved[:3, :3] = Rotation.from_euler("x", nod, degrees=True).as_matrix()
        moved[1, 3] = shift
        yield moved


def _skin_found(volume: Volume, to_template: NDArray, skin: NDArray, levels: NDArray) -> float:
    from_template = np.linalg.inv(to_template)
    at = apply_affine(from_template, skin)
    in_view = skin[interpolate(volume.seen, volume.affine, at, 0.0) > 0.5]
    if len(in_view) * CM2 < LEAST_CM2:
        return 0.0
    depths = np.arange(-REACH_MM, DEPTH_MM + STEP_MM / 2, STEP_MM)
    lines = in_view[:, None] - depths[:, None] * np.array([0.0, 1.0, 0.0])
    there = apply_affine(from_template, lines)
    along = interpolate(volume.data, volume.affine, there, 0.0)
    shown = interpolate(volume.seen, volume.affine, there, 0.0) > 0.5
    # Skin is met from the air: what an edge of the field of view cuts is none.
    from_air = np.pad(shown[:, :-1], ((0, 0), (1, 0)))
    met = along > levels[:, None, None]
    first = met.argmax(axis=-1)
    is_skin = met.any(axis=-1) & (depths[first] >= -DEPTH_MM)
    is_skin &= np.take_along_axis(np.broadcast_to(from_air, met.shape), first[..., None], -1)[..., 0]
    bright, dim = is_skin.sum(axis=-1)
    is_large = bright * CM2 >= LEAST_CM2
    return float(max(bright / len(in_view) / BRIGHT_SHARE * is_large, dim / len(skin) / DIM_SHARE))
