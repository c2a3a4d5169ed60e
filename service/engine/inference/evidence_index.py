"""The evidence of tasks that are asked about: which of very many know rows as their own."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from math import inf

import numpy as np
import torch
from torch import Tensor

from masked_network.compiled import compiled_kernels
from masked_network.evidence_scan import (
    FEW_DIRECTIONS,
    MORE_DIRECTIONS,
    ScanRows,
    best_of,
    best_of_each,
    scan,
    scan_rows,
)
from model_store.artifact_layout import ArtifactLayout
from model_store.evidence_reader import EvidenceReader
from model_store.evidence_tensor import EVIDENCE, evidence_of, own_moments
from service.engine.inference.kept_lists import KeptLists
from service.engine.inference.known_tasks import KnownTasks, Likely, LikelyOfEach
from service.engine.inference.scan_room import ScanRoom
from service.engine.registry.task_table import RegisteredTask, StackedTasks

_SECOND_LOOK = 64
"""Tasks whose whole evidence is held against the rows: the best by a first look."""

_NO_FIRST_LOOK = 128
"""So few are all held against the rows: a first look takes longer than that saves."""

_ENOUGH_ROWS = 8
"""Of which fewer directions tell as much."""

_TAKEN_AT_ONCE = 1024

_FEW_OF_ALL = 32
"""Of so many times as many tasks in the index one's own are better picked out than all scanned."""

_Whose = Callable[[Tensor], list[RegisteredTask]]

LISTS_BYTES = 64 << 20
"""What is kept of lists of tasks, where nobody says otherwise."""


