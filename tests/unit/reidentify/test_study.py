"""One scan under attack, with a recogniser that is easily pleased: what is kept, drawn and private."""

import json
import stat
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture

from bidsdeface.imaging.image import mask_header, read_image, write_image
from bidsdeface.reidentify.attack import ATTACKERS, CANDIDATES, SWAP, Tools
from bidsdeface.reidentify.people import at_mm, rescan
from bidsdeface.reidentify.render import PIXELS
from bidsdeface.reidentify.study import SESSION, Case, look_at_case
from bidsdeface.templates.source import whole_head
from tests.conftest import as_image, fake_head
from tests.unit.reidentify.test_findings import Watcher


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    return Tools(Watcher(), whole_head(), tmp_path_factory.mktemp("sights"))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    head = fake_head()
    image = as_image(np.asfortranarray(head.dataobj), head.affine)
    mask = np.zeros(image.stored.shape, np.uint8, order="F")
    mask[:, 28:] = 1
    names = {"sub-01_T1w": image.stored, "defaced": np.where(mask, 0, image.stored).astype(np.int16)}
    for name, values in names.items():
        write_image(folder / f"{name}.nii.gz", image.header, np.asfortranarray(values))
    write_image(folder / "mask.nii.gz", mask_header(image.header), mask)
    return Case("a", "01", *(folder / f"{name}.nii.gz" for name in ("sub-01_T1w", "defaced", "mask")))


def test_a_scan_is_attacked_by_all_attackers_and_what_is_seen_is_private(case, tools):
    probe = look_at_case(case, tools)
    assert probe.person == "01" and probe.has_face and set(probe.after) == set(ATTACKERS)
    kept = list(tools.folder.iterdir())
    assert len(kept) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}


def test_the_swap_attacker_tries_the_right_face_and_others_in_the_published_head(case, tools, tmp_path):
    placement = np.eye(4)
    placement[:3, 3] = 5
    record = {"PlacementOnWholeHead": placement.tolist()}
    case.defaced.with_name("defaced.json").write_text(json.dumps({"Bidsdeface": record}))
    asked = []

    def swap(defaced, candidates):
        asked.append((defaced, [image.stored for image in candidates]))
        return np.arange(CANDIDATES, dtype=float)

    with_swap = replace(tools, folder=tmp_path, swap=swap)
    for _ in range(2):
        probe = look_at_case(case, with_swap)
        assert set(probe.after) == {*ATTACKERS, SWAP}
        assert np.array_equal(probe.after[SWAP].differences, np.arange(CANDIDATES))
        assert np.array_equal(probe.after[SWAP].found, probe.after["plain"].found)
    ((defaced, faces),) = asked  # once: it is remembered
    assert np.array_equal(defaced.to_template, placement) and (defaced.mask.stored > 0).any()
    own = rescan(at_mm(read_image(case.original), 1.0), SESSION)
    assert np.array_equal(faces[0], own.stored)
    assert len({face.tobytes() for face in faces}) == CANDIDATES


def test_a_picture_shows_original_defaced_restored_and_mask_and_is_private(case, tools, tmp_path):
    look_at_case(case, tools, tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.name == "sub-01_T1w.png" and stat.S_IMODE(path.stat().st_mode) == 0o600
    drawn = np.asarray(Picture.open(path))
    assert drawn.shape == (2 * PIXELS, 4 * PIXELS, 3)
    panels = np.split(drawn[:PIXELS], 4, axis=1)
    assert all(np.ptp(panel) > 50 for panel in panels)
    assert (panels[0] != panels[1]).any()
