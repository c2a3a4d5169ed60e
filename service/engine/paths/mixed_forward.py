"""Rows of any tasks in one pass, without composed weights."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masked_network.compiled import Numbers
from masked_network.graphed_batch import GraphedBatch
from masked_network.mixed_batch import MixedBatch
from masked_network.register_rows import MOST_ROWS
from model_store.artifact_layout import ArtifactLayout
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArrays
from service.engine.registry.entries import Rows
from service.engine.registry.task_table import RegisteredTask, StackedTasks

_ONE_TASK = np.zeros(MOST_ROWS, np.int64)

RunMixed = Callable[[MixedBatch, Tensor], Tensor]
RunFew = Callable[[Numbers, NDArray[np.int64], Numbers], Numbers | None]
"""The same of at most `MOST_ROWS` rows, by the coefficients that tasks keep, `[T, L, K]` or of one
`[L, K]`, the task of each row, and inputs as rows; None where it has no answer."""
RunEvery = Callable[[Tensor, Tensor], Tensor | None]
"""Of coefficients `[T, L, K]` and inputs of n rows: logits `[T, n, outputs]` of these by each task;
None where it has no answer."""


class MixedForward(ABC):
    """Logits of rows that belong to different tasks; for one thread at a time."""

    def __init__(self, network: FrozenNetwork, name: str) -> None:
        self.name = name
        """`fused` or `stacked`."""
        self._network = network
        self._preprocessing = network.manifest.preprocessing

    @staticmethod
    def takes(task: RegisteredTask) -> bool:
        """Whether a task's kind can share a pass: one that has no mask of its own."""
        return task.kind == "coefficients"

    @abstractmethod
    def __call__(self, tasks: Sequence[RegisteredTask], rows: Sequence[Rows]) -> list[Rows]:
        """Logits `[n, outputs]` of each task's rows `[n, row_length]`; no task occurs twice."""

    def by_every_task(self, tasks: Sequence[RegisteredTask], rows: Rows) -> Rows | None:
        """Logits `[T, n, outputs]` of the same rows by each of very many; None: as any others."""
        return None


class BatchForward(MixedForward):
    """The same of a batch that brings its tasks."""

    def __init__(
        self,
        network: FrozenNetwork,
        name: str,
        run: RunMixed,
        run_few: RunFew | None = None,
        run_every: RunEvery | None = None,
    ) -> None:
        super().__init__(network, name)
        self._run = run
        self._run_few = run_few
        self._run_every = run_every

    def __call__(self, tasks: Sequence[RegisteredTask], rows: Sequence[Rows]) -> list[Rows]:
        if len(tasks) == 1:
            # All that several take to be together is a third of what a row alone takes.
            return [self._alone(tasks[0], rows[0])]
        lengths = [len(one) for one in rows]
        owners = np.arange(len(tasks)).repeat(lengths)
        together, logits = np.concatenate(rows), None
        if len(owners) <= MOST_ROWS and _alike(tasks):
            logits = self._few(StackedTasks(tasks), owners, together)
        if logits is None:
            logits = self._together(tasks, owners, together)
        return _apart(logits, lengths)

    def by_every_task(self, tasks: Sequence[RegisteredTask], rows: Rows) -> Rows | None:
        if self._run_every is None:
            return None
        coefficients, _ = of_tasks(self._network, tasks)
        logits = self._run_every(coefficients, self._preprocessing.rows_to_inputs(rows))
        return None if logits is None else logits.numpy()

    def _alone(self, task: RegisteredTask, rows: Rows) -> Rows:
        logits = self._few(task, _ONE_TASK, rows) if len(rows) <= MOST_ROWS else None
        if logits is None:
            logits = self._together([task], np.zeros(len(rows), np.int64), rows)
        return logits

    def _few(self, tasks: TaskArrays, owners: NDArray[np.int64], rows: Rows) -> Rows | None:
        if self._run_few is None:
            return None
        kept = self._network.kept_numbers(tasks)
        return self._run_few(kept, owners, self._preprocessing.normalised(rows))

    @torch.inference_mode()
    def _together(
        self, tasks: Sequence[RegisteredTask], owners: NDArray[np.int64], rows: Rows
    ) -> Rows:
        coefficients, statistics = of_tasks(self._network, tasks)
        batch = MixedBatch(coefficients, torch.from_numpy(owners), statistics)
        inputs, device = self._preprocessing.rows_to_inputs(rows), self._network.device
        logits: Rows = self._run(batch.to(device), inputs.to(device)).cpu().numpy()
        return logits


class ResidentForward(MixedForward):
    """The same on a GPU that has the tasks: a batch brings its rows, and tasks not there yet."""

    def __init__(self, network: FrozenNetwork, name: str, graphed: GraphedBatch) -> None:
        super().__init__(network, name)
        self._graphed = graphed

    def __call__(self, tasks: Sequence[RegisteredTask], rows: Sequence[Rows]) -> list[Rows]:
        lengths = [len(one) for one in rows]
        logits = self._graphed(
            [task.version for task in tasks],
            lambda missing: of_tasks(self._network, [tasks[place] for place in missing]),
            torch.from_numpy(np.concatenate(rows)),
            torch.from_numpy(np.arange(len(tasks)).repeat(lengths)),
        )
        return _apart(logits.numpy(), lengths)


def of_tasks(
    network: FrozenNetwork, tasks: Sequence[RegisteredTask]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Coefficients `[T, L, K]`, the bank's origin included, and statistics `[T, channels]`."""
    of_layout: dict[ArtifactLayout, list[int]] = {}
    for index, task in enumerate(tasks):
        of_layout.setdefault(task.layout, []).append(index)
    parts = [
        network.values_of(StackedTasks([tasks[index] for index in of])) for of in of_layout.values()
    ]
    if len(parts) == 1:
        return parts[0]
    coefficients, statistics = zip(*parts, strict=True)
    order = torch.tensor([index for indices in of_layout.values() for index in indices]).argsort()
    return torch.cat(coefficients)[order], {
        name: torch.cat([one[name] for one in statistics])[order] for name in statistics[0]
    }


def _alike(tasks: Sequence[RegisteredTask]) -> bool:
    layout = tasks[0].layout
    return all(task.layout is layout for task in tasks)


def _apart(logits: Rows, lengths: Sequence[int]) -> list[Rows]:
    ends = accumulate(lengths)
    return [logits[end - length : end] for end, length in zip(ends, lengths, strict=True)]
