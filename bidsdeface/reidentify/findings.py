"""The figures of a study: how many were recognised before, and how many by each attacker after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsdeface.reidentify.ranks import Rate, auc, curve, rate, true_ranks
from bidsdeface.reidentify.sight import EMBEDDING, Sight

RANKS = (1, 5)
MIN_BEFORE = 0.5  # below this, an attack that finds nobody afterwards proves nothing


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


def evaluate(
    gallery: Mapping[str, Sight],
    originals: Sequence[tuple[str, str, Sight]],
    attacks: Sequence[Mapping[str, Sight]],
    synthetic: int = 0,
) -> Findings:
    """Return the figures of a study.

    Parameters
    ----------
    gallery : mapping of str to Sight
        What was seen of each person, in another picture than those below.
    originals : sequence of tuple
        For each scan its person, its cluster (scans that hang together) and what was seen of it.
    attacks : sequence of mapping of str to Sight
        For each scan what each attacker saw of it once defaced.
    synthetic : int
        How many of the gallery do not exist.
    """
    people = [name for name, sight in gallery.items() if sight.has_face]
    embeddings = np.array([gallery[name].embedding for name in people]).reshape(-1, EMBEDDING)
    number = {name: index for index, name in enumerate(people)}
    kept = [k for k, (person, _, sight) in enumerate(originals) if sight.has_face and person in number]
    truth = np.array([number[originals[k][0]] for k in kept], int)
    clusters = [originals[k][1] for k in kept]

    def figures(sights: Sequence[Sight], ties_to_attacker: bool) -> Figures:
        apart = distances(sights, embeddings)
        ranks = true_ranks(apart, truth, ties_to_attacker)
        return Figures(
            rate(np.array([sight.has_face for sight in sights], bool), clusters, 0.0),
            {k: rate(ranks <= k, clusters, k / max(len(people), k)) for k in RANKS},
            auc(apart, truth),
            tuple(curve(ranks, len(people))),
        )

    names = attacks[0].keys() if attacks else ()
    return Findings(
        len(people),
        synthetic,
        len(originals) - len(kept),
        figures([originals[k][2] for k in kept], ties_to_attacker=False),
        {name: figures([attacks[k][name] for k in kept], ties_to_attacker=True) for name in names},
    )


def distances(sights: Sequence[Sight], gallery: NDArray) -> NDArray[np.float64]:
    """Return how far each sight is from each embedding of a gallery, shape (sights, people)."""
    probes = np.array([sight.embedding for sight in sights]).reshape(-1, EMBEDDING)
    return np.linalg.norm(probes[:, None] - gallery[None], axis=2)
