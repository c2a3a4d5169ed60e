"""One layer's codes in the forms that make learning fast in main memory; changes no result.

Looking up, two planes are one of 16 bits. Summing a gradient over each code, the weights of a code
lie side by side: adding them up where they are would wait, at every weight of the most frequent
code, for the addition before it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

_PAIRED_FROM = 1 << 14
_SORTED_SHARE = 0.5


@dataclass(frozen=True)
class CodeRuns:
    """The weights that some mask of a plane keeps, by plane and code.

    `order` `[n]`, int32, are the weights; `starts` `[runs]` is where in it each code's run begins,
    and `entries` `[runs]` is that code's place in the flattened tables.
    """

    order: Tensor
    starts: NDArray[np.int64]
    entries: Tensor

    def sums(self, values: Tensor, shape: torch.Size) -> Tensor:
        """The sum of `values` `[P_l]` over each code, in the tables' shape; 0 for code 0."""
        sums = values.new_zeros(shape)
        if len(self.starts):
            ordered = values.index_select(0, self.order).numpy()  # [n]
            sums.view(-1)[self.entries] = torch.from_numpy(np.add.reduceat(ordered, self.starts))
        return sums


@dataclass(frozen=True)
class LearningCodes:
    """What `learning_codes` makes; at most as much memory as the codes. None: not worth it.

    `paired` is `[ceil(planes / 2), P_l]`, int32, for tables by `paired_tables`.
    """

    paired: Tensor | None = None
    runs: CodeRuns | None = None


def learning_codes(codes: Tensor, entries: int) -> LearningCodes:
    """The forms of codes `[planes, P_l]`, int32, each below `entries`, which is at most 256.

    Code 0 is taken to be worth 0, as it is where a table holds subset sums. Planes are paired where
    the layer is worth the larger table, and sorted where most codes are 0.
    """
    planes, size = codes.shape
    paired = planes > 1 and size >= _PAIRED_FROM
    sparse = int(codes.count_nonzero()) <= _SORTED_SHARE * codes.numel()
    return LearningCodes(
        paired_codes(codes, entries) if paired else None,
        _code_runs(codes, entries) if sparse else None,
    )


def _code_runs(codes: Tensor, entries: int) -> CodeRuns:
    orders, starts, found, total = [], [], [], 0
    for plane, row in enumerate(codes.numpy().astype(np.uint8)):
        order = np.argsort(row, kind="stable")[np.count_nonzero(row == 0) :].astype(np.int32)
        present, first = np.unique(row[order], return_index=True)
        orders.append(order)
        starts.append(first + total)
        found.append(present + np.int64(plane * entries))
        total += len(order)
    return CodeRuns(
        torch.from_numpy(np.concatenate(orders)),
        np.concatenate(starts),
        torch.from_numpy(np.concatenate(found)),
    )


def paired_codes(codes: Tensor, entries: int) -> Tensor:
    """Codes `[planes, P_l]` two planes a row, `[ceil(planes / 2), P_l]`, for `paired_tables`."""
    even = pad(codes, (0, 0, 0, len(codes) % 2))
    return even[0::2] + entries * even[1::2]


def paired_tables(tables: Tensor) -> Tensor:
    """Tables `[planes, entries]` two planes a row, `[ceil(planes / 2), entries ** 2]`."""
    even = pad(tables, (0, 0, 0, len(tables) % 2))
    return (even[1::2].unsqueeze(-1) + even[0::2].unsqueeze(-2)).flatten(-2)
