"""What computes a batch on another device than the CPU: the same, and nothing is mixed up."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch

from masked_network.devices import CPU
from masked_network.gpu_kernels import gpu_kernels
from model_store.artifact_layout import LayoutReader
from model_store.network import FrozenNetwork
from model_store.task_artifact import TaskKind
from service.engine.inference.identification import METHODS, Method
from service.engine.inference.task_identifier import SearchLimits, TaskIdentifier
from service.engine.paths.exact_products import multiply_exactly
from service.engine.paths.forward_pass import ForwardPass
from service.engine.paths.measured_costs import measured_costs
from service.engine.paths.mixed_forward_here import mixed_forward
from service.engine.registry.task_table import RegisteredTask, TaskTable
from service.engine.tiers.weights_codec import WeightsCodec, composition
from tests.normalised_networks import normalised_artifact, normalised_network
from tests.stand_in_device import STAND_IN, StandIn, stand_in_device

KINDS: Sequence[TaskKind] = ("coefficients", "coefficients", "hybrid", "supermask")
ROWS = np.random.default_rng(0).random((2, 64), dtype=np.float32)


@pytest.fixture(scope="module")
def network() -> FrozenNetwork:
    return normalised_network()


@pytest.fixture
def tasks(network: FrozenNetwork) -> list[RegisteredTask]:
    table, reader = TaskTable(), LayoutReader(network)
    made = [normalised_artifact(network, seed, kind) for seed, kind in enumerate(KINDS)]
    return [
        table.add(f"task-{index}", reader.read(one.content, bytes.fromhex(one.content_hash)))
        for index, one in enumerate(made)
    ]


@pytest.fixture
def other() -> Iterator[StandIn]:
    with stand_in_device() as device:
        yield device


def test_every_kind_of_task_is_answered_alike(
    network: FrozenNetwork, tasks: list[RegisteredTask], other: StandIn
) -> None:
    there = network.to(STAND_IN)
    for task in tasks:
        here = ForwardPass(network, CPU)(network.composed(task), ROWS)
        composed = composition(there, "fp32")(task)
        assert np.allclose(ForwardPass(there, STAND_IN)(composed, ROWS), here, atol=1e-4)


def test_rows_of_different_tasks_are_answered_alike(
    network: FrozenNetwork, tasks: list[RegisteredTask], other: StandIn
) -> None:
    mixed = mixed_forward(network.to(STAND_IN))
    assert mixed is not None
    answers = mixed(tasks[:2], [ROWS, ROWS[:1]])
    for task, rows, answer in zip(tasks, (ROWS, ROWS[:1]), answers, strict=False):
        here = ForwardPass(network, CPU)(network.composed(task), rows)
        assert np.allclose(answer, here, atol=1e-4)


# On the stand-in nothing can be learned, as adapting does.
@pytest.mark.parametrize("method", [method for method in METHODS if method != "adapt"])
def test_tasks_are_named_alike(
    network: FrozenNetwork, tasks: list[RegisteredTask], other: StandIn, method: Method
) -> None:
    named = [
        TaskIdentifier(where, SearchLimits(8)).identify(tuple(tasks), ROWS, method)
        for where in (network, network.to(STAND_IN))
    ]
    assert [one.best.task.task_id for one in named] == [named[0].best.task.task_id] * 2
    assert named[0].margin_nats == pytest.approx(named[1].margin_nats, abs=1e-4)


def test_costs_are_measured_of_every_way_there_is(network: FrozenNetwork, other: StandIn) -> None:
    there = network.to(STAND_IN)
    costs = measured_costs(
        there, composition(there, "fp32"), ForwardPass(there, STAND_IN), mixed_forward(there)
    )
    assert costs.mixed is not None


def test_weights_come_back_from_bytes_to_where_the_network_is(
    network: FrozenNetwork, tasks: list[RegisteredTask], other: StandIn
) -> None:
    there = network.to(STAND_IN)
    codec = WeightsCodec(there, "fp16")
    decoded = codec.decode(codec.encode(composition(there, "fp16")(tasks[0])))
    assert decoded is not None
    assert {weight.device for weight in decoded.values()} == {STAND_IN}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("recorded", [True, False])
def test_a_gpu_answers_every_task_alike(
    network: FrozenNetwork, tasks: list[RegisteredTask], recorded: bool
) -> None:
    device = torch.device("cuda")
    multiply_exactly(device)
    there = network.to(device)
    most_rows, resident_bytes = (4, 1 << 20) if recorded else (0, 0)
    mixed = mixed_forward(there, most_rows, resident_bytes)
    forward = ForwardPass(there, device, most_rows)
    assert mixed is not None
    assert mixed.name == ("fused" if gpu_kernels(device) else "stacked")
    expected = [ForwardPass(network, CPU)(network.composed(task), ROWS) for task in tasks]
    for task, here in zip(tasks, expected, strict=True):
        composed = composition(there, "fp32")(task)
        assert np.allclose(forward(composed, ROWS), here, atol=1e-4)
    # Twice: when they are there already, too.
    for _ in range(2):
        answers = mixed(tasks[:2], [ROWS, ROWS[:1]])
        assert np.allclose(answers[0], expected[0], atol=1e-4)
        assert np.allclose(answers[1], expected[1][:1], atol=1e-4)
