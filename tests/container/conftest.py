"""Real engines to test the image with: Docker, and a machine that has Apptainer and Slurm.

As root on Debian, all of it is installed and started here and must work. Elsewhere Docker is used if it
is there, and what is missing is skipped by name.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.make_demo import write_dataset
from tests.heads import AVERAGE, REPOSITORY, demo_wheel

ENGINES = Path(__file__).parent / "engines"
# Outside of /tmp, which containers have their own of; what is made here is kept for the next time.
FOLDER = Path(os.environ.get("BIDSDEFACE_CONTAINERS", "/var/tmp/bidsdeface-containers"))
OURS = os.geteuid() == 0 and shutil.which("apt-get") is not None
IMAGE = "bidsdeface:test"
VERSION = (REPOSITORY / "version").read_text().strip()
USER = 1000
FIGURES: dict[str, str] = {}


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("measured")
    for name, value in FIGURES.items():
        terminalreporter.write_line(f"{name}: {value}")


def run(*command, check=True, **options) -> subprocess.CompletedProcess[str]:
    """Run a command; what it said is in the failure if it was to succeed and did not."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert not check or done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done


@dataclass(frozen=True)
class Docker:
    """An engine, reached by its own socket or the user's."""

    host: str | None

    def __call__(self, *arguments, check=True) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "DOCKER_BUILDKIT": "1", **({"DOCKER_HOST": self.host} if self.host else {})}
        # Debian's client can build; another one on PATH may lack the plugin for it.
        client = "/usr/bin/docker" if self.host else "docker"
        return run(client, *arguments, check=check, env=environ)

    def app(self, *arguments, options=(), check=True) -> subprocess.CompletedProcess[str]:
        """Run the image without a network."""
        return self("run", "--rm", "--network=none", *options, IMAGE, *arguments, check=check)

    def python(self, code, *options, check=True) -> str:
        """Run code in the image's Python."""
        options = ("--network=none", "--entrypoint=/opt/venv/bin/python", *options)
        return self("run", "--rm", *options, IMAGE, "-c", code, check=check).stdout


@pytest.fixture(scope="session")
def engine() -> Iterator[Docker]:
    if not OURS:
        if shutil.which("docker") is None or run("docker", "info", check=False).returncode:
            pytest.skip("Docker: no engine that you may use, and only root on Debian can install one here")
        yield Docker(None)
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    run(ENGINES / "docker.sh", FOLDER)
    yield Docker(f"unix://{FOLDER}/docker.sock")
    run("kill", (FOLDER / "docker.pid").read_text())


@pytest.fixture(scope="session")
def docker(engine) -> Docker:
    """Return the engine with the image, built from the Dockerfile as it is."""
    base = "python:3.11-slim-bookworm"
    if engine.host and engine("image", "inspect", base, check=False).returncode:
        run(ENGINES / "base-image.sh", base, env={**os.environ, "DOCKER_HOST": engine.host})
    build(engine, "--tag", IMAGE, "--build-arg=TEMPLATES=none")
    return engine


def build(docker, *options, check=True) -> subprocess.CompletedProcess[str]:
    return docker("build", "--network=host", "--progress=plain", *options, REPOSITORY, check=check)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Return a folder of this session that every user can enter."""
    path = (FOLDER if OURS else tmp_path_factory.mktemp("containers")) / "data"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def bids_dir(folder) -> Path:
    """Return the demo dataset."""
    write_dataset(folder / "bids", demo_wheel())
    return folder / "bids"


def open_folder(path: Path) -> Path:
    """Make a folder that any user may write to, as containers have many."""
    path.mkdir()
    path.chmod(0o777)
    return path


def contents(folder: Path) -> dict[str, str]:
    """Return a hash of every file, by path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def expected(docker, bids_dir, folder) -> dict[str, str]:
    """Return what a plain run writes of the demo dataset."""
    output_dir = open_folder(folder / "expected")
    docker.app("/data", "/out", "participant", options=(f"-v={bids_dir}:/data:ro", f"-v={output_dir}:/out"))
    found = contents(output_dir)
    assert any(name.endswith("_desc-defaced_T1w.nii.gz") for name in found)
    return found


@pytest.fixture(scope="session")
def poison(folder) -> Path:
    """Return a home whose packages and libraries break whatever loads them."""
    home = folder / "home"
    for name in ("numpy", "bidsdeface", "sitecustomize", "usercustomize"):
        package = home / ".local/lib/python3.11/site-packages" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise SystemExit('poisoned by the host')\n")
    (home / "lib").mkdir()
    for name in ("libz.so.1", "libexpat.so.1", "libstdc++.so.6", "libm.so.6"):
        (home / "lib" / name).write_text("no library\n")
    return home


def poisoned(home: str) -> dict[str, str]:
    """Return variables of a host that lead to the poison."""
    return {
        "HOME": home,
        "PYTHONPATH": f"{home}/.local/lib/python3.11/site-packages",
        "PYTHONHOME": f"{home}/nowhere",
        "LD_LIBRARY_PATH": f"{home}/lib",
        "TEMPLATEFLOW_HOME": f"{home}/nowhere",
        "MPLCONFIGDIR": f"{home}/nowhere",
        "VIRTUAL_ENV": f"{home}/nowhere",
    }


