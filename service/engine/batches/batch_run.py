"""Computes one batch, on the event loop or on a thread, and learns what it cost."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic

from service.engine.batches.admission import Admission
from service.engine.batches.waiting import Waiting
from service.engine.registry.entries import Answer, Compute, Entry, Payload
from service.watching.telemetry import Telemetry


class BatchRun(Generic[Payload]):
    """Tells everyone in a batch what came of it; whatever goes wrong is each one's answer."""

    def __init__(
        self,
        compute: Compute[Payload],
        executor: Executor,
        admission: Admission,
        inline_ms: float,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._compute = compute
        self._executor = executor
        self._admission = admission
        self._inline_ms = inline_ms
        self._telemetry = telemetry
        self._clock = clock

    def is_quick(self, rows: int) -> bool:
        """Whether so many rows surely take so little that the event loop can do it itself."""
        return self._admission.cost.seconds_at_most(rows) * 1000 < self._inline_ms

    def here(self, batch: list[Waiting[Payload]], rows: int) -> None:
        """Compute a batch of `rows` rows together."""
        self._admission.expect_batch(rows)
        entries = [waiting.entry for waiting in batch]
        answers: list[Answer]
        try:
            answers = self._learned(entries, rows, *self._timed(entries))
        except Exception as error:  # the batch boundary: every waiter is resolved
            answers = [error] * len(entries)
        _resolve(batch, answers)

    async def elsewhere(self, batch: list[Waiting[Payload]], rows: int) -> None:
        """The same, on the executor."""
        self._admission.expect_batch(rows)
        entries = [waiting.entry for waiting in batch]
        loop = asyncio.get_running_loop()
        answers: list[Answer]
        try:
            timed = await loop.run_in_executor(self._executor, self._timed, entries)
            answers = self._learned(entries, rows, *timed)
        except Exception as error:  # the batch boundary: every waiter is resolved
            answers = [error] * len(entries)
        _resolve(batch, answers)

    def _learned(
        self, entries: list[Entry[Payload]], rows: int, answers: list[Answer], seconds: float
    ) -> list[Answer]:
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


def _resolve(batch: list[Waiting[Payload]], answers: list[Answer]) -> None:
    for waiting, answer in zip(batch, answers, strict=True):
        waiting.resolve(answer)
