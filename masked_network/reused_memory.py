"""Large pieces of memory that are given out again as soon as nobody has a tensor of them.

Between small ones that stay, the heap's own large pieces leave holes that the next does not fit:
where weights are composed and let go of all the time, it grew for minutes. This project's own.
"""

from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

_MOST_FREE = 8


class ReusedMemory:
    """Pieces for so many numbers; up to eight that are free are kept. Any number of threads."""

    def __init__(self, numbers: int, dtype: torch.dtype) -> None:
        self._numbers, self._dtype = numbers, dtype
        self._free: deque[_Memory] = deque(maxlen=_MOST_FREE)

    def empty(self) -> Tensor:
        """A flat tensor of a piece, of any content: its own until it and all views are gone."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = _Memory(torch.empty(self._numbers, dtype=self._dtype))
        return torch.from_numpy(np.asarray(_Piece(memory, self._free))).view(self._dtype)


class _Memory:
    """A tensor, and what numpy is told of it."""

    __slots__ = ("interface", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.interface: dict[str, Any] = tensor.view(torch.uint8).numpy().__array_interface__


class _Piece:
    """What numpy keeps as long as there is a tensor; then its memory is free."""

    __slots__ = ("__array_interface__", "_free", "_memory")

    def __init__(self, memory: _Memory, free: deque[_Memory]) -> None:
        self._memory, self._free = memory, free
        self.__array_interface__ = memory.interface

    def __del__(self) -> None:
        self._free.append(self._memory)
