"""Draw what the average face looks like on a child: ``python -m benchmarks.refaced_child PICTURE.png``.

No child's head and no person's: the template's own, an average, with its face shrunk as in `small_faces`. It
prints how far the surfaces of the child's face and of the one that is put there lie apart.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from benchmarks.reface import apart_mm, face_of, reface_head
from benchmarks.small_faces import child_of, growth
from bidsdeface.head.fit import fit, make_template_set
from bidsdeface.imaging.image import Image
from bidsdeface.imaging.volume import Volume
from bidsdeface.reidentify.render import View, image_surface, render
from bidsdeface.templates.source import average_face

FACES = (1.0, 0.85, 0.7)  # size of the face
YAWS = (0.0, 60.0)
ROOM = ((6, 6), (0, 12), (0, 0))  # voxels of air around the template's head, for a nose
LEVEL = 1000.0


def as_image(volume: Volume) -> Image:
    """Return a volume as an image."""
    values = np.asfortranarray(volume.data * LEVEL, np.float32)
    return Image(nib.Nifti1Image(values, volume.affine).header, volume.affine, values)


def pictures(image: Image) -> NDArray[np.uint8]:
    """Return views of a head, one below the other."""
    surface = image_surface(image, "the child")
    return np.concatenate([render(surface, View(yaw=yaw)) for yaw in YAWS])


def main() -> None:
    """Draw each child beside the same with the average face."""
    templates, average = make_template_set("WholeHead", ("face", "ears")), average_face()
    head = templates.head_template.head
    data = np.pad(head.data, ROOM)
    shift = nib.affines.from_matvec(np.eye(3), [-before for before, _ in ROOM])
    adult = Volume(data, head.affine @ shift, np.ones_like(data))
    good, columns = fit("the adult", adult, None, templates, accepted=True), []
    templates = replace(templates, regions=("face",))
    for size in FACES:
        child = child_of(adult, growth(good, templates, size, 1.0))[0]
        image, found = as_image(child), fit("the child", child, None, templates, accepted=True)
        both = reface_head("child", image, child, found, average)
        before, after = (face_of(one, both, average) for one in (image, both.refaced))
        print(f"{size}: {apart_mm(before, after):.1f} mm apart")
        columns += [pictures(image), pictures(both.refaced)]
    Picture.fromarray(np.concatenate(columns, axis=1)).save(sys.argv[1])


if __name__ == "__main__":
    main()
