"""The study of a dataset: attack every published scan, and compare with its original.

What is seen on the way identifies people, so it is kept in the given private folder and nowhere else. An
interrupted study continues where it stopped.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bidsdeface.dataset.names import stem_of
from bidsdeface.errors import BidsdefaceError, Exit
from bidsdeface.imaging.image import Image, read_image
from bidsdeface.imaging.volume import BLOCK_MM
from bidsdeface.output.record import read_record
from bidsdeface.reidentify.attack import CANDIDATES, SWAP, Defaced, Tools, attack_on, draw, look_at, swap_on
from bidsdeface.reidentify.findings import Findings, Probe, evaluate, matches
from bidsdeface.reidentify.people import at_mm, make_person, rescan, scan
from bidsdeface.reidentify.recognise import GALLERY_LIGHT, DlibRecogniser, Sight
from bidsdeface.reidentify.render import FINE_MM
from bidsdeface.runtime.workers import Lost, run_in_workers
from bidsdeface.templates.source import whole_head

Swap = Callable[[Defaced, Iterable[Image]], NDArray]
GALLERY = 100  # least number of people: among a handful, everybody is recognised
SESSION = 1  # seed of simulated rescans


@dataclass(frozen=True)
class Case:
    """A scan of a study, before and after.

    Attributes
    ----------
    key : str
        Identifies the contents of all files. It must change if they do, as stored sights go by it.
    person : str
    original, defaced, mask : pathlib.Path
    other : pathlib.Path, optional
        Another scan of the same person (session, run or contrast) for the gallery. Without one, a rescan is
        simulated.
    """

    key: str
    person: str
    original: Path
    defaced: Path
    mask: Path
    other: Path | None = None


@dataclass(frozen=True)
class Stranger(Case):
    """A synthetic person who only fills the gallery, made from the head of a case.

    Attributes
    ----------
    seed : int
    """

    seed: int = 0


@dataclass(frozen=True)
class Study:
    """Everything that was seen in a study. It identifies people: publish only what `findings` returns.

    Attributes
    ----------
    probes : dict of Case to Probe
    strangers : list of Sight
        Synthetic people of the gallery.
    """

    probes: dict[Case, Probe]
    strangers: list[Sight]

    def findings(self, without: Collection[Case] = ()) -> Findings:
        """Return the figures of all scans, or of all but some; the gallery is the same."""
        return evaluate(
            [probe for case, probe in self.probes.items() if case not in without],
            self.strangers,
            [self.probes[case] for case in without],
        )

    def matched(self) -> dict[Case, tuple[str, ...]]:
        """Return the scans whose person comes first in the gallery, and for which attackers."""
        matched = matches(list(self.probes.values()), self.strangers)
        return {case: attackers for case, attackers in zip(self.probes, matched, strict=True) if attackers}


def conduct(
    cases: Sequence[Case],
    folder: Path,
    n_procs: int = 1,
    people: int = GALLERY,
    pictures: Path | None = None,
    quiet: bool = False,
    load_swap: Callable[[], Swap] | None = None,
) -> Study:
    """Attack all cases, and return everything that was seen.

    Parameters
    ----------
    cases : sequence of Case
    folder : pathlib.Path
        Private; must exist.
    n_procs : int
        Most processes to use, of less than 1 GB each.
    people : int
        Least number in the gallery; synthetic people fill it up.
    pictures : pathlib.Path, optional
        Folder for a picture of each case; private, must exist.
    quiet : bool
        Whether to hide the progress bar, which appears on a terminal only.
    load_swap : callable, optional
        Return what the swap attacker does, as `Tools` takes it; called in each worker, importable by name.

    Raises
    ------
    BidsdefaceError
        Face recognition is not installed, or a file cannot be read.
    """
    DlibRecogniser()  # report a missing part before the work, not in every process
    items = [*cases, *strangers(cases, people)]
    seen: dict[Case, Any] = {}
    with tqdm(total=len(items), unit="head", desc="re-identification", disable=quiet or None) as bar:
        for item, result in run_in_workers(prepare, (folder, pictures, load_swap), items, n_procs):
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
        yield Stranger(**vars(cases[seed % len(cases)]), seed=seed)


def prepare(
    folder: Path, pictures: Path | None, load_swap: Callable[[], Swap] | None
) -> Callable[[Case], list[Probe | Sight]]:
    """Return the function that looks at one head, with everything it needs."""
    tools = Tools(DlibRecogniser(), whole_head(), folder, load_swap() if load_swap else None)
    return lambda case: [
        _look_at_stranger(case, tools) if isinstance(case, Stranger) else look_at_case(case, tools, pictures)
    ]


def look_at_case(case: Case, tools: Tools, pictures: Path | None = None) -> Probe:
    """Return what is seen of a scan, before and after, and draw it if there is a folder for pictures."""

    def defaced() -> Defaced:
        placement = placement_of(case)
        to_template = None if placement is None else np.array(placement, float)
        return Defaced(read_image(case.defaced), read_image(case.mask), to_template)

    original = look_at(f"{case.key} original", lambda: read_image(case.original), tools)
    gallery = look_at(f"{case.key} gallery", lambda: _gallery_image(case), tools, GALLERY_LIGHT)
    after = attack_on(f"{case.key} defaced", defaced, original, tools)
    if swap := tools.swap:
        after[SWAP] = swap_on(
            case.key, after["plain"], lambda: swap(defaced(), _candidates(case)), tools.folder
        )
    probe = Probe(case.person, case.person, gallery, original, after)
    if pictures:
        path = pictures / f"{stem_of(case.original)}.png"
        draw(path, read_image(case.original), defaced(), original, tools)
    return probe


def placement_of(case: Case) -> list[list[float]] | None:
    """Return where the average face lies in a published scan, as its record says; None if it has none."""
    return read_record(case.defaced).get("PlacementOnWholeHead")


def _gallery_image(case: Case) -> Image:
    """Return another scan of the same person, simulated if there is none."""
    return (
        read_image(case.other) if case.other else rescan(at_mm(read_image(case.original), FINE_MM), SESSION)
    )


def _candidates(case: Case) -> Iterator[Image]:
    """Yield coarse scans of the right person and of synthetic ones, whose faces the swap attacker tries."""
    coarse = at_mm(_gallery_image(case), BLOCK_MM)
    yield coarse
    for seed in range(1, CANDIDATES):
        yield scan(make_person(coarse, seed), SESSION)


def _look_at_stranger(stranger: Stranger, tools: Tools) -> Sight:
    return look_at(
        f"{stranger.key} synthetic {stranger.seed}",
        lambda: scan(make_person(at_mm(read_image(stranger.original), FINE_MM), stranger.seed), SESSION),
        tools,
        GALLERY_LIGHT,
    )
