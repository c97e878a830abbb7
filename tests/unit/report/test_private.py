"""The private report: every scan that was told, worst first, for its owner's eyes alone."""

import base64
import gzip
import json
import os
import re
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
from bidsdeface.output.review import Decision, remember_decision
from bidsdeface.quality.limits import CHECKS
from bidsdeface.quality.outcome import ACCEPTED, FAILED, NO_FACE, PASSED, Outcome
from bidsdeface.report.figure import MASK, PANEL_PIXELS
from bidsdeface.report.private import PAGE, Shown, add_scan, report_folder, shown_fingerprint, write_pages
from bidsdeface.runtime.workdir import open_state
from tests.conftest import as_image, fake_head

SCAN = Scan(Path("sub-1_T1w.nii"), (("sub", "1"),), "T1w", ".nii")
CENTRE = np.zeros(3)
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
def state(tmp_path):
    return open_state(tmp_path / "work")


@pytest.fixture
def folder(state, tmp_path):
    return report_folder(state, tmp_path / "out")


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


@pytest.fixture
def write(state, tmp_path):
    return lambda *subjects: write_pages(state, tmp_path / "out", subjects or ("1", "2", "3"))


def names_on(page):
    return re.findall(r"<h2>(.*?):", page.read_text())


def listed(folder):
    return json.loads((folder / "scans.js").read_text().removeprefix("const SCANS = ").removesuffix(";\n"))


def picture(folder, name):
    return np.asarray(Picture.open(folder / f"{name}.png"))


def test_participants_are_in_order_of_their_worst_scan_and_their_scans_too(told, write, folder):
    told("sub-1_T1w", PASSED, outline_shift_mm=0.1 * LIMIT_MM)
    told("sub-1_T2w", ACCEPTED, outline_shift_mm=1.5 * LIMIT_MM)
    told("sub-2_T1w", NO_FACE)  # a bare brain, of which nothing is measured: worth a look
    told("sub-2_T2w", FAILED, ("the scan does not fit",), outline_shift_mm=1.2 * LIMIT_MM)
    told("sub-3_T1w", PASSED, outline_shift_mm=0.9 * LIMIT_MM)
    told("sub-3_T2w", FAILED, ("cannot be measured",), outline_shift_mm=float("nan"))
    index = write()
    assert re.findall(r'<a href="(sub-\d).html"', index.read_text()) == ["sub-3", "sub-2", "sub-1"]
    assert [one["name"][4:7] for one in listed(folder)] == ["3_T"] * 2 + ["2_T"] * 2 + ["1_T"] * 2
    assert names_on(folder / "sub-2.html") == ["sub-2_T2w", "sub-2_T1w"]


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


def test_the_page_shows_each_picture_and_says_what_spoke_against_it(told, write, folder):
    told("sub-1_T1w", FAILED, ("the outline is off",), outline_shift_mm=2 * LIMIT_MM, similarity=0.8)
    write()
    text = (folder / "sub-1.html").read_text()
    assert "the outline is off" in text and 'src="sub-1_T1w.png"' in text
    rows = re.findall(r'<tr( class="failed")?><th scope="row">(\w+)</th>', text)
    assert rows == [("", "similarity"), (' class="failed"', "outline_shift_mm")]


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "a'b\"c&d"])
def test_names_and_reasons_cannot_become_part_of_the_page(told, write, folder, text):
    told("sub-1_" + text.replace("/", ""), FAILED, (text,))
    write()
    for page in ("index.html", "sub-1.html"):
        content = (folder / page).read_text()
        shown = content[: content.index("<script src")] + content[content.rindex("</script>") :]
        assert "alert(1)<" not in shown and "a'b" not in shown and 'b"c' not in shown and "c&d" not in shown
        assert content.count("<section") == content.count("</section>") == (page == "sub-1.html")
    assert "<" not in (folder / "scans.js").read_text()


