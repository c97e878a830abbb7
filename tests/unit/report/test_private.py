"""The private report: every scan that was told, worst first, for its owner's eyes alone."""

import os
import re
import stat
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image as Picture

from bidsdeface.dataset.names import Head, Scan
from bidsdeface.errors import BidsdefaceError
from bidsdeface.head.mask import Loaded
from bidsdeface.imaging.methods import remove
from bidsdeface.imaging.volume import reduce_image
from bidsdeface.quality.limits import CHECKS
from bidsdeface.quality.outcome import ACCEPTED, FAILED, NO_FACE, PASSED, Outcome
from bidsdeface.report.figure import MASK, PANEL_PIXELS
from bidsdeface.report.private import PAGE, Shown, add_scan, write_page
from tests.conftest import as_image, fake_head

SCAN = Scan(Path("sub-1_T1w.nii"), (("sub", "1"),), "T1w", ".nii")
CENTRE = np.zeros(3)
FOLDER = "report"
(LIMIT_MM,) = (check.most for check in CHECKS if check.measure == "outline_shift_mm")


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
def told(tmp_path, loaded):
    def tell_of(scan, verdict, reasons=(), masked=None, **measures):
        shown = Shown(
            Outcome(scan, verdict, reasons, measures),
            PurePosixPath("sub-1/anat", f"{scan}.nii"),
            loaded.image,
            loaded.volume,
            CENTRE,
            masked,
            None if masked is None else remove(loaded.image, masked),
        )
        add_scan(tmp_path / FOLDER, shown)

    return tell_of


def names_on(page):
    return re.findall(r"<h2>(.*?):", page.read_text())


def picture(folder, name):
    return np.asarray(Picture.open(folder / FOLDER / f"{name}.png"))


def test_failed_scans_come_first_and_then_those_nearest_to_a_limit(told, tmp_path):
    told("sub-1_T1w", PASSED, outline_shift_mm=0.1 * LIMIT_MM)
    told("sub-2_T1w", ACCEPTED, outline_shift_mm=1.5 * LIMIT_MM)
    told("sub-3_T1w", NO_FACE)  # a bare brain, of which nothing is measured: worth a look
    told("sub-4_T1w", FAILED, ("the scan does not fit",), outline_shift_mm=1.2 * LIMIT_MM)
    told("sub-5_T1w", PASSED, outline_shift_mm=0.9 * LIMIT_MM)
    told("sub-6_T1w", FAILED, ("cannot be measured",), outline_shift_mm=float("nan"))
    assert names_on(write_page(tmp_path / FOLDER)) == [f"sub-{n}_T1w" for n in (6, 4, 3, 2, 5, 1)]


def test_a_scan_is_shown_before_with_its_mask_and_after(told, tmp_path, masked):
    told("sub-1_T1w", PASSED, masked=masked)
    told("sub-2_T1w", FAILED)
    both, before = picture(tmp_path, "sub-1_T1w"), picture(tmp_path, "sub-2_T1w")
    assert before.shape == (PANEL_PIXELS, 5 * PANEL_PIXELS)
    assert both.shape == (2 * PANEL_PIXELS, 5 * PANEL_PIXELS)
    above, below = both[:PANEL_PIXELS], both[PANEL_PIXELS:]
    outlined = above != before
    assert 0 < outlined.mean() < 0.02 and (above[outlined] == MASK).all()
    assert below.sum() < 0.9 * before.sum()  # what the mask holds is gone


def test_the_page_shows_each_picture_and_says_what_spoke_against_it(told, tmp_path):
    told("sub-1_T1w", FAILED, ("the outline is off",), outline_shift_mm=2 * LIMIT_MM, similarity=0.8)
    text = write_page(tmp_path / FOLDER).read_text()
    assert "the outline is off" in text and 'src="sub-1_T1w.png"' in text
    rows = re.findall(r'<tr( class="failed")?><th scope="row">(\w+)</th>', text)
    assert rows == [("", "similarity"), (' class="failed"', "outline_shift_mm")]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a'b\"c&d"])
def test_names_and_reasons_cannot_become_part_of_the_page(told, tmp_path, text):
    told(text.replace("/", ""), FAILED, (text,))
    page = write_page(tmp_path / FOLDER).read_text()
    assert "<script" not in page and "a'b" not in page and 'b"c' not in page and "c&d" not in page
    assert page.count("<section>") == page.count("</section>") == 1


def test_a_scan_that_is_told_again_takes_the_place_of_before(told, tmp_path):
    told("sub-1_T1w", FAILED, ("old",))
    told("sub-1_T1w", PASSED)
    text = write_page(tmp_path / FOLDER).read_text()
    assert "old" not in text and text.count("<section>") == 1


def test_scans_of_earlier_runs_stay_on_the_page(told, tmp_path):
    told("sub-1_T1w", PASSED)
    write_page(tmp_path / FOLDER)
    told("sub-2_T1w", PASSED)
    assert sorted(names_on(write_page(tmp_path / FOLDER))) == ["sub-1_T1w", "sub-2_T1w"]


def test_nobody_else_may_look_whatever_the_umask(told, tmp_path):
    before = os.umask(0)
    try:
        told("sub-1_T1w", PASSED)
        page = write_page(tmp_path / FOLDER)
    finally:
        os.umask(before)
    assert page == tmp_path / FOLDER / PAGE
    assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in page.parent.iterdir()} == {0o600}


def test_where_nothing_was_told_there_is_no_page(tmp_path):
    assert write_page(tmp_path / FOLDER) is None
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_is_one_clear_line(told, tmp_path):
    (tmp_path / FOLDER).touch()
    with pytest.raises(BidsdefaceError, match=f"{FOLDER}: cannot be written"):
        told("sub-1_T1w", PASSED)


def test_the_page_needs_nothing_from_elsewhere(told, tmp_path):
    told("sub-1_T1w", PASSED)
    assert "http" not in write_page(tmp_path / FOLDER).read_text()
