"""slurm/babs.yaml with a real BABS, from init to merge: a failed scan keeps nobody's good scans back."""

import json
import zipfile

import pytest

from tests.container.conftest import FOLDER, USER, run
from tests.heads import REPOSITORY

SETUP = """
export PATH=/opt/tools/bin:$PATH GIT_AUTHOR_NAME=Test GIT_COMMITTER_NAME=Test
export GIT_AUTHOR_EMAIL=test@example.org GIT_COMMITTER_EMAIL=test@example.org
git config --global user.name Test && git config --global user.email test@example.org
cd {place}
"""


@pytest.fixture
def shell(cluster, place):
    def run(script):
        return cluster("bash", "-euxc", SETUP.format(place=place) + script)

    return run


def test_from_init_to_group(cluster, shell, mixed, place):
    image = FOLDER / "bidsdeface.sif"
    config = (REPOSITORY / "slurm" / "babs.yaml").read_text()
    for placeholder, value in (
        ("/path/to/BIDS", f"{place}/raw"),
        ("/private/bidsdeface.key", f"{place}/key"),
        ("module load apptainer", "export PATH=/opt/tools/bin:$PATH"),
        ('job_compute_space: "/tmp"', f'job_compute_space: "{place}"'),
    ):
        assert placeholder in config
        config = config.replace(placeholder, value)
    (place / "config.yaml").write_text(config)
    shell(f"""
head -c 32 /dev/urandom >key && chmod 600 key
datalad create -c text2git raw && cp -r {mixed}/. raw && datalad save -d raw -m raw
datalad create images && cd images && datalad containers-add --url {image} bidsdeface && cd ..
babs init --container_ds $PWD/images --container_name bidsdeface --container_config config.yaml \\
    --processing_level subject --queue slurm $PWD/project
babs check-setup $PWD/project --job-test
babs submit $PWD/project
""")
    jobs = cluster("squeue", "--noheader", "--format=%A").split()
    cluster.wait(jobs)
    shell("""
babs status $PWD/project && babs merge $PWD/project
datalad clone "ria+file://$PWD/project/output_ria#~data" results && cd results && datalad get .
""")
    output_dir = place / "output"
    for path in sorted((place / "results").glob("sub-*.zip")):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(place / "unzipped")
    run("mv", place / "unzipped" / "bidsdeface", output_dir)
    run("chown", "-R", f"{USER}:{USER}", output_dir)
    scans = sorted(path.name for path in output_dir.glob("sub-*/anat/*desc-defaced*.nii.gz"))
    assert scans == ["sub-01_desc-defaced_T1w.nii.gz", "sub-02_desc-defaced_T1w.nii.gz"]
    shell(f"apptainer run --containall -B {place} -B {mixed} {image} {mixed} {output_dir} group")
    assert len((output_dir / "quality.tsv").read_text().splitlines()) == 3
    assert json.loads((output_dir / "dataset_description.json").read_text())["DatasetType"] == "derivative"
