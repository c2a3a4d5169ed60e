"""Which tasks are asked for, one after another: one hot one, by popularity, uniformly, or new ones.

A new one is none that was given out before, by whatever kind of load.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.random_tasks import task_name

ZIPF = 1.1

Load = Literal["one hot task", "Zipf 1.1", "uniform", "never asked before"]
HOT: Load = "one hot task"
BY_ZIPF: Load = "Zipf 1.1"
UNIFORM: Load = "uniform"
NEW: Load = "never asked before"


class TasksAsked:
    """Of a store's tasks: the first one is hot, and by Zipf the n-th has a share of `n ** -1.1`."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self._drawn = np.random.default_rng(1)
        self._order = np.random.default_rng(2).permutation(tasks)
        self._asked = np.zeros(tasks, np.bool_)
        shares = np.arange(1, tasks + 1, dtype=np.float64) ** -ZIPF
        self._shares = np.cumsum(shares / shares.sum())

    @property
    def new_left(self) -> int:
        """How many were not given out yet."""
        return int((~self._asked).sum())

    def next(self, load: Load, count: int) -> list[str]:
        """The names of so many. Raises `LookupError` where so many new ones are not left."""
        numbers = self._numbers(load, count)
        if len(numbers) < count:
            raise LookupError(f"expected {count} tasks never asked before, {len(numbers)} are left")
        self._asked[numbers] = True
        return [task_name(number) for number in numbers.tolist()]

    def some(self, most: int, count: int) -> list[str]:
        """So many, uniformly of the first ones."""
        numbers = self._drawn.integers(most, size=count)
        self._asked[:most] = True
        return [task_name(number) for number in numbers.tolist()]

    def _numbers(self, load: Load, count: int) -> NDArray[np.int64]:
        if load == HOT:
            return np.zeros(count, np.int64)
        if load == UNIFORM:
            return self._drawn.integers(self.tasks, size=count)
        if load == NEW:
            return self._order[~self._asked[self._order]][:count]
        places = np.searchsorted(self._shares, self._drawn.random(count))
        return np.minimum(places, self.tasks - 1)
