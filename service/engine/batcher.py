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

from service.engine.admission import Admission, BatchLimits
from service.engine.entries import Answer, Compute, Entry, Payload, Rows, Terms
from service.engine.fair_queue import FairQueue
from service.engine.waiting import Waiting
from service.errors import DeadlinePassed, Saturated, ShuttingDown, WouldBeLate
from service.telemetry import Telemetry

_TURNS_IN_A_BATCH = 8
"""So many share a full batch evenly; with more turns a batch would hold less of each task."""

_REASONS: dict[type[BaseException], str] = {
    Saturated: "saturated",
    WouldBeLate: "late",
    DeadlinePassed: "expired",
    ShuttingDown: "closed",
    asyncio.CancelledError: "left",
}
_NOT_ANSWERED = tuple(_REASONS)


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
        self._compute = compute
        self._executor = executor
        self._limits = limits
        self._telemetry = telemetry
        self._clock = clock
        quantum_rows = max(1, limits.batch_rows // _TURNS_IN_A_BATCH)
        self._queue: FairQueue[Waiting[Payload]] = FairQueue(quantum_rows)
        self._admission = Admission(self._queue, limits, clock)
        self._running: asyncio.Task[None] | None = None
        self._start_by = 0.0
        self._changed = asyncio.Event()
        self._closed = False
        telemetry.queue_rows.set_function(lambda: self.waiting_rows)

    @property
    def waiting_rows(self) -> int:
        """Rows that wait; those of the batch under way do not."""
        return self._queue.rows

    async def submit(self, key: str, payload: Payload, rows: Rows, terms: Terms) -> Rows:
        """Logits `[n, outputs]` for rows `[n, row_length]`, n > 0, of the task that `key` names.

        Raises `Saturated` where the queue has no room, `WouldBeLate` or `DeadlinePassed` where the
        answer cannot come in time or did not, `ShuttingDown` after `close`, and what computing
        these very rows raises.
        """
        waiting: list[Waiting[Payload]] = []
        try:
            if self._closed:
                raise ShuttingDown("the service is stopping and takes no more requests")
            self._admission.check(key, len(rows), terms, idle=self._running is None)
            size = self._limits.batch_rows
            for start in range(0, len(rows), size):
                waiting.append(self._put(Entry(key, payload, rows[start : start + size]), terms))
            if self._running is None:
                self._running = asyncio.create_task(self._run())
            if len(waiting) == 1:
                return await waiting[0].answer
            return np.concatenate(await asyncio.gather(*(part.answer for part in waiting)))
        except _NOT_ANSWERED as reason:
            self._telemetry.rejected.labels(_REASONS[type(reason)]).inc()
            raise
        finally:
            for part in waiting:
                self._forget(part)

    async def close(self) -> None:
        """Take in nothing more, and wait until everything that waits has its answer."""
        self._closed = True
        self._changed.set()
        if self._running is not None:
            await self._running

    def _put(self, entry: Entry[Payload], terms: Terms) -> Waiting[Payload]:
        loop = asyncio.get_running_loop()
        now = self._clock()
        if not self._queue.rows:
            self._start_by = now + self._limits.delay_ms / 1000
        waiting = Waiting(entry, terms.deadline, now, loop.create_future())
        waiting.place = self._queue.put(terms.caller, entry.key, len(entry.rows), waiting)
        if terms.deadline < inf:
            waiting.timer = loop.call_later(terms.deadline - now, waiting.expire)
            latest = terms.deadline - self._admission.seconds(self._queue.rows)
            self._start_by = min(self._start_by, latest)
        self._changed.set()
        return waiting

    def _forget(self, waiting: Waiting[Payload]) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()
        if waiting.place is not None:
            self._queue.remove(waiting.place)

    async def _run(self) -> None:
        batch: list[Waiting[Payload]] = []
        try:
            while self._queue.rows:
                await self._let_fill()
                batch = self._take()
                rows = sum(len(waiting.entry.rows) for waiting in batch)
                inline = self._is_quick(rows)
                answers = await self._answers([waiting.entry for waiting in batch], rows, inline)
                for waiting, answer in zip(batch, answers, strict=True):
                    waiting.resolve(answer)
                if inline:
                    # Whoever else has something to do on the event loop is let in between.
                    await asyncio.sleep(0)
        finally:
            self._running = None
            # Where this task was ended from outside, nobody is left to wait for ever.
            for waiting in (*batch, *self._queue.take(self._queue.rows)):
                waiting.answer.cancel()

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
            if waiting.deadline <= now:
                waiting.expire()
            if not waiting.answer.done():
                batch.append(waiting)
                self._telemetry.queue_seconds.observe(now - waiting.since)
        return batch

    def _is_quick(self, rows: int) -> bool:
        return self._admission.cost.seconds_at_most(rows) * 1000 < self._limits.inline_ms

    async def _answers(
        self, entries: list[Entry[Payload]], rows: int, inline: bool
    ) -> list[Answer]:
        if not entries:
            return []
        self._admission.expect_batch(rows)
        try:
            if inline:
                answers, seconds = self._timed(entries)
            else:
                answers, seconds = await asyncio.get_running_loop().run_in_executor(
                    self._executor, self._timed, entries
                )
        except Exception as error:  # the batch boundary: every waiter is resolved
            return [error] * len(entries)
        self._telemetry.forward_seconds.observe(seconds)
        self._telemetry.batch_rows.observe(rows)
        self._telemetry.batch_tasks.observe(len({entry.key for entry in entries}))
        # Computing again in parts, to find the one that fails, says nothing of a batch's cost.
        if not any(isinstance(answer, Exception) for answer in answers):
            self._admission.cost.learn(rows, seconds)
        return answers

    def _timed(self, entries: list[Entry[Payload]]) -> tuple[list[Answer], float]:
        started = self._clock()
        answers = list(self._compute(entries))
        if len(answers) != len(entries):
            raise ValueError(f"expected {len(entries)} answers of a batch, got {len(answers)}")
        return answers, self._clock() - started
