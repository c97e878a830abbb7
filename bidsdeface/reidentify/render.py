"""Pictures of a head's surface, as a camera would take them; numpy and scipy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.affines import from_matvec, voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsdeface.errors import ImageError
from bidsdeface.imaging.image import Image, canonical
from bidsdeface.imaging.volume import (
    BRIGHT_PERCENTILE,
    DARK_PERCENTILE,
    Volume,
    apply_affine,
    in_blocks,
    interpolate,
    largest_piece,
)

FINE_MM = 1.0
COARSE_MM = 2.0  # of the grid on which the head is separated from its surroundings
SKIN_SHARE = 0.6  # of Otsu's threshold: skin is darker than most tissue
SKIN_SIGMA_MM = 1.0
SKIN_SIGMA_VOXELS = 0.7  # at least: large voxels show as terraces
CLOSING_MM = 12.0  # bridges nostrils, ear canals and sinuses that a cut has opened
FILLED_DEPTH_MM = 5.0  # everything deeper than this below the closed surface is solid
HEAD_MM = 230.0  # from the crown to the chin

CAMERA_MM = 700.0  # from the centre of the head
WIDTH_MM = 240.0  # of the picture, at the head's centre
PIXELS = 200
FINE_STEP_MM = 1.5
BISECTIONS = 6
SKIN_COLOUR = np.array([246.0, 189.0, 154.0])
BACKGROUND = 40.0
FILL_LIGHT = np.array([0.3, 0.9, 0.1])
WRAP = 0.25  # how far light reaches round the edge, as in skin
OCCLUSION_MM = (4.0, 10.0)


@dataclass(frozen=True)
class Surface:
    """A solid, at two resolutions.

    Attributes
    ----------
    solid : numpy.ndarray, shape (X, Y, Z), float32
        0 in air, 1 inside; the surface is where it is 0.5.
    affine : numpy.ndarray, shape (4, 4)
        Its voxel indices to world coordinates, RAS+ mm.
    clearance : Volume
        A lower bound of the distance to the surface, in mm, on a coarse grid around `solid`.
    centre : numpy.ndarray, shape (3,)
        Of the head, world mm: half-way between left and right, front and back, crown and chin.
    """

    solid: NDArray[np.float32]
    affine: NDArray[np.float64]
    clearance: Volume
    centre: NDArray[np.float64]

    def at(self, points: NDArray) -> NDArray:
        """Return the solid at world points, shape (N, 3), mm."""
        return interpolate(self.solid, self.affine, points, 0.0)


@dataclass(frozen=True)
class View:
    """Where the camera stands and how the head is lit.

    Attributes
    ----------
    pitch, yaw : float
        Of the camera about the head's centre, in degrees: up and towards the head's right ear. At 0, 0 it
        looks along the world's posterior direction at the face.
    centre : numpy.ndarray, shape (3,), optional
        Point that the camera looks at, world mm; the surface's own centre if left out.
    light : tuple of float
        Direction to the light: left of the picture, towards the camera, up.
    ambient : float
        Brightness in the dark, 0 to 1.
    """

    pitch: float = 0.0
    yaw: float = 0.0
    centre: NDArray[np.float64] | None = None
    light: tuple[float, float, float] = (-0.4, 0.8, 0.6)
    ambient: float = 0.25


def image_surface(image: Image, name: str) -> Surface:
    """Return the surface of the head in an image of any orientation, voxel size and contrast.

    Parameters
    ----------
    image : Image
        The volumes of a series are averaged.
    name : str
        Of the file, for messages.

    Raises
    ------
    ImageError
        The image shows nothing that could be a head.
    """
    view, affine = canonical(image.stored, image.affine)
    if view.ndim > 3:
        view = view.reshape(*view.shape[:3], -1).mean(axis=-1)
    blocks, affine = in_blocks(view, affine, FINE_MM)
    return tissue_surface(image.scaled(blocks), affine, name)


def tissue_surface(fine: NDArray, fine_affine: NDArray, name: str, skin_share: float = SKIN_SHARE) -> Surface:
    """Return the surface of the head in intensities, from air (dark) to tissue.

    Parameters
    ----------
    fine : numpy.ndarray, shape (X, Y, Z)
        Axes nearest to R, A, S.
    fine_affine : numpy.ndarray, shape (4, 4)
    name : str
        For messages.
    skin_share : float
        Of Otsu's threshold, where tissue begins.

    Raises
    ------
    ImageError
        The intensities show nothing that could be a head.
    """
    fine = np.nan_to_num(fine, posinf=0.0, neginf=0.0)
    coarse, coarse_affine = in_blocks(fine, fine_affine, COARSE_MM)
    dark, bright = np.percentile(coarse, [DARK_PERCENTILE, BRIGHT_PERCENTILE])
    if not bright > dark:
        raise ImageError(f"{name}: has the same value everywhere; convert it again")
    scaled = np.clip((coarse - dark) / (bright - dark), 0, 1)
    threshold = skin_share * Volume(scaled, coarse_affine, np.ones_like(scaled)).tissue_threshold
    # Opened, so that no thread of noise leads away from it.
    head = largest_piece(ndimage.binary_opening(scaled > threshold))
    if not head.any():
        raise ImageError(f"{name}: shows nothing but air; is it an image of a head?")
    spacing = voxel_sizes(coarse_affine)
    inside, around = _filled(head, spacing), ndimage.binary_dilation(head, iterations=2)
    # Two voxels of air around the head are enough, and most of an image is air.
    box = _around(head)
    factors = np.round(spacing / voxel_sizes(fine_affine)).astype(int)
    fine_box = tuple(slice(s.start * f, s.stop * f) for s, f in zip(box, factors, strict=True))
    fine = fine[fine_box]
    solid = np.clip((fine - dark) / (2 * threshold * (bright - dark)), 0, 1)
    solid *= _repeated(around[box], factors, fine.shape)
    solid[_repeated(inside[box], factors, fine.shape)] = 1
    return make_surface(solid, shifted(fine_affine, [s.start for s in fine_box]))


def mask_surface(mask: Image) -> Surface:
    """Return the surface of a mask, which is above 0 inside."""
    fine, affine = in_blocks(*canonical(mask.stored > 0, mask.affine), FINE_MM)
    box = _around(fine > 0)
    return make_surface(fine[box], shifted(affine, [s.start for s in box]))


def make_surface(solid: NDArray, affine: NDArray) -> Surface:
    """Return the surface between solid (1) and air (0), smoothed to remove the steps of the voxels.

    Parameters
    ----------
    solid : numpy.ndarray, shape (X, Y, Z)
        Axes nearest to R, A, S.
    affine : numpy.ndarray, shape (4, 4)
    """
    # With air on every side, a head that is cut by the field of view has a surface there.
    solid = np.pad(solid.astype(np.float32), 2)
    affine = shifted(affine, (-2, -2, -2))
    spacing = voxel_sizes(affine)
    solid = ndimage.gaussian_filter(solid, np.maximum(SKIN_SIGMA_MM / spacing, SKIN_SIGMA_VOXELS))
    factors = np.maximum(np.round(2 * COARSE_MM / spacing), 1).astype(int)
    padded = np.pad(solid, [(0, -n % f) for n, f in zip(solid.shape, factors, strict=True)])
    cells = padded.reshape([k for n, f in zip(padded.shape, factors, strict=True) for k in (n // f, f)])
    occupied = cells.max(axis=(1, 3, 5)) >= 0.5
    # Both a point and the surface are at most half a cell's diagonal away from the centre of their cell.
    away = ndimage.distance_transform_edt(~occupied, factors * spacing)
    clearance = np.maximum(away - np.linalg.norm(factors * spacing), 0).astype(np.float32)
    to_world = shifted(affine, (factors - 1) / 2) @ np.diag([*factors, 1.0])
    coarse = Volume(clearance, to_world, np.ones_like(clearance))
    return Surface(solid, affine, coarse, _centre(occupied, coarse.affine))


def render(surface: Surface, view: View, pixels: int = PIXELS) -> NDArray[np.uint8]:
    """Return a colour picture of a surface, shape (pixels, pixels, 3); the subject's right is on the left.

    Rays are followed from the camera to the surface in steps as long as the clearance allows, then the
    hit is found to a fraction of a voxel by bisection.
    """
    turn = Rotation.from_euler("zx", [-view.yaw, view.pitch], degrees=True)
    centre = surface.centre if view.centre is None else view.centre
    across = ((np.arange(pixels) + 0.5) / pixels - 0.5) * WIDTH_MM
    x, z = np.meshgrid(-across, -across)
    rays = np.stack([x, np.full_like(x, -CAMERA_MM), z], -1).reshape(-1, 3)
    rays = turn.apply(rays / np.linalg.norm(rays, axis=1, keepdims=True))
    origin = centre + turn.apply([0.0, CAMERA_MM, 0.0])
    distance = _hits(surface, origin, rays)
    hit = np.isfinite(distance)
    normals = _normals(surface, origin + distance[hit, None] * rays[hit])
    light, fill = (turn.apply(d / np.linalg.norm(d)) for d in (np.array(view.light), FILL_LIGHT))
    diffuse = 0.75 * np.clip((normals @ light + WRAP) / (1 + WRAP), 0, 1)
    diffuse += 0.25 * np.clip(normals @ fill, 0, 1)
    brightness = np.zeros(len(rays))
    brightness[hit] = view.ambient + (1 - view.ambient) * diffuse
    brightness *= 1 - 0.5 * _occlusion(distance.reshape(pixels, pixels)).ravel()
    picture = np.where(hit[:, None], brightness[:, None] * SKIN_COLOUR, BACKGROUND)
    return np.clip(picture, 0, 255).astype(np.uint8).reshape(pixels, pixels, 3)


def _filled(head: NDArray[np.bool_], spacing: NDArray) -> NDArray[np.bool_]:
    """Return the deep inside of a head. Skull, airways and sinuses then look solid where they are cut."""
    steps = max(int(round(CLOSING_MM / 2 / spacing.mean())), 1)
    closed = ndimage.binary_closing(np.pad(head, 2 * steps), iterations=steps)
    in_plane = ndimage.generate_binary_structure(2, 1)[..., None]  # since airways lead out through the neck
    closed = ndimage.binary_fill_holes(closed, in_plane)
    deep = ndimage.binary_erosion(closed, iterations=max(int(round(FILLED_DEPTH_MM / spacing.mean())), 1))
    return deep[(slice(2 * steps, -2 * steps),) * 3]


def _repeated(mask: NDArray[np.bool_], factors: NDArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask on a grid that is finer by whole factors; the rest at the far ends is outside."""
    mask = np.kron(mask, np.ones(factors, bool))[tuple(slice(n) for n in shape)]
    return np.pad(mask, [(0, n - m) for n, m in zip(shape, mask.shape, strict=True)])


