"""The demo dataset through `bosh exec launch`, with the descriptor as it is shipped."""

import json
import os
import sys
from pathlib import Path

from scripts.describe_boutiques import DESCRIPTOR
from tests.container.conftest import IMAGE, VERSION, contents, open_folder, run


def test_bosh_runs_the_image(docker, bids_dir, folder, expected):
    docker("tag", IMAGE, f"bidsdeface:{VERSION}")
    launch_dir = open_folder(folder / "boutiques")  # bosh mounts this folder, and BIDS_DIR
    given = {"bids_dir": str(bids_dir), "output_dir": "out", "level": "participant"}
    (launch_dir / "invocation.json").write_text(json.dumps({**given, "participant_label": ["01"]}))
    environ = {**os.environ, "PATH": f"/usr/bin:{os.environ['PATH']}"}
    environ |= {"DOCKER_HOST": docker.host} if docker.host else {}
    bosh = Path(sys.executable).parent / "bosh"
    run(
        *(bosh, "exec", "launch", "--no-pull", DESCRIPTOR, "invocation.json"),
        cwd=launch_dir,
        env=environ,
    )
    assert contents(launch_dir / "out") == expected
