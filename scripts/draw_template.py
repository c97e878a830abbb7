"""Draw the embedded template with its masks, ``docs/wholehead.png``, and the average face, in four slices.

    python scripts/draw_template.py

Both are averages of many heads, so this is nobody's face.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from bidsdeface.imaging.image import canonical, read_image
from bidsdeface.templates.source import EMBEDDED_ROOT, WHOLE_HEAD

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  (after the choice of a backend)

DOCS = Path(__file__).parents[1] / "docs"
COLOURS = {"face": "#ff5a4d", "brain": "#4db8ff", "ears": "#ffd84d"}
# Across which axis (0 is left to right), at which coordinate in mm, and what is to be seen there.
SLICES = (
    (0, 0.0, "middle, x = 0 mm"),
    (0, 34.0, "through an eye, x = 34 mm"),
    (2, -38.0, "through the eyes, z = −38 mm"),
    (1, -12.0, "through the ears, y = −12 mm"),
)
LETTERS = "xyz"


def main() -> None:
    """Read both and draw them."""
    stem = EMBEDDED_ROOT / f"tpl-{WHOLE_HEAD}" / f"tpl-{WHOLE_HEAD}_res-02"
    head, affine = _read(f"{stem}_T1w.nii.gz")
    masks = {name: _read(f"{stem}_desc-{name}_mask.nii.gz")[0] for name in COLOURS}
    draw(head, affine, masks, DOCS / "wholehead.png")
    skin, t1w = (_read(f"{stem}_desc-{name}.nii.gz")[0] for name in ("skin_dist", "face_T1w"))
    draw(np.where(skin < 0, t1w, 0), affine, {"face": masks["face"]}, DOCS / "average-face.png")


def draw(head: np.ndarray, affine: np.ndarray, masks: dict[str, np.ndarray], target: Path) -> None:
    """Draw a head with the outlines of masks."""
    spacing, origin = affine[0, 0], affine[:3, 3]
    ends = origin + spacing * (np.array(head.shape) - 1)
    widths = [(ends - origin)[1 if axis == 0 else 0] for axis, _, _ in SLICES]  # all at one scale
    figure, panels = plt.subplots(1, len(SLICES), figsize=(13, 4.6), width_ratios=widths, facecolor="black")
    for panel, (axis, position, title) in zip(panels, SLICES, strict=True):
        index = int(round((position - origin[axis]) / spacing))
        across, up = [a for a in range(3) if a != axis]
        extent = (origin[across], ends[across], origin[up], ends[up])
        panel.imshow(np.take(head, index, axis).T, cmap="gray", origin="lower", extent=extent)
        for name, mask in masks.items():
            plane = np.take(mask, index, axis).T > 0
            if plane.any():
                panel.contourf(plane, [0.5, 1.5], colors=COLOURS[name], alpha=0.2, extent=extent)
                panel.contour(plane, [0.5], colors=COLOURS[name], linewidths=1.3, extent=extent)
        panel.set_title(title, color="white", fontsize=10)
        panel.set_xlabel(f"{LETTERS[across]}, mm", color="gray", fontsize=8)
        panel.tick_params(colors="gray", labelsize=7)
        panel.set_facecolor("black")
    handles = [plt.Line2D([], [], color=COLOURS[name], label=name) for name in masks]
    figure.legend(handles=handles, loc="lower center", ncols=len(masks), frameon=False, labelcolor="white")
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    # No version or date inside: drawing it again gives the same bytes.
    figure.savefig(target, dpi=100, metadata={"Software": None})


def _read(path: str) -> tuple[np.ndarray, np.ndarray]:
    image = read_image(Path(path))
    return canonical(image.stored, image.affine)


if __name__ == "__main__":
    main()
