"""What a batch will cost, learned from those that were computed."""

from math import ceil

_DECAY = 0.95
"""How much less a batch counts than the next one: about the last twenty are remembered."""


class BatchCost:
    """`seconds = fixed + rows * each`, by exponentially weighted least squares.

    Neither part is ever negative. How many tasks share a batch is not asked: where that changes
    what rows cost, the last batches say so.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._mean_rows = 0.0
        self._mean_seconds = 0.0
        self._squares = 0.0
        self._products = 0.0

    def learn(self, rows: int, seconds: float) -> None:
        """A batch of `rows` rows took `seconds`."""
        self._weight = _DECAY * self._weight + 1
        off_rows = rows - self._mean_rows
        self._mean_rows += off_rows / self._weight
        off_seconds = seconds - self._mean_seconds
        self._mean_seconds += off_seconds / self._weight
        self._squares = _DECAY * self._squares + off_rows * (rows - self._mean_rows)
        self._products = _DECAY * self._products + off_rows * (seconds - self._mean_seconds)

    def seconds(self, rows: int, batch_rows: int) -> float:
        """For `rows` rows in batches of up to `batch_rows`; 0 where nothing is known."""
        if not self._weight:
            return 0.0
        # Batches of one size say nothing of what a row costs; then it is taken to cost nothing,
        # so that what could be answered is not refused for want of knowing.
        slope = self._products / self._squares if self._squares > 1e-9 else 0.0
        each = min(max(slope, 0.0), self._mean_seconds / self._mean_rows)
        fixed = self._mean_seconds - each * self._mean_rows
        return fixed * ceil(rows / batch_rows) + each * rows

    def seconds_at_this_rate(self, rows: int) -> float:
        """For `rows` rows in whatever batches those came in; 0 where nothing is known."""
        return rows * self._mean_seconds / self._mean_rows if self._weight else 0.0

    def seconds_at_most(self, rows: int) -> float:
        """For one batch, were its cost all in its rows where it is larger than those seen."""
        if not self._weight:
            return float("inf")
        return self._mean_seconds * max(1.0, rows / self._mean_rows)
