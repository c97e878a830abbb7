"""What a table of distances says: how often a person is found, and how sure that is.

Three rules keep the figures honest. A tie is decided against the claim that is made: for heads before
defacing the claim is that the attack has power, for those after it that it has none. A probe for which the
attacker has nothing to compare (NaN) is a miss at every rank. And such a probe counts as chance in the
AUC: who sees nothing, guesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Rate:
    """A share of probes, with 95 % intervals.

    Attributes
    ----------
    hits, count : int
        So many of so many.
    exact : tuple of float
        Clopper-Pearson: right where probes are independent.
    clustered : tuple of float
        Bootstrap of whole clusters (the scans of a person, the siblings of a base head). It knows nothing
        where all or no probes were hit, or where there is one cluster: there the exact one counts.
    chance : float
        Of a guesser.
    """

    hits: int
    count: int
    exact: tuple[float, float]
    clustered: tuple[float, float]
    chance: float

    @property
    def value(self) -> float:
        """The share itself; NaN of no probes."""
        return self.hits / self.count if self.count else float("nan")

    @property
    def above_chance(self) -> bool:
        """Whether chance lies below the exact interval."""
        return self.exact[0] > self.chance


def true_ranks(
    distances: NDArray, truth: NDArray[np.int64], ties_to_attacker: bool = True
) -> NDArray[np.float64]:
    """Return at which place each probe finds its own person.

    Parameters
    ----------
    distances : numpy.ndarray, shape (probes, people)
        From each probe to each person of the gallery; a row with NaN is a miss.
    truth : numpy.ndarray, shape (probes,)
        Which of the people each probe shows.
    ties_to_attacker : bool
        Whether the right person goes first among equally near ones, or last.

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
    """Return how often a probe is nearer to its own person than to another, ties and misses one half.

    NaN without probes, or without another person.
    """
    if not len(distances) or distances.shape[1] < 2:
        return float("nan")
    own = np.take_along_axis(distances, truth[:, None], axis=1)
    nearer = (own < distances).sum(axis=1) + 0.5 * ((own == distances).sum(axis=1) - 1)
    shares = nearer / (distances.shape[1] - 1)
    return float(np.where(np.isnan(distances).any(axis=1), 0.5, shares).mean())


def rate(hit: NDArray[np.bool_], clusters: Sequence[str], chance: float) -> Rate:
    """Return the share of hits with its intervals.

    Parameters
    ----------
    hit : numpy.ndarray, shape (probes,), bool
    clusters : sequence of str
        Of each probe; probes of one cluster may hang together.
    chance : float
    """
    hits, count = int(hit.sum()), len(hit)
    return Rate(hits, count, exact_interval(hits, count), cluster_interval(hit, clusters), chance)


def exact_interval(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of Clopper and Pearson (Biometrika 1934); 0 to 1 of nothing."""
    from scipy.stats import binomtest

    if not count:
        return 0.0, 1.0
    interval = binomtest(hits, count).proportion_ci(CONFIDENCE, "exact")
    return float(interval.low), float(interval.high)


def cluster_interval(values: NDArray, clusters: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of a mean when whole clusters are drawn again.

    With one cluster nothing is known: 0 to 1.
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
