"""Plans from costs that are given; nothing is computed."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.path_cost import PathCost
from service.engine.planner import Costs, Group, Path, Planner

COST = st.builds(PathCost, st.floats(1e-6, 1e-2), st.floats(1e-6, 1e-2))
COSTS = st.builds(Costs, COST, COST, COST | st.none())
GROUPS = st.lists(st.builds(Group, st.integers(1, 64), st.booleans(), st.booleans()), min_size=1)

LENET = Costs(PathCost(60e-6, 4e-6), PathCost(110e-6, 0.0), PathCost(120e-6, 6e-6))
RESIDUAL = Costs(PathCost(2e-3, 1.8e-3), PathCost(0.6e-3, 0.0), PathCost(8e-3, 1.0e-3))


@given(COSTS, GROUPS)
def test_every_path_is_one_that_the_group_can_take(costs: Costs, groups: list[Group]) -> None:
    for group, path in zip(groups, Planner(costs).plan(groups), strict=True):
        allowed: set[Path] = {"grouped"} if group.at_hand else {"composed"}
        if group.may_mix and costs.mixed is not None:
            allowed.add("mixed")
        assert path in allowed


@given(COSTS, GROUPS)
def test_a_plan_costs_no_more_than_composing_all_or_mixing_all(
    costs: Costs, groups: list[Group]
) -> None:
    planner = Planner(costs)
    least = planner.seconds(groups, planner.plan(groups))
    composing: list[Path] = ["grouped" if group.at_hand else "composed" for group in groups]
    assert least <= planner.seconds(groups, composing)
    if costs.mixed is not None and all(group.may_mix for group in groups):
        assert least <= planner.seconds(groups, ["mixed"] * len(groups))


@given(
    COSTS,
    st.lists(
        st.builds(Group, st.integers(1, 64), st.booleans(), st.just(True)), min_size=1, max_size=4
    ),
)
def test_for_rows_alike_no_assignment_is_better(costs: Costs, groups: list[Group]) -> None:
    same = [Group(groups[0].rows, groups[0].at_hand, may_mix=True)] * len(groups)
    planner = Planner(costs)
    without: Path = "grouped" if same[0].at_hand else "composed"
    ways: list[Path] = [without] if costs.mixed is None else [without, "mixed"]
    best = min(planner.seconds(same, paths) for paths in product(ways, repeat=len(same)))
    assert planner.seconds(same, planner.plan(same)) == pytest.approx(best)


def test_many_tasks_never_asked_before_share_a_pass() -> None:
    assert Planner(LENET).plan([Group(1, at_hand=False, may_mix=True)] * 64) == ["mixed"] * 64


def test_one_task_at_hand_runs_on_its_weights() -> None:
    assert Planner(LENET).plan([Group(64, at_hand=True, may_mix=True)]) == ["grouped"]


def test_a_way_that_is_not_taken_is_tried_now_and_then() -> None:
    planner = Planner(LENET)
    groups = [Group(64, at_hand=True, may_mix=True)]
    taken = [planner.plan(groups) for _ in range(1280)]
    assert taken.count(["mixed"]) == 10
    assert taken.count(["grouped"]) == 1270


def test_a_way_that_costs_far_more_is_not_tried() -> None:
    planner = Planner(Costs(PathCost(60e-6, 4e-6), PathCost(1.0, 0.0), PathCost(2.0, 6e-6)))
    groups = [Group(64, at_hand=True, may_mix=True)]
    assert all(planner.plan(groups) == ["grouped"] for _ in range(1280))


def test_composing_is_worth_it_at_once_where_mixing_costs_more() -> None:
    assert Planner(RESIDUAL).plan([Group(1, at_hand=False, may_mix=True)]) == ["composed"]


def test_a_task_is_composed_when_doing_without_has_cost_as_much() -> None:
    planner = Planner(LENET)
    # Alone, a row mixed takes 126 us and 64 on composed weights, which take 110 to make.
    assert [planner.wants_composed("a", 1, 1) for _ in range(4)] == [False, True, False, True]


def test_tasks_whose_rows_cost_nothing_extra_in_a_mixed_pass_are_never_composed() -> None:
    planner = Planner(LENET)
    assert not any(planner.wants_composed("a", 1, 64) for _ in range(1000))


def test_what_is_remembered_of_tasks_is_bounded() -> None:
    planner = Planner(LENET)
    for task in range(10_000):
        assert not planner.wants_composed(str(task), 1, 1)
    assert planner.explained()["tasks_counted"] == 4096
    # The last ones asked for are those that count.
    assert planner.wants_composed("9999", 1, 1)
    assert not planner.wants_composed("0", 1, 1)
