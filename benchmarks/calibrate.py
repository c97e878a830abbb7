"""The calibration study: ``BIDSDEFACE_HEADS=FOLDER python -m benchmarks.calibrate [--jobs N] [--docs]``.

Good results on all heads in reach and on variants of them, on real people and on synthetic ones, and
deliberate failures; for each check both distributions and its limit. Everything at 2 mm, where the checks
work. `--docs` writes the tables and the plot to docs/.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.calibration_page import write_page
from benchmarks.heads import find_heads, find_people
from benchmarks.reidentify import cohort
from benchmarks.spoil import failures, fold, variants, without_face
from bidsdeface.errors import RegistrationError
from bidsdeface.head.fit import fit, make_template_set
from bidsdeface.head.mask import NoFace
from bidsdeface.head.registered import RegisteredScan, TemplateSet
from bidsdeface.imaging.brain import fit_brain
from bidsdeface.imaging.facemask import face_mask
from bidsdeface.imaging.foldover import find_foldover
from bidsdeface.imaging.image import read_image
from bidsdeface.imaging.registration import Placement, disagreement_mm, probes_of
from bidsdeface.imaging.volume import Volume, reduce_image, world_aligned
from bidsdeface.quality.checks import Rejected, failed_checks, failed_without_brain
from bidsdeface.quality.measures import (
    MEASURE_SPACING_MM,
    measure_defaced,
    measure_mask,
    measure_placement,
    measure_removed,
)
from bidsdeface.quality.no_face import field_ends_before_face, is_bare_brain
from bidsdeface.runtime.workers import ONE_THREAD

FOLDS = [(depth, gap) for depth in (10, 15, 20) for gap in (3, 8, 14)]
OF_SECOND = ("start_disagreement_mm", "tissue_left_ml")
GOOD, FAILURE, BOTH, WRONG = "good", "failure", "both", "wrong template"
FOLDED, NO_FACE, OTHER = "folded", "no-face", "other"
PERSON, SYNTHETIC = "person", "synthetic"
BATCHES = 8  # of synthetic people
WRONG_TEMPLATE = "MNI152NLin2009cAsym"


def main() -> None:
    """Measure everything, print the tables, and keep all numbers in a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--synthetic", type=int, default=200, help="how many synthetic people")
    parser.add_argument("--docs", action="store_true", help="write docs/calibration.md and its plot")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("calibration.jsonl"),
        help="all numbers, one line per scan; scans that are in it are not measured again",
    )
    arguments = parser.parse_args()
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    scans: list[tuple[str, Any]] = [*find_heads(all_scans=True).items(), *find_people().items()]
    scans += [(f"synthetic {k}", range(k, arguments.synthetic, BATCHES)) for k in range(BATCHES)]
    results = _read_results(arguments.results)
    missing = [scan for scan in scans if scan[0] not in results]
    with multiprocessing.get_context("spawn").Pool(arguments.jobs, maxtasksperchild=1) as pool:
        for name, rows in pool.imap_unordered(study, missing, chunksize=1):
            results[name] = rows
            with arguments.results.open("a") as file:
                file.write(json.dumps({"scan": name, "rows": rows}) + "\n")
            print(f"{name}: {len(rows)} results", flush=True)
    rows = [row for name, _ in scans for row in results[name]]
    print(write_page(rows, Path("docs") if arguments.docs else None))


