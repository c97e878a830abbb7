"""The study of a dataset: every published scan is attacked, beside its original.

What is seen on the way identifies people: it is kept in the folder that is passed in, and nowhere else. An
interrupted study goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from bidsdeface.errors import BidsdefaceError
from bidsdeface.imaging.image import Image, read_image
from bidsdeface.reidentify.attack import Defaced, Tools, attack_on, look_at
from bidsdeface.reidentify.findings import Findings, evaluate
from bidsdeface.reidentify.people import make_person, rescan, scan
from bidsdeface.reidentify.recognise import DlibRecogniser
from bidsdeface.reidentify.sight import GALLERY_LIGHT, Sight
from bidsdeface.templates.source import whole_head
from bidsdeface.workers import Lost, run_in_workers

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
    def person(self) -> str:
        """The name in the gallery."""
        return f"synthetic {self.seed}"


@dataclass(frozen=True)
class Seen:
    """What was seen of a case: in the gallery, before, and by each attacker after."""

    gallery: Sight
    original: Sight | None = None
    attacks: dict[str, Sight] | None = None


def conduct(cases: Sequence[Case], folder: Path, n_procs: int = 1, people: int = GALLERY) -> Findings:
    """Attack all cases, and return how recognisable they were and are.

    Parameters
    ----------
    cases : sequence of Case
    folder : pathlib.Path
        Private, and there.
    n_procs : int
        How many processes at most, of less than 1 GB each.
    people : int
        In the gallery at least; synthetic ones fill it up.

    Raises
    ------
    BidsdefaceError
        Face recognition is not installed, or a file cannot be read.
    """
    DlibRecogniser()  # what is missing is better said before the work than in every process
    items: list[Case | Stranger] = [*cases, *strangers(cases, people)]
    seen: dict[Case | Stranger, Seen] = {}
    with tqdm(total=len(items), unit="head", desc="re-identification", disable=None) as bar:
        for item, result in run_in_workers(prepare, (folder,), items, n_procs):
            if isinstance(result, BidsdefaceError):
                raise result
            if isinstance(result, Lost):
                raise BidsdefaceError(f"{item.person}: {result.reason}")
            seen[item] = result
            bar.update()
    gallery: dict[str, Sight] = {}
    for one in items:  # the first scan of a person stands for them
        gallery.setdefault(one.person, seen[one].gallery)
    originals, attacks = [], []
    for case in cases:
        original, after = seen[case].original, seen[case].attacks
        assert original is not None and after is not None
        originals.append((case.person, case.person, original))
        attacks.append(after)
    return evaluate(gallery, originals, attacks, synthetic=len(items) - len(cases))


def strangers(cases: Sequence[Case], people: int) -> Iterator[Stranger]:
    """Yield as many synthetic people as the gallery lacks, made from the scans in turn."""
    for seed in range(people - len({case.person for case in cases})):
        yield Stranger(cases[seed % len(cases)], seed)


def prepare(folder: Path) -> Callable[[Case | Stranger], Seen]:
    """Return the function that looks at one head, with everything it needs."""
    tools = Tools.of(DlibRecogniser(), whole_head(), folder)
    return lambda item: _see_stranger(item, tools) if isinstance(item, Stranger) else _see_case(item, tools)


def _see_case(case: Case, tools: Tools) -> Seen:
    def gallery() -> Image:
        return read_image(case.other) if case.other else rescan(read_image(case.original), SESSION)

    def defaced() -> Defaced:
        return Defaced(read_image(case.defaced), read_image(case.mask))

    original = look_at(f"{case.key} original", lambda: read_image(case.original), tools)
    return Seen(
        look_at(f"{case.key} gallery", gallery, tools, GALLERY_LIGHT),
        original,
        attack_on(f"{case.key} defaced", defaced, original, tools),
    )


def _see_stranger(stranger: Stranger, tools: Tools) -> Seen:
    def gallery() -> Image:
        return scan(make_person(read_image(stranger.case.original), stranger.seed), SESSION)

    return Seen(look_at(f"{stranger.case.key} {stranger.person}", gallery, tools, GALLERY_LIGHT))
