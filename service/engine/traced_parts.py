"""The engine's parts as they are where requests may be traced: the same, and they take down times.

Classes of their own, so that what is not traced does not even ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, NamedTuple

from model_store.task_artifact import TaskTensors
from service.engine.batches.batcher import Batcher
from service.engine.inference.question import Question
from service.engine.paths.planned_forward import PlannedForward, Work
from service.engine.prediction import Prediction
from service.engine.predictor import Predictor
from service.engine.registry.entries import Answer, Entry, Rows, Terms
from service.engine.registry.task_table import RegisteredTask
from service.engine.tiers.composed_cache import ComposedCache
from service.engine.tiers.kept_weights import ComposedWeights
from service.engine.timeline import Timeline, current_timeline


@dataclass(slots=True)
class TracedWork(Work):
    """Work whose request is traced."""

    timeline: Timeline
    since_ns: int


class TracedCache(ComposedCache):
    """Takes down how long a request waited for composed weights: `weights`."""

    async def get(self, artifact: TaskTensors) -> ComposedWeights:
        timeline, started = current_timeline.get(), perf_counter_ns()
        weights = await super().get(artifact)
        if timeline is not None:
            timeline.add("weights", started, perf_counter_ns())
        return weights


class TracedBatcher(Batcher[Work]):
    """Hands on whose timeline is to say how long rows waited."""

    async def submit(self, key: str, payload: Work, rows: Rows, terms: Terms) -> Rows:
        timeline = current_timeline.get()
        if timeline is not None:
            payload = TracedWork(payload.task, payload.weights, timeline, perf_counter_ns())
        return await super().submit(key, payload, rows, terms)


class TracedForward(PlannedForward):
    """Takes down `queue`, `compose` and `forward`, the last with what else was in the batch."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._compositions: dict[str, tuple[int, int]] = {}

    def __call__(self, entries: Sequence[Entry[Work]]) -> list[Answer]:
        self._compositions.clear()
        started = perf_counter_ns()
        answers = super().__call__(entries)
        ended = perf_counter_ns()
        for entry in entries:
            work = entry.payload
            if isinstance(work, TracedWork):
                work.timeline.add("queue", work.since_ns, started)
                if entry.key in self._compositions:
                    work.timeline.add("compose", *self._compositions[entry.key])
                rows = sum(len(one.rows) for one in entries)
                tasks = len({one.key for one in entries})
                work.timeline.add("forward", started, ended, rows=rows, tasks=tasks)
        return answers

    def _composed(self, task: RegisteredTask) -> ComposedWeights:
        started = perf_counter_ns()
        weights = super()._composed(task)
        self._compositions[task.version] = started, perf_counter_ns()
        return weights


class TracedPredictor(Predictor):
    """Takes down how long the search for a task took: `identify`."""

    async def infer(self, intensities: Rows, question: Question, terms: Terms) -> Prediction:
        timeline, started = current_timeline.get(), perf_counter_ns()
        prediction = await super().infer(intensities, question, terms)
        if timeline is not None:
            timeline.add("identify", started, perf_counter_ns())
        return prediction


class Parts(NamedTuple):
    """Which classes an engine is made of."""

    cache: type[ComposedCache]
    forward: type[PlannedForward]
    batcher: type[Batcher[Work]]
    predictor: type[Predictor]


PLAIN_PARTS = Parts(ComposedCache, PlannedForward, Batcher, Predictor)
TRACED_PARTS = Parts(TracedCache, TracedForward, TracedBatcher, TracedPredictor)
