"""Which tasks a selection takes, of tasks in order of their names."""

import pytest

from model_store.network import FrozenNetwork
from model_store.task_artifact import tagged
from service.engine.registry.selection import EVERY_TASK, Selection
from service.engine.registry.task_table import RegisteredTask
from tests.service.artifacts import MakeArtifact, registered

TAGS: dict[str, list[str]] = {
    "a": [],
    "site-1": ["berlin", "night"],
    "site-10": ["berlin"],
    "site-2": ["night"],
    "site-é": ["berlin", "day"],
    "sitz": ["berlin"],
}


@pytest.fixture
def tasks(network: FrozenNetwork, make_artifact: MakeArtifact) -> tuple[RegisteredTask, ...]:
    return tuple(
        registered(network, name, tagged(make_artifact(1), tags)) for name, tags in TAGS.items()
    )


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (EVERY_TASK, [*TAGS]),
        (Selection(("berlin",)), ["site-1", "site-10", "site-é", "sitz"]),
        (Selection(("berlin", "night")), ["site-1"]),
        (Selection(("berlin", "rome")), []),
        (Selection(prefix="site-"), ["site-1", "site-10", "site-2", "site-é"]),
        (Selection(("berlin",), "site-1"), ["site-1", "site-10"]),
        (Selection(prefix="sitz"), ["sitz"]),
        (Selection(prefix="z"), []),
    ],
)
def test_those_are_taken_that_are_all_of_it(
    tasks: tuple[RegisteredTask, ...], selection: Selection, expected: list[str]
) -> None:
    assert [task.task_id for task in selection.of(tasks)] == expected
