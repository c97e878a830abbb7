"""Output that DataLad has saved: runs go on with it, `datalad rerun` gives the same, secrets are found."""

import json
import os

import pytest

from tests.container.conftest import FOLDER, USER, write_heads

SIF = FOLDER / "bidsdeface.sif"
IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "Test"), ("EMAIL", "test@example.org"))
}


@pytest.fixture
def shell(machine, sif, place):
    """Return a function that runs a line in a folder of the test and returns its output."""
    write_heads(place / "raw", "sub-01_T1w")
    for path in (place / "raw", *(place / "raw").rglob("*")):
        os.chown(path, USER, USER)
    app = f"apptainer -q run --containall -B {place} {sif}"
    check = f"apptainer -q exec --containall -B {place} {sif} /opt/venv/bin/bidsdeface-check"
    functions = f'bidsdeface() {{ {app} "$@"; }}; check() {{ {check} "$@"; }}'

    def run(line, folder=".", check=True):
        script = f"export PATH=/opt/tools/bin:$PATH; {functions}; cd {place}/{folder} && {line}"
        return machine("bash", "-euc", script, check=check, environ=IDENTITY)

    run("datalad create -c text2git super && datalad create -d super super/inputs")
    run("cp -r raw/. super/inputs && datalad save -d super -r -m input")
    run.app = app
    return run


def test_in_a_superdataset(shell, place):
    """The output is a folder of a dataset that has the input as a subdataset."""
    options = f"{place}/super/inputs {place}/super/out"
    shell(f"datalad run -i inputs -o out '{shell.app} {options} participant'", "super")
    image = place / "super" / "out" / "sub-01" / "anat" / "sub-01_desc-defaced_T1w.nii.gz"
    assert image.is_symlink()
    assert "1 kept" in shell(f"bidsdeface {options} participant", "super").stderr
    shell(f"bidsdeface {options} group && datalad save -m group", "super")
    shell(f"bidsdeface {options} group && check {place}/super/out", "super")
    shell("datalad save -m again && datalad rerun $(git log --grep RUNCMD --format=%H)", "super")
    assert shell("git status --short", "super").stdout == ""


def test_as_its_own_dataset(shell, place):
    """A complete dataset that is done again: links are replaced, not written through."""
    shell("datalad create own")
    participant, group = (
        f"bidsdeface {place}/super/inputs {place}/own {level} --output-layout bids -w {place}/work"
        for level in ("participant", "group")
    )
    shell(f"{participant} && datalad save -d own -m one")
    image = place / "own" / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    before = image.resolve()
    assert image.is_symlink()
    assert (place / "own" / "participants.tsv").is_symlink()
    assert "1 kept" in shell(participant).stderr
    shell(f"{participant} --force")
    assert not image.is_symlink()
    assert image.read_bytes() == before.read_bytes()
    shell(f"{group} && datalad save -d own -m two && check {place}/own")

    sidecar = image.with_name("sub-01_T1w.json")
    given = json.loads(sidecar.read_text()) | {"PatientName": "Doe^Jane"}
    (place / "planted.json").write_text(json.dumps(given))
    os.chown(place / "planted.json", USER, USER)
    shell(f"mv -f planted.json {sidecar} && datalad save -d own -m planted")
    assert sidecar.is_symlink()
    found = shell(f"check {place}/own", check=False)
    assert found.returncode == 5
    assert "PatientName" in found.stdout + found.stderr
