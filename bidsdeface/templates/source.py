"""Where templates come from: the embedded TemplateFlow root, TemplateFlow itself, or a folder."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from bidsdeface.errors import ImageError, TemplateError, raise_first
from bidsdeface.imaging.average import AverageFace
from bidsdeface.imaging.image import canonical, read_image
from bidsdeface.imaging.volume import BRIGHT_PERCENTILE, Volume, in_blocks, voxel_places
from bidsdeface.templates.template import Template, make_template

if TYPE_CHECKING:
    from templateflow.client import TemplateFlowClient

WHOLE_HEAD = "WholeHead"
SKIN_UNIT_MM = 0.25  # of the stored distances to the average skin
EMBEDDED_ROOT = Path(__file__).parent / "data"
_STEM = EMBEDDED_ROOT / f"tpl-{WHOLE_HEAD}" / f"tpl-{WHOLE_HEAD}_res-02"
AVERAGE = Path(f"{_STEM}_T1w.nii.gz")  # nobody's head
# Far enough past any template's own field of view to cover the face of a head with a neck.
EXTEND_FRONT_MM = 80.0
EXTEND_BELOW_MM = 140.0


@dataclass(frozen=True)
class Parts:
    """The parts of a template from elsewhere, on one grid that reaches beyond any face.

    Attributes
    ----------
    name : str
    head : Volume
        Intensities from 0 to 1.
    brain : numpy.ndarray, shape of `head`, bool
    regions : dict of str to numpy.ndarray
        Its own masks of what can be defaced; empty if it has none.
    """

    name: str
    head: Volume
    brain: NDArray[np.bool_]
    regions: dict[str, NDArray[np.bool_]]


def find_template(given: str) -> Parts:
    """Return a template from TemplateFlow, fetched if necessary, or from a folder.

    Parameters
    ----------
    given : str
        A name of TemplateFlow, with its cohort if it has cohorts (``MNIPediatricAsym:cohort-3``); or a folder
        that holds ``*_T1w.nii.gz``, ``*_desc-brain_mask.nii.gz`` and, if it has one,
        ``*_desc-face_mask.nii.gz``, all on one grid.

    Raises
    ------
    TemplateError
        The template, its T1w or its brain mask is missing, or they do not share a grid.
    """
    return _from_folder(Path(given)) if Path(given).is_dir() else _from_templateflow(given)


def check_template(given: str) -> None:
    """Check that there is a template of this name, or this folder. Nothing is fetched.

    Raises
    ------
    TemplateError
        There is none, or the name is ambiguous.
    """
    if not Path(given).is_dir():
        _heads_in_templateflow(given)


def lend_region(region_mm: Volume, to_lender: NDArray, parts: Parts) -> NDArray[np.bool_]:
    """Return the mask of a region for a template that has none, from a template that has one.

    Parameters
    ----------
    region_mm : Volume
        Signed distance in the template that lends, mm, negative inside.
    to_lender : numpy.ndarray, shape (4, 4)
        World of `parts` to world of the lender.
    parts : Parts

    Returns
    -------
    numpy.ndarray, shape of the head, bool
    """
    places = voxel_places(parts.brain.shape, to_lender @ parts.head.affine)
    return (region_mm.at(places, np.inf) < 0) & ~parts.brain


def whole_head(regions: Sequence[str] = ("face",)) -> Template:
    """Return the embedded template: a whole-head average with neck and chin."""
    t1w, affine = _read(WHOLE_HEAD, AVERAGE)
    masks = {
        desc: _read(WHOLE_HEAD, Path(f"{_STEM}_desc-{desc}_mask.nii.gz"))[0] > 0
        for desc in ("brain", *regions)
    }
    # The canvas is larger than the average's own field of view, which ends at the neck.
    planes = np.flatnonzero(t1w.any(axis=(0, 1)))
    seen = np.zeros(t1w.shape, np.float32)
    seen[:, :, planes[0] + 1 :] = 1
    head = Volume((t1w / t1w.max()).astype(np.float32), affine, seen)
    return make_template(WHOLE_HEAD, head, masks.pop("brain"), masks)


def average_face() -> AverageFace:
    """Return the average face on WholeHead, with which a person's is replaced."""
    parts = {
        name: _read(WHOLE_HEAD, Path(f"{_STEM}_desc-{name}.nii.gz"))
        for name in ("skin_dist", "face_T1w", "eye_mask")
    }
    scales = (SKIN_UNIT_MM, 1 / 255, 1.0)
    skin, t1w, eyes = (
        Volume(data * np.float32(scale), affine, np.ones(data.shape, np.float32))
        for (data, affine), scale in zip(parts.values(), scales, strict=True)
    )
    head = whole_head(("face", "ears"))
    return AverageFace(skin, t1w, eyes, head.brain_mm, head.regions_mm["ears"])


def _from_folder(folder: Path) -> Parts:
    paths: dict[str, Path] = {}
    for part, ending in (("T1w", "T1w"), ("brain", "_desc-brain_mask"), ("face", "_desc-face_mask")):
        found = [path for path in folder.glob(f"*{ending}.nii*") if part != "T1w" or "desc-" not in path.name]
        raise_first(
            {
                f"template {folder}: {len(found)} files are named *{ending}.nii*; leave one there": (
                    len(found) > 1
                ),
                f"template {folder}: holds no *{ending}.nii.gz; put it there": not found and part != "face",
            },
            TemplateError,
        )
        if found:
            paths[part] = found[0]
    return _parts(folder.name, paths)


