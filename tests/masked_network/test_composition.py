from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from masked_network.backbones import MaskedLayer
from masked_network.composition import compose, multipliers
from masked_network.frozen_weights import signed_constant_weights
from masked_network.mask_bank import (
    BankKind,
    MaskBank,
    bank_of_masks,
    partition_bank,
    random_bank,
)

LAYERS = (
    MaskedLayer("one", (7, 11)),
    MaskedLayer("two", (6, 3, 3, 3)),
    MaskedLayer("three", (2, 3)),
)
WEIGHTS = {
    name: weight.double() for name, weight in signed_constant_weights(LAYERS, seed=1).items()
}
KINDS: list[BankKind] = ["partition", "random", "heterogeneous", "homogeneous", "mixed"]
SIZES = [1, 3, 8, 9, 20, 300]


def bank_of(kind: BankKind, size: int) -> MaskBank:
    if kind == "partition":
        return partition_bank(LAYERS, size, seed=1)
    if kind == "random":
        return random_bank(LAYERS, size, 0.3, seed=1)
    generator = torch.Generator().manual_seed(size)
    masks = [torch.rand(size, layer.size, generator=generator) < 0.3 for layer in LAYERS]
    return bank_of_masks(kind, masks, 0.3)


def coefficients_of(size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(LAYERS), size, generator=generator, dtype=torch.float64)


def naive_sum(bank: MaskBank, coefficients: Tensor) -> dict[str, Tensor]:
    """The composition as the paper writes it: every mask, dense, added up."""
    composed = {}
    for index, (name, weight) in enumerate(WEIGHTS.items()):
        masks = torch.stack([bank.mask(index, k) for k in range(bank.size)]).to(weight.dtype)
        composed[name] = weight * (coefficients[index] @ masks).view_as(weight)
    return composed


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_one_hot_coefficient_is_that_basis_mask(kind: BankKind, size: int) -> None:
    bank = bank_of(kind, size)
    for k in {0, 1 % size, 7 % size, 8 % size, size // 2, size - 1}:
        one_hot = torch.zeros(len(LAYERS), size, dtype=torch.float64)
        one_hot[:, k] = 1
        for index, factor in enumerate(multipliers(bank, one_hot)):
            assert torch.equal(factor, bank.mask(index, k).double())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_composition_and_its_gradient_are_those_of_the_naive_sum(kind: BankKind, size: int) -> None:
    bank = bank_of(kind, size)
    results, gradients = [], []
    compositions: list[Callable[[Tensor], dict[str, Tensor]]] = [
        lambda c: compose(WEIGHTS, bank, c),
        lambda c: naive_sum(bank, c),
    ]
    for composition in compositions:
        coefficients = coefficients_of(size, 2).requires_grad_()
        composed = composition(coefficients)
        loss = sum(
            (index + weight).square().sum() for index, weight in enumerate(composed.values())
        )
        assert isinstance(loss, Tensor)
        (gradient,) = torch.autograd.grad(loss, [coefficients])
        results.append(composed)
        gradients.append(gradient)
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(gradients[0], gradients[1])


@given(st.sampled_from(KINDS), st.integers(1, 20), st.floats(-4, 4), st.floats(-4, 4))
def test_composition_is_linear_in_the_coefficients(
    kind: BankKind, size: int, a: float, b: float
) -> None:
    bank = bank_of(kind, size)
    one, two = coefficients_of(size, 3), coefficients_of(size, 4)
    together = compose(WEIGHTS, bank, a * one + b * two)
    first, second = compose(WEIGHTS, bank, one), compose(WEIGHTS, bank, two)
    apart = {name: a * first[name] + b * second[name] for name in WEIGHTS}
    torch.testing.assert_close(together, apart)


@given(st.integers(1, 9))
def test_atoms_contain_every_linear_combination_of_the_masks_that_overlap(size: int) -> None:
    coefficients = coefficients_of(size, 6)
    masks = bank_of("heterogeneous", size)
    atoms = bank_of("atoms", size)
    assert atoms.size == 2**size
    torch.testing.assert_close(
        compose(WEIGHTS, atoms, atoms.from_impressions(coefficients)),
        compose(WEIGHTS, masks, masks.from_impressions(coefficients)),
    )
    free = coefficients_of(2**size, 7)
    torch.testing.assert_close(compose(WEIGHTS, atoms, free), naive_sum(atoms, free))


def test_coefficients_of_one_in_a_partition_give_the_backbone_itself() -> None:
    bank = partition_bank(LAYERS, 5, seed=1)
    composed = compose(WEIGHTS, bank, torch.ones(len(LAYERS), 5, dtype=torch.float64))
    assert all(torch.equal(composed[name], weight) for name, weight in WEIGHTS.items())


def test_composing_leaves_weights_and_coefficients_alone() -> None:
    bank, coefficients = bank_of("random", 9), coefficients_of(9, 5)
    weights = {name: weight.clone() for name, weight in WEIGHTS.items()}
    compose(weights, bank, coefficients)
    assert torch.equal(coefficients, coefficients_of(9, 5))
    assert all(torch.equal(weights[name], weight) for name, weight in WEIGHTS.items())


@pytest.mark.parametrize("shape", [(3, 4), (2, 5), (3, 6), (5, 3), (3,), (1, 3, 5)])
def test_coefficients_of_a_wrong_shape_are_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected coefficients \(3, 5\), got \(") as refusal:
        compose(WEIGHTS, bank_of("partition", 5), torch.ones(shape, dtype=torch.float64))
    assert str(refusal.value).endswith(str(tuple(shape)))
