"""What a GPU does again and again to tensors of the same shapes, as one launch of a CUDA graph.

A GPU is done with a small network's layers before Python has launched them all one by one.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_WARM = 2


class Recorded(NamedTuple):
    """What does it all again, and where it then has written what came of it."""

    again: Callable[[], object]
    output: Tensor


Record = Callable[[Callable[[], Tensor]], Recorded]
"""Records what a function does to tensors that stay where they are."""


def graph_recorder(device: torch.device) -> Record:
    """What records a CUDA graph, for one thread at a time; graphs of one recorder share memory.

    So what one has written is gone once another runs.
    """
    pool = torch.cuda.graph_pool_handle()

    def record(run: Callable[[], Tensor]) -> Recorded:
        # Kernels are compiled and workspaces are made by the first runs, which no graph may hold.
        aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # as above
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM):
                run()
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # What other threads do meanwhile is none of the graph's business.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            output = run()
        return Recorded(graph.replay, output)

    return record


Prepare = Callable[[Tensor], Tensor]
"""A backbone's inputs `[B, *input_shape]` of rows `[B, row_length]`."""


class GraphedRows:
    """A function of rows `[B, row_length]` and a number for each, int64 `[B]`, row by row.

    Of rows in main memory it gives what is there too: one copy, one launch, one answer for up to
    `most_rows` of them. It is recorded for each power of two; rows that fill one up are whatever
    was there before. For one thread at a time.
    """

    def __init__(
        self,
        run: Callable[[Tensor, Tensor], Tensor],
        row_length: int,
        most_rows: int,
        device: torch.device,
        record: Record,
    ) -> None:
        # What was recorded reads the tensors that the function has, wherever it has them.
        self._run = run
        with torch.no_grad():
            # The largest first: what that takes is enough for the others.
            self._launches = {
                rows: _Launch(run, rows, row_length, device, record)
                for rows in reversed(_powers_of_two(most_rows))
            }
        self._most_rows = max(self._launches)

    @torch.no_grad()
    def __call__(self, rows: Tensor, numbers: Tensor) -> Tensor:
        """What the function gives of them, in their order."""
        parts = [
            self._launches[1 << (len(some) - 1).bit_length()](some, own)
            for some, own in zip(
                torch.split(rows, self._most_rows),
                torch.split(numbers, self._most_rows),
                strict=True,
            )
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class _Launch:
    """So many rows and their numbers, side by side in one block here and in one there."""

    def __init__(
        self,
        run: Callable[[Tensor, Tensor], Tensor],
        rows: int,
        row_length: int,
        device: torch.device,
        record: Record,
    ) -> None:
        numbers_bytes = 8 * rows
        length = numbers_bytes + 4 * rows * row_length
        self._here = torch.zeros(length, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._there = torch.zeros(length, dtype=torch.uint8, device=device)

        def parts(block: Tensor) -> tuple[Tensor, Tensor]:
            own = block[numbers_bytes:].view(torch.float32).view(rows, row_length)
            return own, block[:numbers_bytes].view(torch.int64)

        self._rows, self._numbers = parts(self._here)
        rows_there, numbers_there = parts(self._there)
        self._recorded = record(lambda: run(rows_there, numbers_there))

    def __call__(self, rows: Tensor, numbers: Tensor) -> Tensor:
        count = len(rows)
        self._rows[:count] = rows
        self._numbers[:count] = numbers
        self._there.copy_(self._here, non_blocking=True)
        self._recorded.again()
        # Waits for it all, so what was brought may be written over when this returns.
        return self._recorded.output[:count].to("cpu", copy=True)


def _powers_of_two(most: int) -> list[int]:
    return [1 << power for power in range((most - 1).bit_length() + 1)]
