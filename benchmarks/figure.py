"""What a benchmark is and what it finds, and how two sides are measured against each other."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.bench import Bench

#: Whether a figure is good when it is small or when it is large.
Sign = Literal["≤", "≥"]


@dataclass(frozen=True, slots=True)
class Figure:
    """What a benchmark found."""

    #: In the benchmark's unit.
    value: float
    #: How often each side was measured; ``value`` comes from the medians.
    runs: int
    #: What stands beside the figure: both sides in their own units, and what else was seen.
    note: str


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One line of the table."""

    #: As ``ONLY=`` names it, e.g. ``"first-pull"``.
    name: str
    sign: Sign
    goal: float
    #: Of the value: ``"ratio"``, ``"MB"``, ``"s"``, ``"ms"`` or ``"%"``.
    unit: str
    measure: Callable[[Bench], Figure]

    @property
    def goal_text(self) -> str:
        """The goal as people write it, e.g. ``"≤ 1.5"``."""
        return f"{self.sign} {self.goal:g}"

    def reached(self, figure: Figure) -> bool:
        """Tell whether the figure, as it is shown, reaches the goal."""
        shown = float(f"{figure.value:.3g}")
        return shown <= self.goal if self.sign == "≤" else shown >= self.goal


#: One measurement of one side, in any unit.
Measurement = Callable[[], float]


def interleaved(runs: int, sides: Mapping[str, Measurement]) -> dict[str, list[float]]:
    """Measure every side ``runs`` times, in turn, each round in the opposite order of the last.

    What slows the machine down for a while, or ever more, so falls on all sides alike.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(runs):
        for name in order:
            found[name].append(sides[name]())
        order.reverse()
    return found


def medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the median of each side.

    >>> medians({"here": [3.0, 1.0, 2.0]})
    {'here': 2.0}
    """
    return {name: statistics.median(values) for name, values in found.items()}


#: Bytes in a megabyte, as figures give them.
MB: Final = 1e6
