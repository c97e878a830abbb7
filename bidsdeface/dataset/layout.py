"""Where the results of a scan go in the output dataset. Names only, no files."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from bidsdeface.dataset.kinds import ANATOMICAL, DATATYPES, OF_A_SET
from bidsdeface.dataset.names import Scan, join_name
from bidsdeface.settings import BIDS, DERIVATIVES

# What a derivative ``defacemask`` may keep of its scan's name (BIDS 1.11, anat_defacemask), in the
# order of BIDS. An echo, inversion, part or flip-angle set therefore shares one mask.
_BEFORE_MOD = ("sub", "ses", "task", "acq", "ce", "rec", "run")
_AFTER_MOD = ("chunk",)
# Outside of anat, BIDS has no name for such a mask, so ours keeps all that tells series apart, such as the
# phase-encoding direction; these files are in .bidsignore.
IGNORED_MASKS = "".join(f"**/{name}/*_defacemask.*\n" for name in DATATYPES if name != ANATOMICAL)


@dataclass(frozen=True)
class Outputs:
    """Files that one scan leaves, relative to the root of the output dataset.

    In the order in which they are published: the image's sidecar vouches for all the others, and the image
    is without it for the shortest time. A complete dataset has no place for the figure, and its gradients
    are carried over by themselves.
    """

    mask: PurePosixPath
    mask_sidecar: PurePosixPath
    bval: PurePosixPath | None
    bvec: PurePosixPath | None
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

    bval: PurePosixPath | None
    bvec: PurePosixPath | None
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
    if scan.datatype == ANATOMICAL:
        labels = dict(scan.entities)
        before, after = (
            tuple((key, labels[key]) for key in keys if key in labels) for keys in (_BEFORE_MOD, _AFTER_MOD)
        )
    else:
        before, after = tuple(pair for pair in scan.entities if pair[0] not in OF_A_SET), ()
    mask_entities = (
        *before,
        ("mod", scan.suffix),
        *after,
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
) -> tuple[PurePosixPath | None, PurePosixPath | None, PurePosixPath | None, PurePosixPath, PurePosixPath]:
    """Name gradients, figure, image and sidecar."""
    if layout == BIDS:
        own = scan.folder / f"{scan.stem}{scan.extension}"
        return None, None, None, own, scan.folder / f"{scan.stem}.json"
    figure = figure_name(scan, desc)
    image = figure.removesuffix(".png")
    is_dwi = (scan.datatype, scan.suffix) == ("dwi", "dwi")
    return (
        scan.folder / f"{scan.stem}.bval" if is_dwi else None,  # BIDS has no desc for these: inherited
        scan.folder / f"{scan.stem}.bvec" if is_dwi else None,
        PurePosixPath(f"sub-{scan.subject}", "figures", figure),
        scan.folder / f"{image}.nii.gz",
        scan.folder / f"{image}.json",
    )
