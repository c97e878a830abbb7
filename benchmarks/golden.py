"""Record what the program makes, to compare another version with: ``python -m benchmarks.golden OUT.json``.

``python -m benchmarks.golden --compare OLD.json`` makes it anew and names what differs. A change meant to
alter nothing changes no byte of an output file but the version, and no word on the terminal but paths and
times.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from benchmarks.heads import DEMO_SCAN, find_heads
from bidsdeface import __version__
from bidsdeface.runtime.workdir import COMPLETE, KEY_BYTES, State, state_folder
from bidsdeface.templates.source import EMBEDDED_ROOT
from tests.fullset import full_dataset, packed
from tests.unit.companions.test_secrets import PLANTED

AVERAGE = EMBEDDED_ROOT / "tpl-WholeHead" / "tpl-WholeHead_res-02_T1w.nii.gz"
T1W = "sub-{0}/ses-{1}/anat/sub-{0}_ses-{1}_T1w.nii.gz"
HALF = "sub-02_ses-b_T1w"  # fails its checks, and can be accepted
COMPLETE_LAYOUT = ("--output-layout", "bids", "--skip-bids-validation")
TEXTS = (".json", ".tsv", ".html", ".txt")
VARIABLE = (  # what differs from run to run
    (re.compile(re.escape(__version__)), "VERSION"),
    (re.compile(r"complete/[0-9a-f]{8}"), "complete/PLACE"),
    (re.compile(r"\[\d+/(\d+)\]"), r"[N/\1]"),
    (re.compile(r"\b\d+(\.\d+)? ?s\b"), "TIME"),
)


def main() -> None:
    """Run everything, write the results down, and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", metavar="OUT.json")
    parser.add_argument("--compare", type=Path, metavar="OLD.json")
    arguments = parser.parse_args()
    if not (arguments.output or arguments.compare):
        parser.error("give OUT.json, or --compare OLD.json")
    find_heads()  # which fetches the demo's
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        found = Recorder(Path(folder).resolve()).results()
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.compare:
        differences = list(compare(json.loads(arguments.compare.read_text()), found))
        print(*differences, f"{len(differences)} differences", sep="\n")
        sys.exit(bool(differences))


