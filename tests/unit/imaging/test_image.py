"""Lossless NIfTI: whatever is stored comes out as it went in; whatever cannot be read is named."""

import gzip
import io

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.errors import ImageError
from bidsdeface.imaging.image import (
    canonical,
    clean_header,
    mask_header,
    read_image,
    write_image,
)
from bidsdeface.imaging.methods import remove
from bidsdeface.imaging.volume import reduce_image
from tests.conftest import SCRUBBED, fake_head

DTYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16")
SCALINGS = ((np.nan, np.nan), (0.0, 0.0), (0.0, np.nan), (1.0, 0.0), (0.25, -1024.0), (-3.0, 0.5))
CODES = st.integers(0, 5)


def as_bytes(header, stored, extension=b""):
    """Lay out a single-file NIfTI byte by byte, so that no library normalises the header."""
    header["vox_offset"] = header.single_vox_offset + len(extension)
    block = header.binaryblock + (b"\1\0\0\0" + extension if extension else bytes(4))
    return block.ljust(int(header["vox_offset"]), b"\0") + stored.tobytes(order="F")


def free_text(header):
    fields = ("descrip", "aux_file", "intent_name", "db_name", "data_type")  # NIfTI-2 has not the last two
    return [field for field in fields if field in header]


@st.composite
def images(draw):
    """Make a header of any kind and stored values of its type, every bit pattern allowed."""
    header_class = draw(st.sampled_from([nib.Nifti1Header, nib.Nifti2Header]))
    header = header_class(endianness=draw(st.sampled_from("<>")))
    shape = draw(st.sampled_from([(2, 3, 4), (5, 2, 3), (3, 4, 2, 2), (2, 2, 3, 1, 2), (4, 3, 2, 1)]))
    header.set_data_shape(shape)
    header.set_data_dtype(np.dtype(draw(st.sampled_from(DTYPES))).newbyteorder(header.endianness))
    dtype = header.get_data_dtype()
    bits = np.random.default_rng(draw(st.integers(0, 99))).bytes(int(np.prod(shape)) * dtype.itemsize)
    header.set_zooms(draw(st.tuples(*[st.sampled_from([5.5, 6.0, 7.5])] * 3)) + (2.5,) * (len(shape) - 3))
    turn = nib.eulerangles.euler2mat(*draw(st.tuples(*[st.floats(-3, 3)] * 3)))
    header.set_qform(nib.affines.from_matvec(turn * 6.5, [3, -40, 7]), code=draw(CODES), strip_shears=True)
    header.set_sform(nib.affines.from_matvec(turn @ np.diag([7, -6, 8]), [1, 2, 3]), code=draw(CODES))
    header["scl_slope"], header["scl_inter"] = draw(st.sampled_from(SCALINGS))
    header["pixdim"][5:] = draw(st.sampled_from([0.0, 1.0, -7.0]))
    header["pixdim"][0] = draw(st.sampled_from([1, -1, 0]))
    header["bitpix"] = draw(st.sampled_from([int(header["bitpix"]), 0]))
    header["xyzt_units"] = draw(st.sampled_from([0, 2, 10, 18, 3]))
    header["cal_max"], header["toffset"] = draw(st.sampled_from([0.0, 4095.0])), -2.5
    for field in free_text(header):
        header[field] = draw(st.sampled_from([b"", b"Doe^Jane"]))
    return header, np.frombuffer(bits, dtype).reshape(shape, order="F")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


@given(images(), st.booleans())
def test_stored_values_and_header_make_a_round_trip_bit_for_bit(folder, image, packed):
    header, stored = image
    path = folder / "in.nii"
    content = as_bytes(header, stored)
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    read = read_image(path)
    assert (read.stored.dtype, read.stored.shape) == (stored.dtype, stored.shape)
    assert read.stored.tobytes() == stored.tobytes()
    write_image(folder / "out.nii.gz", clean_header(read.header), read.stored)
    again = read_image(folder / "out.nii.gz")
    assert again.stored.tobytes() == stored.tobytes()
    assert again.header.binaryblock == clean_header(header).binaryblock
    assert np.array_equal(again.affine, read.affine)


@given(images())
def test_only_free_text_and_extensions_leave_the_header(image):
    header, _ = image
    clean = clean_header(header)
    changed = {key for key in header if header[key].tobytes() != clean[key].tobytes()}
    ndim = len(header.get_data_shape())
    assert changed <= SCRUBBED | {"pixdim"}
    assert np.array_equal(clean["pixdim"][: ndim + 1], header["pixdim"][: ndim + 1])
    assert clean_header(clean).binaryblock == clean.binaryblock
    assert all(clean[key].item() == b"" for key in free_text(header))
    assert b"Doe" not in clean.binaryblock


