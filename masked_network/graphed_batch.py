"""Rows of any tasks on a GPU by recorded launches: one for each power of two of rows.

This project's own. It answers what it records.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from masked_network.gpu_graphs import GraphedRows, Prepare, Record
from masked_network.task_slots import Bring, TaskSlots


class RunRows(Protocol):
    """What `GpuBatch.under` is: logits of rows, by the tables that all tasks have."""

    def __call__(
        self, tables: Tensor, task_of_row: Tensor, statistics: Mapping[str, Tensor], inputs: Tensor
    ) -> Tensor:
        """Logits `[B, outputs]` for inputs `[B, *input_shape]`."""


class GraphedBatch:
    """Rows of tasks in slots, in main memory as their answers are; for one thread at a time."""

    def __init__(
        self,
        run: RunRows,
        slots: TaskSlots,
        prepare: Prepare,
        row_length: int,
        most_rows: int,
        device: torch.device,
        record: Record,
    ) -> None:
        """`prepare` makes a backbone's inputs of rows; a launch takes up to `most_rows`."""
        self._slots = slots

        def answered(rows: Tensor, slot_of_row: Tensor) -> Tensor:
            statistics = slots.statistics_of(slot_of_row)
            return run(slots.tables, slot_of_row, statistics, prepare(rows))

        self._graphed = GraphedRows(answered, row_length, most_rows, device, record)

    def __call__(
        self, keys: Sequence[str], bring: Bring, rows: Tensor, task_of_row: Tensor
    ) -> Tensor:
        """Logits `[B, outputs]` of rows `[B, row_length]`; of which of the tasks, int64 `[B]`.

        Raises `ValueError` on more tasks than there are slots.
        """
        slots = torch.tensor(self._slots.of(keys, bring))
        return self._graphed(rows, slots[task_of_row])
