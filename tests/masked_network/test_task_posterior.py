import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masked_network.task_posterior import (
    PosteriorWeights,
    confidence_error,
    likelihood_without_evidence,
    scores,
    strangeness_limit,
    within_reach,
)

numbers = st.integers(-100, 100).map(float)
shares = st.floats(0, 1)
row_counts = st.integers(1, 1000)


@given(st.lists(st.tuples(numbers, shares), min_size=1, max_size=20), row_counts)
def test_most_probable_task_is_always_within_reach(
    tasks: list[tuple[float, float]], rows: int
) -> None:
    likelihoods, entropies = torch.tensor(tasks, dtype=torch.float64).unbind(1)
    best = scores(likelihoods, entropies, rows).max()
    reached = within_reach(likelihoods, rows)
    assert scores(likelihoods, entropies, rows)[reached].max() == best


@given(numbers, numbers, shares, row_counts)
def test_of_tasks_that_are_as_sure_the_likelier_one_wins(
    first: float, second: float, entropy: float, rows: int
) -> None:
    found = scores(torch.tensor([first, second]), torch.tensor([entropy, entropy]), rows)
    assert (first >= second) == bool(found[0] >= found[1])


def test_more_rows_are_worth_more_but_less_than_so_many_times() -> None:
    weights = PosteriorWeights()
    for worth in (weights.of_likelihood, weights.of_entropy):
        assert worth(1) < worth(16) < 16 * worth(1)


def test_task_without_evidence_yields_to_its_owner_and_beats_strangers() -> None:
    neutral = likelihood_without_evidence(mean=3.0, deviation=8.0, rows=16)
    assert -20.0 < neutral < 3.0


def test_confidence_that_is_the_share_right_has_no_error() -> None:
    confidences = torch.tensor([0.75] * 4 + [0.35] * 20)
    right = torch.tensor([True] * 3 + [False] + [True] * 7 + [False] * 13)
    assert confidence_error(confidences, right) == pytest.approx(0.0, abs=1e-6)
    assert confidence_error(torch.ones(4), torch.zeros(4, dtype=torch.bool)) == pytest.approx(1.0)
    assert confidence_error(torch.ones(4), torch.tensor([True, True, True, False])) == 0.25


@given(st.lists(st.floats(0.125, 100, width=32), min_size=1, max_size=50), st.floats(0, 0.99))
def test_no_more_unknown_rows_pass_the_limit_than_were_asked_for(
    unknown: list[float], rate: float
) -> None:
    limit = strangeness_limit(torch.tensor([50.0]), torch.tensor(unknown), rate)
    assert sum(one <= limit for one in unknown) <= rate * len(unknown)


def test_limit_is_never_far_beyond_what_own_rows_are() -> None:
    own, far = torch.linspace(0, 5, 101), torch.tensor([1000.0])
    assert strangeness_limit(own, far, 0.5) == pytest.approx(4.95)
    assert strangeness_limit(own, own, 0.5) < 2.51


@pytest.mark.parametrize(("unknown", "rate"), [([], 0.1), ([1.0], 1.0), ([1.0], -0.1)])
def test_limit_of_nothing_or_of_no_rate_is_refused(unknown: list[float], rate: float) -> None:
    with pytest.raises(ValueError, match="a rate in"):
        strangeness_limit(torch.tensor([1.0]), torch.tensor(unknown), rate)
