"""Pictures of a scan: three slices, and the surface of the head from the front and the side."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.deidentify.contents import OWN_PICTURES
from bidsdeface.imaging.image import Image, canonical
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate, saturated, smoothed, world_aligned
from bidsdeface.report import colours

PANEL_MM = (260.0, 480.0)  # at least a head, at most the whole field of view
PANEL_PIXELS = 320
SURFACE_MM = 2.0
SKIN_MM = 1.5  # smoothing of the surface
LIGHT = np.array([-0.35, 0.45, 0.82])  # from the upper left, towards the viewer
WHITE, MASK, GUARD = 253, 254, 255  # the last two values of a picture are colours
OUTLINE_PIXELS, DASH_PIXELS = 2, 6
COARSE = 4  # pixels of a panel for which the distance to the guard is computed once


def views(
    image: Image,
    volume: Volume,
    centre: NDArray,
    mask: NDArray[np.bool_] | None = None,
    guard: Callable[[NDArray], NDArray] | None = None,
) -> NDArray[np.uint8]:
    """Return an image as a row of panels: three slices, and its surface from the front and from the right.

    Parameters
    ----------
    image : Image
    volume : Volume
        The same image, from `reduce_image`.
    centre : numpy.ndarray, shape (3,)
        World coordinates (RAS+ mm) through which the slices go.
    mask : numpy.ndarray, shape (X, Y, Z), bool, optional
        Outlined in the slices; on the image's grid.
    guard : callable, optional
        Return the signed distance in mm from world points, shape (..., 3), to the brain guard, negative
        inside. Outlined in the slices, dashed.

    Returns
    -------
    numpy.ndarray, shape (rows, columns), uint8
        Grey from 0 to `WHITE`; outlines are `MASK` and `GUARD`, which `draw` gives their colours.
    """
    view, affine = canonical(image.volumes[..., 0], image.affine)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in view.shape])).reshape(3, -1).T
    reach_mm = 2 * float(np.abs(apply_affine(affine, corners) - centre).max())
    planes = [_plane(centre, axis, float(np.clip(reach_mm, *PANEL_MM))) for axis in range(3)]
    slices = [_slice(image, view, affine, plane) for plane in planes]
    for panel, plane in zip(slices, planes, strict=True):
        if guard is not None:
            row, column = np.indices(panel.shape)
            distance = guard(plane[COARSE // 2 :: COARSE, COARSE // 2 :: COARSE])
            distance = ndimage.zoom(distance, COARSE, order=1, mode="nearest", grid_mode=True)
            panel[_outline(distance < 0) & ((row + column) // DASH_PIXELS % 2 == 0)] = GUARD
        if mask is not None:
            panel[_outline(interpolate(mask.view(np.uint8), image.affine, plane, 0.0) > 0.5)] = MASK
    surface = smoothed(saturated(world_aligned(volume, SURFACE_MM)), SKIN_MM)
    return np.concatenate([*slices, *(_surface(surface, planes[axis], axis) for axis in (1, 0))], axis=1)


def draw(path: Path, *rows: NDArray[np.uint8]) -> None:
    """Write rows of panels, from `views`, as one PNG."""
    from PIL import Image as Picture
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text(*OWN_PICTURES)
    picture = Picture.fromarray(np.concatenate(rows, axis=0))
    greys = np.linspace(0, 255, WHITE + 1).round().astype(np.uint8).repeat(3).tobytes()
    picture.putpalette(greys + bytes.fromhex(f"{colours.MASK}{colours.GUARD}".replace("#", "")))
    picture.save(path, format="PNG", pnginfo=text)


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the inner edge of a region; the edge of the panel is none."""
    return inside & ~ndimage.binary_erosion(inside, iterations=OUTLINE_PIXELS, border_value=1)


def _plane(centre: NDArray, axis: int, panel_mm: float) -> NDArray:
    """Return world points of a square panel across an axis, shape (rows, columns, 3)."""
    steps = (np.arange(PANEL_PIXELS) + 0.5) / PANEL_PIXELS * panel_mm - panel_mm / 2
    across, up = [a for a in range(3) if a != axis]
    points = np.broadcast_to(centre, (PANEL_PIXELS, PANEL_PIXELS, 3)).copy()
    points[..., across] += steps[None, :]
    points[..., up] -= steps[:, None]
    return points


def _slice(image: Image, view: NDArray, affine: NDArray, points: NDArray) -> NDArray[np.uint8]:
    # Only the voxels around the plane are converted: the image may be large.
    voxels = apply_affine(np.linalg.inv(affine), points)
    low = np.clip(np.floor(voxels.min(axis=(0, 1))).astype(int), 0, np.array(view.shape) - 1)
    high = np.clip(np.ceil(voxels.max(axis=(0, 1))).astype(int) + 1, low + 1, view.shape)
    part = np.nan_to_num(image.scaled(view[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]))
    values = ndimage.map_coordinates(
        part, np.moveaxis(voxels - low, -1, 0), order=1, mode="constant", cval=part.min()
    )
    dark, bright = np.percentile(values, [1, 99.5])
    return np.uint8(WHITE * np.clip((values - dark) / max(bright - dark, 1e-6), 0, 1))


def _surface(surface: Volume, points: NDArray, axis: int) -> NDArray[np.uint8]:
    """Return the head seen from the front (axis 1) or from its right (axis 0), in grey."""
    columns = np.moveaxis(surface.data, axis, 0)[::-1]  # the axis points to the viewer
    hit = columns > 0.5
    first = hit.argmax(axis=0)[None]
    here = np.take_along_axis(columns, first, 0)
    before = np.take_along_axis(columns, np.maximum(first - 1, 0), 0)
    steps = (first - (here - 0.5) / np.maximum(here - before, 1e-3))[0]
    depth = SURFACE_MM * np.where(hit.any(axis=0), steps, columns.shape[0])
    slope = np.gradient(ndimage.gaussian_filter(depth, 0.7), SURFACE_MM)
    normal = np.stack([slope[0], slope[1], np.ones_like(depth)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    lit = 0.25 + 0.75 * np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    brightness = np.where(hit.any(axis=0), lit, 0.0)
    rows, up = [a for a in range(3) if a != axis]
    grid = [(points[..., a] - surface.affine[a, 3]) / SURFACE_MM for a in (rows, up)]
    return np.uint8(WHITE * ndimage.map_coordinates(brightness, grid, order=1, mode="constant"))
