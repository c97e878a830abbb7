"""Variants of a head that must pass, and placements that must not: what the calibration study is made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.volume import (
    Volume,
    apply_affine,
    interpolate,
    tissue_voxels,
    voxel_places,
)

AXES = {"left-right": 0, "front-back": 1, "up-down": 2}
THICK_MM = 6.0
COARSE_MM = 4.0
# What may be wrong with a brain: name, centres in the template (mm), radius (mm), intensity.
LESIONS = (
    ("dark hole to the skull", ((45.0, 0.0, 25.0),), 35.0, 0.05),
    ("bright mass", ((-35.0, 20.0, 20.0),), 25.0, 1.0),
    ("large ventricles", ((-15.0, 0.0, 10.0), (15.0, 0.0, 10.0)), 22.0, 0.05),
)


def variants(scan: Volume, to_template: NDArray, seed: int) -> Iterator[tuple[str, Volume]]:
    """Yield the same head as other scanners, other sessions and other fields of view might show it.

    Parameters
    ----------
    scan : Volume
        From `reduce_image`, its axes nearest to R, A, S.
    to_template : numpy.ndarray, shape (4, 4)
    seed : int
    """
    random = np.random.default_rng(seed)
    yield "as it is", scan
    middle = apply_affine(scan.affine, (np.array(scan.data.shape) - 1) / 2)
    for name, turn, shift in (
        ("chin up 20°", (20, 0, 0), (0, 0, 0)),
        ("chin down 20°", (-20, 0, 0), (0, 0, 0)),
        ("leaning 20°", (0, 20, 0), (0, 0, 0)),
        ("looking aside 20°", (0, 0, 20), (0, 0, 0)),
        ("60 mm off centre", (0, 0, 0), (25, 30, -45)),
    ):
        moved = rigid(turn, shift, middle) @ scan.affine
        yield name, Volume(scan.data, moved, scan.seen)
    for share in (0.05, 0.1):
        noise = random.normal(0, share, (2, *scan.data.shape))
        yield f"noise {share:.0%}", _scaled(scan, np.hypot(scan.data + noise[0], noise[1]))
    yield "uneven coil", _scaled(scan, scan.data * _bias(scan, random))
    yield "low contrast", _scaled(scan, scan.data**0.5)
    yield "high contrast", _scaled(scan, scan.data**2)
    tissue = ndimage.gaussian_filter((scan.data > scan.tissue_threshold).astype(np.float32), 1)
    yield "contrast turned round", _scaled(scan, tissue * (1.2 - np.clip(scan.data, 0, 1)))
    for name, centre, radius, value in LESIONS:
        yield name, _scaled(scan, _with_ball(scan, to_template, centre, radius, value))
    for name, axis in AXES.items():
        yield f"6 mm slices {name}", _thick(scan, axis, THICK_MM)
    coarse = scan
    for axis in range(3):
        coarse = _thick(coarse, axis, COARSE_MM)
    yield "4 mm voxels", coarse
    # Planes of the template at which the field of view ends.
    for name, axis, keep, place in (
        ("cut below the nose", 2, 1, -70.0),
        ("cut below the eyes", 2, 1, -45.0),
        ("crown cut off", 2, -1, 60.0),
        ("nose cut off", 1, -1, 92.0),
        ("back cut off", 1, 1, -75.0),
        ("one side cut off", 0, 1, -50.0),
    ):
        if (cut := crop(scan, to_template, axis, keep, place)) is not None:
            yield name, cut


def without_face(scan: Volume, to_template: NDArray) -> Iterator[tuple[str, Volume]]:
    """Yield the head with a field of view that ends before the face."""
    for name, axis, keep, place in (("above the brows", 2, 1, 20.0), ("behind the eyes", 1, -1, 8.0)):
        if (cut := crop(scan, to_template, axis, keep, place)) is not None:
            yield name, cut


def failures(probes: NDArray) -> Iterator[tuple[str, NDArray]]:
    """Yield wrong placements, as what moves the template's head away from where it should lie.

    Parameters
    ----------
    probes : numpy.ndarray, shape (N, 3)
        Places on the template's head; turns are about their middle.

    Yields
    ------
    name : str
    motion : numpy.ndarray, shape (4, 4)
        Template world to template world, mm.
    """
    middle = probes.mean(axis=0)
    for name, axis in AXES.items():
        for sign in (-1, 1):
            for mm in (10, 15, 20, 40):
                yield f"shift {mm} mm {name} {sign:+d}", rigid((0, 0, 0), sign * mm * np.eye(3)[axis], middle)
            for degrees in (10, 15, 30):
                yield (
                    f"turn {degrees}° about {name} {sign:+d}",
                    rigid(sign * degrees * np.eye(3)[axis], (0, 0, 0), middle),
                )
    for factor in (0.8, 1.25):
        scaled = np.diag([factor] * 3 + [1.0])
        scaled[:3, 3] = middle * (1 - factor)
        yield f"scale {factor}", scaled
    yield "upside down", rigid((180, 0, 0), (0, 0, 0), middle)
    yield "back to front", rigid((0, 0, 180), (0, 0, 0), middle)
    mirror = np.diag([1.0, -1.0, 1.0, 1.0])
    mirror[1, 3] = 2 * middle[1]
    yield "mirrored front to back", mirror
    yield "onto the neck", rigid((0, 0, 0), (0, -20, -110), middle)
    yield "face outside of the field of view", rigid((0, 0, 0), (0, 150, 0), middle)


def fold(scan: Volume, to_template: NDArray, depth_mm: float, gap_mm: float, head_mm: Volume) -> Volume:
    """Return a head whose nose folds over to the back of the field of view.

    Parameters
    ----------
    scan : Volume
        Its axes nearest to R, A, S.
    to_template : numpy.ndarray, shape (4, 4)
    depth_mm : float
        How much of the nose is beyond the field of view.
    gap_mm : float
        Air between the back of the head and the end of the field of view.
    head_mm : Volume
        Distance to the template's head.
    """
    tissue = tissue_voxels(scan)
    there = apply_affine(to_template @ scan.affine, tissue)
    near = interpolate(head_mm.data, head_mm.affine, there, np.inf) < 12
    rows = tissue[:, 1]
    spacing = float(np.linalg.norm(scan.affine[:3, 1]))
    nose = near & (there[:, 2] > -75) & (there[:, 2] < -20) & (np.abs(there[:, 0]) < 15)
    tip = _outermost(rows[nose], scan.data.shape[1], 1)
    back = _outermost(rows[near & (there[:, 2] > -40)], scan.data.shape[1], -1)
    start = max(back - round(gap_mm / spacing), 0)
    stop = tip - round(depth_mm / spacing) + 1
    data = scan.data[:, start:stop].copy()
    beyond = scan.data[:, stop : stop + data.shape[1]]
    data[:, : beyond.shape[1]] += beyond
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, 1] * start
    return _scaled(Volume(data, affine, np.ones_like(data)), data)


def crop(scan: Volume, to_template: NDArray, axis: int, keep: int, place: float) -> Volume | None:
    """Return the part of a scan beyond a plane of the template, or None if the plane is not in view.

    Parameters
    ----------
    scan : Volume
        Its axes nearest to R, A, S.
    to_template : numpy.ndarray, shape (4, 4)
    axis : int
        Across the plane.
    keep : {-1, 1}
        The side to keep.
    place : float
        Of the plane, template mm, on the head's middle line.
    """
    on_plane = np.zeros(3)
    on_plane[axis] = place
    at = apply_affine(np.linalg.inv(to_template @ scan.affine), on_plane)[axis]
    at = round(float(at))
    if not 3 < at < scan.data.shape[axis] - 3:
        return None
    kept = tuple(
        slice(None) if k != axis else (slice(at, None) if keep > 0 else slice(0, at)) for k in range(3)
    )
    affine = scan.affine.copy()
    if keep > 0:
        affine[:3, 3] += affine[:3, axis] * at
    return _scaled(Volume(scan.data[kept], affine, scan.seen[kept]), scan.data[kept])


def rigid(turn_deg: object, shift_mm: object, middle: NDArray) -> NDArray:
    """Return a turn about a point, by a rotation vector in degrees, and a shift."""
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(np.asarray(turn_deg, float), degrees=True).as_matrix()
    motion[:3, 3] = middle - motion[:3, :3] @ middle + np.asarray(shift_mm, float)
    return motion


def _outermost(rows: NDArray, size: int, side: int) -> int:
    """Return the first plane from a side that holds more than a few voxels of noise."""
    counts = np.bincount(rows, minlength=size)
    planes = np.flatnonzero(counts > 8)
    return int(planes.max() if side > 0 else planes.min())


def _scaled(scan: Volume, data: NDArray) -> Volume:
    """Return new intensities from 0 (dark) to 1 (bright), as `reduce_image` has them."""
    dark, bright = np.percentile(data, [1, 99.5])
    return Volume(np.clip((data - dark) / (bright - dark), 0, 1).astype(np.float32), scan.affine, scan.seen)


def _bias(scan: Volume, random: np.random.Generator) -> NDArray:
    nodes = ndimage.zoom(random.uniform(0.5, 1.5, (3, 3, 3)), np.array(scan.data.shape) / 3, order=3)
    return np.clip(nodes, 0.3, 1.7)


def _with_ball(
    scan: Volume, to_template: NDArray, centres: tuple[tuple[float, ...], ...], radius: float, value: float
) -> NDArray:
    there = apply_affine(to_template, voxel_places(scan.data.shape, scan.affine))
    away = np.min([np.linalg.norm(there - centre, axis=-1) for centre in centres], axis=0)
    return np.where(away < radius, value, scan.data)


def _thick(scan: Volume, axis: int, thickness_mm: float) -> Volume:
    spacing = float(np.linalg.norm(scan.affine[:3, axis]))
    factor = max(round(thickness_mm / spacing), 1)
    whole = scan.data.shape[axis] // factor * factor
    moved = np.moveaxis(scan.data, axis, 0)[:whole]
    means = moved.reshape(-1, factor, *moved.shape[1:]).mean(axis=1)
    to_fine = np.eye(4)
    to_fine[axis, axis], to_fine[axis, 3] = factor, (factor - 1) / 2
    data = np.ascontiguousarray(np.moveaxis(means, 0, axis))
    return Volume(data, scan.affine @ to_fine, np.ones_like(data))