def header_of(shape, header_class=nib.Nifti1Header):
    header = header_class()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    return header


BIRTH = 19780304
NOWHERE_READ = [
    ("cal_max", None), ("cal_min", None), ("toffset", None), ("slice_duration", None),
    ("intent_p1", None), ("intent_p2", None), ("intent_p3", None),
    ("pixdim", 4), ("pixdim", 7), ("pixdim", 0), ("dim", 6),
    ("slice_code", None), ("xyzt_units", None), ("intent_code", None),
    ("slice_start", None), ("slice_end", None),
    ("qform_code", None), ("sform_code", None),
]  # fmt: skip


@pytest.mark.parametrize(("field", "entry"), NOWHERE_READ)
def test_a_birth_date_in_a_number_that_nobody_reads_is_gone(field, entry):
    header = header_of((5, 6, 7), nib.Nifti2Header)
    if entry is None:
        header[field] = BIRTH
    else:
        header[field][entry] = BIRTH
    clean = clean_header(header)
    assert BIRTH not in np.ravel(clean[field])
    assert clean.get_data_shape() == (5, 6, 7)


@pytest.mark.parametrize(
    ("code", "kept"),
    [(0, 0), (2, 1), (3, 1), (4, 2), (5, 0), (12, 3), (22, 0), (24, 0), (1004, 2), (1007, 0)],
)
def test_an_intent_keeps_the_parameters_that_it_has(code, kept):
    header = header_of((5, 6, 7))
    header["intent_code"] = code
    for number in (1, 2, 3):
        header[f"intent_p{number}"] = 10 + number
    clean = clean_header(header)
    assert [float(clean[f"intent_p{number}"]) for number in (1, 2, 3)][:kept] == [11, 12, 13][:kept]
    assert not any(clean[f"intent_p{number}"] for number in range(kept + 1, 4))


@pytest.mark.parametrize(
    ("slope", "inter", "expected"),
    [(0, 4711, 0), (np.nan, 4711, 0), (np.nan, np.nan, np.nan), (0, np.nan, np.nan), (2, 4711, 4711)],
)
def test_an_intercept_without_a_slope_is_emptied(slope, inter, expected):
    header = header_of((5, 6, 7))
    header["scl_slope"], header["scl_inter"] = slope, inter
    clean = clean_header(header)
    assert np.array_equal(clean["scl_inter"], expected, equal_nan=True)
    assert np.array_equal(clean["scl_slope"], slope, equal_nan=True)


def test_what_readers_of_a_series_need_stays():
    header = header_of((4, 4, 10, 50))
    header.set_zooms((3, 3, 3, 2.5))
    header.set_xyzt_units("mm", "sec")
    header.set_dim_info(freq=0, phase=1, slice=2)
    header["slice_code"], header["slice_start"], header["slice_end"] = 3, 0, 9
    header["slice_duration"], header["toffset"], header["intent_code"] = 0.25, 5.0, 1005
    header["intent_p1"], header["vox_offset"] = 3, 352
    header["qform_code"], header["sform_code"], header["regular"] = 1, 2, b"r"
    clean = clean_header(header)
    assert clean.binaryblock == header.binaryblock


def test_a_form_that_is_in_use_stays_in_use():
    header = header_of((5, 6, 7), nib.Nifti2Header)
    header.set_sform(np.diag([2, 3, 4, 1]))
    header["sform_code"] = BIRTH
    assert np.array_equal(clean_header(header).get_best_affine(), np.diag([2, 3, 4, 1]))


@given(images())
def test_the_affine_is_that_of_nibabel(folder, image):
    header, stored = image
    (folder / "a.nii").write_bytes(as_bytes(header, stored))
    assert np.array_equal(read_image(folder / "a.nii").affine, nib.load(folder / "a.nii").affine)


@given(images())
def test_scaled_values_are_those_of_nibabel(folder, image):
    header, stored = image
    if stored.dtype.kind not in "iu":
        return
    (folder / "s.nii").write_bytes(as_bytes(header, stored))
    read = read_image(folder / "s.nii")
    expected = nib.load(folder / "s.nii").get_fdata()
    assert np.allclose(read.scaled(read.stored), expected, rtol=1e-5, atol=1e-3)


