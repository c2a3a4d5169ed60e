"""The ways to compute rows of one task and of many, and to compose; and random tasks for them."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from masked_network.backbones import forward
from masked_network.compiled import compiled_kernels
from masked_network.composition import compose
from masked_network.dense_rows import DenseRows
from masked_network.fully_connected import FullyConnected
from masked_network.fused_batch import FusedBatch
from masked_network.mask_bank import MaskBank
from masked_network.mixed_batch import MixedBatch, composed_by_task
from masked_network.one_pass_composition import COMPOSED_DTYPES, OnePassComposition
from masked_network.quantisation import Bits, from_levels, level_scales, to_levels
from masked_network.task_statistics import statistics_layers

ROWS = 64
ONE_RESIDENT = "1 row, its task's weights at hand"
RESIDENT = "64 rows of one task, its weights at hand"
FUSED = "64 rows of 64 tasks, fused"
COPY = "copying composed weights"
COMPOSE = "composing in one pass"

Ways = dict[str, tuple[Callable[[], object], int]]
"""What is measured, and of how many rows."""


def kept_coefficients(bank: MaskBank, bits: Bits | None) -> Tensor:
    """Of 64 random tasks `[64, L, K]`, rounded as they would be kept."""
    tasks = []
    for _ in range(ROWS):
        coefficients = torch.randn(bank.used.shape)
        if bits is None:
            tasks.append(coefficients.half().float())
            continue
        scales = level_scales(coefficients, bank.used, bits)
        tasks.append(from_levels(to_levels(coefficients, scales, bits), scales, bits))
    return torch.stack(tasks)


def mixed_batch(backbone: nn.Module, bank: MaskBank, kept: Tensor) -> MixedBatch:
    """A row of each of 64 tasks."""
    own = {}
    for layer in statistics_layers(backbone):
        own[layer.mean] = torch.randn(ROWS, layer.channels) / 4
        own[layer.variance] = torch.rand(ROWS, layer.channels) + 0.5
    whole = kept if bank.origin is None else kept + bank.origin
    return MixedBatch(whole, torch.arange(ROWS), own)


def dense_ways(
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    bank: MaskBank,
    batch: MixedBatch,
    inputs: Tensor,
) -> Ways:
    """The product alone, on weights that were composed before; and copying those."""
    resident = []
    for task, coefficients in enumerate(batch.coefficients):
        own = {name: values[task] for name, values in batch.statistics.items()}
        resident.append(compose(weights, bank, coefficients) | own)

    def each() -> None:
        for row, composed in enumerate(resident):
            forward(backbone, composed, inputs[row : row + 1])

    alone: Callable[[], object] = partial(forward, backbone, resident[0], inputs[:1])
    if (kernels := compiled_kernels()) is not None and isinstance(backbone, FullyConnected):
        row = inputs[:1].flatten(start_dim=1).numpy()
        alone = partial(DenseRows(backbone, kernels), resident[0], row)
    return {
        ONE_RESIDENT: (alone, 1),
        RESIDENT: (partial(forward, backbone, resident[0], inputs), ROWS),
        "64 rows of 64 tasks, all their weights at hand": (each, ROWS),
        **{f"{COPY}, {name}": (copying(weights, of), 1) for name, of in COMPOSED_DTYPES.items()},
    }


def copying(weights: Mapping[str, Tensor], dtype: torch.dtype) -> Callable[[], object]:
    """Copies as many weights of that type."""
    narrowed = [weight.to(dtype) for weight in weights.values()]
    return lambda: [weight.clone() for weight in narrowed]


def one_plane_ways(
    name: str,
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    bank: MaskBank,
    batch: MixedBatch,
    inputs: Tensor,
) -> Ways:
    """Composing first, by the kernels and by torch."""
    kernels = compiled_kernels()
    by_torch = partial(compose, weights, bank)
    ways: Ways = {}
    if kernels is not None:
        one_pass = OnePassComposition(weights, bank, kernels)
        ways = {
            f"64 rows of 64 tasks, each composed in one pass, {name}": (
                partial(composed_by_task, backbone, one_pass, batch, inputs),
                ROWS,
            ),
        }
        for composed in COMPOSED_DTYPES:
            way = partial(one_pass, batch.coefficients[0], composed)
            ways[f"{COMPOSE} to {composed}, {name}"] = way, 1
    ways[f"64 rows of 64 tasks, each composed by torch, {name}"] = (
        partial(composed_by_task, backbone, by_torch, batch, inputs),
        ROWS,
    )
    ways[f"composing by torch, {name}"] = (partial(by_torch, batch.coefficients[0]), 1)
    return ways


def fused_ways(
    name: str,
    backbone: nn.Module,
    weights: Mapping[str, Tensor],
    bank: MaskBank,
    kept: Tensor,
    inputs: Tensor,
) -> Ways:
    """Without composed weights, where kernels can; a row by itself as the service computes it."""
    kernels = compiled_kernels()
    if kernels is None:
        return {}
    try:
        fused = FusedBatch(backbone, weights, bank, kernels)
    except ValueError:  # masks that overlap, and too many of them
        return {}
    batch = mixed_batch(backbone, bank, kept)
    one = MixedBatch(
        batch.coefficients[:1],
        torch.zeros(1, dtype=torch.int64),
        {statistic: values[:1] for statistic, values in batch.statistics.items()},
    )
    alone: Callable[[], object] = partial(fused, one, inputs[:1])
    if fused.few_rows is not None:
        row = inputs[:1].flatten(start_dim=1).numpy()
        alone = partial(fused.few_rows, kept[:1].numpy(), np.zeros(1, np.int64), row)
    return {
        f"1 row, fused, {name}": (alone, 1),
        f"{FUSED}, {name}": (partial(fused, batch, inputs), ROWS),
    }
