"""What one way to compute costs on this machine: measured at the start, corrected by what is seen.

Knows nothing of what is computed.
"""

from collections.abc import Callable
from math import inf
from time import perf_counter

_MOST_MEASURED_SECONDS = 0.25
_MOST_ROWS = 64
_REPEATS, _MOST_REPEATS = 5, 500
_MOST_REPEATED_SECONDS = 0.1
_QUICKER_WEIGHT, _SLOWER_WEIGHT = 0.25, 0.1
"""Of a new observation in a correction. Nothing makes a machine quicker by accident, and much makes
it slower, so what was quicker than expected says more."""
_MOST_SLOWER = 0.05
"""Of itself, by which one observation raises a correction at most: a pause of any length counts no
more than this."""
_MOST_CORRECTION = 20.0


class PathCost:
    """`seconds = correction * (fixed + rows * each)`.

    Both parts stay as they were measured, from few and from many rows. What is corrected is each
    size of batch by what was seen of it, to the next power of two, and sizes not seen by all.
    """

    def __init__(self, fixed_seconds: float, row_seconds: float) -> None:
        self.fixed_seconds = fixed_seconds
        self.row_seconds = row_seconds
        self._overall = 1.0
        self._of_size: dict[int, float] = {}

    def seconds(self, rows: int) -> float:
        """What so many rows in one go will take."""
        return self.correction(rows) * self.measured_seconds(rows)

    def measured_seconds(self, rows: int) -> float:
        """The same by what was measured at the start alone."""
        return self.fixed_seconds + rows * self.row_seconds

    def correction(self, rows: int) -> float:
        """How many times longer than measured at the start so many rows take now."""
        return self._of_size.get(rows.bit_length(), self._overall)

    def learn(self, rows: int, seconds: float) -> None:
        """So many rows in one go took `seconds`."""
        seen, size = seconds / self.measured_seconds(rows), rows.bit_length()
        self._of_size[size] = _nearer(self._of_size.get(size, self._overall), seen)
        self._overall = _nearer(self._overall, seen)


def _nearer(correction: float, seen: float) -> float:
    off = seen / correction - 1
    change = _QUICKER_WEIGHT * off if off < 0 else min(_SLOWER_WEIGHT * off, _MOST_SLOWER)
    return min(max(correction * (1 + change), 1 / _MOST_CORRECTION), _MOST_CORRECTION)


def measured_cost(
    run: Callable[[int], object], clock: Callable[[], float] = perf_counter
) -> PathCost:
    """The cost of `run(rows)`, from one row and from as many as take a quarter of a second."""
    started = clock()
    run(1)
    first = clock() - started
    if first > _MOST_MEASURED_SECONDS:
        return PathCost(0.0, first)
    one = least_seconds(lambda: run(1), clock)
    many = max(2, min(_MOST_ROWS, int(_MOST_MEASURED_SECONDS / max(one, 1e-9))))
    row_seconds = max((least_seconds(lambda: run(many), clock) - one) / (many - 1), 1e-9)
    return PathCost(max(one - row_seconds, 0.0), row_seconds)


def least_seconds(run: Callable[[], object], clock: Callable[[], float] = perf_counter) -> float:
    """The least that `run()` takes: of a tenth of a second's worth, 5 at least and 500 at most.

    The first few take several times as long, for memory and code that were not touched before.
    """
    started, least = clock(), inf
    for repeat in range(_MOST_REPEATS):
        begun = clock()
        if repeat >= _REPEATS and begun - started > _MOST_REPEATED_SECONDS:
            break
        run()
        least = min(least, clock() - begun)
    return least
