import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from masked_network.backbones import MaskedLayer
from masked_network.composition import multipliers
from masked_network.learning_codes import LearningCodes, learning_codes, paired_codes, paired_tables
from masked_network.mask_bank import MaskBank, bank_of_masks, partition_bank, random_bank

LAYERS = (MaskedLayer("small", (7, 11)), MaskedLayer("large", (150, 120)))


def learned(bank: MaskBank, seed: int) -> tuple[list[Tensor], Tensor]:
    """The multipliers of random coefficients, and the gradient of the sum of their squares."""
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(len(LAYERS), bank.size, generator=generator, dtype=torch.float64)
    factors = multipliers(bank, coefficients.requires_grad_())
    loss = torch.stack([factor.square().sum() for factor in factors]).sum()
    (gradient,) = torch.autograd.grad(loss, [coefficients])
    return [factor.detach() for factor in factors], gradient


@pytest.mark.parametrize("size", [3, 8, 9, 16, 20, 64])
@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_learning_meets_the_weights_and_the_gradient_of_the_masks_themselves(
    size: int, density: float
) -> None:
    bank = random_bank(LAYERS, size, density, seed=1)
    factors, gradient = learned(bank, seed=2)
    coefficients = torch.randn(
        len(LAYERS), size, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    for index, factor in enumerate(factors):
        masks = torch.stack([bank.mask(index, k) for k in range(size)]).double()
        torch.testing.assert_close(factor, coefficients[index] @ masks)
        torch.testing.assert_close(gradient[index], masks @ (2 * factor))


def test_learning_again_gives_the_same_bytes() -> None:
    (one, gradient), (two, again) = (
        learned(random_bank(LAYERS, 20, 0.05, seed=1), seed=2) for _ in range(2)
    )
    assert all(torch.equal(factor, other) for factor, other in zip(one, two, strict=True))
    assert torch.equal(gradient, again)


@given(planes=st.integers(1, 5), size=st.integers(1, 60), seed=st.integers(0, 2**31))
def test_sums_over_codes_are_those_of_adding_one_by_one_without_code_zero(
    planes: int, size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 9, (planes, size), generator=generator, dtype=torch.int32)
    codes *= codes < 4
    codes[:, ::2] = 0  # most are, or no runs are made
    values = torch.randn(size, generator=generator, dtype=torch.float64)
    expected = torch.zeros(planes, 256, dtype=torch.float64)
    for plane in range(planes):
        expected[plane].index_add_(0, codes[plane], values)
    expected[:, 0] = 0
    runs = learning_codes(codes, 256).runs
    assert runs is not None
    torch.testing.assert_close(runs.sums(values, expected.shape), expected)


@given(planes=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_paired_tables_hold_the_sum_of_two_planes_under_their_paired_code(
    planes: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 256, (planes, 40), generator=generator, dtype=torch.int32)
    tables = torch.randn(planes, 256, generator=generator, dtype=torch.float64)
    apart = tables.gather(1, codes.long()).sum(dim=0)
    together = paired_tables(tables).gather(1, paired_codes(codes, 256).long()).sum(dim=0)
    torch.testing.assert_close(together, apart)


def test_masks_that_keep_nothing_have_a_gradient_of_zero() -> None:
    masks = [torch.zeros(9, layer.size, dtype=torch.bool) for layer in LAYERS]
    factors, gradient = learned(bank_of_masks("heterogeneous", masks, 0.5), seed=2)
    assert not any(factor.any() for factor in factors)
    assert not gradient.any()


@pytest.mark.parametrize(
    ("size", "density", "paired", "sorted_"),
    [(8, 0.05, False, True), (9, 0.05, True, True), (16, 0.5, True, False)],
)
def test_large_layers_are_paired_and_sparse_codes_sorted(
    size: int, density: float, paired: bool, sorted_: bool
) -> None:
    small, large = random_bank(LAYERS, size, density, seed=1).for_learning
    assert small.paired is None
    assert (large.paired is not None, large.runs is not None) == (paired, sorted_)


def test_a_partition_is_learned_with_as_it_is() -> None:
    assert set(partition_bank(LAYERS, 9, seed=1).for_learning) == {LearningCodes()}


def test_composing_without_learning_makes_no_forms() -> None:
    bank = random_bank(LAYERS, 9, 0.05, seed=1)
    multipliers(bank, torch.ones(len(LAYERS), 9))
    assert "for_learning" not in vars(bank)
    learned(bank, seed=2)
    assert "for_learning" in vars(bank)
