"""Where the results of a scan go in the output dataset. Names only, no files."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from bidsdeface.dataset.kinds import ANATOMICAL, DATATYPES, OF_A_SET
from bidsdeface.dataset.names import Scan, join_name

DERIVATIVES, BIDS = LAYOUTS = ("derivatives", "bids")

# What a derivative ``defacemask`` may keep of its scan's name (BIDS 1.11, anat_defacemask), in the
# order of BIDS. An echo, inversion, part or flip-angle set therefore shares one mask.
_BEFORE_MOD = ("sub", "ses", "task", "acq", "ce", "rec", "run")
_AFTER_MOD = ("chunk",)
# Outside of anat, BIDS has no name for such a mask, so ours keeps all that tells series apart, such as the
# phase-encoding direction; these files are in .bidsignore.
IGNORED_MASKS = "".join(f"**/{name}/*_defacemask.*\n" for name in DATATYPES if name != ANATOMICAL)


@dataclass(frozen=True)
class ImageFiles:
    """Files that one scan leaves if nothing is removed from it, relative to the root of the output dataset.

    A complete dataset has no place for the figure, and its gradients are carried over by themselves.
    """

    bval: PurePosixPath | None
    bvec: PurePosixPath | None
    figure: PurePosixPath | None
    image: PurePosixPath
    image_sidecar: PurePosixPath

    @property
    def files(self) -> tuple[PurePosixPath, ...]:
        """All that is published, in order.

        The image's sidecar vouches for all the others, and the image is without it for the shortest time.
        """
        names = (self.bval, self.bvec, self.figure, self.image, self.image_sidecar)
        return tuple(name for name in names if name)


@dataclass(frozen=True)
class Outputs(ImageFiles):
    """Files that a defaced scan leaves."""

    mask: PurePosixPath
    mask_sidecar: PurePosixPath

    @property
    def files(self) -> tuple[PurePosixPath, ...]:
        """All that is published, in order."""
        return (self.mask, self.mask_sidecar, *super().files)


def outputs_of(scan: Scan, layout: str = DERIVATIVES) -> Outputs:
    """Name the defaced image, its face mask and their sidecars.

    Parameters
    ----------
    scan : Scan
        The raw scan.
    layout : str, optional
        One of `LAYOUTS`.

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
    before, after = (
        [(key, labels[key]) for key in keys if key in labels] for keys in (_BEFORE_MOD, _AFTER_MOD)
    )
    if scan.datatype != ANATOMICAL:
        before, after = [pair for pair in scan.entities if pair[0] not in OF_A_SET], []
    desc = [("desc", "face")] if layout == DERIVATIVES else []
    mask = scan.folder / join_name([*before, ("mod", scan.suffix), *after, *desc], "defacemask")
    return Outputs(
        **vars(_image_files(scan, "defaced", layout)),
        mask=mask.with_name(f"{mask.name}.nii.gz"),
        mask_sidecar=mask.with_name(f"{mask.name}.json"),
    )


def no_face_outputs_of(scan: Scan, layout: str = DERIVATIVES) -> ImageFiles:
    """Name the copy of an image that shows no face, and its sidecar.

    Examples
    --------
    >>> from pathlib import Path
    >>> scan = Scan(Path("sub-01_T1w.nii"), (("sub", "01"),), "T1w", ".nii")
    >>> str(no_face_outputs_of(scan).image)
    'sub-01/anat/sub-01_desc-noface_T1w.nii.gz'
    """
    return _image_files(scan, "noface", layout)


def figure_name(scan: Scan, desc: str) -> str:
    """Name the picture of a defaced scan, or of one that shows no face."""
    return f"{join_name((*scan.entities, ('desc', desc)), scan.suffix)}.png"


def _image_files(scan: Scan, desc: str, layout: str) -> ImageFiles:
    if layout == BIDS:
        image, sidecar = scan.folder / f"{scan.stem}{scan.extension}", scan.folder / f"{scan.stem}.json"
        return ImageFiles(None, None, None, image, sidecar)
    figure = figure_name(scan, desc)
    stem = figure.removesuffix(".png")
    is_dwi = (scan.datatype, scan.suffix) == ("dwi", "dwi")
    return ImageFiles(
        bval=scan.folder / f"{scan.stem}.bval" if is_dwi else None,  # BIDS has no desc for these: inherited
        bvec=scan.folder / f"{scan.stem}.bvec" if is_dwi else None,
        figure=PurePosixPath(f"sub-{scan.subject}", "figures", figure),
        image=scan.folder / f"{stem}.nii.gz",
        image_sidecar=scan.folder / f"{stem}.json",
    )