def test_an_extension_is_read_past_and_dropped(tmp_path):
    image = fake_head()
    image.header["descrip"] = b"2020-11-22 14:03:12 Doe"
    secret = (32).to_bytes(4, "little") + (6).to_bytes(4, "little") + b"born 1970-01-01 in H. ok"
    stored = np.asanyarray(image.dataobj)
    (tmp_path / "in.nii").write_bytes(as_bytes(image.header, stored, secret))
    read = read_image(tmp_path / "in.nii")
    assert np.array_equal(read.stored, stored)
    write_image(tmp_path / "out.nii.gz", clean_header(read.header), read.stored)
    content = gzip.decompress((tmp_path / "out.nii.gz").read_bytes())
    assert b"1970" not in content and b"Doe" not in content
    assert len(content) == 352 + stored.nbytes
    assert np.array_equal(nib.load(tmp_path / "out.nii.gz").dataobj, stored)


def test_the_gzip_stream_tells_no_name_and_no_time(tmp_path):
    head = fake_head()
    packed = io.BytesIO()
    with gzip.GzipFile("born 1978-03-04.nii", "wb", fileobj=packed, mtime=1528140709) as stream:
        stream.write(head.to_bytes())
    (tmp_path / "in.nii.gz").write_bytes(packed.getvalue())
    read = read_image(tmp_path / "in.nii.gz")
    for threads in (1, 2):
        write_image(tmp_path / "Doe.nii.gz", clean_header(read.header), read.stored, threads)
        start = (tmp_path / "Doe.nii.gz").read_bytes()[:10]
        assert start[:3] == b"\x1f\x8b\x08"
        assert start[3] == 0 and start[4:8] == bytes(4)  # no optional field, no time


def test_threads_and_memory_order_give_the_same_bytes(tmp_path):
    rng = np.random.default_rng(0)
    stored = np.asfortranarray(rng.integers(0, 300, (160, 160, 120), np.int16))
    header = nib.Nifti1Image(stored, np.eye(4)).header
    for name, values, threads in (("1", stored, 1), ("2", stored, 2), ("4", np.ascontiguousarray(stored), 4)):
        write_image(tmp_path / name, clean_header(header), values, threads)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes() == (tmp_path / "4").read_bytes()


def test_values_that_do_not_fit_the_header_are_not_written(tmp_path):
    head = fake_head()
    values = np.asanyarray(head.dataobj)
    for wrong in (values.astype(np.uint16), values[1:], values.byteswap().view(">i2")):
        with pytest.raises(ValueError, match="does not fit"):
            write_image(tmp_path / "x.nii.gz", clean_header(head.header), wrong)
    assert not (tmp_path / "x.nii.gz").exists()


def test_a_gzip_file_of_several_members_is_read_whole(tmp_path):
    content = as_bytes(fake_head().header, np.asanyarray(fake_head().dataobj))
    parts = (content[:100], content[100:9000], b"", content[9000:])
    (tmp_path / "m.nii.gz").write_bytes(b"".join(map(gzip.compress, parts)))
    assert np.array_equal(read_image(tmp_path / "m.nii.gz").stored, fake_head().dataobj)


def test_compression_is_known_by_content_not_by_name(tmp_path):
    content = as_bytes(fake_head().header, np.asanyarray(fake_head().dataobj))
    (tmp_path / "plain.nii.gz").write_bytes(content)
    assert np.array_equal(read_image(tmp_path / "plain.nii.gz").stored, fake_head().dataobj)


def test_a_link_to_a_file_is_followed(tmp_path):
    nib.save(fake_head(), tmp_path / "annexed.nii.gz")
    (tmp_path / "a.nii.gz").symlink_to("annexed.nii.gz")
    assert read_image(tmp_path / "a.nii.gz").stored.shape == fake_head().shape


def write_truncated_gzip(path):
    nib.save(fake_head(), path)
    path.write_bytes(path.read_bytes()[:-500])


def write_damaged_gzip(path):
    nib.save(fake_head(), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def write_truncated_nifti(path):
    content = as_bytes(fake_head().header, np.asanyarray(fake_head().dataobj))
    path.write_bytes(content[:-2])


def write_colours(path):
    colours = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), path)


def write_without_orientation(path):
    header = fake_head().header.copy()
    header["sform_code"], header["qform_code"] = 1, 0
    for row in ("srow_x", "srow_y", "srow_z"):
        header[row] = 0
    path.write_bytes(as_bytes(header, np.asanyarray(fake_head().dataobj)))


def write_nan_orientation(path):
    header = fake_head().header.copy()
    header["srow_x"][3], header["sform_code"] = np.nan, 2
    path.write_bytes(as_bytes(header, np.asanyarray(fake_head().dataobj)))


