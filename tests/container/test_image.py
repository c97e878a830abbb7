"""What is in the image, and how fast it answers."""

import json

from tests.container.conftest import FIGURES, IMAGE, VERSION, build
from tests.heads import REPOSITORY

MAX_BYTES = 1_000_000_000
MAX_HELP_S = 0.5
TIMED = """
import os, subprocess, sys, time
def once(*arguments):
    start = time.monotonic()
    subprocess.run([sys.executable, "-I", "/run.py", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start
for option in ("--version", "--help"):
    print(option, min(once(option) for _ in range(8)))
"""


def test_the_image_is_small(docker):
    size = int(docker("image", "inspect", "--format={{.Size}}", IMAGE).stdout)
    FIGURES["image, uncompressed"] = f"{size / 1e6:.0f} MB"
    assert size <= MAX_BYTES


def test_the_image_says_what_it_is(docker):
    labels = json.loads(docker("image", "inspect", "--format={{json .Config.Labels}}", IMAGE).stdout)
    assert labels["org.opencontainers.image.version"] == labels["org.label-schema.version"] == VERSION
    assert labels["org.opencontainers.image.revision"] == f"v{VERSION}"
    assert docker.app("--version").stdout == f"bidsdeface {VERSION}\n"


def test_nothing_lies_in_the_image_that_nobody_needs(docker):
    found = docker.python(
        "import pathlib; print([str(path) for path in pathlib.Path('/').glob('opt/**/*')"
        " if path.name in ('tests', 'pip', 'shape_predictor_68_face_landmarks.dat') or path.suffix == '.h'],"
        " *pathlib.Path('/').glob('src'), *pathlib.Path('/root').glob('.cache'))"
    )
    assert found == "[]\n"


def test_the_versions_are_those_that_were_tested(docker):
    listed = docker.python(
        "from importlib.metadata import distributions\n"
        "for one in distributions(path=['/opt/venv/lib/python3.11/site-packages']):\n"
        "    print(one.name, one.version, sep='==')"
    )
    locked = {
        line.partition(";")[0].strip() for line in (REPOSITORY / "constraints.txt").read_text().splitlines()
    }
    assert set(listed.split()) - locked == {f"bidsdeface=={VERSION}"}


def test_help_is_there_at_once(docker):
    seconds = dict(line.split() for line in docker.python(TIMED).splitlines())
    FIGURES.update({f"{option}, in the container": f"{float(s):.2f} s" for option, s in seconds.items()})
    assert float(seconds["--help"]) < MAX_HELP_S


def test_a_template_that_cannot_be_had_ends_the_build(docker):
    failed = build(docker, "--build-arg=TEMPLATES=NoSuchTemplate", check=False)
    assert failed.returncode != 0
    assert "template NoSuchTemplate: is not in TemplateFlow" in failed.stderr
