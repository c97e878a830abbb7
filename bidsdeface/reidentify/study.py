"""The study of a dataset: every published scan is attacked, beside its original.

What is seen on the way identifies people: it is kept in the folder that is passed in, and nowhere else. An
interrupted study goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bidsdeface.dataset.names import stem_of
from bidsdeface.errors import BidsdefaceError, Exit
from bidsdeface.imaging.image import Image, read_image
from bidsdeface.reidentify.attack import Defaced, Tools, attack_on, look_at
from bidsdeface.reidentify.findings import Findings, Probe, evaluate, matches
from bidsdeface.reidentify.people import at_one_mm, make_person, rescan, scan
from bidsdeface.reidentify.picture import draw
from bidsdeface.reidentify.recognise import DlibRecogniser
from bidsdeface.reidentify.sight import GALLERY_LIGHT, Sight
from bidsdeface.runtime.workers import Lost, run_in_workers
from bidsdeface.templates.source import whole_head

GALLERY = 100  # people at least: among a handful, everybody is recognised
SESSION = 1  # seed of simulated rescans


@dataclass(frozen=True)
class Case:
    """A scan of a study, before and after.

    Attributes
    ----------
    key : str
        Names the contents of all files, for what is kept of them: if they change, so must the key.
    person : str
    original, defaced, mask : pathlib.Path
    other : pathlib.Path, optional
        Another scan of the same person (session, run or contrast) for the gallery; without one, a rescan is
        simulated.
    """

    key: str
    person: str
    original: Path
    defaced: Path
    mask: Path
    other: Path | None = None


@dataclass(frozen=True)
class Stranger:
    """A synthetic person who only fills the gallery."""

    case: Case
    seed: int

    @property
    def key(self) -> str:
        """As that of a case."""
        return f"{self.case.key} synthetic {self.seed}"

    @property
    def original(self) -> Path:
        """Of the person whose head was bent."""
        return self.case.original


@dataclass(frozen=True)
class Study:
    """All that was seen in a study. It tells who is who: only what `findings` returns may be published.

    Attributes
    ----------
    probes : dict of Case to Probe
    strangers : list of Sight
        Synthetic people of the gallery.
    """

    probes: dict[Case, Probe]
    strangers: list[Sight]

    def findings(self, without: Collection[Case] = ()) -> Findings:
        """Return how recognisable all scans were and are, or all but some; the gallery is the same."""
        left = [probe for case, probe in self.probes.items() if case not in without]
        return evaluate(left, self.strangers, [self.probes[case] for case in without])

    def matched(self) -> dict[Case, tuple[str, ...]]:
        """Return the scans whose person comes first in the gallery, and for which attackers."""
        found = zip(self.probes, matches(list(self.probes.values()), self.strangers), strict=True)
        return {case: attackers for case, attackers in found if attackers}


def conduct(
    cases: Sequence[Case],
    folder: Path,
    n_procs: int = 1,
    people: int = GALLERY,
    pictures: Path | None = None,
    quiet: bool = False,
) -> Study:
    """Attack all cases, and return what was seen.

    Parameters
    ----------
    cases : sequence of Case
    folder : pathlib.Path
        Private, and there.
    n_procs : int
        How many processes at most, of less than 1 GB each.
    people : int
        In the gallery at least; synthetic ones fill it up.
    pictures : pathlib.Path, optional
        Folder for a picture of each case, private, and there.
    quiet : bool
        Whether to show no progress, which is shown on a terminal only.

    Raises
    ------
    BidsdefaceError
        Face recognition is not installed, or a file cannot be read.
    """
    DlibRecogniser()  # what is missing is better said before the work than in every process
    items: list[Case | Stranger] = [*cases, *strangers(cases, people)]
    seen: dict[Case | Stranger, Any] = {}
    with tqdm(total=len(items), unit="head", desc="re-identification", disable=quiet or None) as bar:
        for item, result in run_in_workers(prepare, (folder, pictures), items, n_procs):
            if isinstance(result, BidsdefaceError):
                raise result
            if isinstance(result, Lost):
                raise BidsdefaceError(f"{item.original}: {result.reason}", retry=result.code is Exit.RETRY)
            seen[item] = result
            bar.update()
    return Study({case: seen[case] for case in cases}, [seen[item] for item in items[len(cases) :]])


def strangers(cases: Sequence[Case], people: int) -> Iterator[Stranger]:
    """Yield as many synthetic people as the gallery lacks, made from the scans in turn."""
    for seed in range(people - len({case.person for case in cases})):
        yield Stranger(cases[seed % len(cases)], seed)


def prepare(folder: Path, pictures: Path | None) -> Callable[[Case | Stranger], list[Probe | Sight]]:
    """Return the function that looks at one head, with everything it needs."""
    tools = Tools.of(DlibRecogniser(), whole_head(), folder)
    return lambda item: [
        look_at_case(item, tools, pictures) if isinstance(item, Case) else _look_at_stranger(item, tools)
    ]


def look_at_case(case: Case, tools: Tools, pictures: Path | None = None) -> Probe:
    """Return what is seen of a scan, before and after, and draw it if there is a folder for pictures."""

    def gallery() -> Image:
        return read_image(case.other) if case.other else rescan(at_one_mm(read_image(case.original)), SESSION)

    def defaced() -> Defaced:
        return Defaced(read_image(case.defaced), read_image(case.mask))

    original = look_at(f"{case.key} original", lambda: read_image(case.original), tools)
    probe = Probe(
        case.person,
        case.person,
        look_at(f"{case.key} gallery", gallery, tools, GALLERY_LIGHT),
        original,
        attack_on(f"{case.key} defaced", defaced, original, tools),
    )
    if pictures:
        name = stem_of(case.original)
        draw(pictures / f"{name}.png", read_image(case.original), defaced(), original, tools)
    return probe


def _look_at_stranger(stranger: Stranger, tools: Tools) -> Sight:
    def gallery() -> Image:
        return scan(make_person(at_one_mm(read_image(stranger.case.original)), stranger.seed), SESSION)

    return look_at(stranger.key, gallery, tools, GALLERY_LIGHT)
