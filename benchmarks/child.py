"""What is measured in a process of its own: ``python -m benchmarks.child TASK ...`` prints JSON.

`deface BIDS_DIR OUTPUT_DIR NAME`: the first scan in a process, then the same scan again.
`copy SCAN TARGET`: nothing but reading and writing, with our functions.
`keep OUTPUT`: WholeHead's T1w path, and OUTPUT written as its face mask turned inside out, for niimath.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

STARTED = time.perf_counter()

# Functions that the program's modules call, and the step that each is; what begins with "check" is evidence.
STEPS = {
    "head.mask": {
        "read_bytes": "read",
        "parse_image": "read",
        "reduce_image": "reduce",
        "face_mask": "mask",
        "world_aligned": "check mask",
        "measure_mask": "check mask",
        "measure_removed": "check mask",
        "find_foldover": "check mask",
    },
    "head.fit": {
        "find_brain": "brain",
        "fit_brain": "place",
        "place_from": "place",
        "place": "place",
        "settle": "settle",
        "settle_rigidly": "settle",
        "find_guard": "guard",
        "measure_placement": "check placement",
    },
    "head.deface": {
        "remove": "remove",
        "write_image": "write",
        "read_image": "read back",
        "check_written": "read back",
        "check_mask_written": "read back",
        "reduce_image": "check result",
        "measure_defaced": "check result",
        "views": "figure",
        "draw": "figure",
        "read_metadata": "metadata",
    },
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
def timed_steps() -> Iterator[dict[str, float]]:
    """Give the CPU seconds that each of `STEPS` takes while the context lasts."""
    seconds: dict[str, float] = defaultdict(float)

    def timed(function: Callable[..., Any], step: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                seconds[step] += time.process_time() - start

        return call

    with ExitStack() as patches:
        for name, steps in STEPS.items():
            module = importlib.import_module(f"bidsdeface.{name}")
            for function, step in steps.items():
                replacement = timed(getattr(module, function), step)
                patches.enter_context(mock.patch.object(module, function, replacement))
        yield seconds


def deface(bids_dir: str, output_dir: str, name: str) -> dict[str, Any]:
    """Deface a scan twice, as a worker process does."""
    from bidsdeface.dataset.names import Head, Scan
    from bidsdeface.head.deface import prepare
    from bidsdeface.head.review import read_decisions
    from bidsdeface.settings import Settings

    settings = Settings(bids_dir=Path(bids_dir), output_dir=Path(output_dir), level="participant", force=True)
    settings.output_dir.mkdir(exist_ok=True)
    path = settings.bids_dir / f"sub-{name}/anat/sub-{name}_T1w.nii.gz"
    scan = Scan(path, (("sub", name),), "T1w", ".nii.gz")
    head = Head(name, None, (scan,), scan)
    deface_head = prepare(settings, read_decisions(settings, None))
    outcomes = list(deface_head(head))
    first = usage(STARTED, 0.0)
    start = time.perf_counter(), time.process_time()
    with timed_steps() as steps:
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
