import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from masked_network.counter_random import random_bits, random_permutation, random_words

SEEDS = st.integers(0, 2**63 - 1)


def test_words_of_a_seed_and_purpose_are_pinned() -> None:
    assert random_words(1, "weights/a", 2).tolist() == [9431999819848444246, 11185507407254793391]


@given(SEEDS, st.integers(0, 200))
def test_permutation_holds_every_number_once(seed: int, count: int) -> None:
    assert sorted(random_permutation(seed, "order", count).tolist()) == list(range(count))


@given(SEEDS, st.integers(0, 200), st.integers(0, 200))
def test_a_shorter_stream_is_the_beginning_of_a_longer_one(seed: int, one: int, two: int) -> None:
    short, long = sorted((one, two))
    assert np.array_equal(random_bits(seed, "x", long)[:short], random_bits(seed, "x", short))
    assert np.array_equal(random_words(seed, "x", long)[:short], random_words(seed, "x", short))


@given(SEEDS)
def test_purposes_and_seeds_have_streams_of_their_own(seed: int) -> None:
    streams = [(seed, "a"), (seed, "b"), (seed + 1, "a")]
    assert len({random_words(*stream, 1).item() for stream in streams}) == 3
