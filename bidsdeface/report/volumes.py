"""The volumes of a scan as the private page shows them: before and after, and the mask, in a script."""

import base64
import gzip
import json
from dataclasses import replace

import numpy as np
from nibabel import Nifti1Image
from numpy.typing import NDArray
from scipy import ndimage

from bidsdeface.imaging.image import Image, canonical
from bidsdeface.imaging.volume import Volume, in_blocks, world_aligned

VOXEL_MM = 2.0  # enough to see a nose
WINDOW = (1.0, 99.5)  # percentiles of the scan as it came


def script_of(image: Image, after: NDArray | None, mask: NDArray | None) -> str:
    """Return a script that gives the page a scan, and the outline of its mask: browsers read no other files.

    Parameters
    ----------
    image : Image
        As it came.
    after : numpy.ndarray or None
        The stored values of the defaced image.
    mask : numpy.ndarray of bool or None
        On the image's grid.

    Returns
    -------
    str
        It calls ``giveVolumes`` with one or two gzipped NIfTI images: of 8 bits, in grey, the scan before and
        after; and the outline of the mask.
    """
    frames = [_coarse(image, image.stored), *([_coarse(image, after)] if after is not None else [])]
    dark, bright = np.percentile(frames[0].data, WINDOW)
    grey = [np.clip((one.data - dark) / max(float(bright - dark), 1e-6), 0, 1) * 255 for one in frames]
    images = [Nifti1Image(np.stack(grey, -1).astype(np.uint8), frames[0].affine)]
    if mask is not None:
        share = in_blocks(*canonical(mask.astype(np.float32), image.affine))
        inside = _aligned(*share).data > 0.5
        images.append(
            Nifti1Image((inside & ~ndimage.binary_erosion(inside)).astype(np.uint8), frames[0].affine)
        )
    texts = [base64.b64encode(gzip.compress(one.to_bytes(), 6, mtime=0)).decode() for one in images]
    return f"giveVolumes({json.dumps(texts)});\n"


def _coarse(image: Image, stored: NDArray) -> Volume:
    """Return the first volume of an image on the grid of the page."""
    values, affine = in_blocks(*canonical(replace(image, stored=stored).volumes[..., 0], image.affine))
    return _aligned(np.nan_to_num(image.scaled(values)), affine)


def _aligned(values: NDArray, affine: NDArray) -> Volume:
    return world_aligned(Volume(values, affine, np.ones_like(values)), VOXEL_MM)
