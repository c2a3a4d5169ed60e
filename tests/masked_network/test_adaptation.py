"""Coefficients adapted to inputs without labels."""

import pytest
import torch
from torch import Tensor

from masked_network.adaptation import AdaptationStart, adapted_coefficients
from masked_network.backbones import build_backbone, forward, masked_layers
from masked_network.composition import compose
from masked_network.frozen_weights import signed_constant_weights
from masked_network.mask_bank import MaskBank, bank_of_masks, partition_bank, random_bank
from masked_network.task_inference import entropy_nats

BACKBONE = build_backbone("lenet-300-100", (1, 3, 3), 5)
LAYERS = masked_layers(BACKBONE)
WEIGHTS = signed_constant_weights(LAYERS, 1)
PARTITION = partition_bank(LAYERS, 6, 1)


def atoms() -> MaskBank:
    generator = torch.Generator().manual_seed(3)
    masks = [torch.rand(3, layer.size, generator=generator) < 0.5 for layer in LAYERS]
    return bank_of_masks("atoms", masks, 0.5)


def inputs_of(count: int) -> Tensor:
    return torch.randn(count, 1, 3, 3, generator=torch.Generator().manual_seed(7))


def start_over(bank: MaskBank, classes: int = 4) -> AdaptationStart:
    generator = torch.Generator().manual_seed(5)
    return AdaptationStart(torch.randn(len(LAYERS), bank.size, generator=generator), classes)


def answers(bank: MaskBank, coefficients: Tensor, inputs: Tensor, classes: int = 4) -> Tensor:
    return forward(BACKBONE, compose(WEIGHTS, bank, coefficients), inputs)[:, :classes]


@pytest.mark.parametrize(
    "bank",
    [PARTITION, random_bank(LAYERS, 11, 0.4, 1), atoms()],
    ids=["partition", "random", "atoms"],
)
def test_adapting_makes_the_answers_more_certain(bank: MaskBank) -> None:
    start, inputs = start_over(bank), inputs_of(16)
    kept = start.coefficients.clone()
    entropies = [
        float(entropy_nats(answers(bank, coefficients, inputs)).mean())
        for coefficients in (
            start.coefficients,
            adapted_coefficients(BACKBONE, WEIGHTS, bank, start, inputs, steps=5),
            adapted_coefficients(BACKBONE, WEIGHTS, bank, start, inputs, steps=40),
        )
    ]
    assert entropies[0] > entropies[1] > entropies[2]
    assert torch.equal(start.coefficients, kept)


def test_balance_keeps_the_mean_answer_uncertain() -> None:
    start, inputs = start_over(PARTITION), inputs_of(64)
    spread = []
    for balance in (0.0, 1.0):
        adapted = adapted_coefficients(
            BACKBONE, WEIGHTS, PARTITION, start, inputs, balance, steps=60, learning_rate=0.05
        )
        mean = answers(PARTITION, adapted, inputs).softmax(dim=1).mean(dim=0)
        spread.append(float(entropy_nats(mean.log())))
    assert spread[1] > spread[0] + 0.3


def test_one_input_alone_has_nothing_to_balance() -> None:
    start = start_over(PARTITION)
    adapted = adapted_coefficients(BACKBONE, WEIGHTS, PARTITION, start, inputs_of(1), balance=1.0)
    torch.testing.assert_close(adapted, start.coefficients, rtol=0, atol=0.02)


def test_no_steps_change_nothing_and_the_same_inputs_adapt_alike() -> None:
    start, inputs = start_over(PARTITION), inputs_of(4)
    unchanged = adapted_coefficients(BACKBONE, WEIGHTS, PARTITION, start, inputs, steps=0)
    torch.testing.assert_close(unchanged, start.coefficients)
    one, two = (adapted_coefficients(BACKBONE, WEIGHTS, PARTITION, start, inputs) for _ in range(2))
    assert torch.equal(one, two)


def test_a_step_is_as_large_as_the_coefficients_it_starts_from() -> None:
    start, inputs = start_over(PARTITION), inputs_of(8)
    adapted = adapted_coefficients(
        BACKBONE, WEIGHTS, PARTITION, start, inputs, steps=1, learning_rate=0.1
    )
    unit = start.coefficients.square().mean().sqrt()
    # Adam's first step is the learning rate in each coefficient that matters at all.
    assert float((adapted - start.coefficients).abs().max()) == pytest.approx(
        0.1 * float(unit), rel=1e-3
    )


def test_what_cannot_be_adapted_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 classes to be uncertain of, got 1"):
        adapted_coefficients(BACKBONE, WEIGHTS, PARTITION, start_over(PARTITION, 1), inputs_of(2))
    zeros = AdaptationStart(torch.zeros(len(LAYERS), 6), 4)
    with pytest.raises(ValueError, match="got zeros"):
        adapted_coefficients(BACKBONE, WEIGHTS, PARTITION, zeros, inputs_of(2))
