"""Whatever the plan, rows are answered as the task's composed network answers them."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from masked_network.backbones import forward
from masked_network.compiled import compiled_kernels
from masked_network.stacked_bank import StackedBank
from model_store.artifact_layout import LayoutReader
from model_store.coefficient_tensors import Precision, quantised
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskArtifact, TaskKind
from service.engine.paths.forward_pass import ForwardPass
from service.engine.paths.measured_costs import measured_costs
from service.engine.paths.mixed_forward import BatchForward, MixedForward
from service.engine.paths.mixed_forward_here import mixed_forward
from service.engine.paths.path_cost import PathCost
from service.engine.paths.planned_forward import PlannedForward, Work
from service.engine.paths.planner import Costs, Planner
from service.engine.registry.entries import Entry, Rows
from service.engine.registry.task_table import RegisteredTask, StackedTasks, TaskTable
from service.watching.telemetry import Telemetry
from tests.service.artifacts import MakeArtifact

CHEAP, DEAR = PathCost(1e-9, 1e-9), PathCost(1e3, 1e3)
CPU = torch.device("cpu")
KINDS: Sequence[TaskKind] = ("coefficients", "coefficients", "coefficients", "hybrid", "supermask")


@pytest.fixture(scope="module")
def tasks(network: FrozenNetwork, make_artifact: MakeArtifact) -> list[RegisteredTask]:
    table, reader = TaskTable(), LayoutReader(network)
    made = [make_artifact(seed, kind=kind) for seed, kind in enumerate(KINDS)]
    made += [of_precision(network, make_artifact(9), precision) for precision in ("int4", "int8")]
    return [
        table.add(f"task-{index}", reader.read(one.content, bytes.fromhex(one.content_hash)))
        for index, one in enumerate(made)
    ]


def of_precision(
    network: FrozenNetwork, artifact: TaskArtifact, precision: Precision
) -> TaskArtifact:
    used = network.used_by("coefficients")
    return TaskArtifact(artifact.record, quantised(torch.randn(used.shape), used, precision))


def a_mixed_path(network: FrozenNetwork) -> MixedForward:
    found = mixed_forward(network)
    return found or BatchForward(
        network, "stacked", StackedBank(network.backbone, network.weights, network.bank)
    )


def planned(network: FrozenNetwork, costs: Costs, telemetry: Telemetry) -> PlannedForward:
    mixed = a_mixed_path(network) if costs.mixed is not None else None
    forward_pass = ForwardPass(network, CPU)
    return PlannedForward(Planner(costs), forward_pass, network.composed, mixed, telemetry)


def expected(network: FrozenNetwork, task: RegisteredTask, rows: Rows) -> Rows:
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows))
    logits: Rows = forward(network.backbone, network.composed(task), inputs).detach().numpy()
    return logits


@pytest.mark.parametrize(
    "costs",
    [
        pytest.param(Costs(DEAR, DEAR, CHEAP), id="all mixed"),
        pytest.param(Costs(CHEAP, CHEAP, DEAR), id="all composed"),
        pytest.param(Costs(CHEAP, DEAR, CHEAP), id="mixed where not at hand"),
        pytest.param(Costs(CHEAP, CHEAP, None), id="no mixed path"),
    ],
)
@given(asked=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3), st.booleans()), min_size=1))
@settings(max_examples=25, deadline=None)
def test_every_plan_gives_the_same_answers(
    network: FrozenNetwork,
    tasks: list[RegisteredTask],
    costs: Costs,
    asked: list[tuple[int, int, bool]],
) -> None:
    compute = planned(network, costs, Telemetry(CollectorRegistry()))
    generator = np.random.default_rng(0)
    entries = []
    for index, rows, at_hand in asked:
        task = tasks[index]
        # A task of a kind that cannot mix comes with its weights, as the predictor sends it.
        weights = network.composed(task) if at_hand or not compute.may_mix(task) else None
        given_rows = generator.random((rows, 20), dtype=np.float32)
        entries.append(Entry(task.version, Work(task, weights), given_rows))
    for entry, answer in zip(entries, compute(entries), strict=True):
        assert isinstance(answer, np.ndarray)
        assert np.allclose(answer, expected(network, entry.payload.task, entry.rows), atol=1e-4)


def test_what_was_composed_for_a_batch_is_given_away(
    network: FrozenNetwork, tasks: list[RegisteredTask], telemetry: Telemetry
) -> None:
    compute = planned(network, Costs(CHEAP, CHEAP, DEAR), telemetry)
    rows = np.zeros((1, 20), np.float32)
    compute([Entry(task.version, Work(task, None), rows) for task in tasks[:2]])
    assert [task.task_id for task, _ in compute.composed] == ["task-0", "task-1"]


class Unchanging(PathCost):
    """A cost that stays as it is told."""

    def learn(self, rows: int, seconds: float) -> None:
        pass


def test_a_task_that_is_asked_for_again_and_again_is_wanted_composed(
    network: FrozenNetwork, tasks: list[RegisteredTask], telemetry: Telemetry
) -> None:
    # A row mixed costs 4, composing 10, and a row on composed weights 1.
    costs = Costs(Unchanging(1, 0), Unchanging(10, 0), Unchanging(4, 0))
    compute = planned(network, costs, telemetry)
    rows = np.zeros((1, 20), np.float32)
    wanted = []
    for _ in range(4):
        compute([Entry(tasks[0].version, Work(tasks[0], None), rows)])
        wanted.append([task.task_id for task in compute.wanted])
    assert wanted == [[], [], [], ["task-0"]]


def test_rows_that_cannot_be_computed_hurt_no_other_task(
    network: FrozenNetwork, tasks: list[RegisteredTask], telemetry: Telemetry
) -> None:
    compute = planned(network, Costs(DEAR, DEAR, CHEAP), telemetry)
    good, bad = np.ones((1, 20), np.float32), np.ones((1, 7), np.float32)
    entries = [
        Entry(task.version, Work(task, None), bad if index == 1 else good)
        for index, task in enumerate(tasks[:3])
    ]
    first, second, third = compute(entries)
    assert isinstance(second, Exception)
    for task, answer in ((tasks[0], first), (tasks[2], third)):
        assert isinstance(answer, np.ndarray)
        assert np.allclose(answer, expected(network, task, good), atol=1e-4)


def test_a_plan_is_explained(
    network: FrozenNetwork, tasks: list[RegisteredTask], telemetry: Telemetry
) -> None:
    compute = planned(network, Costs(DEAR, DEAR, CHEAP), telemetry)
    rows = np.zeros((1, 20), np.float32)
    compute([Entry(task.version, Work(task, None), rows) for task in tasks[:3]])
    said = compute.explained()
    assert said["mixed_path"] == ("fused" if compiled_kernels() else "stacked")
    assert said["last_batch"]["tasks_by_path"] == {"mixed": 3}
    assert said["costs"]["grouped"]["fixed_us"] == 1e9
    # It was far dearer than it was told to be.
    assert said["costs"]["mixed"]["correction_of_rows"][16] > 1


def test_costs_are_measured_of_every_way_there_is(network: FrozenNetwork) -> None:
    costs = measured_costs(
        network, network.composed, ForwardPass(network, CPU), a_mixed_path(network)
    )
    assert costs.mixed is not None
    assert min(one.seconds(1) for one in (costs.grouped, costs.compose, costs.mixed)) > 0
    assert measured_costs(network, network.composed, ForwardPass(network, CPU), None).mixed is None


def test_tasks_of_one_layout_stack_and_others_are_refused(
    network: FrozenNetwork, tasks: list[RegisteredTask]
) -> None:
    together, _ = network.values_of(StackedTasks(tasks[:3]))
    for row, task in zip(together, tasks[:3], strict=True):
        assert torch.equal(row, network.coefficients(task))
    with pytest.raises(ValueError, match="one layout"):
        StackedTasks([tasks[0], tasks[4]])


def test_what_is_read_in_the_table_is_what_a_task_is_composed_of(
    network: FrozenNetwork, tasks: list[RegisteredTask]
) -> None:
    for task in (*tasks[:4], *tasks[5:]):
        assert torch.equal(
            torch.from_numpy(network.kept_numbers(task)), network.kept_coefficients(task)
        )
        coefficients, statistics = network.values_of(task)
        assert torch.equal(coefficients, network.coefficients(task))
        expected = network.task_statistics(task)
        assert statistics.keys() == expected.keys()
        assert all(torch.equal(statistics[name], expected[name]) for name in expected)
        assert task.array("nothing of that name") is None
    with pytest.raises(ValueError, match="a dedicated supermask has no coefficients"):
        network.kept_numbers(tasks[4])
    together = StackedTasks(tasks[:3])
    for name, own in tasks[0].tensors.items():
        column = together.array(name)
        assert column is not None
        assert torch.equal(torch.from_numpy(column[0]), own)
        assert column.shape == (3, *own.shape)
    assert together.array("nothing of that name") is None


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [20], [5, 1, 40], [64], [65], [1, 130, 3]])
def test_any_number_of_rows_without_composed_weights_is_answered_by_their_tasks(
    network: FrozenNetwork,
    tasks: list[RegisteredTask],
    lengths: list[int],
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    mixed, drawn = a_mixed_path(network), np.random.default_rng(7)
    rows = [drawn.random((length, 20), dtype=np.float32) for length in lengths]
    for some in (tasks[: len(lengths)], [tasks[0], *tasks[5:]][: len(lengths)]):
        answers = mixed(some, rows)
        for task, own, answer in zip(some, rows, answers, strict=True):
            np.testing.assert_allclose(answer, expected(network, task, own), atol=1e-5)
