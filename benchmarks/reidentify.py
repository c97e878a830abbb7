"""How recognisable heads are, before and after: ``python -m benchmarks.reidentify --folder PRIVATE``.

A cohort of synthetic people is made from the full-face heads in reach (BIDSDEFACE_HEADS=FOLDER), each is
scanned twice, one scan is defaced in several ways, and all attackers try to find it in a gallery of the
others. What has been seen is kept in the folder: interrupted, the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from benchmarks.defacers import METHODS, Scanned
from benchmarks.heads import find_heads
from bidsdeface.head.fit import fit, make_template_set
from bidsdeface.head.registered import TemplateSet
from bidsdeface.head.swap import Face, Swapper
from bidsdeface.imaging.image import Image, mask_header, read_image
from bidsdeface.imaging.volume import BLOCK_MM, reduce_image
from bidsdeface.reidentify.attack import SWAP, Defaced, Tools, attack_on, draw, look_at, swap_on
from bidsdeface.reidentify.findings import Findings, Probe, distances, evaluate, rate
from bidsdeface.reidentify.people import Person, as_float, at_mm, make_person, scan
from bidsdeface.reidentify.recognise import GALLERY_LIGHT, DlibRecogniser, Sight
from bidsdeface.reidentify.render import FINE_MM
from bidsdeface.templates.source import whole_head

REFACED = "bidsdeface reface"
ALL_PEOPLE = ("bidsdeface", REFACED, "front cut off")
BASE_HEADS = ("S01", "S03", "S04", "S06a", "S09")
MARGIN_MM = 15.0  # of air kept around a base head, and more in front
FRONT_MARGIN_MM = 40.0


def base_head(path: Path) -> Image:
    """Return a head at about 1 mm, axes nearest to R, A, S, with little air around it."""
    image = read_image(path)
    fine = at_mm(image, FINE_MM)
    values, affine = fine.stored, fine.affine.copy()
    volume = reduce_image(image, str(path))
    tissue = ndimage.binary_opening(volume.data > volume.tissue_threshold, iterations=2)
    to_fine = np.linalg.inv(affine) @ volume.affine
    corners = np.argwhere(tissue) @ to_fine[:3, :3].T + to_fine[:3, 3]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    low = np.maximum(corners.min(axis=0) - MARGIN_MM / spacing, 0).astype(int)
    front = np.array([MARGIN_MM, FRONT_MARGIN_MM, MARGIN_MM])
    high = np.minimum(corners.max(axis=0) + front / spacing + 1, values.shape).astype(int)
    values = values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    affine[:3, 3] += affine[:3, :3] @ low
    return as_float(image, values, affine)


@dataclass(frozen=True)
class Subject:
    """A synthetic person, by number: scans are made again whenever they are needed."""

    base: str
    number: int
    head: Callable[[], Image]

    @property
    def name(self) -> str:
        """Base head and number."""
        return f"{self.base}-{self.number:03}"

    @property
    def seed(self) -> int:
        """Of its own, whatever the size of the cohort."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4], "big")

    @functools.cached_property
    def person(self) -> Person:
        """The person in full."""
        return make_person(self.head(), self.seed)

    def scan(self, session: int) -> Image:
        """Return the scan of one day."""
        return scan(self.person, self.seed + session)


def cohort(people: int) -> Iterator[Subject]:
    """Yield people, base heads in turn, so that the first few are a cohort too."""
    heads = {name: path for name, path in find_heads().items() if name in BASE_HEADS}
    load = {name: functools.cache(functools.partial(base_head, path)) for name, path in heads.items()}
    for number in range(people):
        name = list(heads)[number % len(heads)]
        yield Subject(name, number, load[name])


def register(image: Image, tools: Tools) -> Scanned:
    found = fit("the scan", reduce_image(image, "the scan"), None, templates(), accepted=True)
    return Scanned(image, found.to_template, found.guard_brain, tools)


@functools.cache
def templates() -> TemplateSet:
    return make_template_set("WholeHead", ("face",))


def defaced(method: str, scanned: Callable[[], Scanned], folder: Path) -> Defaced:
    """Return a scan of a person, defaced, as its attackers get it."""
    there = scanned()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        values, mask = METHODS[method][0](there, Path(scratch))
    image = replace(there.image, stored=values)
    return Defaced(image, Image(mask_header(image.header), image.affine, mask), there.to_template)


def see(
    subject: Subject, tools: Tools, methods: list[str], pictures: Path | None
) -> tuple[Sight, dict[str, Probe]]:
    """Return a person's sight in the gallery, and a probe of the other scan for each method."""
    gallery = look_at(f"{subject.name} gallery", lambda: subject.scan(1), tools, GALLERY_LIGHT)
    original = look_at(f"{subject.name} original", lambda: subject.scan(2), tools)
    scanned = functools.cache(lambda: register(subject.scan(2), tools))

    def result(method: str) -> Defaced:
        found = defaced(method, scanned, tools.folder)
        if pictures:
            draw(pictures / f"{subject.name} {method}.png", scanned().image, found, original, tools)
        return found

    def probe(method: str) -> Probe:
        after = attack_on(
            f"{subject.name} {method}", lambda: result(method), original, tools, METHODS[method][1]
        )
        return Probe(subject.name, subject.base, gallery, original, after)

    return gallery, {method: probe(method) for method in methods}


