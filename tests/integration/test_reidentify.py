"""A whole study of one real head: seen before, not after; kept, so that it goes on where it stopped."""

import numpy as np
import pytest

from bidsdeface.errors import BidsdefaceError
from bidsdeface.imaging.image import mask_header, read_image, write_image
from bidsdeface.reidentify import study
from bidsdeface.reidentify.study import Case, conduct, strangers
from tests.heads import find_head

pytestmark = pytest.mark.heads


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A head whose front is cut away before the ears."""
    folder, path = tmp_path_factory.mktemp("study"), find_head("S04")
    image = read_image(path)
    mask = np.zeros(image.stored.shape, np.uint8, order="F")
    mask[:, 70:] = 1
    front = np.where(mask, 0, image.stored).astype(image.stored.dtype)
    write_image(folder / "defaced.nii.gz", image.header, np.asfortranarray(front))
    write_image(folder / "mask.nii.gz", mask_header(image.header), mask)
    return Case("S04", "sub-01", path, folder / "defaced.nii.gz", folder / "mask.nii.gz")


def test_a_head_is_recognised_before_and_the_study_goes_on_where_it_stopped(case, tmp_path, monkeypatch):
    pytest.importorskip("dlib", reason="pip install bidsdeface[audit]")
    findings = conduct([case], tmp_path, people=2)
    assert (findings.people, findings.synthetic, findings.faceless) == (2, 1, 0)
    assert findings.before.ranks[1].hits == 1 and findings.before.detected.hits == 1
    assert findings.underpowered  # one head proves nothing
    assert [findings.after[name].detected.hits for name in ("plain", "informed", "mask")] == [0, 0, 0]
    assert findings.after["restoring"].detected.hits == 1  # it has the average face now
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 4 and {path.suffix for path in kept} == {".npz"}
    times = [path.stat().st_mtime_ns for path in kept[1:]]
    kept[0].unlink()  # as if it had stopped before this one
    assert conduct([case], tmp_path, people=2) == findings
    assert [path.stat().st_mtime_ns for path in kept[1:]] == times


def test_a_gallery_is_filled_up_with_synthetic_people_made_from_all_scans(case):
    other = Case("S04 again", "sub-02", case.original, case.defaced, case.mask)
    added = list(strangers([case, other, other], 10))
    assert len(added) == 8 and len({stranger.key for stranger in added}) == 8
    assert {stranger.case.key for stranger in added} == {"S04", "S04 again"}
    assert list(strangers([case], 1)) == []


def test_a_study_without_face_recognition_stops_before_the_work(case, tmp_path, monkeypatch):
    def missing():
        raise BidsdefaceError("dlib cannot be imported")

    monkeypatch.setattr(study, "DlibRecogniser", missing)
    with pytest.raises(BidsdefaceError, match="dlib cannot be imported"):
        conduct([case], tmp_path)
    assert list(tmp_path.iterdir()) == []