@dataclass(frozen=True)
class Machine:
    """The machine that cluster.sh makes."""

    def __call__(self, *command, uid=USER, check=True, environ=None) -> subprocess.CompletedProcess[str]:
        given = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **(environ or {})}
        return run(ENGINES / "on-cluster.sh", FOLDER, uid, *command, check=check, env=given)


@pytest.fixture(scope="session")
def machine() -> Machine:
    if not OURS:
        pytest.skip("Apptainer and Slurm: only root on Debian can make the machine they are tested on")
    FOLDER.mkdir(parents=True, exist_ok=True)
    run(ENGINES / "cluster.sh", FOLDER)
    return Machine()


@pytest.fixture(scope="session")
def sif(docker, machine) -> Path:
    """Return the image as Apptainer has it, built with bidsdeface.def, or earlier."""
    archive, image, made_of = FOLDER / "image.tar", FOLDER / "bidsdeface.sif", FOLDER / "sif-made-of"
    image_id = docker("image", "inspect", "--format={{.Id}}", IMAGE).stdout
    if made_of.exists() and made_of.read_text() == image_id:
        return image
    docker("save", "--output", archive, IMAGE)
    machine(
        *("apptainer", "-q", "build", "--force", "--mksquashfs-args=-comp zstd -Xcompression-level 1"),
        *("--build-arg=FROM=docker-archive", "--build-arg", f"IMAGE={archive}"),
        *(image, "/repository/bidsdeface.def"),
        uid=0,
    )
    archive.unlink()
    image.chmod(0o644)
    made_of.write_text(image_id)
    return image


class Cluster:
    """A Slurm of one node, and its jobs."""

    def __init__(self, machine, image):
        self._machine = machine
        self._environ = {"SLURM_CONF": f"{FOLDER}/slurm/slurm.conf", "IMAGE": str(image)}

    def __call__(self, *command, check=True):
        return self._machine(*command, check=check, environ=self._environ).stdout

    def submit(self, *arguments) -> list[str]:
        """Run submit.sh; return its jobs when all of them have ended."""
        said = self("/repository/slurm/submit.sh", *arguments)
        jobs = re.findall(r"job (\d+)", said)
        self.wait(jobs)
        return jobs

    def wait(self, jobs, seconds=900):
        end = time.monotonic() + seconds
        while self("squeue", "--noheader", f"--jobs={','.join(jobs)}", check=False).strip():
            assert time.monotonic() < end, self("squeue")
            time.sleep(1)

    def batch(self, logs, *arguments, options=()) -> str:
        """Submit one job with options of sbatch; return its number."""
        script = "/repository/slurm/bidsdeface.sbatch"
        return self("sbatch", "--parsable", f"--output={logs}/%A.txt", *options, script, *arguments).strip()

    def records(self, job=None) -> list[dict[str, str]]:
        """Return Slurm's record of a job that has ended, or of each task of an array; or of all jobs."""
        lines = (FOLDER / "slurm" / "completed.txt").read_text().splitlines()
        records = [dict(field.split("=", 1) for field in line.split() if "=" in field) for line in lines]
        return [one for one in records if job in (None, one["JobId"], one.get("ArrayJobId"))]

    def states(self, job) -> dict[str, str]:
        """Return state and exit code of each task; of a job that is no array, under ``-``."""
        return {
            one.get("ArrayTaskId", "-"): f"{one['JobState']} {one['ExitCode']}" for one in self.records(job)
        }

    def times(self, job) -> tuple[str, str]:
        """Return when the first task began and the last one ended."""
        records = self.records(job)
        return min(one["StartTime"] for one in records), max(one["EndTime"] for one in records)


@pytest.fixture(scope="session")
def cluster(machine, sif):
    shutil.rmtree(FOLDER / "slurm", ignore_errors=True)
    machine("/repository/tests/container/engines/slurm.sh", FOLDER, uid=0)
    yield Cluster(machine, sif)
    for daemon in ("slurmd", "slurmctld"):
        run("kill", (FOLDER / "slurm" / f"{daemon}.pid").read_text().strip())


@pytest.fixture(scope="session")
def mixed(folder) -> Path:
    """Return a dataset of two participants; the second has a good scan, and one that is broken."""
    root = folder / "mixed"
    write_heads(root, "sub-01_T1w", "sub-02_T1w", "sub-02_T2w")
    with (root / "sub-02" / "anat" / "sub-02_T2w.nii.gz").open("r+b") as file:
        file.truncate(100_000)
    return root


def write_heads(root: Path, *scans: str) -> None:
    """Write a dataset of small scans of the average head."""
    root.mkdir()
    people = sorted({scan.partition("_")[0] for scan in scans})
    (root / "participants.tsv").write_text("\n".join(["participant_id", *people, ""]))
    (root / "dataset_description.json").write_text(json.dumps({"Name": "small", "BIDSVersion": "1.10.0"}))
    (root / "README").write_text("The average head, several times.\n")
    for scan in scans:
        anat = root / scan.partition("_")[0] / "anat"
        anat.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(AVERAGE, anat / f"{scan}.nii.gz")
        (anat / f"{scan}.json").write_text(json.dumps({"EchoTime": 0.003, "FlipAngle": 9}))


@pytest.fixture
def place(folder, request) -> Path:
    """Return a folder of the test that the user of the cluster owns."""
    path = open_folder(folder / re.sub(r"\W+", "-", request.node.name))
    os.chown(path, USER, USER)
    return path


def description_of(output_dir: Path) -> dict:
    return json.loads((output_dir / "dataset_description.json").read_text())
