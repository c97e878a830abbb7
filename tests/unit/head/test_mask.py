"""Where a mask comes from: what a person accepts goes on, but what shows no face is not cut into."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bidsdeface.dataset.names import Head, Scan
from bidsdeface.errors import ImageError, RegistrationError
from bidsdeface.head import choose_mask
from bidsdeface.head import mask as masking
from bidsdeface.head.choose_mask import mask_from_other, mask_from_set
from bidsdeface.head.fit import Rejected
from bidsdeface.head.mask import Loaded, Masked, NoFace, mask_from_template, middle
from bidsdeface.head.registered import RegisteredScan
from bidsdeface.head.series import check_series
from bidsdeface.imaging.volume import apply_affine, reduce_image
from bidsdeface.quality.checks import failed_checks
from tests.conftest import as_image, fake_head

SCAN = Scan(Path("sub-1_T1w.nii"), (("sub", "1"),), "T1w", ".nii")
BAD = {"outline_shift_mm": 99.0}
WHOLE = {"emptied_share": 0.1, "face_found": 0.8}
GONE = {"emptied_share": 1.0, "face_found": 1.0}


@pytest.fixture(scope="module")
def loaded():
    head = fake_head()
    image = as_image(np.asfortranarray(head.dataobj), head.affine)
    return Loaded(SCAN, Head("1", None, (SCAN,), SCAN), b"", image, reduce_image(image, "x"))


@pytest.fixture
def finding(loaded, templates, monkeypatch):
    """Find the mask of a scan whose registration and nature are told."""

    def run(
        placed=None,
        measures=None,
        accepted=False,
        bare=False,
        second=None,
        own=None,
        removed=None,
        left_ml=9.0,
    ):
        def fit(name, volume, reference, templates, accepted, is_anatomical):
            if placed is None:
                raise RegistrationError("no head found")
            if failed_checks(measures or {}) and not accepted:
                raise Rejected(failed_checks(measures), measures)
            other = placed if second is None else second
            return RegisteredScan(name, volume, placed, other, dict(measures or {}), templates)

        monkeypatch.setattr(masking, "fit", fit)
        monkeypatch.setattr(masking, "is_bare_brain", lambda *_: bare)
        monkeypatch.setattr(masking, "measure_mask", lambda *_: own or {})
        monkeypatch.setattr(masking, "measure_removed", lambda *_: removed or WHOLE)
        monkeypatch.setattr(masking, "tissue_left_ml", lambda *_: left_ml)
        return mask_from_template(loaded, None, templates, accepted)

    return run


def shifted(z_mm):
    """Return where the template lies: scan to template."""
    matrix = np.eye(4)
    matrix[2, 3] = z_mm
    return matrix


AWAY = shifted(300)  # the whole field of view lies above the head


def test_a_head_that_is_placed_has_a_mask(finding):
    masked = finding(np.eye(4), {"similarity": 0.8}, own={"brain_in_mask_ml": 0.0})
    assert masked.mask.any() and not masked.no_face
    expected = {"similarity", "guard_to_skin_mm", "brain_in_mask_ml", *WHOLE}
    assert masked.measures.keys() == expected


def test_what_speaks_against_a_placement_is_raised_unless_a_person_accepts_it(finding):
    with pytest.raises(Rejected) as rejected:
        finding(np.eye(4), BAD)
    assert rejected.value.measures == BAD
    masked = finding(np.eye(4), BAD, accepted=True)
    assert masked.mask.any() and masked.measures["outline_shift_mm"] == 99


def test_nobody_can_accept_that_no_head_is_found(finding):
    for accepted in (False, True):
        with pytest.raises(RegistrationError, match="no head found"):
            finding(None, accepted=accepted)


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("placed", [None, np.eye(4)])
def test_a_bare_brain_is_not_cut_into_though_a_person_accepts_it(finding, placed, accepted):
    masked = finding(placed, BAD, accepted=accepted, bare=True)
    assert masked.no_face == NoFace.BARE_BRAIN and not masked.mask.any() and masked.registered is None


def test_a_head_that_fits_is_never_taken_for_a_bare_brain(finding):
    assert finding(np.eye(4), bare=True).no_face is None


def test_a_face_that_was_removed_before_is_none(finding):
    masked = finding(np.eye(4), removed=GONE, left_ml=0.0)
    assert masked.no_face == NoFace.DEFACED and not masked.mask.any() and masked.measures["mask_ml"] == 0


@pytest.mark.parametrize(
    "doubt", [{"left_ml": 9.0}, {"removed": WHOLE}, {"own": {"start_disagreement_mm": 99.0}}]
)
def test_a_face_that_may_not_have_been_removed_before_is_removed(finding, doubt):
    masked = finding(np.eye(4), **{"removed": GONE, "left_ml": 0.0, **doubt})
    assert masked.mask.any() and not masked.no_face


def test_a_field_of_view_far_from_the_face_has_none(finding):
    masked = finding(AWAY)
    assert masked.no_face == NoFace.FIELD_ENDS and not masked.mask.any() and masked.registered


@pytest.mark.parametrize("accepted", [False, True])
def test_a_field_of_view_without_face_by_a_doubtful_placement_is_refused(finding, accepted):
    for doubt in ({"measures": BAD}, {"own": {"start_disagreement_mm": 99.0}}, {"second": np.eye(4)}):
        with pytest.raises(RegistrationError):
            finding(AWAY, accepted=accepted, **doubt)


def test_a_set_shares_a_mask_on_one_grid_and_no_other(loaded):
    shape = loaded.image.stored.shape
    masked = Masked(np.ones(shape, bool), loaded.image.affine, {})
    assert mask_from_set(masked, loaded) is masked
    moved = loaded.image.affine @ shifted(0.1)
    for other in (
        Masked(np.ones(shape[::-1], bool), loaded.image.affine, {}),
        Masked(masked.mask, moved, {}),
    ):
        with pytest.raises(ImageError, match="not on the grid of its set"):
            mask_from_set(other, loaded)


@pytest.mark.parametrize(("datatype", "of_face"), [("anat", {"face_found": 0.1}), ("func", {})])
def test_a_shared_mask_is_measured_on_each_scan_by_what_its_kind_shows(
    loaded, templates, monkeypatch, datatype, of_face
):
    monkeypatch.setattr(masking, "measure_mask", lambda *_: {"brain_in_mask_ml": 7.0})
    monkeypatch.setattr(masking, "measure_removed", lambda *_: {"face_found": 0.1})
    monkeypatch.setattr(choose_mask, "check_still", lambda *_: None)
    monkeypatch.setattr(choose_mask, "check_series", lambda *_, **__: None)
    registered = RegisteredScan("first", loaded.volume, np.eye(4), np.eye(4), {}, templates)
    masked = Masked(
        np.ones(loaded.image.stored.shape, bool), loaded.image.affine, {"brain_in_mask_ml": 0.0}, registered
    )
    another = replace(loaded, scan=replace(SCAN, datatype=datatype))
    measures = mask_from_set(masked, another).measures
    assert measures == {"brain_in_mask_ml": 7.0, **of_face}


def series(loaded, *volumes):
    image = as_image(np.stack(volumes, -1).astype(np.int16), loaded.image.affine)
    return replace(loaded, image=image, scan=replace(SCAN, datatype="func"))


def test_a_series_in_which_the_head_moves_is_refused_and_a_spike_is_not(loaded, templates):
    still = loaded.image.stored
    registered = RegisteredScan("x", loaded.volume, np.eye(4), np.eye(4), {}, templates)

    def check(loaded, **options):
        check_series(loaded.image, registered, **options)

    spike = np.full(still.shape, 30000)
    check(series(loaded, still, spike, still), each=False)
    with pytest.raises(ImageError, match="volume 2: has the same value everywhere"):
        check(series(loaded, still, spike, still), each=True)
    with pytest.raises(RegistrationError, match="most volumes do not show the head"):
        check(series(loaded, still, spike, spike), each=False)
    moved = np.roll(still, 2, axis=1)
    for each in (False, True):
        with pytest.raises(RegistrationError, match="volume 3: the head has moved by 1"):
            check(series(loaded, still, still, moved), each=each)


def test_a_series_of_a_set_in_which_the_head_moves_is_refused_wherever_it_stands_in_the_set(
    loaded, templates
):
    still = loaded.image.stored
    first = Masked(
        still > 0,
        loaded.image.affine,
        {},
        RegisteredScan("first", loaded.volume, np.eye(4), np.eye(4), {}, templates),
    )
    moved = np.roll(still, 2, axis=1)
    for scan in (SCAN, replace(SCAN, datatype="func")):
        another = replace(series(loaded, still, still, still, moved), scan=scan)
        with pytest.raises(RegistrationError, match="volume 4: the head has moved"):
            mask_from_set(first, another)


def test_a_map_takes_the_mask_of_its_series_unless_it_shows_the_head_elsewhere(loaded, templates):
    lender, a_map = (replace(SCAN, path=Path(f"sub-1_{one}.nii"), suffix=one) for one in ("MP2RAGE", "T1map"))
    registered = RegisteredScan("first", loaded.volume, np.eye(4), np.eye(4), {}, templates)
    done = {lender: Masked(loaded.image.stored > 0, loaded.image.affine, {}, registered)}
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 4095, loaded.image.stored.shape)
    for stored, lent in (
        (4000 - loaded.image.stored, True),
        (noise, True),  # nothing to compare: the labels tell
        (np.roll(loaded.image.stored, 8, axis=1), False),
    ):
        image = as_image(np.asfortranarray(stored.astype(np.int16)), loaded.image.affine)
        one = replace(loaded, scan=a_map, image=image, volume=reduce_image(image, "x"))
        found = mask_from_other(one, done)
        assert (found is not None) == lent
        assert found is None or found.lent_by == lender.stem


def test_slices_of_pictures_go_through_what_is_in_view(loaded, templates):
    """The middle of the head may not be."""
    affine, last = loaded.image.affine, np.array(loaded.image.stored.shape) - 1
    for placed in (np.eye(4), AWAY, shifted(-300)):
        registered = RegisteredScan("x", loaded.volume, placed, placed, {}, templates)
        centre = middle(loaded, Masked(loaded.image.stored > 0, affine, {}, registered))
        voxel = apply_affine(np.linalg.inv(affine), centre)
        assert (voxel > -1e-6).all() and (voxel < last + 1e-6).all()
    assert np.allclose(middle(loaded, None), apply_affine(affine, last / 2))


@pytest.mark.parametrize(
    ("field", "size", "expected"),
    [
        ((40, 40, 40), (8, 8, 8), 0.0),
        ((40, 40, 40), (24, 24, 24), np.nan),
        ((40, 40, 40), (16, 30, 16), 0.0),
        ((40, 40, 8), (24, 24, 5), np.nan),
    ],
    ids=["33 mL", "885 mL", "64 mm in two directions", "a slab"],
)
def test_what_cannot_be_placed_may_show_a_face_unless_it_is_too_little_for_one(
    templates, monkeypatch, field, size, expected
):

    def nowhere(*_):
        raise RegistrationError("no head found")

    monkeypatch.setattr(masking, "likely_places", lambda *_: [])
    monkeypatch.setattr(masking, "place", nowhere)
    values = np.zeros(field, np.int16)
    x, y, z = size
    values[3 : 3 + x, 3 : 3 + y, 3 : 3 + z] = 500
    image = as_image(np.asfortranarray(values), np.diag([4.0, 4.0, 4.0, 1.0]))
    found = masking.face_in(image, reduce_image(image, "x"), None, templates)
    assert found == expected or np.isnan(found) and np.isnan(expected)
