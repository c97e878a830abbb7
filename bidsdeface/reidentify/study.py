"""The study: who is recognised, before and after, by four attackers.

All of them compare with a gallery of intact faces. *Plain* looks for a face in the defaced head and
compares what it finds. *Informed* knows how the original was turned and where its eyes and nose were.
*Restoring* first fills the hole with the template's average face. *Mask* has nothing but the published face
mask, and looks at its surface as *informed* does.

What is kept between runs identifies people: it goes only into the folder that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsdeface.imaging.image import Image
from bidsdeface.imaging.pose import PoseTemplate
from bidsdeface.imaging.registration import place
from bidsdeface.imaging.volume import reduce_image
from bidsdeface.reidentify.ranks import Rate, auc, curve, rate, true_ranks
from bidsdeface.reidentify.recognise import Recogniser
from bidsdeface.reidentify.render import Surface, head_surface, mask_surface
from bidsdeface.reidentify.restore import average_face, restore
from bidsdeface.reidentify.sight import EMBEDDING, PROBE_LIGHT, Sight, look, look_as, remembered
from bidsdeface.templates.template import Template, pose_template

ATTACKERS = ("plain", "informed", "restoring", "mask")
RANKS = (1, 5)
MIN_BEFORE = 0.5  # below this, an attack that finds nobody afterwards proves nothing


@dataclass(frozen=True)
class Tools:
    """What a study needs, made once.

    Attributes
    ----------
    recogniser : Recogniser
    template : Template
    pose : PoseTemplate
    average : Surface
        Of the template.
    folder : pathlib.Path
        Private; what was seen is kept there, so that an interrupted study goes on where it stopped.
    """

    recogniser: Recogniser
    template: Template
    pose: PoseTemplate
    average: Surface
    folder: Path

    @classmethod
    def of(cls, recogniser: Recogniser, template: Template, folder: Path) -> Tools:
        """Return the tools for a template."""
        return cls(recogniser, template, pose_template(template), average_face(template), folder)


@dataclass(frozen=True)
class Defaced:
    """A defaced scan as its attackers get it.

    Attributes
    ----------
    image : Image
    mask : Image
        On its grid; above 0 where it was defaced.
    to_template : numpy.ndarray, shape (4, 4), optional
        World of the image to that of the template; the restoring attacker registers the image if it is not
        given.
    """

    image: Image
    mask: Image
    to_template: NDArray[np.float64] | None = None


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


def attack(
    defaced: Defaced, original: Sight, tools: Tools, attackers: Sequence[str] = ATTACKERS
) -> dict[str, Sight]:
    """Return what each attacker sees of a defaced head.

    Parameters
    ----------
    defaced : Defaced
    original : Sight
        What was seen of the same scan before.
    tools : Tools
    attackers : sequence of str
        Some of `ATTACKERS`.
    """
    surface = head_surface(defaced.image, "the defaced image")
    sights = {}
    if "plain" in attackers:
        sights["plain"] = look(surface, tools.recogniser)
    if "informed" in attackers:
        sights["informed"] = look_as(original, surface, tools.recogniser)
    if "restoring" in attackers:
        to_template = defaced.to_template
        if to_template is None:
            volume = reduce_image(defaced.image, "the defaced image")
            to_template = place(volume, tools.pose, tools.template.landscape).to_template
        restored = restore(surface, defaced.mask, tools.average, to_template)
        sights["restoring"] = look(restored, tools.recogniser)
    if "mask" in attackers:
        cast = mask_surface(defaced.mask.stored > 0, defaced.mask.affine)
        sights["mask"] = look_as(original, cast, tools.recogniser)
    return sights


def look_at(
    key: str, image: Callable[[], Image], tools: Tools, light: tuple[float, float, float] = PROBE_LIGHT
) -> Sight:
    """Return what is seen of an intact image, from the folder if it was looked at before.

    Parameters
    ----------
    key : str
        What the image is; another for each image and each version of it.
    image : callable
        Returns the image; called only if need be.
    """
    sights = remembered(
        f"{key} {light}",
        lambda: {"": look(head_surface(image(), "the original"), tools.recogniser, light)},
        tools.folder,
    )
    return sights[""]


def attack_on(
    key: str,
    defaced: Callable[[], Defaced],
    original: Sight,
    tools: Tools,
    attackers: Sequence[str] = ATTACKERS,
) -> dict[str, Sight]:
    """Return what each attacker sees of a defaced head, from the folder if it was attacked before."""
    full_key = " ".join((key, *attackers))
    return remembered(full_key, lambda: attack(defaced(), original, tools, attackers), tools.folder)


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