def swap_faces(subjects: list[Subject], count: int, tools: Tools) -> list[Probe]:
    """Return probes of the first few people, by the swap attacker alone, who tries everybody's face."""
    swapper = Swapper(templates())
    faces = [swapper.face_in(at_mm(one.scan(1), BLOCK_MM)) for one in tqdm(subjects, unit="face")]
    probes = []
    for number, subject in enumerate(tqdm(subjects[:count], unit="person")):
        _, seen = see(subject, tools, [REFACED], None)
        ordered = [faces[number], *faces[:number], *faces[number + 1 :]]

        def differences(subject: Subject = subject, ordered: list[Face | None] = ordered) -> NDArray:
            published = defaced(REFACED, lambda: register(subject.scan(2), tools), tools.folder)
            return swapper.differences(published, ordered)

        key = f"{subject.name} {len(faces)}"
        tried = swap_on(key, seen[REFACED].after["plain"], differences, tools.folder)
        probes.append(replace(seen[REFACED], after={SWAP: tried}))
    return probes


def print_table(findings: dict[str, Findings], relatives: dict[tuple[str, str], str]) -> None:
    first = next(iter(findings.values()))
    print(f"\n{first.people} people in the gallery, {first.faceless} heads without a face in view left out")
    print("\n| method | attacker | detected | rank 1 | rank 5 | AUC | right base head first |")
    print("|---|---|--:|--:|--:|--:|--:|")
    rows = [("original", "plain", first.before)]
    rows += [(m, attacker, f) for m, found in findings.items() for attacker, f in found.after.items()]
    for method, attacker, f in rows:
        ranks = [
            f"{r.value:.2f} ({r.exact[0]:.2f}–{r.exact[1]:.2f}; {r.clustered[0]:.2f}–{r.clustered[1]:.2f})"
            + ("*" if r.above_chance else "")
            for r in f.ranks.values()
        ]
        print(
            f"| {method} | {attacker} | {f.detected.value:.2f} | {' | '.join(ranks)} | {f.auc:.2f} "
            f"| {relatives.get((method, attacker), '')} |"
        )
    chances = " | ".join(f"{r.chance:.2f}" for r in first.before.ranks.values())
    print(f"| chance | | | {chances} | 0.50 | |")
    print("\n95 % intervals: exact; by base head. *: above chance.")
    if first.underpowered:
        print("UNDERPOWERED: too few originals are recognised")


def plot(path: Path, findings: dict[str, Findings]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    first = next(iter(findings.values()))
    places = np.arange(1, first.people + 1)
    axes.plot(places, first.before.curve, color="black", label="original")
    for colour, (method, found) in enumerate(findings.items()):
        worst = max(found.after, key=lambda name: found.after[name].ranks[5].value)
        axes.plot(places, found.after[worst].curve, color=f"C{colour}", label=f"{method} ({worst})")
    axes.plot(places, places / first.people, color="grey", linestyle=":", label="chance")
    axes.set(xscale="log", xlabel="among the first … people", ylabel="share of heads found", ylim=(0, 1.02))
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def first_base(sights: list[Sight], probes: list[Probe]) -> str:
    """Return how often the nearest of the gallery comes from the same base head."""
    apart = distances(sights, [probe.gallery for probe in probes])
    known = np.isfinite(apart)
    nearest = np.where(known, apart, np.inf).argmin(axis=1)
    bases = np.array([probe.cluster for probe in probes])
    found = rate((bases[nearest] == bases) & known.any(axis=1), bases.tolist(), 1 / len(set(bases)))
    return f"{found.value:.2f} (of {found.chance:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="private; keeps what was seen")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--rival-people", type=int, help="try the others than bidsdeface on so many only")
    parser.add_argument("--swap", type=int, default=0, help="try all faces in so many refaced heads")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--pictures", type=Path, help="of the first ten people")
    given = parser.parse_args()
    for folder in filter(None, (given.folder, given.pictures)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    tools = Tools(DlibRecogniser(), whole_head(), given.folder)
    probes: dict[str, list[Probe]] = {method: [] for method in given.methods}
    gallery: list[Sight] = []
    subjects = list(cohort(given.people))
    for number, subject in enumerate(tqdm(subjects, unit="person")):
        pictures = given.pictures if number < 10 else None
        rivals = given.rival_people is None or number < given.rival_people
        methods = [method for method in given.methods if rivals or method in ALL_PEOPLE]
        other_day, seen = see(subject, tools, methods, pictures)
        gallery.append(other_day)
        for method, probe in seen.items():
            probes[method].append(probe)
    if given.swap:
        probes[f"{REFACED}, {given.swap} people"] = swap_faces(subjects, given.swap, tools)
    report(probes, gallery, given.plot)


def report(probes: dict[str, list[Probe]], gallery: list[Sight], picture: Path | None) -> None:
    """Print the table of all methods, and plot their curves if asked to."""
    findings = {method: evaluate(seen, gallery[len(seen) :]) for method, seen in probes.items()}
    some = next(iter(probes.values()))
    relatives = {("original", "plain"): first_base([probe.original for probe in some], some)}
    for method, seen in probes.items():
        for attacker in METHODS[method][1] if method in METHODS else ():
            sights = [probe.after[attacker] for probe in seen]
            relatives[method, attacker] = first_base(sights, seen)
    print_table(findings, relatives)
    if picture:
        plot(picture, findings)


if __name__ == "__main__":
    main()
