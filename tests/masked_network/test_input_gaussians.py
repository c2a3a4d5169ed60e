import pytest
import torch
from torch import Tensor

from masked_network.input_gaussians import (
    MOST_DIRECTIONS,
    InputGaussians,
    directions,
    fitted_gaussian,
)

COUNT = 5


def correlated(rows: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(COUNT, COUNT, generator=generator)
    return torch.randn(rows, COUNT, generator=generator) @ mixing + torch.arange(COUNT)


def joined(ones: list[InputGaussians]) -> InputGaussians:
    names = ("means", "deviations", "precisions", "regressions")
    return InputGaussians(*(torch.cat([getattr(one, name) for one in ones]) for name in names))


def test_directions_depend_on_the_seed_and_the_length_alone() -> None:
    assert torch.equal(directions(3, 100), directions(3, 100))
    assert not torch.equal(directions(3, 100), directions(4, 100))
    assert directions(3, 100).shape == (100, MOST_DIRECTIONS)
    assert directions(3, 7).shape == (7, 3)


def test_directions_keep_the_length_of_a_random_input() -> None:
    rows = torch.randn(1000, 400, generator=torch.Generator().manual_seed(1))
    sizes = (rows @ directions(1, 400)).square().mean()
    assert sizes == pytest.approx(1.0, abs=0.05)


def test_likelihood_is_that_of_the_rows_own_gaussian() -> None:
    rows = correlated(20_000)
    exact = torch.distributions.MultivariateNormal(rows.mean(dim=0), torch.cov(rows.T))
    found = fitted_gaussian(rows).log_likelihoods(rows[:50])[:, 0]
    # torch leaves it unannotated
    expected = exact.log_prob(rows[:50])  # type: ignore[no-untyped-call]
    constant = COUNT / 2 * torch.log(torch.tensor(2 * torch.pi))
    torch.testing.assert_close(found - constant, expected, atol=0.05, rtol=0.01)


def test_first_directions_alone_are_the_gaussian_of_these() -> None:
    rows = correlated(5000)
    fewer, whole = fitted_gaussian(rows[:, :3]), fitted_gaussian(rows)
    # Drawing correlations to zero depends a little on how many directions there are.
    torch.testing.assert_close(
        whole.first(3).log_likelihoods(rows[:50, :3]),
        fewer.log_likelihoods(rows[:50, :3]),
        atol=0.02,
        rtol=0.02,
    )


def test_each_task_of_several_is_as_likely_as_alone() -> None:
    ones = [fitted_gaussian(correlated(300, seed)) for seed in (1, 2, 3)]
    rows = correlated(9, 4)
    together = joined(ones).log_likelihoods(rows)
    alone = torch.cat([one.log_likelihoods(rows) for one in ones], dim=1)
    torch.testing.assert_close(together, alone)


def test_rows_are_likeliest_under_what_they_were_drawn_from() -> None:
    tasks = joined([fitted_gaussian(correlated(2000, seed)) for seed in range(1, 5)])
    for task in range(4):
        generator = torch.Generator().manual_seed(task + 1)
        mixing = torch.randn(COUNT, COUNT, generator=generator)
        fresh = torch.randn(500, COUNT, generator=generator) @ mixing + torch.arange(COUNT)
        assert tasks.log_likelihoods(fresh).mean(dim=0).argmax() == task


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_few_or_equal_rows_give_a_gaussian_all_the_same(rows: int) -> None:
    found = fitted_gaussian(torch.ones(rows, COUNT)).log_likelihoods(correlated(3))
    assert bool(torch.isfinite(found).all())


def test_precisions_for_the_same_regressions_are_the_same() -> None:
    one = fitted_gaussian(correlated(5000))
    torch.testing.assert_close(one.with_regressions(one.regressions).precisions, one.precisions)


def test_precisions_for_other_regressions_leave_residuals_of_unit_variance() -> None:
    rows = correlated(20_000)
    changed = fitted_gaussian(rows).regressions * 0.7
    one = fitted_gaussian(rows).with_regressions(changed)
    residuals = (rows - one.means) @ one.whitening()[0].T
    torch.testing.assert_close(residuals.var(dim=0), torch.ones(COUNT), atol=0.05, rtol=0)


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="got none"):
        fitted_gaussian(torch.ones(0, COUNT))
