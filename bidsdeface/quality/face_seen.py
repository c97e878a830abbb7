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
# Of heads whose whole face was emptied, 0.5 remains (0.6 if 6 mm too little was); of half a face, 0.7 to 1.5.
NOT_SEEN = 0.65
SCALP_SHARE = 2 / 3  # of the scalp in view that must be as bright as the skin of a dim face would be
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
    low, high = _corners(face_mm)
    first = _met(head_mm, low, high, axis=1)
    return first[interpolate(face_mm.data, face_mm.affine, first, np.inf) < 0]


def crown_of(head_mm: Volume, brain_mm: Volume) -> NDArray[np.float64]:
    """Return where the scalp over a template's brain is met from above, template world, mm, shape (N, 3).

    Parameters
    ----------
    head_mm : Volume
        Distance to the template's head, 0 inside.
    brain_mm : Volume
        Signed distance to its brain, negative inside.
    """
    low, high = _corners(brain_mm)
    return _met(head_mm, np.array([*low[:2], (low[2] + high[2]) / 2]), high, axis=2)


def _corners(volume: Volume) -> NDArray[np.float64]:
    corners = apply_affine(volume.affine, np.array([(0, 0, 0), np.array(volume.data.shape) - 1]))
    return np.sort(corners, axis=0)


def _met(head_mm: Volume, low: NDArray, high: NDArray, axis: int) -> NDArray[np.float64]:
    """Return where lines that come down an axis of a box first meet a head, shape (N, 3)."""
    sides = [np.arange(a, b, STEP_MM) for a, b in zip(low, high, strict=True)]
    sides[axis] = sides[axis][::-1]
    points = np.moveaxis(np.stack(np.meshgrid(*sides, indexing="ij"), -1), axis, 0)
    inside = interpolate(head_mm.data, head_mm.affine, points, np.inf) <= 0
    places = np.nonzero(inside.any(axis=0))
    first = (inside.argmax(axis=0)[places], *places)
    return points[first]


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


def shows_scalp_alone(
    scan: Volume, to_template: NDArray, skin: NDArray, crown: NDArray, brain_mm: Volume
) -> bool:
    """Return True if a scan shows the scalp, and no face where its face would be.

    Where the scalp over the brain is as bright as the skin of a dim face, a face that is there would be seen.

    Parameters
    ----------
    scan : Volume
    to_template : numpy.ndarray, shape (4, 4)
        Scan world to template world.
    skin, crown : numpy.ndarray, shape (N, 3)
        From `skin_of` and `crown_of`.
    brain_mm : Volume
        Signed distance to the template's brain.
    """
    volume = world_aligned(scan, STEP_MM)
    levels = _levels(volume, to_template, brain_mm)
    if levels is None:
        return False
    met, in_view = _met_from_air(volume, to_template, crown, levels, axis=2)
    is_scalp_seen = in_view.sum() * CM2 >= LEAST_CM2 and met[1].sum() >= SCALP_SHARE * in_view.sum()
    return bool(is_scalp_seen) and _seen(volume, to_template, skin, brain_mm) < NOT_SEEN


def _levels(volume: Volume, to_template: NDArray, brain_mm: Volume) -> NDArray[np.float64] | None:
    """Return the brightness of bright and of dim skin; None if the brain is not in view."""
    values = volume.data[volume.seen > 0.5]
    points = apply_affine(to_template @ volume.affine, np.argwhere(volume.seen > 0.5))
    in_brain = interpolate(brain_mm.data, brain_mm.affine, points, np.inf) < -IN_BRAIN_MM
    if not in_brain.any():
        return None
    air = np.percentile(values, AIR_PERCENTILE)
    contrast = max(float(np.median(values[in_brain]) - air), 0.0)
    return air + contrast * np.array([BRIGHT, DIM])


def _seen(volume: Volume, to_template: NDArray, skin: NDArray, brain_mm: Volume) -> float:
    levels = _levels(volume, to_template, brain_mm)
    if levels is None:
        return 0.0
    return max(_skin_found(volume, moved @ to_template, skin, levels) for moved in _near())


def _near() -> Iterator[NDArray[np.float64]]:
    """Yield small nods and shifts of a head."""
    for nod, shift in itertools.product(NODS_DEG, SHIFTS_MM):
        moved = np.eye(4)
        moved[:3, :3] = Rotation.from_euler("x", nod, degrees=True).as_matrix()
        moved[1, 3] = shift
        yield moved


def _skin_found(volume: Volume, to_template: NDArray, skin: NDArray, levels: NDArray) -> float:
    """Return how much of the skin of a face is found, relative to what counts as a face."""
    met, in_view = _met_from_air(volume, to_template, skin, levels, axis=1)
    if in_view.sum() * CM2 < LEAST_CM2:
        return 0.0
    bright, dim = met.sum(axis=-1)
    is_large = bright * CM2 >= LEAST_CM2
    return float(max(bright / in_view.sum() / BRIGHT_SHARE * is_large, dim / len(skin) / DIM_SHARE))


def _met_from_air(
    volume: Volume, to_template: NDArray, skin: NDArray, levels: NDArray, axis: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return at which places lines down an axis meet skin of each level, and which of them are in view.

    An edge of the field of view is no skin: it is not met from the air.
    """
    from_template = np.linalg.inv(to_template)
    in_view = interpolate(volume.seen, volume.affine, apply_affine(from_template, skin), 0.0) > 0.5
    depths = np.arange(-REACH_MM, DEPTH_MM + STEP_MM / 2, STEP_MM)
    lines = apply_affine(from_template, skin[in_view, None] - depths[:, None] * np.eye(3)[axis])
    along = interpolate(volume.data, volume.affine, lines, 0.0)
    shown = interpolate(volume.seen, volume.affine, lines, 0.0) > 0.5
    from_air = np.pad(shown[:, :-1], ((0, 0), (1, 0)))
    is_met = along > levels[:, None, None]
    first = is_met.argmax(axis=-1)
    met = is_met.any(axis=-1) & (depths[first] >= -DEPTH_MM)
    met &= np.take_along_axis(np.broadcast_to(from_air, is_met.shape), first[..., None], -1)[..., 0]
    return met, in_view
