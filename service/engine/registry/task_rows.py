"""The rows of one layout: a column a tensor, in blocks that are allocated once.

Rows that no more are written to can be sealed: then they are one block, which processes of this
machine may have in common.
"""

from collections import deque
from hashlib import sha256
from math import prod
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.artifact_layout import ArtifactLayout, LaidOut
from service.engine.registry.shared_arrays import SharedArrays

_HASH_BYTES = 32
_LARGEST_BLOCK_BITS = 12
_MAPPED_BYTES = 1 << 16


class Block:
    """So many rows."""

    __slots__ = ("_begins", "artifact_bytes", "columns", "hashes")

    def __init__(self, layout: ArtifactLayout, rows: int) -> None:
        self.columns: list[NDArray[Any]] = [
            _empty((rows, *place.shape), place.dtype) for place in layout.tensors
        ]
        self.hashes = np.empty((rows, _HASH_BYTES), np.uint8)
        self.artifact_bytes = np.empty(rows, np.uint32)
        self._begins: list[tuple[int, int]] = []

    def address(self, column: int, row: int) -> int:
        """Where in memory that row of a column lies, for as long as the block is kept."""
        if not self._begins:
            self._begins = [(one.ctypes.data, one.strides[0]) for one in self.columns]
        begin, row_bytes = self._begins[column]
        return begin + row * row_bytes

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """All, in an order of their own."""
        return [*self.columns, self.hashes, self.artifact_bytes]


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = prod(shape) * dtype.itemsize
    if size < _MAPPED_BYTES:
        return np.empty(shape, dtype)
    # The heap would keep what is let go of when it is sealed.
    pages = mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype, prod(shape)).reshape(shape)


class TaskRows:
    """The rows of one layout, in blocks of 1, 1, 2, 4 and so on to 4,096, then of as many."""

    __slots__ = ("__weakref__", "blocks", "free", "layout", "sealed", "taken")

    def __init__(self, layout: ArtifactLayout) -> None:
        self.layout = layout
        self.blocks: list[Block] = []
        self.sealed: Block | None = None
        """All rows in one, from when on none is written any more."""
        self.taken = 0
        # Appended to by whichever thread lets go of a task last.
        self.free: deque[int] = deque()

    def place(self, row: int) -> tuple[Block, int]:
        """The row's block, and which of its rows it is."""
        if self.sealed is not None:
            return self.sealed, row
        if row >> _LARGEST_BLOCK_BITS:
            block, within = divmod(row, 1 << _LARGEST_BLOCK_BITS)
            return self.blocks[block + _LARGEST_BLOCK_BITS], within
        bits = row.bit_length()
        return self.blocks[bits], row - (1 << bits >> 1)

    def write(self, laid_out: LaidOut) -> int:
        """A row that was free, with the artifact's tensors."""
        try:
            row = self.free.popleft()
        except IndexError:
            row = self._new_row()
        block, within = self.place(row)
        for column, tensor in zip(block.columns, self.layout.tensors, strict=True):
            column[within] = laid_out.tensor(tensor)
        block.hashes[within] = np.frombuffer(laid_out.content_hash, np.uint8)
        block.artifact_bytes[within] = len(laid_out.content)
        return row

    def may_end(self, content_hash: bytes, mean_bytes: int) -> bool:
        """Whether a block should end with the task of that hash, which was written last.

        As hashes decide, a task more or less somewhere changes one block, and not all after it.
        """
        rows = max(4, mean_bytes // max(1, self.layout.tensor_bytes))
        by_chance = int.from_bytes(content_hash[:4]) % rows == 0
        return self.taken >= 4 * rows or (by_chance and self.taken >= rows // 4)

    def seal(self, shared: SharedArrays) -> bool:
        """Put all rows where other processes have them too; whether that could be done.

        If so nothing may be written any more.
        """
        if self.taken * self.layout.tensor_bytes < shared.mean_bytes // 8:
            return False
        *full, last = self.blocks
        written = self.taken - sum(len(block.hashes) for block in full)
        blocks = [*(block.arrays for block in full), [one[:written] for one in last.arrays]]
        *columns, hashes, artifact_bytes = zip(*blocks, strict=True)
        named = sha256(repr(self.layout).encode())
        for part in hashes:
            named.update(part)
        found = shared.put(named.hexdigest(), [*columns, hashes, artifact_bytes])
        if found is None:
            return False
        sealed = Block(self.layout, 0)
        *sealed.columns, sealed.hashes, sealed.artifact_bytes = found
        self.sealed = sealed
        self.blocks = []
        return True

    def _new_row(self) -> int:
        row = self.taken
        if row & (row - 1) == 0 or row & ((1 << _LARGEST_BLOCK_BITS) - 1) == 0:
            self.blocks.append(Block(self.layout, min(max(row, 1), 1 << _LARGEST_BLOCK_BITS)))
        self.taken += 1
        return row
