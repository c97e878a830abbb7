"""The pages of the private report, on which scans are reviewed: what is published now, worst first.

Tasks that run at the same time share the folder. Each writes the pages of its own participants, and a record
of each, which others read; the index is made from all records, again if some have changed meanwhile.
"""

import json
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from filecmp import cmp
from functools import partial
from itertools import chain
from pathlib import Path
from shutil import copyfile
from typing import Any

from bidsdeface.errors import BidsdefaceError, describe, storage_errors
from bidsdeface.output.record import published_scans
from bidsdeface.output.request import Request
from bidsdeface.output.review import DECISIONS, Decision, decision_on, remembered_decisions
from bidsdeface.quality.limits import CHECKS, limit_used
from bidsdeface.quality.outcome import FAILED, read_outcomes
from bidsdeface.report.missing import Missing
from bidsdeface.report.page import page
from bidsdeface.report.quality import measure_row, worst_in_words
from bidsdeface.runtime.scratch import make_private, private_folder
from bidsdeface.runtime.workdir import OUTCOMES, REPORT, State

UNDECIDABLE = "none"  # fits no fingerprint
PAGE, LIST = "index.html", "scans.js"
NIIVUE = Path(__file__).parent / "data" / "niivue.umd.js"  # from `scripts/fetch_niivue.py`
MISSING = "not published"
LISTED = ("scan", "name", "page", "verdict", "fingerprint", "decision", "note", "time", "picture", "worst")
Scan = dict[str, Any]
LOGGER = logging.getLogger("bidsdeface")


def report_folder(state: State, output_dir: Path) -> Path:
    """Return the folder of an output dataset's private report."""
    return state.folder_for(REPORT, output_dir)


def shown_fingerprint(folder: Path, stem: str) -> str:
    """Return the fingerprint of what the report has shown of a scan; empty if it has not shown it.

    `UNDECIDABLE` if what it showed had no fingerprint, or cannot be read.
    """
    try:
        content = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        return content["fingerprint"] or UNDECIDABLE
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        return UNDECIDABLE


def files_of(name: str, fingerprint: str) -> tuple[str, str]:
    """Return the names of a scan's picture and volumes in the report."""
    stem = f"{name}.{fingerprint[:16]}" if fingerprint else name
    return f"{stem}.png", f"{stem}.js"


@contextmanager
def writing(folder: Path, *names: str) -> Iterator[Path]:
    """Give a private folder, whose files are moved into the report at the end, in this order, each complete.

    Raises
    ------
    BidsdefaceError
        The report cannot be written.
    """
    with private_folder(make_private(folder)) as unfinished, storage_errors(folder):
        yield unfinished
        for name in names:
            (unfinished / name).chmod(0o600)
            os.replace(unfinished / name, folder / name)


def refresh_pages(
    request: Request, state: State, subjects: Collection[str] | None = None, *, is_asked: bool = False
) -> None:
    """Write the pages of an earlier run again, so that they say what is published now, or new ones if asked.

    A fault costs no result: it is logged. For the parameters see `write_pages`.
    """
    if not is_asked and not report_folder(state, request.output_dir).exists():
        return
    try:
        LOGGER.info("private report: %s", write_pages(request, state, subjects) or "nothing to show")
    except Exception as error:  # such as a file of it that somebody has edited
        LOGGER.warning("the private report is not complete: %s", describe(error))


def write_pages(request: Request, state: State, subjects: Collection[str] | None = None) -> Path | None:
    """Write the pages of some participants, and the index of all.

    Every scan that the report has shown is listed, and every other that failed, with the reason.

    Parameters
    ----------
    request : Request
    state : State
    subjects : collection of str, optional
        Their labels without ``sub-``; all by default.

    Returns
    -------
    pathlib.Path or None
        The index; None if there is nothing to list.

    Raises
    ------
    BidsdefaceError
        The report cannot be written, or a part of it cannot be read; all the rest is written then.
    """
    folder, faults = report_folder(state, request.output_dir), list[str]()
    written, people = None, _people(request, state, subjects, faults)
    while people != written:  # until no other task, such as of another session, has changed any meanwhile
        _write_participants(folder, people)
        written, people = people, _people(request, state, subjects, [])
    index = _write_index(folder, faults)
    if faults:
        raise BidsdefaceError("; ".join(faults))
    return index


