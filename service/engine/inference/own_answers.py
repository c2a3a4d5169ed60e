"""What tasks' own networks answer to rows: of several at once where they can share a pass."""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from masked_network.backbones import forward
from model_store.network import FrozenNetwork
from service.engine.paths.mixed_forward_here import mixed_forward
from service.engine.registry.entries import Rows
from service.engine.registry.task_table import RegisteredTask

_MOST_ROWS = 4096
"""Of all tasks together in one pass: a bound on memory."""

_VERY_MANY = 64
"""Tasks from which on it pays to prepare the rows for all of them."""


class OwnAnswers:
    """For one thread at a time, beside those that predict."""

    def __init__(self, network: FrozenNetwork) -> None:
        self._network = network
        # functional_call is not thread-safe on a shared module, and another thread predicts.
        self.backbone = copy.deepcopy(network.backbone)
        self._mixed = mixed_forward(network)

    def __call__(self, tasks: Sequence[RegisteredTask], rows: Sequence[Rows]) -> list[Rows]:
        """Logits `[n, outputs]` of each task's rows `[n, row_length]`; no task occurs twice."""
        found: dict[int, Rows] = {}
        mixed = self._mixed
        if mixed is not None:
            together = [index for index, task in enumerate(tasks) if mixed.takes(task)]
            for some in _parts(together, rows):
                answers = mixed([tasks[index] for index in some], [rows[index] for index in some])
                found |= zip(some, answers, strict=True)
        return [
            found[index] if index in found else self._composed(task, rows[index])
            for index, task in enumerate(tasks)
        ]

    def of_same_rows(self, tasks: Sequence[RegisteredTask], rows: Rows) -> Rows:
        """Logits `[T, n, outputs]` of the same rows by each of the tasks."""
        mixed, outputs = self._mixed, self._network.manifest.backbone.outputs
        found = np.empty((len(tasks), len(rows), outputs), np.float32)
        left = list(range(len(tasks)))
        if mixed is not None and len(tasks) >= _VERY_MANY:
            together = [index for index in left if mixed.takes(tasks[index])]
            for start in range(0, len(together), _MOST_ROWS):
                some = together[start : start + _MOST_ROWS]
                logits = mixed.by_every_task([tasks[index] for index in some], rows)
                if logits is None:
                    break
                found[some] = logits
            else:
                left = [index for index in left if not mixed.takes(tasks[index])]
        if left:
            found[left] = self([tasks[index] for index in left], [rows] * len(left))
        return found

    @torch.no_grad()
    def _composed(self, task: RegisteredTask, rows: Rows) -> Rows:
        network = self._network
        inputs = network.manifest.preprocessing.rows_to_inputs(rows).to(network.device)
        logits: NDArray[np.float32]
        logits = forward(self.backbone, network.composed(task), inputs).cpu().numpy()
        return logits


def _parts(indices: Sequence[int], rows: Sequence[Rows]) -> Iterator[list[int]]:
    part: list[int] = []
    count = 0
    for index in indices:
        if part and count + len(rows[index]) > _MOST_ROWS:
            yield part
            part, count = [], 0
        part.append(index)
        count += len(rows[index])
    if part:
        yield part
