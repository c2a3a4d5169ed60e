"""Tasks in a GPU's memory, a slot each: what a batch of any tasks has to bring is its rows alone.

Composes nothing. This project's own.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from masked_network.mask_bank import MaskBank
from masked_network.signed_codes import all_planes
from masked_network.task_statistics import (
    StatisticsLayer,
    joined_statistics,
    split_statistics,
)

Bring = Callable[[list[int]], tuple[Tensor, Mapping[str, Tensor]]]
"""Of the tasks at these places of a batch: coefficients `[T, L, K]`, fp32, and statistics by name,
`[T, channels]`."""


class TaskSlots:
    """Tables and statistics of as many tasks as fit; the least lately asked for make room.

    For one thread at a time.
    """

    def __init__(
        self,
        bank: MaskBank,
        layers: Sequence[StatisticsLayer],
        most_bytes: int,
        device: torch.device,
    ) -> None:
        """Raises `ValueError` where not even one task fits."""
        self._bank, self._layers, self._device = bank, layers, device
        nothing = torch.zeros(len(bank.codes), bank.size, device=device)
        shape = all_planes(bank, nothing).shape  # [L, planes, entries]
        channels = sum(layer.channels for layer in layers)
        task_bytes = 4 * (shape.numel() + 2 * channels)
        self.count = most_bytes // task_bytes
        if self.count < 1:
            raise ValueError(f"expected room for a task of {task_bytes} bytes, got {most_bytes}")
        self.tables = torch.zeros(self.count, *shape, device=device)
        """`[slots, L, planes, entries]`, fp32."""
        self._statistics = torch.zeros(self.count, 2, channels, device=device)
        self._slot_of: OrderedDict[str, int] = OrderedDict()

    def of(self, keys: Sequence[str], bring: Bring) -> list[int]:
        """The slots of distinct tasks; those without one get one and are brought.

        They are good until this is called again. Raises `ValueError` on more tasks than slots.
        """
        if len(keys) > self.count:
            raise ValueError(f"expected at most {self.count} tasks, got {len(keys)}")
        for key in keys:
            if key in self._slot_of:
                self._slot_of.move_to_end(key)
        missing = [place for place, key in enumerate(keys) if key not in self._slot_of]
        if missing:
            # Before any slot is given away: what cannot be brought must not seem to be there.
            coefficients, statistics = bring(missing)
            self._write([self._emptied(keys[place]) for place in missing], coefficients, statistics)
        return [self._slot_of[key] for key in keys]

    def statistics_of(self, slot_of_row: Tensor) -> dict[str, Tensor]:
        """Each row's statistics by name, `[B, channels]`; slots int64 `[B]`, on the device."""
        if not self._layers:
            return {}
        return split_statistics(self._statistics[slot_of_row], self._layers)

    def _emptied(self, key: str) -> int:
        taken = len(self._slot_of)
        slot = taken if taken < self.count else self._slot_of.popitem(last=False)[1]
        self._slot_of[key] = slot
        return slot

    def _write(
        self, slots: list[int], coefficients: Tensor, statistics: Mapping[str, Tensor]
    ) -> None:
        into = torch.tensor(slots, device=self._device)
        tables = all_planes(self._bank, coefficients.to(self._device))
        self.tables.index_copy_(0, into, tables)
        if self._layers:
            joined = joined_statistics(statistics, self._layers)
            self._statistics.index_copy_(0, into, joined.to(self._device))
