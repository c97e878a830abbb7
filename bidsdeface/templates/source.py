"""Where templates come from: the embedded TemplateFlow root, or TemplateFlow itself."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bidsdeface.errors import TemplateError
from bidsdeface.imaging.image import canonical, read_image
from bidsdeface.imaging.volume import BRIGHT_PERCENTILE, Volume, in_blocks
from bidsdeface.templates.template import Template, make_template

if TYPE_CHECKING:
    from templateflow.client import TemplateFlowClient

WHOLE_HEAD = "WholeHead"
EMBEDDED_ROOT = Path(__file__).parent / "data"
# Far enough past any template's own field of view to cover the face of a head with a neck.
EXTEND_FRONT_MM = 80.0
EXTEND_BELOW_MM = 140.0


def load_template(name: str, regions: Sequence[str]) -> Template:
    """Return a template by name, from the package or from TemplateFlow.

    Parameters
    ----------
    name : str
        ``WholeHead``, or a TemplateFlow template with a face mask, such as ``MNI152NLin2009cAsym``.
    regions : sequence of str
        What is to be defaced: ``face``, ``ears``.

    Raises
    ------
    TemplateError
        The template, or its T1w, face or brain mask, cannot be had; or its masks are not what they say.
    """
    if name == WHOLE_HEAD:
        return whole_head(regions)
    if tuple(regions) != ("face",):
        raise TemplateError(
            f"template {name}: has a mask of the face only; for ears use --template {WHOLE_HEAD}"
        )
    return _from_templateflow(name)


def whole_head(regions: Sequence[str] = ("face",)) -> Template:
    """Return the embedded template: a whole-head average with neck and chin."""
    client = _client(EMBEDDED_ROOT, autoupdate=False)
    path = partial(_file, client, WHOLE_HEAD, resolution="02")
    t1w, affine = _read(path(suffix="T1w"))
    masks = {desc: _read(path(desc=desc, suffix="mask"))[0] > 0 for desc in ("brain", *regions)}
    # The canvas is larger than the average's own field of view, which ends at the neck.
    planes = np.flatnonzero(t1w.any(axis=(0, 1)))
    seen = np.zeros(t1w.shape, np.float32)
    seen[:, :, planes[0] + 1 :] = 1
    head = Volume((t1w / t1w.max()).astype(np.float32), affine, seen)
    return make_template(WHOLE_HEAD, head, masks.pop("brain"), masks)


def _from_templateflow(name: str) -> Template:
    client = _client(Path(os.environ["TEMPLATEFLOW_HOME"]) if os.environ.get("TEMPLATEFLOW_HOME") else None)
    resolution = _resolution(client, name)
    path = partial(_file, client, name, resolution=resolution)
    t1w, affine = in_blocks(*_read(path(desc=None, suffix="T1w")))
    brain, brain_affine = in_blocks(*_read(path(desc="brain", suffix="mask", label=None)))
    face, face_affine = in_blocks(*_read(path(desc="face", suffix="mask", label=None)))
    if not (
        t1w.shape == brain.shape == face.shape
        and np.allclose(affine, brain_affine)
        and np.allclose(affine, face_affine)
    ):
        raise TemplateError(
            f"template {name}: its T1w, brain and face mask do not share a grid; choose another template"
        )
    bright = np.percentile(t1w[t1w > 0], BRIGHT_PERCENTILE)
    head = np.clip(t1w / bright, 0, 1).astype(np.float32)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    front, below = int(EXTEND_FRONT_MM / spacing[1]), int(EXTEND_BELOW_MM / spacing[2])
    pad = ((0, 0), (0, front), (below, 0))
    extended = affine.copy()
    extended[:3, 3] -= affine[:3, :3] @ [0, 0, below]
    seen = np.pad(np.ones(head.shape, np.float32), pad)
    # Some templates end in empty planes below the head: nothing was seen there.
    seen[:, :, : below + int(np.flatnonzero(head.any(axis=(0, 1)))[0])] = 0
    volume = Volume(np.pad(head, pad), extended, seen)
    return make_template(
        name, volume, np.pad(brain > 0.5, pad), {"face": np.pad(face > 0.5, pad, mode="edge")}
    )


def _client(root: Path | None, autoupdate: bool | None = None) -> TemplateFlowClient:
    # Importing templateflow makes a skeleton of the archive below TEMPLATEFLOW_HOME, else below HOME, and
    # fails where it cannot: give it a root that is there, and say that it shall leave it alone.
    before = {key: os.environ.get(key) for key in ("TEMPLATEFLOW_HOME", "TEMPLATEFLOW_AUTOUPDATE")}
    if root is not None:
        os.environ.update(TEMPLATEFLOW_HOME=str(root), TEMPLATEFLOW_AUTOUPDATE="off")
    try:
        from templateflow.client import TemplateFlowClient

        client = TemplateFlowClient(root=root, **({} if autoupdate is None else {"autoupdate": autoupdate}))
        client.cache.ensure()
        return client
    except OSError as error:
        raise TemplateError(
            f"TemplateFlow's folder cannot be used ({error}); set TEMPLATEFLOW_HOME to one that can"
        ) from error
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def _resolution(client: TemplateFlowClient, name: str) -> str:
    """Return the label of a resolution with a face mask: one that is here, and of those the coarsest."""
    found = client.ls(name, desc="face", suffix="mask", extension=".nii.gz")
    here = [path for path in found if path.is_file() and path.stat().st_size]
    labels = [match[1] for path in here or found if (match := re.search(r"_res-(\w+?)_", path.name))]
    if not labels:
        known = bool(client.ls(name))
        raise TemplateError(
            f"template {name}: has no face mask; choose one that has, such as MNI152NLin2009cAsym"
            if known
            else f"template {name}: is not in TemplateFlow ({client.cache.config.root}); {_ways_out(name)}"
        )
    return max(labels)


def _file(client: TemplateFlowClient, name: str, **query: object) -> Path:
    wanted = " ".join(f"{key}={value}" for key, value in query.items() if value is not None)
    try:
        found = client.get(name, extension=".nii.gz", **query)
    except Exception as error:  # the client raises whatever its transport raises
        raise TemplateError(
            f"template {name}: {wanted} cannot be fetched ({error}); {_ways_out(name)}"
        ) from error
    if not isinstance(found, Path):
        raise TemplateError(f"template {name}: {len(found)} files for {wanted}, not one; {_ways_out(name)}")
    return found


def _read(path: Path) -> tuple[NDArray, NDArray]:
    image = read_image(path)
    return canonical(image.stored, image.affine)


def _ways_out(name: str) -> str:
    return f"run `templateflow get {name}` where there is a network, or use --template {WHOLE_HEAD}"
