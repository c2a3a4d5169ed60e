from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masked_network.quantisation import (
    Bits,
    from_levels,
    level_scales,
    straight_through_levels,
    to_levels,
)

SEEDS = st.integers(0, 2**31)
BITS = st.sampled_from(get_args(Bits))


USED = torch.ones(3, 40, dtype=torch.bool)


def coefficients_of(seed: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(3, 40, generator=torch.Generator().manual_seed(seed)) * scale


@given(SEEDS, st.floats(1e-3, 1e3), BITS)
def test_rounding_is_off_by_at_most_half_a_step_within_reach(
    seed: int, scale: float, bits: Bits
) -> None:
    exact = coefficients_of(seed, scale)
    steps = level_scales(exact, USED, bits).unsqueeze(1)
    within = exact.abs() <= 2 ** (bits - 1) * steps
    error = (straight_through_levels(exact, USED, bits) - exact).abs()
    assert bool((error <= 0.5001 * steps)[within].all())
    assert bool(within.float().mean() > 0.8)


@given(SEEDS, BITS)
def test_levels_survive_their_own_values(seed: int, bits: Bits) -> None:
    scales = level_scales(coefficients_of(seed), USED, bits)
    levels = to_levels(coefficients_of(seed), scales, bits)
    assert int(levels.max()) <= 2**bits - 1
    assert torch.equal(to_levels(from_levels(levels, scales, bits), scales, bits), levels)


@pytest.mark.parametrize("bits", get_args(Bits))
def test_gradient_passes_the_rounding_unchanged(bits: Bits) -> None:
    exact = coefficients_of(1).requires_grad_()
    weight = coefficients_of(2)
    (straight_through_levels(exact, USED, bits) * weight).sum().backward()  # type: ignore[no-untyped-call]
    assert exact.grad is not None
    assert torch.equal(exact.grad, weight)


@pytest.mark.parametrize("bits", get_args(Bits))
def test_equal_coefficients_stay_finite(bits: Bits) -> None:
    assert bool(torch.isfinite(straight_through_levels(torch.zeros(3, 40), USED, bits)).all())


@given(SEEDS, st.integers(0, 39))
def test_levels_reach_as_far_as_the_used_coefficients_spread(seed: int, beyond: int) -> None:
    exact, used = coefficients_of(seed), torch.arange(40) < torch.tensor([[40 - beyond]] * 3)
    spread = exact[:, : 40 - beyond].std(dim=1, correction=0)
    scales = level_scales(exact, used, 4)
    torch.testing.assert_close(scales, (spread / 3).clamp_min(6.2e-5), rtol=1e-3, atol=1e-6)
    assert torch.equal(level_scales(exact.where(used, 1e4), used, 4), scales)
    assert torch.equal(scales, scales.half().float())
