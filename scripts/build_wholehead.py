"""Build the embedded template WholeHead from the whole-head mean in the PyPI wheel pydeface==2.1.0.

    pip install deepbet==1.0.2 nibabel scipy antspyx
    pip download --no-deps pydeface==2.1.0
    python scripts/build_wholehead.py pydeface-2.1.0-py3-none-any.whl

Writes ``tpl-WholeHead`` below ``bidsdeface/templates/data``; running it again writes the same bytes.
The mean is turned so that its mid-sagittal plane is x = 0, averaged with its mirror image, and laid on
a 2 mm canvas that reaches far past the head in front and below. The brain mask is deepbet's, made
symmetric; the face and ears masks are drawn by hand, as the outlines below.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

MEAN = "pydeface/data/mean_reg2mean.nii.gz"
MEAN_SHA256 = "fdc13571d66293f9919648cd8de9a7b3491b12175e09336353d2c9ce0466ecb6"
TARGET = Path(__file__).parents[1] / "bidsdeface" / "templates" / "data" / "tpl-WholeHead"

SPACING_MM = 2.0
CANVAS_ORIGIN_MM = (-110.0, -126.0, -204.0)  # 82 mm below the mean's own field of view
CANVAS_SHAPE = (111, 165, 168)  # reaches y = 202 mm, 65 mm in front of it

# The mid-sagittal plane of the mean, {p : NORMAL . p = OFFSET_MM}, found by registering the mean to its
# mirror image (ants.registration, rigid, Mattes, all voxels).
MIDPLANE_NORMAL = (0.99681847, -0.07663675, -0.02190295)
MIDPLANE_OFFSET_MM = -5.3138

# The face, from the side: (y, z) in mm, from the air above the brows down to below the chin. Everything
# in front of this line is face. It runs over the brows (skin at y = 98, z = -12), in front of the frontal
# pole, through the orbits below the frontal lobe, in front of the temporal poles (y = 48), and down
# behind lips and chin; the ends lie far outside the canvas.
FACE_OUTLINE_YZ_MM = (
    (400.0, 30.0),
    (112.0, 10.0),
    (97.0, 4.0),
    (91.0, -6.0),
    (86.0, -17.0),
    (72.0, -24.0),
    (60.0, -32.0),
    (55.0, -45.0),
    (46.0, -54.0),
    (34.0, -62.0),
    (27.0, -75.0),
    (22.0, -100.0),
    (20.0, -500.0),
    (400.0, -500.0),
)
# Each ear, as an ellipsoid beside the head: (|x|, y, z) of the centre and the half axes, in mm.
EAR_CENTRE_MM = (96.0, -12.0, -38.0)
EAR_HALF_AXES_MM = (26.0, 34.0, 42.0)
OUTLINE_SMOOTHING_MM = 3.0


def canvas_affine() -> np.ndarray:
    """Voxel to world (RAS+ mm) of the canvas."""
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = CANVAS_ORIGIN_MM
    return affine


def canvas_world() -> np.ndarray:
    """World coordinates of every canvas voxel, shape (3, *CANVAS_SHAPE)."""
    axes = [o + SPACING_MM * np.arange(n) for o, n in zip(CANVAS_ORIGIN_MM, CANVAS_SHAPE, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def read_mean(wheel: Path) -> nib.Nifti1Image:
    """Return the whole-head mean in the wheel, checked by its hash."""
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read(MEAN)
    if (found := hashlib.sha256(packed).hexdigest()) != MEAN_SHA256:
        sys.exit(f"{wheel}: {MEAN} has sha256 {found}, expected {MEAN_SHA256}")
    return nib.Nifti1Image.from_bytes(gzip.decompress(packed))


def straighten(mean: nib.Nifti1Image) -> np.ndarray:
    """Return the mean on the canvas, mid-sagittal plane at x = 0, averaged with its mirror image."""
    normal = np.array(MIDPLANE_NORMAL) / np.linalg.norm(MIDPLANE_NORMAL)
    anterior = np.array([0.0, 1.0, 0.0]) - normal[1] * normal
    anterior /= np.linalg.norm(anterior)
    to_mean = np.eye(4)
    to_mean[:3, :3] = np.stack([normal, anterior, np.cross(normal, anterior)], axis=1)
    to_mean[:3, 3] = normal * MIDPLANE_OFFSET_MM
    voxel = np.linalg.inv(mean.affine) @ to_mean @ canvas_affine()

    def on_canvas(data: np.ndarray) -> np.ndarray:
        return ndimage.affine_transform(data, voxel[:3, :3], voxel[:3, 3], CANVAS_SHAPE, order=1)

    data = ndimage.gaussian_filter(mean.get_fdata(dtype=np.float32), 0.6)
    seen = (on_canvas(np.ones_like(data)) > 0.99).astype(np.float32)
    head = on_canvas(data) * seen
    return (head + head[::-1]) / np.maximum(seen + seen[::-1], 1)


def clear_air(head: np.ndarray) -> np.ndarray:
    """Return the head as uint8, with the mean's faint ghosts in the air set to zero."""
    scaled = np.clip(head / np.percentile(head[head > 50], 99.5), 0, 1)
    tissue = ndimage.binary_opening(scaled > 0.10, iterations=2)
    labels, _ = ndimage.label(tissue)
    tissue = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    near = ndimage.distance_transform_edt(~tissue) * SPACING_MM
    fade = np.clip(1.5 - near / 8, 0, 1)  # whole up to 4 mm from tissue, gone at 12 mm
    return np.round(255 * scaled * fade).astype(np.uint8)


