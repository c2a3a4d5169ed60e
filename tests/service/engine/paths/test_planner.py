"""Plans from costs that are given; nothing is computed."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.paths.path_cost import PathCost
from service.engine.paths.planner import Costs, Group, Path, Planner

COST = st.builds(PathCost, st.floats(1e-6, 1e-2), st.floats(1e-6, 1e-2))
COSTS = st.builds(Costs, COST, COST, COST | st.none())
GROUPS = st.lists(st.builds(Group, st.integers(1, 64), st.booleans(), st.booleans()), min_size=1)

LENET = Costs(PathCost(60e-6, 4e-6), PathCost(110e-6, 0.0), PathCost(120e-6, 6e-6))
RESIDUAL = Costs(PathCost(2e-3, 1.8e-3), PathCost(0.6e-3, 0.0), PathCost(8e-3, 1.0e-3))


def wants_composed(planner: Planner, key: str, rows: int, mixed_rows: int) -> bool:
    return planner.wants_composed([(key, rows)], mixed_rows) == [0]


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
        st.builds(Group, st.integers(1, 64), st.booleans(), st.booleans()), min_size=1, max_size=5
    ),
)
def test_no_assignment_of_paths_is_better(costs: Costs, groups: list[Group]) -> None:
    planner = Planner(costs)
    ways: list[list[Path]] = []
    for group in groups:
        without: Path = "grouped" if group.at_hand else "composed"
        ways.append([without, "mixed"] if group.may_mix and costs.mixed else [without])
    best = min(planner.seconds(groups, paths) for paths in product(*ways))
    assert planner.seconds(groups, planner.plan(groups)) == pytest.approx(best)


def test_a_hot_task_among_many_others_runs_on_its_weights() -> None:
    others = [Group(1, at_hand=index % 2 == 0, may_mix=True) for index in range(60)]
    paths = Planner(LENET).plan([Group(64, at_hand=True, may_mix=True), *others])
    assert paths == ["grouped", *["mixed"] * 60]


@given(COSTS, GROUPS)
def test_a_path_that_was_told_is_taken_whatever_it_costs(costs: Costs, groups: list[Group]) -> None:
    composing = ["grouped" if group.at_hand else "composed" for group in groups]
    grouped, mixed = Planner(costs, "grouped"), Planner(costs, "mixed")
    for _ in range(40):
        assert grouped.plan(groups) == composing
        if costs.mixed is not None:
            assert mixed.plan(groups) == [
                "mixed" if group.may_mix else without
                for group, without in zip(groups, composing, strict=True)
            ]
        assert not wants_composed(mixed, "a", 1, 1)


def test_many_tasks_never_asked_before_share_a_pass() -> None:
    assert Planner(LENET).plan([Group(1, at_hand=False, may_mix=True)] * 64) == ["mixed"] * 64


def test_one_task_at_hand_runs_on_its_weights() -> None:
    assert Planner(LENET).plan([Group(64, at_hand=True, may_mix=True)]) == ["grouped"]


def test_a_way_that_is_not_taken_is_tried_now_and_then() -> None:
    planner = Planner(LENET)
    groups = [Group(64, at_hand=True, may_mix=True)]
    taken = [planner.plan(groups) for _ in range(1280)]
    # Composed weights take 316 us, and mixed 504: a hundredth of 60 batches pays for a try.
    assert taken.count(["mixed"]) == 20
    assert taken.count(["grouped"]) == 1260


@given(st.floats(1.001, 3.9))
def test_the_less_dearer_another_way_is_the_sooner_it_is_tried(times: float) -> None:
    planner = Planner(Costs(PathCost(1.0, 0.0), PathCost(1.0, 0.0), PathCost(times, 0.0)))
    groups = [Group(1, at_hand=True, may_mix=True)]
    found = next(at for at in range(1, 1000) if planner.plan(groups) == ["mixed"])
    assert found <= 32 + (times - 1) / 0.01 + 32


@given(COSTS, st.lists(GROUPS, min_size=1, max_size=4))
@settings(deadline=None)
def test_tries_add_no_more_than_a_hundredth(costs: Costs, batches: list[list[Group]]) -> None:
    planner, fresh = Planner(costs), Planner(costs)
    least = [planner.seconds(groups, fresh.plan(groups)) for groups in batches]
    planned = [
        (planner.seconds(groups, planner.plan(groups)), at_least)
        for _ in range(200)
        for groups, at_least in zip(batches, least, strict=True)
    ]
    assert sum(taken for taken, _ in planned) <= 1.0101 * sum(best for _, best in planned)


def test_a_way_that_was_always_far_dearer_is_not_tried() -> None:
    planner = Planner(Costs(PathCost(60e-6, 4e-6), PathCost(1.0, 0.0), PathCost(2.0, 6e-6)))
    groups = [Group(64, at_hand=True, may_mix=True)]
    assert all(planner.plan(groups) == ["grouped"] for _ in range(1280))


class Machine:
    """Each way takes its time there, but while it is busy now and then far more."""

    def __init__(self, grouped: float, mixed: float) -> None:
        self._takes: dict[Path, float] = {"grouped": grouped, "mixed": mixed}
        self.planner = Planner(
            Costs(PathCost(grouped, 0.0), PathCost(1.0, 0.0), PathCost(mixed, 0.0))
        )
        costs = self.planner.costs
        self._costs: dict[Path, PathCost | None] = {"grouped": costs.grouped, "mixed": costs.mixed}

    def batch(self, times: float = 1.0) -> Path:
        """Plan one, take that way, and learn what it took."""
        (path,) = self.planner.plan([Group(1, at_hand=True, may_mix=True)])
        cost = self._costs[path]
        assert cost is not None
        cost.learn(1, times * self._takes[path])
        return path


@given(st.floats(1.1, 3.9), st.booleans(), st.integers(1, 64), st.floats(1.0, 1e6))
def test_one_batch_that_was_held_up_condemns_no_way(
    times: float, mixed_is_best: bool, before: int, held_up: float
) -> None:
    machine = Machine(times, 1.0) if mixed_is_best else Machine(1.0, times)
    best: Path = "mixed" if mixed_is_best else "grouped"
    for _ in range(before):
        machine.batch()
    machine.batch(held_up)
    assert sum(machine.batch() != best for _ in range(160)) <= 10


@given(st.floats(1.1, 3.9), st.booleans(), st.lists(st.floats(1.0, 1e6), min_size=1, max_size=300))
@settings(deadline=None, max_examples=40)
def test_whatever_a_busy_machine_showed_the_better_way_is_found_again(
    times: float, mixed_is_best: bool, held_up: list[float]
) -> None:
    machine = Machine(times, 1.0) if mixed_is_best else Machine(1.0, times)
    best: Path = "mixed" if mixed_is_best else "grouped"
    for slower in held_up:
        machine.batch(slower)
    for _ in range(8000):
        machine.batch()
    assert sum(machine.batch() == best for _ in range(160)) >= 150


def test_composing_is_worth_it_at_once_where_mixing_costs_more() -> None:
    assert Planner(RESIDUAL).plan([Group(1, at_hand=False, may_mix=True)]) == ["composed"]


def test_a_task_is_composed_when_doing_without_has_cost_as_much() -> None:
    planner = Planner(LENET)
    # Alone, a row mixed takes 126 us and 64 on composed weights, which take 110 to make.
    assert [wants_composed(planner, "a", 1, 1) for _ in range(4)] == [False, True, False, True]


def test_tasks_whose_rows_cost_nothing_extra_in_a_mixed_pass_are_never_composed() -> None:
    planner = Planner(LENET)
    assert not any(wants_composed(planner, "a", 1, 64) for _ in range(1000))


def test_what_is_remembered_of_tasks_is_bounded() -> None:
    planner = Planner(LENET)
    for task in range(10_000):
        assert not wants_composed(planner, str(task), 1, 1)
    assert planner.explained()["tasks_counted"] == 4096
    # The last ones asked for are those that count.
    assert wants_composed(planner, "9999", 1, 1)
    assert not wants_composed(planner, "0", 1, 1)
