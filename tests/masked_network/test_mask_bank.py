from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masked_network.backbones import MaskedLayer
from masked_network.mask_bank import (
    MaskBank,
    bank_of_masks,
    group_counts,
    partition_bank,
    random_bank,
)

LAYERS = (MaskedLayer("one", (7, 11)), MaskedLayer("two", (3, 50)))


@given(size=st.integers(1, 200), seed=st.integers(0, 2**63 - 1))
def test_partition_covers_every_weight_once_in_groups_equal_within_one(
    size: int, seed: int
) -> None:
    bank = partition_bank(LAYERS, size, seed)
    for index, layer in enumerate(LAYERS):
        masks = torch.stack([bank.mask(index, k) for k in range(size)])
        assert torch.equal(masks.sum(dim=0), torch.ones(layer.size, dtype=torch.int64))
        groups = masks.sum(dim=1)
        assert int(groups.max() - groups.min()) <= 1


@given(size=st.integers(1, 200))
def test_a_partition_uses_a_coefficient_for_each_group_that_has_a_weight(size: int) -> None:
    bank = partition_bank(LAYERS, size, 1)
    assert bank.used.sum(dim=1).tolist() == [min(size, layer.size) for layer in LAYERS]
    for index in range(len(LAYERS)):
        kept = [bool(bank.mask(index, k).any()) for k in range(size)]
        assert bank.used[index].tolist() == kept


