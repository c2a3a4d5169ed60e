"""Rows of any tasks in one pass, without composed weights."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masked_network.graphed_batch import GraphedBatch
from masked_network.mixed_batch import MixedBatch
from masked_network.structures import Kept
from model_store.artifact_layout import ArtifactLayout
from model_store.coefficient_tensors import COEFFICIENTS, SCALES
from model_store.network import FrozenNetwork
from service.engine.registry.entries import Rows
from service.engine.registry.task_table import RegisteredTask, StackedTasks

RunMixed = Callable[[MixedBatch, Tensor], Tensor]
RunEvery = Callable[[Tensor, Tensor], Tensor | None]
"""Of coefficients `[T, L, K]` and inputs of n rows: logits `[T, n, outputs]` of these by each task;
None where it has no answer."""


class RowsOfKept(Protocol):
    """Rows computed from what their tasks keep: `RegisterRows` and `LaneRows`."""

    @property
    def most_rows(self) -> int:
        """Beyond so many others are quicker."""

    @property
    def inputs(self) -> Rows:
        """Where rows are put, as many as it has room for in one go."""

    def of_kept(
        self, kept: Kept, values: Sequence[int], scales: Sequence[int] | None
    ) -> Rows | None:
        """Logits of as many rows as values, or None, where it has none."""


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
        by_what_is_kept: Sequence[RowsOfKept] = (),
        run_every: RunEvery | None = None,
    ) -> None:
        super().__init__(network, name)
        self._run = run
        self._kept_rows = _KeptRows(network, by_what_is_kept)
        self._run_every = run_every

    def __call__(self, tasks: Sequence[RegisteredTask], rows: Sequence[Rows]) -> list[Rows]:
        lengths = [len(one) for one in rows]
        logits = self._kept_rows(tasks, rows, lengths)
        if logits is None:
            owners = np.arange(len(tasks)).repeat(lengths)
            logits = self._together(tasks, owners, np.concatenate(rows))
        return _apart(logits, lengths)

    def by_every_task(self, tasks: Sequence[RegisteredTask], rows: Rows) -> Rows | None:
        if self._run_every is None:
            return None
        coefficients, _ = of_tasks(self._network, tasks)
        logits = self._run_every(coefficients, self._preprocessing.rows_to_inputs(rows))
        return None if logits is None else logits.numpy()

    @torch.inference_mode()
    def _together(
        self, tasks: Sequence[RegisteredTask], owners: NDArray[np.int64], rows: Rows
    ) -> Rows:
        coefficients, statistics = of_tasks(self._network, tasks)
        batch = MixedBatch(coefficients, torch.from_numpy(owners), statistics)
        inputs, device = self._preprocessing.rows_to_inputs(rows), self._network.device
        logits: Rows = self._run(batch.to(device), inputs.to(device)).cpu().numpy()
        return logits


class _KeptRows:
    """Rows of tasks of one layout, by what these keep, where it lies; for one thread at a time."""

    def __init__(self, network: FrozenNetwork, ways: Sequence[RowsOfKept]) -> None:
        self._network, self._ways = network, ways
        self._preprocessing = network.manifest.preprocessing
        self._known: tuple[ArtifactLayout, Kept, int, int | None] | None = None
        """A layout, how its tasks keep coefficients, and which tensors these and their scales are.

        Of the last one asked for: most tasks of a store have the same."""

    def __call__(
        self, tasks: Sequence[RegisteredTask], rows: Sequence[Rows], lengths: Sequence[int]
    ) -> Rows | None:
        """Logits by the first way that takes so many rows and these tasks; None: as any others."""
        total = sum(lengths)
        ways = [way for way in self._ways if total <= way.most_rows]
        if not ways:
            return None
        try:
            stacked = StackedTasks(tasks)
        except ValueError:  # of several layouts
            return None
        if self._known is None or self._known[0] is not stacked.layout:
            self._known = self._know(stacked.layout)
        _, kept, values, scales = self._known
        together = rows[0] if len(rows) == 1 else np.concatenate(rows)
        values_at = _of_rows(stacked.addresses(values), lengths)
        scales_at = None if scales is None else _of_rows(stacked.addresses(scales), lengths)
        found = (self._through(way, together, kept, values_at, scales_at) for way in ways)
        return next((logits for logits in found if logits is not None), None)

    def _through(
        self,
        way: RowsOfKept,
        rows: Rows,
        kept: Kept,
        values_at: list[int],
        scales_at: list[int] | None,
    ) -> Rows | None:
        parts, room = [], len(way.inputs)
        for start in range(0, len(rows), room):
            these = slice(start, start + room)
            some = rows[these]
            self._preprocessing.normalise(some, way.inputs[: len(some)])
            logits = way.of_kept(
                kept, values_at[these], None if scales_at is None else scales_at[these]
            )
            if logits is None:
                return None
            parts.append(logits)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _know(self, layout: ArtifactLayout) -> tuple[ArtifactLayout, Kept, int, int | None]:
        values, scales = layout.index_of[COEFFICIENTS], layout.index_of.get(SCALES)
        kept = self._network.kept_as(
            layout.kind,
            layout.tensors[values],
            None if scales is None else layout.tensors[scales],
        )
        return layout, kept, values, scales


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


def _of_rows(of_tasks: list[int], lengths: Sequence[int]) -> list[int]:
    if sum(lengths) == len(lengths):
        return of_tasks
    return [one for one, length in zip(of_tasks, lengths, strict=True) for _ in range(length)]


def _apart(logits: Rows, lengths: Sequence[int]) -> list[Rows]:
    ends = accumulate(lengths)
    return [logits[end - length : end] for end, length in zip(ends, lengths, strict=True)]
