"""Synthetic people from real heads, and rescans of them.

A person is a whole head (face, cranium, ears and jaw) under a random, smooth, mostly symmetric deformation,
so that people made from one base head differ everywhere, as people do. A rescan is the same head on another
day, in another position, with another bias field, sharpness and noise.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.image import Image, canonical
from bidsdeface.imaging.volume import in_blocks, reduce_image

LATTICE_MM = 4.0
SLAB_PLANES = 32
# The deformations of a person: their smoothness (sigma) and size (standard deviation), mm.
WIDE_BENDS_MM = ((30.0, 2.5),)
FINE_BENDS_MM = ((16.0, 2.2), (9.0, 0.95))
CRANIUM_SHARE = 0.3  # of the fine deformations: a cranium has no cheeks
CROWN_TO_BROW_MM = 70.0
ASYMMETRY = 0.25  # share of the deformations
STRETCH = 0.03  # standard deviation of width, depth and height
SQUARINGS = 6

# Standard deviations of a rescan. Pitch varies most, as on a pillow.
TURN_DEG = (4.0, 2.4, 2.4)
SHIFT_MM = 3.0
SOFT_MM, SOFT_REACH_MM = 0.7, 14.0  # neck, lips and cheeks are never quite the same
BIAS, BIAS_REACH_MM = 0.25, 60.0
BLUR_VOXELS = (0.05, 0.4)  # least and most
NOISE = 0.03  # of bright tissue
AIR_PERCENTILE = 1.0


@dataclass(frozen=True)
class Person:
    """A base head and its deformation.

    Attributes
    ----------
    head : Image
        The base head.
    bend_mm : numpy.ndarray, shape (3, X', Y', Z')
        Displacement from the person's head to the base head, on a lattice over the image with axes nearest to
        R, A, S.
    """

    head: Image
    bend_mm: NDArray[np.float32]


def make_person(head: Image, seed: int) -> Person:
    """Return a synthetic person, the same for the same seed."""
    rng = np.random.default_rng(seed)
    grid = _Grid.of(head)
    wide, fine = (
        sum(size * np.stack([_smooth_noise(rng, grid, reach) for _ in range(3)]) for reach, size in bends)
        for bends in (WIDE_BENDS_MM, FINE_BENDS_MM)
    )
    below_crown = (_crown_mm(head) - grid.points[2]) / CROWN_TO_BROW_MM
    velocity = wide + fine * np.clip(below_crown, CRANIUM_SHARE, 1)
    mirrored = velocity[:, ::-1] * np.array([-1, 1, 1], np.float32)[:, None, None, None]
    even, odd = (velocity + mirrored) / np.sqrt(2), (velocity - mirrored) / np.sqrt(2)
    velocity = even * np.sqrt(1 - ASYMMETRY**2) + odd * ASYMMETRY
    from_centre = grid.points - grid.centre[:, None, None, None]
    velocity += rng.normal(0, STRETCH, 3)[:, None, None, None] * from_centre
    return Person(head, _exponential(velocity.astype(np.float32), grid))


def scan(person: Person, seed: int) -> Image:
    """Return a scan of a person, float32, on the grid of the base head; the same for the same seed.

    Neck and ears that the base head's field of view cuts off are continued from its edge, so that this scan's
    own straight field of view cuts the person, not a bent one. Above and in front is air.
    """
    rng = np.random.default_rng(seed)
    grid = _Grid.of(person.head)
    view, affine = canonical(person.head.volumes[..., 0], person.head.affine)
    values = np.nan_to_num(person.head.scaled(view))
    turn = Rotation.from_euler("xyz", rng.normal(0, TURN_DEG), degrees=True)
    soft = SOFT_MM * np.stack([_smooth_noise(rng, grid, SOFT_REACH_MM) for _ in range(3)])
    about = np.moveaxis(grid.points, 0, -1) - grid.centre
    places = np.moveaxis(turn.apply(about.reshape(-1, 3)).reshape(about.shape), -1, 0) + soft
    places += (grid.centre + rng.normal(0, SHIFT_MM, 3))[:, None, None, None]
    places += grid.sample(person.bend_mm, places)
    bias = np.exp(BIAS * _smooth_noise(rng, grid, BIAS_REACH_MM))
    blur = rng.uniform(*BLUR_VOXELS)
    sample = values[::3, ::3, ::3]
    level = NOISE * np.percentile(sample[sample > sample.mean()], 90)
    air = np.percentile(sample, AIR_PERCENTILE)
    values = np.pad(values, ((0, 0), (0, 1), (0, 1)), constant_values=air)
    scanned = np.empty(grid.shape, np.float32, order="F")
    for planes in grid.slabs():
        at = [grid.upsample(p / s, planes) for p, s in zip(places, grid.spacing, strict=True)]
        scanned[:, :, planes] = ndimage.map_coordinates(values, at, order=1, mode="nearest", prefilter=False)
    scanned = ndimage.gaussian_filter(scanned, blur)
    for planes in grid.slabs():
        slab = scanned[:, :, planes] * grid.upsample(bias, planes)
        real, imaginary = (level * rng.standard_normal(slab.shape, np.float32) for _ in range(2))
        scanned[:, :, planes] = np.hypot(slab + real, imaginary)
    return as_float(person.head, scanned, affine)


def at_mm(image: Image, block_mm: float) -> Image:
    """Return the first volume of an image with voxels of about so many mm; coarser voxels stay as they are.

    Pictures need no finer ones than 1 mm, and a person made of finer ones takes more than 1 GB.
    """
    values, affine = in_blocks(*canonical(image.volumes[..., 0], image.affine), block_mm)
    return as_float(image, image.scaled(values), affine)


def rescan(image: Image, seed: int) -> Image:
    """Return a scan of the same head on another day."""
    return scan(Person(image, np.zeros_like(_Grid.of(image).points)), seed)


@dataclass(frozen=True)
class _Grid:
    """The voxels of an image, axes nearest to R, A, S, and a lattice over them, mm from the first."""

    shape: tuple[int, int, int]
    spacing: NDArray[np.float64]
    points: NDArray[np.float32]

    @classmethod
    def of(cls, image: Image) -> "_Grid":
        view, affine = canonical(image.stored, image.affine)
        spacing = voxel_sizes(affine)
        nodes = [
            LATTICE_MM * np.arange(int(np.ceil((n - 1) * s / LATTICE_MM)) + 1, dtype=np.float32)
            for n, s in zip(view.shape[:3], spacing, strict=True)
        ]
        return cls(view.shape[:3], spacing, np.stack(np.meshgrid(*nodes, indexing="ij")))

    @property
    def centre(self) -> NDArray[np.float64]:
        return (np.array(self.shape) - 1) * self.spacing / 2

    def sample(self, fields: NDArray, places: NDArray) -> NDArray:
        """Return vectors of the lattice at places, shape (3, ...), in mm."""
        at = places / LATTICE_MM
        return np.stack(
            [ndimage.map_coordinates(f, at, order=1, mode="nearest", prefilter=False) for f in fields]
        )

    def slabs(self) -> Iterator[slice]:
        """Yield a few planes at a time, to save memory."""
        for start in range(0, self.shape[2], SLAB_PLANES):
            yield slice(start, min(start + SLAB_PLANES, self.shape[2]))

    def upsample(self, field: NDArray, planes: slice) -> NDArray[np.float32]:
        """Interpolate a field on the nodes to each voxel of some planes, linearly."""
        voxels = (range(self.shape[0]), range(self.shape[1]), range(planes.start, planes.stop))
        weights = [
            np.maximum(1 - np.abs(np.array(at)[:, None] * spacing / LATTICE_MM - np.arange(nodes)), 0)
            for at, spacing, nodes in zip(voxels, self.spacing, field.shape, strict=True)
        ]
        x, y, z, nodes = (np.asarray(part, np.float32) for part in (*weights, field))
        return np.einsum("xi,yj,zk,ijk->xyz", x, y, z, nodes, optimize=True)


def _crown_mm(head: Image) -> float:
    """Return the height of the top of a head above the lowest plane of the image, mm."""
    volume = reduce_image(head, "the head")
    tissue = ndimage.binary_opening(volume.data > volume.tissue_threshold, iterations=2)
    top = np.flatnonzero(tissue.any(axis=(0, 1))).max(initial=0)
    return float(top * volume.voxel_mm[2])


def _smooth_noise(rng: np.random.Generator, grid: _Grid, reach_mm: float) -> NDArray[np.float32]:
    noise = rng.standard_normal(grid.points.shape[1:])
    noise = ndimage.gaussian_filter(noise, reach_mm / LATTICE_MM, mode="reflect")
    return (noise / noise.std()).astype(np.float32)


def _exponential(velocity: NDArray[np.float32], grid: _Grid) -> NDArray[np.float32]:
    """Return the displacement after one unit of time at a velocity, which never folds.

    Method: scaling and squaring (Arsigny et al., MICCAI 2006).
    """
    shift = velocity / 2**SQUARINGS
    for _ in range(SQUARINGS):
        shift = shift + grid.sample(shift, grid.points + shift)
    return shift


def as_float(image: Image, values: NDArray[np.float32], affine: NDArray[np.float64]) -> Image:
    """Return values on a grid as an image with the header of another.

    Parameters
    ----------
    image : Image
        Gives the header, except shape, type, scaling and grid.
    values : numpy.ndarray, shape (X, Y, Z), float32
    affine : numpy.ndarray, shape (4, 4)
    """
    header = image.header.copy()
    header.set_data_shape(values.shape)
    header.set_data_dtype(np.float32)
    header.set_sform(affine)
    header.set_qform(affine)
    header["scl_slope"], header["scl_inter"] = 1, 0
    return Image(header, affine, np.asfortranarray(values))