def _read_results(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each scan that an earlier run has measured."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {line["scan"]: line["rows"] for line in map(json.loads, lines)}


def study(what: tuple[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Return the name of a scan, or of a batch of synthetic people, and a row for each result."""
    name, source = what
    templates = make_template_set("WholeHead", ("face",))
    if isinstance(source, range):
        people = [person for person in cohort(source.stop) if person.number in source]
        scans = [(person.name, reduce_image(person.scan(1), person.name)) for person in people]
        return name, [{"head": of, **_result(SYNTHETIC, "as it is", one, templates)} for of, one in scans]
    scan = reduce_image(read_image(source), str(source))
    return name, [{"head": name, **row} for row in _rows(name, scan, templates)]


def _rows(name: str, scan: Volume, templates: TemplateSet) -> Iterator[dict[str, Any]]:
    person = " " in name
    if not person and name[0] not in "SP":  # no head, or one without a face
        yield _result(OTHER, "as it is", scan, templates)
        return
    try:
        good = fit(name, scan, None, templates, accepted=True)
    except RegistrationError:
        good = None
    if person:
        yield _result(PERSON, "as it is", scan, templates)
        if good is None or failed_checks(good.measures) or name.split()[1:] != ["T1w"]:
            return  # failures of one scan of each person are enough
    assert good
    to_template = good.to_template
    if not person:
        for variant, spoilt_scan in variants(scan, to_template, seed=sum(name.encode())):
            yield _result(GOOD, variant, spoilt_scan, templates)
        for variant, cut in without_face(scan, to_template):
            yield _result(NO_FACE, variant, cut, templates)
    for failure, motion in failures(probes_of(templates.template.target)):
        spoilt = replace(
            good, to_template=np.linalg.inv(motion) @ to_template, second_to_template=to_template
        )
        judged = judge(spoilt)
        yield {"kind": FAILURE, "name": failure, **judged}
        # What a second registration tells says nothing if it went wrong in the same way.
        told = {key: value for key, value in judged["measures"].items() if key not in OF_SECOND}
        found = sorted(failed_checks(told)) or (["no face in view"] if not told["mask_ml"] else [])
        yield {"kind": BOTH, "name": failure, "verdict": "failed" if found else "passed", "faults": found}
    if os.environ.get("TEMPLATEFLOW_HOME") and not person:
        yield _with_wrong_template(scan, good, templates)
    if name.startswith("S") and not person:  # the nose is in view
        for depth, gap in FOLDS:
            folded = fold(scan, to_template, depth, gap, templates.head_template.head_mm)
            yield _result(FOLDED, f"{depth} mm, {gap} mm of air", folded, templates)


def _with_wrong_template(scan: Volume, good: RegisteredScan, templates: TemplateSet) -> dict[str, Any]:
    """Let a template that ends at the nose find the head; measure how far the face is off."""
    linked = make_template_set(WRONG_TEMPLATE, ("face",))
    start, link = linked.template, linked.head_to_template
    wrong = replace(linked, head_template=start, head_to_template=np.eye(4))
    row = _result(WRONG, WRONG_TEMPLATE, scan, wrong)
    placed = fit("head", scan, None, wrong, accepted=True)
    off_mm = disagreement_mm(
        np.linalg.inv(good.to_template),
        np.linalg.inv(placed.to_template) @ link,
        templates.head_template.face,
    )
    return {**row, "off_mm": off_mm}


def _result(kind: str, name: str, scan: Volume, templates: TemplateSet) -> dict[str, Any]:
    """Do what the program does with a scan."""
    row = {"kind": kind, "name": name}
    try:
        registered = fit(name, scan, None, templates, accepted=False)
    except RegistrationError as error:
        bare = is_bare_brain(scan, templates.head_template.brain_surface)
        measures = error.measures if isinstance(error, Rejected) else {}
        found = [NoFace.BARE_BRAIN.value] if bare else sorted(failed_checks(measures)) or ["no head found"]
        return {**row, "verdict": "no-face" if bare else "failed", "faults": found, "measures": measures}
    if failed_without_brain(registered.measures) and is_bare_brain(
        scan, templates.head_template.brain_surface
    ):
        return {
            **row,
            "verdict": "no-face",
            "faults": [NoFace.BARE_BRAIN.value],
            "measures": registered.measures,
        }
    return {**row, **judge(registered)}


def judge(registered: RegisteredScan) -> dict[str, Any]:
    """Measure a placement, and return the measures and the verdict."""
    scan, told, to_template = registered.volume, registered.measures, registered.to_template
    second, regions, head = registered.second_to_template, registered.regions, registered.head
    templates = registered.templates
    start = time.process_time()
    apart_mm = disagreement_mm(
        np.linalg.inv(to_template), np.linalg.inv(second), probes_of(templates.template.target)
    )
    rival = told["similarity"] - told.get("lead", 1.0)
    placement = Placement(to_template, told["similarity"], second, apart_mm, rival)
    brain = registered.brain and fit_brain(
        registered.brain, templates.head_template.brain_surface, head.to_head
    )
    measures = measure_placement(scan, placement, head.to_head, templates.head_template, brain)
    mask = face_mask(scan.data.shape, scan.affine, to_template, regions)
    measures["guard_to_skin_mm"] = registered.guard_to_skin_mm(scan.affine)
    measures |= measure_mask(mask, scan.affine, registered.brain)
    if mask.any():
        coarse = world_aligned(scan, MEASURE_SPACING_MM)
        measures |= measure_removed(coarse, scan.data, mask, scan.affine, head)
    folded = find_foldover(scan, head)
    hidden = mask if folded is None else mask | folded
    defaced = Volume(np.where(hidden, 0, scan.data), scan.affine, scan.seen * ~hidden)
    measures |= measure_defaced(defaced, head, second, regions)
    seconds = time.process_time() - start
    found, verdict = sorted(failed_checks(measures)), "passed"
    if not mask.any():
        placements = (to_template, second)
        ends = field_ends_before_face(scan.data.shape, scan.affine, placements, regions)
        verdict, found = ("no-face", found) if ends else ("failed", [*found, "no face in view, or nearly"])
    return {
        "verdict": "failed" if found else verdict,
        "faults": found or ([NoFace.FIELD_ENDS.value] if verdict == "no-face" else []),
        "measures": measures,
        "cpu_s": seconds,
    }


if __name__ == "__main__":
    main()
