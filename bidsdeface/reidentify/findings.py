"""The figures of a study: how many heads are recognised before defacing, and by each attacker after it.

Three rules keep the figures honest. A tie counts against the claim that is made: before defacing, that the
attack has power; after it, that it has none. A probe that the attacker cannot compare (NaN) is a miss at
every rank. Such a probe counts as chance in the AUC, as the attacker can only guess.
The swap attacker has a few candidates of his own for each probe. Those that lead to the same bits look the
same to him, so he draws lots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from bidsdeface.reidentify.attack import SWAP
from bidsdeface.reidentify.recognise import EMBEDDING, Sight

CONFIDENCE = 0.95
RESAMPLES = 2000
RANKS = (1, 5)
LOT = 1e-6  # smaller than any difference
MIN_BEFORE = 0.5  # below this, an attack that finds nobody after defacing proves nothing


@dataclass(frozen=True)
class Probe:
    """A scan under attack, and everything that was seen of it.

    Attributes
    ----------
    person : str
    cluster : str
        Probes of one cluster may depend on each other: scans of a person, siblings of a base head.
    gallery : Sight
        The same person in another picture, with which the probe should match.
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
class Rate:
    """A share of probes, with 95 % intervals.

    Attributes
    ----------
    hits, count : int
        Number of hits, and of probes.
    exact : tuple of float
        Clopper-Pearson: right where probes are independent.
    clustered : tuple of float
        Bootstrap of whole clusters. It says nothing where all or no probes were hit, or where there is one
        cluster: there, use the exact interval.
    chance : float
        Rate of guessing.
    """

    hits: int
    count: int
    exact: tuple[float, float]
    clustered: tuple[float, float]
    chance: float

    @property
    def value(self) -> float:
        """The share itself; NaN without probes."""
        return self.hits / self.count if self.count else float("nan")

    @property
    def above_chance(self) -> bool:
        """Whether chance lies below the exact interval."""
        return self.exact[0] > self.chance


@dataclass(frozen=True)
class Figures:
    """Figures of one attack.

    Attributes
    ----------
    detected : Rate
        Heads in which the detector saw a face.
    ranks : dict of int to Rate
        Heads whose person was among the first 1 and 5.
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
        """Whether people are found significantly more often than by guessing."""
        return any(found.above_chance for found in self.ranks.values())


@dataclass(frozen=True)
class Findings:
    """Figures of a study.

    Attributes
    ----------
    people : int
        In the gallery.
    synthetic : int
        Number of synthetic people among them.
    faceless : int
        Number of heads left out, because no face was seen in the original or in its gallery picture.
    before : Figures
        Of the originals.
    after : dict of str to Figures
        Of the defaced heads, by attacker.
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
    """The part of a dataset's study that may be published.

    Attributes
    ----------
    findings : Findings
        Of all scans under attack.
    left : Findings or None
        Of the scans that were not withdrawn; None if none was withdrawn.
    withdrawn : int
        Number of withdrawn scans.
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

    The gallery holds one picture of each person (that of the person's first probe), the synthetic strangers,
    and the people of `others`, which are not counted. Another probe of the same person is compared with its
    own picture in place of that one.
    """
    lineup = _Lineup.of(probes, strangers, others)
    return Findings(
        lineup.people,
        lineup.synthetic,
        len(probes) - len(lineup.probes),
        lineup.figures([probe.original for probe in lineup.probes], ties_to_attacker=False),
        {name: lineup.figures(sights, name) for name, sights in lineup.after.items()},
    )


def matches(probes: Sequence[Probe], strangers: Sequence[Sight] = ()) -> list[tuple[str, ...]]:
    """Return, for each probe, the attackers for whom its person comes first in the gallery, ties included.

    A probe that `evaluate` leaves out has none. For the swap attacker, its person's face alone must lead to
    what is published.
    """
    lineup = _Lineup.of(probes, strangers)
    is_first = {}
    for name, sights in lineup.after.items():
        apart, truth = lineup.compared(sights, name)
        is_first[name] = true_ranks(apart, truth, ties_to_attacker=name != SWAP) == 1
        if name == SWAP:
            is_first[name] &= apart[:, 0] == 0
    found = [tuple(name for name, first in is_first.items() if first[k]) for k in range(len(lineup.probes))]
    matched = dict(zip(map(id, lineup.probes), found, strict=True))
    return [matched.get(id(probe), ()) for probe in probes]


