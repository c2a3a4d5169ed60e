from itertools import pairwise
from time import perf_counter_ns

import numpy as np
import pytest
import torch

from model_store.artifact_layout import LayoutReader
from model_store.network import FrozenNetwork
from service.engine.paths.forward_pass import ForwardPass
from service.engine.paths.path_cost import PathCost
from service.engine.paths.planned_forward import Work
from service.engine.paths.planner import Costs, Planner
from service.engine.registry.entries import Entry
from service.engine.registry.task_table import RegisteredTask, TaskTable
from service.engine.timeline import Timeline
from service.engine.traced_parts import TracedForward, TracedWork
from service.watching.telemetry import Telemetry
from tests.service.artifacts import MakeArtifact


@pytest.fixture
def tasks(network: FrozenNetwork, make_artifact: MakeArtifact) -> list[RegisteredTask]:
    table, reader = TaskTable(), LayoutReader(network)
    made = [make_artifact(seed) for seed in range(2)]
    return [
        table.add(f"task-{index}", reader.read(one.content, bytes.fromhex(one.content_hash)))
        for index, one in enumerate(made)
    ]


@pytest.fixture
def compute(network: FrozenNetwork, telemetry: Telemetry) -> TracedForward:
    planner = Planner(Costs(PathCost(1e-9, 1e-9), PathCost(1e-9, 1e-9), None))
    forward = ForwardPass(network, torch.device("cpu"))
    return TracedForward(planner, forward, network.composed, None, telemetry)


def test_each_traced_request_of_a_batch_hears_of_its_own_steps(
    compute: TracedForward, network: FrozenNetwork, tasks: list[RegisteredTask]
) -> None:
    cold, hot = tasks
    composed, since = network.composed(hot), perf_counter_ns()
    first, second = Timeline(), Timeline()
    rows = np.zeros((2, 20), np.float32)
    entries: list[Entry[Work]] = [
        Entry(cold.version, TracedWork(cold, None, first, since), rows),
        Entry(hot.version, Work(hot, composed), rows),
        Entry(hot.version, TracedWork(hot, composed, second, since), rows),
    ]
    assert all(isinstance(answer, np.ndarray) for answer in compute(entries))
    assert [step.name for step in first.steps] == ["queue", "compose", "forward"]
    assert [step.name for step in second.steps] == ["queue", "forward"]
    for timeline in (first, second):
        assert timeline.steps[0].started_ns == since
        assert timeline.steps[-1].details == {"rows": 6, "tasks": 2}
        for before, after in pairwise(timeline.steps):
            assert before.ended_ns <= after.ended_ns


def test_a_composition_is_told_to_the_batch_that_it_was_for_alone(
    compute: TracedForward, network: FrozenNetwork, tasks: list[RegisteredTask]
) -> None:
    rows = np.zeros((1, 20), np.float32)
    compute([Entry(tasks[0].version, Work(tasks[0], None), rows)])
    later = Timeline()
    work = TracedWork(tasks[0], network.composed(tasks[0]), later, perf_counter_ns())
    compute([Entry(tasks[0].version, work, rows)])
    assert [step.name for step in later.steps] == ["queue", "forward"]
