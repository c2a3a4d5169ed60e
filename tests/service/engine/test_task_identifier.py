import math

import numpy as np
import pytest
import torch

from masked_network.backbones import forward
from model_store.network import FrozenNetwork
from model_store.task_artifact import KINDS
from service.engine.task_identifier import TaskIdentifier
from service.engine.task_table import RegisteredTask
from tests.service.artifacts import MakeArtifact, registered


@pytest.fixture
def tasks(network: FrozenNetwork, make_artifact: MakeArtifact) -> tuple[RegisteredTask, ...]:
    kinds = [*KINDS[::-1] * 3, *KINDS[:1] * 6]
    return tuple(
        registered(network, f"task-{seed}", make_artifact(seed, kind))
        for seed, kind in enumerate(kinds)
    )


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(5).random((7, 20), dtype=np.float32)


def true_entropy(network: FrozenNetwork, task: RegisteredTask, rows: np.ndarray) -> float:
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows))
    logits = forward(network.backbone, network.composed(task), inputs)
    probabilities = logits[:, : len(task.classes)].softmax(dim=1).double()
    return float(-(probabilities * probabilities.log()).sum(dim=1).mean())


def test_short_list_of_all_tasks_is_the_least_true_entropy(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    found = TaskIdentifier(network, shortlist=100).identify(tasks, rows, "short-list")
    entropies = {task.task_id: true_entropy(network, task, rows) for task in tasks}
    ordered = sorted(entropies, key=lambda task_id: entropies[task_id])
    assert [one.task.task_id for one in found.candidates] == ordered
    assert found.best.entropy_nats == pytest.approx(entropies[ordered[0]], rel=1e-4)
    expected_margin = entropies[ordered[1]] - entropies[ordered[0]]
    assert found.margin_nats == pytest.approx(expected_margin, abs=1e-4)


def test_short_list_takes_the_true_entropy_of_the_best_by_gradient_only(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    identifier = TaskIdentifier(network, shortlist=4)
    by_gradient = identifier.identify(tasks, rows, "one-shot").candidates
    verified = identifier.identify(tasks, rows, "short-list").candidates
    assert len(verified) == 4
    assert {one.task.task_id for one in verified} == {one.task.task_id for one in by_gradient}
    assert [one.entropy_nats for one in verified] == sorted(one.entropy_nats for one in verified)


def test_logits_of_the_named_task_are_those_of_its_own_network(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    best = TaskIdentifier(network, shortlist=100).identify(tasks, rows, "short-list").best
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows))
    expected = forward(network.backbone, network.composed(best.task), inputs)
    assert np.allclose(best.logits, expected.numpy(), atol=1e-4)


def test_tasks_registered_later_take_part_in_the_next_call(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    identifier = TaskIdentifier(network, shortlist=3)
    few = identifier.identify(tasks[:2], rows, "one-shot")
    many = identifier.identify(tasks, rows, "one-shot")
    again = TaskIdentifier(network, shortlist=3).identify(tasks, rows, "one-shot")
    assert len(few.candidates) == 2
    assert [one.task for one in many.candidates] == [one.task for one in again.candidates]


def test_lone_task_is_measured_against_knowing_nothing(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    found = TaskIdentifier(network, shortlist=3).identify(tasks[:1], rows, "short-list")
    uniform = math.log(len(tasks[0].classes))
    assert found.margin_nats == pytest.approx(uniform - found.best.entropy_nats, abs=1e-5)


def test_task_of_one_class_never_wins_by_being_certain_of_everything(
    network: FrozenNetwork, make_artifact: MakeArtifact, rows: np.ndarray
) -> None:
    tasks = (
        registered(network, "one-class", make_artifact(1, classes=("only",))),
        registered(network, "four-classes", make_artifact(2)),
    )
    found = TaskIdentifier(network, shortlist=3).identify(tasks, rows, "short-list")
    assert found.best.task.task_id == "four-classes"
