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


@pytest.fixture(scope="module")
def very_many(network: FrozenNetwork, make_artifact: MakeArtifact) -> tuple[RegisteredTask, ...]:
    """So many, of a hundred inputs, that a hundred of them are few."""
    table = TaskTable()
    known = [laid_out(network, knowing(network, make_artifact(1), n)) for n in range(100)]
    return tuple(table.add(f"task-{n}", known[n % 100]) for n in range(3500))


def index_of(network: FrozenNetwork, lists_bytes: int = 1 << 30) -> EvidenceIndex:
    directions = network.directions
    return EvidenceIndex(len(directions), directions.shape[1], lists_bytes=lists_bytes)


def likelihoods(
    network: FrozenNetwork,
    index: EvidenceIndex,
    tasks: tuple[RegisteredTask, ...],
    number: int,
    rows: int = 16,
) -> dict[str, float]:
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows_of(number, rows)))
    found = index.likeliest(index.of(tasks), network.projected(inputs))
    names = [task.task_id for task in found.tasks]
    return dict(zip(names, found.likelihoods.tolist(), strict=True))


def likelihoods_of_each(
    network: FrozenNetwork, index: EvidenceIndex, tasks: tuple[RegisteredTask, ...], number: int
) -> list[dict[str, float]]:
    inputs = network.manifest.preprocessing.to_inputs(torch.from_numpy(rows_of(number, 3)))
    found = index.likeliest_of_each(index.of(tasks), network.projected(inputs))
    return [
        {found.tasks[choice].task_id: value for choice, value in zip(choices, values, strict=True)}
        for choices, values in zip(found.choices.tolist(), found.likelihoods.tolist(), strict=True)
    ]


def best(found: dict[str, float]) -> str:
    return max(found, key=lambda task_id: found[task_id])


@pytest.mark.parametrize("rows", [1, 16])
def test_owner_of_rows_is_found_among_more_than_are_looked_at_twice(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], rows: int
) -> None:
    index = index_of(network)
    for number in range(0, MANY, 25):
        found = likelihoods(network, index, tasks, number, rows)
        assert len(found) < MANY
        assert best(found) == f"task-{number}"


def test_likelihoods_among_many_are_those_among_few(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...]
) -> None:
    index = index_of(network)
    among_many, among_few = (likelihoods(network, index, some, 7) for some in (tasks, tasks[5:15]))
    assert len(among_few) == 10
    assert among_many["task-7"] == pytest.approx(among_few["task-7"], abs=1e-3)


@pytest.mark.parametrize("count", [20, MANY])
@pytest.mark.parametrize("lists_bytes", [0, 1 << 30])
def test_what_comes_and_goes_leaves_the_index_as_if_made_anew(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], count: int, lists_bytes: int
) -> None:
    changed, anew = index_of(network, lists_bytes), index_of(network)
    changes: Sequence[tuple[RegisteredTask, ...]] = (
        tasks[:10],
        tasks[: count - 3],
        tasks[4:count],
        tasks[2:6] + tasks[9:count],
    )
    for now in changes:
        changed.of(now)
    for number in (2, 10, count - 1, 7):
        assert likelihoods(network, changed, changes[-1], number) == pytest.approx(
            likelihoods(network, anew, changes[-1], number), abs=1e-4
        )
    # Of lists that make room nothing stays but what others have too.
    assert len(changed) == (count if lists_bytes else count - 5)


def test_lists_that_take_turns_do_not_undo_each_other(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...]
) -> None:
    index = index_of(network)
    lists = [tasks[start : start + 150] for start in (0, 50, 100, 150)]
    first = [index.of(one) for one in lists]
    assert len(index) == MANY
    for _ in range(2):
        assert [index.of(one) for one in lists] == first


@pytest.mark.parametrize("start", [0, 1700, 3400])
@pytest.mark.parametrize("count", [100, 1500])
def test_list_is_answered_as_if_no_other_were_kept(
    network: FrozenNetwork, very_many: tuple[RegisteredTask, ...], start: int, count: int
) -> None:
    own = very_many[start : start + count]
    crowded, alone = index_of(network), index_of(network)
    crowded.of(very_many)
    for rows in (1, 16):
        given = (own, 25, rows)
        found, expected = (likelihoods(network, one, *given) for one in (crowded, alone))
        assert_alike(found, expected, own)
    of_each = [likelihoods_of_each(network, one, own, 25) for one in (crowded, alone)]
    for of_row, alike in zip(*of_each, strict=True):
        assert_alike(of_row, alike, own)


def assert_alike(
    found: dict[str, float], expected: dict[str, float], own: tuple[RegisteredTask, ...]
) -> None:
    # Tasks of the same inputs are equally likely, so either may be among the best.
    assert sorted(found.values()) == pytest.approx(sorted(expected.values()), abs=1e-4)
    assert found.keys() <= {task.task_id for task in own}


def test_tasks_that_are_on_no_list_any_more_are_never_named(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...]
) -> None:
    index = index_of(network, lists_bytes=0)
    index.of(tasks)
    own = tasks[100:200]
    assert best(likelihoods(network, index, own, 7)) != "task-7"
    assert len(index) == 100
    assert best(likelihoods(network, index, own, 150)) == "task-150"
    assert best(likelihoods(network, index, tasks, 7)) == "task-7"


def test_tasks_without_evidence_are_told_apart(
    network: FrozenNetwork, tasks: tuple[RegisteredTask, ...], make_artifact: MakeArtifact
) -> None:
    bare = TaskTable().add("bare", laid_out(network, make_artifact(3)))
    index = index_of(network)
    known = index.of((bare, *tasks[:3]))
    assert known.without == (bare,)
    assert len(known) == 3
    with pytest.raises(ValueError, match="tasks with evidence, got none"):
        likelihoods(network, index, (bare,), 1)
