import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from masked_network.backbones import MaskedLayer
from masked_network.composition import compose
from masked_network.mask_bank import group_counts, partition_bank
from masked_network.ranked_bank import bank_of_groups, ranked_bank

LAYERS = (MaskedLayer("first", (30, 40)), MaskedLayer("last", (3, 30)))
WEIGHTS = {layer.name: torch.ones(layer.shape) for layer in LAYERS}


def learned(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {layer.name: torch.randn(layer.shape, generator=generator) for layer in LAYERS}


@given(st.integers(0, 2**31), st.integers(1, 64))
@settings(max_examples=25)
def test_every_weight_is_in_a_group_of_its_neighbours_in_rank(seed: int, size: int) -> None:
    multipliers = learned(seed)
    bank = ranked_bank(LAYERS, size, 0, "root", multipliers)
    counts = group_counts(LAYERS, size, "root")
    for layer, codes, groups in zip(LAYERS, bank.codes, counts, strict=True):
        flat = multipliers[layer.name].flatten()
        in_order = codes[0][flat.argsort()]
        assert bool((in_order.diff() >= 0).all())
        members = torch.bincount(in_order, minlength=groups)
        assert len(members) == groups
        assert int(members.max()) - int(members.min()) <= 1


def test_the_origin_alone_comes_close_to_what_was_learned() -> None:
    multipliers = learned(1)
    far, near = (
        compose(WEIGHTS, bank, bank.origin)["first"]
        for bank in (ranked_bank(LAYERS, size, 0, "even", multipliers) for size in (4, 400))
        if bank.origin is not None
    )
    exact = multipliers["first"]
    assert (near - exact).abs().mean() < 0.02
    assert (far - exact).abs().mean() > 0.1


def test_one_group_a_weight_gives_back_what_was_learned() -> None:
    multipliers = learned(2)
    bank = ranked_bank(LAYERS, 1200, 0, "even", multipliers)
    assert bank.origin is not None
    composed = compose(WEIGHTS, bank, bank.origin)
    assert all(torch.equal(composed[name], exact) for name, exact in multipliers.items())


def test_a_layer_that_was_not_learned_is_a_random_partition_from_zero() -> None:
    multipliers = learned(3)
    del multipliers["first"]
    bank = ranked_bank(LAYERS, 20, 7, "even", multipliers)
    assert torch.equal(bank.codes[0], partition_bank(LAYERS, 20, 7).codes[0])
    assert bank.origin is not None
    assert not bank.origin[0].any()
    assert bool(bank.origin[1].any())


def test_groups_and_origin_make_the_bank_again() -> None:
    bank = ranked_bank(LAYERS, 20, 7, "root", learned(4))
    assert bank.origin is not None
    again = bank_of_groups([codes[0] for codes in bank.codes], bank.origin)
    assert again.fingerprint() == bank.fingerprint()
    moved = bank_of_groups([codes[0] for codes in bank.codes], bank.origin + 1)
    assert moved.fingerprint() != bank.fingerprint()


@pytest.mark.parametrize("group", [-1, 20])
def test_a_group_that_there_is_not_is_refused(group: int) -> None:
    bank = ranked_bank(LAYERS, 20, 7, "even", learned(5))
    assert bank.origin is not None
    codes = [plane[0].clone() for plane in bank.codes]
    codes[1][3] = group
    with pytest.raises(ValueError, match="layer 1: expected groups 0 to 19, got"):
        bank_of_groups(codes, bank.origin)


def test_an_origin_that_is_not_finite_is_refused() -> None:
    bank = ranked_bank(LAYERS, 20, 7, "even", learned(6))
    assert bank.origin is not None
    with pytest.raises(ValueError, match="finite origin"):
        bank_of_groups([codes[0] for codes in bank.codes], bank.origin / 0)


@pytest.mark.parametrize("shape", [(), (40,), (3, 20)])
def test_an_origin_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    codes = [plane[0] for plane in ranked_bank(LAYERS, 20, 7, "even", learned(7)).codes]
    with pytest.raises(ValueError, match="finite origin"):
        bank_of_groups(codes, torch.zeros(shape))
