"""Rows without a task in, predictions by the task that they are of out, or none."""

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from masked_network.false_acceptance import most_strangeness
from model_store.errors import UnknownTask
from model_store.network import FrozenNetwork
from service.engine.inference.identification import Identification, named_methods
from service.engine.inference.kept_answers import KeptAnswers
from service.engine.inference.kept_lists import Tasks
from service.engine.inference.question import Question
from service.engine.inference.question_queue import QuestionLimits, QuestionQueue
from service.engine.inference.sessions import SessionLimits, Sessions
from service.engine.inference.task_identifier import SearchLimits, TaskIdentifier
from service.engine.prediction import Prediction
from service.engine.registry.entries import Rows, Terms
from service.engine.registry.registry import TaskRegistry
from service.errors import DeadlinePassed
from service.settings import Settings
from service.watching.exemplars import exemplar
from service.watching.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Convincing:
    """From when on what was found is an answer."""

    margin_nats: float
    """How far ahead of the runner-up, at least."""
    false_acceptance: float
    """Which share of rows of no registered task may be taken for one of them."""


class UnnamedRows:
    """Lives on the event loop; whatever computes waits its turn in the queue."""

    def __init__(
        self,
        registry: TaskRegistry,
        identifier: TaskIdentifier,
        questions: QuestionQueue,
        kept: KeptAnswers,
        sessions: Sessions,
        convincing: Convincing,
        telemetry: Telemetry,
    ) -> None:
        self._registry = registry
        self._identifier = identifier
        self.questions = questions
        self._kept = kept
        self._sessions = sessions
        self._convincing = convincing
        self._telemetry = telemetry

    async def predict(self, intensities: Rows, question: Question, terms: Terms) -> Prediction:
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

    async def close(self) -> None:
        """Answer what waits, and forget what was gathered."""
        await self.questions.close()
        self._sessions.close()

    async def _found(
        self, tasks: Tasks, rows: Rows, question: Question, terms: Terms
    ) -> tuple[Identification, ...]:
        identify = partial(self._identified, tasks, rows, question)
        if question.session is not None:
            # Its rows are others each time, and would only displace what is asked again.
            return await self.questions.ask(identify, len(rows), terms)
        every = self._registry.snapshot()
        key = self._kept.key(rows, (terms.tenant, question))
        found = self._kept.find(key, every)
        if found is None:
            found = await self.questions.ask(identify, len(rows), terms)
            self._kept.keep(key, every, found)
        elif terms.deadline <= time.monotonic():
            self._telemetry.rejected.labels("expired").inc()
            raise DeadlinePassed("the request's time was over before its answer was there")
        return found

    def _identified(
        self, tasks: Tasks, rows: Rows, question: Question
    ) -> tuple[Identification, ...]:
        if question.per_row:
            return self._identifier.identify_each(tasks, rows, question.method, question.top)
        return (self._identifier.identify(tasks, rows, question.method, question.top),)

    def _judged(self, identification: Identification, rows: int) -> Prediction:
        """The prediction of what was found, unless that is not convincing."""
        best, convincing = identification.best, self._convincing
        self._telemetry.inference_entropy.observe(
            best.entropy_nats, exemplar(task=best.task.task_id)
        )
        most = most_strangeness(convincing.false_acceptance, identification.rows)
        strange = (identification.strangeness or 0.0) > most
        if strange or identification.margin_nats < convincing.margin_nats:
            self._telemetry.inference.labels("abstained").inc()
            return Prediction(None, None, identification)
        self._telemetry.inference.labels("named").inc()
        best.task.count(rows)
        # Earlier rows of a session stand before the request's own.
        logits = best.logits[-rows:, : len(best.task.classes)]
        return Prediction(best.task, logits, identification)


def unnamed_rows_of(
    settings: Settings,
    network: FrozenNetwork,
    registry: TaskRegistry,
    executor: Executor,
    plain_batches: Callable[[], int],
    telemetry: Telemetry,
) -> UnnamedRows:
    """By the settings; the search gives way to whatever batches `plain_batches` counts."""
    search = SearchLimits(
        settings.inference_shortlist,
        settings.max_exhaustive_rows,
        settings.inference_lists_bytes,
        named_methods(settings.inference_methods),
    )
    waiting = QuestionLimits(settings.max_inference_queue_rows, settings.inference_share)
    gathered = SessionLimits(
        settings.session_rows, settings.session_bytes, settings.session_seconds
    )
    return UnnamedRows(
        registry,
        TaskIdentifier(network, search),
        QuestionQueue(executor, waiting, plain_batches, telemetry),
        KeptAnswers(settings.inference_cache_bytes, telemetry.kept_answers),
        Sessions(gathered, telemetry),
        Convincing(settings.inference_margin_nats, settings.inference_false_acceptance),
        telemetry,
    )