def _people(
    request: Request, state: State, subjects: Collection[str] | None, faults: list[str]
) -> dict[str, list[Scan]]:
    """Return the scans of each participant, worst first; unreadable files are added to the faults."""
    folder = report_folder(state, request.output_dir)
    records, outcomes = (
        _by_participant(one) for one in (folder, state.folder_for(OUTCOMES, request.output_dir))
    )
    has_page = {path.stem for path in _records_in(folder) if "_" not in path.stem}
    names = {
        name
        for name in records.keys() | outcomes.keys() | has_page
        if subjects is None or name.removeprefix("sub-") in subjects
    }
    labels = sorted(name.removeprefix("sub-") for name in names)
    published = {
        scan.stem: str(scan.record["Verdict"])
        for scan in published_scans(request.output_dir, request.output_layout, labels)
    }
    decide = partial(_decision, state, str(request.bids_dir.resolve()))
    return {
        name: sorted(
            _scans(records[name], outcomes[name], published, decide, faults), key=lambda scan: scan["order"]
        )
        for name in sorted(names)
    }


def _records_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("sub-*.json"))


def _by_participant(folder: Path) -> Mapping[str, list[Path]]:
    """Return the files about scans in a folder."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in _records_in(folder):
        name, separator, _ = path.stem.partition("_")
        if separator:
            found[name].append(path)
    return found


def _scans(
    records: Collection[Path],
    outcomes: Collection[Path],
    published: Mapping[str, str],
    decide: Callable[[str, str], Decision | None],
    faults: list[str],
) -> Iterator[Scan]:
    """Yield the scans of a participant; unreadable files are added to the faults."""
    try:
        last = read_outcomes(list(outcomes))
    except BidsdefaceError as error:
        faults.append(str(error))
        last = {}
    for path in records:
        try:
            shown = json.loads(path.read_text(encoding="utf-8"))
            scan = _scan(path.stem, shown, last.pop(path.stem, None), published, decide)
            yield scan if path.with_name(scan["volumes"]).exists() else scan | {"volumes": ""}
        except BidsdefaceError as error:
            faults.append(str(error))
        except (OSError, ValueError, KeyError, TypeError) as error:
            faults.append(f"{path}: {error!r}; remove it, and show the scan again (--private-report --force)")
    for stem, outcome in last.items():
        if outcome["verdict"] == FAILED and stem not in published:
            yield _scan(stem, {}, outcome, published, decide)


def _scan(
    name: str,
    shown: Mapping[str, Any],
    outcome: Mapping[str, Any] | None,
    published: Mapping[str, str],
    decide: Callable[[str, str], Decision | None],
) -> Scan:
    """Return a scan's row for the pages; if it was not shown (an empty mapping), with the reason alone."""
    measures, fingerprint = shown.get("measures", {}), shown.get("fingerprint", "")
    decision, (picture, volumes) = decide(name, fingerprint), files_of(name, fingerprint)
    missing = Missing(name, outcome or {"kind": "", "retry": False, **shown})
    return {
        "scan": shown.get("path", name),
        "name": name,
        "page": f"{name.partition('_')[0]}.html",
        "verdict": published.get(name, MISSING),
        "reasons": [] if name in published else missing.causes,
        "fingerprint": fingerprint,
        "decision": decision.decision if decision else "",
        "note": decision.note if decision else "",
        "time": decision.time if decision else "",
        "picture": picture if shown else "",
        "volumes": volumes if shown else "",
        "worst": worst_in_words(measures),
        "measures": [measure_row(check, measures) for check in CHECKS if check.measure in measures],
        "order": (name in published, -limit_used(measures), name),
    }


