"""Computes a batch: each task's rows the way that the planner says, and tells it what they took."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from time import perf_counter
from typing import Any

import numpy as np

from service.engine.batches.isolation import isolated
from service.engine.paths.forward_pass import ForwardPass
from service.engine.paths.mixed_forward import MixedForward
from service.engine.paths.planner import Group, Path, Planner
from service.engine.registry.entries import Answer, Entry, Rows, indices_by_key
from service.engine.registry.task_table import RegisteredTask
from service.engine.tiers.kept_weights import ComposedWeights
from service.watching.telemetry import Telemetry

ComposeTask = Callable[[RegisteredTask], ComposedWeights]


@dataclass(slots=True)
class Work:
    """A task, with its composed weights where they are at hand: a reader of them keeps them."""

    task: RegisteredTask
    weights: ComposedWeights | None


class PlannedForward:
    """Runs on one thread at a time; the two queues are for whoever keeps composed weights."""

    def __init__(
        self,
        planner: Planner,
        forward: ForwardPass,
        compose: ComposeTask,
        mixed: MixedForward | None,
        telemetry: Telemetry,
    ) -> None:
        self.planner = planner
        self._forward = forward
        self._compose = compose
        self._mixed = mixed
        self._telemetry = telemetry
        # Looking up a metric by its labels costs more than counting.
        self._observed = {
            path: (telemetry.path_rows.labels(path), telemetry.path_seconds.labels(path))
            for path in ("grouped", *([] if mixed is None else [mixed.name]))
        }
        self._last: tuple[list[Group], list[Path]] | None = None
        self.composed: deque[tuple[RegisteredTask, ComposedWeights]] = deque()
        """What was composed for a batch, to be kept or not."""
        self.wanted: deque[RegisteredTask] = deque()
        """Tasks that ran mixed so often that composing them would have paid."""

    def __call__(self, entries: Sequence[Entry[Work]]) -> list[Answer]:
        """An answer an entry, in their order; an entry that fails does so alone."""
        members = list(indices_by_key(entries).values())
        by_task = [[entries[index] for index in indices] for indices in members]
        groups = [self._group(group) for group in by_task]
        paths = self.planner.plan(groups)
        self._last = groups, paths
        if set(paths) == {"mixed"}:
            return isolated(self._any_tasks, entries)
        if len(members) == 1:
            return isolated(self._one_task, entries)
        answers: dict[int, Answer] = {}
        mixed: list[int] = []
        for path, group, indices in zip(paths, by_task, members, strict=True):
            if path == "mixed":
                mixed += indices
            else:
                answers |= zip(indices, isolated(self._one_task, group), strict=True)
        if mixed:
            together = [entries[index] for index in mixed]
            answers |= zip(mixed, isolated(self._any_tasks, together), strict=True)
        return [answers[index] for index in range(len(entries))]

    def explained(self) -> dict[str, Any]:
        """What the planner goes by, and what the last batch's plan was."""
        mixed = None if self._mixed is None else self._mixed.name
        costs = self.planner.explained()
        return {
            "forward_path": self.planner.forward_path,
            "mixed_path": mixed,
            "costs": costs,
            "last_batch": self._last_explained(),
        }

    def _last_explained(self) -> dict[str, Any] | None:
        if self._last is None:
            return None
        groups, paths = self._last
        return {
            "rows": sum(group.rows for group in groups),
            "tasks": len(groups),
            "tasks_at_hand": sum(group.at_hand for group in groups),
            "tasks_by_path": Counter(paths),
            "expected_us": round(1e6 * self.planner.seconds(groups, paths), 1),
        }

    def may_mix(self, task: RegisteredTask) -> bool:
        """Whether rows of the task can be computed without its composed weights."""
        return self._mixed is not None and self._mixed.takes(task)

    def _group(self, entries: Sequence[Entry[Work]]) -> Group:
        may_mix = self.may_mix(entries[0].payload.task)
        return Group(_count(entries), _weights(entries) is not None, may_mix)

    def _one_task(self, entries: Sequence[Entry[Work]]) -> list[Rows]:
        weights = _weights(entries)
        if weights is None:
            weights = self._composed(entries[0].payload.task)
        rows = _rows(entries)
        started = perf_counter()
        logits = self._forward(weights, rows)
        seconds = perf_counter() - started
        self.planner.costs.grouped.learn(len(rows), seconds)
        self._observe("grouped", len(rows), seconds)
        return _apart(logits, entries)

    def _composed(self, task: RegisteredTask) -> ComposedWeights:
        started = perf_counter()
        weights = self._compose(task)
        seconds = perf_counter() - started
        self.planner.costs.compose.learn(1, seconds)
        self._telemetry.compose_seconds.observe(seconds)
        self.composed.append((task, weights))
        return weights

    def _any_tasks(self, entries: Sequence[Entry[Work]]) -> list[Rows]:
        mixed, cost = self._mixed, self.planner.costs.mixed
        assert mixed is not None
        assert cost is not None
        members = list(indices_by_key(entries).values())
        by_task = [[entries[index] for index in indices] for indices in members]
        rows = [_rows(group) for group in by_task]
        total = sum(map(len, rows))
        started = perf_counter()
        logits = mixed([group[0].payload.task for group in by_task], rows)
        seconds = perf_counter() - started
        cost.learn(total, seconds)
        self._observe(mixed.name, total, seconds)
        missing = [group for group in by_task if _weights(group) is None]
        missed = [(group[0].key, _count(group)) for group in missing]
        for index in self.planner.wants_composed(missed, total):
            self.wanted.append(missing[index][0].payload.task)
        if len(members) == len(entries):
            return logits
        answers: dict[int, Rows] = {}
        for made, group, indices in zip(logits, by_task, members, strict=True):
            answers |= zip(indices, _apart(made, group), strict=True)
        return [answers[index] for index in range(len(entries))]

    def _observe(self, path: str, rows: int, seconds: float) -> None:
        counted, observed = self._observed[path]
        counted.inc(rows)
        observed.observe(seconds)


def _rows(entries: Sequence[Entry[Work]]) -> Rows:
    return entries[0].rows if len(entries) == 1 else np.concatenate([one.rows for one in entries])


def _count(entries: Sequence[Entry[Work]]) -> int:
    return len(entries[0].rows) if len(entries) == 1 else sum([len(one.rows) for one in entries])


def _weights(entries: Sequence[Entry[Work]]) -> ComposedWeights | None:
    if len(entries) == 1:
        return entries[0].payload.weights
    for entry in entries:
        if entry.payload.weights is not None:
            return entry.payload.weights
    return None


def _apart(logits: Rows, entries: Sequence[Entry[Work]]) -> list[Rows]:
    if len(entries) == 1:
        return [logits]
    ends = list(accumulate((len(entry.rows) for entry in entries), initial=0))
    return [logits[start:end] for start, end in pairwise(ends)]
