"""Rows of any tasks over a bank of one plane of codes: code, look-up and product in one pass.

No composed weight is ever stored, and which tasks the rows belong to costs nothing. This project's
own. A row's logits are those of its composed network but for the order of summing in fp32.
"""

import copy
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor, nn

from masked_network.basis_responses import BasisResponses
from masked_network.compiled import Kernels
from masked_network.composition import compose
from masked_network.fused_layers import FusedLinear
from masked_network.fused_residual import FusedResidual
from masked_network.lane_rows import LaneRows
from masked_network.mask_bank import MaskBank
from masked_network.mixed_batch import MixedBatch, composed_by_task
from masked_network.register_rows import MOST_ROWS, RegisterRows
from masked_network.residual import Residual
from masked_network.row_threads import RowThreads
from masked_network.signed_codes import one_plane_layers, summed_plane
from masked_network.task_statistics import statistics_layers

_MOST_RESPONSES, _MOST_ROWS_OF_EVERY = 32, 4096
"""Rows whose responses are kept at once, and tasks times rows in one go: bounds on memory."""


class FusedBatch:
    """The network laid out once for batches of any tasks; for one thread at a time.

    `kernels` are `compiled_kernels()`; where they are None each task is composed, and the answers
    are the same. With them a row's logits do not depend, to the bit, on what else is in its batch.
    As many threads as torch has when this is made share rows out. A residual network's are computed
    one by one; those of a fully connected one side by side: 4 take as long as one, and 16, where a
    vector has so many lanes, at most twice as long; few go through registers one by one, where
    these hold their tables: that is sooner. Raises `ValueError` as `one_plane_layers` does.
    """

    def __init__(
        self,
        backbone: nn.Module,
        weights: Mapping[str, Tensor],
        bank: MaskBank,
        kernels: Kernels | None,
    ) -> None:
        layers = {layer.name: layer for layer in one_plane_layers(weights, bank)}
        self._bank = bank
        self._statistics = statistics_layers(backbone)
        self._by_task = partial(
            composed_by_task, copy.deepcopy(backbone), partial(compose, weights, bank)
        )
        self._residual: FusedResidual | None = None
        self._chain: list[FusedLinear] = []
        self.few_rows: RegisterRows | None = None
        """Logits of at most `MOST_ROWS` rows, where registers hold tables; the same to the bit.

        By the coefficients that tasks keep: the bank's origin is added. Making a batch takes as
        long as computing a row."""
        self.kept_rows: LaneRows | None = None
        """The same of more rows, but not of so many that threads share them out."""
        self._basis: BasisResponses | None = None
        if kernels is None:
            return
        self._threads = RowThreads(torch.get_num_threads())
        if isinstance(backbone, Residual):
            self._residual = FusedResidual(backbone, layers, kernels, self._threads)
            return
        self._side_by_side = kernels.lanes
        self._chain = [
            FusedLinear(layers[f"{name}.weight"], kernels)
            for name, layer in backbone.named_children()
            if isinstance(layer, nn.Linear)
        ]
        with suppress(ValueError):
            self._basis = BasisResponses(next(iter(layers.values())))
        with suppress(ValueError):
            self.few_rows = RegisterRows(list(layers.values()), kernels, bank)
        with suppress(ValueError):
            most = sys.maxsize if self._threads.count == 1 else kernels.lanes
            self.kept_rows = LaneRows(self._chain, kernels, bank, most)

    @property
    def compiled(self) -> bool:
        """Whether the compiled library computes."""
        return self._residual is not None or bool(self._chain)

    @torch.no_grad()
    def __call__(self, batch: MixedBatch, inputs: Tensor) -> Tensor:
        """Logits `[B, outputs]`, fp32, for inputs `[B, *input_shape]`.

        Raises `ValueError` on coefficients, statistics, rows or types that do not fit.
        """
        _check_floats(batch.coefficients, inputs)
        if not self.compiled:
            return self._by_task(batch, inputs)
        tasks = batch.task_of_row.contiguous()
        few_rows = self.few_rows if self._bank.origin is None else None
        if few_rows is not None and len(inputs) <= MOST_ROWS:
            batch.check(inputs, ())
            rows = inputs.flatten(start_dim=1).contiguous()
            logits = few_rows(batch.coefficients.numpy(), tasks.numpy(), rows.numpy())
            if logits is not None:
                return torch.from_numpy(logits)
        batch.check(inputs, self._statistics)
        tables = summed_plane(self._bank, batch.coefficients).contiguous()  # [T, L, entries]
        if self._residual is not None:
            return self._residual(tables, batch.statistics, tasks, inputs)
        return self._by_chain(tables, tasks, inputs)

    @torch.no_grad()
    def every_task(self, coefficients: Tensor, inputs: Tensor) -> Tensor | None:
        """Logits `[T, n, outputs]` of the same rows by each task; None where `__call__` has to.

        What the first layer's codes make of the rows is computed once, which takes as long as a
        few dozen tasks do by `__call__`. Raises `ValueError` on coefficients, rows or types that do
        not fit.
        """
        if self._basis is None:
            return None
        _check_floats(coefficients, inputs)
        tables = summed_plane(self._bank, coefficients).contiguous()
        some_rows = torch.split(inputs.flatten(start_dim=1), _MOST_RESPONSES)
        return torch.cat([self._same_rows(self._basis, tables, some) for some in some_rows], dim=1)

    def _same_rows(self, basis: BasisResponses, tables: Tensor, inputs: Tensor) -> Tensor:
        rows, responses, parts = len(inputs), basis(inputs), []
        for some in torch.split(tables, _MOST_ROWS_OF_EVERY // rows):
            owners = torch.arange(len(some)).repeat_interleave(rows)
            hidden = basis.under(some, responses).relu_()
            for product in self._chain[1:-1]:
                hidden = product(some, owners, hidden).relu_()
            parts.append(self._chain[-1](some, owners, hidden))
        return torch.cat(parts).view(len(tables), rows, -1)

    def _by_chain(self, tables: Tensor, task_of_row: Tensor, inputs: Tensor) -> Tensor:
        def compute(_: int, rows: slice) -> Tensor:
            hidden, owners = inputs[rows].flatten(start_dim=1), task_of_row[rows]
            for product in self._chain[:-1]:
                hidden = product(tables, owners, hidden).relu_()
            return self._chain[-1](tables, owners, hidden)

        return torch.cat(self._threads.run(compute, len(inputs), self._side_by_side))


def _check_floats(*tensors: Tensor) -> None:
    for tensor in tensors:
        if tensor.dtype != torch.float32 or not tensor.is_cpu:
            expected = "expected fp32 in main memory"
            raise ValueError(f"{expected}, got {tensor.dtype} {tensor.device}")
