"""Measure time and memory, per scan and side by side, and print the tables of docs/benchmark.md.

``BIDSDEFACE_HEADS=FOLDER python -m benchmarks [NAME ...]``
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.heads import ROOT, find_heads, make_dataset, niimath
from bidsdeface.runtime.workers import ONE_THREAD

PROGRAMS = {
    "read + write": "reading and writing the file, nothing else",
    "bidsdeface": "a further scan in the same process, one thread",
    "bidsdeface, first scan": "the same with imports and template",
    "bidsdeface, command": "the whole command, with pybids and the BIDS validator",
    "niimath": "`niimath -deface`, WholeHead, one thread",
    "niimath, threads": "the same, its own choice of threads",
}


def main() -> None:
    """Measure every head in reach and print as we go."""
    wanted = sys.argv[1:]
    heads = {name: path for name, path in find_heads().items() if not wanted or name in wanted}
    print(f"{datetime.date.today()}, {_cpu()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before\n")
    print("| scan | program | wall s | CPU s | memory MB | wall / niimath | CPU / niimath |")
    print("|---|---|--:|--:|--:|--:|--:|")
    steps = {}
    with tempfile.TemporaryDirectory(prefix="bidsdeface-bench-") as folder:
        scans = make_dataset(Path(folder, "bids"), heads)
        template = _child("keep", f"{folder}/keep.nii.gz")
        for name, scan in scans.items():
            results, steps[name] = _measure(name, scan, template, Path(folder))
            for program, used in results.items():
                _print_row(name, program, used, results["niimath"])
    print("\nCPU seconds of a further scan, by step:\n")
    columns = list(steps[next(iter(steps))])
    print("| scan |", " | ".join(columns), "|")
    print("|---|" + "--:|" * len(columns))
    for name, seconds in steps.items():
        print(f"| {name} |", " | ".join(f"{seconds.get(column, 0):.2f}" for column in columns), "|")
    print(f"\nload {os.getloadavg()[0]:.1f} after; the programs:")
    for program, meaning in PROGRAMS.items():
        print(f"- {program}: {meaning}")


def _measure(name: str, scan: Path, template: str, folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    ours = _child("deface", str(folder / "bids"), str(folder / "out"), name)
    command = [
        sys.executable,
        "-m",
        "bidsdeface",
        folder / "bids",
        folder / "whole",
        "participant",
        "--force",
    ]
    theirs = [niimath(), scan, "-deface", template, folder / "keep.nii.gz"]
    theirs += [folder / "niimath.nii.gz", "-odt", "input"]
    results = (
        _child("copy", str(scan), str(folder / "copy.nii.gz")),
        ours["further"],
        ours["first"],
        _run([*command, "--participant-label", name], threads=None),
        _run(theirs, threads=1),
        _run(theirs, threads=None),
    )
    return dict(zip(PROGRAMS, results, strict=True)), ours["steps"]


def _child(*arguments: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.child", *arguments]
    environ = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environ).stdout)


def _run(command: list[Any], threads: int | None) -> dict[str, float]:
    """Run a command and return what it used; the memory is that of its largest process."""
    environ = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, env=environ)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{command[0]} failed:\n{said.read().decode()}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}


def _print_row(name: str, program: str, used: dict[str, float], other: dict[str, float]) -> None:
    ratios = " | ".join(f"{used[key] / other[key]:.2f}" for key in ("wall", "cpu"))
    numbers = f"{used['wall']:.1f} | {used['cpu']:.1f} | {used['memory']:.0f}"
    print(f"| {name} | {program} | {numbers} | {ratios} |", flush=True)


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
