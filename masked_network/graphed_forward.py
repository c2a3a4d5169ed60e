"""One task's rows on a GPU by recorded launches: one for each power of two of rows.

A launch reads weights where they were when it was recorded, so a task's are copied there: within
a GPU's memory that takes less than launching a few layers.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from masked_network.backbones import forward
from masked_network.gpu_graphs import GraphedRows, Prepare, Record


class GraphedForward:
    """Rows under weights on the device, in main memory as answers are; for one thread at a time."""

    def __init__(
        self,
        backbone: nn.Module,
        composed_shapes: Mapping[str, tuple[int, ...]],
        prepare: Prepare,
        row_length: int,
        most_rows: int,
        device: torch.device,
        record: Record,
    ) -> None:
        """`prepare` makes a backbone's inputs of rows; a launch takes up to `most_rows`."""
        backbone = copy.deepcopy(backbone)
        self._weights = {
            name: torch.zeros(shape, device=device) for name, shape in composed_shapes.items()
        }
        self._copied: Mapping[str, Tensor] | None = None
        self._graphed = GraphedRows(
            lambda rows, _: forward(backbone, self._weights, prepare(rows)),
            row_length,
            most_rows,
            device,
            record,
        )

    @torch.no_grad()
    def __call__(self, weights: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """Logits `[B, outputs]` for rows `[B, row_length]`, under weights in fp32."""
        if weights is not self._copied:
            self._copied = None
            into = list(self._weights.values())
            torch._foreach_copy_(into, [weights[name] for name in self._weights])
            # Held, so that no others can come to be where they are.
            self._copied = weights
        return self._graphed(rows, _NOTHING.expand(len(rows)))


_NOTHING = torch.zeros(1, dtype=torch.int64)
