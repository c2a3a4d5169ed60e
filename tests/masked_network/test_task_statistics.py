import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from masked_network.backbones import build_backbone, forward, masked_layers
from masked_network.frozen_weights import signed_constant_weights
from masked_network.task_statistics import (
    BatchNormalised,
    estimated_statistics,
    joined_statistics,
    pooled_statistics,
    split_statistics,
    statistics_layers,
    statistics_shapes,
)

BACKBONE = build_backbone("resnet-18-small", (1, 8, 8), 5)
WEIGHTS = signed_constant_weights(masked_layers(BACKBONE), 1)
MEAN, VARIANCE = "n.running_mean", "n.running_var"


def inputs_of(rows: int, seed: int = 1) -> Tensor:
    return torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_each_normalisation_has_a_mean_and_a_variance_under_its_name() -> None:
    shapes = statistics_shapes(statistics_layers(BACKBONE))
    assert len(shapes) == 40
    assert list(shapes)[:2] == ["stem_norm.running_mean", "stem_norm.running_var"]
    assert shapes["stages.3.0.shortcut_norm.running_var"] == (160,)


def test_network_without_normalisation_has_no_statistics() -> None:
    lenet = build_backbone("lenet-300-100", (1, 8, 8), 5)
    weights = signed_constant_weights(masked_layers(lenet), 1)
    assert statistics_layers(lenet) == ()
    assert estimated_statistics(lenet, weights, inputs_of(1)) == {}
    logits, batch = BatchNormalised(lenet)(weights, inputs_of(3))
    assert not batch
    assert torch.equal(logits, forward(lenet, weights, inputs_of(3)))


def test_statistics_joined_and_split_again_are_the_same() -> None:
    layers = statistics_layers(BACKBONE)
    _, batch = BatchNormalised(BACKBONE)(WEIGHTS, inputs_of(3))
    joined = joined_statistics(batch, layers)
    assert joined.shape == (2, 1500)
    again = split_statistics(joined, layers)
    assert list(again) == list(batch)
    assert all(torch.equal(again[name], values) for name, values in batch.items())


def test_batch_statistics_are_those_of_what_each_layer_receives() -> None:
    inputs = inputs_of(6)
    _, batch = BatchNormalised(BACKBONE)(WEIGHTS, inputs)
    received = torch.nn.functional.conv2d(inputs, WEIGHTS["stem.weight"], padding=1)
    by_channel = received.transpose(0, 1).flatten(start_dim=1)  # [channels, B * H * W]
    torch.testing.assert_close(batch["stem_norm.running_mean"], by_channel.mean(dim=1))
    torch.testing.assert_close(batch["stem_norm.running_var"], by_channel.var(dim=1))


def test_learning_leaves_the_backbone_as_it_was() -> None:
    normalised = BatchNormalised(BACKBONE)
    first = normalised(WEIGHTS, inputs_of(6))
    again = normalised(WEIGHTS, inputs_of(6))
    assert torch.equal(first[0], again[0])
    assert all(torch.equal(first[1][name], again[1][name]) for name in first[1])
    assert not BACKBONE.training
    assert {buffer.device.type for buffer in BACKBONE.buffers()} == {"meta"}


def test_gradients_go_through_the_batch_statistics_but_none_stay_on_them() -> None:
    leaves = {name: weight.clone().requires_grad_() for name, weight in WEIGHTS.items()}
    logits, batch = BatchNormalised(BACKBONE)(leaves, inputs_of(6))
    gradients = torch.autograd.grad(logits.square().sum(), list(leaves.values()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert not any(values.requires_grad for values in batch.values())


def test_a_network_under_its_own_estimate_is_as_when_it_was_learning() -> None:
    inputs = inputs_of(200)
    logits, _ = BatchNormalised(BACKBONE)(WEIGHTS, inputs)
    statistics = estimated_statistics(BACKBONE, WEIGHTS, inputs)
    for layer in statistics_layers(BACKBONE):
        # The estimate's variances are unbiased, those that normalise a batch are not.
        stage = int(layer.name.split(".")[1]) if layer.name.startswith("stages") else 0
        seen = len(inputs) * (8 >> stage) ** 2
        statistics[layer.variance] *= (seen - 1) / seen
    evaluated = forward(BACKBONE, {**WEIGHTS, **statistics}, inputs)
    torch.testing.assert_close(evaluated, logits, rtol=1e-3, atol=1e-3)


def test_estimate_of_many_batches_is_their_mixture() -> None:
    inputs = inputs_of(257)
    normalised = BatchNormalised(BACKBONE)
    parts = [normalised(WEIGHTS, part)[1] for part in (inputs[:129], inputs[129:])]
    stacked = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    expected = pooled_statistics(stacked, torch.tensor([129 / 257, 128 / 257]))
    torch.testing.assert_close(estimated_statistics(BACKBONE, WEIGHTS, inputs), expected)


@pytest.mark.parametrize("rows", [0, 1])
def test_estimate_from_too_few_inputs_is_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=f"at least 2 inputs, got {rows}"):
        estimated_statistics(BACKBONE, WEIGHTS, inputs_of(rows))


@given(
    st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=5), min_size=1, max_size=5),
)
def test_pooled_statistics_of_parts_are_those_of_the_whole(parts: list[list[float]]) -> None:
    values = [torch.tensor(part, dtype=torch.float64).unsqueeze(1) for part in parts]
    statistics = {
        MEAN: torch.stack([part.mean(dim=0) for part in values]),
        VARIANCE: torch.stack([part.var(dim=0, correction=0) for part in values]),
    }
    whole = torch.cat(values)
    shares = torch.tensor([len(part) / len(whole) for part in parts], dtype=torch.float64)
    pooled = pooled_statistics(statistics, shares)
    torch.testing.assert_close(pooled[MEAN], whole.mean(dim=0), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(
        pooled[VARIANCE], whole.var(dim=0, correction=0), atol=1e-9, rtol=1e-9
    )


def test_belief_in_one_part_alone_is_that_part() -> None:
    statistics = {MEAN: torch.randn(3, 4), VARIANCE: torch.rand(3, 4)}
    pooled = pooled_statistics(statistics, torch.tensor([0.0, 1.0, 0.0]))
    assert torch.equal(pooled[MEAN], statistics[MEAN][1])
    assert torch.equal(pooled[VARIANCE], statistics[VARIANCE][1])
