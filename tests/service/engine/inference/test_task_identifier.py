import math

import numpy as np
import pytest
import torch

from masked_network.backbones import forward
from masked_network.task_inference import binary_choice
from model_store.network import FrozenNetwork
from model_store.task_artifact import KINDS
from service.engine.inference.identification import Identification, Method
from service.engine.inference.task_identifier import SearchLimits, TaskIdentifier
from service.engine.registry.task_table import RegisteredTask
from tests.service.artifacts import MakeArtifact, registered
from tests.service.engine.known_inputs import knowing, rows_of


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
    found = TaskIdentifier(network, SearchLimits(100)).identify(tasks, rows, "short-list")
    entropies = {task.task_id: true_entropy(network, task, rows) for task in tasks}
    ordered = sorted(entropies, key=lambda task_id: entropies[task_id])
    assert [one.task.task_id for one in found.candidates] == ordered
    assert found.best.entropy_nats == pytest.approx(entropies[ordered[0]], rel=1e-4)
    expected_margin = entropies[ordered[1]] - entropies[ordered[0]]
    assert found.margin_nats == pytest.approx(expected_margin, abs=1e-4)


def test_short_list_takes_the_true_entropy_of_the_best_by_gradient_only(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    identifier = TaskIdentifier(network, SearchLimits(4))
    by_gradient = identifier.identify(tasks, rows, "one-shot").candidates
    verified = identifier.identify(tasks, rows, "short-list").candidates
    assert len(verified) == 4
    assert {one.task.task_id for one in verified} == {one.task.task_id for one in by_gradient}
    assert [one.entropy_nats for one in verified] == sorted(one.entropy_nats for one in verified)


def test_logits_of_the_named_task_are_those_of_its_own_network(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    best = TaskIdentifier(network, SearchLimits(100)).identify(tasks, rows, "short-list").best
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows))
    expected = forward(network.backbone, network.composed(best.task), inputs)
    assert np.allclose(best.logits, expected.numpy(), atol=1e-4)


