"""Wheel and sdist install in an empty environment, from PyPI alone, and say what `version` says."""

import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from tests.heads import REPOSITORY

VERSION = (REPOSITORY / "version").read_text().strip()
CONSTRAINTS = ("--constraint", str(REPOSITORY / "constraints.txt"))


def pip(python, *arguments):
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", *arguments], check=True)


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[str, Path]:
    """Return what is built: the sdist from the tree, the wheel from the sdist, as a release has it."""
    folder = tmp_path_factory.mktemp("packages")
    tools = folder / "tools"
    venv.create(tools, with_pip=True)
    pip(tools / "bin" / "python", "install", "--quiet", "build")
    subprocess.run([tools / "bin" / "python", "-m", "build", "--outdir", folder, REPOSITORY], check=True)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


def test_both_carry_the_version(packages):
    assert packages["sdist"].name == f"bidsdeface-{VERSION}.tar.gz"
    assert packages["wheel"].name == f"bidsdeface-{VERSION}-py3-none-any.whl"


def test_the_wheel_holds_the_package_and_nothing_else(packages):
    names = zipfile.ZipFile(packages["wheel"]).namelist()
    assert {name.partition("/")[0] for name in names} == {"bidsdeface", f"bidsdeface-{VERSION}.dist-info"}
    assert any(name.endswith("tpl-WholeHead_res-02_T1w.nii.gz") for name in names)


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_installs_and_starts(packages, kind, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    pip(environment / "bin" / "python", "install", "--quiet", *CONSTRAINTS, str(packages[kind]))
    code = "from bidsdeface.templates.source import whole_head; whole_head()"
    subprocess.run([environment / "bin" / "python", "-I", "-c", code], check=True, cwd=tmp_path)
    said = subprocess.run(
        [environment / "bin" / "bidsdeface", "--version"], check=True, capture_output=True, text=True
    )
    assert said.stdout == f"bidsdeface {VERSION}\n"
