import torch
from hypothesis import given
from hypothesis import strategies as st

from masked_network.quantisation import (
    four_bit_scales,
    from_levels,
    straight_through_four_bits,
    to_levels,
)

SEEDS = st.integers(0, 2**31)


USED = torch.ones(3, 40, dtype=torch.bool)


def coefficients_of(seed: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(3, 40, generator=torch.Generator().manual_seed(seed)) * scale


@given(SEEDS, st.floats(1e-3, 1e3))
def test_rounding_is_off_by_at_most_half_a_step_within_reach(seed: int, scale: float) -> None:
    exact = coefficients_of(seed, scale)
    steps = four_bit_scales(exact, USED).unsqueeze(1)
    within = exact.abs() <= 7.5 * steps
    error = (straight_through_four_bits(exact, USED) - exact).abs()
    assert bool((error <= 0.5001 * steps)[within].all())
    assert bool(within.float().mean() > 0.9)


@given(SEEDS)
def test_levels_survive_their_own_values(seed: int) -> None:
    scales = four_bit_scales(coefficients_of(seed), USED)
    levels = to_levels(coefficients_of(seed), scales)
    assert int(levels.max()) <= 15
    assert torch.equal(to_levels(from_levels(levels, scales), scales), levels)


def test_gradient_passes_the_rounding_unchanged() -> None:
    exact = coefficients_of(1).requires_grad_()
    weight = coefficients_of(2)
    (straight_through_four_bits(exact, USED) * weight).sum().backward()  # type: ignore[no-untyped-call]
    assert exact.grad is not None
    assert torch.equal(exact.grad, weight)


def test_equal_coefficients_stay_finite() -> None:
    assert bool(torch.isfinite(straight_through_four_bits(torch.zeros(3, 40), USED)).all())


@given(SEEDS, st.integers(0, 39))
def test_levels_reach_as_far_as_the_used_coefficients_spread(seed: int, beyond: int) -> None:
    exact, used = coefficients_of(seed), torch.arange(40) < torch.tensor([[40 - beyond]] * 3)
    spread = exact[:, : 40 - beyond].std(dim=1, correction=0)
    scales = four_bit_scales(exact, used)
    torch.testing.assert_close(scales, (spread / 3).clamp_min(6.2e-5), rtol=1e-3, atol=1e-6)
    assert torch.equal(four_bit_scales(exact.where(used, 1e4), used), scales)
    assert torch.equal(scales, scales.half().float())
