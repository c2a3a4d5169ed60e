import pytest
import torch

from masked_network.input_gaussians import fitted_gaussian
from masked_network.task_evidence import OwnMoments, measured_evidence, strangeness


def test_own_rows_are_as_strange_as_chance_and_others_are_stranger() -> None:
    generator = torch.Generator().manual_seed(1)
    own, held_out, fresh = torch.randn(3, 2000, 6, generator=generator)
    sure = 0.2 + 0.05 * torch.randn(2000, generator=generator)
    evidence = measured_evidence(fitted_gaussian(own), held_out, sure)

    def strange(rows: torch.Tensor, entropy: float) -> float:
        likelihood = evidence.gaussians.log_likelihoods(rows).mean(dim=0)
        return float(strangeness(evidence.own, likelihood, torch.tensor([entropy]), len(rows)))

    assert strange(fresh[:16], 0.2) < 3
    assert strange(fresh[:16] + 2, 0.2) > 6
    assert strange(torch.zeros(16, 6), 0.2) > 3  # too likely
    assert strange(fresh[:16], 0.9) > 6
    assert strange(fresh[:16], 0.0) == strange(fresh[:16], 0.2)


def test_those_of_some_tasks_are_theirs_in_their_order() -> None:
    every = OwnMoments(*(torch.arange(5.0) * factor for factor in (1, 10, 100, 1000)))
    some = every.of(torch.tensor([4, 1]))
    assert some.likelihood_mean.tolist() == [4, 1]
    assert some.likelihood_deviation.tolist() == [40, 10]
    assert some.entropy_mean.tolist() == [400, 100]
    assert some.entropy_deviation.tolist() == [4000, 1000]


def test_rows_without_an_entropy_each_are_refused() -> None:
    with pytest.raises(ValueError, match="as many entropies as 3 rows"):
        measured_evidence(fitted_gaussian(torch.zeros(4, 2)), torch.zeros(3, 2), torch.zeros(2))
