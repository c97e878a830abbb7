"""The figures of a study: how many were recognised before, and how many by each attacker after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from bidsdeface.reidentify.ranks import Rate, auc, curve, rate, true_ranks
from bidsdeface.reidentify.sight import EMBEDDING, Sight

RANKS = (1, 5)
MIN_BEFORE = 0.5  # below this, an attack that finds nobody afterwards proves nothing


@dataclass(frozen=True)
class Probe:
    """A scan under attack, and all that was seen of it.

    Attributes
    ----------
    person : str
    cluster : str
        Probes of one cluster may hang together: the scans of a person, the siblings of a base head.
    gallery : Sight
        Of the same person in another picture: what the probe is to be matched with.
    original : Sight
        Before defacing.
    after : dict of str to Sight
        By attacker.
    """

    person: str
    cluster: str
    gallery: Sight
    original: Sight
    after: dict[str, Sight]

    @property
    def has_face(self) -> bool:
        """Whether there was a face to recognise, in both intact pictures."""
        return self.original.has_face and self.gallery.has_face


@dataclass(frozen=True)
class Figures:
    """How one attack went.

    Attributes
    ----------
    detected : Rate
        Heads in which the detector saw a face.
    ranks : dict of int to Rate
        Heads whose person was among the first 1, 5.
    auc : float
        How often a head is nearer to its own person than to another.
    curve : tuple of float
        The share of heads found within the first 1, 2 … people.
    """

    detected: Rate
    ranks: dict[int, Rate]
    auc: float
    curve: tuple[float, ...]

    @property
    def reidentifiable(self) -> bool:
        """Whether people are found more often than by guessing, beyond what may be luck."""
        return any(found.above_chance for found in self.ranks.values())


@dataclass(frozen=True)
class Findings:
    """What a study found.

    Attributes
    ----------
    people : int
        In the gallery.
    synthetic : int
        How many of them do not exist.
    faceless : int
        Heads left out, because no face was seen in the original or in its gallery picture.
    before : Figures
        Of the originals.
    after : dict of str to Figures
        Of the defaced, by attacker.
    """

    people: int
    synthetic: int
    faceless: int
    before: Figures
    after: dict[str, Figures]

    @property
    def underpowered(self) -> bool:
        """Whether too few originals are recognised for the figures after defacing to mean anything."""
        return self.before.ranks[1].exact[0] < MIN_BEFORE


@dataclass(frozen=True)
class Audit:
    """What may be published of the study of a dataset.

    Attributes
    ----------
    findings : Findings
        Of all scans under attack.
    left : Findings or None
        Of those of them that have not been withdrawn; None if none was.
    withdrawn : int
        How many were.
    whole : bool
        Whether every defaced scan of the dataset was under attack.
    """

    findings: Findings
    left: Findings | None = None
    withdrawn: int = 0
    whole: bool = True


def evaluate(
    probes: Sequence[Probe], strangers: Sequence[Sight] = (), others: Sequence[Probe] = ()
) -> Findings:
    """Return the figures of a study.

    The gallery has one picture of each person, that of the person's first probe, and the strangers; a further
    probe of a person looks for its own picture in place of that one.

    Parameters
    ----------
    probes : sequence of Probe
    strangers : sequence of Sight
        Synthetic people who fill up the gallery.
    others : sequence of Probe
        Scans that are not counted, but whose people stand in the gallery too.
    """
    lineup = _Lineup.of(probes, strangers, others)
    kept = lineup.probes
    clusters = [probe.cluster for probe in kept]

    def figures(sights: Sequence[Sight], ties_to_attacker: bool) -> Figures:
        apart = lineup.distances(sights)
        ranks = true_ranks(apart, lineup.truth, ties_to_attacker)
        return Figures(
            rate(np.array([sight.has_face for sight in sights], bool), clusters, 0.0),
            {k: rate(ranks <= k, clusters, k / max(lineup.people, k)) for k in RANKS},
            auc(apart, lineup.truth),
            tuple(curve(ranks, lineup.people)),
        )

    return Findings(
        lineup.people,
        lineup.synthetic,
        len(probes) - len(kept),
        figures([probe.original for probe in kept], ties_to_attacker=False),
        {
            name: figures([probe.after[name] for probe in kept], ties_to_attacker=True)
            for name in (kept[0].after if kept else ())
        },
    )


def matches(probes: Sequence[Probe], strangers: Sequence[Sight] = ()) -> list[tuple[str, ...]]:
    """Return, for each probe, the attackers for whom its person comes first in the gallery, ties included.

    None for a probe that `evaluate` leaves out.
    """
    lineup = _Lineup.of(probes, strangers)
    kept = lineup.probes
    found: dict[int, tuple[str, ...]] = {id(probe): () for probe in kept}
    for name in kept[0].after if kept else ():
        apart = lineup.distances([probe.after[name] for probe in kept])
        for probe, first in zip(kept, true_ranks(apart, lineup.truth) == 1, strict=True):
            found[id(probe)] += (name,) if first else ()
    return [found.get(id(probe), ()) for probe in probes]


@dataclass(frozen=True)
class _Lineup:
    """The probes that show a face, and the gallery in which each is looked for."""

    probes: list[Probe]
    gallery: list[Sight]
    truth: NDArray[np.int64]
    synthetic: int

    @classmethod
    def of(cls, probes: Sequence[Probe], strangers: Sequence[Sight], others: Sequence[Probe] = ()) -> _Lineup:
        kept = [probe for probe in probes if probe.has_face]
        filling = [sight for sight in strangers if sight.has_face]
        real = [*kept, *(probe for probe in others if probe.has_face)]
        first = {probe.person: probe.gallery for probe in reversed(real)}
        number = {person: index for index, person in enumerate(first)}
        truth = np.array([number[probe.person] for probe in kept], int)
        return cls(kept, [*first.values(), *filling], truth, len(filling))

    @property
    def people(self) -> int:
        return len(self.gallery)

    def distances(self, sights: Sequence[Sight]) -> NDArray[np.float64]:
        """Return how far a sight of each probe is from everybody, shape (probes, people)."""
        apart = distances(sights, self.gallery)
        apart[np.arange(len(sights)), self.truth] = [
            distances([sight], [probe.gallery])[0, 0]
            for sight, probe in zip(sights, self.probes, strict=True)
        ]
        return apart


def distances(sights: Sequence[Sight], gallery: Sequence[Sight]) -> NDArray[np.float64]:
    """Return how far each sight is from each of a gallery, shape (sights, gallery); NaN of nothing seen."""
    one, other = (
        np.array([sight.embedding for sight in side]).reshape(-1, EMBEDDING) for side in (sights, gallery)
    )
    return cdist(one, other)


def verdict(findings: Findings) -> str:
    """Return in a sentence what the study allows to say."""
    if findings.underpowered:
        first = findings.before.ranks[1]
        return (
            f"Underpowered: of the originals {first.hits} of {first.count} were recognised, too few for the "
            "figures after defacing to mean anything."
        )
    found = [name for name, figures in findings.after.items() if figures.reidentifiable]
    if found:
        return f"People are still recognised more often than by guessing; attacker: {', '.join(found)}."
    return "No attacker recognised people more often than guessing would, as far as so many heads can tell."