def shifted(affine: NDArray, voxels: NDArray | Sequence[int]) -> NDArray[np.float64]:
    """Return the affine of a grid whose first voxel is another voxel of the given grid."""
    return affine @ from_matvec(np.eye(3), voxels)


def _around(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the box around a mask, with two voxels on every side."""
    return tuple(slice(max(i.min() - 2, 0), i.max() + 3) for i in np.nonzero(mask))


def _centre(occupied: NDArray[np.bool_], affine: NDArray) -> NDArray[np.float64]:
    points = apply_affine(affine, np.argwhere(occupied))
    low, high = points.min(axis=0), points.max(axis=0)
    low[2] = max(low[2], high[2] - HEAD_MM)
    return (low + high) / 2


def _hits(surface: Surface, origin: NDArray, rays: NDArray) -> NDArray[np.float64]:
    """Return how far along each ray the surface lies, in mm; NaN where it is missed."""
    start, end = _through_box(surface, origin, rays)
    hits = np.full(len(rays), np.nan)
    active = np.flatnonzero(start < end)
    at = start[active]
    while active.size:
        points = origin + at[:, None] * rays[active]
        clear = surface.clearance.at(points, 0.0)
        near = clear < FINE_STEP_MM
        inside = np.zeros(len(active), bool)
        inside[near] = surface.at(points[near]) >= 0.5
        hits[active[inside]] = at[inside]
        at = at + np.maximum(clear, FINE_STEP_MM)
        going = ~inside & (at < end[active])
        active, at = active[going], at[going]
    found = np.flatnonzero(np.isfinite(hits))
    before, after = hits[found] - FINE_STEP_MM, hits[found]
    for _ in range(BISECTIONS):
        middle = (before + after) / 2
        inside = surface.at(origin + middle[:, None] * rays[found]) >= 0.5
        before, after = np.where(inside, before, middle), np.where(inside, middle, after)
    hits[found] = after
    return hits


def _through_box(surface: Surface, origin: NDArray, rays: NDArray) -> tuple[NDArray, NDArray]:
    """Return where rays enter and leave the grid, in mm; start > end for those that miss it."""
    to_voxels = np.linalg.inv(surface.affine)
    first = apply_affine(to_voxels, origin)
    direction = rays @ to_voxels[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = [(side - first) / direction for side in (0, np.array(surface.solid.shape) - 1.0)]
    return np.fmin(*ends).max(axis=1), np.fmax(*ends).min(axis=1)


def _normals(surface: Surface, points: NDArray) -> NDArray[np.float64]:
    """Return unit vectors out of the surface, shape (N, 3), from differences over 2 mm."""
    normals = np.stack([surface.at(points - step) - surface.at(points + step) for step in np.eye(3)], -1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)


def _occlusion(distance: NDArray) -> NDArray[np.float64]:
    """Return how much of the surroundings hides each pixel from the light, 0 to 1: hollows are dark."""
    seen = np.isfinite(distance).astype(float)
    depth = np.nan_to_num(distance)
    hidden = np.zeros_like(depth)
    for reach in OCCLUSION_MM:
        sigma = reach * len(depth) / WIDTH_MM
        around = ndimage.gaussian_filter(depth, sigma) / (ndimage.gaussian_filter(seen, sigma) + 1e-3)
        hidden += np.clip((depth - around) / (1.2 * reach), 0, 1) / len(OCCLUSION_MM)
    return hidden * seen
