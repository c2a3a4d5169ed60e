"""Who may wait: refuses what does not fit in the queue, and what would be answered too late."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from service.engine.batches.batch_cost import BatchCost
from service.engine.batches.fair_queue import FairQueue
from service.engine.registry.entries import Terms
from service.errors import DeadlinePassed, Saturated, WouldBeLate


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of what waits and of what is computed in one go, in rows and milliseconds."""

    batch_rows: int = 256
    """Rows computed in one go; a larger request is split."""
    queue_rows: int = 8192
    """Rows that may wait; of one caller no more than are still free for others."""
    delay_ms: float = 0
    """How long a free engine lets a batch fill."""
    inline_ms: float = 0
    """A batch that surely takes less is computed on the event loop itself."""


class Admission:
    """Knows what waits, and estimates when the engine will be through with it."""

    def __init__(
        self,
        queue: FairQueue[Any],
        limits: BatchLimits,
        clock: Callable[[], float],
        cost: BatchCost | None = None,
    ) -> None:
        self.cost = cost or BatchCost()
        self.batches = 0
        """How many were begun so far."""
        self._queue = queue
        self._limits = limits
        self._clock = clock
        self._free_at = 0.0

    def expect_batch(self, rows: int) -> None:
        """A batch of `rows` rows begins now."""
        self.batches += 1
        self._free_at = self._clock() + self.seconds(rows)

    def seconds(self, rows: int) -> float:
        """What computing `rows` rows takes, in as many batches as they need."""
        return self.cost.seconds(rows, self._limits.batch_rows)

    def fits(self, rows: int, caller: str) -> bool:
        """Whether the queue has room for `rows` rows more of this caller."""
        own = self._queue.rows_of(caller)
        # A caller with nothing that waits may have all that is free: busy ones leave it room.
        return own + rows <= self._limits.queue_rows - self._queue.rows

    def check(self, key: str, rows: int, terms: Terms, idle: bool) -> None:
        """Raises `Saturated`, `DeadlinePassed` or `WouldBeLate` where `rows` rows may not wait."""
        self.check_room(rows, terms.caller)
        self.check_deadline(key, rows, terms, idle)

    def check_room(self, rows: int, caller: str) -> None:
        """Raises `Saturated` where the queue has no room for them."""
        if not self.fits(rows, caller):
            waiting, own = self._queue.rows, self._queue.rows_of(caller)
            raise Saturated(
                f"{waiting} rows wait, {own} of them this caller's: {rows} more do not fit in a "
                f"queue of {self._limits.queue_rows}",
                retry_after_seconds=self._busy_seconds() + self.seconds(waiting),
            )

    def check_deadline(self, key: str, rows: int, terms: Terms, idle: bool) -> None:
        """Raises `DeadlinePassed` or `WouldBeLate` where `rows` rows would be answered too late."""
        if terms.deadline == inf:
            return
        allowed = terms.deadline - self._clock()
        if allowed <= 0:
            raise DeadlinePassed("the request's time was over before its rows could wait")
        # An idle engine tries whatever the estimate says, or a wrong one would never mend.
        if not idle and (predicted := self._predicted_seconds(key, rows, terms, allowed)) > allowed:
            raise WouldBeLate(
                f"the answer would take {predicted:.3f} s and the request allows {allowed:.3f} s",
                retry_after_seconds=predicted - allowed,
            )

    def _predicted_seconds(self, key: str, rows: int, terms: Terms, allowed: float) -> float:
        # Behind all that waits is an upper bound, quickly known and mostly in time.
        last = self._busy_seconds() + self.seconds(self._queue.rows + rows)
        if last <= allowed:
            return last
        through = self._queue.rows_until_through(terms.caller, key, rows)
        return self._busy_seconds() + self.seconds(through)

    def _busy_seconds(self) -> float:
        return max(0.0, self._free_at - self._clock())