def _decision(state: State, dataset: str, name: str, fingerprint: str) -> Decision | None:
    """Return the decision that counts for what is shown of a scan, not of one of this name elsewhere."""
    known = remembered_decisions(state, name).items()
    of_it = {mark: one for mark, one in known if one.dataset == dataset or mark == fingerprint}
    return decision_on(of_it, fingerprint or None)


def _write_participants(folder: Path, people: Mapping[str, list[Scan]]) -> None:
    """Write the pages of participants, and their records for the index; remove those that have no scan."""
    names = [f"{name}.{kind}" for name, scans in people.items() if scans for kind in ("html", "json")]
    if names:
        with writing(folder, *names) as unfinished:
            for name, scans in people.items():
                if scans:
                    _write_participant(unfinished / name, folder, scans)
    with storage_errors(folder):
        for name, scans in people.items():
            if not scans:
                (folder / f"{name}.json").unlink(missing_ok=True)
                (folder / f"{name}.html").unlink(missing_ok=True)


def _write_participant(path: Path, folder: Path, scans: list[Scan]) -> None:
    """Write the page of a participant, and their record, without its extension at this path."""
    listed = [
        {key: scan[key] for key in LISTED} | {"reasons": [] if scan["picture"] else scan["reasons"]}
        for scan in scans
    ]
    content = page("private_subject.html", title=path.name, report=folder.name, scans=scans, listed=listed)
    Path(f"{path}.html").write_text(content, encoding="utf-8")
    Path(f"{path}.json").write_text(json.dumps([scans[0]["order"], listed]), encoding="utf-8")


def _write_index(folder: Path, faults: list[str]) -> Path | None:
    """Write the index from the records of all participants, until no other task has changed any meanwhile."""
    written, known = None, _participants(folder, faults)
    while known != written and (known or (folder / PAGE).exists()):
        scans = list(chain.from_iterable(known.values()))
        index = {
            "title": "Private report",
            "report": folder.name,
            "scans": scans,
            "participants": [_summed_up(name, some) for name, some in known.items()],
        }
        names = [] if _is_niivue(folder / NIIVUE.name) else [NIIVUE.name]
        with writing(folder, *names, LIST, PAGE) as unfinished:
            if names:
                copyfile(NIIVUE, unfinished / NIIVUE.name)
            listed = json.dumps(scans).replace("<", "\\u003c")
            (unfinished / LIST).write_text(f"const SCANS = {listed};\n", encoding="utf-8")
            (unfinished / PAGE).write_text(page("private.html", **index), encoding="utf-8")
        written, known = known, _participants(folder, [])
    return folder / PAGE if written is not None else None


def _is_niivue(path: Path) -> bool:
    return path.is_file() and cmp(NIIVUE, path, shallow=False)


def _participants(folder: Path, faults: list[str]) -> dict[str, list[Scan]]:
    """Return the scans of all participants, in order of their worst."""
    found = []
    for path in _records_in(folder):
        if "_" not in path.stem:
            try:
                order, scans = json.loads(path.read_text(encoding="utf-8"))
                found.append((order, path.stem, scans))
            except FileNotFoundError:
                pass  # another task has removed it at this moment
            except (OSError, ValueError, TypeError) as error:
                faults.append(f"{path}: {error!r}; remove it, and run this participant again")
    return {name: scans for _, name, scans in sorted(found)}


def _summed_up(name: str, scans: list[Scan]) -> dict[str, Any]:
    """Return the line of a participant in the index."""
    decided = [scan["decision"] for scan in scans]
    return {
        "name": name,
        "page": scans[0]["page"],
        "scans": len(scans),
        "missing": sum(scan["verdict"] == MISSING for scan in scans),
        **{decision: decided.count(decision) for decision in DECISIONS},
        "undecided": sum(bool(scan["fingerprint"]) and not scan["decision"] for scan in scans),
        "worst": next((f"{scan['name']}: {scan['worst']}" for scan in scans if scan["worst"]), ""),
    }
