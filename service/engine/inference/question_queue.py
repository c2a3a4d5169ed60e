"""Questions which task rows belong to: who waits, whose turn it is, and how much they may compute.

Apart from plain predictions, which never wait for them: a queue, a thread and a share of their own.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

from service.engine.batches.admission import Admission, BatchLimits
from service.engine.batches.batch_cost import BatchCost
from service.engine.batches.fair_queue import FairQueue, Place
from service.engine.batches.refusals import NOT_ANSWERED, REASONS
from service.engine.registry.entries import Terms
from service.errors import DeadlinePassed, ShuttingDown
from service.watching.telemetry import Telemetry

Result = TypeVar("Result")

_QUANTUM_ROWS = 4
_OF_ANY_TASK = ""
"""Questions name no task, so a caller's wait in order of arrival."""


@dataclass(frozen=True, slots=True)
class QuestionLimits:
    """What may wait, and how much of the time computing may take."""

    queue_rows: int = 2048
    """Rows that may wait; of one caller no more than are still free for others."""
    share: float = 1.0
    """Of the time in which plain predictions are computed too."""


class QuestionCost(BatchCost):
    """What questions cost, of which only the rows are known and not how many they are."""

    def seconds(self, rows: int, batch_rows: int) -> float:
        return self.seconds_at_this_rate(rows)


@dataclass(eq=False, slots=True)
class _Question:
    """One who waits for what `compute` returns on the executor."""

    compute: Callable[[], Any]
    rows: int
    deadline: float
    since: float
    answer: asyncio.Future[Any]
    place: "Place[_Question] | None" = None

    def expire(self) -> None:
        if not self.answer.done():
            late = DeadlinePassed("the request's time was over before its answer was there")
            self.answer.set_exception(late)


class QuestionQueue:
    """Lives on the event loop; `executor` computes one question at a time.

    After one during which `plain_batches` went up it rests, so long that its share is kept.
    """

    def __init__(
        self,
        executor: Executor,
        limits: QuestionLimits,
        plain_batches: Callable[[], int],
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._executor = executor
        self._share = limits.share
        self._plain_batches = plain_batches
        self._telemetry = telemetry
        self._clock = clock
        self._queue: FairQueue[_Question] = FairQueue(_QUANTUM_ROWS)
        rows = BatchLimits(queue_rows=limits.queue_rows)
        self._admission = Admission(self._queue, rows, clock, QuestionCost())
        self._running: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        telemetry.questions.queue_limit_rows.set(limits.queue_rows)
        telemetry.questions.queue_rows.set_function(lambda: self._queue.rows)

    async def ask(self, compute: Callable[[], Result], rows: int, terms: Terms) -> Result:
        """What `compute` returns of so many rows, when it is this caller's turn.

        Raises `Saturated` where the queue has no room, `WouldBeLate` or `DeadlinePassed` where the
        answer cannot come in time or did not, `ShuttingDown` after `close`, and what `compute`
        raises. Of who leaves before its turn nothing is computed.
        """
        try:
            return await self._answer(compute, rows, terms)
        except NOT_ANSWERED as reason:
            said = REASONS[type(reason)]
            self._telemetry.rejected.labels(said).inc()
            self._telemetry.questions.refused.labels(said).inc()
            raise

    async def close(self) -> None:
        """Take in nothing more, and wait until everything that waits has its answer."""
        self._closed.set()
        if self._running is not None:
            await self._running

    async def _answer(self, compute: Callable[[], Result], rows: int, terms: Terms) -> Result:
        if self._closed.is_set():
            raise ShuttingDown("the service is stopping and takes no more requests")
        self._admission.check(_OF_ANY_TASK, rows, terms, idle=self._running is None)
        loop, now = asyncio.get_running_loop(), self._clock()
        answer: asyncio.Future[Result] = loop.create_future()
        question = _Question(compute, rows, terms.deadline, now, answer)
        question.place = self._queue.put(terms.caller, _OF_ANY_TASK, rows, question)
        timer = None
        if terms.deadline < inf:
            timer = loop.call_later(terms.deadline - now, question.expire)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        try:
            return await answer
        finally:
            if timer is not None:
                timer.cancel()
            if question.place is not None:
                self._queue.remove(question.place)
                question.place = None

    async def _run(self) -> None:
        try:
            while self._queue.rows:
                (question,) = self._queue.take(1)
                question.place = None
                now = self._clock()
                if question.deadline <= now:
                    question.expire()
                if not question.answer.done():
                    self._telemetry.questions.queue_seconds.observe(now - question.since)
                    await self._compute(question)
        finally:
            self._running = None
            # Where this task was ended from outside, nobody is left to wait for ever.
            for question in self._queue.take(max(1, self._queue.rows)):
                question.answer.cancel()

    async def _compute(self, question: _Question) -> None:
        self._admission.expect_batch(question.rows)
        plain, started = self._plain_batches(), self._clock()
        loop, answer = asyncio.get_running_loop(), question.answer
        failed = False
        try:
            found = await loop.run_in_executor(self._executor, question.compute)
            if not answer.done():
                answer.set_result(found)
        except Exception as error:  # the boundary: whatever it is, the caller is told
            failed = True
            if not answer.done():
                answer.set_exception(error)
        finally:
            answer.cancel()
        seconds = self._clock() - started
        rest = 0.0
        if self._plain_batches() != plain:
            rest = seconds * (1 - self._share) / self._share
        if not failed:
            self._telemetry.inference_seconds.observe(seconds)
            self._admission.cost.learn(question.rows, seconds + rest)
        if rest:
            await self._rest(rest)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return