def write_pair(path):
    header = nib.nifti1.Nifti1PairHeader()
    header.set_data_shape((4, 4, 4))
    path.write_bytes(header.binaryblock + bytes(1000))


@pytest.mark.parametrize(
    ("spoil", "cause", "way_out"),
    [
        (write_truncated_gzip, "gzip stream is damaged or cut short", "fetch it again"),
        (write_damaged_gzip, "gzip stream is damaged or cut short", "fetch it again"),
        (write_truncated_nifti, "cut short, 92510 of 92512 bytes", "fetch or convert it again"),
        (lambda path: path.touch(), "is empty (0 bytes)", "fetch or convert it again"),
        (lambda path: path.write_bytes(b"\x1f\x8b"), "gzip stream is damaged or cut short", "fetch"),
        (lambda path: path.write_text("<html>Not found</html>" * 50), "not a NIfTI file", "convert it again"),
        (lambda path: path.write_bytes(bytes(2)), "not a NIfTI file", "convert it again"),
        (write_colours, "colours (RGB)", "leave it out or convert it"),
        (write_without_orientation, "no usable orientation", "convert it again"),
        (write_nan_orientation, "no usable orientation", "convert it again"),
        (write_pair, "voxels in another file", "convert it to a single .nii.gz"),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory", "check"),
        (lambda path: None, "No such file or directory", "check"),
        (lambda path: path.mkdir(), "cannot be read", "check"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_file_cause_and_way_out(tmp_path, spoil, cause, way_out):
    path = tmp_path / "sub-01_T1w.nii.gz"
    spoil(path)
    with pytest.raises(ImageError) as error:
        read_image(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and cause in message and way_out in message
    assert "\n" not in message


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (1, 5, 6), (4, 5, 6, 0)])
def test_what_is_not_a_volume_is_refused(tmp_path, shape):
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), tmp_path / "flat.nii")
    with pytest.raises(ImageError, match=r"flat\.nii: is not a 3D image"):
        read_image(tmp_path / "flat.nii")


@pytest.mark.parametrize(("value", "cause"), [(np.nan, "NaN everywhere"), (7.0, "same value everywhere")])
def test_an_image_that_shows_nothing_is_refused_by_name(tmp_path, value, cause):
    nib.save(nib.Nifti1Image(np.full((20, 20, 20), value, np.float32), np.eye(4)), tmp_path / "x.nii")
    with pytest.raises(ImageError, match=f"^x.nii: .*{cause}.*convert it again"):
        reduce_image(read_image(tmp_path / "x.nii"), "x.nii")


def test_a_mask_has_the_grid_of_its_image_and_no_scaling(tmp_path):
    head = fake_head(dtype=np.float32)
    header = head.header.copy()
    header.set_data_shape((*head.shape, 3))
    header["scl_slope"], header["scl_inter"], header["cal_max"], header["descrip"] = 2, 5, 9, b"Doe"
    mask = mask_header(header)
    write_image(tmp_path / "m.nii.gz", mask, np.ones(head.shape, np.uint8, order="F"))
    loaded = nib.load(tmp_path / "m.nii.gz")
    assert loaded.get_data_dtype() == np.uint8 and loaded.shape == head.shape
    assert np.array_equal(loaded.affine, head.affine) and set(loaded.get_fdata().ravel()) == {1.0}
    assert np.array_equal(loaded.header["pixdim"][:4], head.header["pixdim"][:4])
    assert loaded.header["descrip"] == b"" and loaded.header["cal_max"] == 0


def test_a_canonical_view_shares_memory_and_keeps_every_voxel_in_its_place():
    head = fake_head((6, 7, 8))
    stored = np.arange(6 * 7 * 8).reshape(6, 7, 8)
    turned = head.as_reoriented([[2, -1], [0, 1], [1, -1]])
    values = nib.apply_orientation(stored, [[2, -1], [0, 1], [1, -1]])
    view, affine = canonical(values, turned.affine)
    assert np.shares_memory(view, values)
    assert np.array_equal(view, stored) and np.allclose(affine, head.affine)


@pytest.mark.filterwarnings("ignore:overflow")  # any bit pattern may be a double beyond float32
@given(images())
def test_removing_with_an_empty_mask_changes_no_bit(folder, image):
    header, stored = image
    (folder / "e.nii").write_bytes(as_bytes(header, stored))
    read = read_image(folder / "e.nii")
    assert remove(read, np.zeros(stored.shape[:3], bool)).tobytes() == stored.tobytes()