@dataclass
class Recorder:
    """Run the program in a folder, and keep exit codes, what was said, and the hashes of all output files."""

    folder: Path
    found: dict[str, Any] = field(default_factory=dict)

    def results(self) -> Mapping[str, Any]:
        """Run all cases."""
        self._demo()
        self._complete()
        self._derivatives()
        return self.found

    def _demo(self) -> None:
        demo = DEMO_SCAN.parents[3]
        self._run("demo", demo, "--n-procs", "1")
        self._run("demo, 2 processes", demo, "--n-procs", "2", "--skip-bids-validation")
        self._run("demo, ears", demo, "--regions", "face,ears", "--skip-bids-validation")

    def _complete(self) -> None:
        bids_dir = self._dataset()
        options = (*COMPLETE_LAYOUT, "-w", str(self._make_work_dir()))
        self._run("complete, dry run", bids_dir, *options, "--dry-run")
        self._run("complete", bids_dir, *options, "--n-procs", "2")
        self._run("complete, again", bids_dir, *options, output="complete")
        self._check("complete")
        self._run("complete, group", bids_dir, *options, output="complete", level="group")
        only = ("--participant-label", "02", "--session-label", "b")
        self._run("complete, accept", bids_dir, *options, *only, "--accept", HALF, output="complete")
        self._run("complete, accept, group", bids_dir, *options, output="complete", level="group")
        for task in (("02",), ("01", "--session-label", "b"), ("01", "--session-label", "a")):
            self._run(
                f"task {task[0]}{task[2:]}", bids_dir, *options, "--participant-label", *task, output="tasks"
            )
        self._run("tasks, group", bids_dir, *options, output="tasks", level="group")
        shutil.rmtree(bids_dir / "sub-02")
        self._run("removed, still listed", bids_dir, *options, output="tasks", level="group")
        table = bids_dir / "participants.tsv"
        table.write_text("".join(line for line in table.open() if not line.startswith("sub-02")))
        self._run("removed, participant", bids_dir, *options, output="tasks")
        self._run("removed, group", bids_dir, *options, output="tasks", level="group")
        self._run(
            "no work dir", bids_dir, *COMPLETE_LAYOUT, "--accept-text", "README", "--suffixes", "T1w", "bold"
        )

    def _derivatives(self) -> None:
        bids_dir = self._dataset("raw")
        filters = self.folder / "filters.json"
        filters.write_text(json.dumps({"t1w": {"session": "a"}, "bold": {}}))
        options = ("--skip-bids-validation", "--suffixes", "T1w", "magnitude1", "phasediff", "bold")
        some = ("--bids-filter-file", str(filters))
        self._run("derivatives, dry run", bids_dir, *options, *some, "--dry-run")
        self._run("derivatives", bids_dir, *options, *some)
        self._run("derivatives, again", bids_dir, "--skip-bids-validation", output="derivatives")
        mask = "sub-01/ses-b/anat/sub-01_ses-b_mod-T1w_desc-face_defacemask.nii.gz"
        by_hand = ("--mask", str(self.folder / "out/derivatives" / mask), "--suffixes", "T1w")
        only = ("--participant-label", "01", "--session-label", "b", "--skip-bids-validation")
        self._run("derivatives, mask", bids_dir, *only, *by_hand, output="derivatives")
        (bids_dir / T1W.format("02", "a")).unlink()
        self._run(
            "derivatives, group", bids_dir, "--skip-bids-validation", output="derivatives", level="group"
        )
        self._check("derivatives")

    def _dataset(self, name: str = "bids") -> Path:
        """Write the full synthetic dataset with heads: whole, cut at the neck, behind the face, and half."""
        scan = nib.load(AVERAGE)
        values = np.asanyarray(scan.dataobj)
        half = values.copy()
        half[:, half.shape[1] // 2 :] = 0
        fieldmap = "sub-01/ses-a/fmap/sub-01_ses-a_{0}.nii.gz"
        heads = {
            T1W.format("01", "a"): values,
            T1W.format("01", "b"): values[:, :, 5:],
            T1W.format("02", "a"): values[:, : int((6 - scan.affine[1, 3]) / scan.affine[1, 1])],
            T1W.format("02", "b"): half,
            fieldmap.format("magnitude1"): values,
            fieldmap.format("phasediff"): np.random.default_rng(0).integers(0, 4096, values.shape, np.int16),
        }
        images = {name: packed(nib.Nifti1Image(some, scan.affine).to_bytes()) for name, some in heads.items()}
        return full_dataset(self.folder / name, {**PLANTED, **images})

    @property
    def state(self) -> State:
        """Private state with a key that is always the same."""
        return State(state_folder(self.folder / "work"), bytes(range(KEY_BYTES)))

    def _make_work_dir(self) -> Path:
        private = self.state.folder
        for folder in (private.parent, private, private / "fingerprints", private / "logs"):
            folder.mkdir(mode=0o700)
        (private / "key").write_bytes(self.state.key)
        (private / "key").chmod(0o600)
        return private.parent

    def _run(
        self, name: str, bids_dir: Path, *options: str, output: str | None = None, level: str = "participant"
    ) -> None:
        output_dir = self.folder / "out" / (output or name)
        if "--n-procs" not in options:
            options += ("--n-procs", "1")  # then lines come in one order
        self._note(name, "bidsdeface", str(bids_dir), str(output_dir), level, *options)
        private = self.state.folder_for(COMPLETE, output_dir)
        self.found[name]["files"] = {**hashes(output_dir), **hashes(private)}

    def _check(self, output: str) -> None:
        self._note(
            f"{output}, check", "bidsdeface.leakcheck.cli", str(self.folder / "out" / output), "--json"
        )

    def _note(self, name: str, module: str, *arguments: str) -> None:
        print(name, file=sys.stderr)
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
        self.found[name] = {"exit": done.returncode}
        for stream in ("stdout", "stderr"):
            lines = self._normalised(getattr(done, stream)).splitlines()
            self.found[name][stream] = sorted(lines) if "2" in arguments else lines

    def _normalised(self, text: str) -> str:
        text = text.replace(str(self.folder), "FOLDER").replace(str(DEMO_SCAN.parents[3]), "DEMO")
        for pattern, word in VARIABLE:
            text = pattern.sub(word, text)
        return text


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder; of texts, without the version."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix in TEXTS:
                content = content.replace(__version__.encode(), b"VERSION")
            found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each file, exit code and line of output that differs."""
    for case in dict.fromkeys([*old, *new]):
        was, now = old.get(case, {}), new.get(case, {})
        if was.get("exit") != now.get("exit"):
            yield f"{case}: exit code {was.get('exit')}, now {now.get('exit')}"
        for stream in ("stdout", "stderr"):
            before, after = was.get(stream, []), now.get(stream, [])
            yield from (f"{case}: {stream}: -{line}" for line in before if line not in after)
            yield from (f"{case}: {stream}: +{line}" for line in after if line not in before)
            if sorted(before) == sorted(after) and before != after:
                yield f"{case}: {stream}: lines in another order"
        before, after = was.get("files", {}), now.get("files", {})
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                what = (
                    "differs"
                    if name in before and name in after
                    else "is new"
                    if name in after
                    else "is gone"
                )
                yield f"{case}: {name} {what}"


if __name__ == "__main__":
    main()
