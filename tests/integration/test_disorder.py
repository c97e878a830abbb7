"""One head in the disorder that datasets hold: each file has its verdict, and the same face is gone."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bidsdeface.imaging.volume import interpolate, voxel_places
from tests.conftest import make_dataset
from tests.heads import SHARED, real_head_or_average
from tests.integration.conftest import bidsdeface, bidsdeface_read_only, dice, published

pytestmark = pytest.mark.slow

PASSED, FAILED, NO_FACE = "passed", "failed", "no-face"
PUMI = SHARED / "bids" / "pumi-minitest"


def like(scan, values, affine=None, kind=nib.Nifti1Image):
    """Return values as an image, on the grid of a scan or with another affine."""
    return kind(values, scan.affine if affine is None else affine)


def stored_as(dtype, scale=1.0, kind=nib.Nifti1Image, slope=None, inter=0.0):
    """Return a maker of the same head with other numbers in its file."""

    def make(scan):
        values = scan.get_fdata(dtype=np.float32)
        image = like(scan, (values / values.max() * scale).astype(dtype), kind=kind)
        if slope:
            image.header.set_slope_inter(slope, inter)
        return image

    return make


def big_endian(scan):
    header = nib.Nifti1Header(endianness=">")
    values = scan.get_fdata(dtype=np.float32)
    header.set_data_dtype(">i2")
    return nib.Nifti1Image(values.astype(">i2"), scan.affine, header)


def complex_numbers(scan):
    phase = np.exp(1j * np.linspace(0, 20, scan.shape[0]))[:, None, None]
    return like(scan, (scan.get_fdata(dtype=np.float32) * phase).astype(np.complex64))


def with_nan(scan):
    values = scan.get_fdata(dtype=np.float32)
    return like(scan, np.where(values < 0.02 * values.max(), np.nan, values).astype(np.float32))


def of_dimensions(*more):
    return lambda scan: like(scan, np.asarray(scan.dataobj).reshape(*scan.shape, *more))


def coded(qform, sform, shift_mm=0.0):
    """Return a maker with other codes; the matrix of lower rank is shifted."""

    def make(scan):
        image = like(scan, np.asarray(scan.dataobj))
        image.set_qform(from_matvec(np.eye(3), [0, shift_mm, 0]) @ scan.affine, qform)
        image.set_sform(scan.affine if sform else None, sform)
        return image

    return make


def resampled(matrix=None, zooms=None):
    """Return a maker on another grid of the same world: turned, sheared, or of other voxels."""

    def make(scan):
        old = np.array(scan.header.get_zooms()[:3])
        new = np.array(zooms or old, float)
        size = np.ceil(np.array(scan.shape) * old / new).astype(int)
        middle = apply_affine(scan.affine, (np.array(scan.shape) - 1) / 2)
        linear = (np.eye(3) if matrix is None else matrix) @ np.diag(new)
        affine = from_matvec(linear, middle - linear @ ((size - 1) / 2))
        to_scan = np.linalg.inv(scan.affine) @ affine
        # A thick slice holds the mean over its thickness.
        blur = np.where(new > old, new / old / 2.5, 0)
        values = ndimage.gaussian_filter(scan.get_fdata(dtype=np.float32), blur)
        values = ndimage.affine_transform(values, to_scan[:3, :3], to_scan[:3, 3], tuple(size), order=1)
        return like(scan, values.astype(np.float32), affine)

    return make


def cut(y_mm=(-np.inf, np.inf), z_mm=(-np.inf, np.inf)):
    """Return a maker with a smaller field of view: forward of the head's middle, upward of its crown."""

    def make(scan):
        ras = nib.as_closest_canonical(scan)
        box = [slice(None)]
        for i, zero, (low, high) in zip((1, 2), head_box(ras), (y_mm, z_mm), strict=True):
            places = ras.affine[i, i] * np.arange(ras.shape[i]) + ras.affine[i, 3] - zero
            kept = np.flatnonzero((low < places) & (places < high))
            box.append(slice(kept[0], kept[-1] + 1))
        return ras.slicer[tuple(box)]

    return make


def head_box(ras):
    """Return the y of the middle of the head's upper part, and the z of its crown."""
    values = ndimage.gaussian_filter(ras.get_fdata(dtype=np.float32), 1)
    y, z = np.nonzero((values > 0.2 * np.percentile(values, 99)).any(axis=0))
    crown = apply_affine(ras.affine, [0, 0, z.max()])[2]
    upper = z > z.max() - 90 / ras.affine[2, 2]
    return apply_affine(ras.affine, [0, (y[upper].min() + y[upper].max()) / 2, 0])[1], crown


