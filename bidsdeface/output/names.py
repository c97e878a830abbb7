"""Names of the output files of a scan. No file is opened."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from bidsdeface.dataset.files import EXTENSIONS
from bidsdeface.dataset.kinds import ANATOMICAL, DATATYPES, OF_A_SET
from bidsdeface.dataset.names import Scan, join_name, scan_at, stem_of

DERIVATIVES, BIDS = LAYOUTS = ("derivatives", "bids")

# What a derivative ``defacemask`` may keep of its scan's name (BIDS 1.11, anat_defacemask), in the
# order of BIDS. An echo, inversion, part or flip-angle set therefore shares one mask.
_BEFORE_MOD = ("sub", "ses", "task", "acq", "ce", "rec", "run")
_AFTER_MOD = ("chunk",)
# Outside of anat, BIDS has no name for such a mask, so ours keeps all that tells series apart, such as the
# phase-encoding direction; these files are in .bidsignore.
IGNORED_MASKS = "".join(f"**/{name}/*_defacemask.*\n" for name in DATATYPES if name != ANATOMICAL)


_Path = TypeVar("_Path", bound=PurePath)
# The image's sidecar vouches for all the others, and the image is without it for the shortest time.
PUBLICATION_ORDER = ("mask", "mask_sidecar", "bval", "bvec", "figure", "image", "image_sidecar")
FIGURES = "figures"  # folder of pictures, of a participant or in the work dir


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Names of the files of one published scan, relative to the root of the output dataset.

    Attributes
    ----------
    image, image_sidecar : PurePosixPath
    mask, mask_sidecar : PurePosixPath, optional
        Of a defaced scan.
    bval, bvec : PurePosixPath, optional
        Of a diffusion series in a derivative dataset; a complete dataset carries them over by themselves.
    figure : PurePosixPath, optional
        A complete dataset has no place for it.
    """

    image: PurePosixPath
    image_sidecar: PurePosixPath
    mask: PurePosixPath | None
    mask_sidecar: PurePosixPath | None
    bval: PurePosixPath | None
    bvec: PurePosixPath | None
    figure: PurePosixPath | None

    @property
    def files(self) -> tuple[PurePosixPath, ...]:
        """All files, in the order of publication."""
        return tuple(filter(None, (getattr(self, field) for field in PUBLICATION_ORDER)))


def outputs_of(scan: Scan, layout: str = DERIVATIVES, *, no_face: bool = False) -> Outputs:
    """Name the files of a published scan.

    Parameters
    ----------
    scan : Scan
        The raw scan.
    layout : str, optional
        One of `LAYOUTS`.
    no_face : bool, optional
        Whether the scan shows no face, so that it is published without a mask.

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
    >>> str(outputs_of(scan, no_face=True).image)
    'sub-01/anat/sub-01_echo-2_desc-noface_T1w.nii.gz'
    """
    is_derivative = layout == DERIVATIVES
    has_gradients = is_derivative and (scan.datatype, scan.suffix) == ("dwi", "dwi")
    figure = PurePosixPath(f"sub-{scan.subject}", FIGURES, figure_name(scan, no_face=no_face))
    image = scan.folder / (f"{figure.stem}.nii.gz" if is_derivative else f"{scan.stem}{scan.extension}")
    mask = None if no_face else mask_of(scan, layout)
    return Outputs(
        image=image,
        image_sidecar=sidecar_of(image),
        mask=mask,
        mask_sidecar=sidecar_of(mask) if mask else None,
        bval=scan.folder / f"{scan.stem}.bval" if has_gradients else None,  # without desc: it is inherited
        bvec=scan.folder / f"{scan.stem}.bvec" if has_gradients else None,
        figure=figure if is_derivative else None,
    )


def mask_of(scan: Scan, layout: str = DERIVATIVES) -> PurePosixPath:
    """Name the face mask of a scan, which all scans of its set share."""
    labels = dict(scan.entities)
    before, after = (
        [(key, labels[key]) for key in keys if key in labels] for keys in (_BEFORE_MOD, _AFTER_MOD)
    )
    if scan.datatype != ANATOMICAL:
        before, after = [pair for pair in scan.entities if pair[0] not in OF_A_SET], []
    desc = [("desc", "face")] if layout == DERIVATIVES else []
    stem = join_name([*before, ("mod", scan.suffix), *after, *desc], "defacemask")
    return scan.folder / f"{stem}.nii.gz"


def raw_and_mask_of(image: Path) -> tuple[Scan, Path]:
    """Return the raw scan that a published image is named after, and the path of its face mask.

    Raises
    ------
    BidsdefaceError
        The image does not have a BIDS name.
    """
    scan = scan_at(image)
    raw = replace(scan, entities=tuple(pair for pair in scan.entities if pair[0] != "desc"))
    layout = BIDS if raw.entities == scan.entities else DERIVATIVES
    return raw, image.with_name(mask_of(raw, layout).name)


def sidecar_of(image: _Path) -> _Path:
    """Name the sidecar of an image."""
    return image.with_name(f"{stem_of(image)}.json")


def image_of(sidecar: Path) -> Path | None:
    """Return the image that is beside its sidecar; None if there is none, as for an inherited one."""
    images = (sidecar.with_name(f"{sidecar.stem}{extension}") for extension in EXTENSIONS)
    return next((image for image in images if image.is_file()), None)


def figure_name(scan: Scan, *, no_face: bool = False) -> str:
    """Name the picture of a defaced scan, or of one that shows no face."""
    entities = (*scan.entities, ("desc", "noface" if no_face else "defaced"))
    return f"{join_name(entities, scan.suffix)}.png"
