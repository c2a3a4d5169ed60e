import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masked_network.backbones import MaskedLayer
from masked_network.supermask import (
    binary_mask,
    initial_scores,
    masked_weights,
    straight_through_mask,
    straight_through_threshold,
    threshold_mask,
)


def distinct_scores(size: int, seed: int) -> torch.Tensor:
    """Scores of both signs without two of one magnitude."""
    generator = torch.Generator().manual_seed(seed)
    magnitudes = torch.randperm(size, generator=generator) + 1.0
    return magnitudes * (torch.randint(0, 2, (size,), generator=generator) * 2 - 1)


@given(st.integers(1, 300), st.floats(1e-6, 1), st.integers(0, 2**31))
def test_mask_keeps_exactly_the_wanted_count_and_the_largest(
    size: int, density: float, seed: int
) -> None:
    scores = distinct_scores(size, seed)
    mask = binary_mask(scores, density)
    assert mask.dtype == torch.bool
    wanted = max(1, round(density * size))
    assert int(mask.sum()) == wanted
    assert set(scores[mask].abs().tolist()) == set(scores.abs().sort().values[-wanted:].tolist())


LARGE = 1 << 16
PERIODIC = torch.arange(LARGE) % 64 + torch.rand(LARGE, generator=torch.Generator().manual_seed(1))
LARGE_SCORES = {
    "normal": torch.randn(LARGE, generator=torch.Generator().manual_seed(0)),
    "ascending": torch.arange(1.0, LARGE + 1),
    "of a sample that says nothing": PERIODIC,
    "all alike": torch.ones(LARGE),
    "mostly zero": torch.cat([torch.zeros(LARGE - 9), torch.arange(1.0, 10.0)]),
    "not numbers": torch.full((LARGE,), torch.nan),
}


@pytest.mark.parametrize("scores", LARGE_SCORES.values(), ids=list(LARGE_SCORES))
@pytest.mark.parametrize("density", [1e-6, 0.0001, 0.1, 0.5, 0.93, 1.0])
def test_mask_of_very_many_scores_keeps_the_largest(scores: torch.Tensor, density: float) -> None:
    wanted = max(1, round(density * LARGE))
    smallest = scores.abs().sort().values[LARGE - wanted]
    assert torch.equal(binary_mask(scores, density), scores.abs() >= smallest)


def test_mask_has_the_shape_of_the_scores() -> None:
    assert binary_mask(distinct_scores(24, 1).reshape(2, 3, 4), 0.5).shape == (2, 3, 4)


def test_scores_that_tie_are_kept_together() -> None:
    assert binary_mask(torch.tensor([1.0, -2.0, 2.0, 0.5]), 0.25).tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_mask_neither_needs_nor_gives_a_gradient() -> None:
    mask = binary_mask(distinct_scores(8, 1).requires_grad_(), 0.5)
    assert not mask.requires_grad


@pytest.mark.parametrize("density", [0.0, -0.1, 1.5, float("nan")])
def test_density_outside_its_range_is_refused(density: float) -> None:
    with pytest.raises(ValueError, match=rf"in \(0, 1\], got {density}"):
        binary_mask(torch.ones(4), density)


def test_gradient_goes_straight_through_to_the_magnitude_of_every_score() -> None:
    scores = torch.tensor([3.0, -2.0, 1.0, -0.5], requires_grad=True)
    mask = straight_through_mask(scores, 0.5)
    assert mask.tolist() == [1, 1, 0, 0]
    loss = (mask * torch.tensor([1.0, 10.0, 100.0, 1000.0])).sum()
    (gradient,) = torch.autograd.grad(loss, [scores])
    assert gradient.tolist() == [1, -10, 100, -1000]


def test_initial_scores_depend_on_the_generator_alone_and_fill_their_bound() -> None:
    layers = [MaskedLayer("one", (300, 100)), MaskedLayer("two", (10, 300))]
    first, again, other = (
        initial_scores(layers, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    for layer in layers:
        scores = first[layer.name]
        bound = layer.fan_in**-0.5
        assert torch.equal(scores, again[layer.name])
        assert not torch.equal(scores, other[layer.name])
        assert scores.shape == layer.shape
        assert 0.99 * bound < float(scores.abs().max()) <= bound


def test_masked_weights_keep_what_the_mask_keeps() -> None:
    weights = {"one": torch.tensor([1.0, -2.0]), "two": torch.tensor([3.0])}
    masks = {"two": torch.tensor([True]), "one": torch.tensor([False, True])}
    masked = masked_weights(weights, masks)
    assert list(masked) == ["one", "two"]
    assert masked["one"].tolist() == [0, -2]
    assert masked["two"].tolist() == [3]


def test_a_threshold_keeps_what_scores_at_least_zero() -> None:
    assert threshold_mask(torch.tensor([[-1.0, 0.0], [2.0, -0.5]])).tolist() == [
        [False, True],
        [True, False],
    ]


def test_the_gradient_of_a_threshold_reaches_every_score_unchanged() -> None:
    scores = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    factors = torch.tensor([1.0, 2.0, -3.0])
    (straight_through_threshold(scores) * factors).sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert torch.equal(scores.grad, factors)
