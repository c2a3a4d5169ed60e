"""Counts of requests are exact, and age by a window of them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.tiers.popularity import Popularity

REQUESTS = st.lists(st.sampled_from("abcdef"), max_size=60)


@given(REQUESTS, st.integers(1, 20))
def test_counts_are_of_at_least_one_window_and_at_most_two(asked: list[str], window: int) -> None:
    popularity = Popularity(window)
    for key in asked:
        popularity.count(key)
    least, most = Counter(asked[-window:]), Counter(asked[-2 * window :])
    aged = Counter(asked[len(asked) - window - len(asked) % window :]) if asked else Counter[str]()
    for key in "abcdef":
        assert popularity.of(key) <= most[key]
        if len(asked) >= window:
            assert popularity.of(key) == aged[key] >= least[key]


@given(REQUESTS, REQUESTS)
def test_fresh_counts_are_those_since_the_last_time(first: list[str], then: list[str]) -> None:
    popularity = Popularity(1000)
    for key in first:
        popularity.count(key)
    assert popularity.fresh() == Counter(first)
    for key in then:
        popularity.count(key)
    assert popularity.fresh() == Counter(then)


def test_fresh_counts_that_nobody_takes_are_bounded() -> None:
    popularity = Popularity(10)
    for key in range(1000):
        popularity.count(str(key))
    assert len(popularity.fresh()) <= 20


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one request, got 0"):
        Popularity(0)
