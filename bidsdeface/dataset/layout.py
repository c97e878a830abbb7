"""Where the results of a scan go in the output dataset. Names only, no files."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from bidsdeface.dataset.scan import Scan, join_name
from bidsdeface.settings import BIDS, DERIVATIVES

# What a derivative ``defacemask`` may keep of its scan's name (BIDS 1.11, anat_defacemask), in the
# order of BIDS. An echo, inversion, part or flip-angle set therefore shares one mask.
_BEFORE_MOD = ("sub", "ses", "task", "acq", "ce", "rec", "run")
_AFTER_MOD = ("chunk",)


@dataclass(frozen=True)
class Outputs:
    """Files that one scan leaves, relative to the root of the output dataset.

    In the order in which they are published: the image's sidecar vouches for all the others, and the image
    is without it for the shortest time. A complete dataset has no place for the figure.
    """

    mask: PurePosixPath
    mask_sidecar: PurePosixPath
    figure: PurePosixPath | None
    image: PurePosixPath
    image_sidecar: PurePosixPath

    @property
    def files(self) -> tuple[PurePosixPath, ...]:
        """All that is published, in order."""
        return tuple(name for name in vars(self).values() if name)


@dataclass(frozen=True)
class NoFaceOutputs:
    """Files that a scan leaves which shows no face, in the order in which they are published."""

    figure: PurePosixPath | None
    image: PurePosixPath
    image_sidecar: PurePosixPath

    @property
    def files(self) -> tuple[PurePosixPath, ...]:
        """All that is published, in order."""
        return tuple(name for name in vars(self).values() if name)


def outputs_of(scan: Scan, layout: str = DERIVATIVES) -> Outputs:
    """Name the defaced image, its face mask and their sidecars.

    Parameters
    ----------
    scan : Scan
        The raw scan.
    layout : str, optional
        One of `bidsdeface.settings.LAYOUTS`.

    Returns
    -------
    Outputs
        Images are always ``.nii.gz``, but for those that keep their own name.

    Examples
    --------
    >>> from pathlib import Path
    >>> scan = Scan(Path("sub-01_echo-2_T1w.nii"), (("sub", "01"), ("echo", "2")), "T1w", ".nii")
    >>> str(outputs_of(scan).image)
    'sub-01/anat/sub-01_echo-2_desc-defaced_T1w.nii.gz'
    >>> str(outputs_of(scan).mask)
    'sub-01/anat/sub-01_mod-T1w_desc-face_defacemask.nii.gz'
    >>> str(outputs_of(scan, "bids").image), str(outputs_of(scan, "bids").mask)
    ('sub-01/anat/sub-01_echo-2_T1w.nii', 'sub-01/anat/sub-01_mod-T1w_defacemask.nii.gz')
    """
    labels = dict(scan.entities)
    mask_entities = (
        *((key, labels[key]) for key in _BEFORE_MOD if key in labels),
        ("mod", scan.suffix),
        *((key, labels[key]) for key in _AFTER_MOD if key in labels),
        *((("desc", "face"),) if layout == DERIVATIVES else ()),
    )
    mask = join_name(mask_entities, "defacemask")
    return Outputs(
        scan.folder / f"{mask}.nii.gz",
        scan.folder / f"{mask}.json",
        *_image_files(scan, "defaced", layout),
    )


def no_face_outputs_of(scan: Scan, layout: str = DERIVATIVES) -> NoFaceOutputs:
    """Name the copy of an image that shows no face, and its sidecar.

    Examples
    --------
    >>> from pathlib import Path
    >>> scan = Scan(Path("sub-01_T1w.nii"), (("sub", "01"),), "T1w", ".nii")
    >>> str(no_face_outputs_of(scan).image)
    'sub-01/anat/sub-01_desc-noface_T1w.nii.gz'
    """
    return NoFaceOutputs(*_image_files(scan, "noface", layout))


def figure_name(scan: Scan, desc: str) -> str:
    """Name the picture of a defaced scan, or of one that shows no face."""
    return f"{join_name((*scan.entities, ('desc', desc)), scan.suffix)}.png"


def _image_files(
    scan: Scan, desc: str, layout: str
) -> tuple[PurePosixPath | None, PurePosixPath, PurePosixPath]:
    """Name figure, image and sidecar."""
    if layout == BIDS:
        return None, scan.folder / f"{scan.stem}{scan.extension}", scan.folder / f"{scan.stem}.json"
    figure = figure_name(scan, desc)
    image = figure.removesuffix(".png")
    return (
        PurePosixPath(f"sub-{scan.subject}", "figures", figure),
        scan.folder / f"{image}.nii.gz",
        scan.folder / f"{image}.json",
    )
