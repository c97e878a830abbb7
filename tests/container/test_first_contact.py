"""The README's two commands, with Docker and no clone; a local registry stands in for the public one."""

import os
import re
import shutil

import pytest

from tests.container.conftest import ENGINES, FOLDER, IMAGE, OURS, USER, open_folder, run
from tests.heads import REPOSITORY

PORT = 5042


@pytest.fixture(scope="module")
def in_registry(docker):
    """Return the name of the image in the registry; the engine has forgotten it."""
    if not OURS:
        pytest.skip("registry: only root on Debian can install one here")
    shutil.rmtree(FOLDER / "registry", ignore_errors=True)
    run(ENGINES / "registry.sh", FOLDER / "registry", PORT)
    name = f"127.0.0.1:{PORT}/bidsdeface"
    docker("tag", IMAGE, name)
    docker("push", name)
    docker("rmi", name)
    yield name
    run("kill", (FOLDER / "registry" / "pid").read_text().strip())


def test_two_commands_lead_to_the_demo_picture(docker, in_registry, folder):
    here = open_folder(folder / "no-clone")
    block = re.search(r"```shell\n([^`]*bidsdeface-demo[^`]*)```", (REPOSITORY / "README.md").read_text())[1]
    commands = re.sub(
        r"\bbidsdeface(?= /demo)", in_registry, block.replace("$(id -u):$(id -g)", f"{USER}:{USER}")
    )
    assert len(commands.splitlines()) == 2 and commands.count(in_registry) == 2
    environ = {**os.environ, "PATH": f"/usr/bin:{os.environ['PATH']}", "DOCKER_HOST": docker.host}
    run("bash", "-ec", f"umask 0; {commands}", cwd=here, env=environ)
    (picture,) = here.glob("demo/out/sub-average/figures/*_desc-defaced_T1w.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
