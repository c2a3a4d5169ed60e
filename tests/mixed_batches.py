"""Networks of odd sizes over banks of every kind, and batches of their tasks, for hypothesis."""

from dataclasses import dataclass
from functools import partial

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from masked_network.backbones import masked_layers
from masked_network.channel_groups import channel_segments
from masked_network.composition import compose
from masked_network.frozen_weights import signed_constant_weights
from masked_network.fully_connected import FullyConnected
from masked_network.mask_bank import MaskBank, bank_of_masks, partition_bank, random_bank
from masked_network.mixed_batch import MixedBatch, composed_by_task
from masked_network.ranked_bank import ranked_bank
from masked_network.residual import Residual
from masked_network.task_statistics import statistics_layers

TOLERANCE = 1e-5
"""Of the largest logit, or of 1: what summing in another order may change in fp32."""


@dataclass(frozen=True)
class Network:
    backbone: nn.Module
    input_shape: tuple[int, ...]
    weights: dict[str, Tensor]
    bank: MaskBank

    def batch(self, tasks: int, task_of_row: list[int], seed: int = 0) -> tuple[MixedBatch, Tensor]:
        """Random tasks, and a random input for each row."""
        generator = torch.Generator().manual_seed(seed)
        size = (tasks, len(self.bank.codes), self.bank.size)
        coefficients = torch.randn(size, generator=generator) / self.scale
        statistics = {}
        for layer in statistics_layers(self.backbone):
            means = torch.randn(tasks, layer.channels, generator=generator)
            statistics[layer.mean] = means / 4
            statistics[layer.variance] = torch.rand(means.shape, generator=generator) + 0.5
        inputs = torch.randn(len(task_of_row), *self.input_shape, generator=generator)
        if self.bank.origin is not None:
            coefficients = coefficients + self.bank.origin
        return MixedBatch(coefficients, torch.tensor(task_of_row), statistics), inputs

    @property
    def scale(self) -> float:
        return 1.0 if self.bank.disjoint else self.bank.size**0.5

    def composed(self, batch: MixedBatch, inputs: Tensor) -> Tensor:
        """What every path is held against."""
        compose_weights = partial(compose, self.weights, self.bank)
        return composed_by_task(self.backbone, compose_weights, batch, inputs)


def bank_over(
    backbone: nn.Module, kind: str, size: int, groups: int = 1
) -> tuple[dict[str, Tensor], MaskBank]:
    layers = masked_layers(backbone)
    weights = signed_constant_weights(layers, 1)
    segments = channel_segments(layers, groups)
    if kind == "partition":
        return weights, partition_bank(segments, size, 2)
    if kind == "root":
        return weights, partition_bank(segments, size, 2, "root")
    if kind == "random":
        return weights, random_bank(segments, size, 0.3, 2)
    generator = torch.Generator().manual_seed(size)
    if kind == "ranked":
        learned = {s.name: torch.randn(s.shape, generator=generator) for s in segments[1:]}
        return weights, ranked_bank(segments, size, 2, "even", learned)
    masks = [torch.rand(size, s.size, generator=generator) < 0.3 for s in segments]
    return weights, bank_of_masks("atoms", masks, 0.3)


def network_of(
    backbone: nn.Module, input_shape: tuple[int, ...], kind: str, size: int, groups: int = 1
) -> Network:
    return Network(backbone.eval(), input_shape, *bank_over(backbone, kind, size, groups))


@st.composite
def backbones(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    shape: tuple[int, ...]
    with torch.device("meta"):
        if draw(st.booleans()):
            shape = (draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
            hidden = (draw(st.integers(1, 37)), draw(st.integers(1, 21)))
            return FullyConnected(shape, draw(st.integers(1, 13)), hidden), shape
        shape = (draw(st.integers(1, 3)), draw(st.integers(3, 9)), draw(st.integers(3, 9)))
        widths = (draw(st.integers(1, 7)), draw(st.integers(1, 11)))
        large, expansion = draw(st.booleans()), draw(st.sampled_from([1, 2]))
        outputs = draw(st.integers(1, 12))
        return Residual(shape, outputs, widths, (1, 1), expansion, large), shape


@st.composite
def task_mixes(draw: st.DrawFn) -> tuple[int, list[int]]:
    """How many tasks there are, and whose each row is: one row, one task, all different, any."""
    rows = draw(st.sampled_from([1, 2, 4, 5, 8, 9, 16, 17, 33]))
    mix = draw(st.sampled_from(["same", "different", "any"]))
    if mix == "different":
        return rows, list(range(rows))
    tasks = draw(st.integers(1, 5))
    of_row = [tasks - 1] * rows
    if mix == "any":
        of_row = draw(st.lists(st.integers(0, tasks - 1), min_size=rows, max_size=rows))
    return tasks, of_row


def assert_same_logits(got: Tensor, expected: Tensor) -> None:
    assert got.shape == expected.shape
    assert got.dtype == torch.float32
    allowed = TOLERANCE * (1 + float(expected.abs().max()))
    assert float((got - expected).abs().max()) <= allowed
