"""The files that make the output a BIDS derivative dataset."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from bidsdeface.dataset.query import find_heads
from bidsdeface.dataset.validator import find_problems
from bidsdeface.errors import BidsdefaceError, UsageError
from bidsdeface.output.description import write_dataset_files
from bidsdeface.output.names import outputs_of
from bidsdeface.output.record import image_sidecar, mask_sidecar, to_json
from tests.conftest import fake_head, make_dataset


def written(tmp_path, environ=None, **description):
    bids_dir = make_dataset(tmp_path, description=description)
    output_dir = tmp_path / "out"
    output_dir.mkdir()
    write_dataset_files(output_dir, bids_dir, environ or {})
    return json.loads((output_dir / "dataset_description.json").read_text())


@pytest.mark.parametrize("doi", ["10.18112/ds1.v1", "doi:10.18112/ds1.v1", "https://doi.org/10.18112/ds1.v1"])
def test_a_source_with_doi_is_linked_by_it(tmp_path, doi):
    description = written(tmp_path, DatasetDOI=doi)
    assert description["DatasetLinks"] == {"raw": "doi:10.18112/ds1.v1"}
    assert description["SourceDatasets"] == [{"DOI": "doi:10.18112/ds1.v1"}]


@pytest.mark.parametrize("doi", ["", "/data/private/ds1", "file:///data/ds1"])
def test_a_source_without_doi_is_linked_by_no_path(tmp_path, doi):
    description = written(tmp_path, DatasetDOI=doi)
    assert description["DatasetLinks"] == {"raw": "urn:bids:raw"}
    assert "SourceDatasets" not in description
    assert str(tmp_path) not in json.dumps(description)
    assert "/data" not in json.dumps(description)


def test_the_licence_is_passed_on(tmp_path):
    assert written(tmp_path, License="CC0")["License"] == "CC0"


def test_the_container_is_named_by_its_tag_and_never_by_its_path(tmp_path):
    environ = {"BIDSDEFACE_CONTAINER": "bidsdeface:1", "APPTAINER_CONTAINER": "/home/me/x.sif"}
    generator = written(tmp_path, environ)["GeneratedBy"][0]
    assert generator["Container"] == {"Type": "apptainer", "Tag": "bidsdeface:1"}


def test_many_tasks_at_once_leave_whole_files_and_nothing_else(tmp_path):
    bids_dir = make_dataset(tmp_path)
    output_dir = tmp_path / "out"
    output_dir.mkdir()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: write_dataset_files(output_dir, bids_dir, {}), range(64)))
    assert {path.name for path in output_dir.iterdir()} == {
        ".bidsignore",
        "README.md",
        "dataset_description.json",
        "descriptions.tsv",
    }
    assert json.loads((output_dir / "dataset_description.json").read_text())["GeneratedBy"]


def test_files_that_are_right_are_not_touched_again(tmp_path):
    written(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    write_dataset_files(tmp_path / "out", tmp_path / "bids", {})
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}


def test_a_readme_of_somebody_is_left_alone(tmp_path):
    written(tmp_path)
    assert "made by bidsdeface" in (tmp_path / "out/README.md").read_text()
    (tmp_path / "out/README.md").unlink()
    (tmp_path / "out/README").write_text("Mine.\n")
    write_dataset_files(tmp_path / "out", tmp_path / "bids", {})
    assert [path.name for path in (tmp_path / "out").glob("README*")] == ["README"]


def test_the_dataset_of_somebody_else_is_not_overwritten(tmp_path):
    bids_dir = make_dataset(tmp_path)
    other = make_dataset(tmp_path / "other")
    before = (other / "dataset_description.json").read_bytes()
    with pytest.raises(UsageError, match="did not make"):
        write_dataset_files(other, bids_dir, {})
    assert (other / "dataset_description.json").read_bytes() == before


def test_a_broken_description_of_the_source_is_one_clear_line(tmp_path):
    bids_dir = make_dataset(tmp_path)
    (bids_dir / "dataset_description.json").write_text("{")
    with pytest.raises(BidsdefaceError, match="dataset_description.json: is not JSON"):
        write_dataset_files(tmp_path, bids_dir, {})


def test_a_whole_derivative_dataset_is_valid(tmp_path):
    scans = (
        "sub-01/ses-a/anat/sub-01_ses-a_acq-x_ce-y_rec-z_run-2_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_run-1_echo-1_part-mag_MEGRE.nii",
        "sub-02/anat/sub-02_T2w.nii.gz",
    )
    bids_dir = make_dataset(tmp_path, scans)
    output_dir = tmp_path / "out"
    output_dir.mkdir()
    write_dataset_files(output_dir, bids_dir, {"BIDSDEFACE_CONTAINER": "bidsdeface:1"})
    for head in find_heads(bids_dir).heads:
        for scan in head.scans:
            outputs = outputs_of(scan)
            (output_dir / scan.folder).mkdir(parents=True, exist_ok=True)
            fake_head().to_filename(output_dir / outputs.image)
            fake_head().to_filename(output_dir / outputs.mask)
            metadata = {"EchoTime": 0.003, "FlipAngle": 9}
            provenance = {"Version": "1", "Measures": {"Volume": 1.5}}
            for name, sidecar in (
                (outputs.image_sidecar, image_sidecar(metadata, provenance, scan.uri)),
                (outputs.mask_sidecar, mask_sidecar(provenance, [scan.uri])),
            ):
                (output_dir / name).write_text(to_json(sidecar))
    for ignored in (
        "sub-01.html",
        "sub-01/figures/sub-01_T1w.png",
        "impact.tsv",
        "missing.tsv",
        "quality.tsv",
        "quality.json",
    ):
        (output_dir / ignored).parent.mkdir(parents=True, exist_ok=True)
        (output_dir / ignored).touch()
    assert find_problems(output_dir) == []
    (output_dir / ".bidsignore").unlink()
    assert find_problems(output_dir) != []
