"""The same image as a SIF, as a user of a cluster runs it: the host's home and variables come along."""

import shutil

import pytest

from tests.container.conftest import FIGURES, USER, contents, description_of, open_folder, poisoned

HOME = "/home/user"


@pytest.fixture
def poisoned_home(machine, poison, folder):
    """Put the poison where the host's home is, and take it away again."""
    home = folder.parent / "cluster" / HOME.lstrip("/")
    shutil.copytree(poison, home, dirs_exist_ok=True)
    yield
    for name in (".local", "lib"):
        shutil.rmtree(home / name)


def test_the_host_does_not_get_in(machine, sif, poisoned_home, bids_dir, folder, expected):
    """Without --cleanenv, in a read-only image, without a network."""
    FIGURES["SIF"] = f"{sif.stat().st_size / 1e6:.0f} MB"
    output_dir = open_folder(folder / "apptainer")
    binds = ("-B", f"{bids_dir}:{bids_dir}:ro", "-B", output_dir)
    variables = poisoned(HOME)
    # Apptainer itself is a program of the host: libraries that break it too would prove nothing.
    variables["APPTAINERENV_LD_LIBRARY_PATH"] = variables.pop("LD_LIBRARY_PATH")
    machine(
        *("env", *(f"{name}={value}" for name, value in variables.items())),
        *("apptainer", "-q", "run", "--net", "--network=none", *binds, sif),
        *(bids_dir, output_dir, "participant"),
    )
    found = contents(output_dir)
    differing = {name for name in expected if found.get(name) != expected[name]}
    assert differing == {"dataset_description.json"}  # it says which container made it
    assert found.keys() == expected.keys()
    assert description_of(output_dir)["GeneratedBy"][0]["Container"]["Type"] == "apptainer"
    assert {path.stat().st_uid for path in output_dir.rglob("*")} == {USER}


def test_a_home_that_is_not_there_is_not_needed(machine, sif):
    assert machine("apptainer", "-q", "run", "--no-home", "--cleanenv", sif, "--version").stdout


def test_the_image_carries_its_labels_and_help(machine, sif):
    assert "org.opencontainers.image.version" in machine("apptainer", "inspect", "--labels", sif).stdout
    assert "BIDS_DIR OUTPUT_DIR" in machine("apptainer", "run-help", sif).stdout
