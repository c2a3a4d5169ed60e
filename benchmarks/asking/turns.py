"""Kinds of load that take turns, so that what else the machine does hurts them alike.

Of two that are compared, the ratio is taken in each turn, and the median of those.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.asking.tasks_asked import HOT, Load


@dataclass(frozen=True)
class Compared:
    """A measured quantity of each kind of load, by turn; `HOT` is among them."""

    found: dict[Load, list[float]]

    def median(self, load: Load) -> float:
        """Of all turns."""
        return statistics.median(self.found[load])

    def ratios(self, load: Load) -> list[float]:
        """Of each turn, to the hot task's in it."""
        return [one / hot for one, hot in zip(self.found[load], self.found[HOT], strict=True)]

    def ratio(self, load: Load) -> float:
        """The median of them."""
        return round(statistics.median(self.ratios(load)), 3)

    def said(self, load: Load) -> str:
        """The ratio and how far those of single turns lie from it."""
        ratios = self.ratios(load)
        return f"{self.ratio(load):.2f} of the hot task's ({min(ratios):.2f} to {max(ratios):.2f})"


def in_turns(loads: Sequence[Load], turns: int, measure: Callable[[Load], float]) -> Compared:
    """Measure each in each turn, every other turn in reverse, so that a drift hurts none more."""
    found: dict[Load, list[float]] = {load: [] for load in loads}
    for turn in range(turns):
        for load in reversed(loads) if turn % 2 else loads:
            found[load].append(measure(load))
    return Compared(found)