def _from_templateflow(given: str) -> Parts:
    client, name, entities, heads = _heads_in_templateflow(given)
    masks = partial(client.ls, name, suffix="mask", label=None, extension=".nii.gz", **entities)
    face = masks(desc="face")
    resolution = _coarsest(face or heads)
    path = partial(_file, client, given, name, resolution=resolution, **entities)
    paths = {"T1w": path(desc=None, suffix="T1w"), "brain": path(desc="brain", suffix="mask", label=None)}
    if face:
        paths["face"] = path(desc="face", suffix="mask", label=None)
    return _parts(given, paths)


def _heads_in_templateflow(given: str) -> tuple["TemplateFlowClient", str, dict[str, str], list[Path]]:
    """Return the client, the template's name, the entities in `given`, and the T1w images that match."""
    name, *modifiers = given.split(":")
    entities = {key: label for key, _, label in (part.partition("-") for part in modifiers)}
    raise_first(
        {
            f"template {given}: no such folder; {_ways_out('NAME')}": os.sep in given,
            f"template {given}: is not written NAME or NAME:cohort-N, such as MNIPediatricAsym:cohort-3": (
                not set(entities) <= {"cohort"} or not all(entities.values())
            ),
        },
        TemplateError,
    )
    client = _client()
    heads = client.ls(name, suffix="T1w", desc=None, extension=".nii.gz", **entities)
    cohorts = sorted({match[1] for path in heads if (match := re.search(r"_cohort-(\w+?)_", path.name))})
    raise_first(
        {
            f"template {given}: is not in TemplateFlow ({client.cache.config.root}); {_ways_out(name)}": (
                not heads and not client.ls(name)
            ),
            f"template {given}: TemplateFlow has no T1w image of it; choose another": not heads,
            f"template {given}: has cohorts {', '.join(cohorts)}; write {name}:cohort-…": len(cohorts) > 1,
        },
        TemplateError,
    )
    return client, name, entities, heads


def _parts(name: str, paths: dict[str, Path]) -> Parts:
    """Read the T1w, and the masks of the brain and, if it has one, of the face."""
    t1w, affine = in_blocks(*_read(name, paths.pop("T1w")))
    spacing = voxel_sizes(affine)
    below = int(EXTEND_BELOW_MM / spacing[2])
    pads = ((0, 0), (0, int(EXTEND_FRONT_MM / spacing[1])), (below, 0))
    regions = {}
    for region, path in paths.items():
        mask, mask_affine = in_blocks(*_read(name, path))
        if mask.shape != t1w.shape or not np.allclose(mask_affine, affine, atol=1e-4):
            raise TemplateError(
                f"template {name}: its T1w, brain and face mask do not share a grid; choose another template"
            )
        # The face goes on beyond what the template shows of it.
        regions[region] = np.pad(mask > 0.5, pads, mode="edge" if region == "face" else "constant")
    bright = np.percentile(t1w[t1w > 0], BRIGHT_PERCENTILE)
    head = np.clip(t1w / bright, 0, 1).astype(np.float32)
    extended = affine.copy()
    extended[:3, 3] -= affine[:3, :3] @ [0, 0, below]
    seen = np.pad(np.ones(head.shape, np.float32), pads)
    # Some templates end in empty planes below the head: nothing was seen there.
    seen[:, :, : below + int(np.flatnonzero(head.any(axis=(0, 1)))[0])] = 0
    brain = regions.pop("brain")
    return Parts(name, Volume(np.pad(head, pads), extended, seen), brain, regions)


def _client() -> "TemplateFlowClient":
    try:
        from templateflow.client import TemplateFlowClient  # writes to its folder, as the next lines do

        client = TemplateFlowClient()
        client.cache.ensure()
        return client
    except OSError as error:
        raise TemplateError(
            f"TemplateFlow's folder cannot be used ({error}); set TEMPLATEFLOW_HOME to one that can be used"
        ) from error


def _coarsest(paths: Sequence[Path]) -> str | None:
    """Return the label of the coarsest resolution, of files fetched already if there are any, or None."""
    here = [path for path in paths if path.is_file() and path.stat().st_size]
    labels = [match[1] for path in here or paths if (match := re.search(r"_res-(\w+?)_", path.name))]
    return max(labels, default=None)


def _file(client: "TemplateFlowClient", given: str, name: str, **query: object) -> Path:
    wanted = " ".join(f"{key}={value}" for key, value in query.items() if value is not None)
    listed = client.ls(name, extension=".nii.gz", **query)
    empty = [path for path in listed if path.is_file() and path.stat().st_size == 0]
    try:
        found = client.get(name, extension=".nii.gz", **query)
    except Exception as error:  # the client raises whatever its transport raises
        for path in empty:
            os.truncate(path, 0)  # the next run would take half a file for a whole one
        raise TemplateError(
            f"template {given}: {wanted} cannot be fetched ({error}); {_ways_out(name)}"
        ) from error
    if not isinstance(found, Path):
        raise TemplateError(f"template {given}: {len(found)} files for {wanted}, not one; {_ways_out(name)}")
    return found


def _read(name: str, path: Path) -> tuple[NDArray, NDArray]:
    try:
        image = read_image(path)
    except ImageError as error:
        raise TemplateError(
            f"template {name}: {error}; if it was fetched, remove it to have it fetched again"
        ) from error
    return canonical(image.stored, image.affine)


def _ways_out(name: str) -> str:
    return f"run `templateflow get {name}` where there is a network, or use --template {WHOLE_HEAD}"
