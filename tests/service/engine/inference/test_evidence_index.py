from collections.abc import Sequence

import pytest
import torch

from model_store.network import FrozenNetwork
from service.engine.inference.evidence_index import EvidenceIndex
from service.engine.registry.task_table import RegisteredTask, TaskTable
from tests.service.artifacts import MakeArtifact, laid_out
from tests.service.engine.known_inputs import knowing, rows_of

MANY = 300


@pytest.fixture(scope="module")
def tasks(network: FrozenNetwork, make_artifact: MakeArtifact) -> tuple[RegisteredTask, ...]:
    table = TaskTable()
    kinds = ("coefficients", "supermask")
    return tuple(
        table.add(
            f"task-{number}",
            laid_out(network, knowing(network, make_artifact(1, kinds[number % 50 == 0]), number)),
        )
        for number in range(MANY)
    )


def index_of(network: FrozenNetwork) -> EvidenceIndex:
    return EvidenceIndex(len(network.directions), network.directions.shape[1])


def likelihoods(
    network: FrozenNetwork, index: EvidenceIndex, number: int, rows: int = 16
) -> dict[str, float]:
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows_of(number, rows)))
    found = index.likeliest(network.projected(inputs))
    names = [task.task_id for task in found.tasks]
    return dict(zip(names, found.likelihoods.tolist(), strict=True))


def best(found: dict[str, float]) -> str:
    return max(found, key=lambda task_id: found[task_id])


@pytest.mark.parametrize("rows", [1, 16])
def test_owner_of_rows_is_found_among_more_than_are_looked_at_twice(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: int
) -> None:
    index = index_of(network)
    index.take(tasks)
    for number in range(0, MANY, 25):
        found = likelihoods(network, index, number, rows)
        assert len(found) < MANY
        assert best(found) == f"task-{number}"


def test_likelihoods_among_many_are_those_among_few(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...]
) -> None:
    many, few = index_of(network), index_of(network)
    many.take(tasks)
    few.take(tasks[5:15])
    among_many, among_few = (likelihoods(network, index, 7) for index in (many, few))
    assert len(among_few) == 10
    assert among_many["task-7"] == pytest.approx(among_few["task-7"], abs=1e-3)


@pytest.mark.parametrize("count", [20, MANY])
def test_what_comes_and_goes_leaves_the_index_as_if_made_anew(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], count: int
) -> None:
    changed = index_of(network)
    changes: Sequence[tuple[RegisteredTask, ...]] = (
        tasks[:10],
        tasks[: count - 3],
        tasks[4:count],
        tasks[2:6] + tasks[9:count],
    )
    for now in changes:
        changed.take(now)
    anew = index_of(network)
    anew.take(changes[-1])
    assert len(changed) == len(anew) == count - 5
    for number in (2, 10, count - 1, 7):
        assert likelihoods(network, changed, number) == pytest.approx(
            likelihoods(network, anew, number), abs=1e-4
        )


def test_tasks_without_evidence_are_told_apart(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], make_artifact: MakeArtifact
) -> None:
    bare = TaskTable().add("bare", laid_out(network, make_artifact(3)))
    index = index_of(network)
    index.take((bare, *tasks[:3]))
    assert index.without == (bare,)
    assert len(index) == 3
    index.take((bare,))
    with pytest.raises(ValueError, match="tasks with evidence, got none"):
        likelihoods(network, index, 1)
