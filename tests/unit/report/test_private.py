"""What the private report shows of a scan: pictures and volumes, before and after, for its owner alone."""

import base64
import gzip
import json
import os
import stat
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Picture

from bidsdeface.dataset.names import Head, Scan
from bidsdeface.errors import BidsdefaceError
from bidsdeface.head.mask import Loaded
from bidsdeface.imaging.methods import remove
from bidsdeface.imaging.volume import apply_affine, reduce_image
from bidsdeface.quality.outcome import FAILED, PASSED, Outcome
from bidsdeface.report.figure import MASK, PANEL_PIXELS
from bidsdeface.report.private import Shown, add_scan
from bidsdeface.report.private_pages import files_of, shown_fingerprint
from tests.conftest import as_image, fake_head

SCAN = Scan(Path("sub-1_T1w.nii"), (("sub", "1"),), "T1w", ".nii")
CENTRE = np.zeros(3)


@pytest.fixture(scope="module")
def loaded():
    head = fake_head()
    image = as_image(np.asfortranarray(head.dataobj), head.affine)
    return Loaded(SCAN, Head("1", None, (SCAN,), SCAN), b"", image, reduce_image(image, "x"))


@pytest.fixture(scope="module")
def masked(loaded):
    mask = np.zeros(loaded.image.stored.shape, bool, order="F")
    mask[:, 22:] = True
    return mask


@pytest.fixture
def told(folder, loaded):
    def tell_of(scan, verdict, reasons=(), masked=None, fingerprint="", **measures):
        shown = Shown(
            Outcome(scan, verdict, reasons, measures),
            PurePosixPath("sub-1/anat", f"{scan}.nii"),
            loaded.image,
            loaded.volume,
            CENTRE,
            masked,
            None if masked is None else remove(loaded.image, masked),
            fingerprint,
        )
        add_scan(folder, shown)

    return tell_of


def picture(folder, name):
    return np.asarray(Picture.open(folder / f"{name}.png"))


def test_a_scan_is_shown_before_with_its_mask_and_after(told, folder, masked):
    told("sub-1_T1w", PASSED, masked=masked)
    told("sub-2_T1w", FAILED)
    both, before = picture(folder, "sub-1_T1w"), picture(folder, "sub-2_T1w")
    assert before.shape == (PANEL_PIXELS, 5 * PANEL_PIXELS)
    assert both.shape == (2 * PANEL_PIXELS, 5 * PANEL_PIXELS)
    above, below = both[:PANEL_PIXELS], both[PANEL_PIXELS:]
    outlined = above != before
    assert 0 < outlined.mean() < 0.02 and (above[outlined] == MASK).all()
    assert below.sum() < 0.9 * before.sum()  # what the mask holds is gone


def volumes(folder, name):
    texts = json.loads((folder / f"{name}.js").read_text().removeprefix("giveVolumes(").removesuffix(");\n"))
    return [nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text))) for text in texts]


def test_the_volumes_are_the_scan_before_and_after_in_one_window_and_the_outline(
    told, folder, masked, loaded
):
    told("sub-1_T1w", PASSED, masked=masked)
    frames, outline = volumes(folder, "sub-1_T1w")
    before, after = np.moveaxis(frames.get_fdata(), -1, 0)
    assert np.allclose(frames.affine[:3, :3], 2 * np.eye(3)) and np.array_equal(frames.affine, outline.affine)
    edge = apply_affine(loaded.image.affine, np.array([0, 22, 0]))[1]
    first = int((edge - frames.affine[1, 3]) / 2)
    assert np.array_equal(before[:, : first - 5], after[:, : first - 5]) and before.max() == 255
    assert before[:, first + 5 :].max() > 200 and after[:, first + 5 :].max() == 0
    shell = np.argwhere(outline.get_fdata() > 0)
    assert abs(shell[:, 1].min() - first) <= 2 and outline.get_fdata().mean() < 0.2


def test_volumes_of_thick_slices_keep_their_shape(folder):
    thick = fake_head(shape=(60, 60, 12), zooms=(3.0, 3.0, 15.0))
    image = as_image(np.asfortranarray(thick.dataobj), thick.affine)
    shown = Shown(Outcome("sub-1_T1w", FAILED), PurePosixPath("x"), image, reduce_image(image, "x"), CENTRE)
    add_scan(folder, shown)
    (frames,) = volumes(folder, "sub-1_T1w")
    assert frames.header.get_zooms()[:3] == (2, 2, 2)
    head = np.argwhere(frames.get_fdata()[..., 0] > 128)
    assert np.ptp(head, axis=0).max() < 1.1 * np.ptp(head, axis=0).min()  # a ball, as it was


def test_the_record_comes_last_so_that_what_was_shown_before_is_what_a_decision_is_about(
    told, folder, monkeypatch
):
    told("sub-1_T1w", PASSED, fingerprint="0a" * 32)
    moved, move = [], os.replace

    def fill_up(source, target):
        if Path(target).suffix == ".json":
            raise OSError(28, "No space left on device")
        moved.append(Path(target).name)
        move(source, target)

    monkeypatch.setattr(os, "replace", fill_up)
    with pytest.raises(BidsdefaceError, match="No space left"):
        told("sub-1_T1w", PASSED, fingerprint="0b" * 32)
    assert moved == [*files_of("sub-1_T1w", "0b" * 32)]
    assert shown_fingerprint(folder, "sub-1_T1w") == "0a" * 32


def test_a_page_shows_what_it_was_made_of_or_nothing(told, folder):
    """Pages are written at the end of a run; a picture that is newer has another name."""
    for mark in ("0a", "0b"):
        told("sub-1_T1w", PASSED, fingerprint=mark * 32)
        told("sub-1_T1w2", PASSED, fingerprint="0a" * 32)
    before, now, other = (
        files_of(name, mark * 32)
        for name, mark in (("sub-1_T1w", "0a"), ("sub-1_T1w", "0b"), ("sub-1_T1w2", "0a"))
    )
    kept = {path.name for path in folder.iterdir()}
    assert kept == {*now, *other, "sub-1_T1w.json", "sub-1_T1w2.json"} and not kept & {*before}


def test_nobody_else_may_look_whatever_the_umask(told, folder):
    before = os.umask(0)
    try:
        told("sub-1_T1w", PASSED)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_report_that_cannot_be_written_is_one_clear_line(told, folder):
    folder.parent.mkdir()
    folder.touch()
    with pytest.raises(BidsdefaceError, match=f"{folder.name}: cannot be written"):
        told("sub-1_T1w", PASSED)
