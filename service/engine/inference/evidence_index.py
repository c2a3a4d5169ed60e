"""The evidence of all live tasks: which of very many know rows as their own."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from masked_network.evidence_scan import (
    FEW_DIRECTIONS,
    MORE_DIRECTIONS,
    ScanRows,
    best_of_each,
    scan,
    scan_rows,
    scan_terms,
)
from masked_network.task_evidence import TaskEvidence
from model_store.artifact_layout import ArtifactLayout
from model_store.evidence_tensor import EVIDENCE, evidence_of
from service.engine.registry.task_table import RegisteredTask, stacked

_SECOND_LOOK = 64
"""Tasks whose whole evidence is held against the rows; of more, the best by a first look."""

_ENOUGH_ROWS = 8
"""Of which fewer directions tell as much."""

_TAKEN_AT_ONCE = 1024


@dataclass(frozen=True)
class Likely:
    """Tasks with their evidence, and the mean log-likelihood of the rows under each, `[T]`."""

    tasks: Sequence[RegisteredTask]
    evidence: TaskEvidence
    likelihoods: Tensor


@dataclass(frozen=True)
class LikelyOfEach:
    """The same of each row by itself: which of the tasks are its likeliest, in no order, `[n, S]`.

    `likelihoods` `[n, S]` are the row's under its own `choices`.
    """

    tasks: Sequence[RegisteredTask]
    evidence: TaskEvidence
    choices: Tensor
    likelihoods: Tensor


class EvidenceIndex:
    """Some 430 bytes a task besides what the table has; for one thread at a time."""

    def __init__(self, length: int, directions: int, threads: Executor | None = None) -> None:
        self._length = length
        self._threads = threads
        self._looks = [_Look(min(directions, most)) for most in (FEW_DIRECTIONS, MORE_DIRECTIONS)]
        self._tasks: list[RegisteredTask] = []
        self._row_of: dict[RegisteredTask, int] = {}
        self._taken: tuple[RegisteredTask, ...] = ()
        self._few: TaskEvidence | None = None
        self.without: tuple[RegisteredTask, ...] = ()
        """Those of the tasks that bring none."""

    def __len__(self) -> int:
        return len(self._tasks)

    def take(self, tasks: tuple[RegisteredTask, ...]) -> None:
        """Hold the evidence of exactly these tasks; costs what has changed since the last call."""
        if tasks is self._taken:
            return
        brings = {task.layout: _brings_evidence(task.layout) for task in tasks}
        known = [task for task in tasks if brings[task.layout]]
        self.without = tuple(task for task in tasks if not brings[task.layout])
        for task in self._row_of.keys() - set(known):
            self._drop(self._row_of.pop(task))
        new = [task for task in known if task not in self._row_of]
        for start in range(0, len(new), _TAKEN_AT_ONCE):
            self._add(new[start : start + _TAKEN_AT_ONCE])
        self._few = self._evidence(self._tasks) if 0 < len(self) <= _SECOND_LOOK else None
        self._taken = tasks

    def likeliest(self, projected: Tensor) -> Likely:
        """The tasks that projections `[n, D]` of rows are likeliest under, in no order.

        Raises `ValueError` where no task brings evidence.
        """
        if not self._tasks:
            raise ValueError("expected tasks with evidence, got none")
        tasks, evidence = self._tasks, self._few
        if evidence is None:
            look = self._looks[len(projected) < _ENOUGH_ROWS]
            first = scan(look.rows(len(self)), projected, self._threads)
            tasks = [self._tasks[row] for row in first.topk(_SECOND_LOOK).indices.tolist()]
            evidence = self._evidence(tasks)
        likelihoods = evidence.gaussians.log_likelihoods(projected).mean(dim=0)
        return Likely(tasks, evidence, likelihoods)

    def likeliest_of_each(self, projected: Tensor) -> LikelyOfEach:
        """The tasks that each of the projections `[n, D]` is likeliest under.

        Raises `ValueError` where no task brings evidence.
        """
        if not self._tasks:
            raise ValueError("expected tasks with evidence, got none")
        if self._few is not None:
            choices = torch.arange(len(self)).expand(len(projected), -1)
            likelihoods = self._few.gaussians.log_likelihoods(projected)
            return LikelyOfEach(self._tasks, self._few, choices, likelihoods)
        found = best_of_each(self._looks[True].rows(len(self)), projected, _SECOND_LOOK)
        # torch leaves it unannotated
        rows, choices = found.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        tasks = [self._tasks[row] for row in rows.tolist()]
        evidence = self._evidence(tasks)
        likelihoods = evidence.gaussians.log_likelihoods_each(projected, choices)
        return LikelyOfEach(tasks, evidence, choices, likelihoods)

    def _add(self, tasks: list[RegisteredTask]) -> None:
        evidence, start = self._evidence(tasks), len(self)
        for look in self._looks:
            look.write(start, scan_rows(evidence.gaussians, look.directions))
        self._row_of |= {task: start + index for index, task in enumerate(tasks)}
        self._tasks += tasks

    def _drop(self, row: int) -> None:
        last = self._tasks.pop()
        if row == len(self._tasks):
            return
        # The last row takes its place.
        for look in self._looks:
            look.move(len(self._tasks), row)
        self._tasks[row] = last
        self._row_of[last] = row

    def _evidence(self, tasks: Sequence[RegisteredTask]) -> TaskEvidence:
        of_layout: dict[ArtifactLayout, list[int]] = {}
        for index, task in enumerate(tasks):
            of_layout.setdefault(task.layout, []).append(index)
        parts = [
            stacked([tasks[index] for index in of]).tensors[EVIDENCE] for of in of_layout.values()
        ]
        order = [index for of in of_layout.values() for index in of]
        joined = torch.cat(parts)[torch.from_numpy(np.argsort(order))]
        return evidence_of(joined, self._length)


class _Look:
    """What is scanned of all tasks in so many directions; room grows by doubling."""

    def __init__(self, directions: int) -> None:
        self.directions = directions
        self._room = ScanRows(
            directions,
            torch.empty(0, scan_terms(directions), dtype=torch.int8),
            torch.empty(0),
            torch.empty(0),
        )

    def rows(self, count: int) -> ScanRows:
        return self._room.part(0, count)

    def write(self, start: int, rows: ScanRows) -> None:
        room, end = self._room, start + len(rows)
        if end > len(room):
            more = max(end, 2 * len(room)) - len(room)
            self._room = room = ScanRows(
                self.directions,
                torch.cat([room.levels, room.levels.new_empty(more, room.levels.shape[1])]),
                torch.cat([room.scales, room.scales.new_empty(more)]),
                torch.cat([room.biases, room.biases.new_empty(more)]),
            )
        room.levels[start:end] = rows.levels
        room.scales[start:end] = rows.scales
        room.biases[start:end] = rows.biases

    def move(self, source: int, target: int) -> None:
        self.write(target, self._room.part(source, source + 1))


def _brings_evidence(layout: ArtifactLayout) -> bool:
    return any(place.name == EVIDENCE for place in layout.tensors)
