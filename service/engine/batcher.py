"""Gathers the rows that wait into batches: those of one task share a forward pass.

Work-conserving: when the engine is free it takes what is there; no timer. Budgets count rows.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from service.errors import Saturated
from service.telemetry import Telemetry

Rows = NDArray[np.float32]
Forward = Callable[[Mapping[str, Tensor], Rows], Rows]


@dataclass
class _Waiting:
    key: str
    weights: Mapping[str, Tensor]
    rows: Rows
    answer: "asyncio.Future[Rows]"
    since: float = field(default_factory=perf_counter)


class Batcher:
    """Lives on the event loop; `forward` runs on `executor`, one batch at a time."""

    def __init__(
        self,
        forward: Forward,
        executor: Executor,
        max_batch_rows: int,
        max_queue_rows: int,
        telemetry: Telemetry,
    ) -> None:
        self._forward = forward
        self._executor = executor
        self._max_batch_rows = max_batch_rows
        self._max_queue_rows = max_queue_rows
        self._telemetry = telemetry
        self._waiting: deque[_Waiting] = deque()
        self._waiting_rows = 0
        self._running: asyncio.Task[None] | None = None

    async def submit(self, key: str, weights: Mapping[str, Tensor], rows: Rows) -> Rows:
        """Logits `[n, outputs]` for rows `[n, row_length]` under these weights.

        `key` names the weights: rows of the same key may share a forward pass. Raises `Saturated`
        where the queue has no room, and whatever `forward` raises for these rows.
        """
        if self._waiting_rows + len(rows) > self._max_queue_rows:
            self._telemetry.rejected.labels("saturated").inc()
            raise Saturated(f"{self._waiting_rows} rows wait and {len(rows)} more do not fit")
        waiting = _Waiting(key, weights, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._count_rows(len(rows))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await waiting.answer

    async def close(self) -> None:
        """Wait until everything that waits has its answer."""
        if self._running is not None:
            await self._running

    def _count_rows(self, change: int) -> None:
        self._waiting_rows += change
        self._telemetry.queue_rows.set(self._waiting_rows)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while batch := self._take():
                try:
                    answers = await loop.run_in_executor(self._executor, self._compute, batch)
                except Exception as error:  # the batch boundary: every waiter is resolved
                    answers = [error] * len(batch)
                for waiting, answer in zip(batch, answers, strict=True):
                    _resolve(waiting.answer, answer)
        finally:
            self._running = None

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        rows = 0
        now = perf_counter()
        while self._waiting:
            waiting = self._waiting[0]
            left = waiting.answer.done()
            if batch and not left and rows + len(waiting.rows) > self._max_batch_rows:
                break
            self._waiting.popleft()
            self._count_rows(-len(waiting.rows))
            if not left:
                batch.append(waiting)
                rows += len(waiting.rows)
                self._telemetry.queue_seconds.observe(now - waiting.since)
        return batch

    def _compute(self, batch: list[_Waiting]) -> list[Rows | Exception]:
        started = perf_counter()
        groups: dict[str, list[int]] = {}
        for index, waiting in enumerate(batch):
            groups.setdefault(waiting.key, []).append(index)
        answers: dict[int, Rows | Exception] = {}
        for indices in groups.values():
            answers |= zip(indices, self._compute_group([batch[i] for i in indices]), strict=True)
        self._telemetry.forward_seconds.observe(perf_counter() - started)
        self._telemetry.batch_rows.observe(sum(len(waiting.rows) for waiting in batch))
        self._telemetry.batch_tasks.observe(len(groups))
        return [answers[index] for index in range(len(batch))]

    def _compute_group(self, group: list[_Waiting]) -> list[Rows | Exception]:
        rows = np.concatenate([waiting.rows for waiting in group])
        try:
            logits = self._forward(group[0].weights, rows)
        except Exception as error:  # the batch boundary: every waiter is resolved
            if len(group) == 1:
                return [error]
            # One of them may be at fault: each alone, so that it cannot hurt the others.
            return [answer for waiting in group for answer in self._compute_group([waiting])]
        ends = np.cumsum([len(waiting.rows) for waiting in group])
        return list(np.split(logits, ends[:-1]))


def _resolve(answer: "asyncio.Future[Rows]", value: Rows | Exception) -> None:
    if answer.done():
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)
