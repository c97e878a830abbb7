"""The scan's own brain, by its intensities: none of it may be in the mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.registration import Registration
from bidsdeface.imaging.volume import Volume, apply_affine, interpolate

SPACING_MM = 3.0  # fine enough
CORE_MM = 8.0  # so deep in the registered brain there is brain, even where registration is off by that
REACH_MM = 20.0  # how far outside of the registered brain to look for more
NECK_MM = 8.0  # radius of a ball that fits through brain, but not from brain to muscle and back
TYPICAL_PERCENTILES = (8.0, 50.0, 99.0)
DARKER = 0.5  # than their median, there is a lesion or fluid, however much of the core that is
BRIGHTER = 1.05  # than that percentile, brain may still be: coils are not even


def own_brain(scan: Volume, registration: Registration, brain_mm: Volume) -> NDArray[np.bool_]:
    """Return what is brain for sure: as bright as its core, in one piece, and wide.

    It starts from where registration has the middle of the brain, and goes where intensities lead: where
    registration is off, it grows out of the registered brain. It leaves out some cortex, and next to
    nothing that is no brain (docs/calibration.md).

    Parameters
    ----------
    scan : Volume
        On a grid of `SPACING_MM`.
    registration : Registration
    brain_mm : Volume
        Signed distance to the template's brain, negative inside, mm.

    Returns
    -------
    numpy.ndarray, shape of `scan`, bool
    """
    brain = np.zeros(scan.data.shape, bool)
    box = _around(scan, registration, brain_mm)
    voxels = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), -1)
    points = apply_affine(scan.affine, voxels)
    distance = interpolate(brain_mm.data, brain_mm.affine, registration.warped_to_template(points), np.inf)
    values = scan.data[box]
    core = distance < -CORE_MM
    if not core.any():
        return brain
    dark, middle, bright = np.percentile(values[core], TYPICAL_PERCENTILES)
    alike = (values > max(dark, DARKER * middle)) & (values < BRIGHTER * bright) & (distance < REACH_MM)
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
    pieces, count = ndimage.label(ndimage.distance_transform_edt(alike, spacing) > NECK_MM)
    in_core = np.bincount(pieces[core], minlength=count + 1)[1:]
    if in_core.any():
        piece = pieces == in_core.argmax() + 1
        brain[box] = (ndimage.distance_transform_edt(~piece, spacing) <= NECK_MM) & alike
    return brain


def _around(scan: Volume, registration: Registration, brain_mm: Volume) -> tuple[slice, slice, slice]:
    """Return the box of voxels around the registered brain."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in brain_mm.data.shape])).reshape(3, -1).T
    to_scan = np.linalg.inv(registration.to_template @ scan.affine) @ brain_mm.affine
    voxels = apply_affine(to_scan, corners)
    low = np.clip(np.floor(voxels.min(axis=0)).astype(int), 0, np.array(scan.data.shape) - 1)
    high = np.clip(np.ceil(voxels.max(axis=0)).astype(int) + 1, low + 1, scan.data.shape)
    x, y, z = (slice(a, b) for a, b in zip(low, high, strict=True))
    return x, y, z