class EvidenceIndex:
    """Some 430 bytes a task besides what the table has; for one thread at a time.

    One for all lists of tasks that were asked about lately: a task that is on several is in it
    once, and one that is on none any more is not in it.
    """

    def __init__(
        self,
        length: int,
        directions: int,
        threads: Executor | None = None,
        lists_bytes: int = LISTS_BYTES,
    ) -> None:
        self._length = length
        self._reader = EvidenceReader(length, compiled_kernels())
        self._threads = threads
        self._looks = [
            ScanRoom(min(directions, most)) for most in (FEW_DIRECTIONS, MORE_DIRECTIONS)
        ]
        self._tasks: list[RegisteredTask | None] = []
        self._row_of: dict[RegisteredTask, int] = {}
        self._free: list[int] = []
        self._lists_of = np.zeros(0, np.int32)  # on how many lists the task of a row is
        self._lists = KeptLists(lists_bytes, self._known, lambda known: known.nbytes, self._let_go)

    def __len__(self) -> int:
        return len(self._row_of)

    def of(self, tasks: tuple[RegisteredTask, ...]) -> KnownTasks:
        """What is known of these tasks; where they were asked about lately it costs nothing."""
        return self._lists.of(tasks)

    def likeliest(self, known: KnownTasks, projected: Tensor) -> Likely:
        """The tasks that projections `[n, D]` of rows are likeliest under, in no order.

        Raises `ValueError` where no task brings evidence.
        """
        if not known.tasks:
            raise ValueError("expected tasks with evidence, got none")
        tasks: Sequence[RegisteredTask] = known.tasks
        evidence = known.evidence
        if evidence is None:
            scanned, whose = self._to_scan(known, few_rows=len(projected) < _ENOUGH_ROWS)
            tasks = whose(best_of(scan(scanned, projected, self._threads), _SECOND_LOOK))
            evidence = self._evidence(tasks)
        likelihoods = self._reader.log_likelihoods(evidence, projected).mean(dim=1)
        return Likely(tasks, own_moments(evidence), likelihoods)

    def likeliest_of_each(self, known: KnownTasks, projected: Tensor) -> LikelyOfEach:
        """The tasks that each of the projections `[n, D]` is likeliest under.

        Raises `ValueError` where no task brings evidence.
        """
        if not known.tasks:
            raise ValueError("expected tasks with evidence, got none")
        if known.evidence is not None:
            choices = torch.arange(len(known)).expand(len(projected), -1)
            likelihoods = self._reader.log_likelihoods(known.evidence, projected).T
            return LikelyOfEach(known.tasks, own_moments(known.evidence), choices, likelihoods)
        scanned, whose = self._to_scan(known, few_rows=True)
        found = best_of_each(scanned, projected, _SECOND_LOOK)
        # torch leaves it unannotated
        rows, choices = found.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        tasks = whose(rows)
        evidence = self._evidence(tasks)
        likelihoods = self._reader.log_likelihoods_each(evidence, projected, choices)
        return LikelyOfEach(tasks, own_moments(evidence), choices, likelihoods)

    def _to_scan(self, known: KnownTasks, few_rows: bool) -> tuple[ScanRows, _Whose]:
        """What a first look reads, and whose its rows are; no other task can be among the best."""
        look = self._looks[few_rows]
        if _FEW_OF_ALL * len(known) < len(self._tasks):
            return look.some(known.rows), partial(_picked, known.tasks)
        rows = look.rows(len(self._tasks))
        if len(known) < len(rows):
            biases = torch.full_like(rows.biases, -inf)
            biases[known.rows] = rows.biases[known.rows]
            rows = replace(rows, biases=biases)
        return rows, partial(_picked, self._tasks)

    def _known(self, tasks: tuple[RegisteredTask, ...]) -> KnownTasks:
        brings = {task.layout: _brings_evidence(task.layout) for task in tasks}
        known = tuple(task for task in tasks if brings[task.layout])
        without = tuple(task for task in tasks if not brings[task.layout])
        new = [task for task in known if task not in self._row_of]
        for start in range(0, len(new), _TAKEN_AT_ONCE):
            self._add(new[start : start + _TAKEN_AT_ONCE])
        rows = np.fromiter(map(self._row_of.__getitem__, known), np.int64, len(known))
        self._lists_of[rows] += 1
        evidence = self._evidence(known) if 0 < len(known) <= _NO_FIRST_LOOK else None
        return KnownTasks(torch.from_numpy(rows), without, known, evidence)

    def _let_go(self, known: KnownTasks) -> None:
        rows = known.rows.numpy()
        self._lists_of[rows] -= 1
        for row in rows[self._lists_of[rows] == 0].tolist():
            task = self._tasks[row]
            assert task is not None
            del self._row_of[task]
            # Its numbers stay, unasked for, until another task takes its place.
            self._tasks[row] = None
            self._free.append(row)

    def _add(self, tasks: list[RegisteredTask]) -> None:
        rows = [self._free.pop() for _ in tasks[: len(self._free)]]
        end = len(self._tasks)
        more = len(tasks) - len(rows)
        rows += range(end, end + more)
        self._tasks += [None] * more
        if end + more > len(self._lists_of):
            room = max(end + more, 2 * len(self._lists_of)) - len(self._lists_of)
            self._lists_of = np.concatenate([self._lists_of, np.zeros(room, np.int32)])
        gaussians = evidence_of(self._evidence(tasks), self._length).gaussians
        for look in self._looks:
            look.write(torch.tensor(rows), scan_rows(gaussians, look.directions))
        for row, task in zip(rows, tasks, strict=True):
            self._tasks[row] = task
            self._row_of[task] = row

    @staticmethod
    def _evidence(tasks: Sequence[RegisteredTask]) -> Tensor:
        """As tasks keep it, uint8 `[T, bytes]`."""
        of_layout: dict[ArtifactLayout, list[int]] = {}
        for index, task in enumerate(tasks):
            of_layout.setdefault(task.layout, []).append(index)
        parts = [
            torch.from_numpy(StackedTasks([tasks[index] for index in of]).array(EVIDENCE))
            for of in of_layout.values()
        ]
        if len(parts) == 1:
            return parts[0]
        order = [index for of in of_layout.values() for index in of]
        return torch.cat(parts)[torch.from_numpy(np.argsort(order))]


def _picked(tasks: Sequence[RegisteredTask | None], rows: Tensor) -> list[RegisteredTask]:
    # A row that is nobody's is never among the best.
    return [task for row in rows.tolist() if (task := tasks[row]) is not None]


def _brings_evidence(layout: ArtifactLayout) -> bool:
    return any(place.name == EVIDENCE for place in layout.tensors)
