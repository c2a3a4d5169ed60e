"""Rows of a batch shared out among threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import TypeVar

Result = TypeVar("Result")


class RowThreads:
    """As many threads as it is given; none of its own for one. For one caller at a time."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, "rows") if count > 1 else None

    def run(
        self, compute: Callable[[int, slice], Result], rows: int, fewest: int = 1
    ) -> list[Result]:
        """What `compute` makes of 0, 1, ... and the rows of that share, which are `fewest` or more.

        Whether torch is in inference mode is not known there. Raises what it raises.
        """
        shares = min(self.count, max(1, rows // fewest))
        if self._pool is None or shares == 1:
            return [compute(0, slice(0, rows))]
        ends = [rows * share // shares for share in range(shares + 1)]
        parts = [
            self._pool.submit(compute, share, slice(*of_share))
            for share, of_share in enumerate(pairwise(ends))
        ]
        wait(parts)  # for all, whatever one raises: they write where the caller will again
        return [part.result() for part in parts]
