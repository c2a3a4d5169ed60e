import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.batches.batch_cost import BatchCost


def learned(*batches: tuple[int, float]) -> BatchCost:
    cost = BatchCost()
    for rows, seconds in batches:
        cost.learn(rows, seconds)
    return cost


@given(
    fixed=st.floats(1e-5, 1),
    each=st.floats(1e-6, 1e-2),
    sizes=st.lists(st.integers(1, 256), min_size=3, max_size=40),
    asked=st.integers(1, 1000),
)
def test_line_that_batches_lie_on_is_found(
    fixed: float, each: float, sizes: list[int], asked: int
) -> None:
    cost = learned((1, fixed + each), *((rows, fixed + each * rows) for rows in (100, *sizes)))
    batches = -(-asked // 256)
    assert cost.seconds(asked, 256) == pytest.approx(fixed * batches + each * asked, rel=1e-3)


@given(
    batches=st.lists(st.tuples(st.integers(1, 256), st.floats(0, 10)), min_size=1, max_size=60),
    fewer=st.integers(1, 1000),
    more=st.integers(0, 1000),
)
def test_estimate_is_never_negative_and_never_falls_with_rows(
    batches: list[tuple[int, float]], fewer: int, more: int
) -> None:
    cost = learned(*batches)
    assert 0 <= cost.seconds(fewer, 256) <= cost.seconds(fewer + more, 256) * (1 + 1e-9)


def test_nothing_is_expected_of_what_is_not_known() -> None:
    assert BatchCost().seconds(1000, 256) == 0
    assert BatchCost().seconds_at_most(1) == float("inf")


def test_upper_estimate_grows_in_proportion_beyond_what_was_seen() -> None:
    cost = learned(*[(4, 0.01)] * 5)
    assert cost.seconds_at_most(1) == pytest.approx(0.01)
    assert cost.seconds_at_most(40) == pytest.approx(0.1)


def test_one_slow_start_is_soon_forgotten() -> None:
    cost = learned((1, 5.0), *[(8, 0.001), (16, 0.002)] * 60)
    assert cost.seconds(16, 256) < 0.05
