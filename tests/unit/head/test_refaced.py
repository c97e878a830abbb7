"""What is put into a mask; and whether a published image shows the average, whatever its record says."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bidsdeface.dataset.names import Head, scan_at
from bidsdeface.head.mask import Loaded, Masked, NoFace
from bidsdeface.head.options import REFACE, REMOVE, MaskOptions, NotRefaced
from bidsdeface.head.refaced import refaced, replacement_of, without_average
from bidsdeface.imaging.image import clean_header, mask_header, read_image, write_image
from bidsdeface.templates.source import average_face, whole_head
from tests.conftest import as_image, fake_head
from tests.unit.imaging.test_reface import scan

PLACEMENT = np.eye(4).tolist()


@pytest.fixture(scope="module")
def average():
    return average_face()


@pytest.fixture
def published(tmp_path, average):
    """Publish a scan with the average face; return its path, the raw scan and the mask."""
    image, mask = scan(whole_head())
    path = tmp_path / "sub-01" / "anat" / "sub-01_desc-defaced_T1w.nii"
    path.parent.mkdir(parents=True)
    write_image(path, clean_header(image.header), refaced("sub-01_T1w", image, mask, PLACEMENT, average))
    drawn = path.with_name("sub-01_mod-T1w_desc-face_defacemask.nii.gz")
    write_image(drawn, mask_header(image.header), mask.view("uint8"))
    record = {"Method": "reface", "PlacementOnWholeHead": PLACEMENT}
    path.with_suffix(".json").write_text(json.dumps({"Bidsdeface": record}))
    return path, image, mask


def is_average(path):
    image = read_image(path)
    return without_average(path, image) is not image


def test_the_average_face_is_recognised(published, average):
    path, _, mask = published
    cleared = without_average(path, read_image(path))
    assert np.ptp(cleared.stored[mask]) == 0


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_a_persons_face_is_not_taken_for_the_average(published, average, share):
    path, raw, mask = published
    mixed = read_image(path).stored.copy(order="F")
    mixed[mask] = ((1 - share) * mixed[mask] + share * raw.stored[mask]).astype(mixed.dtype)
    write_image(path, clean_header(raw.header), mixed)
    assert not is_average(path)


def test_a_spike_outside_the_mask_hides_no_face_inside(published, average):
    path, raw, mask = published
    spiked = replace(raw, stored=raw.stored.copy(order="F"))
    spiked.stored[tuple(np.argwhere(~mask)[0])] = np.iinfo(raw.stored.dtype).max
    values = refaced("sub-01_T1w", spiked, mask, PLACEMENT, average)
    write_image(path, clean_header(raw.header), values)
    assert is_average(path)
    values[mask] += np.clip((raw.stored[mask] // 30).astype(values.dtype), 0, 30)
    write_image(path, clean_header(raw.header), values)
    assert not is_average(path)


@pytest.mark.parametrize(
    "record", [{"Method": "remove"}, {"Method": "reface"}, {"Method": "reface", "PlacementOnWholeHead": 3}]
)
def test_a_record_without_a_placement_proves_nothing(published, average, record):
    path, *_ = published
    path.with_suffix(".json").write_text(json.dumps({"Bidsdeface": record}))
    assert not is_average(path)


def test_the_average_face_of_another_mask_is_not_recognised(published, average):
    path, raw, mask = published
    smaller = replace(raw, stored=np.roll(mask, 1, axis=0).view("uint8"))
    write_image(
        path.with_name("sub-01_mod-T1w_desc-face_defacemask.nii.gz"), mask_header(raw.header), smaller.stored
    )
    assert not is_average(path)


def what_is_put_in(average, name, below=0, method=REFACE, **found):
    """Return what takes the place of the face in a scan of this name."""
    image, mask = scan(whole_head())
    image = as_image((image.stored - below).astype("int16"), image.affine)
    labels = scan_at(Path("sub-01") / name)
    masked = Masked(mask, image.affine, {}, SimpleNamespace(head=SimpleNamespace(to_head=np.eye(4))))
    settings = MaskOptions(bids_dir=Path("in"), output_dir=Path("out"), method=method)
    loaded = Loaded(labels, Head("01", None, (labels,), labels), b"", image, None)
    return image, mask, replacement_of(loaded, replace(masked, **found), settings, average)


def test_the_average_is_put_into_an_anatomical_image(average):
    image, mask, new = what_is_put_in(average, "anat/sub-01_T2w.nii.gz")
    assert new.values.shape == image.stored.shape and new.placement == PLACEMENT and not new.not_refaced
    assert np.ptp(new.values[mask]) > 0


@pytest.mark.parametrize(
    ("name", "below", "found", "reason"),
    [
        ("anat/sub-01_part-phase_MEGRE.nii.gz", 0, {}, NotRefaced.PHASE),
        ("anat/sub-01_T1map.nii.gz", 0, {}, NotRefaced.MAP),
        ("func/sub-01_task-rest_bold.nii.gz", 0, {}, NotRefaced.SERIES_OR_OTHER),
        ("pet/sub-01_trc-FDG_pet.nii.gz", 0, {}, NotRefaced.SERIES_OR_OTHER),
        ("anat/sub-01_T1w.nii.gz", 0, {"registered": None}, NotRefaced.BY_HAND),
        ("anat/sub-01_CT.nii.gz", 1000, {}, NotRefaced.BELOW_ZERO),
    ],
)
def test_what_is_not_refaced_is_removed_and_the_reason_is_given(average, name, below, found, reason):
    *_, new = what_is_put_in(average, name, below, **found)
    assert new.values.ndim == 0 and new.placement is None and new.not_refaced == reason


@pytest.mark.parametrize("options", [{"method": REMOVE, "average": None}, {"no_face": NoFace.BARE_BRAIN}])
def test_no_reason_is_given_where_no_average_was_to_be_put_in(average, options):
    *_, new = what_is_put_in(**{"average": average, "name": "anat/sub-01_T1w.nii.gz", **options})
    assert new.values.ndim == 0 and new.placement is None and new.not_refaced is None


def test_a_nose_that_folded_over_stays_emptied(average):
    _, mask = scan(whole_head())
    folded = np.zeros_like(mask)
    folded[:, :4] = True
    *_, new = what_is_put_in(average, "anat/sub-01_T1w.nii.gz", mask=mask | folded, folded=folded)
    assert not new.values[folded].any() and new.values[mask].any()


@pytest.mark.parametrize("name", ["sub-01_T1w.nii.gz", "anything.nii.gz"])
@pytest.mark.parametrize("placement", [None, "here", np.zeros((4, 4)).tolist(), [[np.nan] * 4] * 4])
def test_a_record_that_says_nothing_of_use_leaves_the_image_as_it_is(tmp_path, name, placement):
    head = fake_head()
    head.to_filename(tmp_path / name)
    head.to_filename(tmp_path / "sub-01_mod-T1w_defacemask.nii.gz")
    record = {"Bidsdeface": {"Method": "reface", "PlacementOnWholeHead": placement}}
    (tmp_path / name.replace(".nii.gz", ".json")).write_text(json.dumps(record))
    image = read_image(tmp_path / name)
    assert without_average(tmp_path / name, image) is image
