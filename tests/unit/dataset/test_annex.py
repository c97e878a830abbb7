"""Files that git-annex has not fetched: links to nowhere, and pointers in their place."""

import shutil

import pytest

from bidsdeface.companions.source import RawDataset, SubjectScope
from bidsdeface.companions.sync import sync
from bidsdeface.dataset.annex import check_fetched, is_fetched
from bidsdeface.dataset.inheritance import read_gradients, read_metadata
from bidsdeface.dataset.query import find_heads
from bidsdeface.errors import BidsdefaceError
from bidsdeface.head.mask import load
from bidsdeface.settings import Settings, check_settings
from tests.conftest import make_dataset

KEY = "MD5E-s1234--0123456789abcdef0123456789abcdef.nii.gz"
T1W = "sub-01/anat/sub-01_T1w.nii.gz"


def link(path, fetched=False):
    """Put a file into an annex, as DataLad does, and drop its content unless it is to be there."""
    root = next(parent for parent in path.parents if (parent / "dataset_description.json").exists())
    place = root / ".git/annex/objects/aa/bb" / path.name / path.name
    place.parent.mkdir(parents=True)
    shutil.move(path, place)
    path.symlink_to("../" * (len(path.relative_to(root).parts) - 1) + str(place.relative_to(root)))
    if fetched:
        place.chmod(0o444)
        place.parent.chmod(0o555)
    else:
        place.unlink()


def pointer(path):
    """Put what an unlocked file is before it is fetched."""
    path.write_text(f"/annex/objects/{KEY}\n")


@pytest.fixture
def bids_dir(tmp_path):
    return make_dataset(tmp_path, [T1W, "sub-01/anat/sub-01_T2w.nii.gz"])


@pytest.mark.parametrize("drop", [link, pointer])
def test_an_image_that_is_not_here_is_one_line_with_the_command_that_gets_it(bids_dir, drop):
    drop(bids_dir / T1W)
    head = find_heads(bids_dir).heads[0]
    scan = next(scan for scan in head.scans if scan.suffix == "T1w")
    with pytest.raises(BidsdefaceError) as error:
        load(scan, head)
    assert str(error.value).startswith(f"{bids_dir / T1W}: its content is not here")
    assert str(error.value).endswith(f"in {bids_dir}, run: datalad get {T1W}") and "\n" not in str(
        error.value
    )


@pytest.mark.parametrize("drop", [link, pointer])
@pytest.mark.parametrize("name", ["sub-01/anat/sub-01_T1w.json", "T1w.json"])
def test_so_is_a_sidecar(bids_dir, drop, name):
    (bids_dir / name).write_text("{}")
    drop(bids_dir / name)
    scan = next(scan for scan in find_heads(bids_dir).heads[0].scans if scan.suffix == "T1w")
    with pytest.raises(BidsdefaceError, match=f"run: datalad get {name}"):
        read_metadata(bids_dir, scan)


@pytest.mark.parametrize("drop", [link, pointer])
def test_so_are_gradients(tmp_path, drop):
    bids_dir = make_dataset(tmp_path, ["sub-01/dwi/sub-01_dwi.nii.gz"])
    bval = bids_dir / "sub-01/dwi/sub-01_dwi.bval"
    bval.write_text("0\n")
    drop(bval)
    scan = find_heads(bids_dir, suffixes=["dwi"]).heads[0].scans[0]
    with pytest.raises(BidsdefaceError, match=r"run: datalad get sub-01/dwi/sub-01_dwi\.bval"):
        read_gradients(scan)


@pytest.mark.parametrize("drop", [link, pointer])
def test_so_is_the_description_of_the_dataset(bids_dir, tmp_path, drop):
    shutil.copy(bids_dir / "dataset_description.json", tmp_path / "kept")
    drop(bids_dir / "dataset_description.json")
    with pytest.raises(BidsdefaceError, match=r"run: datalad get dataset_description\.json"):
        check_settings(Settings(bids_dir=bids_dir, output_dir=tmp_path / "out", level="participant"))


@pytest.mark.parametrize("drop", [link, pointer])
def test_so_is_a_table_of_a_complete_dataset(bids_dir, tmp_path, drop):
    table = bids_dir / "sub-01/sub-01_scans.tsv"
    table.write_text("filename\nanat/sub-01_T1w.nii.gz\n")
    drop(table)
    (tmp_path / "out").mkdir()
    settings = Settings(
        bids_dir=bids_dir, output_dir=tmp_path / "out", level="participant", output_layout="bids"
    )
    left_out = {str(one.path): one.reason for one in sync(SubjectScope("01"), RawDataset(settings)).left_out}
    assert left_out["sub-01/sub-01_scans.tsv"].endswith("run: datalad get sub-01/sub-01_scans.tsv")


def test_a_link_to_content_that_is_here_is_followed(bids_dir):
    before = (bids_dir / T1W).read_bytes()
    link(bids_dir / T1W, fetched=True)
    head = find_heads(bids_dir).heads[0]
    assert load(next(scan for scan in head.scans if scan.suffix == "T1w"), head).content == before


def test_names_for_a_shell_are_quoted_and_other_files_pass(tmp_path):
    odd = tmp_path / "a file"
    odd.symlink_to(".git/annex/objects/x")
    with pytest.raises(BidsdefaceError, match="datalad get 'a file'"):
        check_fetched(odd, tmp_path)
    text = tmp_path / "README"
    text.write_text("/annex/object is not what it says")
    assert is_fetched(text) and is_fetched(tmp_path / "nothing") and is_fetched(tmp_path)
