"""Rows in, predictions out: the one way in which every face of the service asks the engine."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from masked_network.false_acceptance import most_strangeness
from model_store.errors import UnknownTask
from service.engine.batches.batcher import Batcher
from service.engine.batches.waiting import Outcome, Waiter, Waiting
from service.engine.inference.identification import Identification
from service.engine.inference.kept_answers import KeptAnswers
from service.engine.inference.question import Question
from service.engine.inference.question_queue import QuestionQueue
from service.engine.inference.sessions import Sessions
from service.engine.inference.task_identifier import TaskIdentifier
from service.engine.paths.planned_forward import PlannedForward, Work
from service.engine.registry.entries import Rows, Terms
from service.engine.registry.registry import TaskRegistry
from service.engine.registry.task_table import RegisteredTask
from service.engine.tiers.composed_cache import ComposedCache
from service.errors import DeadlinePassed
from service.watching.exemplars import exemplar
from service.watching.telemetry import Telemetry

Result = TypeVar("Result")


class Prediction(NamedTuple):
    """Logits `[n, C]` of the task that answered; no task and no logits where it abstained.

    Where every row was a question of its own there is one in `each` for every row, and nothing
    else.
    """

    task: RegisteredTask | None
    logits: NDArray[np.float32] | None
    identification: Identification | None = None
    each: tuple["Prediction", ...] = ()

    @property
    def probabilities(self) -> NDArray[np.float32] | None:
        """Softmax of the logits, `[n, C]`."""
        if self.logits is None:
            return None
        # The reductions themselves: the methods around them cost as much again on one row.
        shifted = np.exp(self.logits - np.maximum.reduce(self.logits, axis=1, keepdims=True))
        shifted /= np.add.reduce(shifted, axis=1, keepdims=True)
        return shifted


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
        identifier: TaskIdentifier,
        questions: QuestionQueue,
        kept: KeptAnswers,
        sessions: Sessions,
        margin_nats: float,
        false_acceptance: float,
        telemetry: Telemetry,
    ) -> None:
        self._registry = registry
        self._cache = cache
        self._planned = planned
        self._batcher = batcher
        self._identifier = identifier
        self._questions = questions
        self._kept = kept
        self._sessions = sessions
        self._margin_nats = margin_nats
        self._false_acceptance = false_acceptance
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
        """Name the task that all rows belong to, or each of them, and predict with it, or abstain.

        Of the tasks that the caller sees and asks about. Raises `UnknownTask` where there is none,
        `QuotaExceeded`, and what `QuestionQueue.ask` raises.
        """
        tasks = self._registry.visible.selected(terms.tenant, question.among)
        if not tasks:
            raise UnknownTask(f"no task of {question.among} is registered, so none can be inferred")
        terms.charge(len(intensities))
        session, rows = question.session, intensities
        if session is not None:
            rows = self._sessions.with_earlier(terms.caller, session, intensities)
        found = await self._found(tasks, rows, question, terms)
        if session is not None:
            self._sessions.add(terms.caller, session, intensities)
        if question.per_row:
            return Prediction(None, None, None, tuple(self._judged(one, 1) for one in found))
        return self._judged(found[0], len(intensities))

    async def _found(
        self,
        tasks: tuple[RegisteredTask, ...],
        rows: Rows,
        question: Question,
        terms: Terms,
    ) -> tuple[Identification, ...]:
        identify = partial(self._identified, tasks, rows, question)
        if question.session is not None:
            # Its rows are others each time, and would only displace what is asked again.
            return await self._questions.ask(identify, len(rows), terms)
        every = self._registry.snapshot()
        key = self._kept.key(rows, (terms.tenant, question))
        found = self._kept.find(key, every)
        if found is None:
            found = await self._questions.ask(identify, len(rows), terms)
            self._kept.keep(key, every, found)
        elif terms.deadline <= time.monotonic():
            raise self._late()
        return found

    def _identified(
        self, tasks: tuple[RegisteredTask, ...], intensities: Rows, question: Question
    ) -> tuple[Identification, ...]:
        identifier = self._identifier
        if question.per_row:
            return identifier.identify_each(tasks, intensities, question.method, question.top)
        return (identifier.identify(tasks, intensities, question.method, question.top),)

    def _judged(self, identification: Identification, rows: int) -> Prediction:
        """The prediction of what was found, unless that is not convincing."""
        best = identification.best
        self._telemetry.inference_entropy.observe(
            best.entropy_nats, exemplar(task=best.task.task_id)
        )
        most = most_strangeness(self._false_acceptance, identification.rows)
        strange = (identification.strangeness or 0.0) > most
        if strange or identification.margin_nats < self._margin_nats:
            self._telemetry.inference.labels("abstained").inc()
            return Prediction(None, None, identification)
        self._telemetry.inference.labels("named").inc()
        best.task.count(rows)
        # Earlier rows of a session stand before the request's own.
        logits = best.logits[-rows:, : len(best.task.classes)]
        return Prediction(best.task, logits, identification)

    async def _in_time(self, awaited: Awaitable[Result], terms: Terms) -> Result:
        if terms.deadline == inf:
            return await awaited
        try:
            async with asyncio.timeout(terms.deadline - time.monotonic()) as timeout:
                return await awaited
        except TimeoutError:
            if not timeout.expired():
                raise
            raise self._late() from None

    def _late(self) -> DeadlinePassed:
        self._telemetry.rejected.labels("expired").inc()
        return DeadlinePassed("the request's time was over before its answer was there")
