"""How strange rows may be to the task named for them, by the share of unknown tasks' rows to pass.

This project's own, and measured by a study of `make inference` on five stores of 6 to 31 tasks
(permuted and turned MNIST and Fashion-MNIST, and all of these beside pairs of digits), against rows
of permutations that none of them had registered, by the worst of the five. It holds for tasks whose
inputs are unrelated to those of all that are registered; rows of one that is almost a registered
task pass at any rate.
"""

import math
from itertools import pairwise

OWN_MOST = 3.0
"""In deviations: all but 1 % of a task's own rows are less strange, however many they are."""

_Points = tuple[tuple[float, float], ...]

_ONE_ROW: _Points = (
    (0.0, 0.0),
    (0.005, 0.7),
    (0.01, 1.0),
    (0.02, 1.35),
    (0.05, 1.75),
    (0.1, 2.05),
    (0.2, 2.4),
    (0.3, 2.9),
    (0.35, OWN_MOST),
)
_TWO_ROWS: _Points = ((0.0, 0.0), (0.005, 2.2), (0.01, 2.45), (0.02, 2.75), (0.05, OWN_MOST))
"""Of three rows and more less than 0.5 % of unknown ones are as little strange as `OWN_MOST`."""


def most_strangeness(false_acceptance: float, rows: int) -> float:
    """The most that is accepted of so many rows, so that no more of unknown ones pass.

    In deviations; never more than `OWN_MOST`, unless all may pass: what is not known yet may be
    less strange than what was tried. Raises `ValueError` on a rate outside `[0, 1]`, or no row.
    """
    if not 0 <= false_acceptance <= 1 or rows < 1:
        raise ValueError(
            f"expected a rate in [0, 1] and rows, got {false_acceptance} and {rows} rows"
        )
    if false_acceptance == 1:
        return math.inf
    if rows > 2:
        return OWN_MOST if false_acceptance else 0.0
    points = _ONE_ROW if rows == 1 else _TWO_ROWS
    for (low, at_low), (high, at_high) in pairwise(points):
        if false_acceptance < high:
            return at_low + (at_high - at_low) * (false_acceptance - low) / (high - low)
    return OWN_MOST
