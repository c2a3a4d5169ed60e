from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.paths.path_cost import PathCost, least_seconds, measured_cost

POSITIVE = st.floats(1e-6, 1.0)


@given(POSITIVE, POSITIVE, st.integers(1, 500))
def test_nothing_seen_leaves_what_was_measured(fixed: float, each: float, rows: int) -> None:
    assert PathCost(fixed, each).seconds(rows) == pytest.approx(fixed + rows * each)


@given(POSITIVE, POSITIVE, st.floats(0.2, 5.0))
def test_a_machine_that_became_slower_or_faster_is_followed(
    fixed: float, each: float, factor: float
) -> None:
    cost = PathCost(fixed, each)
    for _ in range(200):
        cost.learn(3, factor * (fixed + 3 * each))
    # Other sizes follow, though only one was ever seen.
    assert cost.seconds(64) == pytest.approx(factor * (fixed + 64 * each), rel=0.01)


@given(POSITIVE, POSITIVE, st.floats(0.2, 5.0), st.floats(0.2, 5.0))
def test_sizes_that_were_seen_are_corrected_by_themselves(
    fixed: float, each: float, few: float, many: float
) -> None:
    cost = PathCost(fixed, each)
    for _ in range(200):
        cost.learn(1, few * (fixed + each))
        cost.learn(64, many * (fixed + 64 * each))
    assert cost.seconds(1) == pytest.approx(few * (fixed + each), rel=0.01)
    assert cost.seconds(64) == pytest.approx(many * (fixed + 64 * each), rel=0.01)


@given(POSITIVE, POSITIVE, st.integers(1, 500), st.floats(1.0, 1e9))
def test_one_pause_hardly_counts(fixed: float, each: float, rows: int, times: float) -> None:
    cost = PathCost(fixed, each)
    before = cost.seconds(rows)
    cost.learn(rows, times * before)
    assert cost.seconds(rows) <= 1.0501 * before


@given(st.lists(st.tuples(st.booleans(), st.floats(1.0, 1e6)), min_size=1, max_size=300))
def test_pauses_of_one_run_in_four_hide_little_of_what_the_others_take(
    runs: list[tuple[bool, float]],
) -> None:
    cost = PathCost(1.0, 0.0)
    for index, (paused, times) in enumerate(runs):
        cost.learn(1, times if paused and index % 4 == 0 else 1.0)
        assert 1.0 <= cost.seconds(1) <= 1.1


@given(POSITIVE, POSITIVE, st.lists(st.floats(0.0, 1e6), max_size=300), st.integers(1, 500))
def test_what_is_seen_never_makes_a_cost_vanish_or_run_away(
    fixed: float, each: float, seen: list[float], rows: int
) -> None:
    cost = PathCost(fixed, each)
    for seconds in seen:
        cost.learn(rows, seconds)
    assert 0.049 <= cost.correction(rows) <= 20.001


@dataclass
class Machine:
    """On which a call takes one part of a second, and each row another."""

    call_seconds: float
    row_seconds: float
    now: float = 0.0
    rows: list[int] = field(default_factory=list)

    def run(self, rows: int) -> None:
        self.rows.append(rows)
        self.now += self.call_seconds + rows * self.row_seconds

    def clock(self) -> float:
        return self.now


@given(st.floats(0, 0.2), st.floats(1e-6, 0.04))
def test_a_measurement_tells_what_a_row_costs_from_what_a_call_does(
    call_seconds: float, row_seconds: float
) -> None:
    machine = Machine(call_seconds, row_seconds)
    cost = measured_cost(machine.run, machine.clock)
    assert cost.row_seconds == pytest.approx(row_seconds, rel=1e-6)
    assert cost.fixed_seconds == pytest.approx(call_seconds, rel=1e-6, abs=1e-9)


def test_what_takes_long_is_measured_once() -> None:
    machine = Machine(3.0, 1.0)
    assert measured_cost(machine.run, machine.clock).seconds(1) == pytest.approx(4.0)
    assert machine.rows == [1]


def test_the_first_few_times_do_not_count() -> None:
    machine = Machine(0.0, 0.001)
    least = least_seconds(lambda: machine.run(10 if len(machine.rows) < 8 else 1), machine.clock)
    assert least == pytest.approx(0.001)