def brain_mask(head: np.ndarray) -> np.ndarray:
    """Return deepbet's brain mask of the head (uint8 on the canvas), made symmetric and smooth."""
    from deepbet import run_bet

    low = 41  # deepbet wants a head, not a canvas: leave out the empty part below z = -122 mm
    affine = canvas_affine()
    affine[2, 3] += low * SPACING_MM
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "head.nii.gz"), Path(folder, "brain.nii.gz")
        nib.save(nib.Nifti1Image(head[:, :, low:].astype(np.float32), affine), source)
        run_bet([str(source)], None, [str(target)], None, threshold=0.5, n_dilate=0, no_gpu=True)
        found = np.asanyarray(nib.Nifti1Image.from_filename(target).dataobj) > 0
    brain = np.zeros(head.shape, np.float32)
    brain[:, :, low:] = found
    return ndimage.gaussian_filter((brain + brain[::-1]) / 2, 1.0) > 0.5


def face_mask() -> np.ndarray:
    """Return the face region: in front of the outline, whatever the side, smoothed."""
    from matplotlib.path import Path as Outline

    _, y, z = canvas_world()[:, 0]
    inside = Outline(FACE_OUTLINE_YZ_MM).contains_points(np.stack([y.ravel(), z.ravel()], -1))
    region = inside.reshape(y.shape).astype(np.float32)
    smooth = ndimage.gaussian_filter(region, OUTLINE_SMOOTHING_MM / SPACING_MM, mode="nearest") > 0.5
    return np.broadcast_to(smooth, CANVAS_SHAPE)


def ears_mask() -> np.ndarray:
    """Return both ears: an ellipsoid each."""
    x, y, z = canvas_world()
    offset = np.stack([np.abs(x), y, z], -1) - EAR_CENTRE_MM
    return ((offset / EAR_HALF_AXES_MM) ** 2).sum(-1) < 1


def save(data: np.ndarray, name: str) -> None:
    """Write an array on the canvas, the same bytes each time."""
    image = nib.Nifti1Image(data.astype(np.uint8), canvas_affine())
    image.set_sform(canvas_affine(), 1)
    image.set_qform(canvas_affine(), 1)
    image.header.set_xyzt_units("mm")
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0, filename="") as stream:
        stream.write(image.to_bytes())
    (TARGET / name).write_bytes(packed.getvalue())


def main() -> None:
    """Write the template below TARGET."""
    head = clear_air(straighten(read_mean(Path(sys.argv[1]))))
    TARGET.mkdir(parents=True, exist_ok=True)
    stem = "tpl-WholeHead_res-02"
    save(head, f"{stem}_T1w.nii.gz")
    save(brain_mask(head), f"{stem}_desc-brain_mask.nii.gz")
    save(face_mask(), f"{stem}_desc-face_mask.nii.gz")
    save(ears_mask(), f"{stem}_desc-ears_mask.nii.gz")
    description = {
        "Authors": [
            "Poldrack Lab (the whole-head mean)",
            "The bidsdeface developers (straightening, masks)",
        ],
        "BIDSVersion": "1.10.0",
        "HowToAcknowledge": "Cite pydeface, https://doi.org/10.5281/zenodo.3524400, and bidsdeface.",
        "Identifier": "WholeHead",
        "License": "MIT",
        "Name": "Whole-head T1w average with neck and chin, and face, ears and brain masks",
        "RRID": "",
        "ReferencesAndLinks": [
            "https://github.com/poldracklab/pydeface",
            "https://github.com/wwu-mmll/deepbet",
        ],
        "TemplateFlowVersion": "1.0.0",
        "res": {
            "02": {
                "origin": list(CANVAS_ORIGIN_MM),
                "shape": list(CANVAS_SHAPE),
                "zooms": [SPACING_MM] * 3,
            }
        },
    }
    (TARGET / "template_description.json").write_text(json.dumps(description, indent=4) + "\n")


if __name__ == "__main__":
    main()
