"""What is measured in a process of its own: ``python -m benchmarks.child TASK ...`` prints JSON.

`deface BIDS_DIR OUTPUT_DIR NAME`: the first scan in a process, then the same scan again.
`copy SCAN TARGET`: nothing but reading and writing, with our functions.
`keep OUTPUT`: WholeHead's T1w path, and OUTPUT written as its face mask turned inside out, for niimath.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

# Functions that `bidsdeface.deface` calls, and the step that each is.
STEPS = {
    "read_bytes": "read",
    "parse_image": "read",
    "read_image": "read back",
    "reduce_image": "reduce",
    "place": "place",
    "measure_placement": "measure",
    "warp_brain": "warp",
    "face_mask": "mask",
    "remove": "remove",
    "write_image": "write",
    "check_written": "read back",
    "draw_defaced": "figure",
    "read_metadata": "metadata",
}


def usage(since_wall: float, since_cpu: float) -> dict[str, float]:
    """Return seconds since then, and the process's peak memory until now."""
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "wall": time.perf_counter() - since_wall,
        "cpu": time.process_time() - since_cpu,
        "memory": peak_mb,
    }


@contextmanager
def timed_steps(module: Any) -> Iterator[dict[str, float]]:
    """Give the CPU seconds that each of `STEPS` takes while the context lasts."""
    seconds: dict[str, float] = defaultdict(float)
    originals = {name: getattr(module, name) for name in STEPS}

    def timed(name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.process_time()
            try:
                return originals[name](*arguments)
            finally:
                seconds[STEPS[name]] += time.process_time() - start

        return call

    vars(module).update({name: timed(name) for name in STEPS})
    try:
        yield seconds
    finally:
        vars(module).update(originals)


def deface(bids_dir: str, output_dir: str, name: str) -> dict[str, Any]:
    """Deface a scan twice, as a worker process does."""
    import bidsdeface.deface as program
    from bidsdeface.dataset.scan import Head, Scan
    from bidsdeface.settings import Settings

    settings = Settings(bids_dir=Path(bids_dir), output_dir=Path(output_dir), level="participant", force=True)
    settings.output_dir.mkdir(exist_ok=True)
    path = settings.bids_dir / f"sub-{name}/anat/sub-{name}_T1w.nii.gz"
    scan = Scan(path, (("sub", name),), "T1w", ".nii.gz")
    head = Head(name, None, (scan,), scan)
    with tempfile.TemporaryDirectory() as work_dir:
        deface_head = program.prepare(settings, Path(work_dir))
        outcomes = deface_head(head)
        first = usage(STARTED, 0.0)
        start = time.perf_counter(), time.process_time()
        with timed_steps(program) as steps:
            outcomes += deface_head(head)
        further = usage(*start)
    if failures := [reason for outcome in outcomes for reason in outcome.reasons]:
        sys.exit("; ".join(failures))
    rest = further["cpu"] - sum(steps.values())
    return {"first": first, "further": further, "steps": {**steps, "the rest": rest}}


def copy(scan: str, target: str) -> dict[str, float]:
    """Read a scan and write it again."""
    from bidsdeface.imaging.image import read_image, write_image

    start = time.perf_counter(), time.process_time()
    image = read_image(Path(scan))
    image.header["vox_offset"] = image.header.single_vox_offset
    write_image(Path(target), image.header, image.stored)
    return usage(*start)


def keep(target: str) -> str:
    """Write WholeHead's face mask as niimath wants it, 1 where to keep, and return its T1w."""
    import numpy as np

    from bidsdeface.imaging.image import read_image, write_image
    from bidsdeface.templates.source import EMBEDDED_ROOT, WHOLE_HEAD

    stem = EMBEDDED_ROOT / f"tpl-{WHOLE_HEAD}" / f"tpl-{WHOLE_HEAD}_res-02"
    face = read_image(Path(f"{stem}_desc-face_mask.nii.gz"))
    write_image(Path(target), face.header, np.asfortranarray(1 - face.stored))
    return f"{stem}_T1w.nii.gz"


TASKS: dict[str, Callable[..., Any]] = {"deface": deface, "copy": copy, "keep": keep}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](*sys.argv[2:])))
