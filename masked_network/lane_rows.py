"""Rows of any tasks by what these keep, where it lies: read, and side by side through all layers.

One call of the compiled library: around a batch of dozens of rows, torch's operations take as long
as the sums, and push out of the caches what the next request needs.
"""

import ctypes
from collections.abc import Sequence

import numpy as np

from masked_network.compiled import Kernels, Numbers
from masked_network.fused_layers import FusedLinear
from masked_network.mask_bank import MaskBank
from masked_network.structures import Kept, LaneRoom, Layer

_AT_ONCE = 64
_MOST_TABLE_BYTES = 1 << 22


class LaneRows:
    """Linear layers, one after another with a ReLU between each two; for one thread at a time.

    A row's logits are to the bit those of the layers one by one. Raises `ValueError` where as many
    tasks as it takes rows in one go have more than four megabytes of tables.
    """

    def __init__(
        self, chain: Sequence[FusedLinear], kernels: Kernels, bank: MaskBank, most_rows: int
    ) -> None:
        self.most_rows = most_rows
        """Beyond so many they are better shared out among threads."""
        room = min(most_rows, _AT_ONCE)
        segments, of_one = len(bank.codes), bank.size if bank.disjoint else 1 << bank.size
        table_bytes = room * segments * of_one * np.dtype(np.float32).itemsize
        if table_bytes > _MOST_TABLE_BYTES:
            expected = f"at most {_MOST_TABLE_BYTES} bytes of tables"
            raise ValueError(f"expected {expected}, got {table_bytes}")
        self._kernels, self._chain = kernels, chain
        self._layers = (Layer * len(chain))(*(linear.layer for linear in chain))
        self._first = (ctypes.c_int64 * len(chain))(
            *(linear.signed.segments.start * of_one for linear in chain)
        )
        self._kept_entries = segments * bank.size
        shapes = [linear.signed.shape for linear in chain]
        widest = room * max(outputs for outputs, _ in shapes)
        self.inputs = np.zeros((room, shapes[0][1]), np.float32)
        """Where `of_kept` reads its rows."""
        self._outputs = np.empty((room, shapes[-1][0]), np.float32)
        origin = bank.origin
        self._origin = None if origin is None else np.ascontiguousarray(origin.numpy())
        self._coefficients = np.empty(self._kept_entries, np.float32)
        self._tables = np.empty((room, segments * of_one), np.float32)
        self._task_of_row = np.empty(room, np.int64)
        self._hidden = np.empty((2, widest), np.float32)
        self._scratch = np.empty(max(linear.scratch_size for linear in chain), np.float32)
        self._room = LaneRoom(
            inputs=self.inputs.ctypes.data,
            outputs=self._outputs.ctypes.data,
            origin=None if self._origin is None else self._origin.ctypes.data,
            coefficients=self._coefficients.ctypes.data,
            tables=self._tables.ctypes.data,
            task_of_row=self._task_of_row.ctypes.data,
            hidden=self._hidden.ctypes.data,
            scratch=self._scratch.ctypes.data,
            table_stride=segments * of_one,
            hidden_stride=widest,
            segments=segments,
            overlapping=0 if bank.disjoint else bank.size,
        )
        self._values, self._scales = (
            (ctypes.c_void_p * room)(),
            (ctypes.c_void_p * room)(),
        )

    def of_kept(
        self, kept: Kept, values: Sequence[int], scales: Sequence[int] | None
    ) -> Numbers | None:
        """Logits of as many of `inputs` as there are values.

        Of each row's task the address of what it keeps, as `kept` says, and of its scales where
        there are some; rows of one task come one after another. None where a task has bits beyond
        its last coefficient. Raises `ValueError` on more rows than `inputs` has, or where that is
        not of these layers.
        """
        rows, room = len(values), len(self.inputs)
        if rows > room or kept.entries != self._kept_entries:
            expected = f"at most {room} rows of {self._kept_entries} coefficients"
            raise ValueError(f"expected {expected}, got {rows} of {kept.entries}")
        for row, address in enumerate(values):
            self._values[row] = address
        for row, address in enumerate(scales or ()):
            self._scales[row] = address
        done = self._kernels.kept_lanes(
            self._layers, self._first, kept, self._values, self._scales, rows, self._room
        )
        return self._outputs[:rows].copy() if done else None