@dataclass(frozen=True)
class _Lineup:
    """The probes that show a face, and the gallery in which each is searched."""

    probes: list[Probe]
    gallery: list[Sight]
    truth: NDArray[np.int64]
    synthetic: int

    @classmethod
    def of(
        cls, probes: Sequence[Probe], strangers: Sequence[Sight], others: Sequence[Probe] = ()
    ) -> "_Lineup":
        with_face = [probe for probe in probes if probe.has_face]
        filling = [sight for sight in strangers if sight.has_face]
        real = [*with_face, *(probe for probe in others if probe.has_face)]
        first = {probe.person: probe.gallery for probe in reversed(real)}
        number = {person: index for index, person in enumerate(first)}
        truth = np.array([number[probe.person] for probe in with_face], int)
        return cls(with_face, [*first.values(), *filling], truth, len(filling))

    @property
    def people(self) -> int:
        return len(self.gallery)

    @property
    def after(self) -> dict[str, list[Sight]]:
        """What each attacker saw of each probe."""
        names = self.probes[0].after if self.probes else ()
        return {name: [probe.after[name] for probe in self.probes] for name in names}

    def figures(self, sights: Sequence[Sight], attacker: str = "", ties_to_attacker: bool = True) -> Figures:
        apart, truth = self.compared(sights, attacker)
        people = apart.shape[1]
        if attacker == SWAP:
            apart = apart + np.random.default_rng(0).uniform(0, LOT, apart.shape)
        ranks = true_ranks(apart, truth, ties_to_attacker)
        clusters = [probe.cluster for probe in self.probes]
        return Figures(
            rate(np.array([sight.has_face for sight in sights], bool), clusters, 0.0),
            {k: rate(ranks <= k, clusters, k / max(people, k)) for k in RANKS},
            auc(apart, truth),
            tuple(curve(ranks, people)),
        )

    def compared(self, sights: Sequence[Sight], attacker: str = "") -> tuple[NDArray, NDArray[np.int64]]:
        """Return the distances of one sight of each probe from everybody, and who is the right one.

        Everybody is the gallery, or the swap attacker's candidates. Shapes (probes, people) and (probes,).
        """
        if attacker == SWAP:
            differences = [sight.differences for sight in sights]
            return np.array(differences).reshape(len(sights), -1), np.zeros(len(sights), int)
        apart = distances(sights, self.gallery)
        own = [probe.gallery for probe in self.probes]
        apart[np.arange(len(sights)), self.truth] = [
            distances([sight], [picture])[0, 0] for sight, picture in zip(sights, own, strict=True)
        ]
        return apart, self.truth


def distances(sights: Sequence[Sight], gallery: Sequence[Sight]) -> NDArray[np.float64]:
    """Return the distance of each sight from each of a gallery, shape (sights, gallery); NaN if not seen."""
    return cdist(
        *(np.array([s.embedding for s in side]).reshape(-1, EMBEDDING) for side in (sights, gallery))
    )


def true_ranks(
    distances: NDArray, truth: NDArray[np.int64], ties_to_attacker: bool = True
) -> NDArray[np.float64]:
    """Return the rank at which each probe finds its own person.

    Parameters
    ----------
    distances : numpy.ndarray, shape (probes, people)
        From each probe to each person of the gallery; a row with NaN is a miss.
    truth : numpy.ndarray, shape (probes,)
        Index of the person whom each probe shows.
    ties_to_attacker : bool
        Whether the right person comes first among equally near people, or last.

    Returns
    -------
    numpy.ndarray, shape (probes,)
        From 1; infinity for misses.
    """
    own = np.take_along_axis(distances, truth[:, None], axis=1)
    before = (distances < own).sum(axis=1)
    equal = (distances == own).sum(axis=1) - 1
    ranks = 1.0 + before + (0 if ties_to_attacker else equal)
    return np.where(np.isnan(distances).any(axis=1), np.inf, ranks)


def curve(ranks: NDArray, people: int) -> NDArray[np.float64]:
    """Return the cumulative match curve: the share of probes found within the first 1, 2 … people."""
    if not len(ranks):
        return np.full(people, np.nan)
    return (ranks[:, None] <= np.arange(1, people + 1)).mean(axis=0)


def auc(distances: NDArray, truth: NDArray[np.int64]) -> float:
    """Return how often a probe is nearer to its own person than to another; ties and misses count one half.

    NaN without probes, or without another person.
    """
    if not len(distances) or distances.shape[1] < 2:
        return float("nan")
    first, last = (true_ranks(distances, truth, ties_to_attacker) for ties_to_attacker in (True, False))
    others = distances.shape[1] - 1
    farther = others + 1 - (first + last) / 2
    return float(np.where(np.isinf(first), 0.5, farther / others).mean())


def rate(hit: NDArray[np.bool_], clusters: Sequence[str], chance: float) -> Rate:
    """Return the share of hits and its intervals, from one hit (bool) and one cluster for each probe."""
    hits, count = int(hit.sum()), len(hit)
    return Rate(hits, count, exact_interval(hits, count), cluster_interval(hit, clusters), chance)


def exact_interval(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of Clopper and Pearson (Biometrika 1934); 0 to 1 without probes."""
    from scipy.stats import binomtest

    if not count:
        return 0.0, 1.0
    interval = binomtest(hits, count).proportion_ci(CONFIDENCE, "exact")
    return float(interval.low), float(interval.high)


def cluster_interval(values: NDArray, clusters: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of a mean, from a bootstrap of whole clusters.

    One cluster gives no information: 0 to 1.
    """
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        return 0.0, 1.0
    sums, sizes = (np.bincount(member, weights, len(names)) for weights in (values.astype(float), None))
    drawn = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def verdict(findings: Findings) -> str:
    """Return the conclusion of the study, in one sentence."""
    if findings.underpowered:
        first = findings.before.ranks[1]
        return (
            f"Underpowered: of the originals {first.hits} of {first.count} were recognised, too few for the "
            "figures after defacing to mean anything."
        )
    found = [name for name, f in findings.after.items() if f.reidentifiable]
    if found:
        return f"People are still recognised more often than by guessing; attacker: {', '.join(found)}."
    return "No attacker recognised people more often than guessing would, as far as so many heads can tell."
