from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masked_network.compiled import compiled_kernels
from masked_network.evidence_scan import (
    ScanRows,
    best_of,
    best_of_each,
    scan,
    scan_rows,
    scan_terms,
)
from masked_network.input_gaussians import InputGaussians, fitted_gaussian

TASKS, DIRECTIONS = 40, 36
TERMS = 24 + 24 * 25 // 2
"""Of the numbers of a task those that are not there to fill a vector."""


@pytest.fixture(scope="module")
def tasks() -> InputGaussians:
    generator = torch.Generator().manual_seed(1)
    ones = []
    for _ in range(TASKS):
        mixing = torch.randn(DIRECTIONS, DIRECTIONS, generator=generator) / 6
        mean = torch.randn(DIRECTIONS, generator=generator) / 2
        rows = torch.randn(400, DIRECTIONS, generator=generator)
        ones.append(fitted_gaussian(rows @ mixing + mean))
    names = ("means", "deviations", "precisions", "regressions")
    return InputGaussians(*(torch.cat([getattr(one, name) for one in ones]) for name in names))


@pytest.fixture(scope="module")
def rows() -> torch.Tensor:
    return torch.randn(7, DIRECTIONS, generator=torch.Generator().manual_seed(2)) / 2


def slow(found: ScanRows, rows: torch.Tensor) -> torch.Tensor:
    """The same numbers, without a kernel and one by one."""
    few = rows[:, :24].double()
    scores = []
    for levels, scale, bias in zip(found.levels, found.scales, found.biases, strict=True):
        numbers = levels[:TERMS].double() * scale
        total = 0.0
        for row in few:
            pairs = [row[i] * row[j] for i in range(24) for j in range(i, 24)]
            total += float(numbers @ torch.stack([*row, *pairs]))
        scores.append(total / len(few) + float(bias))
    return torch.tensor(scores)


def test_scan_is_the_product_of_what_is_kept(tasks: InputGaussians, rows: torch.Tensor) -> None:
    found = scan_rows(tasks)
    assert found.levels.shape == (TASKS, scan_terms(24)) == (TASKS, 336)
    assert not found.levels[:, TERMS:].any()
    torch.testing.assert_close(scan(found, rows), slow(found, rows), atol=0.02, rtol=0.002)


def test_scan_is_about_the_likelihood_in_the_first_directions(
    tasks: InputGaussians, rows: torch.Tensor
) -> None:
    exact = tasks.first(24).log_likelihoods(rows[:, :24]).mean(dim=0)
    found = scan(scan_rows(tasks), rows)
    assert float((found - exact).abs().max()) < 0.1 * float(exact.std())


def test_tasks_scanned_in_parts_by_threads_are_the_same_to_the_bit(
    tasks: InputGaussians, rows: torch.Tensor
) -> None:
    once = scan_rows(tasks)
    many = ScanRows(
        24, once.levels.repeat(7000, 1), once.scales.repeat(7000), once.biases.repeat(7000)
    )
    expected = scan(once, rows).repeat(7000)
    assert torch.equal(scan(many, rows), expected)
    with ThreadPoolExecutor(3) as threads:
        assert torch.equal(scan(many, rows, threads), expected)


@pytest.mark.skipif(compiled_kernels() is None, reason="no compiled kernels")
def test_kernel_and_torch_agree(tasks: InputGaussians, rows: torch.Tensor) -> None:
    found = scan_rows(tasks)
    few = rows[:, :24]
    above = torch.triu_indices(24, 24)
    features = torch.cat([few.mean(dim=0), (few.T @ few / len(few))[above[0], above[1]]])
    plain = found.biases + found.scales * (found.levels[:, :TERMS].float() @ features)
    torch.testing.assert_close(scan(found, rows), plain, atol=0.02, rtol=0.002)


def test_fewer_directions_than_are_scanned_do_too() -> None:
    one = fitted_gaussian(torch.randn(50, 3, generator=torch.Generator().manual_seed(1)))
    rows = torch.zeros(1, 3)
    assert scan_rows(one).levels.shape == (1, scan_terms(3)) == (1, 16)
    torch.testing.assert_close(
        scan(scan_rows(one), rows), one.log_likelihoods(rows)[0], atol=0.1, rtol=0.1
    )


@given(count=st.integers(1, 9), scores=st.integers(0, 700), seed=st.integers(0, 99))
def test_best_of_scores_are_those_that_sorting_finds(count: int, scores: int, seed: int) -> None:
    values = torch.rand(scores, generator=torch.Generator().manual_seed(seed))
    found = best_of(values, count)
    assert set(found.tolist()) == set(values.argsort(descending=True)[:count].tolist())
    assert len(found) == min(count, scores)


def test_what_is_at_minus_infinity_is_not_among_the_best_of_scores() -> None:
    values = torch.full((3000,), -torch.inf)
    values[torch.tensor([5, 6, 2999])] = torch.tensor([1.0, 2.0, 3.0])
    assert sorted(best_of(values, 3).tolist()) == [5, 6, 2999]


@pytest.mark.parametrize("count", [1, 5, TASKS])
def test_best_of_each_row_are_those_of_a_scan_for_that_row_alone(
    tasks: InputGaussians, rows: torch.Tensor, count: int
) -> None:
    found = scan_rows(tasks)
    best = best_of_each(found, rows, count)
    assert best.shape == (len(rows), count)
    for row, chosen in zip(rows, best, strict=True):
        alone = scan(found, row.unsqueeze(0))
        least = float(alone.topk(count).values[-1])
        assert len(set(chosen.tolist())) == count
        assert float(alone[chosen].min()) >= least - 0.02


def test_best_of_each_row_may_lie_in_any_block() -> None:
    count = 20_000
    generator = torch.Generator().manual_seed(3)
    levels = torch.randint(-9, 9, (count, scan_terms(2)), dtype=torch.int8, generator=generator)
    biases = torch.zeros(count)
    biases[torch.tensor([7, 2047, 2048, 19_999])] = 1e6
    best = best_of_each(ScanRows(2, levels, torch.ones(count), biases), torch.ones(3, 2), 4)
    assert [sorted(one) for one in best.tolist()] == [[7, 2047, 2048, 19_999]] * 3


def test_more_than_there_are_cannot_be_the_best_of_each(
    tasks: InputGaussians, rows: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match="expected 41 tasks or more, got 40"):
        best_of_each(scan_rows(tasks), rows, TASKS + 1)
