"""Rows in, predictions out: the one way in which every face of the service asks the engine."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from service.engine.batches.batcher import Batcher
from service.engine.batches.waiting import Outcome, Waiter, Waiting
from service.engine.inference.question import Question
from service.engine.inference.unnamed_rows import UnnamedRows
from service.engine.paths.planned_forward import PlannedForward, Work
from service.engine.prediction import Prediction
from service.engine.registry.entries import Rows, Terms
from service.engine.registry.registry import TaskRegistry
from service.engine.registry.task_table import RegisteredTask
from service.engine.tiers.composed_cache import ComposedCache
from service.errors import DeadlinePassed
from service.watching.telemetry import Telemetry

Result = TypeVar("Result")


@dataclass(slots=True)
class Begun:
    """Rows of a task that wait, or are computed."""

    task: RegisteredTask
    waiting: Waiting[Work]


class Predictor:
    """Lives on the event loop; whatever computes runs on an executor."""

    def __init__(
        self,
        registry: TaskRegistry,
        cache: ComposedCache,
        planned: PlannedForward,
        batcher: Batcher[Work],
        unnamed: UnnamedRows,
        telemetry: Telemetry,
    ) -> None:
        self._registry = registry
        self._cache = cache
        self._planned = planned
        self._batcher = batcher
        self._unnamed = unnamed
        self._telemetry = telemetry

    async def predict(
        self, task_id: str, intensities: Rows, terms: Terms, named: str | None = None
    ) -> Prediction:
        """Predictions of a named task for rows `[n, row_length]` of intensities in 0..1.

        By the version `named`; by the live one or the task's canary where none is. Raises
        `UnknownTask`, `QuotaExceeded`, and what `Batcher.submit` raises.
        """
        stored = self._registry.visible.name(task_id, terms.tenant)
        if named is None:
            task = self._registry.choose(stored, intensities)
        else:
            task = await self._in_time(self._registry.versions.get(stored, named), terms)
        terms.charge(len(intensities))
        version = task.version
        if self._planned.may_mix(task):
            # Whoever can do without composed weights does not wait for them.
            weights = self._cache.at_hand(version)
        else:
            weights = await self._in_time(self._cache.get(task), terms)
        logits = await self._batcher.submit(version, Work(task, weights), intensities, terms)
        self._take_up_composed()
        task.count(len(intensities))
        return Prediction(task, logits[:, : len(task.classes)])

    @property
    def is_crowded(self) -> bool:
        """Whether it is worth asking by `check_room` before rows are even looked at."""
        return self._batcher.is_crowded

    def check_room(self, rows: int, terms: Terms) -> None:
        """Raises `Saturated` where so many rows of a named task would be refused now."""
        self._batcher.check_room(rows, terms)

    def begin(
        self,
        task_id: str,
        intensities: Rows,
        terms: Terms,
        waiter: Waiter,
        named: str | None = None,
    ) -> Begun | None:
        """As `predict`, without a task: `waiter` is told logits, of which `end` makes a prediction.

        None, and nothing was done, where a version is to be read or weights to be composed first,
        or rows do not fit in a batch. Raises what can be refused at once.
        """
        task: RegisteredTask | None
        stored = self._registry.visible.name(task_id, terms.tenant)
        if named is None:
            task = self._registry.choose(stored, intensities)
        else:
            task = self._registry.versions.at_hand(stored, named)
        if task is None:
            return None
        version = task.version
        if len(intensities) > self._batcher.batch_rows or not (
            self._planned.may_mix(task) or self._cache.has(version)
        ):
            return None
        terms.charge(len(intensities))
        work = Work(task, self._cache.at_hand(version))
        return Begun(task, self._batcher.put(version, work, intensities, terms, waiter))

    def end(self, begun: Begun, outcome: Outcome) -> Prediction:
        """What was begun as a prediction. Raises what is no logits."""
        self._take_up_composed()
        if isinstance(outcome, BaseException):
            if isinstance(outcome, DeadlinePassed):
                self._telemetry.rejected.labels("expired").inc()
            raise outcome
        task = begun.task
        task.count(len(outcome))
        return Prediction(task, outcome[:, : len(task.classes)])

    def leave(self, begun: Begun) -> None:
        """Nobody waits for what was begun."""
        self._batcher.leave(begun.waiting)

    def _take_up_composed(self) -> None:
        planned, cache = self._planned, self._cache
        while planned.composed:
            task, weights = planned.composed.popleft()
            cache.keep(task.version, weights)
        while planned.wanted:
            cache.compose_soon(planned.wanted.popleft())

    async def infer(self, intensities: Rows, question: Question, terms: Terms) -> Prediction:
        """Predictions of rows that came without a task: `UnnamedRows.predict`."""
        return await self._unnamed.predict(intensities, question, terms)

    async def _in_time(self, awaited: Awaitable[Result], terms: Terms) -> Result:
        if terms.deadline == inf:
            return await awaited
        try:
            async with asyncio.timeout(terms.deadline - time.monotonic()) as timeout:
                return await awaited
        except TimeoutError:
            if not timeout.expired():
                raise
            self._telemetry.rejected.labels("expired").inc()
            raise DeadlinePassed(
                "the request's time was over before its answer was there"
            ) from None
