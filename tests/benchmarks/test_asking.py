"""Which tasks the benchmarks ask for, and how what they measured is compared and drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.asking.curves import Curves, curves_png
from benchmarks.asking.tasks_asked import BY_ZIPF, HOT, NEW, UNIFORM, Load, TasksAsked
from benchmarks.asking.turns import in_turns
from benchmarks.figures.bars import bars_png

KINDS: tuple[Load, ...] = (HOT, BY_ZIPF, UNIFORM, NEW)


@given(
    st.integers(1, 300), st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 40)), max_size=9)
)
def test_a_new_task_was_never_given_out_before(tasks: int, loads: list[tuple[Load, int]]) -> None:
    asked, given_out = TasksAsked(tasks), set[str]()
    for kind, count in loads:
        if kind == NEW and count > asked.new_left:
            with pytest.raises(LookupError, match="never asked before"):
                asked.next(kind, count)
            continue
        names = asked.next(kind, count)
        assert len(names) == count
        if kind == NEW:
            assert len(set(names)) == count
            assert given_out.isdisjoint(names)
        given_out |= set(names)
        assert asked.new_left == tasks - len(given_out)


def test_by_zipf_the_first_tasks_are_asked_for_most() -> None:
    names = TasksAsked(1000).next(BY_ZIPF, 20_000)
    counts = [names.count(f"task-{index:06}") for index in (0, 1, 9, 99)]
    assert counts == sorted(counts, reverse=True)
    assert counts[1] / counts[0] == pytest.approx(2**-1.1, rel=0.1)


def test_loads_are_compared_turn_by_turn_so_that_a_drift_hurts_neither() -> None:
    busy = iter(range(1, 100))
    seen: list[Load] = []

    def measure(kind: Load) -> float:
        seen.append(kind)
        return next(busy) * (3.0 if kind == UNIFORM else 1.0)

    compared = in_turns((HOT, UNIFORM), 4, measure)
    assert seen == [HOT, UNIFORM, UNIFORM, HOT] * 2
    assert len(compared.ratios(UNIFORM)) == 4
    assert 2.0 < compared.ratio(UNIFORM) < 4.0


def test_curves_are_drawn_where_a_load_was_too_much_for_every_rate() -> None:
    curves = Curves({HOT: [(10.0, 1.0, 2.0), (20.0, 1.5, 9.0)], UNIFORM: []}, [(1, 9.0), (10, 8.0)])
    assert curves_png("a backbone", curves).startswith(b"\x89PNG")


def test_bars_are_drawn_of_any_number_of_ways() -> None:
    for ways in (1, 7):
        panel = {f"way {index}": 10.0**index for index in range(ways)}
        assert bars_png({"one": panel, "two": panel}, "us").startswith(b"\x89PNG")