def test_tasks_registered_later_take_part_in_the_next_call(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    identifier = TaskIdentifier(network, SearchLimits(3))
    few = identifier.identify(tasks[:2], rows, "one-shot")
    many = identifier.identify(tasks, rows, "one-shot")
    again = TaskIdentifier(network, SearchLimits(3)).identify(tasks, rows, "one-shot")
    assert len(few.candidates) == 2
    assert [one.task for one in many.candidates] == [one.task for one in again.candidates]


def test_lone_task_is_measured_against_knowing_nothing(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    found = TaskIdentifier(network, SearchLimits(3)).identify(tasks[:1], rows, "short-list")
    uniform = math.log(len(tasks[0].classes))
    assert found.margin_nats == pytest.approx(uniform - found.best.entropy_nats, abs=1e-5)


def test_task_of_one_class_never_wins_by_being_certain_of_everything(
    network: FrozenNetwork, make_artifact: MakeArtifact, rows: np.ndarray
) -> None:
    tasks = (
        registered(network, "one-class", make_artifact(1, classes=("only",))),
        registered(network, "four-classes", make_artifact(2)),
    )
    found = TaskIdentifier(network, SearchLimits(3)).identify(tasks, rows, "short-list")
    assert found.best.task.task_id == "four-classes"


def known_tasks(
    network: FrozenNetwork, make_artifact: MakeArtifact, count: int
) -> tuple[RegisteredTask, ...]:
    return tuple(
        registered(network, f"known-{number}", knowing(network, make_artifact(number), number))
        for number in range(count)
    )


@pytest.mark.parametrize("count", [1, 16])
def test_evidence_names_the_owner_of_rows_where_entropy_cannot(
    network: FrozenNetwork, make_artifact: MakeArtifact, count: int
) -> None:
    tasks = known_tasks(network, make_artifact, 12)
    identifier = TaskIdentifier(network, SearchLimits(4))
    for number in range(12):
        found = identifier.identify(tasks, rows_of(number, count), "auto")
        assert found.method == "auto"
        assert found.best.task.task_id == f"known-{number}"
        assert found.confidence > 0.9
        assert found.strangeness is not None
        assert found.strangeness < 4
        assert found.margin_nats > math.log(9)


def test_rows_of_no_task_are_strange_to_the_best_one(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    tasks = known_tasks(network, make_artifact, 6)
    identifier = TaskIdentifier(network, SearchLimits(4))
    own = identifier.identify(tasks, rows_of(2, 16), "auto").strangeness
    others = identifier.identify(tasks, rows_of(77, 16), "auto").strangeness
    empty = identifier.identify(tasks, np.zeros((16, 20), np.float32), "auto").strangeness
    assert own is not None
    assert others is not None
    assert empty is not None
    assert own < 4 < min(others, empty)


def test_task_without_evidence_is_named_where_no_evidence_fits(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    bare = registered(network, "bare", make_artifact(50))
    tasks = (bare, *known_tasks(network, make_artifact, 6))
    identifier = TaskIdentifier(network, SearchLimits(4))
    assert identifier.identify(tasks, rows_of(3, 16), "auto").best.task.task_id == "known-3"
    stranger = identifier.identify(tasks, rows_of(77, 16), "auto")
    assert stranger.best.task.task_id == "bare"
    assert stranger.strangeness is None


def test_auto_without_any_evidence_is_the_short_list(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    identifier = TaskIdentifier(network, SearchLimits(4))
    auto, listed = (identifier.identify(tasks, rows, method) for method in ("auto", "short-list"))
    assert [one.task for one in auto.candidates] == [one.task for one in listed.candidates]
    assert auto.margin_nats == listed.margin_nats


def test_exhaustive_ranks_every_task_by_its_true_entropy(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    found = TaskIdentifier(network, SearchLimits(2)).identify(tasks, rows, "exhaustive")
    every = TaskIdentifier(network, SearchLimits(100)).identify(tasks, rows, "short-list")
    assert [one.task for one in found.candidates] == [one.task for one in every.candidates]


def test_binary_names_what_is_left_by_halves(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray
) -> None:
    found = TaskIdentifier(network, SearchLimits(3)).identify(tasks, rows, "binary")
    ordered = sorted(tasks, key=lambda task: KINDS.index(task.kind))
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows))
    left = binary_choice(
        network.backbone,
        network.weights,
        network.bank,
        network.candidates(ordered),
        inputs,
        max(len(task.classes) for task in tasks),
    )
    assert found.best.task is ordered[left]
    assert len({one.task.task_id for one in found.candidates}) == 3


def test_more_tasks_are_looked_at_where_more_are_asked_for_within_the_short_list(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    tasks, rows = known_tasks(network, make_artifact, 12), rows_of(3, 16)
    identifier = TaskIdentifier(network, SearchLimits(8))
    usual = identifier.identify(tasks, rows, "auto")
    for top, expected in ((1, 2), (5, 5), (12, 8)):
        found = identifier.identify(tasks, rows, "auto", top)
        assert len(found.candidates) == len(found.probabilities) == expected
        assert found.best.task is usual.best.task
        assert found.margin_nats == pytest.approx(usual.margin_nats, rel=1e-4)
        assert found.probabilities[0] == found.confidence == max(found.probabilities)


def as_one(found: Identification) -> list[object]:
    values = [found.margin_nats, found.strangeness, *found.probabilities]
    return [one.task.task_id for one in found.candidates[:2]] + [
        pytest.approx(value, rel=2e-3, abs=2e-3) for value in values[:4] if value is not None
    ]


def told(found: Identification) -> list[object]:
    values = [found.margin_nats, found.strangeness, *found.probabilities]
    return [one.task.task_id for one in found.candidates[:2]] + [
        value for value in values[:4] if value is not None
    ]


@pytest.mark.parametrize("count", [1, 12, 80])
@pytest.mark.parametrize("bare", [0, 2])
def test_each_row_is_named_as_if_it_were_asked_about_alone(
    network: FrozenNetwork, make_artifact: MakeArtifact, count: int, bare: int
) -> None:
    known = known_tasks(network, make_artifact, count)
    tasks = (
        *(registered(network, f"bare-{number}", make_artifact(number)) for number in range(bare)),
        *known,
    )
    identifier = TaskIdentifier(network, SearchLimits(8))
    owners = [number % (count + 1) for number in range(0, 40, 3)]
    rows = np.concatenate([rows_of(number, 1, seed=number + 3) for number in owners])
    found = identifier.identify_each(tasks, rows, "auto")
    alone = [identifier.identify(tasks, rows[n : n + 1], "auto") for n in range(len(rows))]
    assert [told(one) for one in found] == [as_one(one) for one in alone]
    for one, apart in zip(found, alone, strict=True):
        assert one.best.logits.shape == (1, 6)
        assert np.allclose(one.best.logits, apart.best.logits, atol=1e-4)


def test_rows_of_different_tasks_are_each_named_by_their_own(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    tasks, owners = known_tasks(network, make_artifact, 80), range(0, 80, 3)
    rows = np.concatenate([rows_of(number, 1) for number in owners])
    found = TaskIdentifier(network, SearchLimits(8)).identify_each(tasks, rows, "auto")
    assert [one.best.task.task_id for one in found] == [f"known-{number}" for number in owners]


@pytest.mark.parametrize("method", ["one-shot", "binary", "short-list", "exhaustive"])
def test_each_row_is_named_by_any_method(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: np.ndarray, method: Method
) -> None:
    identifier = TaskIdentifier(network, SearchLimits(4))
    found = identifier.identify_each(tasks, rows, method, top=3)
    for row, one in enumerate(found):
        alone = identifier.identify(tasks, rows[row : row + 1], method, top=3)
        assert one.method == method
        assert [each.task for each in one.candidates] == [each.task for each in alone.candidates]


def test_more_candidates_of_each_row_are_looked_at_where_more_are_asked_for(
    network: FrozenNetwork, make_artifact: MakeArtifact
) -> None:
    tasks = known_tasks(network, make_artifact, 12)
    rows = np.concatenate([rows_of(number, 1) for number in range(4)])
    found = TaskIdentifier(network, SearchLimits(8)).identify_each(tasks, rows, "auto", top=7)
    assert [len(one.candidates) for one in found] == [7] * 4
    assert all(sum(one.probabilities) <= 1 + 1e-5 for one in found)
