"""Layers in segments of output channels: a bank over them, and what a task composes of it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from masked_network.backbones import MaskedLayer
from masked_network.channel_groups import channel_segments, joined_segments, layer_segments
from masked_network.composition import compose
from masked_network.frozen_weights import signed_constant_weights
from masked_network.mask_bank import MaskBank, bank_of_masks, partition_bank, random_bank
from masked_network.task_inference import Candidates, superpose

LAYERS = (MaskedLayer("one", (7, 11)), MaskedLayer("two", (6, 3, 3, 3)), MaskedLayer("c", (2, 5)))
WEIGHTS = {
    name: weight.double() for name, weight in signed_constant_weights(LAYERS, seed=1).items()
}
KINDS = ["partition", "random", "heterogeneous"]
K = 5


def bank_over(kind: str, segments: tuple[MaskedLayer, ...]) -> MaskBank:
    if kind == "partition":
        return partition_bank(segments, K, 1)
    if kind == "random":
        return random_bank(segments, K, 0.3, 1)
    generator = torch.Generator().manual_seed(1)
    masks = [torch.rand(K, one.size, generator=generator) < 0.3 for one in segments]
    return bank_of_masks("heterogeneous", masks, 0.3)


def coefficients_of(segments: tuple[MaskedLayer, ...], seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(segments), K, generator=generator, dtype=torch.float64)


def test_one_group_is_the_layers_themselves() -> None:
    assert channel_segments(LAYERS, 1) == LAYERS


@given(st.integers(1, 40), st.integers(2, 50))
def test_segments_share_the_channels_evenly_and_in_order(channels: int, groups: int) -> None:
    layer = MaskedLayer("one", (channels, 3, 2))
    segments = layer_segments(layer, groups)
    assert len(segments) == min(groups, channels)
    lengths = [segment.shape[0] for segment in segments]
    assert sum(lengths) == channels
    assert max(lengths) - min(lengths) <= 1
    assert {segment.shape[1:] for segment in segments} == {(3, 2)}
    assert len({segment.name for segment in segments}) == len(segments)


@given(st.integers(1, 9))
def test_what_is_cut_is_joined_again(groups: int) -> None:
    segments = channel_segments(LAYERS, groups)
    flat = torch.cat([weight.flatten() for weight in WEIGHTS.values()])
    parts = torch.split(flat, [segment.size for segment in segments])
    joined = joined_segments(parts, WEIGHTS)
    assert list(joined) == list(WEIGHTS)
    assert all(torch.equal(joined[name], weight) for name, weight in WEIGHTS.items())


def test_segments_of_other_layers_are_refused_in_words() -> None:
    parts = [torch.zeros(size) for size in (77, 162, 4, 6)]
    joined_segments(parts, WEIGHTS)
    with pytest.raises(ValueError, match="two: expected segments of 162 weights, got 239"):
        joined_segments([parts[0], torch.zeros(239)], WEIGHTS)
    with pytest.raises(ValueError, match="c: expected segments of 10 weights, got 4"):
        joined_segments(parts[:3], WEIGHTS)
    with pytest.raises(ValueError, match="expected 4 segments, got 5"):
        joined_segments([*parts, torch.zeros(1)], WEIGHTS)
    with pytest.raises(ValueError, match="at least 1 channel group, got 0"):
        channel_segments(LAYERS, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_each_group_of_channels_is_composed_by_its_own_coefficients(kind: str) -> None:
    segments = channel_segments(LAYERS, 3)
    bank, coefficients = bank_over(kind, segments), coefficients_of(segments)
    composed = compose(WEIGHTS, bank, coefficients)
    row = 0
    for layer in LAYERS:
        first = 0
        for segment in layer_segments(layer, 3):
            masks = torch.stack([bank.mask(row, k) for k in range(K)]).double()
            end = first + segment.shape[0]
            expected = WEIGHTS[layer.name][first:end] * (coefficients[row] @ masks).view(
                segment.shape
            )
            torch.testing.assert_close(composed[layer.name][first:end], expected)
            row, first = row + 1, end
    assert row == len(segments) == 3 + 3 + 2


@pytest.mark.parametrize("kind", KINDS)
def test_superposition_over_groups_is_the_sum_of_the_tasks(kind: str) -> None:
    segments = channel_segments(LAYERS, 3)
    bank = bank_over(kind, segments)
    tasks = [coefficients_of(segments, seed) for seed in (3, 4)]
    belief = torch.tensor([0.25, 0.75], dtype=torch.float64)
    superposed = superpose(WEIGHTS, bank, Candidates(torch.stack(tasks)), belief)
    alone = [compose(WEIGHTS, bank, task) for task in tasks]
    for name, weight in superposed.items():
        torch.testing.assert_close(weight, 0.25 * alone[0][name] + 0.75 * alone[1][name])


def test_groups_alike_compose_as_one_over_the_same_masks() -> None:
    segments = channel_segments(LAYERS, 3)
    bank = bank_over("random", segments)
    whole = replace(
        bank, codes=tuple(torch.cat(bank.codes[at:to], 1) for at, to in ((0, 3), (3, 6), (6, 8)))
    )
    each = coefficients_of(LAYERS)
    spread = each.repeat_interleave(torch.tensor([3, 3, 2]), dim=0)
    expected = compose(WEIGHTS, whole, each)
    for name, weight in compose(WEIGHTS, bank, spread).items():
        assert torch.equal(weight, expected[name])
