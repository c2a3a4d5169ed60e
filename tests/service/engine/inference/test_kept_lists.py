from collections.abc import Sequence

import pytest

from model_store.network import FrozenNetwork
from service.engine.inference.kept_lists import KeptLists, Tasks
from tests.service.artifacts import MakeArtifact, registered


class Lists:
    """Kept lists, each of which is made to a number and takes a hundred bytes and its own."""

    def __init__(self, most_bytes: int) -> None:
        self.made = 0
        self.let_go: list[int] = []
        self.kept = KeptLists(most_bytes, self._make, lambda made: 100, self.let_go.append)

    def _make(self, tasks: Tasks) -> int:
        self.made += 1
        return self.made

    def ask(self, *lists: Tasks) -> Sequence[int]:
        return [self.kept.of(tasks) for tasks in lists]


@pytest.fixture
def tasks(network: FrozenNetwork, make_artifact: MakeArtifact) -> Tasks:
    return tuple(registered(network, f"task-{n}", make_artifact(0)) for n in range(4))


def test_lists_that_take_turns_are_made_once(tasks: Tasks) -> None:
    lists, one, other = Lists(1000), tasks[:2], tasks[2:]
    assert lists.ask(one, other, one, other) == [1, 2, 1, 2]
    assert lists.let_go == []


def test_list_is_known_again_where_it_comes_as_another_object(tasks: Tasks) -> None:
    lists = Lists(1000)
    assert lists.ask(tasks[:2], tasks[0:2], tasks[1::-1]) == [1, 1, 2]


def test_least_recently_asked_for_makes_room_by_bytes(tasks: Tasks) -> None:
    one, two, three = tasks[:1], tasks[:2], tasks[:3]
    lists = Lists(most_bytes=100 + 8 + 100 + 24)
    assert lists.ask(one, two, one, three) == [1, 2, 1, 3]
    assert lists.let_go == [2]
    assert lists.ask(one, three, two) == [1, 3, 4]
    assert lists.let_go == [2, 1, 3]


def test_newest_is_kept_however_large_it_is(tasks: Tasks) -> None:
    lists = Lists(most_bytes=0)
    assert lists.ask(tasks, tasks, tasks[:1], tasks[:1], tasks) == [1, 1, 2, 2, 3]
    assert lists.let_go == [1, 2]


def test_lists_of_tasks_that_serve_no_longer_are_let_go_once_another_is_made(tasks: Tasks) -> None:
    lists = Lists(1000)
    lists.ask(tasks[:2], tasks[1:3], tasks[2:])
    tasks[1].retired = True
    assert lists.ask(tasks[2:]) == [3]
    assert lists.let_go == []
    lists.ask(tasks[:1])
    assert lists.let_go == [1, 2]
    assert lists.ask(tasks[2:]) == [3]
