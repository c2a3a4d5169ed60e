"""Counts of requests are exact, and age by a window of them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.popularity import Popularity

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


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one request, got 0"):
        Popularity(0)
