"""Where the results of a scan go in the derivative dataset. Names only, no files."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from bidsdeface.dataset.scan import Scan, join_name

# What a derivative ``defacemask`` may keep of its scan's name (BIDS 1.11, anat_defacemask), in the
# order of BIDS. An echo, inversion, part or flip-angle set therefore shares one mask.
_BEFORE_MOD = ("sub", "ses", "task", "acq", "ce", "rec", "run")
_AFTER_MOD = ("chunk",)


@dataclass(frozen=True)
class Outputs:
    """Files that one scan leaves, relative to the root of the derivative dataset.

    In the order in which they are published: the image's sidecar vouches for all the others, and the image
    is without it for the shortest time.
    """

    mask: PurePosixPath
    mask_sidecar: PurePosixPath
    figure: PurePosixPath
    image: PurePosixPath
    image_sidecar: PurePosixPath


@dataclass(frozen=True)
class NoFaceOutputs:
    """Files that a scan leaves which shows no face, in the order in which they are published."""

    figure: PurePosixPath
    image: PurePosixPath
    image_sidecar: PurePosixPath


def outputs_of(scan: Scan) -> Outputs:
    """Name the defaced image, its face mask and their sidecars.

    Parameters
    ----------
    scan : Scan
        The raw scan.

    Returns
    -------
    Outputs
        Images are always ``.nii.gz``.

    Examples
    --------
    >>> from pathlib import Path
    >>> scan = Scan(Path("sub-01_echo-2_T1w.nii"), (("sub", "01"), ("echo", "2")), "T1w", ".nii")
    >>> str(outputs_of(scan).image)
    'sub-01/anat/sub-01_echo-2_desc-defaced_T1w.nii.gz'
    >>> str(outputs_of(scan).mask)
    'sub-01/anat/sub-01_mod-T1w_desc-face_defacemask.nii.gz'
    """
    labels = dict(scan.entities)
    mask_entities = (
        *((key, labels[key]) for key in _BEFORE_MOD if key in labels),
        ("mod", scan.suffix),
        *((key, labels[key]) for key in _AFTER_MOD if key in labels),
        ("desc", "face"),
    )
    mask = join_name(mask_entities, "defacemask")
    return Outputs(
        mask=scan.folder / f"{mask}.nii.gz",
        mask_sidecar=scan.folder / f"{mask}.json",
        **_image_files(scan, "defaced"),
    )


def no_face_outputs_of(scan: Scan) -> NoFaceOutputs:
    """Name the copy of an image that shows no face, and its sidecar.

    Examples
    --------
    >>> from pathlib import Path
    >>> scan = Scan(Path("sub-01_T1w.nii"), (("sub", "01"),), "T1w", ".nii")
    >>> str(no_face_outputs_of(scan).image)
    'sub-01/anat/sub-01_desc-noface_T1w.nii.gz'
    """
    return NoFaceOutputs(**_image_files(scan, "noface"))


def _image_files(scan: Scan, desc: str) -> dict[str, PurePosixPath]:
    image = join_name((*scan.entities, ("desc", desc)), scan.suffix)
    return {
        "figure": PurePosixPath(f"sub-{scan.subject}", "figures", f"{image}.png"),
        "image": scan.folder / f"{image}.nii.gz",
        "image_sidecar": scan.folder / f"{image}.json",
    }
