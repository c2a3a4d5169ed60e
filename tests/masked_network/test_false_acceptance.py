import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masked_network.false_acceptance import OWN_MOST, most_strangeness

rates = st.floats(0, 1)
row_counts = st.integers(1, 1000)


@given(rates, rates, row_counts)
def test_who_lets_more_pass_accepts_no_less(first: float, second: float, rows: int) -> None:
    low, high = sorted((first, second))
    assert most_strangeness(low, rows) <= most_strangeness(high, rows)


@given(rates.filter(lambda rate: rate < 1), row_counts, row_counts)
def test_more_rows_are_told_apart_better_so_no_less_is_accepted(
    rate: float, first: int, second: int
) -> None:
    few, many = sorted((first, second))
    assert most_strangeness(rate, few) <= most_strangeness(rate, many) <= OWN_MOST


@given(row_counts)
def test_none_pass_at_no_rate_and_all_at_the_whole(rows: int) -> None:
    assert most_strangeness(0, rows) == 0
    assert most_strangeness(1, rows) == math.inf


@pytest.mark.parametrize(
    ("rate", "rows", "expected"),
    [(0.1, 1, 2.05), (0.075, 1, 1.9), (0.29, 2, OWN_MOST), (0.035, 2, 2.875), (0.001, 3, OWN_MOST)],
)
def test_between_what_was_measured_it_runs_straight(
    rate: float, rows: int, expected: float
) -> None:
    assert most_strangeness(rate, rows) == pytest.approx(expected)


@pytest.mark.parametrize(("rate", "rows"), [(-0.1, 1), (1.1, 1), (math.nan, 1), (0.1, 0)])
def test_a_rate_that_is_none_is_refused(rate: float, rows: int) -> None:
    with pytest.raises(ValueError, match="a rate in"):
        most_strangeness(rate, rows)
