"""The demo dataset through `docker run`, under every condition that people have: the same bytes each time."""

import json
import time

import pytest

from tests.container.conftest import FIGURES, IMAGE, contents, description_of, open_folder, poisoned

ENOLCK, EPERM = 37, 1
# What a file system without locks and hard links does, such as some of NFS.
NO_LINKS_NO_LOCKS = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {"names": ["link", "linkat"], "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM},
        {"names": ["flock"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOLCK},
    ],
}
HOSTILE = [f"--env={name}={value}" for name, value in poisoned("/home/me").items()]


@pytest.fixture(scope="session")
def conditions(folder, poison):
    profile = folder / "seccomp.json"
    profile.write_text(json.dumps(NO_LINKS_NO_LOCKS))
    locked_down = ("--read-only", "--tmpfs=/tmp", "--user=1000:1000", "--memory=4g", "--memory-swap=4g")
    return {
        "read-only, a user without a name": (locked_down, ()),
        "a hostile host, a home that cannot be written": (
            (*locked_down, f"-v={poison}:/home/me:ro", *HOSTILE),
            (),
        ),
        "root squashed, no locks, no links, a work dir elsewhere": (
            (
                "--cap-drop=ALL",
                f"--security-opt=seccomp={profile}",
                "--tmpfs=/work",
                "--read-only",
                "--tmpfs=/tmp",
            ),
            ("--work-dir", "/work"),
        ),
    }


@pytest.mark.parametrize(
    "condition",
    [
        "read-only, a user without a name",
        "a hostile host, a home that cannot be written",
        "root squashed, no locks, no links, a work dir elsewhere",
    ],
)
def test_the_result_is_the_same(docker, bids_dir, folder, expected, conditions, condition):
    options, arguments = conditions[condition]
    output_dir = open_folder(folder / condition.replace(" ", "-").replace(",", ""))
    mounts = (f"-v={bids_dir}:/data:ro", f"-v={output_dir}:/out")
    started = time.monotonic()
    docker.app("/data", "/out", "participant", *arguments, options=(*options, *mounts))
    FIGURES.setdefault("docker run, first scan", f"{time.monotonic() - started:.1f} s")
    assert contents(output_dir) == expected
    container = description_of(output_dir)["GeneratedBy"][0]["Container"]
    assert container["Type"] == "docker"


def test_the_hostile_host_is_hostile(docker, poison):
    options = (*HOSTILE, f"-v={poison}:/home/me:ro")
    for code in ("import numpy", "import zlib"):
        said = docker(
            "run", "--rm", "--network=none", *options, "--entrypoint=python", IMAGE, "-c", code, check=False
        )
        assert said.returncode != 0


@pytest.mark.parametrize("option", ["--cpus=1", "--cpuset-cpus=0", "--env=SLURM_CPUS_PER_TASK=1"])
def test_the_container_gets_no_more_processors_than_it_was_given(docker, option):
    code = "from bidsdeface.runtime.workers import available_cpus; print(available_cpus())"
    assert docker.python(code, option) == "1\n"


def test_too_little_memory_is_said(docker, bids_dir, folder):
    output_dir = open_folder(folder / "memory")
    mounts = (f"-v={bids_dir}:/data:ro", f"-v={output_dir}:/out")
    limit = ("--memory=300m", "--memory-swap=300m")
    killed = docker.app("/data", "/out", "participant", options=(*limit, *mounts), check=False)
    assert killed.returncode == 75
    (line,) = [line for line in killed.stderr.splitlines() if line.startswith("ERROR FAILED")]
    assert "most likely for memory; give the job more memory" in line
    assert not list(output_dir.glob("sub-*/**/*.nii.gz"))


# The program with a gallery of two people, for time.
SMALL_GALLERY = (
    "import sys; from bidsdeface import cli; from bidsdeface.reidentify import audit; audit.GALLERY = 2; "
    "sys.exit(cli.main(['/data', '/out', 'group', '--reidentify', '--n-procs', '1']))"
)


def test_the_audit_works(docker, folder, expected, bids_dir):
    mounts = (f"-v={bids_dir}:/data:ro", f"-v={folder / 'expected'}:/out")
    docker.python(SMALL_GALLERY, "--read-only", "--tmpfs=/tmp", *mounts)
    assert (folder / "expected" / "reidentification.tsv").exists()