def padded(scan):
    width = [(40, 40), (30, 30), (50, 50)]
    affine = scan.affine @ from_matvec(np.eye(3), [-before for before, _ in width])
    return like(scan, np.pad(np.asarray(scan.dataobj), width), affine)


def spoiled(spoil):
    """Return a maker that changes values, from 0 to 1, given places from -1 to 1 and random numbers."""

    def make(scan):
        values = scan.get_fdata(dtype=np.float32)
        places = np.meshgrid(*(np.linspace(-1, 1, n) for n in scan.shape), indexing="ij")
        values = spoil(values / values.max(), places, np.random.default_rng(0))
        return like(scan, (1000 * values).astype(np.float32))

    return make


def like_ct(padding):
    """Return a maker of values in HU: air of -1000, and something else around a round field of view."""

    def make(values, places, _):
        round_field = places[0] ** 2 + places[1] ** 2 < 1
        return np.where(round_field, values * 1.5 - 1.0, padding / 1000)

    return spoiled(make)


DISORDER = {
    "plain": (lambda scan: scan, PASSED),
    # What numbers are stored as.
    "uint8": (stored_as(np.uint8, 255), PASSED),
    "uint16": (stored_as(np.uint16, 65535), PASSED),
    "float64": (stored_as(np.float64, 1e-6), PASSED),
    "slopeinter": (stored_as(np.int16, 3000, slope=0.01, inter=-5.0), PASSED),
    "nifti2": (stored_as(np.int16, 3000, nib.Nifti2Image), PASSED),
    "bigendian": (big_endian, PASSED),
    "complex": (complex_numbers, PASSED),
    "nan": (with_nan, PASSED),
    "fourth": (of_dimensions(1), PASSED),
    # What the header says of the world.
    "qformonly": (coded(1, 0), PASSED),
    "sformonly": (coded(0, 2), PASSED),
    "disagree": (coded(1, 2, shift_mm=30), PASSED),
    "nowhere": (coded(0, 0), PASSED),
    "sheared": (resampled(np.array([[1, 0, 0], [0, 1, 0.15], [0, 0, 1]])), PASSED),
    "oblique": (resampled(Rotation.from_euler("xyz", [20, 10, 15], degrees=True).as_matrix()), PASSED),
    "permuted": (resampled(np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0.0]])), PASSED),
    # Voxels and fields of view.
    "axial6mm": (resampled(zooms=(2, 2, 6)), PASSED),
    "sagittal6mm": (resampled(zooms=(6, 2, 2)), PASSED),
    "fine": (resampled(zooms=(0.9, 0.9, 0.9)), PASSED),
    "huge": (padded, PASSED),
    "nocrown": (cut(z_mm=(-np.inf, -25)), PASSED),
    "nochin": (cut(z_mm=(-140, np.inf)), PASSED),
    "noocciput": (cut(y_mm=(-70, np.inf)), PASSED),
    "slab": (cut(z_mm=(-95, -60)), FAILED),
    "noface": (cut((-np.inf, 40), (-120, np.inf)), NO_FACE),
    # What disturbs.
    "noise": (spoiled(lambda v, _, rng: np.abs(v + rng.normal(0, 0.06, v.shape))), PASSED),
    "coil": (spoiled(lambda v, at, _: v * np.exp(0.6 * at[1])), PASSED),
    "ct": (like_ct(-1024), PASSED),
    **{f"ctpadding{-padding}": (like_ct(padding), PASSED) for padding in (-2000, -3024, -32768)},
    "nothing": (spoiled(lambda v, _, rng: rng.random(v.shape)), FAILED),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Deface all of it in one run; return input, output and what was said."""
    root = tmp_path_factory.mktemp("disorder")
    scan = nib.load(real_head_or_average())
    scan = nib.Nifti1Image(np.asarray(scan.dataobj).squeeze(), scan.affine)
    scans = {f"sub-{name}/anat/sub-{name}_T1w.nii.gz": make(scan) for name, (make, _) in DISORDER.items()}
    bids_dir = make_dataset(root, scans)
    members = bids_dir / "sub-members/anat/sub-members_T1w.nii.gz"
    members.parent.mkdir(parents=True)
    content = gzip.decompress((bids_dir / "sub-plain/anat/sub-plain_T1w.nii.gz").read_bytes())
    parts = (content[:1000], content[1000:500_000], content[500_000:])
    members.write_bytes(b"".join(gzip.compress(part) for part in parts))
    shutil.copyfile(bids_dir / "sub-plain/anat/sub-plain_T1w.json", members.with_name("sub-members_T1w.json"))
    with (bids_dir / "participants.tsv").open("a") as table:
        table.write("sub-members\n")
    options = ("--n-procs", "2", "--skip-bids-validation")  # which refuses a fourth dimension of one
    return bids_dir, root / "out", bidsdeface_read_only(bids_dir, root / "out", *options)


@pytest.mark.parametrize("name", [*DISORDER, "members"])
def test_each_file_has_its_verdict_and_the_same_face_is_gone(outcome, name):
    bids_dir, output_dir, run = outcome
    verdict = DISORDER[name][1] if name in DISORDER else PASSED
    said = [line for line in run.said.splitlines() if f"sub-{name}_T1w" in line]
    folder = output_dir / f"sub-{name}/anat"
    if verdict == FAILED:
        assert any(line.startswith("ERROR FAILED") for line in said), said
        assert published(output_dir, f"sub-{name}/") == []
        return
    assert any(f"sub-{name}_T1w: {verdict}" in line for line in said), said
    original = nib.load(bids_dir / f"sub-{name}/anat/sub-{name}_T1w.nii.gz")
    if verdict == NO_FACE:
        image = nib.load(folder / f"sub-{name}_desc-noface_T1w.nii.gz")
        assert np.array_equal(stored(image), stored(original))
        return
    mask = nib.load(folder / f"sub-{name}_mod-T1w_desc-face_defacemask.nii.gz")
    defaced = nib.load(folder / f"sub-{name}_desc-defaced_T1w.nii.gz")
    assert np.allclose(mask.affine, original.affine, atol=1e-4)
    inside = np.asarray(mask.dataobj).astype(bool).reshape(original.shape[:3])
    changed = stored(defaced) != stored(original)
    changed &= ~(np.isnan(stored(defaced)) & np.isnan(stored(original)))
    assert changed.any() and not changed.reshape(*inside.shape, -1).any(axis=-1)[~inside].any()
    plain = nib.load(output_dir / "sub-plain/anat/sub-plain_mod-T1w_desc-face_defacemask.nii.gz")
    expected, seen = carried(plain, original)
    if name == "nowhere":  # its world begins anywhere: the voxels are the same
        expected, seen = np.asarray(plain.dataobj).astype(bool), np.ones(plain.shape, bool)
    assert dice(inside[seen], expected[seen]) > (0.97 if max(original.header.get_zooms()[:3]) < 3 else 0.94)


def stored(image):
    return np.asanyarray(image.dataobj.get_unscaled())


def carried(mask, image):
    """Return a mask on the grid of an image of the same world, and where it can be told."""
    places = voxel_places(image.shape[:3], image.affine)
    there = interpolate(np.asarray(mask.dataobj, np.float32), mask.affine, places, np.nan)
    return there > 0.5, np.isfinite(there)


@pytest.mark.skipif(not PUMI.is_dir(), reason=f"pumi-minitest belongs in ../{SHARED.name}/bids")
def test_a_real_untidy_dataset_is_named_for_what_it_is_and_done_at_ones_word(tmp_path):
    shutil.copytree(PUMI, tmp_path / "bids")  # safe from whatever a test does
    refused = bidsdeface_read_only(tmp_path / "bids", tmp_path / "no")
    assert refused.code != 0 and not published(tmp_path / "no")
    run = bidsdeface(tmp_path / "bids", tmp_path / "out", "--skip-bids-validation")
    assert run.code == 0 and "sub-001_T1w: passed" in run.said
    options = ("--skip-bids-validation", "--output-layout", "bids")
    run = bidsdeface(tmp_path / "bids", tmp_path / "whole", *options)
    assert "sub-001_T1w: passed" in run.said
    names = published(tmp_path / "whole")
    assert not any(
        "gre_field_mapping" in name for name in names
    )  # no names of BIDS: who knows what they hold
    assert "gre_field_mapping" in run.said
    assert "sub-001/func/sub-001_task-rest_bold.nii.gz" in names
    sidecar = json.loads((tmp_path / "whole/sub-001/anat/sub-001_T1w.json").read_text())
    assert "Bidsdeface" in sidecar
