"""A batch whose rows belong to different tasks, and the plain way to run it: a task at a time.

Every other way of this package is held against `composed_by_task`; none of them keeps anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from masked_network.backbones import forward
from masked_network.task_statistics import (
    StatisticsLayer,
    moved_together,
    statistics_layers,
    statistics_shapes,
)

ComposeWeights = Callable[[Tensor], Mapping[str, Tensor]]
"""The weights of coefficients `[L, K]`, such as `compose` with its first arguments given."""


@dataclass(frozen=True)
class MixedBatch:
    """Whose each row is, and what the tasks bring that the batch is made of.

    `coefficients` `[T, L, K]` are those that compose, a bank's origin included; `statistics` maps
    the name of each to all tasks' own, `[T, channels]`. `task_of_row` `[B]`, int64, counts tasks
    from 0; some may have no row. Raises `ValueError` on other shapes, no row, or, in main memory, a
    task beyond T: to look elsewhere would be to wait for a device.
    """

    coefficients: Tensor
    task_of_row: Tensor
    statistics: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, shape = self.task_of_row, tuple(self.coefficients.shape)
        if len(shape) != 3 or rows.dim() != 1 or rows.dtype != torch.int64:
            raise ValueError(
                "expected coefficients [T, L, K] and a task of each row, int64 [B], "
                f"got {shape} and {rows.dtype} {list(rows.shape)}"
            )
        if not len(rows) or not shape[0]:
            raise ValueError(f"expected a row and a task, got {len(rows)} and {shape[0]}")
        if not rows.is_cpu:
            return
        first, last = int(rows.min()), int(rows.max())
        if first < 0 or last >= shape[0]:
            raise ValueError(f"expected tasks 0 to {shape[0] - 1}, got {first} to {last}")

    def check(self, inputs: Tensor, layers: Sequence[StatisticsLayer]) -> None:
        """Raise `ValueError` where `inputs` are not as many rows, or statistics are of others."""
        if len(inputs) != len(self.task_of_row):
            raise ValueError(f"expected {len(self.task_of_row)} rows, got {len(inputs)}")
        tasks = len(self.coefficients)
        expected = {name: (tasks, *size) for name, size in statistics_shapes(layers).items()}
        got = {name: tuple(values.shape) for name, values in self.statistics.items()}
        if got != expected:
            wrong = sorted(set(got.items()) ^ set(expected.items()))
            raise ValueError(f"expected statistics of {tasks} tasks, got others: {wrong}"[:500])

    def to(self, device: torch.device) -> "MixedBatch":
        """The same batch with its tensors on `device`."""
        if self.task_of_row.device == device:
            return self
        return MixedBatch(
            self.coefficients.to(device),
            self.task_of_row.to(device),
            moved_together(self.statistics, device),
        )

    def statistics_of_rows(self) -> dict[str, Tensor]:
        """Each row's statistics, `[B, channels]`, by name."""
        return {name: values[self.task_of_row] for name, values in self.statistics.items()}


@torch.no_grad()
def composed_by_task(
    backbone: nn.Module, compose_weights: ComposeWeights, batch: MixedBatch, inputs: Tensor
) -> Tensor:
    """Logits `[B, outputs]` for inputs `[B, *input_shape]`: each task composed, its rows together.

    Raises `ValueError` where rows or statistics do not fit.
    """
    batch.check(inputs, statistics_layers(backbone))
    parts, order = [], []
    for task in sorted(set(batch.task_of_row.tolist())):
        rows = (batch.task_of_row == task).nonzero().flatten()
        own = {name: values[task] for name, values in batch.statistics.items()}
        composed = {**compose_weights(batch.coefficients[task]), **own}
        parts.append(forward(backbone, composed, inputs[rows]))
        order.append(rows)
    logits = torch.cat(parts)
    return torch.empty_like(logits).index_copy_(0, torch.cat(order), logits)