def test_only_what_has_a_fingerprint_can_be_decided(told, write, folder):
    told("sub-1_T1w", PASSED, fingerprint="0a" * 32)
    told("sub-1_T2w", FAILED)
    assert '<td class="number" data-page="sub-1.html">1</td>' in write().read_text()
    text = (folder / "sub-1.html").read_text()
    assert text.count("<fieldset") == 1 and text.count("Nothing can be decided") == 1


def test_the_pages_know_what_was_decided_about_what_they_show(told, write, folder, state):
    nothing, seen = ("", "", ""), ("nose", "2026-01-31T12:00:00.000Z")
    for decision, fingerprint, expected in (
        ("accepted", "0a", ("accepted", *seen)), ("accepted", "0b", nothing),
        ("rejected", "0a", ("rejected", *seen)), ("rejected", "0b", ("rejected", *seen)),
    ):  # fmt: skip
        known = Decision(decision=decision, fingerprint="0a" * 32, note=seen[0], time=seen[1])
        remember_decision(state, "sub-1_T1w", known)
        told("sub-1_T1w", FAILED, fingerprint=(fingerprint := fingerprint * 32))
        assert f'data-page="sub-1.html">{int(expected == nothing)}<' in write().read_text()
        (one,) = listed(folder)
        assert (one["decision"], one["note"], one["time"], one["fingerprint"]) == (*expected, fingerprint)
        assert (one["scan"], one["page"]) == ("sub-1/anat/sub-1_T1w.nii", "sub-1.html")
        assert shown_fingerprint(folder, "sub-1_T1w") == fingerprint
    assert shown_fingerprint(folder, "sub-2_T1w") == ""


def test_what_an_earlier_version_has_added_is_shown(told, write, folder):
    told("sub-1_T1w", PASSED)
    path = folder / "sub-1_T1w.json"
    old = {
        key: value
        for key, value in json.loads(path.read_text()).items()
        if key not in ("path", "fingerprint")
    }
    path.write_text(json.dumps(old))
    (folder / "sub-1_T1w.js").unlink()
    write()
    text = (folder / "sub-1.html").read_text()
    assert "Nothing can be decided" in text and "data-volumes" not in text


def test_a_scan_that_is_told_again_takes_the_place_of_before(told, write, folder):
    told("sub-1_T1w", FAILED, ("old",))
    told("sub-1_T1w", PASSED)
    write()
    text = (folder / "sub-1.html").read_text()
    assert "old" not in text and text.count("<section") == 1


def test_scans_of_earlier_runs_stay_and_a_job_writes_the_pages_of_its_own_participants(told, write, folder):
    told("sub-1_T1w", PASSED)
    write("1")
    (folder / "sub-1.html").write_text("as it was")
    told("sub-2_T1w", PASSED)
    index = write("2")
    assert {one["name"] for one in listed(folder)} == {"sub-1_T1w", "sub-2_T1w"}
    assert "sub-1.html" in index.read_text() and (folder / "sub-1.html").read_text() == "as it was"
    assert names_on(folder / "sub-2.html") == ["sub-2_T1w"]


def test_nobody_else_may_look_whatever_the_umask(told, write, folder):
    before = os.umask(0)
    try:
        told("sub-1_T1w", PASSED)
        page = write()
    finally:
        os.umask(before)
    assert page == folder / PAGE
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_where_nothing_was_told_there_is_no_page(write, folder):
    assert write() is None and not folder.exists()


def test_a_report_that_cannot_be_written_is_one_clear_line(told, folder):
    folder.parent.mkdir()
    folder.touch()
    with pytest.raises(BidsdefaceError, match=f"{folder.name}: cannot be written"):
        told("sub-1_T1w", PASSED)


def test_the_pages_need_nothing_from_elsewhere(told, write, folder):
    told("sub-1_T1w", PASSED)
    write()
    sources = [re.findall(r'(?:src|href)="([^"#]*)', path.read_text()) for path in folder.glob("*.html")]
    assert all((folder / source).is_file() for source in sum(sources, []))
    assert not any("http" in path.read_text() for path in folder.glob("*.html"))
