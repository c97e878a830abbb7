"""A strip plot of one measure: a dot for each scan, the limits, and the names of scans near them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bidsdeface.quality.limits import Check, bids_name

WIDTH, HEIGHT = 380, 110
BASE, TOP = 88, 50  # of the dots, from below to above
STEP = 4  # between dots that would cover each other, px
MOST_NAMED = 2
NEAR = 0.8  # of the limit used, from where on a scan is named


class Measured(Protocol):
    """A scan with its measures."""

    @property
    def name(self) -> str:
        """As the plot shows it."""

    @property
    def anchor(self) -> str:
        """The target of links to it."""

    @property
    def measures(self) -> Mapping[str, float]:
        """By their names in `CHECKS`."""


@dataclass(frozen=True)
class Dot:
    """A scan in the plot, and in its title how many others it stands for."""

    x: float
    y: float
    anchor: str
    title: str
    is_beyond: bool
    is_judged: bool


@dataclass(frozen=True)
class Name:
    """The name of a scan, written in the plot."""

    x: float
    y: float
    anchor: str
    text: str
    align: str


@dataclass(frozen=True)
class Strip:
    """A plot, in pixels from its upper left corner."""

    name: str
    description: str
    limits: str
    low: str
    high: str
    at_limits: tuple[float, ...]
    dots: tuple[Dot, ...]
    named: tuple[Name, ...]
    width: int = WIDTH
    height: int = HEIGHT
    base: int = BASE


def draw_strip(check: Check, scans: Sequence[Measured]) -> Strip | None:
    """Lay out the plot of a measure; dots that would cover each other are stacked, and merged above.

    Parameters
    ----------
    check : Check
        A measure with limits.
    scans : sequence of Measured
        The worst first: it represents the dots that are merged.

    Returns
    -------
    Strip or None
        None if no scan has the measure.
    """
    measured = [(scan, scan.measures.get(check.measure, math.nan)) for scan in scans]
    measured = [(scan, value) for scan, value in measured if math.isfinite(value)]
    if not measured:
        return None
    limits = [limit for limit in (check.least, check.most) if math.isfinite(limit)]
    low, high = (end([check.best, *limits, *(value for _, value in measured)]) for end in (min, max))

    def x_of(value: float) -> float:
        return round(6 + (WIDTH - 12) * (value - low) / (high - low or 1.0), 1)

    stacks: dict[int, list[tuple[Measured, float]]] = {}
    for scan, value in measured:
        stacks.setdefault(int(x_of(value) / STEP), []).append((scan, value))
    most = (BASE - TOP) // STEP
    dots = []
    for stack in stacks.values():
        for level, (scan, value) in enumerate(stack[:most]):
            hidden = len(stack) - most if level == most - 1 else 0
            more = f" and {hidden} more" if hidden > 0 else ""
            beyond = check.is_fault(scan.measures)
            title = f"{scan.name}: {number(value)}{more}"
            judged = check.of_trust or check.decides(scan.measures)
            dots.append(Dot(x_of(value), BASE - 3 - STEP * level, scan.anchor, title, beyond, judged))
    by_limit = sorted(measured, key=lambda pair: check.limit_used(pair[1]), reverse=True)
    nearest = [(scan, value, x_of(value)) for scan, value in by_limit[:MOST_NAMED]]
    named = tuple(
        Name(x, 30 + 14 * line, scan.anchor, scan.name, "end" if x > WIDTH / 2 else "start")
        for line, (scan, value, x) in enumerate(nearest)
        if check.decides(scan.measures) and check.limit_used(value) >= NEAR
    )
    return Strip(
        bids_name(check.measure),
        check.description,
        limits_in_words(check),
        number(low),
        number(high),
        tuple(map(x_of, limits)),
        tuple(dots),
        named,
    )


def limits_in_words(check: Check) -> str:
    """Return what the limits of a measure decide; empty if it has none."""
    decides = "the brain is trusted" if check.of_trust else "published"
    return f"{decides} if {check.limits}" if check.limits else ""


def number(value: float | None) -> str:
    """Return a value as the report shows it: three digits, ``n/a`` for NaN, a dash if it was not measured."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "n/a"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