@given(size=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_bank_of_masks_gives_back_each_mask(size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = [torch.rand(size, layer.size, generator=generator) < 0.3 for layer in LAYERS]
    bank = bank_of_masks("heterogeneous", masks, 0.3)
    for index, layer_masks in enumerate(masks):
        for k in range(size):
            assert torch.equal(bank.mask(index, k), layer_masks[k])


@given(size=st.integers(1, 15), seed=st.integers(0, 2**31))
def test_each_weight_lies_in_one_atom_whose_number_has_the_bits_of_its_masks(
    size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = [torch.rand(size, layer.size, generator=generator) < 0.3 for layer in LAYERS]
    bank = bank_of_masks("atoms", masks, 0.3)
    assert (bank.size, bank.impressions, bank.disjoint) == (2**size, size, True)
    for layer, layer_masks in enumerate(masks):
        for k in range(size):
            assert torch.equal(bank.impression(layer, k), layer_masks[k])
        bits = [sum(int(bit) << k for k, bit in enumerate(column)) for column in layer_masks.T]
        assert all(bool(bank.mask(layer, atom)[weight]) for weight, atom in enumerate(bits))


@pytest.mark.parametrize("size", [1, 8, 9, 20])
def test_what_is_kept_is_counted_mask_by_mask(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    masks = [torch.rand(size, layer.size, generator=generator) < 0.3 for layer in LAYERS]
    banks = [partition_bank(LAYERS, size, 1), bank_of_masks("mixed", masks, 0.3)]
    banks += [bank_of_masks("atoms", [layer[:9] for layer in masks], 0.3)]
    for bank in banks:
        counted = [[int(bank.mask(layer, k).sum()) for k in range(bank.size)] for layer in range(2)]
        assert bank.kept().tolist() == counted


def test_random_masks_keep_their_density_within_five_standard_deviations() -> None:
    layer = MaskedLayer("large", (300, 784))
    bank = random_bank([layer], 9, 0.05, 1)
    deviation = (layer.size * 0.05 * 0.95) ** 0.5
    for k in range(9):
        assert abs(int(bank.mask(0, k).sum()) - 0.05 * layer.size) < 5 * deviation


def test_random_masks_of_density_one_keep_everything() -> None:
    bank = random_bank(LAYERS, 3, 1.0, 1)
    assert all(bool(bank.mask(layer, k).all()) for layer in range(2) for k in range(3))


def test_a_larger_random_bank_begins_with_the_smaller_one() -> None:
    small, large = (random_bank(LAYERS, size, 0.4, 5) for size in (3, 20))
    for layer in range(2):
        for k in range(3):
            assert torch.equal(small.mask(layer, k), large.mask(layer, k))


@pytest.mark.parametrize(
    "make",
    [lambda seed: partition_bank(LAYERS, 5, seed), lambda seed: random_bank(LAYERS, 5, 0.5, seed)],
    ids=["partition", "random"],
)
def test_banks_of_one_seed_are_equal_and_of_two_are_not(make: Callable[[int], MaskBank]) -> None:
    fingerprints = [make(seed).fingerprint() for seed in (1, 1, 2)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_fingerprint_tells_apart_kind_size_and_density() -> None:
    masks = [torch.zeros(3, layer.size, dtype=torch.bool) for layer in LAYERS]
    wider = [torch.zeros(4, layer.size, dtype=torch.bool) for layer in LAYERS]
    banks = [
        bank_of_masks("heterogeneous", masks, 0.5),
        bank_of_masks("homogeneous", masks, 0.5),
        bank_of_masks("heterogeneous", wider, 0.5),
        bank_of_masks("heterogeneous", masks, 0.25),
    ]
    assert len({bank.fingerprint() for bank in banks}) == 4


def test_partition_table_is_the_coefficients_themselves() -> None:
    coefficients = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    tables = partition_bank(LAYERS, 6, 1).tables(coefficients)
    assert torch.equal(tables, coefficients.unsqueeze(1))


def test_table_of_a_code_is_the_sum_of_its_coefficients() -> None:
    coefficients = torch.tensor([1.0, 10.0, 100.0, 1000.0] + [0.0] * 5 + [7.0])
    table = random_bank(LAYERS, 10, 0.5, 1).tables(coefficients)
    assert table.shape == (2, 256)
    assert table[0, 0b1011].item() == 1011
    assert table[1, 0b10].item() == 7
    assert table[1, 0b11111100].item() == 0


@pytest.mark.parametrize("size", [0, -1, 32769])
def test_partition_of_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"1 to 32768 groups, got {size}"):
        partition_bank(LAYERS, size, 1)


@pytest.mark.parametrize("density", [0.0, -0.5, 1.01, float("nan")])
def test_density_outside_its_range_is_refused(density: float) -> None:
    with pytest.raises(ValueError, match=rf"in \(0, 1\], got {density}"):
        random_bank(LAYERS, 3, density, 1)
    with pytest.raises(ValueError, match=rf"in \(0, 1\], got {density}"):
        bank_of_masks("homogeneous", [torch.ones(3, 5, dtype=torch.bool)], density)


@pytest.mark.parametrize("size", [0, -1])
def test_random_bank_of_no_masks_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1 basis mask, got {size}"):
        random_bank(LAYERS, size, 0.5, 1)


def test_layers_with_different_numbers_of_masks_are_refused() -> None:
    masks = [torch.ones(3, 5, dtype=torch.bool), torch.ones(2, 5, dtype=torch.bool)]
    with pytest.raises(ValueError, match=r"same K of at least 1, got \[3, 2\]"):
        bank_of_masks("homogeneous", masks, 0.5)


def test_explicit_masks_are_no_partition() -> None:
    with pytest.raises(ValueError, match="is not made from masks"):
        bank_of_masks("partition", [torch.ones(3, 5, dtype=torch.bool)], 0.5)


def test_atoms_of_too_many_masks_or_beyond_them_are_refused() -> None:
    with pytest.raises(ValueError, match="of 1 to 15 masks, got 16"):
        bank_of_masks("atoms", [torch.ones(16, 5, dtype=torch.bool)], 0.5)
    bank = bank_of_masks("atoms", [torch.ones(3, 5, dtype=torch.bool)], 0.5)
    with pytest.raises(ValueError, match="from 0 to 2, got 3"):
        bank.impression(0, 3)


@pytest.mark.parametrize("index", [-1, 3])
def test_mask_beyond_the_bank_is_refused(index: int) -> None:
    for bank in (partition_bank(LAYERS, 3, 1), random_bank(LAYERS, 3, 0.5, 1)):
        with pytest.raises(ValueError, match=f"from 0 to 2, got {index}"):
            bank.mask(0, index)


def test_table_of_too_few_coefficients_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 3 coefficients, got 2"):
        partition_bank(LAYERS, 3, 1).tables(torch.ones(2, 2))


def test_groups_spread_by_root_are_fewer_in_smaller_layers() -> None:
    layers = (MaskedLayer("a", (100, 64)), MaskedLayer("b", (25, 64)), MaskedLayer("c", (1, 4)))
    assert group_counts(layers, 80, "root") == [80, 40, 2]
    assert group_counts(layers, 80, "even") == [80, 80, 4]
    bank = partition_bank(layers, 80, 0, "root")
    assert bank.used.sum(dim=1).tolist() == [80, 40, 2]


def test_no_layer_has_fewer_groups_than_one() -> None:
    layers = (MaskedLayer("a", (100, 100)), MaskedLayer("b", (1, 1)))
    assert group_counts(layers, 3, "root") == [3, 1]
