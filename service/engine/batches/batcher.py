"""Takes in rows, runs them in batches one after another, and resolves every waiter.

Work-conserving: when the engine is free it takes what is there; no timer unless one is asked for.
What runs next is `FairQueue`'s to say, who may wait `Admission`'s, and how a batch is computed is
`compute`'s.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from math import inf
from typing import Generic

import numpy as np

from service.engine.batches.admission import Admission, BatchLimits
from service.engine.batches.batch_run import BatchRun
from service.engine.batches.fair_queue import FairQueue
from service.engine.batches.loop_share import LoopShare
from service.engine.batches.refusals import NOT_ANSWERED, REASONS
from service.engine.batches.waiting import AwaitingWaiter, Waiter, Waiting
from service.engine.registry.entries import Compute, Entry, Payload, Rows, Terms
from service.errors import Saturated, ShuttingDown
from service.watching.telemetry import Telemetry

_TURNS_IN_A_BATCH = 8
"""So many share a full batch evenly; with more turns a batch would hold less of each task."""


class Batcher(Generic[Payload]):
    """Lives on the event loop; `compute` runs one batch at a time, there or on `executor`."""

    def __init__(
        self,
        compute: Compute[Payload],
        executor: Executor,
        limits: BatchLimits,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._telemetry = telemetry
        self._clock = clock
        quantum_rows = max(1, limits.batch_rows // _TURNS_IN_A_BATCH)
        self._queue: FairQueue[Waiting[Payload]] = FairQueue(quantum_rows)
        self._admission = Admission(self._queue, limits, clock)
        self._batch = BatchRun(
            compute, executor, self._admission, limits.inline_ms, telemetry, clock
        )
        self._share = LoopShare(clock)
        self._running: asyncio.Task[None] | None = None
        self._start_by = 0.0
        self._changed = asyncio.Event()
        self._closed = False
        telemetry.queue_rows.set_function(lambda: self.waiting_rows)

    @property
    def waiting_rows(self) -> int:
        """Rows that wait; those of the batch under way do not."""
        return self._queue.rows

    @property
    def batches(self) -> int:
        """How many were begun so far."""
        return self._admission.batches

    @property
    def batch_rows(self) -> int:
        """Rows computed in one go, at most."""
        return self._limits.batch_rows

    async def submit(self, key: str, payload: Payload, rows: Rows, terms: Terms) -> Rows:
        """Logits `[n, outputs]` for rows `[n, row_length]`, n > 0, of the task that `key` names.

        Raises `Saturated` where the queue has no room, `WouldBeLate` or `DeadlinePassed` where the
        answer cannot come in time or did not, `ShuttingDown` after `close`, and what computing
        these very rows raises.
        """
        waiting: list[Waiting[Payload]] = []
        waiters: list[AwaitingWaiter] = []
        try:
            self._admit(key, len(rows), terms)
            size = self._limits.batch_rows
            for start in range(0, len(rows), size):
                waiters.append(AwaitingWaiter())
                entry = Entry(key, payload, rows[start : start + size])
                waiting.append(self._put(entry, terms, waiters[-1]))
            if len(waiters) == 1:
                return await waiters[0].answer
            return np.concatenate(await asyncio.gather(*(waiter.answer for waiter in waiters)))
        except NOT_ANSWERED as reason:
            self._count(reason)
            raise
        finally:
            for part in waiting:
                self._forget(part)

    @property
    def is_crowded(self) -> bool:
        """Whether there may be callers who have no room for as many rows as fit in a batch."""
        return 2 * self._queue.rows + self._limits.batch_rows > self._limits.queue_rows

    def check_room(self, rows: int, terms: Terms) -> None:
        """Raises `Saturated` where `rows` rows would be refused for want of room."""
        try:
            self._check_room(rows, terms)
        except Saturated as reason:
            self._count(reason)
            raise

    def put(
        self, key: str, payload: Payload, rows: Rows, terms: Terms, waiter: Waiter
    ) -> Waiting[Payload]:
        """As `submit` for rows that fit in a batch, without a task: `waiter` is told, later.

        Who leaves before that says so by `leave`. Raises what can be refused at once.
        """
        if len(rows) > self._limits.batch_rows:
            raise ValueError(f"expected {self._limits.batch_rows} rows or fewer, got {len(rows)}")
        try:
            self._admit(key, len(rows), terms)
        except NOT_ANSWERED as reason:
            self._count(reason)
            raise
        return self._put(Entry(key, payload, rows), terms, waiter)

    def leave(self, waiting: Waiting[Payload]) -> None:
        """The waiter is there no more: its rows are not computed, where that did not begin."""
        self._forget(waiting)
        self._count(asyncio.CancelledError())

    async def close(self) -> None:
        """Take in nothing more, and wait until everything that waits has its answer."""
        self._closed = True
        self._changed.set()
        if self._running is not None:
            await self._running

    def _admit(self, key: str, rows: int, terms: Terms) -> None:
        if self._closed:
            raise ShuttingDown("the service is stopping and takes no more requests")
        self._check_room(rows, terms)
        self._admission.check_deadline(key, rows, terms, idle=self._running is None)

    def _check_room(self, rows: int, terms: Terms) -> None:
        if not self._admission.fits(rows, terms.caller):
            self._make_room()
            self._admission.check_room(rows, terms.caller)

    def _make_room(self) -> None:
        rows = min(self._queue.rows, self._limits.batch_rows)
        # Others have the loop for as long as there is something to read, however long that takes.
        if self._batch.is_quick(rows) and self._share.is_due(self._admission.seconds(rows)):
            if batch := self._take():
                self._batch.here(batch, _rows(batch))
            self._share.give()

    def _count(self, reason: BaseException) -> None:
        self._telemetry.rejected.labels(REASONS[type(reason)]).inc()

    def _put(self, entry: Entry[Payload], terms: Terms, waiter: Waiter) -> Waiting[Payload]:
        now = self._clock()
        if not self._queue.rows:
            self._start_by = now + self._limits.delay_ms / 1000
        waiting = Waiting(entry, terms.deadline, now, waiter)
        waiting.place = self._queue.put(terms.caller, entry.key, len(entry.rows), waiting)
        if terms.deadline < inf:
            loop = asyncio.get_running_loop()
            waiting.timer = loop.call_later(terms.deadline - now, self._expire, waiting)
            latest = terms.deadline - self._admission.seconds(self._queue.rows)
            self._start_by = min(self._start_by, latest)
        self._changed.set()
        if self._running is None:
            self._share.give()
            self._running = asyncio.create_task(self._run())
        return waiting

    def _expire(self, waiting: Waiting[Payload]) -> None:
        # Whoever is told by no task of its own cannot tidy up after itself.
        self._forget(waiting)
        waiting.expire()

    def _forget(self, waiting: Waiting[Payload]) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()
        if waiting.place is not None:
            self._queue.remove(waiting.place)
            waiting.place = None

    async def _run(self) -> None:
        batch: list[Waiting[Payload]] = []
        self._share.take()
        try:
            while self._queue.rows:
                await self._let_fill()
                if not (batch := self._take()):
                    continue
                rows = _rows(batch)
                if self._batch.is_quick(rows):
                    self._batch.here(batch, rows)
                    if self._queue.rows:
                        await self._share.give_way()
                else:
                    await self._batch.elsewhere(batch, rows)
        finally:
            self._running = None
            # Where this task was ended from outside, nobody is left to wait for ever.
            for waiting in (*batch, *self._queue.take(self._queue.rows)):
                waiting.resolve(asyncio.CancelledError())

    async def _let_fill(self) -> None:
        while self._queue.rows < self._limits.batch_rows and not self._closed:
            left = self._start_by - self._clock()
            if left <= 0:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _take(self) -> list[Waiting[Payload]]:
        now = self._clock()
        batch = []
        for waiting in self._queue.take(self._limits.batch_rows):
            # It names its item, and the two would be garbage that has to be looked for.
            waiting.place = None
            if waiting.deadline <= now:
                waiting.expire()
            if not waiting.waiter.done():
                batch.append(waiting)
                self._telemetry.queue_seconds.observe(now - waiting.since)
        return batch


def _rows(batch: list[Waiting[Payload]]) -> int:
    return sum(len(waiting.entry.rows) for waiting in batch)
